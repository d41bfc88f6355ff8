#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The benchmarks named, or every one, one after the other. They print figures and ratios; none passes or fails by them.
set -eu
cd "$(dirname "$0")/.."
export DECNET_BUILD=${DECNET_BUILD:-$PWD/build-gcc}
if [ $# = 0 ]; then set -- $(cd tests/bench && ls ./*.mjs | sed 's/^..//; s/.mjs$//'); fi
for name in "$@"; do
	echo "== $name"
	node "tests/bench/$name.mjs"
done
