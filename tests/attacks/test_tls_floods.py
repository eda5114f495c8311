"""What only TLS lets a client do: handshakes in all stages of being left, and after them."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.certificates import Authority
from support.client import request
from support.tls import MemoryClient
from support.victim import HOST, MIB, Victim, victim

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


def test_handshakes_that_stop_on_the_way_are_bounded(tmp_path: Path, authority: Authority) -> None:
    """In number and in time. The others' handshakes are as many."""
    options = ("--ssl-handshake-timeout", "1", "--limit-handshakes", "50")
    hello = MemoryClient(authority, HOST).take()
    with victim(tmp_path, *options, authority=authority) as server:
        before = server.account()
        for at in range(600):
            server.connect().send(hello[: (1, 5, 100, None)[at % 4]])
            if at % 100 == 0:
                server.serves(1)
        server.serves()
        height = server.account()
        assert height["objects"]["TlsLayer"] <= 50 + 4
        assert height["memory"] - before["memory"] < 20 * MIB
        server.assert_ends_attacks()


def test_whole_handshakes_that_are_dropped(tmp_path: Path, authority: Authority) -> None:
    with victim(tmp_path, authority=authority) as server:
        context = authority.client_context()
        for at in range(300):
            server.speak(context)
            if at % 20 == 0:
                server.leave()
        server.serves()


def test_what_is_no_tls_at_all(tmp_path: Path, authority: Authority) -> None:
    with victim(tmp_path, "--ssl-handshake-timeout", "1", authority=authority) as server:
        for at in range(300):
            data = (request("GET"), b"\x00" * 100, os.urandom(5000))[at % 3]
            server.connect().send(data)
            if at % 50 == 0:
                server.serves(1)
        for client in server.attackers:
            client.rest()
            client.close()


def test_records_that_were_tampered_with(tmp_path: Path, authority: Authority) -> None:
    with victim(tmp_path, authority=authority) as server:
        context = authority.client_context()
        for _ in range(50):
            client = server.speak(context)
            raw = os.dup(client.sock.fileno())
            os.write(raw, b"\x17\x03\x03\x00\x20" + os.urandom(32))
            os.close(raw)
            with pytest.raises(ssl.SSLError):
                client.sock.recv(1)
        server.leave()


@contextmanager
def s_client(server: Victim, version: str) -> Iterator[subprocess.Popen[bytes]]:
    """OpenSSL's client, whose lines of one letter are commands."""
    assert server.authority is not None
    command = ["openssl", "s_client", "-connect", f"{HOST}:{server.command.port}", version]
    command += ["-CAfile", server.authority.cafile]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as client:
        try:
            until(client, b"---\n")
            yield client
        finally:
            client.kill()


def until(client: subprocess.Popen[bytes], mark: bytes) -> bool:
    """Whether `mark` is printed before the end."""
    assert client.stdout is not None
    got = b""
    while mark not in got:
        part = os.read(client.stdout.fileno(), 65536)
        if not part:
            return False
        got += part
    return True


def order(client: subprocess.Popen[bytes], line: bytes) -> None:
    assert client.stdin is not None
    os.write(client.stdin.fileno(), line)


@needs_openssl
def test_a_renegotiation_ends_the_connection(tmp_path: Path, authority: Authority) -> None:
    with victim(tmp_path, authority=authority) as server:
        for _ in range(5):
            with s_client(server, "-tls1_2") as client:
                order(client, b"R\n")
                assert until(client, b"RENEGOTIATING")
                assert not until(client, b"never said")
        server.serves()


@needs_openssl
def test_key_updates_without_end(tmp_path: Path, authority: Authority) -> None:
    """Each wants one in return."""
    with victim(tmp_path, authority=authority) as server, s_client(server, "-tls1_3") as client:
        before = server.account()
        for _ in range(300):
            order(client, b"K\n")
            assert until(client, b"KEYUPDATE")
        server.serves()
        assert server.account()["memory"] - before["memory"] < 4 * MIB
        order(client, request("GET"))
        assert until(client, b"hello")


def test_a_client_that_trusts_nobody_comes_again_and_again(
    tmp_path: Path, authority: Authority
) -> None:
    with victim(tmp_path, authority=authority) as server:
        for _ in range(100):
            with pytest.raises(ssl.SSLCertVerificationError):
                server.speak(SUSPICIOUS)
        server.serves()
        server.assert_ends_attacks()


SUSPICIOUS = ssl.create_default_context()
