"""Real frameworks under a real server: what their users do on the first day.

Every application in `apps/` has the same routes, so each test here is one sentence about all
of them. The server runs in a thread of this process; tests and applications wait for each
other at the marks of one `Stage`, never by sleeping.
"""

from __future__ import annotations

import gc
import hashlib
import os
from collections.abc import Iterator

import httpx
import pytest
from apps.marks import stage
from apps.shared import CHUNK, EVENTS, LARGE_CHUNKS
from support.client import Client, request
from support.process import eventually
from support.server import Running

UPLOAD = os.urandom(200_000)
FORM = httpx.Request(
    "POST",
    "http://test/form",
    data={"title": "Grüße"},
    files={"upload": ("noise.bin", UPLOAD, "application/octet-stream")},
)
FORM_BODY = FORM.read()
FORM_TYPE = FORM.headers["content-type"]
DESCRIBED = {
    "title": "Grüße",
    "filename": "noise.bin",
    "size": len(UPLOAD),
    "sha256": hashlib.sha256(UPLOAD).hexdigest(),
}


def leave(client: Client, how: str) -> None:
    """Close the connection in order, or reset it as a crashed client's kernel does."""
    client.reset() if how == "reset" else client.close()


def test_json_is_answered_with_its_length(http: httpx.Client) -> None:
    response = http.get("/json", params={"name": "wörld & co"})
    assert response.status_code == 200
    assert response.json() == {"hello": "wörld & co"}
    assert response.headers["content-length"] == str(len(response.content))
    assert response.headers["content-type"].startswith("application/json")
    assert "transfer-encoding" not in response.headers


def test_a_json_document_comes_back_unchanged(http: httpx.Client) -> None:
    document = {"list": list(range(1000)), "text": "ß" * 5000, "nested": {"null": None}}
    for _ in range(3):
        assert http.post("/json", json=document).json() == document


def test_pipelined_requests_are_answered_in_order(server: Running) -> None:
    names = [f"n{number}" for number in range(10)]
    with server.connect() as client:
        client.send(b"".join(request("GET", f"/json?name={name}") for name in names))
        for name in names:
            answer = client.response()
            assert answer.status == 200
            assert f'"{name}"' in answer.text


def test_a_form_with_a_file_arrives_whole(http: httpx.Client) -> None:
    response = http.post("/form", content=FORM_BODY, headers={"content-type": FORM_TYPE})
    assert response.status_code == 200
    assert response.json() == DESCRIBED


# Django's form parser and WSGI both go by the content-length, which a chunked body has not.
@pytest.mark.without("django", "flask")
def test_a_form_sent_in_chunks_arrives_whole(http: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(FORM_BODY), 7001):
            yield FORM_BODY[start : start + 7001]

    response = http.post("/form", content=pieces(), headers={"content-type": FORM_TYPE})
    assert response.request.headers["transfer-encoding"] == "chunked"
    assert response.json() == DESCRIBED


def test_a_form_is_read_after_100_continue(server: Running) -> None:
    fields = (f"Content-Type: {FORM_TYPE}", f"Content-Length: {len(FORM_BODY)}")
    with server.connect() as client:
        client.send(request("POST", "/form", *fields, "Expect: 100-continue"))
        assert client.head().status == 100
        client.send(FORM_BODY)
        answer = client.response()
    assert answer.status == 200
    assert DESCRIBED["sha256"] in answer.text


def test_a_stream_is_sent_as_it_is_made(http: httpx.Client, key: str) -> None:
    with http.stream("GET", f"/stream/{key}") as response:
        assert response.headers["transfer-encoding"] == "chunked"
        pieces = response.iter_raw()
        got = next(pieces)
        assert got == b"first\n"  # the rest is not made yet
        stage.mark(key)
        got += b"".join(pieces)
    assert got == b"first\nsecond\n" + CHUNK * LARGE_CHUNKS


def test_events_arrive_one_by_one(http: httpx.Client, key: str) -> None:
    stage.mark(f"{key}/0")  # the response's head goes out with the first of them
    with http.stream("GET", f"/events/{key}") as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        lines = response.iter_lines()
        for number in range(EVENTS):
            event = [next(lines) for _ in range(4)]
            assert event == [f"id: {number}", "event: tick", f"data: number {number}", ""]
            stage.mark(f"{key}/{number + 1}")
        assert list(lines) == []


def test_a_background_task_runs_on_after_the_response(http: httpx.Client, key: str) -> None:
    response = http.post(f"/background/{key}")
    assert (response.status_code, response.json()) == (202, {"accepted": True})
    stage.mark(f"{key}/go")  # the response is here, so the task did not hold it back
    stage.wait(f"{key}/done")


def test_two_requests_are_under_way_at_once(server: Running, key: str) -> None:
    with server.connect() as first:
        first.send(request("GET", f"/stream/{key}"))
        first.until(b"first\n")
        assert '"quick"' in server.get("/json?name=quick").text
        stage.mark(key)
        first.until(b"second\n")


@pytest.mark.without("flask")  # WSGI has no way to ask (see flask_app)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_app_that_waits_sees_the_client_leave(server: Running, key: str, how: str) -> None:
    client = server.connect()
    client.send(request("GET", f"/hang/{key}"))
    stage.wait(f"{key}/started")
    leave(client, how)
    stage.wait(f"{key}/gone")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_app_that_streams_sees_the_client_leave(server: Running, key: str, how: str) -> None:
    client = server.connect()
    client.send(request("GET", f"/ticks/{key}"))
    client.until(b"tick\n")
    leave(client, how)

    def is_gone() -> bool:
        # Where sending fails before Django reads the disconnect, its generator is left to the
        # collector.
        gc.collect()
        return stage.count(f"{key}/gone") == 1

    eventually(is_gone)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_in_an_upload_harms_nobody(server: Running, how: str) -> None:
    fields = (f"Content-Type: {FORM_TYPE}", f"Content-Length: {len(FORM_BODY)}")
    client = server.connect()
    client.send(request("POST", "/form", *fields) + FORM_BODY[: len(FORM_BODY) // 2])
    leave(client, how)
    assert server.get("/json?name=next").status == 200
