"""What is installed is complete, and so is what is packed (tools/check_dist.py sees to that)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import fastserve

ROOT = Path(__file__).parents[1]
VERSION = importlib.metadata.version("fastserve")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def check_dist() -> Any:
    return load("check_dist")


def installed_names() -> set[str]:
    """Every file of the package as it is imported, relative to the package's parent."""
    package = Path(fastserve.__file__).parent
    files = (path for path in package.rglob("*") if path.is_file())
    return {path.relative_to(package.parent).as_posix() for path in files}


def test_what_is_installed_has_every_module_and_stub_and_no_sources(check_dist: Any) -> None:
    assert check_dist.check_package(installed_names()) == []


def test_one_version_is_told_everywhere(check_dist: Any) -> None:
    assert check_dist.version() == VERSION == fastserve.__version__
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    assert newest[1] == VERSION


def test_the_command_is_installed() -> None:
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="fastserve")
    assert callable(command.load())


def test_setup_builds_what_ext_holds(check_dist: Any) -> None:
    rows = re.findall(r'^    "([\w.]+)": \[', (ROOT / "setup.py").read_text(), re.M)
    assert {row.replace(".", "/") for row in rows} == check_dist.native_modules()


def wheel_names() -> set[str]:
    info = f"fastserve-{VERSION}.dist-info"
    kept = {name for name in installed_names() if "__pycache__" not in name}
    return kept | {
        f"{info}/{name}" for name in ("METADATA", "entry_points.txt", "licenses/LICENSE")
    }


def write_wheel(path: Path, names: set[str]) -> Path:
    wheel = path / f"fastserve-{VERSION}-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return wheel


def test_a_whole_wheel_passes(check_dist: Any, tmp_path: Path) -> None:
    assert check_dist.check_wheel(write_wheel(tmp_path, wheel_names())) == []


@pytest.mark.parametrize(
    ("added", "complaint"),
    [
        ("fastserve/_native/buffer.pyx", "is a source"),
        ("fastserve/_native/fs_scan.h", "is a source"),
        ("tests/test_x.py", "does not belong"),
        ("fastserve/_native/gone.pyi", "has a stub and no source"),
    ],
)
def test_a_wheel_with_too_much_fails(
    check_dist: Any, tmp_path: Path, added: str, complaint: str
) -> None:
    (wrong,) = check_dist.check_wheel(write_wheel(tmp_path, wheel_names() | {added}))
    assert complaint in wrong


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        (r"_native/buffer\.\S*so", "buffer is not built"),
        (r"_native/buffer\.pyi", "buffer has no stub"),
        (r"py\.typed", "py.typed is missing"),
        (r"LICENSE", "LICENSE is missing"),
    ],
)
def test_a_wheel_with_too_little_fails(
    check_dist: Any, tmp_path: Path, pattern: str, complaint: str
) -> None:
    left = {name for name in wheel_names() if not re.search(pattern, name)}
    (wrong,) = check_dist.check_wheel(write_wheel(tmp_path, left))
    assert complaint in wrong


def test_an_sdist_without_the_native_sources_fails(check_dist: Any, tmp_path: Path) -> None:
    path = tmp_path / f"fastserve-{VERSION}.tar.gz"
    with tarfile.open(path, "w:gz") as sdist:
        for name in ("README.md", "src", "tests"):
            sdist.add(ROOT / name, f"fastserve-{VERSION}/{name}")
    wrong = check_dist.check_sdist(path)
    assert "ext/fastserve/_native/buffer.pyx is missing" in wrong
    assert "ext/c/fs_scan.h is missing" in wrong
    assert not [line for line in wrong if re.match(r"(src|tests)/.* is missing", line)]


def test_the_readme_shows_the_results_that_are_committed() -> None:
    assert load("readme_tables").main(["--check"]) == 0


def test_the_readme_names_only_files_that_exist() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "ext" / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#\S*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
