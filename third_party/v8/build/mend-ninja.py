#!/usr/bin/env python3
"""Mends ninja files that GN made for clang 22 and ninja 1.11. The argument is the output folder."""
import re
import sys
from pathlib import Path

UNKNOWN = re.compile(
    r" -fdiagnostics-show-inlining-chain| -fno-lifetime-dse| -fsanitize-ignore-for-ubsan-feature=[a-z-]+"
)
# A rule's name may not contain `+`.
RULE = re.compile(r"\b__[\w+]*libc\+\+[\w+]*__rule\b")
# Warnings are not looked at, and some need an analysis of each function.
WARNINGS = re.compile(r" -W(?!l,)[^\s]+")

for file in Path(sys.argv[1]).rglob("*.ninja"):
    text = file.read_text()
    new = RULE.sub(lambda rule: rule.group().replace("libc++", "libcxx"), UNKNOWN.sub("", text))
    new = re.sub(
        r"^( *cflags) = (.*)$",
        lambda line: f"{line.group(1)} = -w" + WARNINGS.sub("", " " + line.group(2)),
        new,
        flags=re.M,
    )
    new = re.sub(
        r"^( *cflags_(?:c|cc)) = (.*)$",
        lambda line: f"{line.group(1)} =" + WARNINGS.sub("", " " + line.group(2)),
        new,
        flags=re.M,
    )
    if new != text:
        file.write_text(new)
