# Two commands do everything: `make demo` and `make test`. Each sets up .venv first; a second call finds it ready.
# `make bench DATA="folder ..."` compares Graft with other ways to train, for hours; see benchmarks/README.md.
PYTHON ?= python3
BIN := .venv/bin
DEMO := sample:digits --image-size 96 --augment light --no-flip --unfreeze-blocks 4

.PHONY: demo test lint notebook bench clean

demo: .venv/ready
	$(BIN)/python -m app train $(DEMO)

test: .venv/ready-dev lint
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The notebook from its paired script, which is the one to edit. `make notebook REPOSITORY=https://github.com/you/graft`
# first puts that address into the script, and into the links that open the notebook in Colab.
GITHUB := $(patsubst https://github.com/%,%,$(patsubst %.git,%,$(patsubst %/,%,$(REPOSITORY))))
notebook: .venv/ready-dev
ifneq ($(REPOSITORY),)
	@case "$(REPOSITORY)" in https://github.com/?*/?*) ;; \
		*) echo "Colab opens notebooks from GitHub: make notebook REPOSITORY=https://github.com/you/graft"; exit 2 ;; esac
	sed -i.bak -E -e 's|^REPOSITORY = "[^"]*"|REPOSITORY = "https://github.com/$(GITHUB)"|' \
		-e 's|(colab\.research\.google\.com/github/)[^/]+/[^/]+/|\1$(GITHUB)/|' notebooks/quickstart.py README.md
	rm notebooks/quickstart.py.bak README.md.bak
endif
	$(BIN)/jupytext --to notebook --output notebooks/quickstart.ipynb notebooks/quickstart.py

# DATA is asked for before anything is installed; options of `python -m benchmarks` may follow the folders in it.
bench:
	@test -n "$(strip $(DATA))" || { echo 'Say which pictures to measure on: make bench DATA="folder ..."'; exit 2; }
	@$(MAKE) --no-print-directory .venv/ready-bench
	$(BIN)/python -m benchmarks $(DATA)

clean:
	rm -rf .venv

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Graft needs Python 3.11, 3.12 or 3.13; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv

# A stamp is made after pip has succeeded, so an interrupted installation is done again.
.venv/ready: requirements.txt constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/ready-dev: requirements-dev.txt requirements.txt constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch .venv/ready $@

.venv/ready-bench: benchmarks/requirements.txt requirements.txt constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch .venv/ready $@
