"""No request fails behind a proxy while what answers it is replaced, stopped or started."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from deploy.site import (
    APP,
    DEPLOY,
    HAPROXY,
    Site,
    directory,
    eventually,
    fastserve,
    haproxy,
    needs_haproxy,
    needs_nginx,
    nginx,
    nginx_to,
    rendered,
    site,
)
from support.client import Client, request
from support.load import Load, load
from support.process import PATIENCE, Command, started

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="connections are steered on Linux"
)
WAYS = [
    pytest.param("nginx", "unix", marks=needs_nginx),
    pytest.param("nginx", "tcp", marks=[needs_nginx, pytest.mark.soak]),
    pytest.param("haproxy", "tcp", marks=needs_haproxy),
    pytest.param("haproxy", "h2", marks=[needs_haproxy, pytest.mark.soak]),
]
REPLACED = "all workers are replaced"

# Passes a socket in systemd's manner: descriptor, program and arguments are its own arguments.
PASS_AS_3 = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


def replace_all(front: Site, running: Load, number: signal.Signals) -> None:
    before = set(running.answers)
    front.server.signal(number)
    front.server.err.wait_for(REPLACED)
    running.wait_for(50)
    # The proxy's connections to the old workers end as they fall quiet.
    eventually(lambda: set(running.answers[-20:]).isdisjoint(before))


@pytest.mark.parametrize(("kind", "over"), WAYS)
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2], ids=["reload", "upgrade"])
def test_replacing_all_workers_under_load_fails_no_request(
    kind: str, over: str, number: signal.Signals
) -> None:
    with site(kind, over, "--workers", "2") as front, load(front.url, keep_alive=True) as running:
        replace_all(front, running, number)
        running.stop()
        assert running.failures == []
        assert front.server.stop() == 0


@pytest.mark.parametrize(("kind", "over"), WAYS)
def test_workers_that_have_had_their_requests_go_under_load_without_a_failure(
    kind: str, over: str
) -> None:
    options = ("--workers", "2", "--limit-max-requests", "200")
    with site(kind, over, *options) as front, load(front.url, keep_alive=True) as running:
        front.server.err.wait_for(" has ended", count=4)
        running.stop()
        assert running.failures == []
        assert front.server.stop() == 0


RELEASE = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    body = b"{name}"
    headers = [(b"content-length", b"%d" % len(body))]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": body}})
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2], ids=["reload", "upgrade"])
def test_a_new_release_is_served_when_the_link_to_it_has_changed(
    tmp_path: Path, number: signal.Signals
) -> None:
    """As the deployment page does it: in the working directory, which stays, is a link."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "main.py").write_text(RELEASE.format(name=name))
    (tmp_path / "current").symlink_to("one")
    arguments = ["main:app", "--app-dir", f"{tmp_path}/current", "--port", "0", "--workers", "2"]
    with started(arguments, tmp_path) as command, load(command.url, keep_alive=True) as running:
        assert set(running.answers) == {"one"}
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(tmp_path / "current")
        command.signal(number)
        command.err.wait_for(REPLACED)
        running.wait_for_answer("two", 50)
        running.stop()
        assert set(running.answers[-20:]) == {"two"}
        assert running.failures == []
        assert command.stop() == 0


@needs_haproxy
def test_haproxy_turns_to_the_other_server_while_one_drains() -> None:
    with ExitStack() as stack:
        made = stack.enter_context(directory())
        drain = ("--drain-delay", str(PATIENCE))
        changes = {"inter 1s": "inter 100ms"}
        servers: list[Command] = []
        for name, place in (("app1", "192.0.2.11:8000"), ("app2", "192.0.2.12:8000")):
            admin = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            server = fastserve("127.0.0.1:0", made, *drain, admin=admin)
            servers.append(stack.enter_context(server))
            address = f"127.0.0.1:{servers[-1].port}"
            check = f"check port {admin.getsockname()[1]}"
            changes[f"server {name} {place}\n"] = f"server {name} {address} {check}\n"
            changes[f"{place} track"] = f"{address} track"
        first, second = servers
        proxy, port = stack.enter_context(haproxy(made, changes))
        running = stack.enter_context(load(f"http://127.0.0.1:{port}", keep_alive=True))
        for each in servers:
            running.wait_for_answer(str(each.process.pid))
        first.signal(signal.SIGTERM)
        proxy.err.wait_for("Server app/app1 is DOWN")
        first.signal(signal.SIGTERM)  # it need not serve any longer
        assert first.exit() == 0
        running.wait_for(50)
        running.stop()
        assert running.failures == []
        assert set(running.answers[-20:]) == {str(second.process.pid)}


