"""WebSockets of real frameworks under the real command: what their users do on the first day.

Each framework has a small application in `apps/ws_….py`. None of them is to be blamed for a
client that leaves, so none of the servers may log anything but that it runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from frameworks.running import Applications, command, opened
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import ClientConnection

TEXTS = ["hello", "Grüße, 🙂", "", "x" * 200_000]
EMPTY = {"ws_channels": ("", b""), "ws_quart": (b"",)}
"""Empty messages which these frameworks take for none at all, whatever the server."""
BYTES = [b"", bytes(range(256)), b"\xff" * 200_000]


@pytest.fixture(scope="module")
def apps() -> Iterator[Applications]:
    names = ("ws_starlette", "ws_starlette --loop asyncio", "ws_fastapi", "ws_litestar")
    with Applications(*names, "ws_quart", "ws_channels") as running:
        yield running


def closed(client: ClientConnection) -> tuple[int, str]:
    """Code and reason with which the server closes, nothing coming before."""
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(timeout=10)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def denied(apps: Applications, name: str, target: str) -> Response:
    """The answer to a handshake that the application turns down."""
    with pytest.raises(InvalidStatus) as caught, apps.connect(name, target):
        pass
    return caught.value.response


@pytest.mark.parametrize(
    "name",
    ["ws_starlette", "ws_starlette --loop asyncio", "ws_litestar", "ws_quart", "ws_channels"],
)
def test_texts_and_bytes_come_back(apps: Applications, name: str) -> None:
    with apps.connect(name, "/echo", max_size=None) as client:
        for message in [*TEXTS, *BYTES]:
            if message in EMPTY.get(name, ()):
                continue
            client.send(message)
            assert client.recv() == message
        assert client.ping().wait(10)


# -- Starlette -----------------------------------------------------------------------------


def test_starlette_sets_headers_of_the_accept(apps: Applications) -> None:
    with apps.connect("ws_starlette", "/echo") as client:
        assert client.response is not None
        assert client.response.headers["x-served-by"] == "starlette"
        assert client.response.headers["set-cookie"] == "seen=yes"


def test_an_endpoint_of_starlette_knows_the_request(apps: Applications) -> None:
    target, cookie = "/upper/z%C3%BC?q=a%20b", {"cookie": "a=1"}
    with apps.connect(
        "ws_starlette", target, subprotocols=["upper"], additional_headers=cookie
    ) as client:
        assert client.subprotocol == "upper"
        client.send(json.dumps({"say": "grüße"}))
        assert json.loads(client.recv()) == {
            "said": "GRÜSSE",
            "name": "zü",
            "query": "a b",
            "cookie": "1",
            "scheme": "ws",
        }
        client.close(4321)
    assert httpx.get(apps.url("ws_starlette") + "/codes").json() == 4321


def test_starlette_denies_with_a_response(apps: Applications) -> None:
    response = denied(apps, "ws_starlette", "/denied")
    assert response.status_code == 404
    assert json.loads(response.body) == {"error": "no such room"}
    assert response.headers["x-why"] == "denied"


def test_starlette_denies_with_an_http_exception(apps: Applications) -> None:
    response = denied(apps, "ws_starlette", "/forbidden")
    assert (response.status_code, response.body) == (401, b"who are you?")
    assert response.headers["x-realm"] == "rooms"


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("ws_starlette", "/refused"),
        ("ws_starlette", "/no-such-route"),
        ("ws_quart", "/forbidden"),
        ("ws_channels", "/rooms/closed"),
        ("ws_litestar", "/guarded"),
        ("ws_fastapi", "/rooms/x"),
        ("ws_fastapi", "/numbers/none"),
    ],
)
def test_a_refusal_is_a_403(apps: Applications, name: str, target: str) -> None:
    assert denied(apps, name, target).status_code == 403
    assert denied(apps, name, target).status_code == 403


def test_a_failing_endpoint_is_closed_and_logged_once() -> None:
    with ExitStack() as stack:
        server = command(stack, "ws_starlette")
        with opened(server.url, "/broken") as client:
            client.send("go")
            assert closed(client)[0] == 1011
        with opened(server.url, "/upper/x?q=1") as client:
            client.send("no json")
            assert closed(client)[0] == 1003
        with opened(server.url, "/echo") as client:
            client.send("others live on")
            assert client.recv() == "others live on"
        assert server.stop() == 0
        assert server.err.text.count("LookupError: the application's own fault") == 1
        assert server.err.text.count("RuntimeError: Malformed JSON") == 1


def test_a_disconnect_that_nobody_catches_is_no_trouble(apps: Applications) -> None:
    for code in (1000, 1001, 4000):
        with apps.connect("ws_starlette", "/unhandled") as client:
            client.send("hello")
            assert client.recv() == "hello"
            client.close(code)
        assert httpx.get(apps.url("ws_starlette") + "/codes").json() == code


# -- FastAPI -------------------------------------------------------------------------------


def test_a_chat_of_fastapi_reaches_everybody_in_the_room(apps: Applications) -> None:
    with ExitStack() as stack:
        members = []
        for number in range(5):
            client = apps.connect("ws_fastapi", f"/rooms/green?token=user{number}")
            members.append(stack.enter_context(client))
            joined = {"room": "green", "you": f"user{number}", "here": number + 1}
            assert json.loads(client.recv()) == joined
        other = stack.enter_context(apps.connect("ws_fastapi", "/rooms/red?token=other"))
        assert json.loads(other.recv())["here"] == 1
        for number, member in enumerate(members):
            member.send(f"hello from {number}")
            for each in members:
                assert each.recv() == f"user{number}: hello from {number}"
        members[0].close()
        for each in members[1:]:
            assert each.recv() == "user0 left"
        assert httpx.get(apps.url("ws_fastapi") + "/rooms").json() == {"green": 4, "red": 1}
        other.send("alone")
        assert other.recv() == "other: alone"


def test_a_dependency_reads_the_cookie(apps: Applications) -> None:
    cookie = {"cookie": "session=abc"}
    with apps.connect("ws_fastapi", "/rooms/cookies", additional_headers=cookie) as client:
        assert json.loads(client.recv())["you"] == "abc of a cookie"


def test_a_websocket_exception_closes_with_its_code_and_reason(apps: Applications) -> None:
    with apps.connect("ws_fastapi", "/rooms/short?token=me&limit=3") as client:
        client.recv()
        client.send("far too long")
        assert closed(client) == (1009, "more than 3")


def test_a_client_of_fastapi_that_vanishes_leaves_the_room(apps: Applications) -> None:
    with apps.connect("ws_fastapi", "/rooms/torn?token=a") as stays:
        stays.recv()
        with apps.connect("ws_fastapi", "/rooms/torn?token=b") as leaves:
            leaves.recv()
            leaves.close_socket()
            assert stays.recv() == "b left"


def test_messages_are_iterated_in_order(apps: Applications) -> None:
    with apps.connect("ws_fastapi", "/numbers/7") as client:
        for number in range(200):
            client.send(str(number))
        assert [int(client.recv()) for _ in range(200)] == [7 * n for n in range(200)]


# -- Litestar, Quart -----------------------------------------------------------------------


def test_listeners_of_litestar_take_and_give_data(apps: Applications) -> None:
    with apps.connect("ws_litestar", "/sum") as client:
        for count in (1, 10, 1000):
            client.send(json.dumps(list(range(count))))
            assert json.loads(client.recv()) == {"sum": sum(range(count))}
    with apps.connect("ws_litestar", "/greet/you") as client:
        assert client.recv() == "hello you"
        client.send("good day")
        assert client.recv() == "you said good day"


def test_quart_accepts_with_a_subprotocol_and_closes(apps: Applications) -> None:
    offered = ["documents", "other"]
    with apps.connect("ws_quart", "/json/me?q=1", subprotocols=offered) as client:
        assert client.subprotocol == "documents"
        assert client.response is not None
        assert client.response.headers["x-served-by"] == "quart"
        for document in ([1, {"a": None}], "enough"):
            client.send(json.dumps(document))
            answer = json.loads(client.recv())
            assert answer == {"name": "me", "q": "1", "got": document}
        assert closed(client) == (4000, "as you like")


# -- Django Channels -----------------------------------------------------------------------


def test_a_group_of_channels_hears_consumers_and_views(apps: Applications) -> None:
    with ExitStack() as stack:
        members = []
        for _ in range(3):
            client = apps.connect("ws_channels", "/rooms/green", subprotocols=["rooms"])
            members.append(stack.enter_context(client))
            assert client.subprotocol == "rooms"
            assert json.loads(client.recv()) == {"joined": "green"}
        members[0].send(json.dumps("hello"))
        for member in members:
            assert json.loads(member.recv()) == {"said": "hello"}
        answer = httpx.get(apps.url("ws_channels") + "/announce/green", params={"text": "tea"})
        assert answer.json() == {"told": "green"}
        for member in members:
            assert json.loads(member.recv()) == {"announced": "tea"}
        members[0].close(4444)
        for member in members[1:]:
            assert json.loads(member.recv()) == {"left": 4444}


def test_a_synchronous_consumer_answers_from_its_thread(apps: Applications) -> None:
    with apps.connect("ws_channels", "/shout") as client:
        for text in ("hello", "enough"):
            client.send(text)
            assert client.recv() == text.upper()
        assert closed(client) == (4002, "")
