# make run      set up, train one cycle, read the samples with the new model
# make test     set up, then run all tests
# make check    set up, then check style and types
# make docs     set up, then build the documentation into site/
# make figures  write the figures of README.md and docs/figures.md from benchmarks/results

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: run test check docs figures clean

run: $(READY)
	$(BIN)/python main.py --cycles 1
	$(BIN)/digitnet predict --model model.pth samples
	@echo "A line without a digit is a refusal: this model has trained for one cycle only. Train on with: python main.py. Or leave out --model to read with the package's own model."

test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The variable silences an advertisement of the theme.
docs: $(READY)
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --clean

figures: $(READY)
	$(BIN)/python benchmarks/figures.py

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "DigitNet needs Python 3.11 or newer. Name one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --requirement requirements.txt
	$(BIN)/python -m pip install --no-deps --editable .
	@touch $(READY)
