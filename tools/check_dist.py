"""Looks into built wheels and sdists: is everything in them that must be, and nothing else?

python tools/check_dist.py dist/* wheelhouse/*
"""

from __future__ import annotations

import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
NATIVE = ROOT / "ext" / "fastserve" / "_native"
SOURCES = {".pyx", ".pxd", ".c", ".h"}


def version() -> str:
    """The version of the project, from where it is written."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def native_modules() -> set[str]:
    """Paths of the native modules below `fastserve/_native`, without a suffix."""
    return {str(path.relative_to(NATIVE).with_suffix("")) for path in NATIVE.rglob("*.pyx")}


def check_package(names: set[str]) -> list[str]:
    """What is wrong with an installed or packed package; `names` are relative to its parent."""
    native = "fastserve/_native/"
    below = {name.removeprefix(native) for name in names if name.startswith(native)}
    built = {name.split(".")[0] for name in below if name.endswith((".so", ".pyd"))}
    stubs = {name.removesuffix(".pyi") for name in below if name.endswith(".pyi")}
    wrong = [f"{module} is not built" for module in sorted(native_modules() - built)]
    wrong += [f"{module} has no stub" for module in sorted(native_modules() - stubs)]
    wrong += [f"{module} has a stub and no source" for module in sorted(stubs - native_modules())]
    wrong += [
        f"{name} is a source" for name in sorted(names) if PurePosixPath(name).suffix in SOURCES
    ]
    if "fastserve/py.typed" not in names:
        wrong.append("fastserve/py.typed is missing")
    return wrong


def check_wheel(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
    wrong = check_package(names)
    tops = {name.split("/")[0] for name in names}
    info = f"fastserve-{version()}.dist-info"
    strange = tops - {"fastserve", info, "fastserve.libs"}
    wrong += [f"{top} does not belong into the wheel" for top in sorted(strange)]
    for needed in (f"{info}/METADATA", f"{info}/entry_points.txt", f"{info}/licenses/LICENSE"):
        if needed not in names:
            wrong.append(f"{needed} is missing")
    return wrong


def check_sdist(path: Path) -> list[str]:
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wrong = [] if path.name == f"fastserve-{version()}.tar.gz" else [f"{path.name} is misnamed"]
    needed = {"README.md", "CHANGELOG.md", "LICENSE", "Makefile", "setup.py", "pyproject.toml"}
    for folder in ("ext", "src", "tests"):
        files = (ROOT / folder).rglob("*")
        kept = {".py", ".pyi", ".md", *SOURCES}
        needed |= {str(each.relative_to(ROOT)) for each in files if each.suffix in kept}
    # The translated C, so that the compiler alone can build it.
    needed |= {f"generated/ext/fastserve/_native/{module}.c" for module in native_modules()}
    # The C that Cython makes, so that a compiler alone can build it.
    needed |= {f"generated/ext/fastserve/_native/{module}.c" for module in native_modules()}
    wrong += [f"{name} is missing" for name in sorted(needed - names)]
    built = re.compile(r"\.(so|pyd|pyc|o)$|^build/")
    wrong += [f"{name} is a product of building" for name in sorted(names) if built.search(name)]
    return wrong


def main(paths: list[str]) -> int:
    failed = not paths
    for path in map(Path, paths):
        wrong = check_wheel(path) if path.suffix == ".whl" else check_sdist(path)
        failed |= bool(wrong)
        print(f"{path.name}: {'; '.join(wrong) or 'complete'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
