#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turn numbered SQL files into one C table: embed-sql.py OUT.c IN.sql..."""
import os
import sys

out, sources = sys.argv[1], sorted(sys.argv[2:])
with open(out, "w") as c:
    c.write('#include "store/migrate.h"\n\nconst struct migration migrations[] = {\n')
    for path in sources:
        name = os.path.basename(path).removesuffix(".sql")
        c.write('\t{"%s",\n' % name)
        for line in open(path):
            line = line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"')
            c.write('\t "%s\\n"\n' % line)
        c.write("\t},\n")
    c.write("};\nconst unsigned migrations_count = %d;\n" % len(sources))
