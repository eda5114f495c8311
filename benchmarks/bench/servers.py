"""The servers under test: how each is started, under which settings, and what it is called.

Three settings profiles, the same idea for every server:

plain     access log off, idle connections kept for as long as the server allows
defaults  nothing but address and application; whatever the server logs goes to a file
logged    the access log on for every server that has one, to a file; logged-json and the like
          in that format for those that have it
"""

from __future__ import annotations

import atexit
import functools
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
APPS = ROOT / "apps"
FLOORS = ROOT / "floors"
HOST = "127.0.0.1"
LOG_FORMATS = ("combined", "json", "logfmt")
PROFILES = ("plain", "defaults", "logged", *(f"logged-{name}" for name in LOG_FORMATS))


class Pair(NamedTuple):
    """The files of a certificate and its key."""

    certificate: str
    key: str


class Unavailable(Exception):
    """A server cannot be started here; the message says why in one line."""


@dataclass(frozen=True)
class Server:
    """One server: `argv(profile, port, app)` gives the arguments behind the interpreter.

    `limit` marks the programs that run no application: two answer a constant, whose `app` is the
    body they answer, and two, which have `websockets`, echo WebSocket messages.
    """

    name: str
    label: str
    package: str
    argv: Callable[[str, int, str], list[str]]
    limit: bool = False
    has_access_log: bool = True
    has_log_formats: bool = False
    polls: bool = False  # keeps its core busy without a request
    websockets: bool = True
    tls: Callable[[str, int, str, Pair], list[str]] | None = None
    http2: tuple[bool, ...] = ()  # with TLS (True), without (False)

    def command(
        self, profile: str, port: int, app: str, pair: Pair | None = None, http2: bool = False
    ) -> list[str]:
        """The whole command line, over TLS with `pair`. Raises Unavailable if it cannot run."""
        if self.package and not installed(self.package):
            raise Unavailable(f"{self.package} is not installed in {sys.prefix}")
        if profile == "logged" and not self.has_access_log:
            raise Unavailable("has no access log")
        if profile.startswith("logged-") and not self.has_log_formats:
            raise Unavailable("has no access log of that format")
        if http2 and (pair is not None) not in self.http2:
            raise Unavailable("has no HTTP/2" + " without TLS" * bool(self.http2))
        if pair is not None:
            if self.tls is None:
                raise Unavailable("has no TLS")
            return self.tls(profile, port, app, pair)
        return self.argv(profile, port, app)

    def version(self) -> str | None:
        """The installed version; None for a limit or a server that is not installed."""
        if not self.package or self.limit:
            return None
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def fastserve(profile: str, port: int, app: str) -> list[str]:
    flags = {"plain": ["--no-access-log"], "defaults": [], "logged": ["--access-log"]}.get(
        profile, ["--access-log-format", profile.removeprefix("logged-")]
    )
    return python("-m", "fastserve", app, "--host", HOST, "--port", str(port), *flags)


def uvicorn(profile: str, port: int, app: str) -> list[str]:
    flags = {
        "plain": ["--no-access-log", "--timeout-keep-alive", "120"],
        "defaults": [],
        "logged": ["--access-log"],
    }[profile]
    if profile != "defaults":
        flags += ["--loop", "uvloop", "--http", "httptools"]
    if app.startswith("ws:"):
        flags += ["--ws", "websockets-sansio"]
    return python("-m", "uvicorn", app, "--host", HOST, "--port", str(port), *flags)


def hypercorn(profile: str, port: int, app: str) -> list[str]:
    flags: list[str] = []
    if profile != "defaults":
        # Without the file Hypercorn closes each connection after 1,000 requests.
        config = str(APPS / "hypercorn.toml")
        flags = ["-k", "uvloop", "--keep-alive", "120", "-c", config]
    if profile == "logged":
        flags += ["--access-logfile", "-"]
    return python("-m", "hypercorn", app, "-b", f"{HOST}:{port}", *flags)


def daphne(profile: str, port: int, app: str) -> list[str]:
    # Verbosity 1, the default, writes the access log to standard output.
    flags = ["-v", "0"] if profile == "plain" else []
    return python("-m", "daphne", "-b", HOST, "-p", str(port), *flags, app)


def granian(profile: str, port: int, app: str) -> list[str]:
    flags = {
        "plain": ["--no-access-log", "--http1-header-read-timeout", "60000"],
        "defaults": [],
        "logged": ["--access-log"],
    }[profile]
    if profile != "defaults":
        flags += ["--workers", "1", "--loop", "uvloop"]
        # By default Granian accepts no more than 1,024 connections at once.
        flags += ["--backlog", "2048", "--backpressure", "16384"]
    # The interface is no choice: Granian's own default, RSGI, does not run ASGI applications.
    program = ["-m", "granian", "--interface", "asgi", "--host", HOST, "--port", str(port)]
    return python(*program, *flags, app)


