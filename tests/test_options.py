"""Kinds of option values: what each takes and what it refuses."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import PurePosixPath

import pytest

from fastserve.kinds import (
    Address,
    Choice,
    Factory,
    Flag,
    Headers,
    Integer,
    Kind,
    LogConfig,
    Mode,
    Network,
    Path,
    Place,
    RootPath,
    Seconds,
    Secret,
    Several,
    Size,
    Text,
    TlsVersion,
    Verification,
)
from fastserve.options import option, options_of


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Text(), "a b", "a b"),
        (Path(), PurePosixPath("/run/x"), "/run/x"),
        (Flag(), True, True),
        (Flag(), "yes", True),
        (Flag(), "OFF", False),
        (Flag(), 0, False),
        (Integer(), " 12 ", 12),
        (Integer(0, 5), 5, 5),
        (Size(), "64k", 65536),
        (Size(), "10 MB", 10 * 1024**2),
        (Size(), "1GiB", 1024**3),
        (Size(), 0, 0),
        (Size(), "123", 123),
        (Seconds(), "2.5", 2.5),
        (Seconds(), 3, 3.0),
        (Seconds(), 0, 0.0),
        (Choice(("auto", "off")), " Auto", "auto"),
        (Network(), " 192.0.2.7 ", "192.0.2.7"),
        (Network(), "10.0.0.0/8", "10.0.0.0/8"),
        (Network(), "10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        (Network(), "2001:DB8:0::/32", "2001:db8::/32"),
        (Network(), "unix", "unix"),
        (Network(), "*", "*"),
        (Several(Network()), "::1, unix", ("::1", "unix")),
        (RootPath(), "api/", "/api"),
        (RootPath(), "/", ""),
        (RootPath(), "/a/b", "/a/b"),
        (Headers(), "X-A: 1\nx-b:2", ((b"x-a", b"1"), (b"x-b", b"2"))),
        (Headers(), ["x-a: b: c"], ((b"x-a", b"b: c"),)),
        (Headers(), [("x-a", "1"), (b"x-a", b"\xe4")], ((b"x-a", b"1"), (b"x-a", b"\xe4"))),
        (Headers(), {"x-a": "1"}, ((b"x-a", b"1"),)),
        (Headers(), ["x-empty:"], ((b"x-empty", b""),)),
        (LogConfig(), {"version": 1}, {"version": 1}),
        (Address(), "127.0.0.1:8000", Place(host="127.0.0.1", port=8000)),
        (Address(), " example.org:80 ", Place(host="example.org", port=80)),
        (Address(), "http://127.0.0.1:8000/", Place(host="127.0.0.1", port=8000)),
        (Address(), "[::1]:0", Place(host="::1", port=0)),
        (Address(), "[::]:8000", Place(host="::", port=8000)),
        (Address(), ":8000", Place(host="*", port=8000)),
        (Address(), "*:8000", Place(host="*", port=8000)),
        (Address(), "unix:/run/a b.sock", Place(path="/run/a b.sock")),
        (Address(), "unix:///run/app.sock", Place(path="/run/app.sock")),
        (Address(), "unix:app.sock", Place(path="app.sock")),
        (Address(), "fd://3", Place(fd=3)),
        (Address(), Place(fd=3), Place(fd=3)),
        (Several(Address()), "a:1, [::1]:2", (Place(host="a", port=1), Place(host="::1", port=2))),
        (Several(Address()), ["a:1", "fd://3"], (Place(host="a", port=1), Place(fd=3))),
        (Several(Address()), Place(fd=3), (Place(fd=3),)),
        (Several(Address()), (), ()),
        (Several(Path()), "my templates,static", ("my templates", "static")),
        (Several(Path()), PurePosixPath("/a"), ("/a",)),
        (Several(Text()), " , ", ()),
        (Mode(), "660", 0o660),
        (Mode(), "0660", 0o660),
        (Mode(), "0o600", 0o600),
        (Mode(), 0o660, 0o660),
        (Mode(), "000", 0),
        (LogConfig(), "log.ini", "log.ini"),
        (Choice(("TLSv1.2", "TLSv1.3")), "tlsv1.3", "TLSv1.3"),
        (Verification(), "Required", "required"),
        (Verification(), 1, "optional"),
        (Verification(), "0", "none"),
        (Verification(), ssl.CERT_REQUIRED, "required"),
        (TlsVersion(), "17", 17),
        (TlsVersion(), ssl.PROTOCOL_TLS_SERVER, 17),
        (Factory(), " main:make ", "main:make"),
        (Factory(), print, print),
        (Secret(), " kept as it is ", " kept as it is "),
    ],
)
def test_a_kind_converts(kind: Kind, value: object, expected: object) -> None:
    assert kind(value) == expected


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (Text(), 1, "not text"),
        (Text(), "a\0b", "NUL"),
        (Path(), "", "empty"),
        (Flag(), "maybe", "neither true nor false"),
        (Flag(), 2, "neither true nor false"),
        (Integer(), "1.5", "not a whole number"),
        (Integer(), True, "not a whole number"),
        (Integer(), "9" * 30, "not a whole number"),
        (Integer(0, 5), 6, "not between 0 and 5"),
        (Size(), "64x", "not a size"),
        (Size(), -1, "not a size"),
        (Size(), True, "not a size"),
        (Size(64), 63, "less than 64"),
        (Size(64, 128), 129, "more than 128"),
        (Seconds(), "soon", "not a number of seconds"),
        (Seconds(), "nan", "not a number of seconds"),
        (Seconds(), "inf", "not a number of seconds"),
        (Seconds(), -0.1, "not a number of seconds"),
        (Seconds(), True, "not a number of seconds"),
        (Choice(("auto", "off")), "on", "not one of auto, off"),
        (Network(), "10.0.0.7/8", "bits set behind its prefix; the network is 10.0.0.0/8$"),
        (Network(), "10.0.0.0/33", "not an address or network such as"),
        (Network(), "proxy.local", "not an address or network such as"),
        (Network(), "fe80::1%eth0", "not an address or network such as"),
        (Network(), "", "not an address or network such as"),
        (Network(), 7, "7 is not text"),
        (Choice(("auto",)), 3, "not one of"),
        (Choice(("auto", "no"), note="there is one"), "x", "not one of auto, no: there is one$"),
        (Headers(), ["no colon"], "form 'name: value'"),
        (Headers(), [("a", "b", "c")], "form 'name: value'"),
        (Headers(), ["bad name: x"], "no valid header name"),
        (Headers(), [": x"], "no valid header name"),
        (Headers(), [("x", "a\r\nb: c")], "control character"),
        (Headers(), ["Transfer-Encoding: chunked"], "server itself decides"),
        (Headers(), ["content-length: 1"], "server itself decides"),
        (Headers(), ["x: \u20ac"], "outside Latin-1"),
        (Headers(), 7, "not a list"),
        (Address(), "8000", "not an address such as 127.0.0.1:8000"),
        (Address(), "localhost", "not an address"),
        (Address(), "::1:8000", "not an address"),
        (Address(), "[]:8000", "not an address"),
        (Address(), "https://127.0.0.1:8000", "not an address"),
        (Address(), "127.0.0.1:70000", "70000 is not between 0 and 65535"),
        (Address(), "unix:", "the path is empty"),
        (Address(), "fd://x", "not a whole number"),
        (Address(), "fd://-1", "not between"),
        (Address(), 8000, "not text"),
        (Several(Address()), ["a:1", "b"], "'b' is not an address"),
        (Several(Path()), 7, "not text"),
        (Mode(), "888", "no file mode"),
        (Mode(), "1777", "no file mode"),
        (Mode(), "66", "no file mode"),
        (Mode(), 660, "660 is no file mode such as '660' or 0o660"),
        (Mode(), True, "no file mode"),
    ],
)
def test_a_kind_refuses_with_the_reason(kind: Kind, value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        kind(value)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8000", "[::1]:8000", "*:80", "unix:/run/app.sock", "fd://3"]
)
def test_a_place_is_told_as_it_is_written(address: str) -> None:
    assert str(Address()(address)) == address


@pytest.mark.parametrize(
    ("default", "told"),
    [(0, "0"), (128, "128"), (1000, "1000"), (8192, "8k"), (1536 * 1024, "1536k"), (2**24, "16m")],
)
def test_a_size_is_told_as_it_is_written(default: int, told: str) -> None:
    @dataclass
    class Sizes:
        most: int = option(default, Size(), "")

    (found,) = options_of("sizes", Sizes, "")
    assert found.told_default == told
    assert found.kind(told) == default
