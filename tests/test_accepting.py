"""Pausing and going on with accepting: nobody who waits is lost, and nothing is left over."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fastserve.accepting import Acceptor, telling_of_exhaustion
from fastserve.loops import loop_factory

LOOPS = ("asyncio", "uvloop")
LOG = logging.getLogger("fastserve.error")


class Hello(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        transport.write(b"hello")
        transport.close()


async def listen(_: int, listener: socket.socket, backlog: int) -> asyncio.AbstractServer:
    loop = asyncio.get_running_loop()
    return await loop.create_server(Hello, sock=listener, backlog=backlog)


def bound() -> socket.socket:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    return made


class Caller:
    """A client that has connected, as far as the kernel is concerned."""

    def __init__(self, address: Any) -> None:
        self.sock = socket.create_connection(address, 10)
        self.sock.setblocking(False)

    async def answer(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, 100)

    def has_answer(self) -> bool:
        try:
            return bool(self.sock.recv(100, socket.MSG_PEEK))
        except BlockingIOError:
            return False


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)


def play(loop: str, body: Callable[[], Awaitable[None]]) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(asyncio.wait_for(body(), 30))


@pytest.mark.parametrize("loop", LOOPS)
def test_who_connects_during_a_pause_is_served_after_it(loop: str) -> None:
    async def body() -> None:
        listeners = [bound(), bound()]
        addresses = [each.getsockname() for each in listeners]
        acceptor = Acceptor(listen, listeners, 100, LOG)
        await acceptor.start()
        acceptor.set_accepting(False)
        await turns()
        callers = [Caller(address) for address in addresses for _ in range(3)]
        await turns()
        assert not any(each.has_answer() for each in callers)
        acceptor.set_accepting(True)
        assert [await each.answer() for each in callers] == [b"hello"] * 6
        acceptor.close()
        for each in callers:
            each.sock.close()
        await turns()
        with pytest.raises(ConnectionRefusedError):
            Caller(addresses[0])

    play(loop, body)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("loop", LOOPS)
def test_whatever_is_wanted_in_between_the_last_word_counts(loop: str) -> None:
    async def body() -> None:
        listener = bound()
        address = listener.getsockname()
        acceptor = Acceptor(listen, [listener], 100, LOG)
        await acceptor.start()
        await turns()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            for wanted in (False, True, False, True, True, False, False):
                acceptor.set_accepting(wanted)
            caller = Caller(address)
            await turns()
            assert not caller.has_answer()
            acceptor.set_accepting(True)
            await asyncio.sleep(0)
            acceptor.set_accepting(False)
            acceptor.set_accepting(True)
            assert await caller.answer() == b"hello"
            caller.sock.close()
            await turns()
        assert len(os.listdir("/proc/self/fd")) == before
        acceptor.close()
        await turns()

    play(loop, body)


def test_of_many_failures_to_accept_one_is_told(caplog: pytest.LogCaptureFixture) -> None:
    others: list[Any] = []
    relieved: list[Any] = []

    async def body() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: others.append(context["message"]))
        full = OSError(24, "Too many open files")
        with telling_of_exhaustion(LOG, lambda: relieved.append(1)):
            for _ in range(5):
                loop.call_exception_handler(
                    {"message": "socket.accept() out of system resource", "exception": full}
                )
            loop.call_exception_handler({"message": "another", "exception": full})
        loop.call_exception_handler({"message": "afterwards"})

    play("asyncio", body)
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "Too many open files" in caplog.text
    assert len(relieved) == 5
    assert others == ["another", "afterwards"]
