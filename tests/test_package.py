"""What `import fastserve` gives, and `fastserve.run` in scripts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support.process import finished, started

import fastserve

APP = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


def test_the_names_are_there() -> None:
    from fastserve.server import Server

    assert fastserve.Server is Server
    assert set(fastserve.__all__) == {"Config", "FastserveError", "Server", "__version__", "run"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fastserve.nothing  # noqa: B018


def test_importing_it_loads_neither_the_native_modules_nor_click() -> None:
    code = (
        "import sys, fastserve;"
        "sys.exit(any(name == 'click' or 'fastserve._native' in name for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "call",
    [
        "fastserve.run(app, port=0)",
        "fastserve.run('main:app', port=0)",
        "fastserve.run('main:app', port=0, workers=2)",
        "fastserve.run(__file__, port=0, workers=2)",
    ],
)
def test_a_script_may_run_itself_without_a_guard(tmp_path: Path, call: str) -> None:
    (tmp_path / "main.py").write_text(f"import fastserve\n{APP}\n{call}\nprint('over')\n")
    with started(["main.py"], tmp_path, module="") as command:
        assert httpx.get(command.url).text == "hello"
        assert command.stop() == 0
        assert "Traceback" not in command.err.text
        assert "over" in command.out.text


def test_a_module_that_runs_itself_can_be_served_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(f"import fastserve\n{APP}\nfastserve.run(app, port=0)\n")
    with started(["main:app", "--port", "0"], tmp_path) as command:
        assert httpx.get(command.url).text == "hello"
        assert command.stop() == 0


@pytest.mark.parametrize(
    ("call", "status", "said"),
    [
        ("fastserve.run(app, workers=2)", 2, "must be an import string such as 'main:app'"),
        ("fastserve.run(app, relode=True)", 2, "there is no option 'relode'"),
        ("fastserve.run('nowhere:app', port=0)", 3, "there is no module 'nowhere'"),
    ],
)
def test_a_script_is_told_what_is_wrong(tmp_path: Path, call: str, status: int, said: str) -> None:
    (tmp_path / "main.py").write_text(f"import fastserve\n{APP}\n{call}\n")
    got, text = finished(["main.py"], tmp_path, module="")
    assert got == status
    assert said in text
    assert text.count("\n") == 1


def test_run_reads_the_environment_and_arguments_win(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(f"import fastserve\n{APP}\nfastserve.run(app, port=0)\n")
    environment = {"FASTSERVE_PORT": "70000", "FASTSERVE_HEADERS": "x-a: 1"}
    with started(["main.py"], tmp_path, module="", env=environment) as command:
        assert httpx.get(command.url).headers["x-a"] == "1"
        assert command.stop() == 0
