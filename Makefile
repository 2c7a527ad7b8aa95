# Everything runs in the checkout's own .venv. Where the index has no CPU build of torch, name one that has:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make install
PYTHON ?= python3
RECIPE  = recipes/smollm2-135m/rare_disease/qlora-v2.yaml
RUN     = runs/smollm2-135m-rare-disease-qlora/2.0.0

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export NO_MKDOCS_2_WARNING = 1

.PHONY: help install demo test test-slow quality trl-range robustness docs release-check clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed  ## create .venv with the tested versions (twice does nothing)

# The stamp is touched last: an install that failed halfway runs again.
.venv/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

demo: install  ## train, then evaluate, the recipe that runs on a laptop (both skip what is done)
	.venv/bin/accelerate launch --config_file accelerate_configs/cpu.yaml scripts/train.py $(RECIPE)
	.venv/bin/python scripts/evaluate.py $(RUN)

# One thread a worker: two test workers with two OpenMP threads each wait for one another at every small operation.
test: install  ## run the tests but for the slow ones
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -m "not slow"

test-slow: install  ## run the others: real weights, killed processes, every recipe, exports, the tutorial
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -m slow

quality: install  ## lint, formatting, types, recipes
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy src
	MYPYPATH=src .venv/bin/mypy --explicit-package-bases scripts benchmarks
	.venv/bin/python scripts/check_recipes.py

robustness: install  ## try strangers' models and broken files, write docs/robustness.md (some ten minutes)
	OMP_NUM_THREADS=1 .venv/bin/python tests/record_robustness.py

# The pages are copied to where they stand in the repository, so that links are checked as readers follow them.
PAGES  = README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md CITATION.cff LICENSE docs recipes tasks accelerate_configs
MKDOCS = .venv/bin/mkdocs
docs: install  ## build the documentation into build/site, links checked
	rm -rf build/pages && mkdir -p build/pages
	tar -c $(PAGES) | tar -x -C build/pages
	$(MKDOCS) build --config-file docs/mkdocs.yml
	@echo "build/site/index.html"

# Recipes are published once and run for years: what resolves today has to resolve with the first and with the latest TRL
# that setup.cfg allows. Each comes alone, beside the tested versions of everything else; the oldest is kept.
TRL    = $(shell sed -n 's/^ *\(trl>=.*\)/\1/p' setup.cfg)
OLDEST = $(shell sed -n 's/^ *trl>=\([0-9.]*\).*/\1/p' setup.cfg)
ALONE  = .venv/bin/python -m pip install --quiet --no-deps --no-compile --upgrade --target
trl-range: install  ## recipes under the oldest and the newest TRL allowed
	@test -d build/trl-$(OLDEST)/trl || $(ALONE) build/trl-$(OLDEST) 'trl==$(OLDEST)' || \
		{ echo "TRL $(OLDEST) cannot be had from PyPI: no recipe was checked under it" >&2; exit 1; }
	@$(ALONE) build/trl-newest '$(TRL)' || { test -d build/trl-newest/trl && \
		echo "PyPI cannot be reached: the newest TRL is the one fetched before" >&2; } || \
		{ echo "$(TRL) cannot be had from PyPI: no recipe was checked under it" >&2; exit 1; }
	@for trl in build/trl-$(OLDEST) build/trl-newest; do \
		PYTHONPATH=$$trl .venv/bin/python -c 'from importlib.metadata import version; print("TRL", version("trl"))' && \
		PYTHONPATH=$$trl .venv/bin/python scripts/check_recipes.py || exit 1; done

release-check: quality trl-range  ## before a release: recipes under each TRL allowed, published tables, cards, versions
	.venv/bin/python scripts/record_expected.py
	git diff --exit-code -- README.md recipes/README.md
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests/publishing/test_card.py tests/publishing/test_chai.py tests/test_repository.py
	@v=$$(.venv/bin/python -c 'import osler; print(osler.__version__)'); grep -q "^## $$v " CHANGELOG.md || \
		{ echo "CHANGELOG.md has no section for $$v"; exit 1; }

clean:  ## remove caches and build results (never .venv or runs/)
	rm -rf build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache
	find src scripts tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
