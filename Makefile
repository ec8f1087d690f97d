# The verbs of the project. Each does its own set-up: the first call makes .venv and installs into it (some minutes),
# the next one costs nothing, and a change of pyproject.toml or constraints.txt installs again.

# The pythons to make .venv with: the first that is there, is 3.11 or later and has venv. One of your own:
# make PYTHON=/path/to/python3.12 install
PYTHON ?= python3.13 python3.12 python3.11 python3
# What train, test and test-slow pass on, as in: make train ARGS='optimizer=adam lr=1e-3'
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install train test test-slow check

# Nothing that is set outside may lead python or pip to other packages or to another place.
unexport PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT

# Written when an installation has ended well: the folder's path. So an environment that was left half done, that was
# moved or copied, or whose python is gone is not taken for a finished one.
STAMP := .venv/installed
WHOLE := $(shell test "$$(cat $(STAMP) 2>/dev/null)" = "$$(pwd -P)" && .venv/bin/python -I -c pass 2>/dev/null && echo yes)
ifneq ($(WHOLE),yes)
.PHONY: $(STAMP)
endif

help:
	@echo 'make install      make .venv and install the project into it'
	@echo 'make train        train on the default data; overrides: make train ARGS="optimizer=adam lr=1e-3"'
	@echo 'make test         the tests (under two minutes)'
	@echo 'make test-slow    whole commands and long runs'
	@echo 'make check        format, lint and types'

install: $(STAMP)
	@echo 'Activate the environment with: source .venv/bin/activate'

train: $(STAMP)
	@.venv/bin/python scripts/train.py $(ARGS)
	@echo
	@echo 'Activate the environment with: source .venv/bin/activate'

test: $(STAMP)
	.venv/bin/pytest $(ARGS)

test-slow: $(STAMP)
	.venv/bin/pytest -m 'slow and not gpu' $(ARGS)

check: $(STAMP)
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy

# The constraints are named by a relative path, because pip cuts its variables at spaces. PIP_BUILD_CONSTRAINT is what
# newer pips call the one for building packages.
$(STAMP): pyproject.toml constraints.txt
	@test '$(WHOLE)' = yes || { $(MAKE_VENV); }
	@rm -f $@
	@echo 'Installing into .venv; the first time takes some minutes ...'
	@PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt .venv/bin/python -m pip install \
		--quiet --disable-pip-version-check --use-pep517 --constraint constraints.txt --editable '.[dev]'
	@pwd -P > $@

MAKE_VENV = why='No python3 found'; missing=; \
	for python in $(PYTHON); do \
		version=$$("$$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
		if ! "$$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
			why="$$python is Python $$version"; \
		elif ! "$$python" -I -c 'import venv, ensurepip' >/dev/null 2>&1; then \
			missing=yes; \
		else \
			echo "Making .venv with $$python (Python $$version)"; \
			"$$python" -I -m venv --clear .venv; exit; \
		fi; \
	done; \
	if test "$$missing"; then \
		echo "Python's venv module is missing: install it (Debian/Ubuntu: apt install python3-venv)" \
			"and run make again" >&2; \
	else \
		echo "$$why; Glassbox needs Python 3.11 or later: install it and run make again," \
			"or name one: make PYTHON=/path/to/python3 install" >&2; \
	fi; \
	exit 1
