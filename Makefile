# make run      set up for training and reading, train one cycle, read the samples with the new model
# make test     set up for everything, then run all tests
# make check    set up for everything, then check style and types
# make docs     set up for everything, then build the documentation into site/
# make figures  write the figures of README.md and docs/figures.md from benchmarks/results
#
# With uv, which installs faster: make INSTALL="uv pip install --python .venv" run

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL ?= $(BIN)/python -m pip install
READY := $(VENV)/ready
READY_FOR_ALL := $(VENV)/ready-for-all

.PHONY: run test check docs figures clean

run: $(READY)
	$(BIN)/python main.py --cycles 1
	@echo "The samples, read by the new model and by the package's own. After one cycle, a model is not always sure:"
	@$(BIN)/digitnet predict samples --model model.pth --side-by-side --show samples.png
	@echo "samples.png shows each sample, what the network saw, and both answers. Train on with: python main.py"

test: $(READY_FOR_ALL)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(READY_FOR_ALL)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The variable silences an advertisement of the theme.
docs: $(READY_FOR_ALL)
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --clean

figures: $(READY)
	$(BIN)/python benchmarks/figures.py

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis

# On Linux, PyTorch's usual wheels bring 4 GB that only an NVIDIA card needs.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "DigitNet needs Python 3.11 or newer. Name one with: make PYTHON=python3.12"; exit 1; }
	@[ "$$(uname)" != Linux ] || command -v nvidia-smi >/dev/null \
		|| echo "No NVIDIA card found. A smaller PyTorch would save 4 GB: see \"Install\" in README.md."
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --requirement requirements.txt
	$(INSTALL) --no-deps --editable .
	@touch $(READY)

$(READY_FOR_ALL): $(READY) requirements-dev.txt
	$(INSTALL) --requirement requirements-dev.txt
	@touch $(READY_FOR_ALL)
