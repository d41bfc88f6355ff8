#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The threat model against the tree: every file it names exists, every defence names a test, every attack suite is named.
set -u
cd "$(dirname "$0")/.."
doc=docs/threat-model.md
bad=0
say() { echo "$doc: $*"; bad=1; }

for f in $(grep -oE '`(tests|src|tools|docs)/[A-Za-z0-9_./-]+`' "$doc" | tr -d '`' | sort -u); do
	[ -e "$f" ] || say "$f does not exist"
done
awk '/^### /{table=1} /^## /{table=0} table && /^\| / && !/^\| (who tries what|---)/' "$doc" | grep -vE '`tests/[^`]+`[^|]*\|$' | while read -r row; do say "no test: $row"; done | grep . && bad=1
for f in tests/e2e/attacks-*.test.mjs; do
	grep -q "\`$f\`" "$doc" || say "$f is not named"
done
exit $bad
