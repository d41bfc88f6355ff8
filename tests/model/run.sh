#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Verifies tests/model/stream.pml: the good model in full, then each broken variant, which must fail. TAP on standard output.
set -u
model=$(cd "$(dirname "$0")" && pwd)/stream.pml
if ! command -v spin >/dev/null 2>&1; then
	echo "1..0 # SKIP no spin here"
	exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0
failed=0

# check <name> <safety|cycles> <holds|fails> [variant]: an exhausted search that found nothing, or an error found.
check() {
	number=$((number + 1))
	dir=$work/$number
	mkdir "$dir"
	flags="-DMEMLIM=1024"
	arguments="-m10000"
	if [ "$2" = safety ]; then
		flags="$flags -DSAFETY"
	else
		flags="$flags -DNP"
		arguments="$arguments -l"
	fi
	# shellcheck disable=SC2086
	(cd "$dir" && spin ${4:+-D$4} -a "$model" && "${CC:-cc}" -w -O2 $flags -o pan pan.c && ./pan $arguments) >"$dir/log" 2>&1
	errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' "$dir/log")
	result=unclear
	if [ "${errors:-none}" = 0 ] && ! grep -q 'Search not completed\|depth too small\|out of memory\|memory exhausted' "$dir/log"; then
		result=holds
	elif [ "${errors:-0}" -gt 0 ]; then
		grep -q 'assertion violated\|non-progress cycle' "$dir/log" && result=fails
	fi
	if [ "$result" = "$3" ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1 ($result)"
		sed 's/^/# /' "$dir/log"
		failed=1
	fi
}

echo "1..5"
check "no gap, nothing doubled, nothing silent, and everything arrives" safety holds
check "every run comes to rest" cycles holds
check "found: a snapshot taken before the subscription" safety fails BROKEN_START
check "found: a viewer behind the ring that is not caught up" safety fails BROKEN_LAG
check "found: a gateway that trusts hints alone" safety fails BROKEN_HINT
exit $failed
