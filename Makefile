# Each target sets up .venv the first time, and again when setup.cfg changes. After that nothing is fetched.

PYTHON ?= python3
WORKERS ?= 2

PYTEST := TF_CPP_MIN_LOG_LEVEL=2 .venv/bin/python -m pytest --quiet --numprocesses $(WORKERS) --dist loadfile

.PHONY: help test test-slow check demo multi30k clean

help:
	@echo 'make test       run the tests, WORKERS=$(WORKERS) at a time'
	@echo 'make check      ruff and mypy'
	@echo 'make demo       train, export and run a small translator, in runs/demo and dist/demo'
	@echo 'make multi30k   train the best model for Multi30k, two hours on 2 cores, in runs/multi30k-diverse; SEED=0'
	@echo 'make test-slow  run the tests that take too long for every change'
	@echo 'make clean      remove .venv and caches; runs/ and dist/ stay'

test: .venv/installed
	@$(PYTEST)

test-slow: .venv/installed
	@$(PYTEST) -m slow

check: .venv/installed
	@.venv/bin/ruff check --quiet
	@.venv/bin/ruff format --check --quiet
	@.venv/bin/mypy

demo: .venv/ready
	rm -rf runs/demo dist/demo
	.venv/bin/keras-transformer train translation --config demo --run runs/demo
	.venv/bin/keras-transformer export runs/demo --output dist/demo
	.venv/bin/keras-transformer predict dist/demo/model.tflite \
	  'The city has 87,878 inhabitants.' \
	  'On Monday evening, the meeting ends at twenty-five to seven.' \
	  'Felix knows that the bus leaves at 6:47 pm on Friday.' \
	  'Maria buys one pear for three euros and ten cents.'

multi30k: .venv/ready
	@$(MAKE) --no-print-directory -f recipes/translation/multi30k.mk

clean:
	rm -rf .venv build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find benchmarks export keras_transformer recipes tests -name __pycache__ -prune -exec rm -rf {} +

# A stamp is the last thing written: an interrupted set-up is taken up again.
.venv/ready: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
	  { echo "keras-transformer needs Python 3.10 to 3.13; $(PYTHON) is $$($(PYTHON) --version 2>&1 | tail -n 1)." \
	         "Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@test -x .venv/bin/pip || $(PYTHON) -m venv --clear .venv
	@echo 'Installing into .venv, this once; it takes some minutes.'
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@.venv/bin/keras-transformer web > /dev/null || true  # what exports have their web page from; says what is missing
	@touch $@

.venv/installed: .venv/ready
	@echo 'Installing what the tests need.'
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
