#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`decnet identity replay`: equal to the reference, cut off at any point, and what it refuses.

    test_replay.py DECNET
"""
import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import reference
import streams
from engine import Follower, as_groups, current, run

KEY = b"per-deployment secret"  # that of every replay


class Replay:
    def __init__(self, program, scratch, lines):
        self.program, self.scratch, self.file = program, pathlib.Path(scratch), pathlib.Path(scratch) / "stream"
        with open(self.file, "w", encoding="utf-8") as f:
            for row in lines:
                f.write(json.dumps(row) + "\n")

    def command(self, state, batch, file=None):
        return [self.program, "identity", "replay", file or self.file, "--out", self.scratch / f"{state}.pred", "--events",
                self.scratch / f"{state}.events", "--batch", str(batch)]

    def environment(self, state):
        env = dict(os.environ, DECNET_STATE_DIR=str(self.scratch / state))
        env.pop("DECNET_DB_URL", None)
        return env

    def whole(self, state, batch, file=None):
        return subprocess.run(self.command(state, batch, file), env=self.environment(state), capture_output=True, text=True)

    def start(self, state, batch):
        return subprocess.Popen(self.command(state, batch), env=self.environment(state), stderr=subprocess.DEVNULL)

    def found(self, state):
        partition = {}
        for line in open(self.scratch / f"{state}.pred", encoding="utf-8"):
            row = json.loads(line)
            partition[row["id"]] = row["cluster"]
        events = [json.loads(line) for line in open(self.scratch / f"{state}.events", encoding="utf-8")]
        return partition, events


def follow(events):
    follower = Follower()
    for event in events:
        if event["type"] == "identity.observation.linked":
            follower.of[event["observation_uuid"]] = None  # a replay does not tell of what was left
        follower.take(event)
    return follower.partition()


def equal_to_the_reference(program):
    lines = streams.stream("mixture", 800, 11)
    with tempfile.TemporaryDirectory() as scratch:
        replay = Replay(program, scratch, lines)
        assert replay.whole("a", 97).returncode == 0
        partition, events = replay.found("a")
        assert follow(events) == partition
        kept, reference.SECRET = reference.SECRET, KEY
        try:
            assert as_groups(partition) == reference.groups(current(lines).values())
        finally:
            reference.SECRET = kept


def decisions(replay, state):
    """The log of the engine's reasons: what was done, to whom, and whether it says why. Which pair stands for two identities is not one
    of its promises."""
    with contextlib.closing(sqlite3.connect(replay.scratch / state / "decnet.db")) as db:
        rows = db.execute("SELECT seq, at, kind, identity_uuid, other_uuid, CASE WHEN kind IN ('formed', 'linked', 'moved') THEN"
                          " observation_uuid END FROM er_decision ORDER BY seq").fetchall()
        bad = db.execute("SELECT count(*) FROM er_decision WHERE kind = 'linked' AND (via_uuid IS NULL OR score < 4 OR evidence = '')"
                         " OR length(CAST(evidence AS BLOB)) > 512").fetchone()
    assert bad == (0,), bad
    return rows


def the_log_says_what_the_events_say(program):
    with tempfile.TemporaryDirectory() as scratch:
        replay = Replay(program, scratch, streams.stream("mixture", 900, 15))
        assert replay.whole("a", 61).returncode == 0
        events, rows = replay.found("a")[1], decisions(replay, "a")
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
        told = collections.Counter(event["type"].split(".")[-1] for event in events)
        logged = collections.Counter(row[2] for row in rows)
        more = sum(len(event["observation_uuids"]) - 1 for event in events if event["type"] == "identity.formed")
        assert logged["formed"] == told["formed"] and logged["merged"] == told["merged"] and logged["unmerged"] == told["unmerged"]
        assert told["linked"] + more <= logged["linked"] + logged["moved"] <= told["linked"] + more + told["formed"], (told, logged, more)
        assert logged["merged"] and logged["unmerged"] and logged["moved"], logged


def cut_off_at_any_point(program):
    lines, dice = streams.stream("mixture", 7700, 12), random.Random(4)
    with tempfile.TemporaryDirectory() as scratch:
        replay = Replay(program, scratch, lines)
        begun = time.monotonic()
        assert replay.whole("whole", 50).returncode == 0
        took, killed = time.monotonic() - begun, 0
        for _ in range(40):
            process = replay.start("cut", 50)
            try:
                process.wait(timeout=took * dice.uniform(.02, .3))
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
        assert replay.whole("cut", 50).returncode == 0
        assert killed > 0
        assert replay.found("cut")[0] == replay.found("whole")[0]
        assert replay.found("cut")[1] == replay.found("whole")[1]
        cut, whole = decisions(replay, "cut"), decisions(replay, "whole")
        assert cut == whole, [pair for pair in zip(cut, whole) if pair[0] != pair[1]][:3]


def once_more_is_no_news(program):
    with tempfile.TemporaryDirectory() as scratch:
        replay = Replay(program, scratch, streams.stream("mixture", 300, 13))
        assert replay.whole("a", 64).returncode == 0
        first = replay.found("a")
        assert replay.whole("a", 64).returncode == 0
        assert replay.found("a") == first


def what_it_refuses(program):
    row = streams.stream("crowd", 20, 1)[0]
    wrong = ["{", "[]", json.dumps(dict(row, id="")), json.dumps(dict(row, kd="xyz")), json.dumps(dict(row, creds=[["a"]])),
             json.dumps(dict(row, cmds=[])), '{"id": "x", "banner": "\\ud800"}', json.dumps(dict(row, payloads=[1]))]
    with tempfile.TemporaryDirectory() as scratch:
        replay = Replay(program, scratch, [row])
        for i, line in enumerate(wrong):
            bad = replay.scratch / f"wrong{i}"
            bad.write_text(json.dumps(row) + "\n" + line + "\n", encoding="utf-8")
            done = replay.whole(f"w{i}", 16, bad)
            assert done.returncode == 1 and f"{bad}:2: " in done.stderr, (line, done)
        (replay.scratch / "bytes").write_bytes(b'{"id": "x", "banner": "\xff\xfe"}\n')
        assert replay.whole("b", 16, replay.scratch / "bytes").returncode == 1
        assert replay.whole("n", 16, replay.scratch / "none").returncode == 1
        # Another stream that is shorter cannot be the one that the store holds.
        assert replay.whole("s", 16).returncode == 0
        (replay.scratch / "empty").write_text("")
        done = replay.whole("s", 16, replay.scratch / "empty")
        assert done.returncode == 1 and "fewer lines" in done.stderr, done


def hostile_rows_are_bounded(program):
    plain = streams.stream("crowd", 20, 2, twice=0)
    rows = [dict(plain[0], creds=[["root", f"{i:08d}" * 10] for i in range(120000)]),
            dict(plain[1], cmds={"execution": [f"curl http://198.51.100.1/{i}" for i in range(100000)]}),
            dict(plain[2], payloads=[f"{i:064x}" for i in range(300)], c2=[f"h{i}:1" for i in range(5000)])] + plain[3:]
    with tempfile.TemporaryDirectory() as scratch:
        replay = Replay(program, scratch, rows)
        done = replay.whole("a", 8)
        assert done.returncode == 0, done.stderr
        assert len(replay.found("a")[0]) == len(plain)


def main():
    program = sys.argv[1]
    return run([
        ("equal to the reference", lambda: equal_to_the_reference(program)),
        ("killed at any point and run again: the same identities and changes", lambda: cut_off_at_any_point(program)),
        ("the log of reasons says what the events say", lambda: the_log_says_what_the_events_say(program)),
        ("once more over the same changes nothing", lambda: once_more_is_no_news(program)),
        ("what it refuses", lambda: what_it_refuses(program)),
        ("hostile rows are bounded", lambda: hostile_rows_are_bounded(program)),
    ])


if __name__ == "__main__":
    sys.exit(main())
