# Two commands do everything: `make demo` and `make test`. Each sets up .venv first; a second call finds it ready.
# `make bench DATA="folder ..."` compares Graft with other ways to train, for hours; see benchmarks/README.md.
BIN := .venv/bin
SET_UP = @$(firstword $(wildcard $(BIN)/python) $(PYTHON) python3) set_up.py
DEMO := sample:digits --image-size 96 --augment light --no-flip --unfreeze-blocks 4

.PHONY: demo test lint notebook reference bench clean packages

demo:
	./graft train $(DEMO)

# Tests start hundreds of processes: compiled once, our files load in half the time.
test: export PYTHONDONTWRITEBYTECODE =
test: packages lint
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The notebooks from their paired scripts, which are the ones to edit. `make notebook REPOSITORY=https://github.com/you/graft`
# first puts that address into the scripts, and into the links that open the notebooks in Colab.
notebook: packages
	$(BIN)/python notebooks/convert.py "$(REPOSITORY)"

# docs/api.md and app/__init__.pyi, from the code.
reference: packages
	$(BIN)/python docs/reference.py

# DATA is asked for before anything is installed; options of `python -m benchmarks` may follow the folders in it.
bench:
	@test -n "$(strip $(DATA))" || { echo 'Say which images to measure on: make bench DATA="folder ..."'; exit 2; }
	$(SET_UP) benchmarks/requirements.txt
	$(BIN)/python -m benchmarks $(DATA)

clean:
	rm -rf .venv .venv.lock

packages:
	$(SET_UP) requirements-dev.txt
