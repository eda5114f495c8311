"""Access lines of every format, as the native code writes them: fields, escaping, skipping."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from native.stand import Client, play, request, serving
from support.apps import answer, body, read_body, start
from support.websocket import CLOSE, TEXT, frame

from fastserve._native.access_format import FIELDS as NATIVE_FIELDS
from fastserve._native.access_format import AccessFormat
from fastserve._native.access_text import escaped
from fastserve.accessformats import FIELDS, access_steps

Scene = Callable[[Client], Awaitable[Any]]

UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


async def reading(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})
        return
    await read_body(receive)
    status = int(scope["path"][1:4]) if scope["path"][1:4].isdigit() else 200
    await answer(send, b"hello", status)


def lines_of(
    text: str, act: Scene, app: Any = reading, skip: tuple[bytes, ...] = (), **options: Any
) -> list[bytes]:
    """The lines of the format `text` that `act` leads to."""
    written: list[bytes] = []

    async def scene() -> None:
        dialect, steps = access_steps(text)
        async with serving(
            app,
            access_write=written.append,
            access_format=AccessFormat(dialect, steps, worker=3, pid=os.getpid()),
            access_skip=skip,
            **options,
        ) as stand:
            client = await stand.connect()
            await act(client)
            client.sock.close()
            await stand.service.wait_idle()

    play("asyncio", scene)
    lines = b"".join(written).split(b"\n")
    assert lines.pop() == b""
    return lines


def line_of(text: str, act: Scene, app: Any = reading, **options: Any) -> bytes:
    (line,) = lines_of(text, act, app, **options)
    return line


def asking(*lines: str, target: str = "/a/b?c=d", **more: Any) -> Scene:
    async def act(client: Client) -> None:
        await client.send(request(target, *lines, **more))
        await client.answer()

    return act


async def talk(client: Client) -> None:
    """A WebSocket with three messages."""
    await client.send(request("/chat", *UPGRADE, "User-Agent: frames/1", "Cookie: secret"))
    await client.until(b"\r\n\r\n")
    for _ in range(3):
        await client.send(frame(TEXT, b"hello"))
        await client.until(b"hello")
    await client.send(frame(CLOSE, b"\x03\xe8"))
    await client.until(b"\x88\x02\x03\xe8")


def parse_logfmt(line: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    pair = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"=]+)(?: |$)')
    while at < len(line):
        match = pair.match(line, at)
        assert match, line[at:]
        value = match[2]
        found[match[1]] = json.loads(value) if value[0] == '"' else value
        at = match.end()
    return found


# -- escaping --------------------------------------------------------------------------

any_bytes = st.binary(max_size=80) | st.text(max_size=40).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)


@given(any_bytes)
def test_json_is_ascii_and_says_what_was_meant(data: bytes) -> None:
    told = escaped(data, "json")
    assert json.loads(told) == data.decode("utf-8", "replace")
    assert told.decode("ascii").isprintable()


@given(any_bytes)
def test_logfmt_is_one_value_and_says_what_was_meant(data: bytes) -> None:
    told = escaped(data, "logfmt").decode("ascii")
    assert told.isprintable()
    assert parse_logfmt(f"key={told} z=1") == {"key": data.decode("utf-8", "replace"), "z": "1"}


@given(any_bytes)
def test_text_stays_between_its_quotes_and_nothing_is_lost(data: bytes) -> None:
    told = escaped(data, "text").decode("ascii")
    assert told.isprintable()
    assert '"' not in told
    parts = re.findall(r"\\x([0-9a-f]{2})|([^\\])", told)
    assert b"".join(bytes.fromhex(h) if h else c.encode() for h, c in parts) == data


def test_every_byte_is_escaped_where_it_has_to_be() -> None:
    for value in range(256):
        data = bytes([value])
        plain = 0x20 <= value < 0x7F and value not in b'"\\'
        assert (escaped(data, "text") == data) == plain
        assert (escaped(data, "json") == b'"' + data + b'"') == plain
        assert (escaped(data, "logfmt") == data) == (plain and value not in b" =")


@given(st.binary(max_size=60).map(lambda data: bytes(c for c in data if c >= 0x20 and c != 0x7F)))
def test_whatever_a_client_says_a_request_has_one_line(data: bytes) -> None:
    agent = data.strip(b" \t")

    async def act(client: Client) -> None:
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: " + data + b"\r\n\r\n")
        await client.answer()

    assert json.loads(line_of("json", act))["user_agent"] == agent.decode("utf-8", "replace")
    fields = parse_logfmt(line_of("logfmt", act).decode("ascii"))
    assert fields.get("user_agent", "") == agent.decode("utf-8", "replace")
    assert line_of("combined", act).count(b'"') == 6


# -- fields ----------------------------------------------------------------------------


def test_the_fields_are_those_that_the_native_code_knows() -> None:
    native = {*NATIVE_FIELDS, "host", "referer", "user_agent", "worker", "pid"}
    assert set(FIELDS) == native - {"", "readable"}


def test_a_json_line_has_every_fact_of_a_request() -> None:
    act = asking("User-Agent: a b", "Referer: /r", method="POST")
    facts = json.loads(line_of("json", act))
    began = datetime.strptime(facts.pop("time"), "%Y-%m-%dT%H:%M:%S.%f%z")
    assert abs((datetime.now(UTC) - began).total_seconds()) < 60
    assert 0 <= facts.pop("ttfb_ms") <= facts.pop("duration_ms") < 30_000
    assert facts == {
        "client": "unix",
        "method": "POST",
        "path": "/a/b",
        "query": "c=d",
        "protocol": "HTTP/1.1",
        "scheme": "http",
        "host": "x",
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 5,
        "worker": 3,
        "pid": os.getpid(),
        "referer": "/r",
        "user_agent": "a b",
    }


def test_a_logfmt_line_has_the_same() -> None:
    act = asking("User-Agent: a b", "Referer: /r")
    told = parse_logfmt(line_of("logfmt", act).decode())
    facts = json.loads(line_of("json", act))
    assert list(told) == list(facts)
    same = set(facts) - {"time", "duration_ms", "ttfb_ms"}
    assert {name: told[name] for name in same} == {name: str(facts[name]) for name in same}


def test_a_combined_line_is_that_of_apache() -> None:
    line = line_of("combined", asking('User-Agent: a "b"', target="/x")).decode()
    assert re.fullmatch(
        r"unix - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
        r'"GET /x HTTP/1\.1" 200 5 "-" "a \\x22b\\x22"',
        line,
    ), line


def test_a_template_says_what_it_asks_for_and_a_dash_for_what_is_not_there() -> None:
    text = "{method}|{target}|{{{header[X-One]}}}|{header[x-two]}|{ws_code}|{tls}|{worker}{pid}!"
    line = line_of(text, asking("X-One: 1", "X-One: 2")).decode()
    assert line == f"GET|/a/b?c=d|{{1}}|-|-|-|3{os.getpid()}!"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", None),
        ("/a?", "/a", ""),
        ("/a?b?c", "/a", "b?c"),
        ("/a:b//c", "/a:b//c", None),
        ("http://x", "/", None),
        ("http://x?q", "/", "q"),
        ("http://x/y?q", "/y", "q"),
    ],
)
def test_the_path_is_that_of_a_target_of_any_form(
    target: str, path: str, query: str | None
) -> None:
    facts = json.loads(line_of("json", asking(target=target)))
    assert (facts["path"], facts.get("query")) == (path, query)


def test_bytes_in_are_those_of_the_body_however_it_is_framed() -> None:
    async def act(client: Client) -> None:
        await client.send(request(method="POST", body=b"x" * 10).replace(
            b"Host", b"Content-Length: 10\r\nHost"))  # fmt: skip
        await client.answer()
        chunks = b"5\r\nhello\r\n3\r\nyou\r\n0\r\nX-Trailer: 1\r\n\r\n"
        await client.send(request("/", "Transfer-Encoding: chunked", method="POST") + chunks)
        await client.answer()
        await client.get()

    found = [json.loads(line)["bytes_in"] for line in lines_of("json", act)]
    assert found == [10, 8, 0]


def test_bytes_in_of_a_client_that_leaves_are_those_that_came() -> None:
    async def act(client: Client) -> None:
        await client.send(request("/", "Content-Length: 100", method="POST") + b"x" * 40)
        while client.sock.fileno() >= 0 and not begun.is_set():
            await asyncio.sleep(0)
        client.sock.close()

    begun = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        begun.set()
        await receive()

    facts = json.loads(line_of("json", act, app))
    assert (facts["status"], facts["bytes_in"], "ttfb_ms" in facts) == (499, 40, False)


def test_the_first_byte_comes_before_the_last() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"x", more=True))
        await asyncio.sleep(0.05)
        await send(body(b"y"))

    async def act(client: Client) -> None:
        await client.send(request())
        await client.until(b"0\r\n\r\n")

    facts = json.loads(line_of("json", act, app))
    assert facts["duration_ms"] - facts["ttfb_ms"] >= 40


def test_an_answer_of_the_servers_own_is_counted_as_it_is_sent() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("on purpose")

    async def act(client: Client) -> None:
        await client.get()

    facts = json.loads(line_of("json", act, fails))
    assert (facts["status"], facts["bytes_out"]) == (500, len("Internal Server Error\n"))
    assert 0 <= facts["ttfb_ms"] <= facts["duration_ms"]


def test_a_refused_head_has_a_line_without_what_nobody_knows() -> None:
    async def act(client: Client) -> None:
        await client.send(b"GET / HTTP/1.1\r\nUser-Agent: seen\r\n\r\n")
        await client.answer()

    facts = json.loads(line_of("json", act))
    assert (facts["status"], facts["method"], facts["path"]) == (400, "-", "-")
    assert facts["bytes_out"] == len("missing Host\n")
    assert not {"user_agent", "host", "request_id"} & set(facts)


def test_a_websocket_has_its_figures_and_the_headers_of_its_handshake() -> None:
    facts = json.loads(line_of("json", talk))
    assert (facts["status"], facts["ws_code"], facts["user_agent"]) == (101, 1000, "frames/1")
    assert (facts["ws_messages_in"], facts["ws_bytes_in"], facts["bytes_in"]) == (3, 15, 15)
    assert (facts["ws_messages_out"], facts["ws_bytes_out"]) == (3, 15)
    assert facts["bytes_out"] == 3 * 7 + 4
    assert 0 <= facts["ttfb_ms"] <= facts["duration_ms"]


# -- skipping --------------------------------------------------------------------------


def test_lines_of_skipped_paths_are_left_out_unless_they_tell_of_a_failure() -> None:
    async def act(client: Client) -> None:
        for target in (
            "/readyz",
            "/readyz?full",
            "/readyzz",
            "/static/a",
            "/static",
            "/503/static",
        ):
            await client.get(target)

    skip = (b"/readyz", b"/static/*", b"/503*")
    found = [json.loads(line)["path"] for line in lines_of("json", act, skip=skip)]
    assert found == ["/readyzz", "/static", "/503/static"]


# -- request ids -----------------------------------------------------------------------


def test_an_id_is_made_for_each_request_and_given_to_everybody() -> None:
    scopes: list[Any] = []
    heads: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await answer(send, b"hello")

    async def act(client: Client) -> None:
        for _ in range(2):
            await client.send(request("/", "X-Request-ID: mine", "A: 1", "X-Request-Id: too"))
            heads.append((await client.answer())[0])

    lines = lines_of("json", act, app, request_id=True)
    ids = [json.loads(line)["request_id"] for line in lines]
    assert len(set(ids)) == 2
    for found, scope, head in zip(ids, scopes, heads, strict=True):
        assert re.fullmatch("[0-9a-f]{32}", found)
        assert [v for k, v in scope["headers"] if k == b"x-request-id"] == [found.encode()]
        assert (b"a", b"1") in scope["headers"]
        assert scope["extensions"]["fastserve.request_id"] == {"id": found}
        assert f"x-request-id: {found}\r\n".encode() in head


TRUSTED = {
    "forwarded_allow_ips": ("unix",),
    "forwarded_headers": ("x-forwarded-for", "x-forwarded-proto"),
    "request_id": True,
}


@pytest.mark.parametrize("given", ["a", "5f0c-b1:2/3=+~._@Z", "x" * 128])
def test_the_id_of_a_trusted_peer_is_taken(given: str) -> None:
    facts = json.loads(line_of("json", asking(f"X-Request-ID: {given}"), **TRUSTED))
    assert facts["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "a,b", "\xe9"])
def test_an_id_that_no_log_should_have_is_not_taken_from_anybody(given: str) -> None:
    facts = json.loads(line_of("json", asking(f"X-Request-ID: {given}"), **TRUSTED))
    assert re.fullmatch("[0-9a-f]{32}", facts["request_id"])


def test_of_several_ids_the_first_is_taken() -> None:
    act = asking("X-Request-ID: one", "X-Request-ID: two")
    assert json.loads(line_of("json", act, **TRUSTED))["request_id"] == "one"


@pytest.mark.parametrize("upgrade", [(), UPGRADE], ids=["http", "websocket"])
def test_the_client_is_whom_a_trusted_peer_names_and_the_peer_is_told_besides(
    upgrade: tuple[str, ...],
) -> None:
    fields = ("X-Forwarded-For: 2001:db8::7", "X-Forwarded-Proto: https")

    async def act(client: Client) -> None:
        await client.send(request("/", *fields, *upgrade))
        await client.until(b"\r\n\r\n")

    facts = json.loads(line_of("json", act, **TRUSTED))
    assert (facts["client"], facts["peer"], facts["scheme"]) == ("[2001:db8::7]", "unix", "https")
    assert line_of("{client_host} {peer}", act, **TRUSTED) == b"2001:db8::7 unix"
    fields = ('Forwarded: for="[2001:db8::8]:4711"', "X-Forwarded-For: 192.0.2.9")
    believed = TRUSTED | {"forwarded_headers": ("forwarded",)}
    assert line_of("{client_host} {client}", act, **believed) == b"2001:db8::8 [2001:db8::8]:4711"
    assert json.loads(line_of("json", act))["client"] == "unix"


def test_an_id_of_the_applications_own_is_left_in_the_response() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, [(b"X-Request-Id", b"app"), (b"content-length", b"0")]))
        await send(body())

    async def act(client: Client) -> None:
        await client.send(request())
        head, _ = await client.answer()
        assert head.lower().count(b"x-request-id") == 1
        assert b"X-Request-Id: app" in head

    assert len(json.loads(line_of("json", act, app, request_id=True))["request_id"]) == 32


def test_answers_of_the_servers_own_and_websockets_have_the_id_too() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("on purpose")

    async def act(client: Client) -> None:
        await client.send(request())
        heads.append((await client.answer())[0])

    async def opens(client: Client) -> None:
        await client.send(request("/", *UPGRADE))
        heads.append(await client.until(b"\r\n\r\n"))

    heads: list[bytes] = []
    for each, app in ((act, fails), (opens, reading)):
        found = json.loads(line_of("json", each, app, request_id=True))["request_id"]
        assert f"x-request-id: {found}\r\n".encode() in heads[-1]


def test_without_the_option_nothing_is_made() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "fastserve.request_id" not in scope["extensions"]
        assert [v for k, v in scope["headers"] if k == b"x-request-id"] == [b"mine"]
        await answer(send, b"hello")

    async def act(client: Client) -> None:
        await client.send(request("/", "X-Request-ID: mine"))
        assert b"x-request-id" not in (await client.answer())[0]

    assert "request_id" not in json.loads(line_of("json", act, app))
