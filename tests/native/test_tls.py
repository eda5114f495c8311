"""`TlsLayer` alone: a client in memory at its other end."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from native.stand import LOOPS, play, request, serving
from support.certificates import Authority
from support.tls import NAME, MemoryClient, Wrapper, records

from fastserve._native.service import live_objects
from fastserve._native.tls import TlsLayer

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
Cut = Callable[[bytes], list[bytes]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def wrapper(authority: Authority) -> Wrapper:
    return Wrapper(authority.issue(NAME))


@pytest.fixture(params=VERSIONS, ids=["1.2", "1.3"])
def version(request: pytest.FixtureRequest) -> Iterator[ssl.TLSVersion]:
    return request.param


def whole(data: bytes) -> list[bytes]:
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def in_sevens(data: bytes) -> list[bytes]:
    return [data[at : at + 7] for at in range(0, len(data), 7)]


CUTS = (whole, bytewise, in_sevens)


def receive(layer: TlsLayer, data: bytes, cut: Cut = whole, most: int = 0) -> list[bytes]:
    """The runs that `data` gives in pieces; nothing may be left to send."""
    runs: list[bytes] = []
    for piece in cut(data):
        got, output = layer.receive(piece, most)
        runs += got
        assert output is None
    return runs


def shake(client: MemoryClient, layer: TlsLayer, cut: Cut = whole, *first: bytes) -> bytes:
    """Complete the handshake; `first` goes with the client's last flight. What it gives."""
    got = b""
    while not (client.complete and layer.open):
        flight = client.take()
        if client.complete:
            flight += client.seal(*first)
        for piece in cut(flight):
            runs, output = layer.receive(piece)
            got += b"".join(runs)
            client.give(output)
    return got


def pair(
    authority: Authority, wrapper: Wrapper, version: ssl.TLSVersion | None = None
) -> tuple[MemoryClient, TlsLayer]:
    """A client and a layer that have shaken hands."""
    settings = {"maximum_version": version} if version else {}
    client, layer = MemoryClient(authority, **settings), TlsLayer(wrapper)
    shake(client, layer)
    client.read()  # the tickets
    return client, layer


@pytest.mark.parametrize("cut", CUTS)
def test_a_handshake_may_come_in_any_pieces(
    authority: Authority, wrapper: Wrapper, version: ssl.TLSVersion, cut: Cut
) -> None:
    client, layer = MemoryClient(authority, maximum_version=version), TlsLayer(wrapper)
    assert not layer.open
    assert shake(client, layer, cut) == b""
    assert layer.open
    assert layer.resting
    assert client.ssl.version() == {VERSIONS[0]: "TLSv1.2", VERSIONS[1]: "TLSv1.3"}[version]


@pytest.mark.parametrize("cut", CUTS)
def test_a_request_may_come_with_the_end_of_the_handshake(
    authority: Authority, wrapper: Wrapper, cut: Cut
) -> None:
    client, layer = MemoryClient(authority), TlsLayer(wrapper)
    assert shake(client, layer, cut, b"first", b"second") == b"firstsecond"
    client.give(layer.send(b"answer"))
    assert client.read() == b"answer"


@pytest.mark.parametrize("cut", CUTS)
def test_records_may_come_in_any_pieces(
    authority: Authority, wrapper: Wrapper, version: ssl.TLSVersion, cut: Cut
) -> None:
    client, layer = pair(authority, wrapper, version)
    runs = [b"a", b"b" * 300, b"c" * 20_000, b"d"]
    assert b"".join(receive(layer, client.seal(*runs), cut)) == b"".join(runs)
    assert layer.resting


def test_records_split_at_every_offset_give_the_same(
    authority: Authority, wrapper: Wrapper
) -> None:
    client, layer = pair(authority, wrapper)
    size = len(client.seal(b"one", b"two"))
    client, layer = pair(authority, wrapper)
    for at in range(size + 1):
        data = client.seal(b"one", b"two")
        assert len(data) == size
        first, second = receive(layer, data[:at]), receive(layer, data[at:])
        assert b"".join(first + second) == b"onetwo", at


def test_part_of_a_record_is_not_rest(authority: Authority, wrapper: Wrapper) -> None:
    client, layer = pair(authority, wrapper)
    data = client.seal(b"one")
    for at in (1, 4, 5, len(data) - 1):
        (piece,), rest = [data[:at]], data[at:]
        assert receive(layer, piece) == []
        assert not layer.resting
        assert receive(layer, rest) == [b"one"]
        assert layer.resting
        data = client.seal(b"one")


def test_plaintext_comes_in_runs_as_short_as_asked_for(
    authority: Authority, wrapper: Wrapper
) -> None:
    client, layer = pair(authority, wrapper)
    body = os.urandom(50_000)
    runs = receive(layer, client.seal(body), most=1000)
    assert b"".join(runs) == body
    assert max(map(len, runs)) == 1000
    assert receive(layer, client.seal(b"x" * 16384), most=16384) == [b"x" * 16384]