def fastpysgi(profile: str, port: int, app: str) -> list[str]:
    # Its module cannot be run with -m; this is what its console script does.
    start = "import sys, fastpysgi; sys.argv[0] = 'fastpysgi'; fastpysgi.run_from_cli()"
    return python("-c", start, "--host", HOST, "--port", str(port), app)


def with_flags(
    argv: Callable[[str, int, str], list[str]], certificate: str, key: str
) -> Callable[[str, int, str, Pair], list[str]]:
    """The same server over TLS, by its flags for the two files."""

    def secure(profile: str, port: int, app: str, pair: Pair) -> list[str]:
        return [*argv(profile, port, app), certificate, pair.certificate, key, pair.key]

    return secure


def daphne_tls(profile: str, port: int, app: str, pair: Pair) -> list[str]:
    flags = ["-v", "0"] if profile == "plain" else []
    place = f"ssl:{port}:privateKey={pair.key}:certKey={pair.certificate}:interface={HOST}"
    return python("-m", "daphne", "-e", place, *flags, app)


@functools.cache
def key_pair() -> Pair:
    """A certificate for the host that signs itself, P-256; made once. Raises Unavailable."""
    folder = Path(tempfile.mkdtemp(prefix="fastserve-bench-tls-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    pair = Pair(str(folder / "certificate.pem"), str(folder / "key.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=benchmark"]
    command += ["-addext", f"subjectAltName=IP:{HOST}"]
    command += ["-out", pair.certificate, "-keyout", pair.key]
    try:
        subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise Unavailable("openssl, which makes the certificate, did not run") from None
    return pair


def uvloop_constant(profile: str, port: int, app: str) -> list[str]:
    return python(str(FLOORS / "uvloop_constant.py"), str(port), app)


def epoll_constant(profile: str, port: int, app: str) -> list[str]:
    return [str(build("epoll_constant")), str(port), app]


def uvloop_ws_echo(profile: str, port: int, app: str) -> list[str]:
    return python(str(FLOORS / "uvloop_ws_echo.py"), str(port))


def epoll_ws_echo(profile: str, port: int, app: str) -> list[str]:
    return [str(build("epoll_ws_echo")), str(port)]


def build(name: str, folder: Path = FLOORS, flags: Sequence[str] = ()) -> Path:
    """Compile a C program of `folder` if a source is newer; its path. Raises Unavailable."""
    source = folder / f"{name}.c"
    newest = max(int(file.stat().st_mtime) for file in (source, *folder.glob("*.h")))
    made_of = "".join([str(newest), *flags])
    binary = Path(tempfile.gettempdir()) / f"fastserve-{name}-{made_of}"
    if binary.exists():
        return binary
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Unavailable("no C compiler found (apt-get install gcc)")
    half = binary.with_suffix(".new")
    command = [compiler, "-O2", "-std=c11", "-o", str(half), str(source), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"does not compile: {done.stderr.strip().splitlines()[-1]}")
    half.replace(binary)
    return binary


SERVERS = [
    Server(
        "fastserve",
        "fastserve",
        "fastserve",
        fastserve,
        has_log_formats=True,
        tls=with_flags(fastserve, "--ssl-certfile", "--ssl-keyfile"),
        http2=(True, False),
    ),
    Server(
        "uvicorn",
        "Uvicorn",
        "uvicorn",
        uvicorn,
        tls=with_flags(uvicorn, "--ssl-certfile", "--ssl-keyfile"),
    ),
    Server(
        "hypercorn",
        "Hypercorn",
        "hypercorn",
        hypercorn,
        tls=with_flags(hypercorn, "--certfile", "--keyfile"),
        http2=(True, False),
    ),
    Server("daphne", "Daphne", "daphne", daphne, tls=daphne_tls, http2=(True,)),
    Server(
        "granian",
        "Granian",
        "granian",
        granian,
        tls=with_flags(granian, "--ssl-certificate", "--ssl-keyfile"),
        http2=(True, False),
    ),
    Server(
        "fastpysgi",
        "FastPySGI",
        "fastpysgi",
        fastpysgi,
        has_access_log=False,
        polls=True,
        websockets=False,
    ),
    Server(
        "uvloop_constant", "limit: uvloop", "uvloop", uvloop_constant, limit=True, websockets=False
    ),
    Server("epoll_constant", "limit: C epoll", "", epoll_constant, limit=True, websockets=False),
    Server("uvloop_ws_echo", "limit: uvloop", "uvloop", uvloop_ws_echo, limit=True),
    Server("epoll_ws_echo", "limit: C epoll", "", epoll_ws_echo, limit=True),
]
BY_NAME = {server.name: server for server in SERVERS}
