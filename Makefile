# Two commands for a newcomer: `make analogs` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SEED   ?= Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1
# one process per core, at most four; idle processes take over work from the others
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: analogs test test-fast coverage check lint docs dist clean fuzz fuzz-kill

# analogs of imatinib (or SEED=...): a table on screen, a picture in analogs.png
analogs: $(VENV)/ready
	$(BIN)/molvae analogs "$(SEED)" -n 20 --image analogs.png
	@echo "picture: analogs.png"

test: $(VENV)/ready
	$(PYTEST)

# what a developer runs all the time: under five minutes on two cores
test-fast: $(VENV)/ready
	$(PYTEST) -m "not slow"

coverage: $(VENV)/ready
	$(PYTEST) --cov --cov-report term:skip-covered

# mutated SMILES, batches and folders through the package, in two processes: N inputs, or HOURS=1
N ?= 100000
fuzz: $(VENV)/ready
	PYTHONPATH=tests $(BIN)/python -m fuzz --processes 2 $(if $(HOURS),--hours $(HOURS),--n $(N))

# twenty random moments of analogs, index, train and score, with kill -9, SIGTERM and Ctrl-C: about an hour on two cores
fuzz-kill: $(VENV)/ready
	$(BIN)/python tests/fuzz/kill.py --moments 20

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# the site, strictly: a broken link, a missing page or a failing tutorial is an error
docs: $(VENV)/ready
	$(BIN)/mkdocs build --strict

dist: $(VENV)/ready
	rm -rf build/lib dist
	$(BIN)/python -m build --outdir dist .

check: lint test docs

# torch first and alone: pip then keeps that build instead of choosing one when it resolves the rest
$(VENV)/ready: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .ruff_cache .pytest_cache .coverage
