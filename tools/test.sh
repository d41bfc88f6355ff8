#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs every suite (or those named: static unit asan web e2e) and ends with one line that counts the test points.
set -u
cd "$(dirname "$0")/.."
suites=${*:-static unit asan web e2e}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=0

step() { printf '\n== %s\n' "$*"; }
run() { "$@" || failed=1; }

for suite in $suites; do
	case $suite in
	static)
		step "static checks"
		run tools/lint.sh quick
		;;
	unit)
		step "unit, fuzz corpora, integration (gcc)"
		run meson test -C build-gcc --no-rebuild --print-errorlogs --num-processes 2
		cp build-gcc/meson-logs/testlog.json "$logs/gcc.json" 2>/dev/null || failed=1
		;;
	asan)
		step "the same under AddressSanitizer and UBSan (clang)"
		run meson test -C build-asan --no-rebuild --print-errorlogs --num-processes 2 --timeout-multiplier 4
		cp build-asan/meson-logs/testlog.json "$logs/asan.json" 2>/dev/null || failed=1
		;;
	web)
		step "the dashboard's own tests"
		(cd web && npm test --silent -- --test-reporter=tap) >"$logs/web.tap" || failed=1
		grep -E '^ *not ok|^# (pass|fail)' "$logs/web.tap"
		;;
	e2e)
		step "end to end"
		make -s tests/e2e/node_modules/.stamp || failed=1
		(cd tests/e2e && DECNET_BUILD="${DECNET_BUILD:-$PWD/../../build-gcc}" node --test --test-concurrency=1 \
			--test-reporter=tap ./*.test.mjs) >"$logs/e2e.tap" || failed=1
		grep -E '^(ok|not ok)' "$logs/e2e.tap"
		grep -E '^ *not ok' -A 24 "$logs/e2e.tap" | head -400
		;;
	*) echo "unknown suite $suite" >&2; exit 2 ;;
	esac
done
echo
summary=$(tools/tap-summary.py "$logs"/*)
echo "$summary"
case $summary in *", 0 failed"*) ;; *) failed=1 ;; esac
exit $failed
