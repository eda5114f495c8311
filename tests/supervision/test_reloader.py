"""Which files `--reload` watches, and being told of them."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastserve.config import Reload
from fastserve.errors import ConfigError
from fastserve.supervision.reloader import Reloader, Selection

_PATIENCE = 30.0


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a file."""
    place = tmp_path.resolve() / "here"
    place.mkdir()
    (place / "main.py").write_text("one = 1\n")
    monkeypatch.chdir(place)
    return place


@contextlib.contextmanager
def watching(options: Reload | None = None, app_dir: str = ".") -> Iterator[Reloader]:
    reloader = Reloader(options or Reload(), app_dir)
    try:
        yield reloader
    finally:
        reloader.close()


def told(reloader: Reloader) -> list[str]:
    """What is told next, after waiting for the selector."""
    with selectors.DefaultSelector() as selector:
        selector.register(reloader, selectors.EVENT_READ)
        assert selector.select(_PATIENCE), "nothing was told"
    return reloader.take()


def told_until(reloader: Reloader, last: Path) -> list[str]:
    """All that is told before `last`, which is written now."""
    last.write_text("last\n")
    found: list[str] = []
    while str(last) not in found:
        found += told(reloader)
    return [each for each in found if each != str(last)]


# -- events ----------------------------------------------------------------------------


def test_a_file_that_is_written_is_told_once(tree: Path) -> None:
    with watching() as reloader:
        (tree / "main.py").write_text("two = 2\n")
        assert told(reloader) == [str(tree / "main.py")]
        assert reloader.take() == []
        assert told_until(reloader, tree / "last.py") == []


@pytest.mark.parametrize("act", ["new", "removed", "renamed", "touched"])
def test_whatever_happens_to_a_file_is_told(tree: Path, act: str) -> None:
    main, other = tree / "main.py", tree / "other.py"
    with watching() as reloader:
        if act == "new":
            other.write_text("")
        elif act == "removed":
            main.unlink()
        elif act == "renamed":
            main.rename(other)
        else:
            os.utime(main)
        expected = {
            "new": {other}, "removed": {main}, "renamed": {main, other}, "touched": {main}
        }[act]  # fmt: skip
        found: set[str] = set()
        while found != set(map(str, expected)):
            found |= set(told(reloader))


def test_an_editor_that_writes_beside_and_renames_gives_one_path(tree: Path) -> None:
    main = tree / "main.py"
    with watching() as reloader:
        (tree / "4913").write_text("")
        (tree / "4913").unlink()
        (tree / ".main.py.swp").write_text("")
        main.rename(tree / "main.py~")
        (tree / ".main.py.new").write_text("two = 2\n")
        (tree / ".main.py.new").rename(main)
        (tree / "main.py~").unlink()
        found = told(reloader)
        assert found + told_until(reloader, tree / "last.py") == [str(main)]


def test_many_files_at_once_are_each_told_once(tree: Path) -> None:
    files = [tree / "package" / f"at{i % 7}" / f"module{i}.py" for i in range(400)]
    with watching() as reloader:
        for each in files:
            each.parent.mkdir(parents=True, exist_ok=True)
            each.write_text("")
        found: set[str] = set()
        while found != set(map(str, files)):
            found |= set(told(reloader))


def test_changes_wait_for_a_supervisor_that_is_busy(tree: Path) -> None:
    with watching() as reloader:
        (tree / "one.py").write_text("")
        with selectors.DefaultSelector() as selector:
            selector.register(reloader, selectors.EVENT_READ)
            assert selector.select(_PATIENCE)
        found = told_until(reloader, tree / "two.py")
        assert found == [str(tree / "one.py")]


def test_a_directory_that_is_moved_in_is_looked_through_and_watched(
    tree: Path, tmp_path: Path
) -> None:
    package = tmp_path / "package"
    (package / "deep").mkdir(parents=True)
    (package / "deep" / "one.py").write_text("")
    (package / "deep" / "data.txt").write_text("")
    (package / "node_modules").mkdir()
    (package / "node_modules" / "two.py").write_text("")
    one = tree / "package" / "deep" / "one.py"
    with watching() as reloader:
        package.rename(tree / "package")
        assert told(reloader) == [str(one)]
        one.write_text("new\n")
        assert told(reloader) == [str(one)]


def test_what_does_not_matter_is_not_told(tree: Path) -> None:
    for each in ("__pycache__", ".git", ".venv", "app"):
        (tree / each).mkdir()
    with watching() as reloader:
        for name in (
            "notes.txt", "__pycache__/main.cpython-311.pyc", "__pycache__/odd.py", ".git/hook.py",
            ".venv/site.py", ".#main.py", "main.py~", "app/.pytest_cache",
        ):  # fmt: skip
            (tree / name).write_text("x")
        (tree / "app" / "__pycache__").mkdir()
        (tree / "app" / "empty").mkdir()
        assert told_until(reloader, tree / "last.py") == []


