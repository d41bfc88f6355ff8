#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turn a text file into a C string: embed-text.py OUT.c NAME IN."""
import sys

out, name, source = sys.argv[1:4]
with open(out, "w") as c:
    c.write('#include "topology/catalog.h"\n\nconst char %s[] =\n' % name)
    for line in open(source):
        line = line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"')
        c.write('\t"%s\\n"\n' % line)
    c.write("\t;\n")
