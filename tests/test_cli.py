"""The command as a person meets it: what it prints, how it exits."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.process import clean_environment, finished, started

import fastserve
from fastserve.cli import command, main
from fastserve.config import OPTIONS, Config
from fastserve.options import Option

HELLO = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


UVICORN = (
    "--host --port --uds --fd --workers --loop --lifespan --interface --root-path --header",
    "--server-header --no-server-header --date-header --no-date-header --access-log",
    "--no-access-log --log-level --log-config --use-colors --no-use-colors --factory --app-dir",
    "--env-file --backlog --limit-concurrency --limit-max-requests --limit-max-requests-jitter",
    "--timeout-keep-alive --timeout-graceful-shutdown --h11-max-incomplete-event-size --version",
    "--ws --ws-max-size --ws-max-queue --ws-ping-interval --ws-ping-timeout",
    "--ws-per-message-deflate",
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(HELLO)
    return tmp_path


# -- help ------------------------------------------------------------------------------


def test_every_option_has_its_flags_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for each in OPTIONS.values():
        for flag in each.flags:
            assert f"{flag} " in told or f"{flag}," in told, flag


def test_the_help_is_in_sections_by_subject(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert re.findall(r"^(\w+):$", told, re.M) == [
        "Application", "Bind", "Proxies", "TLS", "Process", "HTTP", "WebSocket", "Limits",
        "Timeouts", "Logging", "Admin", "Reload", "Other",
    ]  # fmt: skip
    assert re.search(r"^Admin:\n  --admin-bind ADDRESS ", told, re.M)
    assert re.search(r"^Reload:\n  --reload  ", told, re.M)
    assert "fastserve check APP" in told
    assert not re.search(r"^  APP ?$", told, re.M)


def test_the_help_of_check_has_the_same_options_and_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    serving = capsys.readouterr().out
    assert main(["check", "--help"]) == 0
    checking = capsys.readouterr().out
    assert checking.startswith("Usage: fastserve check [OPTIONS] APP\n")
    flags = [set(re.findall(r"^  .*?(--[\w-]+)", told, re.M)) for told in (serving, checking)]
    assert flags[1] - flags[0] == {"--all", "--import-only"}
    assert flags[0] - flags[1] == {"--version"}


@pytest.mark.parametrize(
    "flag",
    [flag for line in UVICORN for flag in line.split()],
)
def test_the_flags_shared_with_uvicorn_have_its_names(flag: str) -> None:
    flags = {name for param in command().params for name in (*param.opts, *param.secondary_opts)}
    assert flag in flags


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"fastserve {fastserve.__version__} (CPython 3.")


# -- options that may be given many times ----------------------------------------------

SEVERAL = {
    "bind": ("127.0.0.1:1", "unix:/run/a"),
    "reload_dir": ("src", "lib"),
    "reload_include": ("*.html", "*.css"),
    "reload_exclude": ("*.tmp", "build"),
}


@pytest.fixture
def gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configs the command was run with, in a directory and environment without options."""
    configs: list[Config] = []
    monkeypatch.setattr("fastserve.cli.launch", lambda config: configs.append(config) or 0)
    monkeypatch.setattr(os, "environ", clean_environment())
    monkeypatch.chdir(tmp_path)
    return configs


def several(config: Config) -> dict[str, tuple[str, ...]]:
    return {name: tuple(map(str, config.get(name))) for name in SEVERAL}  # type: ignore[call-overload]


def test_several_values_are_several_flags(gathered: list[Config]) -> None:
    flags = [
        word
        for name, values in SEVERAL.items()
        for value in values
        for word in (OPTIONS[name].flags[0], value)
    ]
    assert main(["main:app", *flags]) == 0
    assert several(gathered[0]) == SEVERAL
    assert main(["main:app", "--bind", ":1"]) == 0
    assert several(gathered[1]) == dict.fromkeys(SEVERAL, ()) | {"bind": ("*:1",)}


