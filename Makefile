# `make` alone lists the targets. Nothing but the report is made twice: the environment depends on
# its lock, and the tools continue where they stopped.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-input --no-deps
PYTEST_ARGS ?=
# Most tests keep one core busy. Each process needs up to 4 GiB.
TEST_PROCESSES ?= 2

# The lock stays the one that the environment was made from until GPU=1 or GPU=0 says otherwise.
GPU := $(if $(wildcard $(VENV)/requirements-gpu.lock),1,0)
LOCK := requirements$(if $(filter 1,$(GPU)),-gpu).lock

# The first of the candidates that is Python 3.11 and can make environments.
PYTHON ?= python3.11 python3
SUITABLE := import sys, ensurepip, venv; sys.exit(sys.version_info[:2] != (3, 11))
python = $(shell for p in $(PYTHON); do "$$p" -c '$(SUITABLE)' && echo "$$p" && break; done 2>/dev/null)
found = $(shell for p in $(PYTHON); do "$$p" --version || true; done 2>&1)

.PHONY: help
help:
	@echo 'make setup     the environment in $(VENV), from the lock (GPU=1: for CUDA 11 cards)'
	@echo 'make demo      train a small GAN on drawn radiographs, export it, sample from it, report'
	@echo 'make real      the same on real ones: DATA=/path/to/nih RUNS=/path/for/runs'
	@echo 'make study     the whole paper, small, on three drawn hospitals: hours, in studies/phantom'
	@echo 'make test      tests, without those marked slow (PYTEST_ARGS="-k losses" chooses)'
	@echo 'make test-all  all tests'
	@echo 'make lint      ruff'
	@echo 'make clean     remove the environment and caches; records/ and runs/ stay'

.PHONY: setup
setup: $(VENV)/project

# A copy of the lock, made last, marks a complete environment. Two packages come as source only:
# they are built with the locked setuptools, not with whatever the index has by then.
$(VENV)/$(LOCK): $(LOCK)
	@$(if $(python),,$(error Python 3.11 with its venv module is needed, found: $(found). \
	  Install it (Debian: python3.11-venv) or say where it is: make PYTHON=/path/to/python3.11))
	@$(if $(shell test -L $(VENV) && echo link),$(error $(VENV) is a link, and making it anew would empty \
	  what it leads to; remove the link, or that environment))
	$(python) -m venv --clear $(VENV)
	awk '/^[^ ]/ {wanted = /^(setuptools|wheel)==/} wanted' $< > $(VENV)/build-tools.lock
	$(PIP_INSTALL) --require-hashes -r $(VENV)/build-tools.lock
	$(PIP_INSTALL) --require-hashes --no-build-isolation -r $<
	cp $< $@

# The project itself, so that tools/ find its packages.
$(VENV)/project: $(VENV)/$(LOCK) setup.cfg setup.py
	$(PIP_INSTALL) --quiet --no-build-isolation --use-pep517 --editable .
	touch $@

# $(call results,records,run,name) prints where a person finds what was made; $(4): more of it.
define results
@echo
@printf '%-42s%s\n' \
  'sample of the records, by finding:' '$(1)/samples.png' \
  'real images, rows as in the grids:' '$(2)/reals.png' \
  'last grid of training:' "$$(ls $(2)/fakes*.png | tail -n 1)" \
  'curves: $(BIN)/tensorboard --logdir' '$(2)' \
  'exported generator:' '$(2)/export/$(3)/1' \
  'images drawn from the export:' '$(2)/synthetic/sheet.png' $(4)
endef

# Drawn chests, a GAN of 32 px on them, its export, and images drawn from the export. A step whose
# result exists is left out; training, the long one, goes on where it was interrupted.
.PHONY: demo
demo: setup runs/phantom/synthetic/labels.csv
	$(BIN)/python tools/make_report.py runs/phantom records/phantom --output=runs/phantom.html \
	  --title='Demo: a GAN of drawn radiographs'
	$(call results,records/phantom,runs/phantom,phantom,'all of it on one page:' 'runs/phantom.html')

records/phantom/manifest.json: | setup
	$(BIN)/python tools/build_records.py --source=phantom --count=2000 --seed=1 --split_seed=1 \
	  --output=records/phantom --max_resolution=64

runs/phantom/export/phantom/1/saved_model.pb: | records/phantom/manifest.json
	$(BIN)/python tools/train_pgan.py --flagfile=phantom.flags
	$(BIN)/python tools/export_generator.py --run_dir=runs/phantom --output=runs/phantom/export \
	  --name=phantom --version=1

runs/phantom/synthetic/labels.csv: | runs/phantom/export/phantom/1/saved_model.pb
	$(BIN)/python tools/synthesize_images.py --export=runs/phantom/export/phantom/1 \
	  --output=runs/phantom/synthetic --uniform_class --count=140

# The whole paper on drawn hospitals, some hours; the same command continues.
.PHONY: study
study: setup
	$(BIN)/python tools/run_study.py --output=studies/phantom

# The same on real radiographs: 70/10/20 of the patients in DATA, a GAN of 64 px on the first part.
# The split is a function of its seed: whatever uses these images later has to give the same one.
ifneq ($(filter real,$(MAKECMDGOALS)),)
$(if $(and $(DATA),$(wildcard $(DATA)/.)),,$(error make real needs DATA=folder of ChestX-ray14 \
  (Data_Entry_2017*.csv and the images), which is not '$(DATA)'))
$(if $(RUNS),,$(error make real needs RUNS=folder for the records and the run))

.PHONY: real
real: setup $(RUNS)/nih_small/synthetic/labels.csv
	$(call results,$(RUNS)/nih_256,$(RUNS)/nih_small,nih_small)

$(RUNS)/nih_256/manifest.json: | setup
	$(BIN)/python tools/build_records.py --source=nih --input=$(DATA) --split_seed=1 \
	  --output=$(RUNS)/nih_256 --max_resolution=256

$(RUNS)/nih_small/export/nih_small/1/saved_model.pb: | $(RUNS)/nih_256/manifest.json
	$(BIN)/python tools/train_pgan.py --flagfile=nih_small.flags --records=$(RUNS)/nih_256 \
	  --run_dir=$(RUNS)/nih_small
	$(BIN)/python tools/export_generator.py --run_dir=$(RUNS)/nih_small \
	  --output=$(RUNS)/nih_small/export --name=nih_small --version=1

$(RUNS)/nih_small/synthetic/labels.csv: | $(RUNS)/nih_small/export/nih_small/1/saved_model.pb
	$(BIN)/python tools/synthesize_images.py --export=$(RUNS)/nih_small/export/nih_small/1 \
	  --output=$(RUNS)/nih_small/synthetic --uniform_class --count=140
endif

.PHONY: test
test: setup
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

.PHONY: test-all
test-all: setup
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile -m 'slow or not slow' $(PYTEST_ARGS)

.PHONY: lint
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: clean
clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -path ./.git -prune -o -name __pycache__ -type d -exec rm -rf {} +
