# make up      everything on this machine: broker, agent, collector, web page (ARGS="--for 30s")
# make test    the tests (ARGS="tests/agent -k config")
# make lint    what must be clean before a commit
# make setup   .venv with what the tests need, nothing more
# make fix     lets the formatters and ruff mend what they can
# make clean   forgets what was built; the virtual environment stays

BIN := .venv/bin
C_FILES = $(shell find native tests/native -name '*.[ch]')

.PHONY: up test lint fix setup clean

up:
	@scripts/bootstrap up
	@exec $(BIN)/xinmai up $(ARGS)

setup:
	@scripts/bootstrap test

# The tests that kill processes of a running system, or run it for long, are a stage of their own,
# with the crash laboratory: .ci/run crash
test: setup
	$(BIN)/pytest -m "not kill" --deselect tests/crashlab $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	clang-format --dry-run -Werror $(C_FILES)

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	clang-format -i $(C_FILES)

clean:
	rm -rf build dist native/build *.egg-info agent/*.egg-info native/xinmai_native/*.so plugins/xinmai_plugins/*/_abi.py
	rm -f .venv/.xinmai-installed
