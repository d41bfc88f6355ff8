#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh SECONDS: every fuzz target in turn, from a copy of its corpus. A crash leaves its input in the current folder.
set -u
cd "$(dirname "$0")/.."
seconds=${1:-60}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0 n=0
for target in build-fuzz/tests/fuzz/fuzz_*; do
	[ -f "$target" ] && [ -x "$target" ] || continue
	name=$(basename "$target"); name=${name#fuzz_}
	mkdir -p "$work/$name"
	if "$target" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 "$work/$name" \
		"tests/fuzz/corpus/$name" >"$work/log" 2>&1; then
		echo "ok   $name: $(grep -o 'number_of_executed_units: *[0-9]*' "$work/log" | grep -o '[0-9]*$') inputs in $seconds s"
	else
		echo "FAIL $name"; tail -40 "$work/log"; bad=1
	fi
	n=$((n + 1))
done
echo "$n targets"
exit $bad
