# Every target builds the environment that it needs from a lock file, once. `make` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The first supported python on the path. Another one: make PYTHON=/path/to/python3.12 test
PYTHON := $(shell for p in python3 python3.12 python3.11; do \
    "$$p" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null \
    && { echo "$$p"; break; }; done)
IO_PYTHON := $(shell for p in python3.11 $(PYTHON); do \
    "$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
    && { echo "$$p"; break; }; done)
PY := $(shell "$(PYTHON)" -c 'import sys; print("py%d%d" % sys.version_info[:2])' 2>/dev/null)

LOCK := requirements/newest-$(PY).txt
IO_LOCK := requirements/io-py311.txt
TPU_LOCK := requirements/tpu-$(PY).txt
# By content, not by time: git and `make lock` touch files that they do not change.
LOCKED = $(1)/.lock-$(shell sha256sum $(2) 2>/dev/null | cut -c 1-16)
VENV_LOCKED := $(call LOCKED,.venv,$(LOCK))
IO_LOCKED := $(call LOCKED,.venv-io,$(IO_LOCK))
TPU_ENV := $(call LOCKED,.venv-tpu,$(TPU_LOCK))
ENV := .venv/.installed
IO_ENV := .venv-io/.installed

# Two quiets: a package index that answers slowly is not worth a hundred warnings.
PIP_INSTALL := -m pip install -qq --disable-pip-version-check
PYTEST := -m pytest -n 2 --dist worksteal
UV_VERSION := 0.13.9
COMPILE := .venv-lock/bin/uv pip compile --quiet --generate-hashes --no-header --no-emit-index-url \
    $(UPGRADE) --python-platform
# libtpu's wheels ask for a newer C library than uv takes "linux" to have.
TPU_PLATFORM := x86_64-manylinux_2_31

ifneq ($(filter-out help clean lock test-io,$(or $(MAKECMDGOALS),help)),)
ifeq ($(wildcard $(LOCK)),)
$(error meta_shrink needs Python 3.11 or 3.12; \
$(if $(PYTHON),$(PYTHON) is not one,none is on the path as python3, python3.11 or python3.12). \
Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS))
endif
endif
ifneq ($(filter test-io,$(MAKECMDGOALS)),)
ifeq ($(IO_PYTHON),)
$(error The io lane needs Python 3.11 and found none. Install it, or name it: \
make IO_PYTHON=/path/to/python3.11 test-io)
endif
endif

.PHONY: help docs notebook demo demo-adapters test test-all test-programs test-io tpu-proof faults mutants mutants-changed lint format lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

demo: $(ENV) ## meta-train, evaluate and report the sinusoid demo in runs/demo (resumes)
	.venv/bin/python -m launch.train --config=configs/sinusoid.py:demo --workdir=runs/demo
	.venv/bin/python -m launch.evaluate --workdir=runs/demo
	.venv/bin/python -m launch.report --workdir=runs/demo

demo-adapters: demo ## export the demo's backbone, adapt it to new tasks, check their files
	.venv/bin/python -m export.backbone --workdir=runs/demo --out=runs/demo_backbone
	.venv/bin/python -m export.tasks --workdir=runs/demo --out=runs/demo_tasks --count=5
	.venv/bin/python -m launch.adapt --backbone=runs/demo_backbone --data=runs/demo_tasks \
	    --out=runs/demo_adapters
	.venv/bin/meta-shrink verify runs/demo_adapters/*.safetensors --backbone runs/demo_backbone

test: $(ENV) ## run the tests that are not marked slow or programs (newest lane)
	.venv/bin/python $(PYTEST) -m "not slow and not programs"

test-programs: $(ENV) ## run every program, config and documented command as a user does, shortened
	.venv/bin/python $(PYTEST) -m "programs and not slow"

test-all: $(ENV) ## run all tests (newest lane)
	.venv/bin/python $(PYTEST)

test-io: $(IO_ENV) ## run the conformance tests with TensorFlow 2.17 and tensorflow-io
	.venv-io/bin/python $(PYTEST) -m "not slow" tests/conformance

faults: $(ENV) ## kill, stop, damage and starve real programs: docs/results/faults.md (NIGHTLY=1: hours; resumes)
	.venv/bin/python -m benchmarks.faults $(if $(NIGHTLY),--nightly) --out=docs/results/faults.md

tpu-proof: $(TPU_ENV) ## compile every algorithm and network for TPUs that are not there: docs/results/tpu.md (hours; resumes)
	nice -n 10 .venv-tpu/bin/python -m benchmarks.tpu_proof --out=docs/results/tpu.md $(TPU_PROOF)

mutants: $(ENV) ## put small faults into the code, one at a time: which do the tests not feel?
	.venv/bin/python -m tests.mutants $(if $(REPORT),--report=$(REPORT))

mutants-changed: $(ENV) ## those in changed files, for 5 minutes at most; after `make test`
	.venv/bin/python -m tests.mutants --changed --minutes=5 --trust_tests

docs: $(ENV) ## build the documentation site in site/; a broken link or name is an error
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --quiet --strict

notebook: $(ENV) ## execute docs/own_data.ipynb anew, outputs included
	.venv/bin/python -m tests.notebook

lint: $(ENV) ## check style, format and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright

format: $(ENV) ## format the code and sort the imports
	.venv/bin/ruff check --fix --select I .
	.venv/bin/ruff format .

lock: .venv-lock/.uv-$(UV_VERSION) ## compile requirements/*.txt (newer versions: UPGRADE=--upgrade)
	$(COMPILE) linux --python-version 3.11 requirements/newest.in -o requirements/newest-py311.txt
	$(COMPILE) linux --python-version 3.12 requirements/newest.in -o requirements/newest-py312.txt
	$(COMPILE) linux --python-version 3.11 requirements/io.in -o requirements/io-py311.txt
	$(COMPILE) $(TPU_PLATFORM) --python-version 3.11 requirements/tpu.in -o requirements/tpu-py311.txt
	$(COMPILE) $(TPU_PLATFORM) --python-version 3.12 requirements/tpu.in -o requirements/tpu-py312.txt

clean: ## remove the environments, caches and build outputs (not runs/)
	rm -rf .venv .venv-io .venv-tpu .venv-gpu .venv-lock build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is built from nothing whenever its lock changes, so that it holds the lock and no
# leftovers. The stamp is written last: an interrupted installation starts again.
define build_venv
@echo "Building $(1) from $(3): once, 1 to 5 minutes, 2.5 GB on disk."
@"$(2)" -m venv --clear $(1) || { \
    echo "$(2) cannot make virtual environments: install its venv package." >&2; exit 1; }
@$(1)/bin/python $(PIP_INSTALL) --require-hashes -r $(3)
@touch $@
endef

define install_project
@$(1)/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
@touch $@
endef

$(VENV_LOCKED):
	$(call build_venv,.venv,$(PYTHON),$(LOCK))

$(ENV): $(VENV_LOCKED) setup.py
	$(call install_project,.venv)

$(IO_LOCKED):
	$(call build_venv,.venv-io,$(IO_PYTHON),$(IO_LOCK))

$(TPU_ENV):
	$(call build_venv,.venv-tpu,$(PYTHON),$(TPU_LOCK))

$(IO_ENV): $(IO_LOCKED) setup.py
	$(call install_project,.venv-io)

.venv-lock/.uv-$(UV_VERSION):
	@"$(or $(PYTHON),python3)" -m venv --clear .venv-lock
	@.venv-lock/bin/python $(PIP_INSTALL) uv==$(UV_VERSION)
	@touch $@
