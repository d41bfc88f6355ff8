#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every benchmark, one after the other. They print figures and ratios; none passes or fails.
set -eu
cd "$(dirname "$0")/.."
export DECNET_BUILD=${DECNET_BUILD:-$PWD/build-gcc}
for bench in tests/bench/*.mjs; do
	echo "== $bench"
	node "$bench"
done
