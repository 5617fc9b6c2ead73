# `make demo` and `make test` do everything by themselves. `make help` lists the targets.
SHELL := /bin/bash

.PHONY: help setup demo test lint docs-tables soak colcon clean

help:
	@echo 'make demo    set up, then follow a target through a real video over ROS 2, into runs/demo/'
	@echo '             VIDEO=clip.mp4 BOX=x,y,width,height: your own video and target'
	@echo 'make test    set up, then lint, types, unit tests and tests over a real ROS graph'
	@echo 'make setup   only set up .venv. Variables: PYTHON=python3.11, ROS_DISTRO_WHEELS=kilted,'
	@echo '             STM_TORCH=cuda, TORCH_INDEX=URL'
	@echo 'make lint    lint and types only'
	@echo 'make docs-tables   write what is made from the settings: docs/components.md, config/stm.yaml'
	@echo 'make soak    the tests that run for minutes and show that nothing grows'
	@echo 'make colcon  build with colcon into install/, against .venv or a sourced ROS 2'
	@echo 'make clean   remove .venv and everything built'

setup:
	@scripts/setup.sh

demo: setup
	.venv/bin/stm demo $(if $(VIDEO),--video '$(VIDEO)') $(if $(BOX),--box '$(BOX)')

test: setup
	scripts/test.sh lint unit graph

lint: setup
	scripts/test.sh lint

docs-tables: setup
	.venv/bin/python scripts/make_tables.py

soak: setup
	scripts/test.sh soak

colcon: setup
	scripts/colcon.sh

clean:
	rm -rf .venv build install log .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
