# SPDX-License-Identifier: Apache-2.0
"""The identity rules once more, slowly: from a set of observations to groups, nothing incremental.

docs/identity.md says them in words. It shares no line with the engine, so that where the two agree
on every batch of a stream both say what the document says.
"""
import hashlib
import math
import re
from collections import Counter, defaultdict

SECRET = b"tests of the engine"
FULL = (1 << 64) - 1
SETS = ("tls", "ssh", "fp", "pay", "c2", "cred", "cmd")
STACK, TOKENS = ("tls", "ssh"), ("cred", "cmd")
SAME = {"tls": .85, "ssh": .85, "pay": .15, "c2": .35, "cred": .5, "cmd": .5, "kd": .9}
CHANCE = {"pay": .002, "c2": .002, "cred": .02, "cmd": .02, "kd": .001}
WEIGHT = {"tls": 1.0, "ssh": 1.0, "pay": 4.0, "c2": 2.0, "cred": 1.0, "cmd": 1.0, "kd": 2.0}
PRIOR = {"tls": (.97, 5), "ssh": (.97, 5), "fp": (.2, .6), "pay": (.95, 40), "c2": (.98, 400), "cred": (.3, 1),
         "cmd": (.4, 1.5)}
WITNESS = {"cred": ("tls", "ssh", "pay", "c2", "kd"), "cmd": ("tls", "ssh", "pay", "c2", "kd"),
           "fp": ("pay", "c2", "cred", "cmd", "kd"), "tls": ("ssh", "pay", "c2", "cred", "cmd", "kd"),
           "ssh": ("tls", "pay", "c2", "cred", "cmd", "kd"), "pay": ("tls", "ssh", "c2", "cred", "cmd", "kd"),
           "c2": ("tls", "ssh", "pay", "cred", "cmd", "kd")}
EVERYBODYS = re.compile(r"(?:/bin/)?busybox[^\n]*|[a-z_]+(?: +(?:-{0,2})[\w-]{1,12})*(?: +[/~][\w./-]*)?")


def digest(*parts):
    raw = "\0".join(parts).encode()
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8, key=SECRET).digest(), "little")


