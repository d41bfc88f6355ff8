#!/usr/bin/env python3
"""Print the one line that says how many test points ran, from meson's testlog.json."""
import json, sys

passed = failed = skipped = 0
for path in sys.argv[1:]:
    for line in open(path):
        t = json.loads(line)
        points = [l.strip() for l in t.get("stdout", "").splitlines()]
        oks = [l for l in points if l.startswith("ok ")]
        bad = [l for l in points if l.startswith("not ok ")]
        skip = [l for l in oks if "# SKIP" in l.upper()]
        passed += len(oks) - len(skip)
        skipped += len(skip)
        failed += len(bad)
        if t["result"] == "SKIP":
            skipped += not points
        elif t["result"] not in ("OK", "EXPECTEDFAIL") and not bad:
            failed += 1        # crashed or timed out: no point says so
        elif t["result"] == "OK" and not points:
            passed += 1        # a plain exit-code test
print(f"{passed} passed, {failed} failed, {skipped} skipped")
