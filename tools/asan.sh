#!/usr/bin/env bash
# Builds fastserve with AddressSanitizer and UBSan in a copy of the tree, and runs the suite on it.
#
#   tools/asan.sh [PYTHON] [PYTEST ARGUMENTS...]
#
# The copy is build/asan (so the usual build stays as it is). PYTHONMALLOC=malloc lets the sanitizer
# see the interpreter's small blocks too. LeakSanitizer is off: CPython keeps memory till its end.
# The soak is left out, as by default, for its memory figures mean nothing under a sanitizer's allocator.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
shift || true

tree=build/asan/tree
venv=build/asan/venv
mkdir -p "$tree"
tar cf - --exclude=./.git --exclude=./build --exclude='./.venv*' --exclude='*.so' \
    --exclude='*.egg-info' --exclude=__pycache__ . | tar xpf - -C "$tree"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet 'setuptools>=77' 'cython>=3.1'

# Only the extension modules are instrumented, not the interpreter, so the runtime goes in first.
runtime=$(gcc -print-file-name=libasan.so)
undefined=$(gcc -print-file-name=libubsan.so)
cpp=$(gcc -print-file-name=libstdc++.so)
venv=$PWD/$venv
cd "$tree"
export FASTSERVE_BUILD=asan
"$venv/bin/python" -m pip install --quiet --no-build-isolation -e '.[test]'

export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export PYTHONMALLOC=malloc
LD_PRELOAD="$runtime $undefined $cpp" exec "$venv/bin/python" -m pytest -p no:cacheprovider "$@"
