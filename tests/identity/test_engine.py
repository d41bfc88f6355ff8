#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The engine beside the slow reference, on every batch of made-up streams; and that neither the order
of arrival nor what is gone again leaves a trace.

    test_engine.py ENGINE_LINES
"""
import random
import sys

import reference
import streams
from engine import Engine, Follower, as_groups, current, run

SECRET = reference.SECRET.decode()


def equal_on_every_batch(exe, kind, size, seed, batch, every=1):
    lines, follower = streams.stream(kind, size, seed), Follower()
    with Engine(exe, SECRET) as engine:
        for at in range(0, len(lines), batch):
            for row in lines[at:at + batch]:
                engine.say(row)
            partition, events = engine.drain(max(r["ts"] for r in lines[at:at + batch]) * 1000)
            for event in events:
                follower.take(event)
            assert follower.partition() == partition, f"changes after line {at}"
            if at // batch % every and at + batch < len(lines):
                continue
            want = reference.groups(current(lines[:at + batch]).values())
            assert as_groups(partition) == want, f"partition after line {at}: {len(as_groups(partition) ^ want)}"


def the_order_does_not_count(exe):
    lines, first = streams.stream("mixture", 400, 7), None
    for seed in range(50):
        with Engine(exe, SECRET) as engine:
            for i, row in enumerate(streams.shuffled(lines, seed)):
                engine.say(row)
                if i % 61 == seed:
                    engine.drain()
            found = as_groups(engine.drain()[0])
        first = first or found
        assert found == first, f"order {seed}"


def what_is_gone_leaves_nothing(exe):
    rows = list(current(streams.stream("mixture", 900, 5)).values())
    dice = random.Random(3)
    gone = {r["id"] for r in rows if dice.random() < .5}
    with Engine(exe, SECRET) as engine:
        for i, row in enumerate(rows):
            engine.say(row)
            if i % 100 == 0:
                engine.drain()
        engine.drain()
        for i, name in enumerate(sorted(gone)):
            engine.say({"op": "remove", "id": name})
            if i % 40 == 0:
                engine.drain()
        left, stats = as_groups(engine.drain()[0]), engine.stats()
    with Engine(exe, SECRET) as engine:
        for row in rows:
            if row["id"] not in gone:
                engine.say(row)
        never, fresh = as_groups(engine.drain()[0]), engine.stats()
    assert left == never
    for key in ("rows", "values", "links"):
        assert stats[key] == fresh[key], key


def a_wrong_revision_leaves_nothing(exe):
    lines = streams.stream("mixture", 900, 6)
    found = []
    for some in (lines, [r for r in current(lines).values()]):
        with Engine(exe, SECRET) as engine:
            for i, row in enumerate(some):
                engine.say(row)
                if i % 50 == 0:
                    engine.drain()
            found.append((as_groups(engine.drain()[0]), engine.stats()["links"]))
    assert found[0] == found[1]


def the_same_again_is_no_news(exe):
    rows = list(current(streams.stream("mixture", 300, 8)).values())
    with Engine(exe, SECRET) as engine:
        for row in rows:
            engine.say(row)
        engine.drain()
        for row in rows:
            engine.say(row)
        assert engine.drain()[1] == []


def decisions_one_by_one(exe):
    """Given between batches, with rows that come late and go: as if all had been known before."""
    rows, dice = list(current(streams.stream("mixture", 500, 9)).values()), random.Random(8)
    names, early, late = [r["id"] for r in rows], rows[:400], rows[400:]
    follower, told = Follower(), []
    with Engine(exe, SECRET) as engine:
        for row in early:
            engine.say(row)
        for event in engine.drain(1)[1]:
            follower.take(event)
        for i in range(60):
            some = dice.sample(names, dice.choice((2, 2, 3, 6)))
            cut = dice.randint(1, len(some) - 1)
            told.append({"op": "decide", "apart": dice.random() < .5, "sides": [some[:cut], some[cut:]]})
            engine.say(told[-1])
            if i % 3 == 1:
                engine.say(late.pop())
            partition, events = engine.drain(2 + i)
            for event in events:
                follower.take(event)
            assert follower.partition() == partition, f"changes of decision {i}"
            if i % 10 == 9:
                assert as_groups(partition) == anew(exe, early + rows[400 + len(late):], told), f"decision {i}"
        for name in dice.sample(names[:400], 200):
            engine.say({"op": "remove", "id": name})
            early = [r for r in early if r["id"] != name]
        assert as_groups(engine.drain(99)[0]) == anew(exe, early + rows[400 + len(late):], told)


def anew(exe, rows, told):
    with Engine(exe, SECRET) as engine:
        for what in told + rows:
            engine.say(what)
        return as_groups(engine.drain(1)[0])


def decisions_beside_the_reference(exe, kind, seed):
    """Merges and splits of what there is, contrary ones too, between batches with revisions."""
    lines, dice, told, follower = streams.stream(kind, 500, seed), random.Random(seed), [], Follower()
    with Engine(exe, SECRET) as engine:
        for at in range(0, len(lines), 60):
            for row in lines[at:at + 60]:
                engine.say(row)
            for _ in range(4 if at else 0):
                there = sorted(sorted(group) for group in as_groups(partition))
                some = dice.choice(there) if dice.random() < .3 else dice.choice(sorted(there, key=len)[-8:])
                other = dice.choice(there)
                if dice.random() < .5 and len(some) > 1:
                    out = dice.randint(1, len(some) - 1)
                    dice.shuffle(some)
                    told.append({"op": "decide", "apart": True, "sides": [some[out:], some[:out]]})
                elif some != other:
                    told.append({"op": "decide", "apart": False, "sides": [some, other]})
                else:
                    continue
                engine.say(told[-1])
                if dice.random() < .5:
                    partition, events = engine.drain(at + 1)
                    for event in events:
                        follower.take(event)
            partition, events = engine.drain(at + 2)
            for event in events:
                follower.take(event)
            assert follower.partition() == partition, f"changes after line {at}"
            want = reference.groups(current(lines[:at + 60]).values(), told)
            assert as_groups(partition) == want, f"partition after line {at}: {as_groups(partition) ^ want}"


def main():
    exe = sys.argv[1]
    points = [(f"{kind}, seed {seed}: equal on every batch",
               lambda k=kind, s=seed: equal_on_every_batch(exe, k, 1000, s, 130)) for kind in streams.KINDS for seed in (1, 2, 3)]
    points += [
        ("4,000 mixed ones: equal", lambda: equal_on_every_batch(exe, "mixture", 4000, 1, 256, 7)),
        ("50 orders of arrival, one partition", lambda: the_order_does_not_count(exe)),
        ("every second observation goes: as if it had never come", lambda: what_is_gone_leaves_nothing(exe)),
        ("misread and corrected: as if it had never been", lambda: a_wrong_revision_leaves_nothing(exe)),
        ("decisions one by one: as if all had been known before", lambda: decisions_one_by_one(exe)),
        *[(f"{kind}, seed {seed}: decisions, equal after every batch",
           lambda k=kind, s=seed: decisions_beside_the_reference(exe, k, s)) for kind in streams.KINDS for seed in (1, 2)],
        ("the same again changes nothing", lambda: the_same_again_is_no_news(exe)),
    ]
    return run(points)


if __name__ == "__main__":
    sys.exit(main())