@pytest.mark.parametrize("between", [",", ", "])
def test_several_values_are_one_variable(
    gathered: list[Config], monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    for name, values in SEVERAL.items():
        monkeypatch.setitem(os.environ, f"FASTSERVE_{name.upper()}", between.join(values))
    assert main(["main:app"]) == 0
    assert several(gathered[0]) == SEVERAL


@pytest.mark.parametrize("written", [list, ",".join])
def test_several_values_are_a_list_or_a_text_in_the_file(
    gathered: list[Config], tmp_path: Path, written: Callable[[tuple[str, ...]], object]
) -> None:
    lines = [f"{name.replace('_', '-')} = {written(v)!r}" for name, v in SEVERAL.items()]
    (tmp_path / "pyproject.toml").write_text("\n".join(["[tool.fastserve]", *lines]))
    assert main(["main:app"]) == 0
    assert several(gathered[0]) == SEVERAL


def test_the_source_that_wins_gives_all_the_values(
    gathered: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "FASTSERVE_BIND", "127.0.0.1:1,127.0.0.1:2")
    assert main(["main:app", "--bind", "127.0.0.1:3"]) == 0
    assert several(gathered[0])["bind"] == ("127.0.0.1:3",)


# -- flags of yes or no ----------------------------------------------------------------

DEFLATE = "--ws-per-message-deflate"


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ([], True),
        ([DEFLATE], True),
        (["--no-ws-per-message-deflate"], False),
        ([DEFLATE, "false"], False),
        ([DEFLATE, "False"], False),
        ([DEFLATE, "0"], False),
        ([DEFLATE, "true"], True),
        ([f"{DEFLATE}=false"], False),
        ([f"{DEFLATE}=no"], False),
        ([f"{DEFLATE}=True"], True),
        ([DEFLATE, DEFLATE, "false"], False),
        ([f"{DEFLATE}=false", DEFLATE], True),
    ],
)
def test_a_flag_may_be_given_a_value_as_to_uvicorn(
    gathered: list[Config], arguments: list[str], value: bool
) -> None:
    for line in (["main:app", *arguments], [*arguments, "main:app"], [*arguments, "--", "on"]):
        assert main(line) == 0
        config = gathered.pop()
        assert config.app == ("on" if "--" in line else "main:app")
        assert config.websocket.per_message_deflate is value
        assert config.origin("ws_per_message_deflate") == (DEFLATE if arguments else "default")


@pytest.mark.parametrize(
    "option", [each for each in OPTIONS.values() if each.is_pair], ids=lambda each: each.name
)
def test_so_may_every_flag_that_can_be_denied(gathered: list[Config], option: Option) -> None:
    for flag in option.flags:
        assert main(["main:app", flag, "off"]) == main(["main:app", f"{flag}=off"]) == 0
    assert [config.get(option.name) for config in gathered] == [False] * len(gathered)


def test_what_looks_like_a_flag_may_be_a_value(gathered: list[Config]) -> None:
    assert main(["--app-dir", "--date-header", "false:app"]) == 0
    assert main(["main:app", "--app-dir", "--date-header", "--date-header", "no"]) == 0
    assert [config.app for config in gathered] == ["false:app", "main:app"]
    assert [config.application.app_dir for config in gathered] == ["--date-header"] * 2
    assert [config.http.date_header for config in gathered] == [True, False]


