# `make demo` and `make test` do everything by themselves. `make help` lists the targets.
SHELL := /bin/bash

.PHONY: help setup setup-console demo console test lint docs-tables soak fuzz colcon clean docs \
	reference figures pictures

help:
	@echo 'make demo    set up, then follow a target through a real video over ROS 2, into runs/demo/'
	@echo '             VIDEO=clip.mp4 BOX=x,y,width,height: your own video and target'
	@echo 'make console set up, then serve the page of a running stm_tracker on 127.0.0.1:8470'
	@echo 'make test    set up, then lint, types, documentation, unit tests, tests over a real ROS graph'
	@echo 'make setup   only set up .venv. Variables: PYTHON=python3.11, ROS_DISTRO_WHEELS=kilted,'
	@echo '             STM_TORCH=cuda, TORCH_INDEX=URL'
	@echo 'make lint    lint and types only'
	@echo 'make docs-tables   write what is made from the settings: docs/components.md, config/stm.yaml'
	@echo 'make soak    the tests that run for minutes and show that nothing grows'
	@echo 'make fuzz    10,000 examples of each kind of odd input (STM_FUZZ_EXAMPLES: another number)'
	@echo 'make colcon  build with colcon into install/, against .venv or a sourced ROS 2'
	@echo 'make docs    build the documentation into build/site; a dead link fails'
	@echo 'make reference, make figures, make pictures'
	@echo '             make the parts of the documentation that the tool writes; see CONTRIBUTING.md'
	@echo 'make clean   remove .venv and everything built'

setup:
	@scripts/setup.sh

setup-console:
	@scripts/setup.sh --console

console: setup-console
	.venv/bin/stm console

demo: setup
	.venv/bin/stm demo $(if $(VIDEO),--video '$(VIDEO)') $(if $(BOX),--box '$(BOX)')

test: setup-console
	scripts/test.sh lint docs unit graph

lint: setup
	scripts/test.sh lint

docs-tables: setup
	.venv/bin/python scripts/make_tables.py

soak: setup
	scripts/test.sh soak

fuzz: setup
	scripts/test.sh fuzz

colcon: setup
	scripts/colcon.sh

docs:
	scripts/docs.sh

reference: setup
	.venv/bin/python scripts/make_reference.py

figures: setup
	.venv/bin/python scripts/figures.py $(if $(ONLY),--only '$(ONLY)') $(if $(RENDER),--render) $(if $(DAVIS),--davis '$(DAVIS)')

pictures: setup-console
	.venv/bin/python scripts/pictures.py

clean:
	rm -rf .venv build install log .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
