"""RequestParser against h11 and httptools: every difference is a named one, or a bug.

`DIFFERENCES` is the list of them. Each has an example that shows it, so that no entry
outlives its reason. Where one of the two has not decided yet ("more") and the other
refuses, there is nothing to compare: peers look at some things later than we do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from native.peers import Answer, by_fastserve, by_h11, by_httptools

PEERS = {"h11": by_h11, "httptools": by_httptools}
BOTH = ("h11", "httptools")
CHUNKED = b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def get(line: bytes = b"GET / HTTP/1.1", fields: bytes = b"Host: x\r\n") -> bytes:
    return line + b"\r\n" + fields + b"\r\n"


@dataclass(frozen=True)
class Difference:
    """One way in which we differ from `peers`, and why."""

    name: str
    peers: tuple[str, ...]
    example: bytes
    why: str
    applies: Callable[[bytes, Answer, Answer], bool]


def stricter(reason: str, peers: tuple[str, ...], sample: bytes, why: str) -> Difference:
    """We refuse for `reason` what a peer takes as a message."""
    return Difference(
        f"refused: {reason}", peers, sample, why,
        lambda data, ours, theirs: ours[0] == "error" and ours[2] == reason
        and theirs[0] == "message",
    )  # fmt: skip


def looser(name: str, peers: tuple[str, ...], sample: bytes, why: str,
           seen: Callable[[bytes], bool]) -> Difference:  # fmt: skip
    """We take as a message what a peer refuses, and `seen` tells from the bytes why."""
    return Difference(
        f"taken: {name}", peers, sample, why,
        lambda data, ours, theirs: ours[0] == "message" and theirs[0] == "error" and seen(data),
    )  # fmt: skip


def differ_in(ours: Answer, theirs: Answer) -> set[str]:
    if ours[0] != "message" or theirs[0] != "message":
        return set()
    return {name for name in ours[1] if ours[1][name] != theirs[1][name]}


def without_host(answer: Answer) -> list[tuple[bytes, bytes]]:
    return [pair for pair in answer[1]["headers"] if pair[0] != b"host"]


def first_line(data: bytes) -> bytes:
    return data.lstrip(b"\r\n").partition(b"\r\n")[0]


def leaves_http(data: bytes) -> bool:
    """Whether httptools takes the head for the end of HTTP on this connection."""
    return data.lstrip(b"\r\n").startswith(b"CONNECT ") or b"upgrade" in data.lower()


STRICTER = [
    stricter("HTTP version not supported", BOTH, get(b"GET / HTTP/2.0"),
             "RFC 9110 15.6.6: only major version 1 is spoken in this form"),
    stricter("Transfer-Encoding in an HTTP/1.0 request", BOTH,
             get(b"GET / HTTP/1.0", b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
             "RFC 9112 6.1: such a message has faulty framing"),
    stricter("both Transfer-Encoding and Content-Length", ("h11",),
             get(fields=b"Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n")
             + b"0\r\n\r\n", "RFC 9112 6.3: ought to be handled as an error, request smuggling"),
    stricter("repeated Content-Length", ("h11",),
             get(fields=b"Host: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n"),
             "RFC 9112 6.3 lets a server reject equal lengths too"),
    stricter("malformed Content-Length", ("h11",),
             get(fields=b"Host: x\r\nContent-Length: 0, 0\r\n"),
             "RFC 9112 6.3 lets a server reject a list of equal lengths"),
    stricter("repeated Transfer-Encoding", ("httptools",),
             get(b"GET / HTTP/1.0",
                 b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
             "no client needs two lines, and proxies have read but one of them"),
    stricter("transfer coding not implemented", ("httptools",),
             get(fields=b"Host: x\r\nTransfer-Encoding: gzip, chunked\r\n") + b"0\r\n\r\n",
             "RFC 9112 6.1: 501 for a coding we do not know; an application would get it coded"),
    stricter("folded field line", ("h11",), get(fields=b"Host: x\r\n folded\r\n"),
             "RFC 9112 5.2: a server must reject obs-fold or replace it"),
    stricter("forbidden byte in a field value", ("h11",), get(fields=b"Host: x\r\nA: \x7f\r\n"),
             "RFC 9110 5.5: CTL in a value is invalid"),
    stricter("lines must end in CRLF", ("h11",), get()[:-2] + b"\n",
             "RFC 9112 2.2 lets a recipient accept a bare LF; proxies that do not make it a hole"),
    stricter("lines must end in CRLF", ("httptools",), b"\n" + get(),
             "RFC 9112 2.2: the empty line that may come first is CRLF"),
    stricter("missing Host", ("h11",), get(b"GET / HTTP/1.2", b""),
             "RFC 9112 3.2: 400 for HTTP/1.1, and 1.2 is no less"),
    stricter("missing Host", ("httptools",), get(fields=b""), "RFC 9112 3.2: 400"),
    stricter("repeated Host", ("httptools",), get(fields=b"Host: x\r\nHost: x\r\n"),
             "RFC 9112 3.2: 400"),
    stricter("malformed Host", BOTH, get(fields=b"Host: a b\r\n"), "RFC 9112 3.2: 400"),
    stricter("malformed authority in the request target", BOTH, get(b"GET http:///y HTTP/1.1"),
             "RFC 9110 4.2.1: an empty host is to be rejected as invalid"),
    stricter("malformed percent-encoding in the request target", BOTH, get(b"GET /% HTTP/1.1"),
             "RFC 9112 3: an invalid request-line gets 400"),
    stricter("malformed request target", BOTH, get(b"GET * HTTP/1.1"),
             "RFC 9112 3.2: one of four forms, each for its methods"),
    stricter("malformed chunk extension", BOTH, CHUNKED + b"3;a=\r\nabc\r\n0\r\n\r\n",
             "RFC 9112 7.1.1: the grammar"),
    stricter("unknown expectation", BOTH, get(fields=b"Host: x\r\nExpect: x\r\n"),
             "RFC 9110 10.1.1 lets a server answer 417"),
    stricter("malformed request line", ("httptools",), b"GET /\r\n\r\n",
             "HTTP/0.9 is not spoken"),
    stricter("malformed HTTP version", ("httptools",), get(b"GET /  HTTP/1.1"),
             "RFC 9112 3: one SP between the parts"),
]  # fmt: skip

LOOSER = [
    looser("empty lines before the request line", ("h11",), b"\r\n" + get(),
           "RFC 9112 2.2: a server should ignore at least one",
           lambda data: data.startswith(b"\r\n")),
    looser("white space round the parts of a chunk extension", BOTH,
           CHUNKED + b"3 ;\ta\r\nabc\r\n0\r\n\r\n",
           "RFC 9112 7.1.1: BWS, which a recipient must parse and remove (RFC 9110 5.6.3)",
           lambda data: b";" in data),
    looser("minor versions above 1", ("httptools",), get(b"GET / HTTP/1.2"),
           "RFC 9110 2.5: a higher minor version is served as the highest we know",
           lambda data: first_line(data)[-8:] not in (b"HTTP/1.0", b"HTTP/1.1")),
    looser("any token as method", ("httptools",), get(b"BREW / HTTP/1.1"),
           "RFC 9110 9.1: methods are open; the application answers 405 or 501",
           lambda data: first_line(data).split(b" ")[0].decode() not in
           ("GET", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT")),
]  # fmt: skip

OTHERS = [
    Difference(
        "the authority of an absolute target takes the place of Host", BOTH,
        get(b"GET http://y/ HTTP/1.1"), "RFC 9112 3.2.2",
        lambda data, ours, theirs: differ_in(ours, theirs) == {"headers"}
        and first_line(data).split(b" ")[1].lower().startswith(b"http")
        and without_host(ours) == without_host(theirs),
    ),
    Difference(
        "httptools ends HTTP at the head of CONNECT and of an upgrade", ("httptools",),
        get(b"CONNECT x:80 HTTP/1.1", b"Host: x\r\nContent-Length: 3\r\n") + b"abc",
        "RFC 9112 6.3 gives the length for every method; we do not tunnel",
        lambda data, ours, theirs: theirs[0] == "message" and leaves_http(data)
        and differ_in(ours, theirs) <= {"body", "trailers", "headers"},
    ),
]  # fmt: skip
DIFFERENCES = STRICTER + LOOSER + OTHERS


def normal(answer: Answer) -> Answer:
    """Without what is told differently but means the same: 1.2 is served as 1.1, and
    h11 gives the transfer coding's name in lower case."""
    if answer[0] != "message":
        return answer
    facts = dict(answer[1])
    facts["version"] = min(facts["version"], "1.1")
    facts["headers"] = [
        (name, value.lower() if name == b"transfer-encoding" else value)
        for name, value in facts["headers"]
    ]
    return ("message", facts)