def scramble(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & FULL
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & FULL
    return z ^ (z >> 31)


def bits(a, b):
    return bin(a ^ b).count("1")


class Row:
    """One observation: per class the keys of its values."""

    def __init__(self, seen):
        self.name, self.hash = seen["id"], digest(seen["id"])
        tls, hassh, banner = seen["ja4"] or seen["ja3"], seen["hassh"], seen["banner"] or ""
        self.typing = int(seen["kd"], 16) if seen["kd"] else None
        commands = [c for some in seen["cmds"].values() for c in some if not EVERYBODYS.fullmatch(c)]
        self.has = {
            "tls": {digest("tls", tls)} if tls else set(),
            "ssh": {digest("ssh", hassh, banner)} if hassh else set(),
            "fp": {digest("fp", tls, hassh, banner)} if tls and hassh else set(),
            "pay": {digest("pay", x) for x in seen["payloads"]},
            "c2": {digest("c2", x) for x in seen["c2"]},
            "cred": {digest("cred", user, password) for user, password in seen["creds"]},
            "cmd": {digest("cmd", c) for c in commands},
        }
        quarters = range(4) if self.typing is not None else ()
        self.quarters = {digest("kd", str(i), str(self.typing >> 16 * i & 0xFFFF)) for i in quarters}


class Judge:
    """Reliabilities and scores over a fixed set of rows."""

    def __init__(self, rows):
        self.rows = sorted(rows, key=lambda r: r.hash)
        self.holders = {c: defaultdict(list) for c in SETS + ("kd",)}
        for row in self.rows:
            for c in SETS:
                for key in row.has[c]:
                    self.holders[c][key].append(row)
            for key in row.quarters:
                self.holders["kd"][key].append(row)
        self.share = {}
        for c in STACK:
            total = sum(len(h) for h in self.holders[c].values())
            for key, held in self.holders[c].items():
                step = 0
                while step < 5 and len(held) * 2 ** (step + 1) <= total:
                    step += 1
                self.share[c, key] = .5 ** step
        self.trust = {c: {} for c in SETS}
        for group in (TOKENS, ("tls", "ssh", "fp", "pay", "c2")):
            for c in group:
                for key in self.holders[c]:
                    self.trust[c][key] = self.estimate(c, key)
            if group is TOKENS:
                self.own = {(r.name, c): sum(self.trust[c][k] >= .6 for k in r.has[c]) for r in self.rows for c in TOKENS}

    def sample(self, c, key):
        held = self.holders[c][key]
        return held if len(held) <= 16 else sorted(held, key=lambda r: scramble(r.hash ^ key))[:16]

    def estimate(self, c, key):
        """Of two rows that share the value: how often the same hands, by what the other classes say?"""
        chosen, count = self.sample(c, key), len(self.holders[c][key])
        upper, lower = 2.0 * min(PRIOR[c][0], PRIOR[c][1] / count), 2.0
        pairs = [(chosen[i], chosen[j]) for i in range(len(chosen)) for j in range(i)]
        damp = min(1.0, 40 / len(pairs)) if pairs else 0.0
        for witness in WITNESS[c]:
            moment, square = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}
            for a, b in pairs:
                verdict = self.compare(witness, a, b)
                if verdict is None:
                    continue
                chance = CHANCE.get(witness)
                if witness in STACK:
                    chance = sum(self.share[witness, next(iter(r.has[witness]))] for r in (a, b)) / 2
                gap = SAME[witness] - chance
                if gap > 0:
                    moment[verdict] += WEIGHT[witness] * gap * (float(verdict) - chance)
                    square[verdict] += WEIGHT[witness] * gap * gap
            mass = square[True] + square[False]
            if mass == 0:
                continue
            most = .3 + 6.0 * square[False] / mass if witness in STACK and c in ("tls", "ssh", "fp") else 6.0
            weight = min(damp * mass, most)
            upper += min(1.0, max(0.0, (moment[True] + moment[False]) / mass)) * weight
            lower += weight
        return min(.995, max(.0005, upper / lower))

    def rare(self, c, shared):
        return sum(len(self.holders[c][k]) <= 8 and self.trust[c][k] >= .2 for k in shared)

    def public_against_own(self, a, b):
        for x, y in ((a, b), (b, a)):
            if not self.own[x.name, "cred"] and len(x.has["cred"]) >= 4 and self.own[y.name, "cred"] >= 2:
                return True
        return False

    def compare(self, c, a, b):
        """Do they agree in a class? None: cannot be told."""
        if c == "kd":
            return None if a.typing is None or b.typing is None else bits(a.typing, b.typing) <= 10
        if not a.has[c] or not b.has[c]:
            return None
        both = a.has[c] & b.has[c]
        if c not in TOKENS:
            return bool(both)
        if any(self.trust[c][k] >= .6 for k in both) or self.rare(c, both) >= 3:
            return True
        if self.own[a.name, c] and self.own[b.name, c]:
            return False
        return False if c == "cred" and self.public_against_own(a, b) else None

    def level(self, c, key):
        r = self.trust[c][key]
        return math.floor(2 * math.log2(r / (1 - r))) / 2

    def score(self, a, b):
        """Log2 odds that one hand is behind both, and whether the hands themselves speak for it."""
        found, against, differing, fair = [], 0.0, 0, False
        for c in ("tls", "ssh", "fp"):
            if a.has[c] and b.has[c]:
                both = a.has[c] & b.has[c]
                for key in both:
                    found.append((self.level(c, key), c, 0))
                    fair |= c != "fp" and self.trust[c][key] >= .3
                differing += not both and c != "fp"
        against -= 2.5 * differing
        for c, penalty in (("pay", 0.0), ("c2", .5)):
            both = a.has[c] & b.has[c]
            if both and not (differing and not fair):
                found.append((max(self.level(c, k) for k in both), c, 0))
            elif not both and a.has[c] and b.has[c]:
                against -= penalty
        for c, penalty in (("cred", 2.0), ("cmd", 1.5)):
            if not a.has[c] or not b.has[c]:
                continue
            both = a.has[c] & b.has[c]
            good = [self.level(c, k) for k in both if self.trust[c][k] >= .6]
            if good:
                found.append((max(good) + min(2.0, .5 * (len(good) - 1)), c, 0))
            elif self.rare(c, both) >= 3:
                found.append((min(4.0, .5 + .5 * self.rare(c, both)), c, 0))
            elif min(self.own[a.name, c], self.own[b.name, c]) >= 2 or (c == "cred" and self.public_against_own(a, b)):
                against -= penalty
        if a.typing is not None and b.typing is not None:
            distance = bits(a.typing, b.typing)
            if distance <= 10:
                found.append((1.4, "kd", distance))
            against -= 4.0 if distance > 16 else 0.0
        if not found:
            return -99.0, False
        found.sort(key=lambda f: (-f[0], f[1]))
        total = found[0][0] + against
        for size, c, distance in found[1:]:
            if c == "fp" or (found[0][1] == "fp" and c in STACK):
                continue
            total += 4.0 - .2 * distance if c == "kd" else 4.0 if size >= 3 else 3.0 if size >= 0 else 1.0 if size >= -3 else .3
        return total, any(c in ("cred", "cmd", "kd") for _, c, _ in found)

    def links(self):
        known = {}
        for c in self.holders:
            for key, held in self.holders[c].items():
                if c in TOKENS and self.trust[c][key] < .6:
                    continue
                for row in held:
                    for other in held[:8]:
                        pair = tuple(sorted((row, other), key=lambda r: r.hash))
                        if row is not other and (pair[0].name, pair[1].name) not in known:
                            known[pair[0].name, pair[1].name] = (*self.score(*pair), *pair)
        return [x for x in known.values() if x[0] >= 2.0]


