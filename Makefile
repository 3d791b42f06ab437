# `make demo` and `make test` do all set-up themselves: they need Python 3.10 or newer, and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test docs mutants clean

demo: .venv/installed
	$(BIN)/python recipes/demo.py

test: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy recipes/article/few_shot.py
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Plants faults and sees the tests fail, in minutes; `make mutants ONLY=name` plants one. See tests/mutants/run.py.
mutants: .venv/installed-dev
	$(BIN)/python tests/mutants/run.py $(ONLY)

# A page per concept, from the docstrings, in build/docs.
CONCEPTS := conditioning conditioning.contract distributions quantization models models.contract engines sampling data evaluation analysis training checkpoint exported pretrained loaded drawn
docs: .venv/installed-dev
	$(BIN)/pdoc -o build/docs -d google condgen $(CONCEPTS:%=condgen.%) '!condgen.pretrained.hub'  # it needs an extra

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "condgen needs Python 3.10 or newer")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q -e '.[espeak]'
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q -e '.[dev]'
	touch $@ .venv/installed

clean:
	rm -rf .venv build condgen.egg-info
