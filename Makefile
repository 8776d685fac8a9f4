# `make help` lists the targets. All of them run in .venv, which the first of them makes from the locked packages.
PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python -m
EMBEDDED := $(RUN) deploy.embedded
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help up down reset psql logs status env test test-compose coverage bench bench-quick bench-compare bench-lead bench-admin bench-idle bench-scale screenshots faults faults-nightly outage faults-quick schedules fuzz ledger doctor mail check fmt docs texts chart chart-upgrade alerts lock kafka-jars setup venv

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(READY) ## Start everything and stay until Ctrl-C (d=1: return when ready)
	@$(EMBEDDED) up $(if $(d),--detach)

down: $(READY) ## Stop everything, also what a crash left behind
	@$(EMBEDDED) down

reset: $(READY) ## Stop everything and forget the data (yes=1: do not ask)
	@$(EMBEDDED) reset $(if $(yes),--yes)

psql: $(READY) ## Open the database (q="SELECT ..." runs one query)
	@$(EMBEDDED) psql $(if $(q),-c "$(q)")

logs: $(READY) ## Follow one program's log: make logs s=persister (g=WORDS: only its lines with these words)
	@$(if $(g),for each in $(s); do $(EMBEDDED) logs $$each --no-follow --lines 100000; done | grep -E -e "$$g" || echo "no such line",$(EMBEDDED) logs $(or $(s),$(error say whose: make logs s=persister)))

status: $(READY) ## Say what runs
	@$(EMBEDDED) status

env: $(READY) ## Print the variables that point a service or a test at the running stack
	@$(EMBEDDED) env

test: $(READY) ## Run every test on real Kafka and PostgreSQL, two files at a time (a="-k word" narrows)
	@$(RUN) pytest -n 2 --dist loadfile --no-loadscope-reorder $(a)

test-compose: $(READY) ## Test the composed stack, with six containers of services and with one (needs docker compose)
	@$(RUN) pytest tests/compose/composed_stack.py tests/compose/one_process.py $(a)

coverage: $(READY) ## Run every test and report the lines that none runs
	@$(RUN) pytest --cov --cov-report=term-missing:skip-covered $(a)

bench: $(READY) ## Hold the speed of every stage against its limits and the usual ways, in 17 minutes (a="--only gateway")
	@$(RUN) tests.bench $(a)

bench-quick: $(READY) ## The same in five minutes, with too few turns for exact intervals
	@$(RUN) tests.bench --quick $(a)

bench-compare: $(READY) ## Say for two stored runs whether the intervals of each row overlap (a="one.json other.json")
	@$(RUN) tests.bench.compare_runs $(a)

bench-lead: $(READY) ## What a lead costs the gateway's process, in instructions (valgrind) and processor time (a="--only ours")
	@$(RUN) tests.bench.lead_cost $(a)

bench-admin: $(READY) ## Every query of the admin service at a million leads, with plans and times (a="--only audit")
	@$(RUN) tests.bench.admin $(a)

bench-idle: $(READY) ## What each process needs while no leads arrive: processor time, wake-ups, memory
	@$(RUN) tests.bench.idle $(a)

bench-scale: $(READY) ## What grows from 10,000 to a million leads: queries, writes, upkeep, room (LEADS=100000 for one size)
	@$(RUN) tests.bench.scale $(if $(LEADS),--leads $(LEADS)) $(a)

screenshots: $(READY) ## Take the pictures of the dashboard and of the emails anew (needs Chromium)
	@$(RUN) tests.support.mail.examples
	@$(RUN) tests.screenshots

ledger: $(READY) ## Compare what the topics hold with the tables, and name what is missing
	@set -a; eval "$$($(EMBEDDED) env)"; $(RUN) deploy.cli.ledger

mail: $(READY) ## Show an email, or send one to try it: make mail a="preview studio welcome" (docs/email.md)
	@set -a; eval "$$($(EMBEDDED) env)"; $(RUN) deploy.cli.mail $(a)

doctor: $(READY) ## Run the production checklist against what runs here (a=status: only show what fails now)
	@set -a; eval "$$($(EMBEDDED) env)"; $(RUN) deploy.cli.doctor $(a)

faults: $(READY) ## Break real things by seed and check every promise, for so long (MINUTES=120 SEED=1 FAMILY=name)
	@$(RUN) tests.faults --seed $(or $(SEED),1) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(MINUTES),--minutes $(MINUTES)) \
	  $(if $(FAMILY),--family $(FAMILY)) $(if $(PATIENCE),--patience $(PATIENCE)) $(if $(RECORD),--record $(RECORD)) $(a)

faults-nightly: $(READY) ## The same with the date as seed, and write docs/reliability.md (MINUTES=240)
	@$(RUN) tests.faults.runner.nightly --minutes $(or $(MINUTES),240) $(if $(PATIENCE),--patience $(PATIENCE)) $(a)

outage: $(READY) ## Kafka away for a minute under load, timed (how=stopped, killed or absent)
	@$(RUN) tests.faults.outage --how $(or $(how),stopped) $(a)

faults-quick: $(READY) ## One round of each family, as CI runs it
	@$(RUN) tests.faults --quick --parallel 2 --patience 3 $(a)

schedules: $(READY) ## Run the consumers on simulated brokers, in as many schedules as the time allows (MINUTES=10)
	@$(RUN) tests.schedules --minutes $(or $(MINUTES),10) $(a)

