#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print the one line that says how many test points ran: from meson's testlog.json files and node's TAP files."""
import json
import re
import sys

passed = failed = skipped = 0


def meson(path):
    global passed, failed, skipped
    for line in open(path):
        t = json.loads(line)
        points = [p.strip() for p in t.get("stdout", "").splitlines()]
        oks = [p for p in points if p.startswith("ok ")]
        bad = [p for p in points if p.startswith("not ok ")]
        skip = [p for p in oks if "# SKIP" in p.upper()]
        passed += len(oks) - len(skip)
        skipped += len(skip)
        failed += len(bad)
        if t["result"] == "SKIP":
            skipped += not points
        elif t["result"] not in ("OK", "EXPECTEDFAIL") and not bad:
            failed += 1  # crashed or timed out: no point says so
        elif t["result"] == "OK" and not oks:
            passed += 1  # a plain exit-code test


def node(path):
    global passed, failed, skipped
    counts = dict(re.findall(r"^# (pass|fail|cancelled|skipped|todo) (\d+)$", open(path).read(), re.M))
    passed += int(counts.get("pass", 0))
    failed += int(counts.get("fail", 0)) + int(counts.get("cancelled", 0))
    skipped += int(counts.get("skipped", 0)) + int(counts.get("todo", 0))
    if not counts:
        failed += 1  # it did not get as far as its counts


for name in sys.argv[1:]:
    (node if name.endswith(".tap") else meson)(name)
print(f"{passed} passed, {failed} failed, {skipped} skipped")