@pytest.mark.parametrize("size", [1, 16383, 16384, 16385, 100_000])
def test_a_large_answer_is_split_into_full_records(
    authority: Authority, wrapper: Wrapper, size: int
) -> None:
    client, layer = pair(authority, wrapper)
    body = os.urandom(size)
    sealed = layer.send(body)
    assert sealed is not None
    assert len(list(records(sealed))) == -(-size // 16384)
    client.give(sealed)
    assert client.read() == body


@pytest.mark.parametrize("head", [1, 200, 16383, 16384, 40_000])
@pytest.mark.parametrize("size", [1, 16384, 50_000])
def test_a_head_shares_a_record_with_what_follows(
    authority: Authority, wrapper: Wrapper, head: int, size: int
) -> None:
    client, layer = pair(authority, wrapper)
    before, body = os.urandom(head), os.urandom(size)
    sealed = layer.send(body, before)
    assert sealed is not None
    if head <= 16384:
        assert len(list(records(sealed))) == -(-(head + size) // 16384)
    client.give(sealed)
    assert client.read() == before + body


def test_nothing_to_say_is_no_record(authority: Authority, wrapper: Wrapper) -> None:
    _, layer = pair(authority, wrapper)
    assert layer.send(b"") is None


def test_a_close_notify_is_the_end_of_what_is_read(
    authority: Authority, wrapper: Wrapper, version: ssl.TLSVersion
) -> None:
    client, layer = pair(authority, wrapper, version)
    data = client.seal(b"last") + client.notify()
    assert receive(layer, data) == [b"last", b""]
    assert receive(layer, b"anything") == []
    client.give(layer.send(b"answer"))
    client.give(layer.close())
    if version == ssl.TLSVersion.TLSv1_3:
        assert client.read() == b"answer"
        assert client.ended


def test_close_sends_close_notify_once(
    authority: Authority, wrapper: Wrapper, version: ssl.TLSVersion
) -> None:
    client, layer = pair(authority, wrapper, version)
    client.give(layer.send(b"answer"))
    client.give(layer.close())
    assert client.read() == b"answer"
    assert client.ended
    assert not layer.open
    assert layer.close() is None
    assert layer.send(b"more") is None
    assert layer.receive(b"more") == ([], None)


def test_a_layer_that_never_began_has_nothing_to_say(wrapper: Wrapper) -> None:
    layer = TlsLayer(wrapper)
    assert layer.resting
    assert layer.close() is None


def test_the_context_is_asked_for_nothing_before_the_first_byte() -> None:
    class Refusing:
        def wrap(self, incoming: Any, outgoing: Any) -> Any:
            raise RuntimeError("asked")

        def extension(self, ssl_object: Any) -> Any:
            raise RuntimeError("asked")

    layer = TlsLayer(Refusing())
    with pytest.raises(RuntimeError, match="asked"):
        layer.receive(b"x")


def alert_of(output: bytes | None) -> tuple[int, int]:
    """(level, description) of a single alert in plain text."""
    assert output is not None
    (record,) = records(output)
    assert record[0] == 21
    assert len(record) == 7
    return record[5], record[6]


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 64,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff" * 4096,
        b"\x80\x2e\x01\x03\x01" + b"\x00" * 60,
        b"\x16\x03\x01\xff\xff" + b"\x00" * 60,
    ],
)
def test_garbage_ends_a_handshake(wrapper: Wrapper, data: bytes) -> None:
    layer = TlsLayer(wrapper)
    with pytest.raises(ssl.SSLError):
        layer.receive(data)
    assert not layer.open
    layer.take()
    assert layer.receive(data) == ([], None)


def test_a_request_in_plain_text_is_told_from_other_garbage(wrapper: Wrapper) -> None:
    layer = TlsLayer(wrapper)
    with pytest.raises(ssl.SSLError) as caught:
        layer.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert caught.value.reason == "HTTP_REQUEST"
    assert layer.take() is None


def test_a_message_that_begins_no_handshake_gets_an_alert(wrapper: Wrapper) -> None:
    layer = TlsLayer(wrapper)
    with pytest.raises(ssl.SSLError):
        layer.receive(b"\x16\x03\x01\x00\x04\x63\x00\x00\x00")
    assert alert_of(layer.take()) == (2, 10)  # unexpected_message


def test_a_version_that_is_refused_gets_an_alert(authority: Authority) -> None:
    strict = Wrapper(authority.issue(NAME), minimum_version=ssl.TLSVersion.TLSv1_3)
    client, layer = (
        MemoryClient(authority, maximum_version=ssl.TLSVersion.TLSv1_2),
        TlsLayer(strict),
    )
    with pytest.raises(ssl.SSLError):
        layer.receive(client.take())
    assert alert_of(layer.take()) == (2, 70)  # protocol_version


