#!/usr/bin/env python3
"""Makes ninja compile several source files of V8 at once, which parses their headers once.

    unify.py OUT                 rewrites the ninja files of the output folder OUT
    unify.py --compile NAME ...  is what ninja runs: compiles one unit

Files that do not compile together are told apart by the compiler's errors and compiled in smaller units; the objects of a unit
are linked into one. `kept-apart.txt` beside this script lists files that are known to disturb others.
"""
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Target: files in a unit, bytes of source in a unit, optimization (None: as the target says). Only `mksnapshot` uses the targets
# with a lower one; nothing of them is in the library.
TARGETS = {
    "obj/v8/torque_generated_definitions": (50, 1 << 30, None),
    "obj/v8/torque_generated_initializers": (16, 1 << 30, "-O1"),
    "obj/v8/v8_initializers": (6, 400_000, "-O1"),
    "obj/v8/mksnapshot": (1, 1 << 30, "-O1"),
    "obj/v8/torque_base": (8, 400_000, "-O1"),
    "obj/v8/v8_base_without_compiler": (14, 400_000, None),
    "obj/v8/v8_compiler": (10, 400_000, None),
    "obj/v8/v8_libbase": (14, 400_000, None),
    "obj/v8/v8_libplatform": (13, 400_000, None),
    "obj/v8/cppgc_base": (16, 400_000, None),
    "obj/v8/v8_bigint": (9, 400_000, None),
    "obj/v8/src/inspector/inspector": (9, 280_000, None),
    "obj/third_party/abseil-cpp/absl/strings/strings": (14, 400_000, None),
    "obj/third_party/abseil-cpp/absl/strings/str_format_internal": (6, 400_000, None),
    "obj/third_party/abseil-cpp/absl/strings/cord_internal": (6, 400_000, None),
    "obj/third_party/abseil-cpp/absl/synchronization/synchronization": (12, 400_000, None),
    "obj/third_party/abseil-cpp/absl/time/internal/cctz/time_zone": (9, 400_000, None),
    "obj/third_party/abseil-cpp/absl/time/time": (5, 400_000, None),
    "obj/third_party/icu/icui18n": (12, 400_000, None),
    "obj/third_party/icu/icuuc_private": (12, 400_000, None),
}


def kept_apart():
    path = HERE / "kept-apart.txt"
    return set(path.read_text().split()) if path.exists() else set()


def unify(out):
    apart = kept_apart()
    renamed = {}
    for target, (files, size, level) in TARGETS.items():
        path = out / f"{target}.ninja"
        text = path.read_text()
        if level:
            text = re.sub(r"^( *cflags = .*?) -O[0-3]\b", rf"\1 {level}", text, flags=re.M)
        entry = re.compile(
            r"^build (?P<object>\S+\.o): cxx (?P<source>\S+)(?P<order>[^\n]*)\n(?:  [^\n]*\n)+", re.M
        )
        units, unit, bytes_ = [], [], 0
        order = ""
        for found in entry.finditer(text):
            source = found["source"]
            here = (out / source).stat().st_size if (out / source).exists() else 30_000
            if source in apart or here > size // 2:
                continue
            if unit and (len(unit) >= files or bytes_ + here > size):
                units.append(unit)
                unit, bytes_ = [], 0
            unit.append((found["object"], source))
            bytes_ += here
            order = found["order"]
        units.append(unit)
        units = [unit for unit in units if len(unit) > 1]
        together = {object_ for unit in units for object_, _ in unit}
        text = entry.sub(lambda found: "" if found["object"] in together else found.group(), text)
        made = []
        for number, unit in enumerate(units):
            name = f"{target}/unit_{number}.o"
            for object_, _ in unit:
                renamed[object_] = name
            made.append(f"build {name}: unit {' '.join(source for _, source in unit)}{order}\n")
        at = re.search(r"^build [^\n]*inputdeps\.stamp: [^\n]*\n", text, re.M) or re.search(r"^build ", text, re.M)
        at = at.end() if "inputdeps" in at.group() else at.start()
        path.write_text(text[:at] + "".join(made) + text[at:])
    rule = (
        "rule unit\n"
        f"  command = python3 {Path(__file__).resolve()} --compile ${{out}} ${{in}} -- "
        "/usr/lib/llvm-22/bin/clang++ ${defines} ${include_dirs} ${cflags} ${cflags_cc}\n"
        "  description = UNIT ${out}\n"
    )
    for path in out.rglob("*.ninja"):
        text = path.read_text()
        lines = []
        for line in text.split("\n"):
            if line.startswith("build ") and ".o" in line and ": unit " not in line and ": cxx " not in line:
                seen = set()
                words = []
                for word in line.split(" "):
                    new = renamed.get(word, word)
                    if new != word:
                        if new in seen:
                            continue
                        seen.add(new)
                    words.append(new)
                line = " ".join(words)
            lines.append(line)
        new = "\n".join(lines)
        if path.name == "toolchain.ninja":
            new = rule + new
        if new != text:
            path.write_text(new)


def compile_unit(name, sources, command):
    """Compiles the sources into objects, as few as can be, and gives their names."""
    made = []
    waiting = [list(sources)]
    while waiting:
        unit = waiting.pop(0)
        object_ = f"{name[:-2]}.part{len(made)}.o"
        if len(unit) == 1:
            source = unit[0]
        else:
            source = f"gen/unity/{name.replace('/', '_')[:-2]}.{len(made)}.cc"
            Path(source).parent.mkdir(parents=True, exist_ok=True)
            Path(source).write_text("".join(f'#include "{Path(file).resolve()}"\n' for file in unit))
        run = subprocess.run(
            [*command, "-ferror-limit=0", "-fno-color-diagnostics", "-c", source, "-o", object_],
            stderr=subprocess.PIPE,
            text=True,
        )
        if run.returncode == 0:
            made.append(object_)
            continue
        if len(unit) == 1:
            sys.exit(run.stderr)
        # The file of each error: where it is, or what included the header where it is.
        bad = []
        inside = None
        for line in run.stderr.split("\n"):
            for file in unit:
                if str(Path(file).resolve()) in line and (
                    "error:" in line or line.startswith(("In file included from", "                 from"))
                ):
                    inside = file
            if " error: " in line:
                if inside and inside not in bad:
                    bad.append(inside)
                inside = None
        first = run.stderr[:400].replace("\n", " | ")
        if not bad or len(bad) == len(unit):
            waiting += [unit[: len(unit) // 2], unit[len(unit) // 2 :]]
        else:
            waiting += [[file for file in unit if file not in bad], bad]
        with open("unity.log", "a") as log:
            log.write(f"{name}: apart {' '.join(bad) or 'half'}: {first}\n")
    return made


def main():
    if sys.argv[1] != "--compile":
        unify(Path(sys.argv[1]))
        return
    name = sys.argv[2]
    dashes = sys.argv.index("--")
    sources, command = sys.argv[3:dashes], sys.argv[dashes + 1 :]
    made = compile_unit(name, sources, command)
    if len(made) == 1:
        Path(made[0]).rename(name)
    else:
        subprocess.run(["/usr/lib/llvm-22/bin/ld.lld", "-r", "-o", name, *made], check=True)
        for object_ in made:
            Path(object_).unlink()


main()
