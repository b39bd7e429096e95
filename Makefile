# Two commands for a newcomer: `make analogs` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SEED   ?= Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1

.PHONY: analogs test check lint clean

# analogs of imatinib (or SEED=...): a table on screen, a picture in analogs.png
analogs: $(VENV)/ready
	$(BIN)/molvae analogs "$(SEED)" -n 20 --picture analogs.png
	@echo "picture: analogs.png"

# in a process for each core, up to four; those that are done early take over from the others
test: $(VENV)/ready
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

# torch first and alone: pip then keeps that build instead of choosing one when it resolves the rest
$(VENV)/ready: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .ruff_cache .pytest_cache
