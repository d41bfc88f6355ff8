#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turn a folder of built web files into one C file with the table of api/web_asset.h.

usage: embed.py FOLDER OUTPUT.c

A folder that is missing or has no index.html gives a table with one page that says how to build the
dashboard. The output is only touched when its content changes, so it may run at every build.
"""
import hashlib
import os
import sys

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}

NOT_BUILT = b"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>decnet</title></head>
<body>
<h1>decnet</h1>
<p>The server runs, but it was compiled without its dashboard. To build it, with Node.js 18 or newer:</p>
<pre>cd web &amp;&amp; npm ci &amp;&amp; npm run build
ninja -C build</pre>
<p>The HTTP interface is at <a href="/docs">/docs</a>.</p>
</body>
</html>
"""


def collect(folder):
    """All regular files below folder as {request path: bytes}; hidden ones and maps are left out."""
    found = {}
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in names:
            if name.startswith(".") or name.endswith(".map"):
                continue
            path = os.path.join(top, name)
            with open(path, "rb") as f:
                found["/" + os.path.relpath(path, folder).replace(os.sep, "/")] = f.read()
    return found


def c_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def c_bytes(data):
    if not data:
        return "\t0x00,"  # C has no empty array; the size says 0
    lines = []
    for at in range(0, len(data), 16):
        lines.append("\t" + " ".join("0x%02x," % b for b in data[at : at + 16]))
    return "\n".join(lines)


def content_type(path):
    return TYPES.get(os.path.splitext(path)[1].lower(), "application/octet-stream")


def render(files):
    out = ["/* Written by tools/embed.py; do not edit. */", '#include "api/web_asset.h"', ""]
    rows = []
    for i, path in enumerate(sorted(files, key=lambda p: p.encode())):
        data = files[path]
        etag = '"' + hashlib.sha256(data).hexdigest()[:32] + '"'
        out += ["static const unsigned char data_%d[] = {" % i, c_bytes(data), "};", ""]
        rows.append(
            "\t{%s, %s, data_%d, %d, %s}," % (c_string(path), c_string(content_type(path)), i, len(data), c_string(etag))
        )
    out += ["const struct web_asset web_assets[] = {"] + rows + ["};", ""]
    out += ["const size_t web_assets_count = %d;" % len(rows), ""]
    return "\n".join(out)


def main(argv):
    if len(argv) != 3:
        sys.stderr.write("usage: embed.py FOLDER OUTPUT.c\n")
        return 2
    files = collect(argv[1])
    if "/index.html" not in files:
        files = {"/index.html": NOT_BUILT}
    text = render(files)
    try:
        with open(argv[2], encoding="ascii") as f:
            if f.read() == text:
                return 0
    except FileNotFoundError:
        pass
    with open(argv[2], "w", encoding="ascii") as f:
        f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