def test_the_options_of_websockets_have_the_names_of_all_options(
    gathered: list[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "ws": "none", "ws_max_size": "1m", "ws_max_queue": "4", "ws_ping_interval": "0",
        "ws_ping_timeout": "2.5", "ws_per_message_deflate": "false",
        "ws_deflate_threshold": "1k", "ws_deflate_level": "9", "ws_deflate_window": "15",
        "ws_deflate_context": "false", "ws_handshake_timeout": "5", "ws_close_timeout": "3",
    }  # fmt: skip
    assert set(given) == {name for name in OPTIONS if name.split("_")[0] == "ws"}
    wanted = ["none", 2**20, 4, 0.0, 2.5, False, 1024, 9, 15, False, 5.0, 3.0]
    keys = {name.replace("_", "-"): value for name, value in given.items()}
    assert main(["main:app", *(f"--{key}={value}" for key, value in keys.items())]) == 0
    lines = [f"{key} = '{value}'" for key, value in keys.items()]
    (tmp_path / "pyproject.toml").write_text("\n".join(["[tool.fastserve]", *lines]))
    assert main(["main:app"]) == 0
    (tmp_path / "pyproject.toml").unlink()
    for name, value in given.items():
        monkeypatch.setitem(os.environ, f"FASTSERVE_{name.upper()}", value)
    assert main(["main:app"]) == 0
    assert [[config.get(name) for name in given] for config in gathered] == [wanted] * 3


def test_the_options_of_http_2_have_the_names_of_all_options(
    gathered: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "http": "2", "http2_max_concurrent_streams": "7", "http2_initial_stream_window_size": "64k",
        "http2_max_stream_window_size": "1m", "http2_initial_connection_window_size": "128k",
        "http2_max_connection_window_size": "2m", "http2_max_frame_size": "32k",
        "http2_header_table_size": "0", "http2_limit_resets": "5",
        "http2_limit_control_frames": "50", "http2_settings_timeout": "2.5",
    }  # fmt: skip
    assert set(given) == {name for name in OPTIONS if name.startswith("http")}
    wanted = ["2", 7, 2**16, 2**20, 2**17, 2**21, 2**15, 0, 5, 50, 2.5]
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    assert main(["main:app", *flags]) == 0
    for name, value in given.items():
        monkeypatch.setitem(os.environ, f"FASTSERVE_{name.upper()}", value)
    assert main(["main:app"]) == 0
    assert [[config.get(name) for name in given] for config in gathered] == [wanted] * 2


# -- check -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "show_all", "import_only"),
    [([], False, False), (["--all"], True, False), (["--import-only"], False, True)],
)
def test_check_as_the_first_argument_is_the_dry_run(
    gathered: list[Config],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    show_all: bool,
    import_only: bool,
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        "fastserve.check.check", lambda config, **options: seen.append((config, options)) or 7
    )
    assert main(["check", "main:app", "--workers", "2", *arguments]) == 7
    ((config, options),) = seen
    assert (config.app, config.worker_count) == ("main:app", 2)
    assert options == {"show_all": show_all, "import_only": import_only}
    assert gathered == []


@pytest.mark.parametrize("arguments", [["check:app"], ["--port", "1", "check"]])
def test_an_application_called_check_can_be_served(
    gathered: list[Config], arguments: list[str]
) -> None:
    assert main(arguments) == 0
    assert gathered[0].app == arguments[-1]


def test_the_application_to_check_comes_from_the_other_sources_too(directory: Path) -> None:
    (directory / "pyproject.toml").write_text("[tool.fastserve]\napp = 'mian:app'\n")
    status, text = finished(["check"], directory)
    assert status == 3
    assert "there is no module 'mian'" in text


# -- errors ----------------------------------------------------------------------------

FAILING = HELLO.replace(
    "        raise NotImplementedError",
    "        await receive()\n"
    '        await send({"type": "lifespan.startup.failed", "message": "no database"})\n'
    "        return",
)


