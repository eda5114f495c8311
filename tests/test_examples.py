"""The examples run as their first lines say."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from support.http2 import Http2Client
from support.process import started
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

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


def test_a_hint_comes_before_its_page() -> None:
    with started(["early_hints.py", "--port", "0"], EXAMPLES) as command:
        with Http2Client(("127.0.0.1", command.port)) as client:
            page = client.open()
            hint = page.head()
            assert hint.status == 103
            assert hint.header("link") == "</style.css>; rel=preload; as=style"
            assert page.answer is None
            assert client.fetch("/style.css").body == b"p { color: teal }\n"
            assert b'href="/style.css"' in page.response().body
        assert command.stop() == 0


def test_in_a_chat_all_hear_what_one_says() -> None:
    with started(["chat.py", "--port", "0"], EXAMPLES) as command:
        assert "new WebSocket" in httpx.get(command.url).text
        address = command.url.replace("http", "ws")
        with connect(address, proxy=None) as first:
            assert first.recv() == "1 here"
            with connect(address, proxy=None) as second:
                assert first.recv() == second.recv() == "2 here"
                for one in (first, second):
                    one.send("Grüße")
                    assert first.recv() == second.recv() == "Grüße"
            assert first.recv() == "1 here"
            command.process.terminate()
            with pytest.raises(ConnectionClosed) as caught:
                first.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
        assert command.exit() == 0
        assert "Traceback" not in command.err.text
