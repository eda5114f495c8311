"""Requests over plain HTTP that are sent to HTTPS: where to, and which are not."""

from __future__ import annotations

from typing import Any

import pytest
from native.stand import play, serving
from support.apps import answer

LINES: list[bytes] = []


async def no_app(*_: object) -> None:
    raise AssertionError("no application is called")


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, scope["scheme"].encode())


def ask(
    head: str, port: int = 443, body: bytes = b"", app: Any = no_app, **options: Any
) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Status, header fields and body of the answer to a request, after which the end comes."""
    got: list[tuple[bytes, dict[bytes, bytes], bytes]] = []

    async def scene() -> None:
        settings = {"redirect_port": port, "access_write": LINES.append} | options
        async with serving(app, **settings) as stand:
            client = await stand.connect()
            await client.send(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
            answer = await client.until(b"\r\n\r\n")
            rest = b""
            while data := await client.read():
                rest += data
            first, *fields = answer.rstrip().split(b"\r\n")
            named = dict(tuple(field.split(b": ", 1)) for field in fields)  # type: ignore[misc]
            got.append((first.split(b" ")[1], named, client._rest + rest))
            stand.service.flush()

    LINES.clear()
    play("asyncio", scene)
    return got[0]


@pytest.mark.parametrize(
    ("head", "port", "location"),
    [
        ("GET / HTTP/1.1\nHost: a.example", 443, "https://a.example/"),
        ("GET / HTTP/1.1\nHost: a.example:80", 443, "https://a.example/"),
        ("GET / HTTP/1.1\nHost: a.example:", 8443, "https://a.example:8443/"),
        ("GET /a%2Fb//?q=%20&r HTTP/1.1\nHost: a", 443, "https://a/a%2Fb//?q=%20&r"),
        ("GET /a? HTTP/1.1\nHost: a", 443, "https://a/a?"),
        ("GET //b.example/x HTTP/1.1\nHost: a", 443, "https://a//b.example/x"),
        ("POST / HTTP/1.1\nHost: [2001:db8::1]:80", 8443, "https://[2001:db8::1]:8443/"),
        ("GET / HTTP/1.1\nHost: 192.0.2.1:8000", 443, "https://192.0.2.1/"),
        ("GET http://b:80/x?y HTTP/1.1\nHost: a", 443, "https://b/x?y"),
        ("GET http://b HTTP/1.1\nHost: a", 443, "https://b/"),
        ("GET / HTTP/1.0\nHost: a", 443, "https://a/"),
        (
            "GET /ws HTTP/1.1\nHost: a\nConnection: upgrade\nUpgrade: websocket\n"
            "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            443,
            "https://a/ws",
        ),
    ],
)
def test_the_same_url_is_named_over_https(head: str, port: int, location: str) -> None:
    status, fields, _ = ask(head, port)
    assert (status, fields[b"location"]) == (b"308", location.encode())
    assert fields[b"connection"] == b"close"


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.0",
        "GET / HTTP/1.1\nHost:",
        "GET / HTTP/1.1\nHost: a%41",
        "GET / HTTP/1.1\nHost: a;b",
        "GET / HTTP/1.1\nHost: a\nHost: b",
        "GET / HTTP/1.1\nHost: a b",
        "OPTIONS * HTTP/1.1\nHost: a",
    ],
)
def test_without_a_host_to_name_it_is_a_bad_request(head: str) -> None:
    status, fields, _ = ask(head)
    assert status == b"400"
    assert b"location" not in fields


def test_head_has_no_body_and_an_upload_is_not_read() -> None:
    assert ask("HEAD / HTTP/1.1\nHost: a")[2] == b""
    status, _, body = ask("POST / HTTP/1.1\nHost: a\nContent-Length: 5", body=b"hello")
    assert (status, body) == (b"308", b"HTTPS is spoken here\n")


def test_what_a_trusted_proxy_had_over_https_is_served() -> None:
    trusted: dict[str, Any] = {
        "forwarded_headers": ["x-forwarded-proto", "x-forwarded-host"],
        "forwarded_allow_ips": ["*"],
    }
    head = "GET / HTTP/1.1\nHost: inside\nConnection: close\nX-Forwarded-Proto: "
    status, _, body = ask(head + "https", app=hello, **trusted)
    assert (status, body) == (b"200", b"https")
    _, fields, _ = ask(head + "http\nX-Forwarded-Host: a.example", **trusted)
    assert fields[b"location"] == b"https://a.example/"
    assert ask(head + "https")[0] == b"308", "nobody is trusted"


def test_it_has_an_access_line() -> None:
    ask("GET /x?y HTTP/1.1\nHost: a")
    assert b'"GET /x?y HTTP/1.1" 308' in b"".join(LINES)
