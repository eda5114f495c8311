"""The dry run: what it tells, what it leaves alone, how it ends."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.process import clean_environment, started

from fastserve import check as module
from fastserve.check import check, warnings_of
from fastserve.config import OPTIONS, Config
from fastserve.errors import ConfigError

LIFESPAN = """
events = []

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    assert not scope["state"]["fastserve_draining"].is_set()
    for _ in range(2):
        kind = (await receive())["type"]
        print(kind)
        await send({"type": kind + ".complete"})
"""
PLAIN = """
async def app(scope, receive, send):
    raise NotImplementedError("only http")
"""


def run(arguments: Sequence[str], cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastserve", "check", *arguments],
        cwd=cwd,
        env=clean_environment(**env),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(LIFESPAN)
    return tmp_path


# -- the application -------------------------------------------------------------------


def test_an_application_is_imported_and_its_lifespan_run(directory: Path) -> None:
    done = run(["main:app"], directory)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    told = [line.partition(",")[0].partition(" in ")[0] for line in lines[1:]]
    assert told == [
        "settings: the defaults (--all shows them)",
        "application: ASGI 3",
        "lifespan.startup",
        "lifespan: started",
        "lifespan.shutdown",
        "lifespan: shut down",
        "it would start",
    ]
    (about,) = [line for line in lines if line.startswith("application:")]
    assert f"the function main.app, from {directory / 'main.py'}, imported in 0." in about


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--import-only"], "lifespan: not run (--import-only)"),
        (["--lifespan", "off"], "lifespan: not run (--lifespan off)"),
    ],
)
def test_the_lifespan_can_be_left_alone(directory: Path, arguments: list[str], told: str) -> None:
    done = run(["main:app", *arguments], directory)
    assert done.returncode == 0
    assert told in done.stdout.splitlines()
    assert "lifespan.startup" not in done.stdout


def test_why_an_application_counts_as_one_without_lifespan_is_told(directory: Path) -> None:
    (directory / "main.py").write_text(PLAIN)
    done = run(["main:app"], directory)
    assert done.returncode == 0
    assert "lifespan: the application has none" in done.stdout
    assert "NotImplementedError('only http')" in done.stderr


@pytest.mark.parametrize(
    ("source", "arguments", "told"),
    [
        (LIFESPAN + "class App:\n    async def __call__(self, s, r, w): await app(s, r, w)\n"
         "thing = App()\n", ["main:thing"], "ASGI 3, an object of main.App"),
        (LIFESPAN + "def make(): return app\n", ["main:make", "--factory"],
         "ASGI 3, the function main.app, made by a factory"),
        ("def app(scope):\n    async def run(receive, send): raise NotImplementedError\n"
         "    return run\n", ["main"], "ASGI 2"),
    ],
)  # fmt: skip
def test_what_it_is_is_told(directory: Path, source: str, arguments: list[str], told: str) -> None:
    (directory / "main.py").write_text(source)
    done = run(arguments, directory)
    assert done.returncode == 0, done.stderr
    assert f"application: {told}, from " in done.stdout


@pytest.mark.parametrize(
    ("loop", "told"), [("asyncio", "event loop asyncio"), ("uvloop", "event loop uvloop")]
)
def test_the_lifespan_runs_on_the_loop_that_is_set(directory: Path, loop: str, told: str) -> None:
    if importlib.util.find_spec(loop) is None:
        pytest.skip(f"{loop} is not installed")
    assert told in run(["main", "--loop", loop], directory).stdout


def test_an_env_file_is_the_applications_environment(directory: Path) -> None:
    (directory / "env").write_text("FS_GREETING=hi\n")
    (directory / "main.py").write_text(
        "import os\nprint('greeting', os.environ['FS_GREETING'])\n" + LIFESPAN
    )
    done = run(["main", "--env-file", "env"], directory)
    assert done.returncode == 0
    assert "greeting hi" in done.stdout


# -- failures --------------------------------------------------------------------------

FAILING = LIFESPAN.replace(
    'await send({"type": kind + ".complete"})',
    'await send({"type": kind + FAILS.get(kind, ".complete"), "message": "no database"})',
)


@pytest.mark.parametrize(
    ("source", "arguments", "status", "last"),
    [
        ("def f():\n    raise OSError('no route')\nf()\n", [], 3, "cannot import 'main': no route"),
        ('FAILS = {"lifespan.startup": ".failed"}\n' + FAILING, [], 3,
         "the application's start-up failed: no database"),
        ('FAILS = {"lifespan.shutdown": ".failed"}\n' + FAILING, [], 1,
         "the application's lifespan shutdown failed"),
        (PLAIN, ["--lifespan", "on"], 3, "the application does not do lifespan: it raised "
         "NotImplementedError('only http') (--lifespan on)"),
        (PLAIN, ["--env-file", "none"], 2, "--env-file: there is no file 'none'"),
        (PLAIN, ["--log-config", "no.ini"], 2, "--log-config no.ini: there is no such file"),
        (PLAIN, ["--port", "x"], 2, "--port: 'x' is not a whole number"),
        (PLAIN + "import sys; sys.exit(4)", ["--import-only"], 3,
         "cannot import 'main': it exits by itself while being imported (status 4)"),
    ],
)  # fmt: skip
def test_a_failure_is_told_as_the_server_tells_it(
    directory: Path, source: str, arguments: list[str], status: int, last: str
) -> None:
    (directory / "main.py").write_text(source)
    done = run(["main:app", *arguments], directory)
    assert done.returncode == status
    assert done.stderr.splitlines()[-1] == f"fastserve: {last}"
    assert "it would start" not in done.stdout


def test_the_traceback_is_the_applications_own(directory: Path) -> None:
    (directory / "main.py").write_text("def connect():\n    raise OSError\nconnect()\n")
    done = run(["main:app"], directory)
    assert done.stderr.startswith("Traceback")
    assert "in connect" in done.stderr
    assert "importlib" not in done.stderr


def test_missing_native_modules_are_explained(directory: Path) -> None:
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if '_native.connection' in name else find(name, *a)\n"
        "from fastserve.cli import main; sys.exit(main(['check', 'main:app']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, env=clean_environment(),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.startswith("fastserve: fastserve's native modules are not built for")


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_an_interrupted_start_up_ends_quietly(directory: Path) -> None:
    (directory / "main.py").write_text(
        "import asyncio\n" + LIFESPAN.replace("print(kind)", "print(kind); await asyncio.sleep(60)")
    )
    with started(["check", "main"], directory) as running:
        running.out.wait_for(r"lifespan\.startup\n")
        running.signal(signal.SIGINT)
        assert running.exit() == 130
        assert running.err.text == ""


@pytest.mark.skipif(os.name == "nt", reason="pipes differ")
@pytest.mark.parametrize(("arguments", "status"), [(["main", "--all"], 0), (["other"], 3)])
def test_a_reader_that_leaves_is_no_failure(
    directory: Path, arguments: list[str], status: int
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = subprocess.Popen(
        [sys.executable, "-m", "fastserve", "check", *arguments],
        cwd=directory,
        env=clean_environment() | {"PYTHONUNBUFFERED": ""},
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write_end)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err.count("fastserve: ") == (status != 0)
    assert "Error" not in err


# -- settings --------------------------------------------------------------------------


def settings(text: str) -> dict[str, list[str]]:
    """Value and origin by name."""
    rows = [re.split("  +", line.strip()) for line in text.splitlines() if line.startswith("  ")]
    return {name: rest for name, *rest in rows}


def test_settings_are_told_with_where_they_came_from(directory: Path) -> None:
    (directory / "pyproject.toml").write_text(
        "[tool.fastserve]\nlimit-request-body = '10m'\ntimeout-keep-alive = 5\n"
    )
    done = run(
        ["main", "--uds-mode", "660", "--header", "x-a: b", "--no-access-log"],
        directory,
        WEB_CONCURRENCY="1",
        FASTSERVE_PORT="9000",
    )
    pyproject = "in [tool.fastserve] of pyproject.toml"
    assert settings(done.stdout) == {
        "port": ["9000", "FASTSERVE_PORT"],
        "uds_mode": ["660", "--uds-mode"],
        "workers": ["1", "WEB_CONCURRENCY"],
        "headers": ["x-a: b", "--header"],
        "limit_request_body": ["10m", f"'limit-request-body' {pyproject}"],
        "timeout_keep_alive": ["5", f"'timeout-keep-alive' {pyproject}"],
        "access_log": ["off", "--access-log"],
    }


def test_every_source_is_told(directory: Path) -> None:
    (directory / "pyproject.toml").write_text("[tool.fastserve]\nenv-file = 'env'\n")
    (directory / "prod.toml").write_text("backlog = 7\nworkers = 2\n")
    (directory / "env").write_text("FASTSERVE_WORKERS=1\nFS_OTHER=1\n")
    done = run(["main"], directory, FASTSERVE_CONFIG="prod.toml")
    assert settings(done.stdout) == {
        "config": ["prod.toml", "FASTSERVE_CONFIG"],
        "env_file": ["env", "'env-file' in [tool.fastserve] of pyproject.toml"],
        "workers": ["1", "FASTSERVE_WORKERS in env"],
        "backlog": ["7", "'backlog' in prod.toml"],
    }


def test_all_settings_are_told_on_request(directory: Path) -> None:
    told = settings(run(["main", "--all", "--bind", ":1", "--bind", "unix:s"], directory).stdout)
    assert set(told) == set(OPTIONS)
    assert told["bind"] == ["*:1, unix:s", "--bind"]
    assert told["host"] == ["127.0.0.1", "default"]
    assert told["limit_request_head"] == ["64k", "default"]
    assert told["limit_request_body"] == ["0", "default"]
    assert told["reload"] == ["off", "default"]
    assert told["reload_dir"] == ["none", "default"]
    assert told["uds"] == ["not set", "default"]


def test_an_application_object_and_a_mapping_can_be_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError

    seen: list[object] = []
    monkeypatch.setattr(module, "configure", seen.append)
    config = Config(application, log_config={"version": 1})
    assert check(config, import_only=True) == 0
    assert seen == [config.logging]
    told = capsys.readouterr().out
    assert settings(told) == {"log_config": ["a mapping", "log_config"]}
    assert "application: ASGI 3, the function " in told
    assert told.endswith("it can be imported\n")


# -- warnings --------------------------------------------------------------------------


def warnings(**options: Any) -> str:
    return "\n".join(warnings_of(Config("main:app", **options)))


def test_the_defaults_warn_of_nothing() -> None:
    assert warnings() == ""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"behind": "nginx"}, ""),
        ({"behind": "nginx", "uds": "s"}, ""),
        ({"behind": "nginx", "host": "0.0.0.0"}, "nginx is believed on this machine only, but "),
        ({"behind": "nginx", "bind": ["[::1]:80", "*:80"]}, "nginx is believed on this machine "),
        ({"behind": "nginx", "host": "::", "forwarded_allow_ips": "192.0.2.7"}, ""),
        ({"behind": "traefik", "host": "0.0.0.0"}, ""),
        ({"host": "0.0.0.0"}, ""),
        ({"forwarded_allow_ips": "*"}, ""),
        ({"forwarded_allow_ips": "*", "host": "::"}, "forwarded_allow_ips: whoever can connect "),
        ({"forwarded_hops": 1, "host": "::"}, "forwarded_hops: whoever can connect is believed "),
        ({"forwarded_hops": 1, "host": "::", "proxy_headers": False}, ""),
        ({"forwarded_hops": 1, "host": "::", "forwarded_allow_ips": "10.0.0.1"}, ""),
        (
            {"behind": "alb", "proxy_headers": "no"},
            "behind: nothing is believed of alb, ",
        ),
    ],
)
def test_whom_the_server_believes_is_warned_of(options: dict[str, Any], told: str) -> None:
    found = warnings(**options)
    assert found.startswith(told)
    assert bool(found) == bool(told)


def test_a_port_of_kubernetes_is_told_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTSERVE_PORT", "tcp://10.0.0.1:80")
    assert warnings().startswith("FASTSERVE_PORT is not taken for the port: Kubernetes sets it")
    monkeypatch.setenv("FASTSERVE_PORT", "80")
    assert warnings() == ""


@pytest.mark.parametrize(
    ("quota", "affinity", "workers", "warned"),
    [
        (None, 4, 4, False),
        (None, 4, 5, True),
        ("max 100000", 4, 4, False),
        ("200000 100000", 4, 3, True),
        ("200000 100000", 4, 2, False),
        ("50000 100000", 4, 1, False),
        ("nonsense", 4, 4, False),
    ],
)
def test_more_workers_than_processors_are_warned_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quota: str | None,
    affinity: int,
    workers: int,
    warned: bool,
) -> None:
    limit = tmp_path / "cpu.max"
    if quota is not None:
        limit.write_text(quota)
    monkeypatch.setattr(module, "_CPU_QUOTA", str(limit))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    assert ("more workers" in warnings(workers=workers)) == warned


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"drain_delay": 5}, ""),
        ({"drain_delay": 6}, "a stop may take 47.5 s"),
        ({"timeout_graceful_shutdown": 60, "timeout_lifespan": 0}, "a stop may take 60 s"),
    ],
)
def test_a_stop_longer_than_what_is_usually_given_is_warned_of(
    options: dict[str, Any], told: str
) -> None:
    assert warnings(**options).partition(":")[0] == told


def test_what_needs_a_supervisor_is_warned_of_without_one() -> None:
    options = {"limit_max_requests": 9, "limit_worker_memory": "1g", "timeout_blocked_loop": 5}
    assert warnings(**options, workers=1) == ""
    told = warnings(**options)
    assert "the server stops after 9 requests" in told
    assert "limit_worker_memory does nothing without --workers" in told
    assert "timeout_blocked_loop does nothing without --workers" in told


@pytest.mark.parametrize("option", ["log_file", "access_log_file", "pid_file", "uds"])
def test_files_that_cannot_be_made_are_warned_of(tmp_path: Path, option: str) -> None:
    assert warnings(**{option: tmp_path / "x"}) == ""
    told = warnings(**{option: tmp_path / "no" / "x"})
    assert told == f"{option}: there is no directory {tmp_path / 'no'}"


@pytest.mark.parametrize("option", ["bind", "admin_bind"])
def test_sockets_that_cannot_be_made_are_warned_of(tmp_path: Path, option: str) -> None:
    told = warnings(**{option: f"unix:{tmp_path / 'no' / 'x'}"})
    assert told == f"{option}: there is no directory {tmp_path / 'no'}"


def test_files_and_directories_without_permission_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    log.touch()
    # The tests may run as root, who may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) not in (log, tmp_path))
    assert warnings(log_file=log) == f"log_file: this user may not write to {log}"
    told = f"this user may not make files in {tmp_path}"
    assert warnings(access_log_file=tmp_path / "new") == f"access_log_file: {told}"
    assert warnings(pid_file=tmp_path / "pid") == f"pid_file: {told}"
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    assert warnings(log_file=log) == ""


def test_packages_that_are_missing_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = {"watchfiles", "prometheus_client"}
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in missing else find(name)
    )
    told = warnings(admin_bind=":9000")
    assert "/metrics of admin_bind needs prometheus-client" in told
    assert check(Config("main:app", reload=True)) == ConfigError.status
    assert "reload needs watchfiles: pip install" in capsys.readouterr().err
    missing.clear()
    assert "needs" not in warnings(admin_bind=":9000")


def test_warnings_are_shown_and_no_failure(directory: Path) -> None:
    done = run(["main", "--pid-file", "no/x"], directory)
    assert done.returncode == 0
    assert "warning: --pid-file: there is no directory no" in done.stdout.splitlines()


def test_no_log_and_no_pid_file_is_made(directory: Path) -> None:
    before = set(os.listdir(directory))
    arguments = ["--log-file", "log", "--access-log-file", "access", "--pid-file", "pid"]
    assert run(["main", *arguments], directory).returncode == 0
    assert set(os.listdir(directory)) - before <= {"__pycache__"}


# -- certificates ----------------------------------------------------------------------


def test_certificates_are_told_with_their_end_and_the_password_is_not(
    directory: Path, authority: Authority
) -> None:
    long = authority.issue("a.example", "*.b.example", file="long", password="hunter2")
    short = authority.issue("c.example", file="short", days=10.5)
    files = [f"--ssl-{kind}file={file}" for each in (long, short) for kind, file in
             (("cert", each.certfile), ("key", each.keyfile))]  # fmt: skip
    told = run(["main:app", *files, "--ssl-keyfile-password", "hunter2"], directory).stdout
    told = re.sub(r"until 20\d\d-\d\d-\d\d", "until then", told)
    assert "\ncertificate: a.example, *.b.example (until then)\n" in told
    assert "\nprotocols over TLS (ALPN): h2, http/1.1\n" in told
    assert "\nwarning: the certificate of c.example (until then) ends in 10 days\n" in told
    assert "certificate of a.example" not in told
    assert "hunter2" not in told
    assert re.search(r"ssl_keyfile_password +set, and not shown", told)
    assert "warning: --ssl-keyfile-password shows in the list of processes" in told


def test_a_certificate_that_cannot_be_used_is_a_failure(
    directory: Path, authority: Authority
) -> None:
    issued = authority.issue("a.example", days=-0.1, password="hunter2")
    options = [f"--ssl-certfile={issued.certfile}", f"--ssl-keyfile={issued.keyfile}"]
    refused = run(["main:app", *options], directory)
    assert refused.returncode == 2
    assert "--ssl-keyfile-password opens it" in refused.stderr
    ended = run(["main:app", *options], directory, FASTSERVE_SSL_KEYFILE_PASSWORD="hunter2")
    assert ended.returncode == 0
    assert "has ended\n" in ended.stdout
    assert "list of processes" not in ended.stdout


def test_authorities_nobody_is_asked_for_are_warned_of() -> None:
    assert "ssl_ca_certs does nothing" in warnings(ssl_certfile="a", ssl_ca_certs="b")
    assert not warnings(ssl_certfile="a", ssl_ca_certs="b", ssl_cert_reqs=2)


def test_options_of_http_2_are_warned_of_where_it_is_off() -> None:
    told = warnings(http=1, http2_max_frame_size="64k")
    assert told == "http2_max_frame_size does nothing with --http 1"
    assert "http2" not in warnings(http=2, http2_max_frame_size="64k")
