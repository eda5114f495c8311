"""Which files `--reload` watches, and telling the supervisor that they have changed.

A thread waits in `watchfiles`, keeps the changes that matter and wakes the supervisor's
selector. Changes that follow each other closely are told together: a file is told 30 to 60 ms after
it was saved, a checkout of hundreds of files once, when it is done or after half a second.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import logging
import os
import re
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from fastserve.config import Reload
from fastserve.errors import ConfigError, FastserveError

if TYPE_CHECKING:
    from watchfiles import Change

__all__ = ["Reloader", "Selection"]

# In milliseconds. Nothing new during a step ends a group of changes: it is told after one to two.
_STEP = 30
_LONGEST = 500

_ATTEMPTS = 10

# Never watched, whatever is included: what tools and editors write beside the sources.
_NOISE = re.compile(
    "|".join(
        fnmatch.translate(each)
        for each in (
            ".git", ".hg", ".svn", ".jj", ".idea", ".vscode", ".direnv",
            "__pycache__", "*.pyc", "*.pyo", ".venv", "venv", "site-packages", "node_modules",
            ".tox", ".nox", ".eggs", "*.egg-info",
            ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis",
            "*.swp", "*.swo", "*.swx", "*~", "4913", ".#*", "#*#", "*.tmp",
            "*___jb_tmp___", "*___jb_old___", ".goutputstream-*", ".DS_Store",
        )
    )
)  # fmt: skip

Parts = tuple[str, ...]


class Reloader:
    """File events, as something for a selector: `fileno()` is readable when `take()` has news.

    Once `failure` is set, which wakes the selector too, nothing is watched any more.
    """

    def __init__(self, options: Reload, app_dir: str) -> None:
        """Watch; no change is missed from here on.

        Raises `ConfigError` if `watchfiles` or a directory is missing, `FastserveError` if the
        system does not let us watch.
        """
        try:
            import watchfiles
        except ImportError:
            raise ConfigError(
                "--reload needs watchfiles: pip install 'fastserve[standard]'"
            ) from None
        # It logs every change; if the log is a watched file, that is a change.
        logging.getLogger("watchfiles").setLevel(logging.WARNING)
        self._watch, self._added = watchfiles.watch, watchfiles.Change.added
        self._selection = Selection(options, app_dir)
        self._probe = _Probe(self._selection.roots)
        self._lock = threading.Lock()
        self._changed: dict[str, None] = {}
        self.failure: str | None = None
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="fastserve-reloader", daemon=True)
        self._thread.start()
        self._probe.begun.wait()
        if self.failure is not None:
            self.close()
            raise FastserveError(self.failure)

    def fileno(self) -> int:
        return self._reading.fileno()

    def take(self) -> list[str]:
        """The files that have changed since the last time, each once; never waits."""
        with self._lock:
            with contextlib.suppress(BlockingIOError):
                self._reading.recv(64)
            changed, self._changed = list(self._changed), {}
        return changed

    def close(self) -> None:
        """End the thread and wait for it; again is no different from once."""
        self._probe.stopped = True
        self._thread.join()
        self._reading.close()
        self._writing.close()

    # -- in the thread -----------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._follow()
            if self._probe.gone is not None:
                raise FileNotFoundError(f"{self._probe.gone} has been removed or replaced")
        except Exception as error:
            self.failure = f"--reload: watching the files has failed: {_reason(error)}"
            self._wake()
        finally:
            self._probe.begun.set()

    def _follow(self) -> None:
        """Tell changes until the probe says to stop. Raises what `watchfiles` raises at last."""
        attempts, lenient = 0, False
        while True:
            self._probe.steps = 0
            try:
                for changes in self._watch(
                    *self._selection.roots,
                    watch_filter=self._matters,
                    step=_STEP,
                    debounce=_LONGEST,
                    stop_event=self._probe,
                    ignore_permission_denied=lenient,
                ):
                    self._tell(sorted(path for _, path in changes))
                return
            except PermissionError:
                # A directory we may not read. To ignore it is not the first choice: with it
                # `watchfiles` ignores that the system's limit is reached.
                if lenient:
                    raise
                lenient = True
            except RuntimeError:
                # A name that is no UTF-8 is enough for it to give up; mostly the next try goes on.
                # What is written in between is missed.
                attempts = attempts + 1 if self._probe.steps == 0 else 1
                if attempts == _ATTEMPTS or not self._probe.begun.is_set():
                    raise

    def _matters(self, change: Change, path: str) -> bool:
        # What is in a new directory is not told: it was there before the directory was watched.
        return self._selection.wants(path) or (change is self._added and os.path.isdir(path))

    def _tell(self, paths: list[str]) -> None:
        changed: dict[str, None] = {}
        for path in paths:
            if self._selection.wants(path):
                changed[path] = None
            else:
                changed |= dict.fromkeys(self._selection.files(path))
        if not changed:
            return
        with self._lock:
            self._changed |= changed
            self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._writing.send(b"\0")


class _Probe:
    """What `watchfiles` asks at every step whether to stop."""

    def __init__(self, roots: Sequence[str]) -> None:
        self.begun = threading.Event()  # everything is watched, or never will be
        self.stopped = False
        self.steps = 0
        self.gone: str | None = None
        self._roots = {root: _identity(root) for root in roots}

    def is_set(self) -> bool:
        self.begun.set()
        self.steps += 1
        self.gone = next(
            (root for root, was in self._roots.items() if _identity(root) != was), None
        )
        return self.stopped or self.gone is not None


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "watch limit" in text:
        return (
            "there are more directories than the system lets be watched; "
            "raise fs.inotify.max_user_watches, or watch fewer with --reload-dir"
        )
    if "Too many open files" in text:
        return f"{text}; raise fs.inotify.max_user_instances, or the limit of open files"
    return text


class Selection:
    """What is watched: directories, and the patterns of the files in them.

    A pattern without a slash is matched with the names of files, wherever they are. One with a
    slash is a path from a watched directory or the working directory, or absolute; `*` and `?`
    stand for anything but a slash, `**` for any number of directories. A pattern to
    exclude may mean a directory and all that is in it; so may one to include if it ends in a slash.
    """

    def __init__(self, options: Reload, app_dir: str) -> None:
        """Raises `ConfigError` for a directory that is not there, and a pattern outside of all."""
        here = os.path.realpath(os.curdir)
        app = os.path.realpath(app_dir)
        self.roots = tuple(_directories(options.reload_dir))
        if not self.roots:
            self.roots = (here,) if _is_within(app, here) else (here, app)
        self._bases = tuple(dict.fromkeys((*self.roots, here)))
        self._included = self._patterns(("*.py",), whole=True)
        self._excluded = self._patterns(options.reload_exclude, whole=False)
        for each in options.reload_include:
            patterns = self._patterns((each,), whole=True)
            if not any(self._can_match(pattern) for pattern in patterns):
                raise ConfigError(
                    f"--reload-include {each}: it is in no watched directory; "
                    "name that with --reload-dir"
                )
            self._included += patterns

    def wants(self, path: str) -> bool:
        """Whether a change of the file `path`, an absolute one, matters."""
        parts = _parts(path)
        return not self._leaves_out(parts) and any(_matches(parts, p) for p in self._included)

    def files(self, directory: str) -> Iterator[str]:
        """The files that matter in `directory`, at any depth."""
        if self._leaves_out(_parts(directory)):
            return
        for place, directories, names in os.walk(directory):
            directories[:] = [
                each
                for each in directories
                if not self._leaves_out(_parts(os.path.join(place, each)))
            ]
            for each in sorted(names):
                if self.wants(path := os.path.join(place, each)):
                    yield path

    def _leaves_out(self, parts: Parts) -> bool:
        below = [
            parts[len(root) :] for root in map(_parts, self.roots) if parts[: len(root)] == root
        ]
        if all(any(map(_NOISE.match, each)) for each in below):
            return True
        return any(_matches(parts, pattern) for pattern in self._excluded)

    def _patterns(self, texts: Iterable[str], *, whole: bool) -> list[Parts]:
        """`texts` as patterns of absolute paths; unless `whole`, of all that is below too."""
        found: list[Parts] = []
        for text in texts:
            stem = text.rstrip("/")
            tail = () if whole and stem == text else ("**",)
            if os.path.isabs(stem):
                paths = [os.path.realpath(stem)]
            elif "/" in stem:
                paths = [
                    os.path.normpath(os.path.join(glob.escape(base), stem)) for base in self._bases
                ]
            else:
                paths = [os.path.join(glob.escape(root), "**", stem) for root in self.roots]
            found += [(*_parts(path), *tail) for path in paths]
        return found

    def _can_match(self, pattern: Parts) -> bool:
        fixed = next((i for i, part in enumerate(pattern) if set(part) & set("*?[")), len(pattern))
        for root in map(_parts, self.roots):
            common = min(fixed, len(root))
            if pattern[:common] == root[:common]:
                return True
        return False


def _directories(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        if not os.path.isdir(path):
            what = "it is no directory" if os.path.exists(path) else "there is no such directory"
            raise ConfigError(f"--reload-dir {path}: {what}")
        yield os.path.realpath(path)


def _parts(path: str) -> Parts:
    return tuple(each for each in path.split("/") if each)


def _is_within(path: str, directory: str) -> bool:
    parts, root = _parts(path), _parts(directory)
    return parts[: len(root)] == root


def _matches(parts: Parts, pattern: Parts) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return (
        bool(parts)
        and fnmatch.fnmatchcase(parts[0], pattern[0])
        and _matches(parts[1:], pattern[1:])
    )
