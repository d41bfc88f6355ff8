#!/bin/sh
# Fails if a file under src/ includes a folder that tools/layers.txt does not grant it.
set -eu
cd "$(dirname "$0")/.."
grep -rnE '^#include "[a-z]+/' src --include='*.c' --include='*.h' --include='*.def' |
awk -F: '
	FNR == NR { if ($0 !~ /^#/) { split($2, g, " "); own[$1] = 1
	            for (i in g) may[$1, g[i]] = 1 } next }
	{ split($1, path, "/"); from = path[2]; inc = $3; sub(/.*"/, "", inc); sub(/\/.*/, "", inc)
	  match($3, /"[a-z]+\//); to = substr($3, RSTART + 1, RLENGTH - 2)
	  if (!(from in own)) { print $1 ": folder " from " is not in layers.txt"; bad = 1 }
	  else if (from != to && !((from, to) in may)) { print $1 ":" $2 ": " from " may not include " to; bad = 1 } }
	END { exit bad }' tools/layers.txt -
