# Everything runs in .venv. The machine needs Python 3.10 or later, and nothing else.
PYTHON ?= python3
WORKERS ?= auto
BIN := .venv/bin
UV := $(BIN)/uv pip
CACHE := $(or $(SANDSCOPE_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sandscope)
export SANDSCOPE_CACHE := $(CACHE)
INPUTS := Makefile pyproject.toml requirements.lock $(wildcard instrumentations/*/pyproject.toml) \
	$(wildcard src/sandscope/_deferred/native/*) \
	collector-config/pyproject.toml $(wildcard collector-config/*.py collector-config/distribution/*)

.DEFAULT_GOAL := help
.PHONY: help setup torch demo test test-pythons test-faults check bench fuzz audit wheels release collector browser stores docs pictures lock clean

help: ## list the recipes
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: .venv/.ready ## install everything into .venv (the first time, it compiles the Collector: 3 minutes)

.venv/.ready: $(INPUTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	$(UV) install --quiet --require-hashes -r requirements.lock
	@rm -rf build src/sandscope/_deferred/_native*.so # if compilation fails, no old extension must remain
	$(UV) install --quiet --no-deps --no-build-isolation --reinstall-package sandscope \
		-e . $(addprefix -e ,$(dir $(wildcard instrumentations/*/pyproject.toml)))
	@cd collector-config && ../$(BIN)/python -c 'import build_otelcol as b; b.cached_path().is_file() or b.find_go() or exit(1)' || $(CURDIR)/$(UV) install --quiet --group ../pyproject.toml:go
	$(BIN)/python collector-config/build_otelcol.py
	$(UV) install --quiet --no-deps --no-build-isolation --reinstall-package sandscope-collector -e ./collector-config
	@touch $@

torch: setup ## install torch (5 GB with CUDA; UV_TORCH_BACKEND=cpu makes it small)
	@$(BIN)/python -c 'import torch' 2>/dev/null || { echo 'installing torch (large)'; $(UV) install --group torch; }

demo: setup ## run examples/one_trace and show the telemetry that arrived (STORES=native, TORCH=1)
	$(if $(filter 1,$(TORCH)),@$(MAKE) --no-print-directory torch)
	$(if $(filter native,$(STORES)),@$(MAKE) --no-print-directory stores)
	$(BIN)/python -m examples.one_trace $(if $(STORES),--stores $(STORES))

test: setup ## run the tests, including those of the stores and of torch if installed (ARGS=path)
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadgroup --no-loadscope-reorder $(ARGS)

test-pythons: setup ## run the tests on the oldest and the newest Python, and with the oldest dependencies
	$(BIN)/nox $(ARGS)

check: setup ## check lint, format, types and the order of the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## measure the cost of instrumentation, as ratios
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: setup ## send broken and huge requests to the Collector for twice 5 minutes (FUZZ_SECONDS, FUZZ_SEED)
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),300) FUZZ_SEED=$(or $(FUZZ_SEED),1) $(BIN)/python -m pytest -s tests/collector/test_fuzz.py

audit: setup ## check what is bundled for known vulnerabilities (needs vuln.go.dev and PyPI)
	$(BIN)/python collector-config/audit.py

test-faults: setup ## kill and stop everything under load, and look for what is lost (ARGS="--short --seed N --only FAULT")
	$(BIN)/python -m benchmarks.faults $(ARGS)

wheels: setup ## build the wheels of every platform into dist/, and inspect them (ARGS="--platform linux-x86_64 --python 3.11")
	@$(BIN)/python -c 'import ziglang' 2>/dev/null || $(UV) install --quiet --group wheels
	$(BIN)/python -m release.build $(ARGS)
	$(BIN)/python -m release.inspection

release: setup ## build and inspect all that a release publishes, with a Python of each version (TAG=v1.2.3)
	$(BIN)/uv python install --quiet 3.10 3.11 3.12 3.13 3.14
	$(MAKE) --no-print-directory wheels
	$(BIN)/python -m release.inspection --complete --tag "$(TAG)"

collector: setup ## build the sandscope-collector wheel into dist/
	$(BIN)/uv build --quiet --wheel --out-dir dist collector-config
	@ls dist/sandscope_collector-*.whl

browser: ## build the npm package of browsers into instrumentations/browser/dist (needs Node 20)
	cd instrumentations/browser && npm ci --no-audit --no-fund --loglevel error && npm run --silent build

stores: setup ## build Prometheus, Jaeger and Loki into the cache (20 minutes the first time)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sandscope stores build

docs: setup ## generate docs/reference.md, docs/documents.md, the dashboards and the contract of browsers
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/browser_contract.py
	$(BIN)/python docs/documents.py
	$(BIN)/python collector-config/grafana/dashboards.py
	$(BIN)/python collector-config/kubernetes/operator_resources.py

pictures: setup ## take the README's pictures of the page (needs Chromium)
	$(BIN)/python docs/pictures.py

lock: ## update requirements.lock
	$(UV) compile --quiet --universal --python-version 3.10 --generate-hashes --no-header \
		--group dev pyproject.toml -o requirements.lock

clean: ## remove what was built in this folder, but not the caches
	rm -rf .venv dist build instrumentations/browser/dist instrumentations/browser/node_modules .mypy_cache .ruff_cache .pytest_cache sandscope-data
