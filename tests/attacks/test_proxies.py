"""Those who pretend to be somebody else, by fields, by PROXY headers, and to whom."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path

from support.client import Client, request
from support.proxies import CLAIMS, SIGNATURE, header, line
from support.victim import MIB, Victim, victim

STRANGER = "127.0.0.2"
FORGED = (*CLAIMS, "True-Client-IP: 6.6.6.6")
EVERY = "x-forwarded-for,x-forwarded-proto,x-forwarded-host,x-forwarded-port,x-forwarded-prefix"
OLD = line("192.0.2.1", 5555, "192.0.2.2", 80)


def told(client: Client, *fields: str) -> dict[str, object]:
    client.send(request("GET", "/who", *fields))
    seen: dict[str, object] = json.loads(client.response().body)
    return seen


def assert_not_believed(server: Victim, source: str | None) -> None:
    for at in range(200):
        client = server.connect(source=source)
        seen = told(client, *(field.replace("6.6.6.6", f"6.6.6.{at}") for field in FORGED))
        assert (seen["scheme"], seen["host"], seen["root_path"]) == ("http", "test", "")
        assert seen["client"] == (list(client.sock.getsockname()) if source else None)
        server.leave()
    server.serves()


def assert_nowhere(server: Victim) -> None:
    """Not in the log either."""
    assert "6.6.6." not in server.access
    assert server.access.count("/who") == 200


def test_fields_of_strangers_are_not_believed(tmp_path: Path) -> None:
    """Neither by the application nor by the log, nor by what counts connections."""
    options = ("--forwarded-allow-ips", "127.0.0.1", "--forwarded-headers", EVERY)
    options += ("--limit-connections-per-client", "20")
    announced = [f"at the limit of 20 connections from {STRANGER}"]
    with victim(tmp_path, *options, announced=announced) as server:
        assert_not_believed(server, STRANGER)
        # One address is one client, whatever each of its connections says.
        server.account_when(lambda seen: seen["objects"]["Connection"] <= 3)
        answers = []
        for at in range(40):
            client = server.connect(source=STRANGER)
            client.send(request("GET", "/", f"X-Forwarded-For: 6.6.6.{at}"))
            answers.append(client.response().status)
        assert sorted(answers) == [200] * 20 + [503] * 20
        server.serves()
    assert_nowhere(server)


def test_nor_are_those_of_strangers_on_a_unix_socket(tmp_path: Path) -> None:
    options = ("--forwarded-allow-ips", "127.0.0.1", "--forwarded-headers", EVERY)
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        with victim(tmp_path, *options, place=("--uds", f"{short}/s")) as server:
            assert_not_believed(server, None)
        assert_nowhere(server)


def test_of_a_trusted_proxys_fields_only_its_own_part_is_believed(tmp_path: Path) -> None:
    options = ("--forwarded-allow-ips", f"{STRANGER},10.0.0.0/8")
    with victim(tmp_path, *options) as server:
        for at in range(200):
            client = server.connect(source=STRANGER)
            chain = f"6.6.6.6, {STRANGER}, 192.0.2.{at}, 10.1.2.3"
            seen = told(client, f"X-Forwarded-For: {chain}", *FORGED[2:])
            assert seen["client"] == [f"192.0.2.{at}", 0]
            assert seen["host"] == "test"
            server.leave()
        for nonsense in ("", ",", ",".join("6" * 3000), "6.6.6.6:99999", "[::", "\xff", "unknown"):
            client = server.connect(source=STRANGER)
            seen = told(client, f"X-Forwarded-For: {nonsense}")
            assert seen["client"] == list(client.sock.getsockname())
        server.serves()
    assert "6.6.6." not in server.access


MALFORMED = {
    "none": request("GET"),
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    "no line end": b"PROXY TCP4 " + b"1" * 500,
    "bare line feed": OLD.replace(b"\r\n", b"\n") + request("GET"),
    "other family": OLD.replace(b"TCP4", b"TCP6") + request("GET"),
    "leading zeros": OLD.replace(b"192.0.2.1", b"192.000.2.1") + request("GET"),
    "port": OLD.replace(b"5555", b"55555555") + request("GET"),
    "forged line": OLD.replace(b"5555", b"5\nGET /crash") + request("GET"),
    "version": SIGNATURE + b"\x31\x11\x00\x0c" + b"x" * 12 + request("GET"),
    "command": header("192.0.2.1", 1, "192.0.2.2", 2, command=9) + request("GET"),
    "too short": SIGNATURE + b"\x21\x11\x00\x01x" + request("GET"),
    "two of them": OLD + OLD + request("GET"),
}
WAITING = {
    "nothing": b"",
    "half a signature": SIGNATURE[:7],
    "half a line": OLD[:20],
    "the longest, of which little comes": SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 60000,
}


def test_malformed_proxy_headers_cost_their_connections(tmp_path: Path) -> None:
    options = ("--proxy-protocol", "--timeout-request-head", "1", "--timeout-first-byte", "1")
    announced = [".*PROXY"]
    with victim(tmp_path, *options, prelude=OLD, announced=announced) as server:
        before = server.account()
        for data in WAITING.values():
            for _ in range(25):
                server.connect().send(data)
        for data in MALFORMED.values():
            for _ in range(25):
                with Client(server.address) as client:
                    with suppress(ConnectionError):
                        client.send(data)
                    assert b" 200 " not in client.rest()
            server.serves(1)
        assert server.account()["memory"] - before["memory"] < 12 * MIB
        server.assert_ends_attacks()
    assert "/crash" not in server.access
    # One at a time, however many.
    assert server.log.count("PROXY") <= 25 * len(MALFORMED)


def test_who_is_not_trusted_may_send_no_proxy_header(tmp_path: Path) -> None:
    options = ("--proxy-protocol", "--forwarded-allow-ips", "127.0.0.1")
    with victim(tmp_path, *options, prelude=OLD, announced=[".*PROXY|.*trusted"]) as server:
        for at in range(300):
            with server.connect(source=STRANGER) as client:
                with suppress(ConnectionError):
                    client.send(line(f"6.6.6.{at % 256}", 1, "192.0.2.2", 80) + request("GET"))
                client.assert_closed()
        server.serves()
    assert "6.6.6." not in server.access
    assert server.access.count("192.0.2.1:5555") > 0
