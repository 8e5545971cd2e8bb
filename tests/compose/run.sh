#!/usr/bin/env bash
# `make compose-test`: docker-compose.yml with real containers, in a container engine and a network of its own.
#
# Usage, as root: run.sh FOLDER_OF_THE_BUILT_PROGRAMS
#
# Exit code: 0 all as it should be, 1 something is not, 77 no container engine can run here.
set -euo pipefail
built=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p target/compose
work=$(realpath target/compose)

say() { echo "compose-test: $*"; }
cannot() {
	say "cannot run here: $*" >&2
	exit 77
}

# Once more with namespaces: ports 80 and 443 are free there, the firewall is nobody else's, and whatever still
# runs in the end goes with the first process.
if [[ ${COMPOSE_TEST_INSIDE-} != 1 ]]; then
	[[ $(id -u) == 0 ]] || cannot "it needs root"
	unshare --net --mount --pid --fork --kill-child --mount-proc true 2>/dev/null ||
		cannot "this machine gives no namespaces (unshare)"
	COMPOSE_TEST_INSIDE=1 exec unshare --net --mount --pid --fork --kill-child --mount-proc \
		"${BASH_SOURCE[0]}" "$built"
fi
ip link set lo up

engine() {
	export DOCKER_HOST=unix://$work/engine.sock
	# What is left of an engine that was killed: its process ids mean others here.
	rm -rf "$work/engine.pid" "$work/run"
	# --bridge=none: every network is one of the compose file.
	dockerd --data-root "$work/engine" --exec-root "$work/run" --pidfile "$work/engine.pid" \
		--host "$DOCKER_HOST" --bridge none >"$work/engine.log" 2>&1 &
	local dockerd=$!
	for _ in {1..100}; do
		docker version >/dev/null 2>&1 && return
		kill -0 "$dockerd" 2>/dev/null || break
		sleep 0.3
	done
	cannot "no container engine starts ($(tail -n 1 "$work/engine.log" | tr -d '\n'))"
}

# What somebody does who follows deploy/compose/README.md, in a copy of what they would have.
project() {
	rm -rf "$work/project"
	# A clone that is its owner's alone.
	umask 077
	mkdir -p "$work/project/deploy/compose"
	cp docker-compose.yml "$work/project/"
	cp tests/compose/override.yml "$work/project/docker-compose.override.yml"
	cp -r deploy/compose/{caddy,portcullis,setup.sh} "$work/project/deploy/compose/"
	cd "$work/project"
	sed -e "s/^DOMAIN=.*/DOMAIN=$domain/" -e 's/^OIDC_CLIENT_ID=.*/OIDC_CLIENT_ID=portcullis/' \
		-e 's/^BIND_ADDRESS=.*/BIND_ADDRESS=127.0.0.1/' "$OLDPWD/.env.example" >.env
	deploy/compose/setup.sh
	openssl rand -hex 32 | tee client_secret >deploy/compose/secrets/oidc_client_secret
	chmod 0444 client_secret
	umask 022
}

# Ends the test. What the containers said is kept.
failed() {
	compose logs --no-color >"$work/containers.log" 2>&1 || true
	say "failed: $*; the containers' logs are in $work/containers.log" >&2
	exit 1
}

compose() { docker-compose --project-name portcullis "$@"; }

up() {
	compose up --detach --no-build "$@" 2>"$work/up.log" || { cat "$work/up.log" >&2; exit 1; }
}

# Waits for a command to succeed; says the container's last words when it does not.
wait_for() { # CONTAINER COMMAND... (at most 60 s)
	local container=$1
	shift
	for _ in {1..200}; do
		"$@" >/dev/null 2>&1 && return
		sleep 0.3
	done
	failed "$container: gave up waiting for: $*"
}

healthy() {
	[[ $(docker inspect --format '{{.State.Health.Status}}' "$(compose ps -q "$1")") == healthy ]]
}

# From within a container: can this address be connected to?
connects() { # CONTAINER HOST PORT
	compose exec -T "$1" timeout 3 bash -c "exec 3<>/dev/tcp/$2/$3" 2>/dev/null
}

expect() { # WHAT COMMAND...
	local what=$1
	shift
	if "$@"; then say "ok: $what"; else failed "$what"; fi
}
refuse() { ! "$@"; }
quietly() { "$@" >/dev/null; }

# Caddy signs names below `home.arpa` by itself; those below `localhost` are loopback in every container.
domain=house.home.arpa
login=$built/examples/compose_login
engine
say "the engine runs; making images"
tests/compose/images.sh "$built" "$work"
project
trap 'compose down --volumes --timeout 5 >"$work/down.log" 2>&1 || true' EXIT

say "starting what the README starts first"
up caddy pocket-id
root=deploy/compose/data/caddy/caddy/pki/authorities/local/root.crt
wait_for caddy test -s "$root"
install -m 0444 "$root" deploy/compose/portcullis/caddy-root.crt
sed -i 's|^\[oidc\]$|&\nca_file = "/etc/portcullis/caddy-root.crt"|' deploy/compose/portcullis/portcullis.toml
up
wait_for portcullis healthy portcullis
wait_for redis healthy redis
say "ok: portcullis and redis are healthy"

expect "check takes the configuration" quietly compose exec -T portcullis portcullis check
expect "a snippet for Caddy is printed" quietly compose exec -T portcullis portcullis snippet caddy

"$login" "https://whoami.$domain/" deploy/compose/portcullis/caddy-root.crt \
	docker-compose --project-name portcullis restart redis portcullis || failed "the login"

expect "Caddy reaches /verify" connects caddy portcullis 9191
expect "an app does not" refuse connects whoami 172.30.91.3 9191
expect "Redis does not" refuse connects redis 172.30.91.3 9191
expect "an app does not reach Redis" refuse connects whoami redis 6379
expect "Redis asks for a password" grep -q NOAUTH <(compose exec -T redis redis-cli get x)
expect "no container may write to its file system" refuse compose exec -T portcullis touch /x
expect "who is signed in is told" quietly compose exec -T portcullis portcullis sessions list
expect "health is told from within" compose exec -T portcullis portcullis health --ready
compose stop --timeout 15 portcullis 2>/dev/null
code=$(docker inspect --format '{{.State.ExitCode}}' "$(compose ps -q portcullis)")
expect "it stops cleanly when told to" test "$code" = 0
say "all as it should be"
