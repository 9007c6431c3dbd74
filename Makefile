# What a person types in a checkout. Every target first makes ready what it needs (packaging/bootstrap).

BIN := .venv/bin
REPORTS := .run/reports
# Of so many processes, STORIES take first what mostly waits (tests/lanes.py).
PROCESSES := 5
STORIES := 3
FUZZ := 100
MEASURED := --cov --cov-report= --cov-fail-under=0
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

.DEFAULT_GOAL := help
.PHONY: help demo run test check format messages soak fuzz bench deb deb-test lock audit clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## Run everything privately, deliver a dozen mails, show the events (DEMO_EXIT=1: then stop)
	@packaging/bootstrap demo
	@exec $(BIN)/python -m deploy.demo.demo

run: ## Run the daemons privately for development; ^C stops them (REDIS_PORT, IMAP_PORT, FLOWER_PORT, ADMIN_PORT)
	@packaging/bootstrap demo
	@exec $(BIN)/python -m deploy.demo.run

test: ## The whole suite on real servers, with coverage (TESTS=tests/unit: a part, without)
	@packaging/bootstrap test
ifdef TESTS
	@exec $(BIN)/pytest $(TESTS)
else
# The packages are built meanwhile; what is wrong with that, their own tests report. What must be alone comes last: its
# summary counts both runs, and so does the coverage.
	@packaging/build-deb --worktree >.run/packages.log 2>&1 & \
	  export SUITE_BEGAN=$$(date +%s); \
	  $(BIN)/pytest -n $(PROCESSES) --stories $(STORIES) --dist loadfile -m "not alone" $(MEASURED) \
	    --write-reports=$(REPORTS); first=$$?; \
	  [ $$first -le 1 ] || exit $$first; \
	  $(BIN)/pytest -m alone --cov --cov-append --cov-report=term --add-reports=$(REPORTS) tests/package && exit $$first
endif

check: ## What to run before each commit: format, lint, types, layers, unit tests
	@packaging/bootstrap
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	cd packaging && MYPYPATH=.. ../$(BIN)/mypy --config-file ../pyproject.toml *.py
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 2 tests/unit

format: ## Let the formatter and the linter mend what they can
	@packaging/bootstrap
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

messages: ## Bring the catalogue of translations in step with the words that pages show
	@packaging/bootstrap
	@exec $(BIN)/python -m tests.catalogue

soak: ## Thousands of mails through real daemons while everything breaks in turn (SOAK="--seed 7 --database sqlite")
	@packaging/bootstrap test
	@exec $(BIN)/python -m tests.soak $(SOAK)

fuzz: ## The generated tests, FUZZ times as long as in the suite: an hour
	@packaging/bootstrap test
	@FUZZ=$(FUZZ) exec $(BIN)/pytest -n 2 -o timeout=0 tests/unit/mime/test_any_bytes.py tests/integration/test_api_schema.py

bench: ## Measure mails per second, and how long pages take with a million of them: 20 minutes
	@packaging/bootstrap test
	@exec $(BIN)/python -m tests.bench

deb: ## Build the packages for Debian 12 and 13 into dist/
	@packaging/build-deb

deb-test: ## The packages' lint, installation, removal, purge and reproducibility
	@packaging/test-deb

lock: ## Resolve the dependencies of pyproject.toml and packaging/npm anew, with hashes
	@packaging/bootstrap
	$(COMPILE) -o packaging/requirements.lock pyproject.toml
	$(COMPILE) --extra dev -c packaging/requirements.lock -o packaging/requirements-dev.lock pyproject.toml
	packaging/static lock

audit: ## Known vulnerabilities of what is locked (ends with 3 where the data cannot be reached)
	@packaging/bootstrap
	@exec $(BIN)/python packaging/audit.py

clean: ## Remove what the targets above have made, the demo's mail included
	rm -rf .venv .run concord/web/vendor .coverage .coverage.* .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist
	find logs -type f ! -name .gitkeep -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
