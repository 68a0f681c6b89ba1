# `make` alone lists the targets. Everything local lies in .venv and .perennial.

.DEFAULT_GOAL := help
.PHONY: help run stop check-sources evaluate-recommender test check bench acceptance lock clean venv venv-dev

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV_PYTHON := .venv/bin/python
INSTALL := $(PYTHON) include/perennial/demo/install.py
export PYTHONPATH := include

# What evaluate-recommender is told on the command line, and not by the environment.
NAMES := DATA ITEMS SPLIT FROM MIN_RATING TIME_FORMAT OUT \
	CUSTOMER ITEM TIME ORDER RATING QUANTITY PRICE PAID TITLE CATEGORY BRAND
SAID = $(foreach name,$(NAMES),$(if $(findstring command,$(origin $(name))),'$(name)=$($(name))'))

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: venv ## install, start Airflow and MLflow, run the demo shop's days, say what came of it
	@$(VENV_PYTHON) -m perennial.demo run

stop: ## end Airflow, MLflow and every child
	@if [ -x $(VENV_PYTHON) ]; then $(VENV_PYTHON) -m perennial.demo stop; else echo "Nothing is installed."; fi

check-sources: venv ## try sources.yaml on a day, publish nothing; DAY=2024-05-02 [TABLE=events] [ROWS=1000]
	@$(VENV_PYTHON) -m perennial.demo.check_sources "$(DAY)" "$(TABLE)" "$(ROWS)"

evaluate-recommender: venv ## try the recommender on your own table; DATA=purchases.csv [ITEMS=items.csv] (docs/any_data.md)
	@$(VENV_PYTHON) -m perennial.demo.evaluate_recommender $(SAID)

test: venv-dev ## run all tests
	@$(VENV_PYTHON) -m pytest -n 2 --dist loadfile

check: venv-dev ## ruff (lint and format) and mypy
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@$(VENV_PYTHON) -m mypy

bench: venv-dev ## run the benchmarks; ONLY=name runs one
	@PYTHONPATH=include:. $(VENV_PYTHON) -m tests.benchmarks $(ONLY)

acceptance: venv-dev ## run the acceptance runs of the issues; ONLY=name runs one
	@PYTHONPATH=include:. $(VENV_PYTHON) -m tests.acceptance $(ONLY)

lock: ## make constraints.txt again from requirements*.txt
	@$(INSTALL) lock

clean: ## stop, and remove the local state, if the folder holds nothing else
	@if [ -x $(VENV_PYTHON) ]; then $(VENV_PYTHON) -m perennial.demo clean; else $(PYTHON) -m perennial.demo.state_folder; fi

venv:
	@$(INSTALL) run

venv-dev:
	@$(INSTALL) dev