def test_a_certificate_that_the_client_refuses_ends_the_handshake(
    authority: Authority, wrapper: Wrapper, version: ssl.TLSVersion
) -> None:
    client = MemoryClient(authority, "other.test", maximum_version=version)
    layer = TlsLayer(wrapper)
    _, output = layer.receive(client.take())
    client.give(output)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.take()
    with pytest.raises(ssl.SSLError) as caught:
        layer.receive(client.outgoing.read())
    assert "ALERT" in caught.value.reason


@pytest.mark.parametrize("at", [0, 4, 5, 20, -1])
def test_a_record_that_was_tampered_with_is_fatal(
    authority: Authority, wrapper: Wrapper, at: int
) -> None:
    client, layer = pair(authority, wrapper)
    data = bytearray(client.seal(b"x" * 100) + client.seal(b"y" * 30_000))
    data[at] ^= 0x80
    with pytest.raises(ssl.SSLError):
        receive(layer, bytes(data))
    assert layer.take() is not None
    assert not layer.open
    assert layer.receive(client.seal(b"more")) == ([], None)


def test_no_exception_is_the_price_of_a_request(authority: Authority) -> None:
    """OpenSSL is asked for plaintext just when it has some."""
    reads = []

    class Counting:
        def __init__(self, inner: ssl.SSLObject) -> None:
            self.do_handshake, self.unwrap = inner.do_handshake, inner.unwrap
            self.write, self.pending, self.inner = inner.write, inner.pending, inner

        def read(self, size: int) -> bytes:
            reads.append(size)
            data = self.inner.read(size)
            reads[-1] = len(data)
            return data

    class Wrapping(Wrapper):
        def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> Any:
            return Counting(super().wrap(incoming, outgoing))

    client, layer = pair(authority, Wrapping(authority.issue(NAME)))
    reads.clear()
    body = os.urandom(200_000)
    assert receive(layer, client.seal(b"request")) == [b"request"]
    data = client.seal(body)
    for at in range(0, len(data), 65536):
        receive(layer, data[at : at + 65536])
    receive(layer, client.seal(b"a", b"b"), bytewise)
    assert reads == [7, *[16384] * 12, 200_000 - 12 * 16384, 1, 1]


def test_a_layer_leaves_nothing_behind(authority: Authority, wrapper: Wrapper) -> None:
    before = live_objects()["TlsLayer"]
    client, layer = pair(authority, wrapper)
    assert live_objects()["TlsLayer"] == before + 1
    receive(layer, client.seal(b"x" * 1000)[:500])
    del layer
    assert live_objects()["TlsLayer"] == before


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("begun", [False, True])
def test_a_broken_connection_is_over_for_its_application_at_once(
    authority: Authority, wrapper: Wrapper, loop: str, begun: bool
) -> None:
    """Though it lingers, so that the peer gets to see the alert."""

    async def body() -> None:
        started, told, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "http.response.start", "status": 200})
            if begun:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
            started.set()
            assert (await receive())["type"] == "http.disconnect"
            told.set()
            try:
                while True:
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})
            except OSError:
                ended.set()

        async with serving(app) as stand:
            client = await stand.connect(tls=wrapper)
            peer = MemoryClient(authority)
            while not peer.complete:
                await client.send(peer.take())
                if not peer.complete:
                    peer.give(await client.read())
            await client.send(peer.seal(request()))
            await started.wait()
            await client.send(b"\x17\x03\x03\x00\x20" + bytes(32))
            await told.wait()
            await ended.wait()
            assert stand.service.connections == 1
            while data := await client.read():
                peer.give(data)
            with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
                peer.read()

    play(loop, body)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_peer_that_makes_tls_answer_and_reads_nothing_is_cut(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As with KeyUpdates; what stands for OpenSSL answers all that it reads."""

    class Answering:
        def __init__(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
            self.incoming, self.outgoing = incoming, outgoing
            self.write = self.pending = self.unwrap = None

        def do_handshake(self) -> None:
            pass

        def selected_alpn_protocol(self) -> None:
            return None

        def read(self, size: int) -> bytes:
            self.outgoing.write(self.incoming.read())
            raise ssl.SSLWantReadError

    class Wrapping:
        def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> Any:
            return Answering(incoming, outgoing)

        def extension(self, ssl_object: Any) -> dict[str, Any]:
            return {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("there is no request")

    async def flood() -> None:
        async with serving(app) as stand:
            ours, theirs = socket.socketpair()
            with ours:
                ours.setblocking(False)
                loop = asyncio.get_running_loop()
                make = partial(stand.service.make_protocol, tls=Wrapping())
                await loop.connect_accepted_socket(make, theirs)
                record = b"\x17\x03\x03\x10\x00" + b"x" * 4096
                with pytest.raises(ConnectionError):
                    await loop.sock_sendall(ours, record * 10_000)

    with caplog.at_level(logging.DEBUG, "fastserve.error"):
        play(loop, flood)
    assert caplog.messages == ["TLS connection with unix failed: the peer does not read"]
