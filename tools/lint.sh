#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The checks that read the code: layers, magic numbers, layout, headers that compile alone, file sizes; with no argument also clang-tidy.
set -u
cd "$(dirname "$0")/.."
bad=0
say() { echo "lint: $*"; bad=1; }

tools/check-layers.sh || say "a layer is broken"
tools/check-docs.sh || say "the threat model does not fit the tree"
sources=$(git ls-files '*.c' '*.h' | grep -v '/corpus/')
# shellcheck disable=SC2086
clang-format --dry-run -Werror $sources 2>&1 | grep -E 'error' | head -20 | grep . && say "clang-format"
for f in $sources; do
	lines=$(wc -l <"$f")
	[ "$lines" -gt 800 ] && say "$f has $lines lines"
	head -n 1 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || say "$f lacks its SPDX line"
done
grep -nE '(^|[^:"])//' $(git ls-files 'src/*.c' 'src/*.h') | grep -vE '"[^"]*//|https?://|nats://|\*.*//' | head -5 | grep . && say "// comments"
grep -nE '\b(strcpy|strcat|sprintf|strtok|atoi|gets|alloca)\(' $(git ls-files 'src/*.c') | head -5 | grep . && say "a forbidden function"
git grep -lE '\b(SELECT|INSERT INTO|DELETE FROM)\b' -- src ':!src/store/*.def' ':!src/store/schema' ':!src/store/migrate.c' ':!src/store/sqlite.c' ':!src/store/db.c' | grep . && say "SQL outside the store"
for h in $(git ls-files 'src/*.h'); do
	echo "#include \"${h#src/}\"" | gcc -std=gnu17 -D_GNU_SOURCE -Isrc -Ibuild-gcc/src -x c -fsyntax-only - 2>/dev/null || say "$h does not compile alone"
done
# Debian 12's Node.js is 18.
git grep -nE 'import\.meta\.(dirname|filename)' -- '*.mjs' '*.js' '*.ts' | head -5 | grep . && say "newer than the Node.js that there is"
if [ "${1:-}" != quick ]; then
	# shellcheck disable=SC2046
	clang-tidy --quiet -p build-asan $(git ls-files 'src/*.c') 2>/dev/null | grep -E 'error|warning' | head -40 | grep . && say "clang-tidy"
fi
[ $bad = 0 ] && echo "lint: clean"
exit $bad
