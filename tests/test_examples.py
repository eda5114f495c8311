"""The examples run as their first lines say."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from support.process import started

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize(
    ("arguments", "path", "said"),
    [
        (["hello.py"], "/", "Hello, world!\n"),
        (["fastapi_app.py"], "/", '{"hello":"world"}'),
        (["starlette_app.py:create_app", "--factory"], "/hello/you", '{"hello":"you"}'),
        (["lifespan_state.py", "--lifespan", "on"], "/", "visit 1\n"),
    ],
)
def test_an_example_answers(arguments: list[str], path: str, said: str) -> None:
    with started([*arguments, "--port", "0"], EXAMPLES) as command:
        assert httpx.get(command.url + path).text == said
        assert command.stop() == 0


def test_events_stream_until_the_server_stops() -> None:
    options = ["events.py", "--port", "0", "--timeout-graceful-shutdown", "0.2"]
    with started(options, EXAMPLES) as command, httpx.stream("GET", command.url) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: 0"
        command.process.terminate()
        assert command.exit() == 0
        assert "Traceback" not in command.err.text
        assert list(lines)