fuzz: $(READY) ## Send generated requests to a whole installation for ten minutes, and count every lead (MINUTES=10)
	@$(RUN) tests.fuzz --minutes $(or $(MINUTES),10) $(a)

check: $(READY) ## Commit subjects, lint, format, types, imports between layers, documents and chart up to date
	@! git rev-parse --git-dir >/dev/null 2>&1 || .githooks/commit-msg --since-last-tag
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/zizmor --offline --quiet --no-progress .github
	@$(RUN) deploy.generate.docs --check
	@$(RUN) deploy.generate.texts --check
	@$(RUN) deploy.generate.chart --at-hand

fmt: $(READY) ## Format, and mend what the linter can
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

docs: $(READY) ## Write the OpenAPI and AsyncAPI documents anew
	@$(RUN) deploy.generate.docs

texts: $(READY) ## Write the catalogues of the dashboard's texts anew
	@$(RUN) deploy.generate.texts

chart: $(READY) ## Lint the Helm chart, check what it renders and refuses (write=1 writes it); needs helm or go
	@$(RUN) deploy.generate.chart $(if $(write),,--check)
	@$(if $(write),,$(RUN) pytest -n 2 tests/chart/wrong_values.py tests/chart/upgrades.py)

chart-upgrade: $(READY) ## Upgrade what the chart renders from the previous release under load, and roll back (needs docker; helm or go)
	@$(RUN) tests.chart

alerts: $(READY) ## Check the alert rules and run their tests (needs promtool; fetches it on Debian)
	@$(RUN) deploy.generate.alerts

# The website's side needs Node.js; nothing else here does.
SITE_SOURCES := $(shell find site/kit/src site/example/app -type f) $(wildcard site/*.json site/*/*.json site/example/next.config.ts site/example/instrumentation.ts)
SITE_PACKAGES := site/node_modules/.package-lock.json
SITE_ENV = FASTCORE_URL=$${FASTCORE_URL:-http://localhost:8000} \
  FASTCORE_SITE_INGEST_TOKEN=$${FASTCORE_SITE_INGEST_TOKEN:-dev-token-xyz-123} \
  FASTCORE_SITE_QUEUE_TOKEN=$${FASTCORE_SITE_QUEUE_TOKEN:-dev-queue-token-xyz-123}
export NEXT_TELEMETRY_DISABLED := 1

.PHONY: site-up site-build site-check site-fresh fastcore-js release-dry-run version

site-up: site-build ## Run the example website before `make up`, on http://localhost:3000
	@cd site/example && $(SITE_ENV) ../node_modules/.bin/next start --port $${PORT:-3000}

site-build: site/example/.next/BUILD_ID ## Build the site kit and the example website

site-check: site/kit/dist/index.js ## Test, type-check and lint the site kit and the example website
	@cd site && npm test && npm run typecheck && npm run lint

site-fresh: $(READY) site/kit/dist/index.js ## Check the kit as a package; build its README's pages on fresh Next.js 15, 16 and SvelteKit sites, and post their forms (registry)
	@$(RUN) pytest tests/fresh/fresh_sites.py $(a)

fastcore-js: $(SITE_PACKAGES) ## Build the script that the gateway serves to web pages (site-check compares it)
	@cd site && npm run --silent script

release-dry-run: $(READY) $(SITE_PACKAGES) ## Build what a release publishes, except the image, into dist (docs/releasing.md)
	@$(RUN) deploy.release build $(a)

version: $(READY) ## Write the version into every file that has it: make version v=1.2.3
	@$(RUN) deploy.release set $(or $(v),$(error say which: make version v=1.2.3))

site/example/.next/BUILD_ID: site/kit/dist/index.js $(SITE_SOURCES)
	@cd site && npm run build --workspace example

site/kit/dist/index.js: $(SITE_PACKAGES) $(SITE_SOURCES)
	@cd site && npm run build --workspace kit
	@touch $@

$(SITE_PACKAGES): site/package-lock.json
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 9) ? 0 : 1)' || { \
	  echo "The website's side needs Node.js 20.9 or newer with npm: see https://nodejs.org, or your system's package nodejs" >&2; exit 1; }
	@cd site && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

UV_COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet

lock: ## Resolve the dependencies anew (needs uv)
	@$(UV_COMPILE) pyproject.toml -o requirements.lock
	@$(UV_COMPILE) --group mailbox -c requirements.lock -o requirements-mailbox.lock
	@$(UV_COMPILE) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

kafka-jars: $(READY) ## Resolve Kafka's jars anew and lock their hashes
	@$(RUN) deploy.embedded.servers.kafka_jars

setup: $(READY) ## Prepare a checkout to work on: .venv, and a hook that checks commit messages (yes=1: do not ask)
	@if [ -n "$(yes)" ] || { printf "Check the subject of each commit message with a git hook? [Y/n] "; read -r a; [ "$$a" != n ]; }; then \
	  git config core.hooksPath .githooks && echo "The hook is set. To remove it: git config --unset core.hooksPath"; fi

venv: $(READY) ## Make .venv, as every other target does when it must

# Stamped last: an installation that was interrupted is repeated.
$(READY): requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "FASTCore needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@[ -x $(BIN)/pip ] || { echo "Making .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv .venv; }
	@echo "Installing the locked packages (about a minute the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	@touch $@
