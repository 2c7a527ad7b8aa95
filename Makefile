# Everything runs in the checkout's own .venv. Where the index has no CPU build of torch, name one that has:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make install
PYTHON ?= python3
RECIPE  = recipes/smollm2-135m/rare_disease/qlora-v1.yaml
RUN     = runs/smollm2-135m-rare-disease-qlora/1.0.0

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help install demo test quality clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed  ## create .venv with the tested versions (twice does nothing)

# The stamp is touched last: an install that failed halfway runs again.
.venv/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install  ## train, then evaluate, the recipe that runs on a laptop (both skip what is done)
	.venv/bin/accelerate launch --config_file accelerate_configs/cpu.yaml scripts/train.py $(RECIPE)
	.venv/bin/python scripts/evaluate.py $(RUN)

# One thread a worker: two test workers with two OpenMP threads each wait for one another at every small operation.
test: install  ## run the tests
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest

quality: install  ## lint, formatting, types, recipes
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy src
	.venv/bin/python scripts/check_recipes.py

clean:  ## remove caches and build results (never .venv or runs/)
	rm -rf build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache
	find src scripts tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