def disagree(ours: Answer, theirs: Answer) -> bool:
    if "error" in (ours[0], theirs[0]) and "more" in (ours[0], theirs[0]):
        return False
    if ours[0] == theirs[0] == "message":
        return normal(ours) != normal(theirs)
    return ours[0] != theirs[0]


def explain(data: bytes, peer: str) -> list[str] | None:
    """The names of the differences that cover `data`; None where there is nothing to explain."""
    ours, theirs = by_fastserve(data), PEERS[peer](data)
    if not disagree(ours, theirs):
        return None
    ours, theirs = normal(ours), normal(theirs)
    return [
        difference.name
        for difference in DIFFERENCES
        if peer in difference.peers and difference.applies(data, ours, theirs)
    ]


@pytest.mark.parametrize(
    ("peer", "difference"),
    [(peer, difference) for difference in DIFFERENCES for peer in difference.peers],
    ids=lambda each: each if isinstance(each, str) else each.name.replace(" ", "-"),
)
def test_every_named_difference_is_real(peer, difference):
    names = explain(difference.example, peer)
    assert names is not None, f"{peer} no longer differs"
    assert difference.name in names


LINES = st.sampled_from([
    b"GET / HTTP/1.1", b"POST /a?b=c HTTP/1.1", b"GET / HTTP/1.0", b"OPTIONS * HTTP/1.1",
    b"PUT http://x/y HTTP/1.1", b"GET /%41%2f HTTP/1.1", b"CONNECT x:80 HTTP/1.1",
    b"DELETE /|{} HTTP/1.1", b"BREW / HTTP/1.1", b"GET / HTTP/2.0", b"GET /# HTTP/1.1",
    b"GET /% HTTP/1.1", b"GET  / HTTP/1.1", b"get / HTTP/1.1", b"GET x HTTP/1.1",
    b"GET /\xe9 HTTP/1.1", b"GET / HTTP/1.2", b"GET /",
])  # fmt: skip
FIELDS = st.sampled_from([
    b"Host: x", b"Host: y:80", b"Host: a b", b"Host:", b"Content-Length: 3", b"Content-Length: 03",
    b"Content-Length: 3, 3", b"Content-Length: +3", b"Content-Length: ",
    b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: Chunked", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding: gzip", b"Connection: close",
    b"Connection: Upgrade", b"Upgrade: websocket", b"Expect: 100-continue", b"Expect: x",
    b"X-Name: value", b"x_y:\tv \t", b"Empty:", b"Obs: \xff\x80", b" folded", b"Sp : v",
    b"Nul: a\x00b", b"Del: \x7f", b"Tab: a\tb", b": v", b"novalue", b"A(: b", b'Quo: "a"', b"K:v",
])  # fmt: skip
BODIES = st.sampled_from([
    b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\nT: v\r\n\r\n",
    b"3;x=y\r\nabc\r\n0\r\n\r\n", b'3;x="q"\r\nabc\r\n0\r\n\r\n', b"3 ;x\r\nabc\r\n0\r\n\r\n",
    b"3\nabc\n0\n\n", b"3 \r\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n",
    b"0x3\r\nabc\r\n0\r\n\r\n", b"03\r\nabc\r\n000\r\n\r\n", b"3;\r\nabc\r\n0\r\n\r\n",
    b"ffffffffffffffffff\r\n", b"g\r\n", b"3\r\nabc\r\n0\r\nT : v\r\n\r\n",
    b"3;a b\r\nabc\r\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n",
])  # fmt: skip
SPICES = st.sampled_from([bytes([byte]) for byte in b'\r\n \t\x00\x7f\xff:,;0a%/"#'] + [b"\r\n"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A request of sensible and less sensible parts, with up to two bytes changed."""
    ends = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n"])
    fields = draw(st.lists(FIELDS, max_size=3))
    if draw(st.integers(0, 4)):
        fields.insert(0, b"Host: x")
    lines = [draw(LINES), *fields]
    data = draw(st.sampled_from([b"", b"", b"", b"\r\n", b"\n"]))
    data += b"".join(line + draw(ends) for line in lines) + draw(ends) + draw(BODIES)
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(SPICES | st.just(b"")) + data[at + draw(st.integers(0, 1)) :]
    return data


@pytest.mark.parametrize("peer", PEERS)
@settings(max_examples=600, deadline=None)
@example(get())
@example(CHUNKED + b"3\r\nabc\r\n0\r\nT: v\r\n\r\n")
@given(streams())
def test_any_other_difference_is_a_bug(peer, data):
    assert explain(data, peer) != [], (by_fastserve(data), PEERS[peer](data))