def unit_arguments() -> list[str]:
    """What the shipped unit starts fastserve with, for the tests' application."""
    unit = rendered(
        DEPLOY / "systemd" / "fastserve.service",
        {
            "main:app --app-dir /srv/app/current": f"{APP}:app",
            "--workers 4": "--workers 2",
            "--admin-bind 127.0.0.1:9000": "--admin-bind 127.0.0.1:0",
        },
    )
    found = re.search(r"^ExecStart=\S+((?:.*\\\n)*.*)", unit, re.M)
    assert found is not None
    return shlex.split(found[1].replace("\\\n", " "))


@needs_nginx
def test_requests_wait_in_the_sockets_queue_while_the_service_restarts() -> None:
    """As under the shipped units: the socket is systemd's, who passes it as descriptor 3."""
    with ExitStack() as stack:
        made = stack.enter_context(directory())
        path = f"{made}/s"
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen()
        _, port = stack.enter_context(nginx(made, nginx_to(f"unix:{path}")))
        command = ["-c", PASS_AS_3, str(listener.fileno())]
        command += [sys.executable, "-m", "fastserve", *unit_arguments()]

        def service() -> Command:
            passed = {"module": "", "pass_fds": [listener.fileno()]}
            return stack.enter_context(started(command, made, **passed))

        former = service()
        with Client(("127.0.0.1", port)) as client:
            assert client.get("/").status == 200
            assert former.stop() == 0
            client.send(request("GET", "/"))
            next_one = service()
            assert client.response().status == 200
        assert next_one.stop() == 0


@pytest.mark.skipif(not shutil.which("logrotate"), reason="logrotate is not installed")
def test_rotated_logs_go_on_in_the_new_files(tmp_path: Path) -> None:
    logs = tmp_path / "log"
    logs.mkdir(mode=0o755)
    files = ("--log-file", f"{logs}/messages.log", "--access-log-file", f"{logs}/access.log")
    arguments = [f"{APP}:app", "--port", "0", "--workers", "1", *files]
    messages, access = logs / "messages.log", logs / "access.log"
    with started(arguments, tmp_path) as command:
        eventually(lambda: messages.exists() and "CTRL+C" in messages.read_text())
        found = re.search(r"http://127.0.0.1:(\d+)", messages.read_text())
        assert found is not None
        address = ("127.0.0.1", int(found[1]))
        with Client(address) as client:
            client.get("/fields")
        eventually(lambda: "/fields" in access.read_text())
        rotate(tmp_path, logs, command.process.pid)
        eventually(lambda: "reopened" in messages.read_text())
        with Client(address) as client:
            client.get("/digest")
        eventually(lambda: "/digest" in access.read_text())
        assert "/fields" not in access.read_text()
        assert "/fields" in (logs / "access.log.1").read_text()
        assert command.stop() == 0


def rotate(made: Path, logs: Path, pid: int) -> None:
    file = made / "logrotate.conf"
    file.write_text(
        rendered(
            DEPLOY / "logrotate" / "fastserve",
            {
                "/var/log/app/": f"{logs}/",
                "    su app app\n": "",
                "create 0640 app app": "create 0640",
                "systemctl kill --kill-whom=main --signal=USR1 fastserve.service": (
                    f"kill -USR1 {pid}"
                ),
            },
        )
    )
    file.chmod(0o644)
    command = ["logrotate", "--force", "--state", str(made / "state"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


def test_the_drain_is_longer_than_haproxy_takes_to_notice() -> None:
    """With the delay that the deployment page advises for it."""
    check = re.search(r"inter (\d+)s fall (\d+)", HAPROXY.read_text())
    page = (DEPLOY.parent / "docs" / "deployment.md").read_text()
    section = page.partition("## Behind HAProxy\n")[2].partition("\n## ")[0]
    delay = re.search(r"--drain-delay (\d+)", section)
    assert check is not None
    assert delay is not None
    assert int(delay[1]) > int(check[1]) * int(check[2])


def test_log_directories_of_the_unit_and_of_logrotate_agree() -> None:
    unit = (DEPLOY / "systemd" / "fastserve.service").read_text()
    rotation = (DEPLOY / "logrotate" / "fastserve").read_text()
    found = re.search(r"^LogsDirectory=(\S+)", unit, re.M)
    assert found is not None
    assert os.path.join("/var/log", found[1], "*.log") in rotation
