#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The engine beside the evaluation kit, where a copy of that stands beside the checkout (or where
DECNET_IDENTITY_KIT says).

    test_kit.py ENGINE_LINES DECNET SOURCE_ROOT
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from engine import Engine, as_groups, current, run

SCENARIOS = ("botnet_hassh", "vpn_hopping", "shared_wordlist", "multi_operator", "noise_floor", "default_tools",
             "commodity", "tool_update", "slow_burn", "poison", "mixed")


class Kit:
    def __init__(self, folder, exe, program):
        sys.path.insert(0, str(folder))
        sys.dont_write_bytecode = True
        import spec
        self.spec, self.folder, self.exe, self.program = spec, folder, exe, program

    def stream(self, scenario, size, seed):
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run([sys.executable, self.folder / "gen.py", "--scenario", scenario, "--n", str(size), "--seed",
                            str(seed), "--updates", ".3", "--out", f"{scratch}/o", "--truth", f"{scratch}/t"],
                           check=True, stderr=subprocess.DEVNULL)
            with open(f"{scratch}/o", encoding="utf-8") as lines:
                return [json.loads(line) for line in lines]

    def wanted(self, rows):
        return as_groups(self.spec.Resolver([self.spec.Obs(r) for r in rows]).partition())

    def equal(self, scenario, size, seed, batch, every):
        lines = self.stream(scenario, size, seed)
        with Engine(self.exe, self.spec.KEY.decode()) as engine:
            for at in range(0, len(lines), batch):
                for row in lines[at:at + batch]:
                    engine.say(row)
                found = as_groups(engine.drain(1)[0])
                if at // batch % every == 0 or at + batch >= len(lines):
                    assert found == self.wanted(current(lines[:at + batch]).values()), f"after line {at}"

    def replayed(self, path, scratch):
        env = dict(os.environ, DECNET_STATE_DIR=f"{scratch}/{path.stem}")
        env.pop("DECNET_DB_URL", None)
        subprocess.run([self.program, "identity", "replay", path, "--out", f"{scratch}/{path.stem}.pred", "--events",
                        f"{scratch}/{path.stem}.events"], check=True, env=env, stderr=subprocess.DEVNULL)
        subprocess.run([sys.executable, "-B", self.folder / "check.py", "events", f"{scratch}/{path.stem}.events",
                        f"{scratch}/{path.stem}.pred"], check=True, stdout=subprocess.DEVNULL)

    def campaigns(self):
        with tempfile.TemporaryDirectory() as scratch:
            for path in sorted((self.folder / "fixtures").glob("*.jsonl")):
                self.replayed(path, scratch)
            done = subprocess.run([sys.executable, "-B", self.folder / "fixtures.py", "--preds", scratch],
                                  capture_output=True, text=True)
            assert done.returncode == 0, done.stdout


def main():
    exe, program, root = sys.argv[1:]
    folder = pathlib.Path(os.environ.get("DECNET_IDENTITY_KIT") or pathlib.Path(root).parent / "shared" / "identity-kit")
    if not (folder / "spec.py").exists():
        print("1..0 # SKIP no evaluation kit beside the checkout")
        return 0
    kit = Kit(folder, exe, program)
    points = [(f"{s}, seed {seed}: equal on every batch", lambda s=s, seed=seed: kit.equal(s, 1000, seed, 130, 1))
              for s in SCENARIOS for seed in (1, 2, 3)]
    points += [("4,000 mixed ones: equal", lambda: kit.equal("mixed", 4000, 1, 256, 7)),
               ("campaigns: floors and changes", kit.campaigns)]
    return run(points)


if __name__ == "__main__":
    sys.exit(main())
