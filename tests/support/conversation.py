"""Golden conversations: Markdown in, exchanges with a running server out.

tests/wire/README.md describes the notation; this module reads it and plays it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from .client import Client, Response

DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"\d{4} \d\d:\d\d:\d\d GMT"
)
ENDS = ("open", "closed", "aborted", "either")


@dataclass
class Expected:
    """One message the server must send: lines of the head, then the body."""

    head: list[str] = field(default_factory=list)
    optional: list[str] = field(default_factory=list)
    body: bytes = b""
    error: int | None = None
    any_text: bool = False


Step = tuple[str, Any]


@dataclass
class Conversation:
    file: str
    title: str
    app: str
    options: dict[str, Any]
    steps: list[Step]

    @property
    def name(self) -> str:
        words = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        return f"{self.file}-{words}"


def load(path: Path) -> list[Conversation]:
    """The conversations of one file.  Raises ValueError for a malformed one."""
    sections = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.M)[1:]
    return [_section(path.stem, section) for section in sections]


def _section(stem: str, text: str) -> Conversation:
    title = text.splitlines()[0].strip()
    app = re.search(r"^- app: (\S+)$", text, re.M)
    block = re.search(r"^```http\n(.*?)^```$", text, re.M | re.S)
    if not app or not block:
        raise ValueError(f"{stem}: {title}: no app or no conversation")
    options: dict[str, Any] = {}
    for line in re.findall(r"^- options: (.*)$", text, re.M):
        for pair in line.split():
            name, _, value = pair.partition("=")
            options[name] = int(value) if value.isdigit() else value.strip('"')
    try:
        steps = _steps(block.group(1).splitlines())
    except ValueError as error:
        raise ValueError(f"{stem}: {title}: {error}") from None
    return Conversation(stem, title, app.group(1), options, steps)


def _steps(lines: list[str]) -> list[Step]:
    steps: list[Step] = []
    for line in lines:
        marker, _, rest = line.partition(" ")
        if marker == ">":
            if not steps or steps[-1][0] != "send":
                steps.append(("send", b""))
            steps[-1] = ("send", steps[-1][1] + unescape(rest))
        elif marker == "--":
            steps.append(("send", b""))
        elif marker in ("<", "<?"):
            if not steps or steps[-1][0] != "expect":
                steps.append(("expect", []))
            _expect(steps[-1][1], marker, rest)
        elif marker == "=" and rest in (*ENDS, "shutdown"):
            steps.append((rest, None))
        else:
            raise ValueError(f"not a line of a conversation: {line!r}")
    if not steps or steps[-1][0] not in ENDS:
        raise ValueError("the end of the connection is not told")
    return steps


def _expect(messages: list[Expected], marker: str, rest: str) -> None:
    error = re.fullmatch(r"\{\{error (\d+)\}\}", rest)
    if error:
        messages.append(Expected(error=int(error.group(1))))
        return
    if rest.startswith("HTTP/1."):
        messages.append(Expected())
    message = messages[-1]
    if not (message.head and message.head[-1] == ""):
        if not rest.endswith("\\r\\n"):
            raise ValueError(f"a head line without its end: {rest!r}")
        line = unescape(rest)[:-2].decode("latin-1")
        (message.optional if marker == "<?" else message.head).append(line)
    elif rest == "{{text}}":
        message.any_text = True
    else:
        message.body += unescape(rest)


def unescape(text: str) -> bytes:
    r"""The bytes of a line: \r \n \t \0 \\ \xHH, and {{repeat N TEXT}}."""
    text = re.sub(r"\{\{repeat (\d+) (.*?)\}\}", lambda found: found[2] * int(found[1]), text)
    plain = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
    out = b""
    for part in re.split(r"(\\x[0-9a-fA-F]{2}|\\.)", text):
        if part.startswith("\\x"):
            out += bytes.fromhex(part[2:])
        elif part.startswith("\\"):
            out += plain[part[1]]
        else:
            out += part.encode("ascii")
    return out


def play(conversation: Conversation, client: Client, *, bytewise: bool) -> None:
    """Sends and compares.  Raises AssertionError at the first difference."""
    for kind, content in conversation.steps:
        if kind == "send":
            if bytewise:
                client.send_bytewise(content)
            else:
                client.send(content)
        elif kind == "expect":
            for expected in content:
                _compare(expected, client)
        elif kind == "shutdown":
            client.shutdown()
        else:
            _end(kind, client)


def _end(kind: str, client: Client) -> None:
    if kind == "open":
        client.assert_open()
    elif kind == "either":
        # The server may close here or go on; if it goes on, it must not be out of step.
        try:
            client.assert_open()
        except (AssertionError, BrokenPipeError, ConnectionResetError):
            assert client.rest() == b""
            assert client.ended
    else:
        client.assert_closed()


def _compare(expected: Expected, client: Client) -> None:
    answer = client.head()
    if expected.error is not None:
        check_error(answer, client, expected.error)
        return
    status_line, *fields = expected.head[:-1]
    wanted = "\r\n".join(fields).lower()
    got = [
        (name, value)
        for name, value in answer.headers
        if not (name in ("date", "server") and f"{name}:" not in wanted)
    ]
    if expected.any_text:
        client.body(answer)
        assert answer.body
        body = answer.body
    else:
        body = expected.body
    lines = [f"{answer.version} {answer.status} {answer.reason}"]
    assert lines[0] == status_line, answer.raw_head
    names = [_pair(line, body) for line in fields]
    optional = [_pair(line, body) for line in expected.optional]
    got = [pair for pair in got if pair in names or pair not in optional]
    if ("date", "{{date}}") in names:
        got = [(name, DATE.sub("{{date}}", value)) for name, value in got]
    # The order of different names means nothing (RFC 9110, section 5.3); that of equal ones does.
    assert _by_name(got) == _by_name(names), answer.raw_head
    if not expected.any_text:
        assert client.take(len(body)) == body
    _check_automatic(answer)


def _by_name(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(pairs, key=lambda pair: pair[0])


def _pair(line: str, body: bytes) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip().replace("{{length}}", str(len(body)))


def _check_automatic(answer: Response) -> None:
    """What every final answer has: one date in the fixed form, one server name."""
    if answer.status >= 200:
        date, server = answer.header("date"), answer.header("server")
        assert date is not None, answer.raw_head
        assert DATE.fullmatch(date), answer.raw_head
        assert server is not None, answer.raw_head


def check_error(answer: Response, client: Client, status: int) -> None:
    """The server's own error: short plain text, `connection: close`, and the end."""
    assert answer.status == status, answer.raw_head
    assert answer.version == "HTTP/1.1", answer.raw_head
    assert answer.reason in (HTTPStatus(status).phrase, PHRASES.get(status)), answer.raw_head
    kind = answer.header("content-type") or ""
    assert kind.partition(";")[0] == "text/plain", answer.raw_head
    assert answer.header("connection") == "close", answer.raw_head
    assert answer.header("content-length") is not None, answer.raw_head
    _check_automatic(answer)
    client.body(answer)
    assert 0 < len(answer.body) < 200
    assert answer.body.isascii()
    assert client.rest() == b"", "something follows an error"


# RFC 9110, section 15, where http.HTTPStatus of an older Python has another name.
PHRASES = {413: "Content Too Large", 414: "URI Too Long"}
