"""Data: fixed splits, the right levels and labels, and one clear line for what cannot be read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from condgen.data import CIFAR10, MNIST, Digits, FashionMNIST, Folder, Images
from condgen.data.class_folders import split_files

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def rows(x: torch.Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in x}


def test_digits_splits_hold_every_image_once():
    from sklearn.datasets import load_digits

    splits = {split: Digits().load(split) for split in ("train", "val", "test")}
    assert {split: len(part.x) for split, part in splits.items()} == {"train": 1197, "val": 100, "test": 500}
    together = torch.cat([part.x for part in splits.values()]).flatten(1)
    original = torch.from_numpy(load_digits().data.astype(np.uint8))
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, original.tolist()))
    assert torch.equal(Digits().load("test").x, splits["test"].x)


def test_digits_levels_and_labels_fit_what_is_announced():
    source, part = Digits(), Digits().load("train")
    assert part.x.shape[1:] == source.shape
    assert part.x.min() == 0
    assert part.x.max() == source.levels - 1
    assert set(part.conditions["digit"].tolist()) == set(range(len(source.names["digit"])))


def test_loaders_give_whole_batches_and_the_last_partial_one():
    data = Images(Digits(), batch_size=128)
    data.setup()
    sizes = [len(x) for x, *_ in data.test_dataloader()]
    assert sizes == [128, 128, 128, 116]
    x, conditions, _ = next(iter(data.test_dataloader()))
    assert torch.equal(x, data.splits["test"].x[:128])
    assert torch.equal(conditions["digit"], data.splits["test"].conditions["digit"][:128])


def test_thumbnail_is_the_image_averaged_over_squares():
    data = Images(Digits(), batch_size=4, thumbnail=4)
    data.setup()
    x, conditions, _ = next(iter(data.test_dataloader()))
    expected = torch.stack([x[:, :, i : i + 4, j : j + 4].float().mean((2, 3)) for i in (0, 4) for j in (0, 4)], dim=-1)
    torch.testing.assert_close(conditions["thumbnail"].flatten(2), expected)
    with pytest.raises(ValueError, match="thumbnail 3 does not divide images of 8 × 8"):
        Images(Digits(), thumbnail=3)


@pytest.fixture
def fixed_mnist(tmp_path):
    generator = np.random.default_rng(0)
    images = {f"{name}_packed": np.packbits(generator.integers(0, 2, (5, 784)), axis=1) for name in ("train", "valid")}
    np.savez(tmp_path / "binarized_mnist.npz", **images)
    return tmp_path, images


def test_fixed_mnist_unpacks_every_pixel_in_order(fixed_mnist):
    root, images = fixed_mnist
    part = MNIST(str(root), binarize="fixed").load("val")
    assert part.conditions == {}
    packed = np.packbits(part.x.reshape(5, 784).numpy(), axis=1)
    assert np.array_equal(packed, images["valid_packed"])
    np.savez(root / "source_index_and_label.npz", valid_label=np.arange(5, dtype=np.uint8))
    assert MNIST(str(root), binarize="fixed").load("val").conditions["digit"].tolist() == list(range(5))
    with pytest.raises(ValueError, match=r"binarized_mnist.npz has no array 'test_packed'; it has train_packed"):
        MNIST(str(root), binarize="fixed").load("test")


def write_idx(root: Path, folder: str, count: int) -> torch.Tensor:
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(1)
    for name, n in (("train", count), ("t10k", 20)):
        images = generator.integers(0, 256, (n, 28, 28)).astype(np.uint8)
        labels = generator.integers(0, 10, n).astype(np.uint8)
        header = b"\0\0\x08\x03" + b"".join(int(k).to_bytes(4, "big") for k in images.shape)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + n.to_bytes(4, "big") + labels.tobytes())
    return torch.from_numpy(images)


@pytest.mark.parametrize(("source", "folder"), [(MNIST, "MNIST"), (FashionMNIST, "FashionMNIST")])
def test_idx_files_split_into_training_and_the_last_ten_thousand(source, folder, tmp_path):
    pytest.importorskip("torchvision")
    test = write_idx(tmp_path, folder, 10_030)
    parts = {split: source(str(tmp_path), download=False).load(split) for split in ("train", "val", "test")}
    assert [len(part.x) for part in parts.values()] == [30, 10_000, 20]
    assert not rows(parts["train"].x) & rows(parts["val"].x)
    assert torch.equal(parts["test"].x[:, 0], test)


def test_dynamic_binarization_is_new_in_training_and_fixed_elsewhere(tmp_path):
    pytest.importorskip("torchvision")
    write_idx(tmp_path, "MNIST", 10_300)
    source = MNIST(str(tmp_path), binarize="dynamic", download=False)
    data = Images(source, batch_size=300)
    data.setup()
    train = data.dataset("train")
    draws = torch.stack([train.__getitems__(range(300))[0] for _ in range(40)]).float()
    level = train.images.x[:300].float() / 255
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    z = (draws.mean(0) - level) / (level * (1 - level) / 40).sqrt().clamp(min=0.05)
    assert abs(z.mean()) < 0.02
    assert torch.equal(source.load("test").x, source.load("test").x)
    assert source.load("test").x.max() == 1


def test_cifar10_is_channels_first_with_the_bits_asked_for(monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")

    class Fake:
        def __init__(self, root, train, download):
            self.data = np.random.default_rng(int(train)).integers(0, 256, (5_010 if train else 7, 32, 32, 3))
            self.data, self.targets = self.data.astype(np.uint8), [1] * len(self.data)

    monkeypatch.setattr(datasets, "CIFAR10", Fake)
    part = CIFAR10(bits=5).load("train")
    assert part.x.shape == (10, 3, 32, 32)
    assert torch.equal(part.x[3, 2], torch.from_numpy(Fake("", True, False).data[3, :, :, 2]) // 8)


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for i in range(20):
            colour = (10 * i, 100 * label, 7)
            Image.new("RGB", (6, 5), colour).save(tmp_path / name / f"{i:02}.png")
    return tmp_path


def test_folder_names_are_classes_and_splits_hold_every_file_once(folder):
    source = Folder(str(folder))
    assert (source.shape, source.names) == ((3, 5, 6), {"class": ["cat", "dog"]})
    parts = [source.load(split) for split in ("train", "val", "test")]
    assert all(set(part.conditions["class"].tolist()) == {0, 1} for part in parts)
    seen = [tuple(x[:, 0, 0].tolist()) for part in parts for x in part.x]
    assert sorted(seen) == sorted((10 * i, 100 * label, 7) for label in (0, 1) for i in range(20))
    assert all((x[1, 0, 0] == 100 * y) for part in parts for x, y in zip(part.x, part.conditions["class"], strict=True))


def test_folder_resizes_grays_and_drops_bits_as_asked(folder):
    source = Folder(str(folder), size=(4, 4), channels=1, bits=3)
    part = source.load("train")
    assert part.x.shape[1:] == (1, 4, 4) == source.shape
    assert part.x.max() < source.levels == 8


def training_files(folder, label="cat"):
    splits = split_files(folder, Folder(str(folder), size=(5, 6)).files)
    return [file for file, split in splits.items() if split == "train" and file.parent.name == label]


def test_folder_refuses_what_it_cannot_read_and_names_it(folder):
    bad, good, *_ = training_files(folder)
    Image.new("RGB", (9, 9)).save(bad)
    with pytest.raises(ValueError, match=rf"{bad.name}.*9 × 9|is 5 × 6"):
        Folder(str(folder)).load("train")
    bad.write_bytes(good.read_bytes()[:40])
    with pytest.raises(ValueError, match=rf"{bad.name} is not a readable image .*remove or replace"):
        Folder(str(folder), size=(5, 6)).load("train")


def test_16_bits_are_brought_down_and_this_is_said_once(folder):
    for file in training_files(folder)[:3]:
        Image.fromarray(np.full((5, 6), 0x8000, np.uint16)).save(file)
    with pytest.warns(UserWarning, match="more than 8 bits per channel, of which the upper 8 are kept") as said:
        Folder(str(folder)).load("train")
    assert len(said) == 1


@pytest.mark.parametrize(("size", "shape"), [(4, (4, 4)), ([3, 4], (3, 4)), ((7, 2), (7, 2))])
def test_a_size_is_one_number_or_height_and_width(folder, size, shape):
    source = Folder(str(folder), size=size)
    assert source.load("test").x.shape[2:] == source.shape[1:] == shape
    with pytest.raises(ValueError, match="size 0 × 3 is not at least 1 × 1"):
        Folder(str(folder), size=(0, 3))


def test_images_are_cropped_or_squashed_as_asked(tmp_path):
    (tmp_path / "cat").mkdir()
    pixels = np.zeros((4, 12, 3), np.uint8)
    pixels[:, 4:8] = 90
    for i in range(10):
        Image.fromarray(pixels).save(tmp_path / "cat" / f"{i}.png")
    assert (Folder(str(tmp_path), size=4).load("train").x == 90).all()
    assert Folder(str(tmp_path), size=4, fit="squash").load("train").x.float().mean() == pytest.approx(30, abs=2)


def test_broken_images_and_those_of_another_size_are_named_together(folder):
    broken, sized = sorted((folder / "cat").iterdir())[:3], sorted((folder / "dog").iterdir())[:2]
    broken[0].write_bytes(b"")
    broken[1].write_text("no picture")
    broken[2].write_bytes(broken[2].read_bytes()[:50])  # its header is whole
    for file in sized:
        Image.new("RGB", (9, 8)).save(file)
    with pytest.raises(ValueError, match=r"^5 images of .* cannot be used: ") as caught:
        Folder(str(folder))
    assert all(f"{file} is not a readable image" in str(caught.value) for file in broken)
    assert all(f"{file} is 8 × 9, not 5 × 6 as most" in str(caught.value) for file in sized)
    with pytest.raises(ValueError, match=r"^3 images of .* cannot be used: "):
        Folder(str(folder), size=8)


def test_images_of_many_sizes_are_said_with_the_option_that_brings_them_to_one(tmp_path):
    (tmp_path / "cat").mkdir()
    for i in range(1, 9):
        Image.new("RGB", (10 * i, 8 * i)).save(tmp_path / "cat" / f"{i}.jpg")
    Image.new("RGB", (80, 64)).save(tmp_path / "cat" / "again.jpg")
    with pytest.raises(ValueError, match=r"are of 8 sizes, from 8 × 10 to 64 × 80, most often 64 × 80 \(2 of 9\): give "
                       r"the size to bring all to, such as --data\.source\.size 32$"):  # fmt: skip
        Folder(str(tmp_path))


def test_a_turned_photograph_has_its_upright_size(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = training_files(folder)[0]
    Image.new("RGB", (5, 6)).save(file, exif=exif)
    assert Folder(str(folder)).shape == (3, 5, 6)


def test_images_broken_in_several_splits_are_named_together(folder):
    splits = split_files(folder, Folder(str(folder)).files)
    data = Images(Folder(str(folder)))
    broken = [next(file for file, split in splits.items() if split == wanted) for wanted in ("train", "val")]
    for file in broken:
        file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"^2 images of .* cannot be used: ") as caught:
        data.setup("fit")
    assert all(str(file) in str(caught.value) for file in broken)


def test_all_faulty_images_are_named_and_counted(folder):
    faulty = [*training_files(folder, "cat"), *training_files(folder, "dog")]
    for file in faulty:
        file.write_text("no picture")
    with pytest.raises(ValueError, match=f"^{len(faulty)} images of .* cannot be used: ") as caught:
        Folder(str(folder), size=(5, 6)).load("train")
    assert str(caught.value).count("is not a readable image") == 20
    assert str(caught.value).endswith(f"; and {len(faulty) - 20} more")


def test_where_no_image_is_readable_all_are_named(tmp_path):
    (tmp_path / "cat").mkdir()
    for i in range(3):
        (tmp_path / "cat" / f"{i}.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"^3 images of .*0\.png .*1\.png .*2\.png is not a readable image"):
        Folder(str(tmp_path))


def test_an_image_added_to_a_folder_moves_no_other(folder):
    before = split_files(folder, Folder(str(folder)).files)
    Image.new("RGB", (6, 5)).save(folder / "cat" / "000_new.png")
    after = split_files(folder, Folder(str(folder)).files)
    assert before.items() <= after.items()


def test_transparency_shows_the_background_and_is_said_once(folder):
    for file in training_files(folder):
        Image.new("RGBA", (6, 5), (9, 9, 9, 0)).save(file)
    with pytest.warns(UserWarning, match="transparent in places, where white shows") as said:
        part = Folder(str(folder)).load("train")
    assert len(said) == 1
    assert (part.x[part.conditions["class"] == 0] == 255).all()
    with pytest.warns(UserWarning, match="where #102030 shows"):
        part = Folder(str(folder), background="#102030").load("train")
    assert part.x[part.conditions["class"] == 0][0, :, 0, 0].tolist() == [0x10, 0x20, 0x30]
    with pytest.raises(ValueError, match="background 'plaid' is no colour"):
        Folder(str(folder), background="plaid")


def test_folder_without_classes_or_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not there; give the folder of the images"):
        Folder(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="has no folders: put the images of each class"):
        Folder(str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no images of class empty"):
        Folder(str(tmp_path))


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="real MNIST is not at hand")
def test_real_mnist_is_read():
    pytest.importorskip("torchvision")
    part = MNIST(str(SHARED / "mnist"), download=False).load("test")
    assert part.x.shape == (10_000, 1, 28, 28)
    assert part.conditions["digit"][:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.skipif(not (SHARED / "mnist_binarized").is_dir(), reason="the fixed binarized MNIST is not at hand")
def test_real_fixed_mnist_is_a_draw_of_the_images_it_names():
    root = SHARED / "mnist_binarized"
    part = MNIST(str(root), binarize="fixed").load("test")
    assert part.x.shape == (10_000, 1, 28, 28)
    assert set(part.x.unique().tolist()) == {0, 1}
    source = MNIST(str(SHARED / "mnist"), download=False).load("test")
    index = np.load(root / "source_index_and_label.npz")["test_index"]
    if index.max() < 10_000:
        gray = source.x[torch.from_numpy(index)]
        assert not part.x[gray == 0].any()
        assert part.x[gray == 255].all()
