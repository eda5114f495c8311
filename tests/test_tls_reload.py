"""New files of certificates: taken when they are whole, told, and never taken when broken."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority, Certificate, replace
from support.handshake import Handshake, certificates, jo, name_of
from support.logs import LogRecords

from fastserve import tls
from fastserve.config import Config
from fastserve.tls import Certificates


def settle(server: Certificates) -> None:
    """Look often enough for what has changed to be taken."""
    server.look()
    server.look()


def serial(shaken: Handshake) -> str:
    found = shaken.client.getpeercert()
    assert found is not None
    return str(found["serialNumber"])


def test_new_files_are_taken_for_new_connections(authority: Authority, logs: LogRecords) -> None:
    server = certificates(authority.issue("a.example"))
    client = authority.client_context()
    before = Handshake(server, client, "a.example")
    settle(server)
    assert logs.records == []
    authority.issue("a.example", "more.example")
    server.look()
    assert serial(Handshake(server, client, "a.example")) == serial(before)
    server.look()
    after = Handshake(server, client, "more.example")
    assert serial(after) != serial(before)
    (record,) = logs.records
    assert record.levelname == "INFO"
    assert record.getMessage().startswith("certificates reloaded: a.example, more.example (until 2")
    before.client.write(b"still there")
    assert before.server.read() == b"still there"
    assert server.extension(before.server)["server_cert"] is not None
    settle(server)
    assert len(logs.records) == 1


def test_a_certificate_waits_for_its_key(authority: Authority, logs: LogRecords) -> None:
    issued = authority.issue("a.example")
    server = certificates(issued)
    old_key = Path(issued.keyfile).read_bytes()
    authority.issue("b.example")
    new_key = Path(issued.keyfile).read_bytes()
    replace(Path(issued.keyfile), old_key)
    server.look()
    replace(Path(issued.keyfile), new_key)
    settle(server)
    assert name_of(Handshake(server, authority.client_context(), "b.example")) == "b.example"
    assert [record.levelname for record in logs.records] == ["INFO"]


def test_broken_files_leave_all_as_it_is_and_are_told_once(
    authority: Authority, logs: LogRecords
) -> None:
    issued = authority.issue("a.example")
    server = certificates(issued, ssl_ca_certs=authority.cafile, ssl_cert_reqs="optional")
    client = authority.client_context(jo(authority))
    good = Path(issued.certfile).read_bytes()
    for broken in (b"", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"):
        logs.records.clear()
        replace(Path(issued.certfile), broken)
        for _ in range(3):
            settle(server)
        assert server.extension(Handshake(server, client, "a.example").server)["client_cert_chain"]
        (record,) = logs.records
        assert record.levelname == "ERROR"
        assert record.getMessage().startswith("ssl_certfile: ")
        assert issued.certfile in record.getMessage()
        assert record.getMessage().endswith("; the certificates stay as they are")
    os.unlink(issued.certfile)
    settle(server)
    assert "No such file" in logs.records[-1].getMessage()
    replace(Path(issued.certfile), good)
    settle(server)
    assert logs.records[-1].getMessage().startswith("certificates reloaded")


@pytest.mark.parametrize("file", ["ca", "crl"])
def test_new_authorities_and_revocations_are_taken(authority: Authority, file: str) -> None:
    mine = jo(authority)
    options: dict[str, Any] = {"ssl_ca_certs": authority.cafile, "ssl_cert_reqs": "required"}
    if file == "crl":
        options["ssl_crlfile"] = authority.revoke()
    server = certificates(authority.issue("a.example"), **options)
    client = authority.client_context(mine)
    Handshake(server, client, "a.example")
    if file == "crl":
        authority.revoke(mine)
    else:
        (authority.directory / "other").mkdir()
        other = Authority(authority.directory / "other").cafile
        replace(Path(options["ssl_ca_certs"]), Path(other).read_bytes())
    settle(server)
    with pytest.raises(ssl.SSLError):
        Handshake(server, client, "a.example")


def test_links_that_are_swapped_are_followed(authority: Authority) -> None:
    """As Kubernetes does it: data -> one, certificate -> data/tls.crt."""
    files = {}
    for name in ("one", "two"):
        made = authority.directory / name
        made.mkdir()
        issued = authority.issue(f"{name}.example", file=f"{name}/tls")
        os.rename(issued.certfile, made / "tls.crt")
        files[name] = made
    data = authority.directory / "..data"
    data.symlink_to("one")
    for file in ("tls.crt", "tls.key"):
        (authority.directory / file).symlink_to(f"..data/{file}")
    server = certificates(
        Certificate(str(authority.directory / "tls.crt"), str(authority.directory / "tls.key"))
    )
    client = authority.client_context()
    assert name_of(Handshake(server, client, "one.example")) == "one.example"
    new = authority.directory / "..new"
    new.symlink_to("two")
    os.rename(new, data)
    settle(server)
    assert name_of(Handshake(server, client, "two.example")) == "two.example"


def test_files_that_change_while_they_are_read_are_read_again(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, logs: LogRecords
) -> None:
    server = certificates(authority.issue("a.example"))
    authority.issue("b.example")
    load = tls._load

    def overtaken(config: Config) -> Any:
        loaded = load(config)
        monkeypatch.setattr(tls, "_load", load)
        authority.issue("c.example")
        return loaded

    monkeypatch.setattr(tls, "_load", overtaken)
    settle(server)
    assert logs.records == []
    settle(server)
    assert name_of(Handshake(server, authority.client_context(), "c.example")) == "c.example"


def test_a_loop_looks_again_and_again_until_it_is_closed(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "INTERVAL", 0.01)
    server = certificates(authority.issue("a.example"))

    async def main() -> None:
        server.watch()
        for name in ("b.example", "c.example"):
            authority.issue(name)
            async with asyncio.timeout(10):
                while server.certificates[0].names != (name,):
                    await asyncio.sleep(0.001)
        server.close()
        monkeypatch.setattr(Certificates, "look", lambda _: looked.set())
        await asyncio.sleep(0.03)

    looked = threading.Event()
    asyncio.run(main())
    assert not looked.is_set()


def test_a_loop_goes_on_looking_after_what_nobody_foresaw(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "INTERVAL", 0.01)
    looks: list[None] = []

    def look(_: Certificates) -> None:
        looks.append(None)
        raise MemoryError

    async def main() -> None:
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        server = certificates(authority.issue("a.example"))
        monkeypatch.setattr(Certificates, "look", look)
        server.watch()
        async with asyncio.timeout(10):
            while len(looks) < 3:
                await asyncio.sleep(0.001)
        server.close()
        assert len(told) == len(looks)

    asyncio.run(main())


def test_a_factory_is_called_again_for_new_files(authority: Authority, logs: LogRecords) -> None:
    issued = authority.issue("a.example")

    def factory(*_: object) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.certfile, issued.keyfile)
        return context

    server = certificates(issued, ssl_context_factory=factory)
    authority.issue("b.example")
    settle(server)
    assert name_of(Handshake(server, authority.client_context(), "b.example")) == "b.example"
    message = "certificates reloaded: those of --ssl-context-factory"
    assert [record.getMessage() for record in logs.records] == [message]


def test_a_factory_that_fails_later_is_told_with_its_traceback(
    authority: Authority, logs: LogRecords
) -> None:
    issued = authority.issue("a.example")
    calls: list[None] = []

    def factory(_: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        calls.append(None)
        return default() if len(calls) == 1 else 1 / 0  # type: ignore[return-value]

    server = certificates(issued, ssl_context_factory=factory)
    authority.issue("b.example")
    settle(server)
    first, _, rest = logs.records[-1].getMessage().partition("\n")
    assert first == "ssl_context_factory: it failed; the certificates stay as they are"
    assert "ZeroDivisionError" in rest
    assert name_of(Handshake(server, authority.client_context(), "a.example")) == "a.example"


def test_one_that_has_ended_is_warned_of(authority: Authority, logs: LogRecords) -> None:
    server = certificates(authority.issue("a.example"))

    async def main() -> None:
        server.watch()
        assert logs.noise == []
        authority.issue("b.example", days=-0.1)
        settle(server)
        server.close()

    asyncio.run(main())
    assert [line.partition(" (")[0] for line in logs.noise] == [
        "WARNING the certificate of b.example"
    ]
