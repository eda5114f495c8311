"""fastserve behind a real proxy that runs with the files of deploy/.

The files stay as they are but for the values that name a machine: `rendered` replaces each, and
fails where one is not in the file any more. Proxies get their listening socket from
here, so no port has to be guessed, and connections wait until they accept.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.client import Client
from support.process import PATIENCE, Command, started

DEPLOY = Path(__file__).parents[2] / "deploy"
APP = Path(__file__).parent / "app.py"
NGINX = DEPLOY / "nginx" / "fastserve.conf"
HAPROXY = DEPLOY / "haproxy" / "haproxy.cfg"
PASS_THROUGH = DEPLOY / "haproxy" / "pass-through.cfg"

needs_nginx = pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
needs_haproxy = pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed")
# Every proxy, and what it goes to the server over.
KINDS = [
    pytest.param((kind, over), marks=needs, id=f"{kind}-{over}")
    for kind, needs in (("nginx", needs_nginx), ("haproxy", needs_haproxy))
    for over in ("tcp", "unix")
]
# What the tests of the others say of HTTP/2; it has short ones of its own.
HTTP2 = ("haproxy", "h2")
KINDS.append(pytest.param(HTTP2, marks=[needs_haproxy, pytest.mark.soak], id="haproxy-h2"))
OVER_TCP = [KINDS[0], KINDS[2]]


def but_for_soak(*ids: str) -> list[Any]:
    """All ways, those named in the soak alone; for what takes seconds."""
    return [
        pytest.param(*each.values, marks=[*each.marks, pytest.mark.soak], id=each.id)
        if each.id in ids
        else each
        for each in KINDS
    ]


ONE_WAY_EACH = but_for_soak("nginx-tcp", "haproxy-unix")
ONE_WAY = but_for_soak("nginx-tcp", "nginx-unix", "haproxy-unix")

_NGINX_MAIN = """
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {site};
}}
"""

Changes = Mapping[str, str]


@dataclass
class Site:
    """A proxy, the fastserve command behind it (the first one), and where to connect."""

    proxy: Command
    server: Command
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, source: str | None = None) -> Client:
        return Client(("127.0.0.1", self.port), source=source)


def rendered(file: Path, changes: Changes) -> str:
    """The file's text with each key of `changes`, which it must contain, replaced."""
    text = file.read_text()
    for old, new in changes.items():
        assert old in text, f"{file} has no {old!r}"
        text = text.replace(old, new)
    return text


def eventually(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def connections(url: str) -> set[str]:
    """What tells the open connections to a listening address apart, as Linux lists them."""
    if url.startswith("unix:"):
        rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
        path = url.removeprefix("unix:")
        return {row[6] for row in rows if row[-1] == path and row[5] == "03"}
    port = f":{int(url.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return {row[2] for row in rows if row[1].endswith(port) and row[3] == "01"}


# -- processes -------------------------------------------------------------------------


@contextmanager
def directory() -> Iterator[Path]:
    """A new directory whose name is short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="fs") as made:
        yield Path(made)


@contextmanager
def fastserve(
    place: str, cwd: Path, *more: str, admin: socket.socket | None = None
) -> Iterator[Command]:
    """The command with the tests' application; `place` is an address for `--bind`."""
    arguments = [f"{APP}:app", "--bind", place, *more]
    pass_fds = []
    if admin is not None:
        arguments += ["--admin-bind", f"fd://{admin.fileno()}"]
        pass_fds = [admin.fileno()]
    with started(arguments, cwd, pass_fds=pass_fds) as command:
        command.err.wait_for(r"CTRL\+C to stop")
        yield command


@contextmanager
def _running(arguments: Sequence[str], **options: Any) -> Iterator[Command]:
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    command = Command(process)
    try:
        yield command
    finally:
        process.terminate()
        command.exit()


def write_nginx(made: Path, changes: Changes) -> Path:
    """The main file that includes the rendered one."""
    site, main = made / "site.conf", made / "nginx.conf"
    site.write_text(rendered(NGINX, changes))
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    main.write_text(_NGINX_MAIN.format(user=user, directory=made, site=site))
    return main


def nginx_to(url: str) -> Changes:
    """What makes the shipped file serve what listens at `url`, with a line that it has."""
    over_unix, over_tcp = "server unix:/run/app/app.sock", "# server 127.0.0.1:8000"
    if url.startswith("unix:"):
        return {over_unix: f"server {url}"}
    return {over_unix: "# server unix:", over_tcp: f"server {url.removeprefix('http://')}"}


@contextmanager
def nginx(made: Path, changes: Changes) -> Iterator[tuple[Command, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        main = write_nginx(made, {"listen 80;": f"listen 127.0.0.1:{port};", **changes})
        # As at an upgrade of nginx, which finds the sockets it inherits in this variable.
        arguments = ["nginx", "-p", str(made), "-c", str(main), "-e", "stderr"]
        environment = os.environ | {"NGINX": f"{fd};"}
        with _running(arguments, env=environment, pass_fds=[fd]) as command:
            command.err.wait_for("start worker process ")
            yield command, port


def haproxy_to(url: str, check: socket.socket, over: str) -> Changes:
    """The same for HAProxy; `check` is the admin socket. Of two TCP servers one is left.

    Over "h2" it speaks HTTP/2 to that one, with what docs/deployment.md says to that.
    """
    port = f"port {check.getsockname()[1]}"
    second = {"    server app2 192.0.2.12:8000": "    #"}
    if url.startswith("unix:"):
        path = url.removeprefix("unix:")
        return second | {
            "    server app1 192.0.2.11:8000": "    #",
            "# server app1 unix@/run/app/app.sock": f"server app1 unix@{path}",
            "port 9000": port,
        }
    address = url.removeprefix("http://")
    if over == "h2":
        address += " proto h2 check-proto h1"
        second["http-reuse safe"] = "http-reuse always"
    return second | {"192.0.2.11:8000": address, "port 9000": port}


@contextmanager
def haproxy(made: Path, changes: Changes, shipped: Path = HAPROXY) -> Iterator[tuple[Command, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        file = made / "haproxy.cfg"
        ours = {
            "bind :443\n" if shipped == PASS_THROUGH else "bind :80\n": f"bind fd@{fd}\n",
            "    user haproxy\n    group haproxy\n": "",
            "maxconn 20000": "maxconn 200",  # the number of open files may be limited
        }
        file.write_text(rendered(shipped, ours | dict(changes)))
        with _running(["haproxy", "-db", "-f", str(file)], pass_fds=[fd]) as command:
            yield command, port


@contextmanager
def site(kind: str, over: str, *more: str, changes: Changes | None = None) -> Iterator[Site]:
    """fastserve behind `kind` (nginx, haproxy), connected `over` TCP or a Unix socket.

    `over` may also be "h2", HTTP/2 over TCP, of haproxy.
    """
    with ExitStack() as stack:
        made = stack.enter_context(directory())
        admin = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        place = f"unix:{made}/s" if over == "unix" else "127.0.0.1:0"
        server = stack.enter_context(fastserve(place, made, "--behind", kind, *more, admin=admin))
        if kind == "nginx":
            running = nginx(made, nginx_to(server.url) | dict(changes or {}))
        else:
            running = haproxy(made, haproxy_to(server.url, admin, over) | dict(changes or {}))
        proxy, port = stack.enter_context(running)
        yield Site(proxy, server, port)
