"""`condgen fit`: which run is gone on from."""

import os

import pytest

from condgen.commands.fit import find_last


@pytest.mark.parametrize("newest", ["version_0", "version_2", "version_10"])
def test_last_is_the_newest(tmp_path, newest):
    for version in ("version_0", "version_2", "version_10"):
        path = tmp_path / "runs" / version / "checkpoints" / "last.ckpt"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (2000, 2000) if version == newest else (1000, 1000))
    assert find_last({"default_root_dir": str(tmp_path)}).parts[-3] == newest
