# fhirstore. `make serve` and `make test` need only Python >= 3.11 and make; everything else lands in .venv.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
HOST   ?= 127.0.0.1
PORT   ?= 8000
CORES  ?= 2
SEEDS  ?= 100000
START  ?= 0
STORES ?= memory embedded ministack seaweedfs
export HOST PORT
PACKAGES := hl7.fhir.r4.examples@4.0.1 hl7.fhir.r4b.core@4.3.0 hl7.fhir.r5.core@5.0.0
LOCK := --quiet --universal --generate-hashes --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help serve test matrix test-fast check fmt simulate bench sbom audit definitions lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / \t/' | expand -t 10

# The stamps make a second call instant: they are older than their lock files only after an install.
$(VENV)/serve.stamp: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fhirstore needs Python 3.11 or newer; name one: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/serve.stamp requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

serve: $(VENV)/serve.stamp ## serve FHIR at http://127.0.0.1:8000/fhir (HOST, PORT, FHIRSTORE_STORE; ARGS="--workers 2")
	@exec $(BIN)/fhirstore serve $(ARGS)

test: $(VENV)/dev.stamp ## the whole suite, real S3 servers included, on two cores (CORES=2 ARGS="-k probe")
	$(BIN)/pytest --numprocesses $(CORES) --dist loadfile $(ARGS)

matrix: $(VENV)/dev.stamp ## the HTTP suite on each kind of store, one after another (STORES="memory embedded ministack seaweedfs")
	@for store in $(STORES); do echo "$$store:"; $(BIN)/pytest tests/server -q --numprocesses $(CORES) --dist loadfile --store=$$store $(ARGS) || exit; done

test-fast: $(VENV)/dev.stamp ## what needs neither S3 servers nor killed processes nor much time: under 2 minutes
	$(BIN)/pytest -m "not slow and not s3 and not kill" $(ARGS)

check: $(VENV)/dev.stamp ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/dev.stamp ## format and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

simulate: $(VENV)/dev.stamp ## simulated schedules and every mutant (SEEDS=100000, START=0, JOBS=all cores)
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --start $(START) $(if $(JOBS),--jobs $(JOBS)) --mutants $(ARGS)

bench: $(VENV)/dev.stamp ## storage requests and round trips of each interaction, then CPU and rates, on each store (ARGS: of rates)
	$(BIN)/python -m tests.costs counts
	$(BIN)/python -m tests.costs resources
	$(BIN)/python -m conformance rates $(ARGS)

sbom: $(VENV)/dev.stamp ## the bill of materials of requirements.lock, CycloneDX JSON, to standard output
	@$(BIN)/python -m tests.supply_chain

audit: ## known weaknesses of the pinned packages (needs the network)
	$(PYTHON) -m venv $(VENV)/audit && $(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(VENV)/audit/bin/pip-audit --disable-pip --require-hashes --requirement requirements.lock

definitions: $(VENV)/dev.stamp ## the facts of each FHIR release again, from the official packages (needs npm and tar)
	@set -e; into=$$(mktemp -d); trap 'rm -rf "$$into"' EXIT; \
	for package in $(PACKAGES); do \
	  mkdir "$$into/$$package"; \
	  archive=$$(npm pack --silent --pack-destination "$$into" "$$package"); \
	  tar -xzf "$$into/$$archive" -C "$$into/$$package"; \
	done; \
	$(BIN)/python -m fhirstore.fhir.definitions.generate $(foreach package,$(PACKAGES),"$$into/$(package)")

lock: ## pin the newest allowed versions, with hashes, for every supported Python
	$(PYTHON) -m venv $(VENV)/uv && $(VENV)/uv/bin/python -m pip install --quiet uv
	$(VENV)/uv/bin/uv pip compile $(LOCK) --upgrade --extra conformance --extra dev pyproject.toml -o requirements-dev.lock
	$(VENV)/uv/bin/uv pip compile $(LOCK) -c requirements-dev.lock pyproject.toml -o requirements.lock
	sed -n 's/^requires = \["\(hatchling.*\)"\]$$/\1/p' pyproject.toml | $(VENV)/uv/bin/uv pip compile $(LOCK) --python-version 3.11 - -o docker/build.lock

clean: ## remove the virtual environment and caches (never data)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
