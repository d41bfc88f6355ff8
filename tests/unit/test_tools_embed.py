# SPDX-License-Identifier: Apache-2.0
# Prints TAP. usage: test_tools_embed.py SOURCE_ROOT
import os
import re
import subprocess
import sys
import tempfile
import traceback

ROOT = sys.argv[1]
CHECK = r"""
#include <stdio.h>
#include <string.h>
#include "api/web_asset.h"
int main(void)
{
	for (size_t i = 0; i < web_assets_count; i++) {
		const struct web_asset *a = &web_assets[i];
		printf("%s|%s|%zu|%s|", a->path, a->type, a->size, a->etag);
		for (size_t j = 0; j < a->size; j++)
			printf("%02x", a->data[j]);
		printf("\n");
	}
	return 0;
}
"""


def embed(folder, output):
    subprocess.run([sys.executable, os.path.join(ROOT, "tools/embed.py"), folder, output], check=True)


def rows(folder):
    """Embed, compile, run: what the C side sees, as lists of fields."""
    with tempfile.TemporaryDirectory() as work:
        main, table = os.path.join(work, "main.c"), os.path.join(work, "table.c")
        with open(main, "w", encoding="ascii") as f:
            f.write(CHECK)
        embed(folder, table)
        program = os.path.join(work, "program")
        compiler = os.environ.get("CC", "cc").split()
        flags = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-I" + os.path.join(ROOT, "src")]
        subprocess.run(compiler + flags + [main, table, "-o", program], check=True)
        text = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return [line.split("|") for line in text.splitlines()]


def write(folder, files):
    for name, data in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)


def every_byte_arrives():
    files = {
        "index.html": b"<!doctype html>",
        "assets/a.js": bytes(range(256)) * 5,
        "assets/a.css": b'"\\??/\n',
        "empty.txt": b"",
        "odd.bin": b"\x00",
        "assets/a.js.map": b"left out",
        ".stamp": b"left out",
    }
    with tempfile.TemporaryDirectory() as folder:
        write(folder, files)
        got = rows(folder)
    assert [r[0] for r in got] == ["/assets/a.css", "/assets/a.js", "/empty.txt", "/index.html", "/odd.bin"], got
    for path, _, size, etag, data in got:
        want = files[path[1:]]
        assert int(size) == len(want) and bytes.fromhex(data) == want, path
        assert re.fullmatch(r'"[0-9a-f]{32}"', etag), etag
    types = {r[0]: r[1] for r in got}
    assert types["/assets/a.js"] == "text/javascript; charset=utf-8"
    assert types["/assets/a.css"] == "text/css; charset=utf-8"
    assert types["/odd.bin"] == "application/octet-stream"


def nothing_built_still_gives_a_page():
    with tempfile.TemporaryDirectory() as folder:
        for where in (folder, os.path.join(folder, "missing")):
            got = rows(where)
            assert len(got) == 1 and got[0][0] == "/index.html", got
            page = bytes.fromhex(got[0][4])
            assert b"npm run build" in page
            assert b"<script" not in page and b"style=" not in page


def the_output_is_touched_only_when_it_changes():
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "table.c")
        dist = os.path.join(folder, "dist")
        write(dist, {"index.html": b"one"})
        embed(dist, output)
        os.utime(output, (1, 1))
        embed(dist, output)
        assert os.stat(output).st_mtime == 1
        write(dist, {"index.html": b"two"})
        embed(dist, output)
        assert os.stat(output).st_mtime != 1


TESTS = [every_byte_arrives, nothing_built_still_gives_a_page, the_output_is_touched_only_when_it_changes]
print("1..%d" % len(TESTS))
for number, test in enumerate(TESTS, 1):
    try:
        test()
        print("ok %d - %s" % (number, test.__name__))
    except Exception:  # the report is the point
        print("not ok %d - %s" % (number, test.__name__))
        for line in traceback.format_exc().splitlines():
            print("# " + line)
