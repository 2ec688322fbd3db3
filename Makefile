# Each target makes what it needs, such as the virtual environment.
# On Debian: apt install python3 python3-venv make

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.DEFAULT_GOAL = help
.PHONY: help demo run test coverage bench-test browser-test chaos-test chaos-report test-forky test-floors check format fuzz asterisk-test container-test bench soak lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/gateway  ## hold a call in the terminal; writes demo-output/call.html and call.wav
	$(BIN)/audiosocket-gw demo

run: $(VENV)/gateway  ## answer Asterisk's calls, with the settings from the environment and .env
	$(BIN)/audiosocket-gw serve

# Most tests wait, for audio in real time or for processes: more of them than cores run at once.
# On a slow machine AUDIOSOCKET_GW_TEST_PATIENCE=3 multiplies the time limits of the tests.
JOBS ?= 6

TEST = $(BIN)/python -m pytest -m "not asterisk and not container and not load and not chaos and not browser" \
	--numprocesses=$(JOBS) --dist=worksteal

test: $(VENV)/development  ## run all tests that need neither Asterisk nor Docker
	$(TEST)

# Slow before Python 3.14, which counts lines at almost no cost: .ci/run measures it there, by test-forky.
coverage: $(VENV)/development  ## run the same tests, and measure which lines they reach
	$(TEST) --cov --cov-report=term --cov-fail-under=95

bench-test: $(VENV)/development  ## run the tests of the benchmark, which load the machine for minutes (needs cc)
	$(BIN)/python -m pytest -m load

# The pages as people see them: what the tests looked at is in browser-output/.
browser-test: $(VENV)/development  ## use the pages in a headless Chromium (Debian: apt install chromium)
	AUDIOSOCKET_GW_REQUIRE_BROWSER=1 $(BIN)/python -m pytest -m browser

chaos-test: $(VENV)/development  ## attack a gateway beside 50 good calls; 15 minutes (needs cc and two cores)
	$(BIN)/python -m pytest -m chaos

chaos-report: $(VENV)/development  ## write the results of the last chaos-test into docs/reliability.md
	$(BIN)/python -m tests.chaos.report

test-forky:  ## run the tests on Debian forky's Python, 3.14, with their coverage (root, Debian; PYTHON=python3.15 for the next one)
	sh tests/on_forky.sh PYTHON=$(PYTHON)

test-floors: $(BIN)/uv  ## run the tests with the oldest versions that pyproject.toml admits (Python 3.11)
	$(PYTHON) -m venv --clear build/floors
	$(BIN)/uv pip install --quiet --python build/floors/bin/python --resolution lowest-direct --editable '.[dev]'
	touch build/floors/development
	$(MAKE) test VENV=build/floors

check: $(VENV)/development  ## lint, formatting, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/development  ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# What breaks a target is written to fuzz-output/.
fuzz: MINUTES ?= 5
fuzz: $(VENV)/fuzz  ## search for input that breaks something: for MINUTES=5 by coverage, then by properties
	$(BIN)/python -m tests.fuzz.run --minutes $(MINUTES)
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -m hypothesis

# ASTERISK=DIR: a tree with another Asterisk, / for this machine's own. Tests that its release can't pass are skipped.
asterisk-test: $(VENV)/development  ## place calls on a real Asterisk 22 (Debian, root; the first run installs it)
	AUDIOSOCKET_GW_REQUIRE_ASTERISK=1 AUDIOSOCKET_GW_ASTERISK=$(abspath $(ASTERISK)) $(BIN)/python -m pytest -m asterisk

container-test: $(VENV)/development  ## build and run the images with a real Docker (Debian, root; the first run installs it)
	AUDIOSOCKET_GW_REQUIRE_CONTAINERS=1 $(BIN)/python -m pytest -m container

bench: $(VENV)/development  ## measure the cost of a call, compared with a relay in C (needs cc and two cores)
	$(BIN)/python benchmarks/run.py

soak: MINUTES ?= 60
soak: CALLS ?= 200
soak: $(VENV)/development  ## hold CALLS=200 mixed calls for MINUTES=60: does anything grow? (needs cc and two cores)
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES) --calls $(CALLS)

lock: $(BIN)/uv  ## update requirements/*.txt: the newest versions that pyproject.toml admits, with hashes
	UV=$(BIN)/uv PYTHON=$(BIN)/python sh scripts/lock.sh

clean:  ## remove the files of the other targets
	rm -rf $(VENV) demo-output bench-output browser-output chaos-output fuzz-output build *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(BIN)/uv: | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# Install exactly the locked files, then the package itself, without network access. With --no-deps, as the list is
# complete: otherwise pip 23 takes `coverage[toml]` for another package than `coverage`, and asks the index for it.
define install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		$(addprefix --requirement ,$(filter %.txt,$^))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check --disable-pip-version-check >/dev/null
endef

$(VENV)/gateway: pyproject.toml requirements/build.txt requirements/runtime.txt | $(VENV)/bin/python
	$(install)
	@touch $@

$(VENV)/development: pyproject.toml requirements/build.txt requirements/development.txt | $(VENV)/bin/python
	$(install)
	@touch $(VENV)/gateway $@

# Beside what is installed, as few Pythons and platforms have it.
$(VENV)/fuzz: requirements/fuzz.txt | $(VENV)/development
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement $<
	@touch $@
