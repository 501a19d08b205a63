# Everything starts here and needs only Python 3.11 with its venv module. PYTHON=... names another interpreter.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export PYTHON

BIN := .venv/bin
DISTRIBUTIONS := shared edge cloud deploy/local hil
# The longest first: three run beside each other.
SUITES := system edge terraform parts hil-bench chaos-sample cloud shared hil
# What half an hour has no room for.
LONG_SUITES := containers
JOBS := 3
RUNTIME := .venv/.runtime-is-in
TOOLS := .venv/.tools-are-in
MINISTACK := .venv-ministack/.is-in
CHAOS := tests/chaos tests/edge/test_outbox_bounds.py tests/edge/test_outbox_power_cut.py tests/benchmarks/test_bars.py
BENCH_TOOLS := .venv-bench/.is-in
PROJECTS := $(DISTRIBUTIONS:=/pyproject.toml)

# What was given on the command line goes to `evswap up`, and nothing else: a PORT in the environment means something else.
option = $(if $(filter command,$(firstword $(origin $(1)))),$(2) $($(1)))
UP_OPTIONS = $(call option,STATIONS,--stations) $(call option,INTERVAL,--interval) $(call option,PORT,--port) \
	$(call option,MQTT_PORT,--mqtt-port) $(call option,REPORTING,--reporting) $(call option,SPEED,--speed) \
	$(call option,BAYS,--bays)

.PHONY: help up down status logs stations stations-down hil-run zips component plots test release lint unit bench chaos checkov requirements clean
.PHONY: $(SUITES) $(LONG_SUITES)

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target line; do printf '  make %-13s %s\n' "$$target" "$$line"; done

up: $(RUNTIME) $(MINISTACK) ## AWS and ten stations on this machine [STATIONS=10 BAYS=8 SPEED=1 INTERVAL=5 PORT= MQTT_PORT= REPORTING=every-sample|on-change]
	@$(BIN)/evswap up $(UP_OPTIONS)

down: $(RUNTIME) ## stop what `make up` started; what was written stays
	@$(BIN)/evswap down

status: $(RUNTIME) ## what runs, and where
	@$(BIN)/evswap status

logs: $(RUNTIME) ## what the running parts say
	@$(BIN)/evswap logs

stations: $(RUNTIME) ## stations and a local AWS in containers [STATIONS=10 BASE_IMAGE=python:3.13-slim EVSWAP_PORT=4566]
	@$(BIN)/python deploy/docker/stations up $(or $(STATIONS),10)

stations-down: $(RUNTIME) ## stop the containers; their volumes stay
	@$(BIN)/python deploy/docker/stations down

hil-run: $(BENCH_TOOLS) $(RUNTIME) ## a station on a bench, through its suites; the stack is that of `make up` [BENCH=virtual SUITE=all]
	@EVSWAP_EDGE=$(BIN)/evswap-edge EVSWAP=$(BIN)/evswap .venv-bench/bin/evswap-hil run \
		--bench $(or $(BENCH),virtual) --suite $(or $(SUITE),all)

zips: $(RUNTIME) ## the functions' zips for AWS, one a target, into dist/
	@$(BIN)/evswap-cloud package --all
	@$(BIN)/evswap-cloud package --all --compactor

component: $(RUNTIME) ## the Greengrass component with its wheels [TARGETS="linux-aarch64-cp311 linux-aarch64-cp313"]
	@$(BIN)/python deploy/greengrass/build.py $(foreach target,$(or $(TARGETS),linux-aarch64-cp311 linux-aarch64-cp313),--target $(target))

plots: $(TOOLS) ## draw the simulated week of docs/images again
	@$(BIN)/evswap-edge simulate --plots docs/images

test: lint ## what every change has to pass, in under half an hour on two cores [JOBS=3]
	@$(MAKE) --no-print-directory --jobs=$(JOBS) --keep-going --output-sync=target $(SUITES)

lint: $(TOOLS) ## ruff, mypy --strict, import directions
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# A suite is an environment of tox. Those that wait most begin first; each prints when it ends.
$(SUITES) $(LONG_SUITES): $(TOOLS) $(MINISTACK)
	@echo "=== $@"
	@$(BIN)/tox run --quiet -e $@

release: export EVSWAP_RELEASE := true
release: test $(LONG_SUITES) bench chaos checkov ## all that there is, before a release: two hours

unit: shared edge cloud hil ## each distribution's unit tests, alone in an environment of its own

bench: $(TOOLS) ## the benchmarks at full length, each figure beside its floor
	EVSWAP_BENCH=full $(BIN)/pytest -s --timeout=900 tests/benchmarks

chaos: $(TOOLS) ## every bar of the edge at full length: schedules of faults, power cuts, full disks, weeks offline
	EVSWAP_CHAOS=full EVSWAP_BENCH=full $(BIN)/pytest -s --timeout=3600 $(CHAOS)

checkov: ## checkov over the Terraform, in an environment of its own: too large for `make test`
	@test -x .venv-checkov/bin/checkov || { $(or $(PYTHON),python3) -m venv .venv-checkov && .venv-checkov/bin/pip install -qq checkov==3.3.30; }
	@.venv-checkov/bin/checkov -d cloud/terraform --framework terraform --quiet --compact --skip-download \
		--var-file cloud/terraform/environments/prod.tfvars

requirements: $(TOOLS) ## lock requirements/*.in again [UPGRADE=1 for newer versions]
	@UV=$(BIN)/uv UPGRADE=$(UPGRADE) requirements/compile

clean: ## stop the stack, remove environments, caches and builds; what the stack wrote stays
	@if [ -x $(BIN)/evswap ]; then $(BIN)/evswap down; fi
	rm -rf deploy/greengrass/greengrass-build .venv .venv-ministack .venv-bench .venv-checkov .tox .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist reports
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environments. A stamp is newer than everything that it was made from.
$(RUNTIME): requirements/local.txt $(PROJECTS)
	@tools/bootstrap .venv requirements/local.txt shared edge cloud deploy/local
	@touch $@

$(TOOLS): requirements/dev.txt $(RUNTIME)
	@tools/bootstrap .venv requirements/dev.txt $(DISTRIBUTIONS)
	@touch $@

$(MINISTACK): requirements/ministack.txt
	@tools/bootstrap .venv-ministack requirements/ministack.txt
	@touch $@

$(BENCH_TOOLS): requirements/bench.txt shared/pyproject.toml hil/pyproject.toml
	@tools/bootstrap .venv-bench requirements/bench.txt shared hil
	@touch $@
