#!/usr/bin/env bash
# Makes the images of docker-compose.yml from what this machine has. DOCKER_HOST names the engine.
#
# Usage: images.sh FOLDER_OF_THE_BUILT_PROGRAMS WORK_FOLDER
set -euo pipefail
built=$(realpath "$1") work=$(realpath "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# The builder of the engine itself: BuildKit is a package of its own.
export DOCKER_BUILDKIT=0

build() { # NAME TARGET FOLDER FILE
	docker build --network none --tag "$1" --target "$2" --file "$4" "$3" >"$work/build.log" 2>&1 ||
		{ cat "$work/build.log" >&2; return 1; }
}

# Names an image of docker-compose.yml by its beginning, so that the versions stand there alone.
name() {
	sed -nE "s|^ +image: ($1:[^ ]+)\$|\1|p" docker-compose.yml
}

base=$(sed -nE 's/^FROM (debian:\S+).*/\1/p' deploy/Dockerfile)
docker image inspect "$base" >/dev/null 2>&1 || docker import "$work/debian.tar" "$base" >/dev/null
build portcullis-runtime runtime . deploy/Dockerfile

context=$work/context
rm -rf "$context"
mkdir -p "$context/bin" "$context/node/bin" "$context/node/lib"
cp -L target/tools/bin/caddy "$built/portcullis" "$context/bin/"
cp -r tests/stack/provider "$context/"
cp tests/compose/pocket-id tests/compose/whoami.mjs "$context/"
# Node with its libraries, but for the C library, which is the image's.
cp -L "$(command -v node)" "$context/node/bin/"
ldd "$(command -v node)" | awk '$3 ~ /^\// && $1 !~ /^lib(c|m|dl|pthread|rt)\.so/ { print $3 }' |
	xargs -r cp -L --target-directory "$context/node/lib"

file=tests/compose/Dockerfile
build "$(name caddy)" caddy "$context" "$file"
build "$(name redis)" redis "$context" "$file"
build "$(name ghcr.io/pocket-id/pocket-id)" pocket-id "$context" "$file"
build "$(name traefik/whoami)" whoami "$context" "$file"
build "$(name portcullis)" portcullis "$context" "$file"
# What an earlier run had under these names.
docker image prune --force >/dev/null
