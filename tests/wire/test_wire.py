"""Plays the golden conversations of this folder, each sent whole and byte by byte.

Whole goes over TCP.  Byte by byte goes over a unix socket, where the kernel tells when
the server has read a byte, so that every byte really is a read of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.apps import NAMED
from support.conversation import Conversation, load, play
from support.server import ServerPool

HERE = Path(__file__).parent
FILES = sorted(path for path in HERE.glob("*.md") if path.stem != "README")
CONVERSATIONS = [conversation for path in FILES for conversation in load(path)]


@pytest.fixture(scope="module")
def pool() -> Iterator[ServerPool]:
    servers = ServerPool()
    yield servers
    servers.close()


@pytest.mark.parametrize("manner", ["whole", "bytewise"])
@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda each: each.name)
def test_conversation(
    conversation: Conversation,
    manner: str,
    pool: ServerPool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    bytewise = manner == "bytewise"
    key = (conversation.app, manner, *conversation.options.items())
    options = dict(conversation.options)
    if bytewise:
        options["uds"] = str(tmp_path_factory.mktemp("wire") / "s")
    server = pool.get(key, NAMED[conversation.app], **options)
    with server.connect() as client:
        play(conversation, client, bytewise=bytewise)


def test_titles_are_unique() -> None:
    names = [conversation.name for conversation in CONVERSATIONS]
    assert len(names) == len(set(names))


def test_every_named_app_is_used() -> None:
    assert {conversation.app for conversation in CONVERSATIONS} == set(NAMED)