def test_a_name_that_is_no_text_does_not_end_it(tree: Path) -> None:
    with watching() as reloader:
        for round_ in range(15):
            path = os.fsencode(tree) + b"/\xff%d.txt" % round_
            try:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            except OSError:
                pytest.skip("the file system takes no such names")
        found: list[str] = []
        while not found:  # what is written while it begins anew may be missed
            assert reloader.failure is None
            (tree / "main.py").write_text("again\n")
            with selectors.DefaultSelector() as selector:
                selector.register(reloader, selectors.EVENT_READ)
                selector.select(0.2)
            found = reloader.take()
        assert found == [str(tree / "main.py")]


# -- beginning and end -----------------------------------------------------------------


def test_closing_ends_the_thread_and_again_is_no_different(tree: Path) -> None:
    reloader = Reloader(Reload(), ".")
    assert "fastserve-reloader" in {each.name for each in threading.enumerate()}
    reloader.close()
    reloader.close()
    assert "fastserve-reloader" not in {each.name for each in threading.enumerate()}
    assert reloader.failure is None


def test_a_directory_that_is_removed_is_told_as_a_failure(tree: Path) -> None:
    place = tree / "app"
    place.mkdir()
    with watching(Reload(reload_dir=("app",))) as reloader:
        shutil.rmtree(place)
        while reloader.failure is None:
            told(reloader)
        assert f"{place} has been removed or replaced" in reloader.failure
        assert reloader.take() == []


def test_a_directory_in_the_place_of_another_is_told_as_a_failure(tree: Path) -> None:
    place = tree / "app"
    place.mkdir()
    (tree / "next").mkdir()
    with watching(Reload(reload_dir=("app",))) as reloader:
        place.rename(tree / "former")
        (tree / "next").rename(place)
        while reloader.failure is None:
            told(reloader)
        assert "replaced" in reloader.failure


