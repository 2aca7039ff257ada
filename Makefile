# Everything a contributor runs. `make help` lists it; each target sets up what it needs on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA_DIR ?= data
ARGS ?=
USABLE := import pip, sys; sys.exit(sys.version_info < (3, 11))
COVERED := tests/unit tests/api tests/contract tests/e2e
JOBS ?= auto

.DEFAULT_GOAL := help
.PHONY: help serve test check conformance contract keystone glance glanceclient horizon azurite mutants bench coverage release site docs redoc clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One virtual environment, filled as far as a target needs it: server, then test, then check.
# A Python that is too old is refused before anything is installed; a half-made environment is made anew.
$(VENV)/.%: pyproject.toml
	@$(BIN)/python -c '$(USABLE)' 2>/dev/null || { \
	  $(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Tintype needs Python 3.11 or later; $(PYTHON) is %d.%d. Try: make $(MAKECMDGOALS) PYTHON=python3.13" % sys.version_info[:2])' && \
	  $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing tintype[$*] into $(VENV) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[$*]'
	@touch $@

serve: $(VENV)/.server ## Start the service; DATA_DIR=data keeps its files, ARGS='--port 9292' its options
	@exec $(BIN)/tintype serve --data-dir $(DATA_DIR) $(ARGS)

test: $(VENV)/.test ## Run the tests; ARGS='tests/unit -k name' selects some, REQUIRE=postgresql,ceph (or all) adds those that need servers
	@REQUIRE='$(REQUIRE)' $(BIN)/pytest -q -n $(JOBS) $(ARGS)

check: $(VENV)/.check ## Lint, types, house rules, the documentation site
	@$(BIN)/ruff format --check --quiet . || { echo "Run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/pytest -q tests/house
	@$(BIN)/zensical build --strict >/dev/null 2>.site.log || { cat .site.log; exit 1; }

conformance: $(VENV)/.server ## Run OpenStack's acceptance tests (tempest) of the image API
	@PYTHON=$(PYTHON) tools/conformance.sh $(ARGS)

contract: $(VENV)/.test ## Run the API tables against another image service: URL=… TOKEN=… or AUTH=headers
	@CONTRACT_URL=$(URL) CONTRACT_TOKEN=$(TOKEN) CONTRACT_AUTH=$(AUTH) $(BIN)/pytest -q tests/contract/test_tables.py $(ARGS)

keystone: .venv-keystone/.ready ## Install a Keystone for the tests that need one

.venv-keystone/.ready:
	@test -x .venv-keystone/bin/python || $(PYTHON) -m venv .venv-keystone
	@echo "Installing Keystone into .venv-keystone …"
	@.venv-keystone/bin/python -m pip install -qq --disable-pip-version-check 'keystone>=27,<40' 'waitress>=3,<4'
	@touch $@

glance: .venv-glance/.ready ## Install a Glance for the tests of migration and comparison

.venv-glance/.ready:
	@test -x .venv-glance/bin/python || $(PYTHON) -m venv .venv-glance
	@echo "Installing Glance into .venv-glance …"
	@.venv-glance/bin/python -m pip install -qq --disable-pip-version-check 'glance>=30,<40' 'waitress>=3,<4' \
	  'psycopg2-binary>=2.9,<3' 'pymysql>=1.1,<2'
	@touch $@

glanceclient: .venv-glanceclient/.ready ## Install python-glanceclient 3.2, which older clouds still run

.venv-glanceclient/.ready: $(VENV)/.test
	@echo "Installing python-glanceclient 3.2 into .venv-glanceclient …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --target .venv-glanceclient \
	  'python-glanceclient>=3.2,<3.3' # on what the newest one needs
	@touch $@

horizon: .venv-horizon/.ready ## Install a Horizon to compare the dashboard's REST API with

.venv-horizon/.ready:
	@test -x .venv-horizon/bin/python || $(PYTHON) -m venv .venv-horizon
	@echo "Installing Horizon into .venv-horizon …"
	@.venv-horizon/bin/python -m pip install -qq --disable-pip-version-check 'Django>=4.2,<6' 'futurist>=3,<4' \
	  'openstacksdk>=4.5,<5' 'osprofiler>=4,<5' 'python-cinderclient>=9,<10' 'python-glanceclient>=4.10,<5' \
	  'python-keystoneclient>=5.6,<7' 'python-novaclient>=18,<19' 'python-swiftclient>=4.8,<5' \
	  'semantic-version>=2.10,<3'
	@.venv-horizon/bin/python -m pip install -qq --disable-pip-version-check --no-deps 'horizon>=27,<28' # no page, no styles
	@touch $@

azurite: .azurite/.ready ## Install Azurite, which emulates Azure Blob Storage, for the tests of that store

.azurite/.ready:
	@echo "Installing Azurite into .azurite …"
	@mkdir -p .azurite && npm install --silent --no-audit --no-fund --prefix .azurite 'azurite@^3.37.0'
	@touch $@

mutants: $(VENV)/.mutation ## Change the code at random and check that tests fail; ARGS='src/tintype/domain/patch.py --sample 10'
	@$(BIN)/python tools/mutants.py $(ARGS)

bench: $(VENV)/.test ## Measure Tintype and Glance side by side; results go to benchmarks/results
	@$(BIN)/python benchmarks/bench.py $(ARGS)
	@$(BIN)/python benchmarks/transfers.py $(ARGS)
	@$(BIN)/python benchmarks/clients.py

coverage: $(VENV)/.coverage ## Measure the coverage of the tests and their processes; ARGS='tests/unit' selects some
	@$(BIN)/coverage erase
	@REQUIRE='$(REQUIRE)' $(BIN)/coverage run -m pytest -q -n $(JOBS) $(or $(ARGS),$(COVERED))
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report $(if $(ARGS),--fail-under=0)

release: $(VENV)/.release ## Build and check sdist, wheel and SBOM in dist, and tag the version
	@$(BIN)/python tools/release.py $(ARGS)

site: $(VENV)/.docs docs/assets/mermaid.js ## Build the documentation site, strictly, and serve it at http://127.0.0.1:8000
	@$(BIN)/zensical build --clean --strict
	@exec $(BIN)/zensical serve $(ARGS)

# The script that draws diagrams: the theme would have each reader fetch it from a CDN.
docs/assets/mermaid.js:
	@mkdir -p docs/assets .npm
	@npm pack --silent --pack-destination .npm '@mermaid-js/tiny@11.17.2' >/dev/null
	@tar --extract --gzip --to-stdout --file .npm/mermaid-js-tiny-11.17.2.tgz package/dist/mermaid.tiny.js >$@
	@rm -r .npm

docs: $(VENV)/.check ## Generate docs/reference and the blocking client from the code
	@$(BIN)/python tools/blocking.py
	@$(BIN)/python tools/reference.py

# The page of the API's document. Its only picture from elsewhere becomes an empty one.
redoc: ## Fetch Redoc, which shows the API's document at /docs, from npm
	@mkdir -p .npm
	@npm pack --silent --pack-destination .npm 'redoc@2.5.4' >/dev/null
	@tar --extract --gzip --directory .npm --file .npm/redoc-2.5.4.tgz package/LICENSE package/bundles
	@cat .npm/package/LICENSE .npm/package/bundles/redoc.standalone.js.LICENSE.txt >src/tintype/api/static/redoc.LICENSE.txt
	@sed 's|https://cdn.redoc.ly/redoc/logo-mini.svg|data:,|' .npm/package/bundles/redoc.standalone.js >src/tintype/api/static/redoc.standalone.js
	@rm -r .npm

clean: ## Delete virtual environments and caches, not the data
	rm -rf $(VENV) .coverage* dist site .site.log .cache docs/assets .venv-keystone .venv-glance .venv-glanceclient .venv-horizon .azurite mutants .browser .conformance .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
