#!/bin/sh
# Makes the secrets and the folders that docker-compose.yml mounts. What is there already stays as it is, so it
# can be run again. As root, since each container may read its own secrets and nothing else:
#
#   sudo deploy/compose/setup.sh
set -eu
umask 077
cd "$(dirname "$0")"

# The users of the containers, as docker-compose.yml names them.
portcullis=10001 caddy=10002 pocket_id=10003 redis=10004

# Writes standard input into a secret that the group $2 may read. Complete or not at all.
secret() {
	cat >"secrets/.$1"
	chown "0:$2" "secrets/.$1"
	chmod 0440 "secrets/.$1"
	mv "secrets/.$1" "secrets/$1"
}

# No secrets are in these, and whoever cloned them may have kept them to themselves.
chmod a+rx caddy portcullis
chmod a+r caddy/Caddyfile portcullis/portcullis.toml

install -d -m 0711 secrets data
install -d -m 0700 -o "$caddy" -g "$caddy" data/caddy
install -d -m 0700 -o "$pocket_id" -g "$pocket_id" data/pocket-id
install -d -m 0700 -o "$redis" -g "$redis" data/redis

# 32 bytes in base64url, as `portcullis secret` prints them.
[ -e secrets/session_secret ] ||
	openssl rand -base64 32 | tr '+/' '-_' | tr -d '=' | secret session_secret "$portcullis"

[ -e secrets/pocket_id_encryption_key ] ||
	openssl rand -base64 32 | secret pocket_id_encryption_key "$pocket_id"

[ -e secrets/redis_password ] || {
	openssl rand -hex 32 | secret redis_password "$portcullis"
	rm -f secrets/redis_users
}
# Redis gets the hash alone, and one user with the commands that docs/redis.md names.
[ -e secrets/redis_users ] || {
	hash=$(tr -d '\n' <secrets/redis_password | sha256sum | cut -d ' ' -f 1)
	secret redis_users "$redis" <<-END
		user default off
		user portcullis on #$hash ~portcullis:* +get +set +del +eval +getrange +time +zadd +zrem +zrange +zrangebyscore +zremrangebyscore +pexpire +pexpireat +scan +client|setname +client|tracking +info|server +role
	END
}

# Pocket ID shows it when you add the client: see README.md.
[ -e secrets/oidc_client_secret ] || secret oidc_client_secret "$portcullis" </dev/null