class Piece:
    """A growing group: its rows and how often each stack value occurs."""

    def __init__(self, row):
        self.rows, self.name = [row], row.name
        self.seen = [Counter(row.has[c]) for c in STACK]

    def part(self, slot, key):
        return self.seen[slot][key] / max(1, sum(self.seen[slot].values()))

    def contradicts(self, other):
        overlap = []
        for slot in (0, 1):
            if self.seen[slot] and other.seen[slot]:
                overlap.append(sum(min(self.part(slot, k), other.part(slot, k)) for k in self.seen[slot]))
        return bool(overlap) and max(overlap) < .15


class Pieces:
    def __init__(self, rows):
        self.of = {r.name: Piece(r) for r in rows}

    def join(self, a, b):
        small, large = (b, a) if len(a.rows) > len(b.rows) else (a, b)
        for slot in (0, 1):
            large.seen[slot].update(small.seen[slot])
        large.rows += small.rows
        for row in small.rows:
            self.of[row.name] = large


class Word:
    """What analysts decided: {"apart", "sides"} one after the other."""

    def __init__(self, decisions=()):
        self.decisions, self.said = decisions, defaultdict(dict)
        for number, decision in enumerate(decisions):
            for side, names in enumerate(decision["sides"]):
                for name in names:
                    self.said[name][number] = side

    def apart(self, a, b):
        both = self.said[a].keys() & self.said[b].keys() if a in self.said and b in self.said else ()
        return bool(both) and self.decisions[max(both)]["apart"] and self.said[a][max(both)] != self.said[b][max(both)]

    def parts(self, a, b):
        """Whether two pieces have rows that are to be apart."""
        left, right = ([r.name for r in piece.rows if r.name in self.said] for piece in (a, b))
        return any(self.apart(x, y) for x in left for y in right)

    def musts(self, known):
        """Pairs of names that are to be linked: of those of one side each with the first it may be with."""
        pairs = set()
        for decision in self.decisions:
            for names in decision["sides"] if decision["apart"] else [sum(decision["sides"], [])]:
                first = []
                for name in names:
                    if name not in known:
                        continue
                    found = next((x for x in first if not self.apart(x, name)), None)
                    if found is None:
                        first.append(name)
                    elif found != name:
                        pairs.add(frozenset((found, name)))
        return pairs


