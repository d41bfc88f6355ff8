# SPDX-License-Identifier: Apache-2.0
"""What the tests of the identity engine share: the engine as a process, its changes, TAP."""
import json
import subprocess
import traceback

KNOWN = {"identity.formed", "identity.observation.linked", "identity.observation.unlinked", "identity.merged",
         "identity.unmerged", "identity.updated"}


class Engine:
    """The engine alone; `exe` is engine_lines."""

    def __init__(self, exe, secret):
        self.process = subprocess.Popen([exe, secret], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, what):
        self.process.stdin.write(json.dumps(what) + "\n")

    def drain(self, ms=0):
        self.say({"op": "drain", "ms": ms})
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the engine ended"
        answer = json.loads(line)
        return answer["partition"], answer["events"]

    def stats(self):
        self.say({"op": "stats"})
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait() == 0 or _[0], "the engine failed"
        self.process.stdout.close()


def as_groups(partition):
    found = {}
    for name, cluster in partition.items():
        found.setdefault(cluster, set()).add(name)
    return {frozenset(group) for group in found.values()}


class Follower:
    """Believes nothing but the changes it is told."""

    def __init__(self):
        self.of, self.into = {}, {}

    def final(self, identity):
        for _ in range(9):
            if self.into[identity] is None:
                return identity
            identity = self.into[identity]
        raise AssertionError("a chain of merges is too long")

    def take(self, event):
        kind = event["type"]
        assert kind in KNOWN, kind
        if kind == "identity.formed":
            assert event["identity_uuid"] not in self.into and event["observation_uuids"]
            self.into[event["identity_uuid"]] = None
            for name in event["observation_uuids"]:
                self.of[name] = event["identity_uuid"]
        elif kind == "identity.observation.linked":
            assert self.of.get(event["observation_uuid"]) is None and event["identity_uuid"] in self.into
            self.of[event["observation_uuid"]] = event["identity_uuid"]
        elif kind == "identity.observation.unlinked":
            assert self.of[event["observation_uuid"]] == event["identity_uuid"]
            self.of[event["observation_uuid"]] = None
        elif kind == "identity.merged":
            winner, loser = event["winner_uuid"], event["loser_uuid"]
            assert winner < loser and self.into[winner] is None
            self.into[loser] = winner
        elif kind == "identity.unmerged":
            assert self.into[event["resurrected_uuid"]] is not None
            self.into[event["resurrected_uuid"]] = None

    def partition(self):
        return {name: self.final(identity) for name, identity in self.of.items()}


def current(lines):
    """The last revision of each observation."""
    rows = {}
    for row in lines:
        if row["id"] not in rows or rows[row["id"]]["rev"] <= row["rev"]:
            rows[row["id"]] = row
    return rows


def run(points):
    """Each point is (name, function): prints TAP; the exit code."""
    bad = 0
    print(f"1..{len(points)}")
    for number, (name, function) in enumerate(points, 1):
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Exception:  # a failed point must not hide the others
            bad += 1
            print(f"not ok {number} - {name}")
            print("".join("# " + x + "\n" for x in traceback.format_exc().splitlines()), flush=True)
    return bad > 0
