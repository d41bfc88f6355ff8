#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Starts the suite from the build folder with a demo network and stays up until Ctrl-C. What make run calls.
set -eu
cd "$(dirname "$0")/.."
build=${DECNET_BUILD:-$PWD/build-gcc}
export DECNET_STATE_DIR=${DECNET_STATE_DIR:-$PWD/run}
export DECNET_BUS_SOCKET=${DECNET_BUS_SOCKET:-$DECNET_STATE_DIR/bus.sock}
export DECNET_NET_DRIVER=${DECNET_NET_DRIVER:-loopback}
mkdir -p "$DECNET_STATE_DIR"
chmod 700 "$DECNET_STATE_DIR"

# The generated password is kept beside the database, so that a second run can print it again. It is good until it is changed at the first login.
secret=$DECNET_STATE_DIR/admin.password
if [ -z "${DECNET_ADMIN_PASSWORD:-}" ]; then
	[ -s "$secret" ] || (umask 077 && head -c 15 /dev/urandom | base64 | tr '+/' 'ab' >"$secret")
	DECNET_ADMIN_PASSWORD=$(cat "$secret")
	export DECNET_ADMIN_PASSWORD
fi
export DECNET_URL=${DECNET_URL:-http${DECNET_TLS_CERT:+s}://${DECNET_API_HOST:-127.0.0.1}:${DECNET_API_PORT:-8000}}

"$build/src/main/decnet" up --foreground &
suite=$!
trap 'kill -TERM $suite 2>/dev/null; wait $suite; exit 0' INT TERM

for _ in $(seq 300); do
	kill -0 $suite 2>/dev/null || { wait $suite; exit $?; }
	curl -fskS "$DECNET_URL/readyz" >/dev/null 2>&1 && break
	read -rt 0.1 <> <(:) || true
done
curl -fskS "$DECNET_URL/readyz" >/dev/null || { echo "the suite did not become ready" >&2; kill $suite; wait $suite; exit 1; }

echo
echo "  dashboard   $DECNET_URL/"
echo "  login       ${DECNET_ADMIN_USER:-admin} / $DECNET_ADMIN_PASSWORD   (asks for a new password the first time)"
echo
"$build/src/main/decnet" demo
echo
echo "  Ctrl-C stops it."
wait $suite