MUST = 65.535


def recut(rows, links, word):
    pieces, refused = Pieces(rows), []
    held = {r.name for link in links if link[0] == MUST for r in link[2:]}
    for link in sorted(links, key=lambda x: (-round(x[0], 3), x[2].hash, x[3].hash)):
        a, b = pieces.of[link[2].name], pieces.of[link[3].name]
        if a is b or word.parts(a, b):
            continue
        if min(len(a.rows), len(b.rows)) >= 3 and a.contradicts(b) and link[0] != MUST:
            refused.append(link)
        else:
            pieces.join(a, b)
    while True:
        bridges = {}
        for total, hands, x, y in refused:
            a, b = pieces.of[x.name], pieces.of[y.name]
            if a is b or not hands or word.parts(a, b):
                continue
            if a.name > b.name:
                a, b, x, y = b, a, y, x
            entry = bridges.setdefault((a.name, b.name), [0.0, set(), set(), a, b])
            entry[0] += total
            entry[1].add(x.name)
            entry[2].add(y.name)
        strong = [(-round(v[0], 3), min(v[1] | v[2]), k) for k, v in bridges.items() if min(len(v[1]), len(v[2])) >= 2]
        if not strong:
            break
        pieces.join(*bridges[min(strong)[2]][3:])
    alone = set()
    for _, _, x, y in refused:
        for row, other in ((x, y), (y, x)):
            here, there = pieces.of[row.name], pieces.of[other.name]
            if here is there or row.name in held:
                continue
            if not row.has["tls"] and not row.has["ssh"]:
                alone.add(row.name)
            for slot, c in enumerate(STACK):
                for key in row.has[c]:
                    if here.part(slot, key) < .15 and there.part(slot, key) >= .5:
                        alone.add(row.name)
    groups = defaultdict(set)
    for row in rows:
        groups[row.name if row.name in alone else id(pieces.of[row.name])].add(row.name)
    return list(groups.values())


def groups(observations, decisions=()):
    """observations: the current state of each. A set of frozen sets of their names."""
    judge, word = Judge([Row(o) for o in observations]), Word(decisions)
    links, at = judge.links(), {r.name: i for i, r in enumerate(judge.rows)}
    musts = word.musts(at)
    links = [x for x in links if frozenset((x[2].name, x[3].name)) not in musts]
    for pair in musts:
        links.append((MUST, False, *sorted((judge.rows[at[name]] for name in pair), key=lambda r: r.hash)))
    near = defaultdict(list)
    for link in links:
        near[link[2].name].append(link)
        near[link[3].name].append(link)
    found, left = set(), {r.name for r in judge.rows}
    while left:
        reached, edge = {min(left)}, [min(left)]
        while edge:
            for link in near[edge.pop()]:
                for row in link[2:]:
                    if row.name not in reached:
                        reached.add(row.name)
                        edge.append(row.name)
        left -= reached
        rows = [judge.rows[at[name]] for name in reached]
        mixed = any(len(set().union(*(r.has[c] for r in rows))) > 1 for c in STACK)
        cut = len(rows) > 1 if any(name in word.said for name in reached) else mixed and len(rows) > 2
        inside = [x for x in links if x[2].name in reached] if cut else []
        for group in recut(rows, inside, word) if inside else [reached]:
            found.add(frozenset(group))
    return found
