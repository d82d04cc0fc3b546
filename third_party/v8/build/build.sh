#!/bin/bash
# Builds V8's static library for the crate `v8`, Linux x86-64, from the crate's own source and Debian's packages.
#
#     build.sh cages FOLDER   compressed pointers, one cage for each isolate group (args.gn)
#     build.sh plain FOLDER   full pointers: the same without the lines about pointer compression
#
# FOLDER is made if it is not there, and takes 3 GB. The library and its half of the bindings are in FOLDER/result afterwards.
# Needs Rust's cargo (to fetch the crates), python3, and: apt-get install clang-22 lld-22 libclang-rt-22-dev ninja-build generate-ninja patch
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
variant=${1:?cages or plain}
folder=${2:?a folder}
version=150.4.0
icu=0.77.0
llvm=/usr/lib/llvm-22

case $variant in
cages) suffix=_ptrcomp_simdutf ;;
plain) suffix=_simdutf ;;
*) echo "cages or plain, not $variant" >&2; exit 2 ;;
esac

mkdir -p "$folder"
cd "$folder"
folder=$PWD

# The crates, by cargo.
if [ ! -d src ]; then
    mkdir -p fetch/src
    printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\nv8 = "=%s"\ndeno_core_icudata = "=%s"\n[workspace]\n' \
        "$version" "$icu" > fetch/Cargo.toml
    touch fetch/src/lib.rs
    (cd fetch && cargo fetch)
    registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
    cp -r "$(ls -d "$registry"/*/v8-$version | head -1)" src.new
    cp "$(ls "$registry"/*/deno_core_icudata-$icu/src/icudtl.dat | head -1)" icudtl.dat
    (cd src.new && python3 "$here/adjust-gn.py" && patch -p1 < "$here/bindings.patch" &&
        patch -p1 < "$here/heap.patch" && patch -p1 < "$here/stub-cache.patch" &&
        patch -p1 < "$here/array-length.patch" && patch -p1 < "$here/deserializer.patch" &&
        patch -p1 < "$here/strings.patch" && patch -p1 < "$here/start.patch" && patch -p1 < "$here/read-only.patch" &&
        patch -p1 < "$here/image.patch")
    mv src.new src
fi

# GN looks for the compiler's own library under another name than Debian's.
runtime=$llvm/lib/clang/22/lib
if [ ! -e $runtime/x86_64-unknown-linux-gnu/libclang_rt.builtins.a ]; then
    mkdir -p $runtime/x86_64-unknown-linux-gnu
    ln -s ../linux/libclang_rt.builtins-x86_64.a $runtime/x86_64-unknown-linux-gnu/libclang_rt.builtins.a
fi

out=$folder/src/out/$variant
mkdir -p "$out"
if [ "$variant" = cages ]; then
    cp "$here/args.gn" "$out/args.gn"
else
    grep -v 'pointer_compression\|external_code_space\|static_roots' "$here/args.gn" > "$out/args.gn"
    echo 'v8_enable_pointer_compression = false' >> "$out/args.gn"
fi
(cd src && gn gen "$out" --script-executable=python3)
python3 "$here/mend-ninja.py" "$out"
python3 "$here/unify.py" "$out"
# `mksnapshot` reads it.
cp icudtl.dat "$out/"
ninja -C "$out" rusty_v8

mkdir -p result
library=librusty_v8${suffix}_release_x86_64-unknown-linux-gnu.a
cp "$out/obj/librusty_v8.a" "result/$library"
$llvm/bin/llvm-strip --strip-debug "result/$library"
gzip -9 -n -f "result/$library"
# The bindings that the crate carries are the same with and without compressed pointers.
cp src/gen/src_binding_simdutf_release_x86_64-unknown-linux-gnu.rs "result/src_binding${suffix}_release_x86_64-unknown-linux-gnu.rs"
(cd result && sha256sum -- *)
