#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing on Debian 12: the packages of tools/packages.txt and, where there is none, Node.js.
# With "run" only what building and running needs; with "test" also what the tests drive; with "bench" also the servers that
# the benchmarks compare with.
set -eu
cd "$(dirname "$0")/.."
want=${1:-test}
test_only='arp-scan chromium clang clang-format clang-tidy libclang-rt-14-dev nats-server nghttp2-client nginx nmap openssl postgresql redis-tools snmp spin telnet traceroute'
bench_only='libnginx-mod-nchan redis-server wrk'

missing=
for p in $(cat tools/packages.txt); do
	if [ "$want" = run ]; then
		case " $test_only " in *" $p "*) continue ;; esac
	fi
	if [ "$want" != bench ]; then
		case " $bench_only " in *" $p "*) continue ;; esac
	fi
	dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
if ! command -v node >/dev/null 2>&1; then missing="$missing nodejs"; fi
if ! command -v npm >/dev/null 2>&1; then missing="$missing npm"; fi
[ -z "$missing" ] && exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null 2>&1 || { echo "missing packages:$missing; install them or run as root" >&2; exit 1; }
	sudo=sudo
fi
echo "installing:$missing"
$sudo apt-get update -qq
# PostgreSQL is only a program for the tests here: its package must not start a server of its own.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	$sudo mkdir -p /etc/postgresql-common
	echo 'create_main_cluster = false' | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
# Nor do the others that tests and benchmarks compare with: they start their own, on free ports.
policy=/usr/sbin/policy-rc.d
if [ "$want" != run ] && [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
	$sudo chmod 755 $policy
	trap '$sudo rm -f $policy' EXIT
fi
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