@pytest.mark.parametrize(
    ("arguments", "source", "status", "lines"),
    [
        ("mian:app", HELLO, 3, [r"there is no module 'mian' in .*; did you mean 'main'\?"]),
        ("main:ap", HELLO, 3, [r"'main' has no attribute 'ap'; did you mean main:app\?"]),
        ("mian.py", HELLO, 3, [r"there is no file 'mian.py'; did you mean 'main.py'\?"]),
        ("main", "x = 1", 3, ["'main' has no 'app' or 'application'; name it as in main:name"]),
        ("main", "app = 1", 3, ["main is of type int, not an ASGI application"]),
        ("main", "def app(environ, start_response): ...", 3, ["main is a WSGI .*", "wrap it: .*"]),
        ("main", FAILING, 3, ["the application's start-up failed: no database"]),
        ("main --port 70000", HELLO, 2, ["--port: 70000 is not between 0 and 65535"]),
        ("main --port x", HELLO, 2, ["--port: 'x' is not a whole number"]),
        ("main --loop trio", HELLO, 2, ["--loop: 'trio' is not one of auto, uvloop, asyncio"]),
        ("main --ws wsproto", HELLO, 2, ["--ws: 'wsproto' is not one of auto, none: fastserve .*"]),
        ("main --ws-deflate-context=x", HELLO, 2, ["--ws-deflate-context: 'x' is neither true .*"]),
        ("main --prt 1", HELLO, 2, [r"No such option.*--prt.*--port.*", "fastserve --help .*"]),
        ("check main --prt 1", HELLO, 2, [r"No such option.*--prt.*", "fastserve check --help .*"]),
        ("check main --port x", HELLO, 2, ["--port: 'x' is not a whole number"]),
        ("check", HELLO, 2, ["no application named; name it as in: fastserve main:app"]),
        ("main --bind :1 --port 2", HELLO, 2, ["--bind and --port exclude each other.*"]),
        ("main --bind :1,:2", HELLO, 2, ["--bind: ':1,:2' is not an address such as .*"]),
        ("main other", HELLO, 2, [".*unexpected extra argument.*", "fastserve --help .*"]),
        ("main --header x", HELLO, 2, ["--header: 'x' is not of the form 'name: value'"]),
        ("main --uds s --fd 3", HELLO, 2, ["--uds and --fd exclude each other.*"]),
        ("main --log-config no.ini", HELLO, 2, ["--log-config no.ini: there is no such file"]),
        ("main --env-file none", HELLO, 2, ["--env-file: there is no file 'none'"]),
        ("main --config none", HELLO, 2, ["--config: there is no file 'none'"]),
        (
            "main --config main.py",
            HELLO,
            2,
            [r"cannot read main.py: Expected .* \(at line 2, .*\)"],
        ),
        ("", HELLO, 2, ["no application named; name it as in: fastserve main:app"]),
        ("main --fd 99", HELLO, 3, [".*file descriptor 99: no such file descriptor is open"]),
        ("main --uds no/s", HELLO, 3, [".*unix:no/s: the directory does not exist"]),
        ("main --host 203.0.113.7", HELLO, 3, [".*no interface of this machine has that.*"]),
    ],
)
def test_an_error_is_a_line_or_two_and_a_status(
    directory: Path, arguments: str, source: str, status: int, lines: list[str]
) -> None:
    (directory / "main.py").write_text(source)
    got, text = finished(arguments.split(), directory)
    told = text.splitlines()
    assert len(told) == len(lines), text
    for line, pattern in zip(told, lines, strict=True):
        assert re.fullmatch(f"(fastserve: )?{pattern}", line), line
    assert told[0].startswith("fastserve: ")
    assert got == status


