"""Bodies in chunks of a few bytes, for an application that is late: a piece each would be dear."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.certificates import Authority
from support.client import request
from support.victim import MIB, victim

COUNT = 125_000


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_hundred_thousand_chunks_take_little_room_and_time(
    tmp_path: Path, authority: Authority, secure: bool
) -> None:
    with victim(tmp_path, authority=authority if secure else None) as server:
        before = server.account()
        clients = [server.speak() for _ in range(4)]
        for client in clients:
            client.send(request("POST", "/late", "Transfer-Encoding: chunked"))
            client.send(b"2\r\nab\r\n" * COUNT + b"0\r\n\r\n")
        height = server.account_when(lambda seen: seen["late"] == len(clients))
        server.serves()
        # As pieces of their own they would take 25 MiB.
        assert height["memory"] - before["memory"] < 6 * MIB
        server.speak().get("/told")
        for client in clients:
            length, messages = json.loads(client.response().body)
            assert length == 2 * COUNT
            assert messages < 2000