def in_narrow_namespace(limit: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` where the limits of inotify are this low; they are this namespace's alone."""
    script = f'echo {limit} && exec "$0" -c "$1"'
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-ec", script, sys.executable, code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


needs_namespace = pytest.mark.skipif(
    shutil.which("unshare") is None
    or in_narrow_namespace("3 > /proc/sys/user/max_inotify_watches", "").returncode != 0,
    reason="needs user namespaces",
)

BEGIN = """
from fastserve.config import Reload
from fastserve.errors import FastserveError
from fastserve.supervision.reloader import Reloader
try:
    Reloader(Reload(), ".")
except FastserveError as error:
    print(error.report())
"""


@needs_namespace
@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_a_limit_of_the_system_is_explained(tree: Path, limit: str) -> None:
    for each in "abcdef":
        (tree / each).mkdir()
    low = "3" if limit == "max_inotify_watches" else "0"
    result = in_narrow_namespace(f"{low} > /proc/sys/user/{limit}", BEGIN)
    assert result.stderr == ""
    assert "--reload: watching the files has failed" in result.stdout
    assert limit.replace("inotify", "user") in result.stdout
    assert result.stdout.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_we_may_not_read_is_passed_over(tree: Path) -> None:
    closed = tree / "closed"
    closed.mkdir(mode=0)
    try:
        with watching() as reloader:
            assert told_until(reloader, tree / "last.py") == []
    finally:
        closed.chmod(0o700)


def test_watchfiles_missing_is_explained(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(ConfigError) as caught:
        Reloader(Reload(), ".")
    assert caught.value.message == "--reload needs watchfiles: pip install 'fastserve[standard]'"


@pytest.mark.parametrize(
    ("name", "reason"), [("none", "there is no such directory"), ("main.py", "it is no directory")]
)
def test_a_directory_that_is_not_there_is_explained(tree: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Reloader(Reload(reload_dir=(name,)), ".")
    assert caught.value.message == f"--reload-dir {name}: {reason}"


# -- what is watched -------------------------------------------------------------------


def wants(selection: Selection, tree: Path, *names: str) -> list[str]:
    return [name for name in names if selection.wants(str(tree / name))]


def test_the_working_directory_is_watched_and_that_of_the_application(
    tree: Path, tmp_path: Path
) -> None:
    (tree / "src").mkdir()
    elsewhere = tmp_path.resolve() / "elsewhere"
    elsewhere.mkdir()
    assert Selection(Reload(), ".").roots == (str(tree),)
    assert Selection(Reload(), "src").roots == (str(tree),)
    assert Selection(Reload(), "../elsewhere").roots == (str(tree), str(elsewhere))
    named = Selection(Reload(reload_dir=("src", str(elsewhere))), ".")
    assert named.roots == (str(tree / "src"), str(elsewhere))
    assert not named.wants(str(tree / "main.py"))
    assert named.wants(str(elsewhere / "main.py"))


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*.html", ["a.html", "x/y/a.html"], ["a.htm", "html", "x.html/y.txt"]),
        (".env", [".env", "x/.env"], ["a.env"]),
        ("a[12].txt", ["a1.txt", "x/a2.txt"], ["a3.txt", "a[12].txt"]),
        ("conf/*.toml", ["conf/a.toml"], ["a.toml", "conf/x/a.toml", "x/conf/a.toml"]),
        ("./conf/a.toml", ["conf/a.toml"], ["x/conf/a.toml"]),
        ("conf/**/*.toml", ["conf/a.toml", "conf/x/y/a.toml"], ["a.toml", "conf/a.txt"]),
        ("**/conf/*.toml", ["conf/a.toml", "x/conf/a.toml"], ["conf/x/a.toml"]),
        ("templates/", ["templates/a", "x/templates/y/b"], ["a"]),
        ("x/**", ["x/a", "x/y/b"], ["a", "y/x/a"]),
        ("*", ["a", "x/b.txt"], ["x/.git/config", "x/b.swp", "__pycache__/a"]),
    ],
)
def test_a_pattern_to_include(
    tree: Path, pattern: str, matching: list[str], other: list[str]
) -> None:
    selection = Selection(Reload(reload_include=(pattern,)), ".")
    assert wants(selection, tree, *matching, *other) == matching
    assert wants(selection, tree, "main.py") == ["main.py"]


def test_patterns_may_be_absolute(tree: Path) -> None:
    options = Reload(
        reload_include=(f"{tree}/conf/*.toml",), reload_exclude=(str(tree / "generated"),)
    )
    names = "conf/a.toml", "x/conf/a.toml", "generated/a.py", "x/generated/a.py"
    assert wants(Selection(options, "."), tree, *names) == ["conf/a.toml", "x/generated/a.py"]


def test_patterns_go_from_the_watched_and_from_the_working_directory(tree: Path) -> None:
    (tree / "src").mkdir()
    options = Reload(reload_dir=("src",), reload_include=("src/a/*.txt", "b/*.txt"))
    names = "src/a/1.txt", "src/b/1.txt", "b/1.txt", "src/c/1.txt"
    assert wants(Selection(options, "."), tree, *names) == ["src/a/1.txt", "src/b/1.txt"]


@pytest.mark.parametrize(
    ("pattern", "left_out", "kept"),
    [
        ("test_*.py", ["test_a.py", "x/test_a.py"], ["a_test.py"]),
        ("build", ["build/a.py", "x/build/y/a.py"], ["build.py", "builds/a.py"]),
        ("build/", ["build/a.py", "x/build/a.py"], ["build.py"]),
        ("x/build", ["x/build/a.py", "x/build/y/a.py"], ["build/a.py", "y/x/build/a.py"]),
        ("x/*", ["x/a.py", "x/y/a.py"], ["a.py"]),
        ("**/migrations/*", ["migrations/1.py", "x/migrations/1.py"], ["migrations.py"]),
    ],
)
def test_a_pattern_to_exclude(
    tree: Path, pattern: str, left_out: list[str], kept: list[str]
) -> None:
    selection = Selection(Reload(reload_exclude=(pattern,)), ".")
    assert wants(selection, tree, *left_out, *kept) == kept


def test_what_is_excluded_is_not_included(tree: Path) -> None:
    options = Reload(reload_include=("*.html",), reload_exclude=("old",))
    assert wants(Selection(options, "."), tree, "a.html", "old/a.html") == ["a.html"]


def test_the_names_above_what_is_watched_do_not_matter(tmp_path: Path) -> None:
    place = tmp_path.resolve() / "venv" / "site-packages" / "[app] build"
    place.mkdir(parents=True)
    options = Reload(reload_dir=(str(place),), reload_exclude=("venv", "*build", "x/y"))
    selection = Selection(options, ".")
    assert selection.wants(str(place / "main.py"))
    assert not selection.wants(str(place / "x" / "y" / "main.py"))
    assert not selection.wants(str(place / "site-packages" / "main.py"))


def test_a_pattern_that_lies_in_nothing_watched_is_refused(tree: Path) -> None:
    for pattern in ("/etc/app/*.toml", "../shared/*.toml"):
        with pytest.raises(ConfigError) as caught:
            Selection(Reload(reload_include=(pattern,)), ".")
        assert caught.value.message.startswith(f"--reload-include {pattern}: ")
    Selection(Reload(reload_include=("/**/*.toml", f"{tree.parent}/*/a.toml")), ".")