def test_a_port_that_is_taken_is_named(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, text = finished(["main:app", "--port", str(port)], directory)
    assert status == 3
    assert text == (
        f"fastserve: cannot listen on 127.0.0.1:{port}: the address is already in use; "
        "is another server running there?\n"
    )


def test_the_applications_traceback_is_shown_and_ours_is_not(directory: Path) -> None:
    (directory / "main.py").write_text("def connect():\n    raise OSError('no route')\nconnect()\n")
    status, text = finished(["main:app"], directory)
    assert status == 3
    assert text.startswith("Traceback")
    assert text.endswith("OSError: no route\nfastserve: cannot import 'main': no route\n")
    files = re.findall(r'File "(.*?)"', text)
    assert {Path(file).name for file in files} == {"main.py"}


@pytest.mark.skipif(os.name == "nt", reason="there is no sh")
@pytest.mark.parametrize(
    ("streams", "closed"),
    [("", []), ("<&-", [0]), (">&-", [1]), ("<&- >&-", [0, 1]), ("<&- >&- 2>&-", [0, 1, 2])],
)
def test_closed_standard_streams_do_not_become_sockets(
    directory: Path, streams: str, closed: list[int]
) -> None:
    (directory / "main.py").write_text(
        "import os\n"
        "null = os.stat(os.devnull)\n"
        "told = [n for n in range(3) if os.path.samestat(os.fstat(n), null)]\n"
        "assert all(map(os.get_inheritable, told))\n"
        "open('told', 'w').write(str(told))\n" + HELLO
    )
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m fastserve check main {streams}', sys.executable],
        cwd=directory,
        env=clean_environment(),
        input=b"",
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert (directory / "told").read_text() == str(closed)


def test_missing_native_modules_are_explained(directory: Path) -> None:
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if '_native.connection' in name else find(name, *a)\n"
        "from fastserve.cli import main; sys.exit(main(['main:app']))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert told.returncode == 3
    assert told.stderr.startswith("fastserve: fastserve's native modules are not built for")
    assert "Traceback" not in told.stderr


# -- serving ---------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["main:app", "main", "main.py", "main.py:app"])
def test_it_serves_what_is_named(directory: Path, target: str) -> None:
    with started([target, "--port", "0"], directory) as running:
        assert httpx.get(running.url).text == "hello"
        assert running.stop() == 0
        assert "stopping (SIGTERM)" in running.err.text.splitlines()[1]
        assert running.err.text.count("\n") == 2  # the start-up message, and no more than that


def test_options_come_from_the_environment_and_the_file(directory: Path) -> None:
    (directory / "pyproject.toml").write_text(
        "[tool.fastserve]\napp = 'main:app'\nport = 70000\nheaders = ['x-a: file']\n"
    )
    with started([], directory, env={"FASTSERVE_PORT": "0"}) as running:
        assert httpx.get(running.url).headers["x-a"] == "file"
        assert running.stop() == 0
    status, text = finished([], directory)
    assert status == 2
    assert text == (
        "fastserve: 'port' in [tool.fastserve] of pyproject.toml: "
        "70000 is not between 0 and 65535\n"
    )


def test_options_come_from_a_file_that_is_named(directory: Path) -> None:
    (directory / "prod.toml").write_text("app = 'main:app'\nport = 0\nheaders = ['x-a: file']\n")
    with started(["--config", "prod.toml"], directory) as running:
        assert httpx.get(running.url).headers["x-a"] == "file"
        assert running.stop() == 0


def test_an_env_file_is_the_applications_environment(directory: Path) -> None:
    (directory / "main.py").write_text(
        "import os\n" + HELLO.replace('b"hello"', 'os.environ["FS_GREETING"].encode()')
    )
    (directory / "env").write_text("FS_GREETING=hi\n")
    with started(["main", "--port", "0", "--env-file", "env"], directory) as running:
        assert httpx.get(running.url).text == "hi"
        assert running.stop() == 0


def test_it_listens_on_an_inherited_socket(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        with started(["main", "--fd", str(fd)], directory, pass_fds=[fd]) as running:
            assert running.port == listener.getsockname()[1]
            assert httpx.get(running.url).text == "hello"
            assert running.stop() == 0


def test_a_unix_socket_of_a_killed_server_is_taken_over(directory: Path) -> None:
    path = str(directory / "s")
    for end in ("kill", "terminate"):
        with started(["main", "--uds", "s"], directory) as running:
            assert running.url == "unix:s"
            with httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client:
                assert client.get("http://x/").text == "hello"
            status, text = finished(["main", "--uds", "s"], directory)
            assert status == 3
            assert "already in use" in text
            getattr(running.process, end)()
            running.exit()
    assert not Path(path).exists()
