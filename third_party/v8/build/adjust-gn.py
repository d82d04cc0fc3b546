#!/usr/bin/env python3
"""Adjusts the GN files of the crate `v8` for Debian's older GN. Run in the root of a copy of the crate's source."""
import re
from pathlib import Path


def edit(path, *changes):
    file = Path(path)
    text = file.read_text()
    for pattern, replacement in changes:
        new = re.sub(pattern, replacement, text, flags=re.S)
        if new == text:
            print(f"{path}: nothing matches {pattern!r}")
        text = new
    file.write_text(text)


# `path_exists` is not known. No such path exists in this source; the assertion about modules of C++, which are off, is to pass.
exists = r"path_exists\((?:[^()]|\([^()]*\))*\)"
edit("build/config/c++/modules.gni", (exists, "true"))
for path in [
    "build/config/compiler/BUILD.gn",
    "build/config/sysroot.gni",
    "build/toolchain/siso.gni",
    "build/toolchain/rbe.gni",
]:
    edit(path, (exists, "false"))
edit(
    "build/config/BUILDCONFIG.gn",
    (r"\n *if \(!defined\(invoker\.generate_modulemap\) &&\s+defined\(generate_modulemap\)\) \{\s+generate_modulemap = generate_modulemap\s+\}", ""),
)
edit(
    "build/config/compiler/BUILD.gn",
    (r"c_additional_outputs =\s+\[[^\]]*\]", ""),
)
# Modules of C++ are off, so the tool that makes them and its placeholders go. `inputs` of tools are for dependencies only.
edit(
    "build/toolchain/gcc_toolchain.gni",
    (r'    tool\("cxx_module"\) \{.*?\n    \}\n', ""),
    (r" \{\{module_deps\}\}", ""),
    (r'module_name_flag = " -fmodule-name=[^\n]*', 'module_name_flag = ""'),
    (r"\n +inputs =\s+\[ get_path_info\([^\n]*", ""),
)
