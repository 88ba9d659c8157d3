# Two commands matter: `make demo` and `make test`. Each sets up what it needs.
VENV ?= .venv
export VENV
PY := $(VENV)/bin/python
# Tests start hundreds of processes: modules are to be compiled once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test check format lock clean
help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: ## Make the virtual environment (CPU or CUDA, by the hardware)
	@scripts/setup.sh

demo: setup ## Compare strategies on a real model; results in outputs/demo
	$(VENV)/bin/tts run experiment=demo
	$(VENV)/bin/tts show outputs/demo --arm a_star

test: setup ## Run all tests
	$(PY) -m pytest -n 3 --dist loadgroup

check: setup ## Format, lint, types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

format: setup ## Format the code
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

lock: ## Resolve the CPU requirements anew
	scripts/lock.sh
	scripts/lock_quantize.sh

clean: ## Remove what was built or written, except results and the environment
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
