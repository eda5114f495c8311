"""fs_target: the four forms by method, escapes, and authorities."""

from __future__ import annotations

import ipaddress
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st


def form(kind, path=b"", query=b"", scheme=b"", host=b"", escaped=False):
    return {"form": kind, "path": path, "query": query, "scheme": scheme, "host": host,
            "escaped": escaped}  # fmt: skip


GOOD = [
    (b"GET", b"/", form("origin", b"/")),
    (b"GET", b"/a/b", form("origin", b"/a/b")),
    (b"GET", b"//a", form("origin", b"//a")),
    (b"OPTIONS", b"/", form("origin", b"/")),
    (b"GET", b"/?", form("origin", b"/")),
    (b"GET", b"/a?b=c?d%20/", form("origin", b"/a", b"b=c?d%20/")),
    (b"GET", b"/%41?", form("origin", b"/%41", escaped=True)),
    (b"GET", b"/" + b"p" * 40 + b"%e2%82%ac?" + b"q" * 40,
     form("origin", b"/" + b"p" * 40 + b"%e2%82%ac", b"q" * 40, escaped=True)),
    (b"connect", b"/", form("origin", b"/")),
    (b"OPTIONS", b"*", form("asterisk")),
    (b"GET", b"http://x", form("absolute", b"", b"", b"http", b"x")),
    (b"GET", b"http://x/", form("absolute", b"/", b"", b"http", b"x")),
    (b"GET", b"HTTPS://x:443/a?b", form("absolute", b"/a", b"b", b"HTTPS", b"x:443")),
    (b"GET", b"hTTp://x?b", form("absolute", b"", b"b", b"hTTp", b"x")),
    (b"GET", b"http://x:/%41", form("absolute", b"/%41", b"", b"http", b"x:", escaped=True)),
    (b"GET", b"http://[::1]:80/a@b", form("absolute", b"/a@b", b"", b"http", b"[::1]:80")),
    (b"OPTIONS", b"http://x", form("absolute", b"", b"", b"http", b"x")),
    (b"CONNECT", b"x:1", form("authority", host=b"x:1")),
    (b"CONNECT", b"[::1]:443", form("authority", host=b"[::1]:443")),
    (b"CONNECT", b"http:80", form("authority", host=b"http:80")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "expected"), GOOD)
def test_good_targets_give_their_parts(leaves, method, target, expected):
    assert leaves.target(target, method) == expected


BAD = [
    (b"GET", b"*", "TARGET_BAD"),
    (b"CONNECT", b"*", "TARGET_BAD"),
    (b"OPTIONS", b"**", "TARGET_BAD"),
    (b"GET", b"a", "TARGET_BAD"),
    (b"GET", b"a/b", "TARGET_BAD"),
    (b"GET", b"?a", "TARGET_BAD"),
    (b"GET", b"x:80", "TARGET_BAD"),
    (b"GET", b"http:/x", "TARGET_BAD"),
    (b"GET", b"http", "TARGET_BAD"),
    (b"GET", b"http:", "TARGET_BAD"),
    (b"GET", b"http:/", "TARGET_BAD"),
    (b"GET", b"httpx://x/", "TARGET_BAD"),
    (b"GET", b"htt://x/", "TARGET_BAD"),
    (b"GET", b"ftp://x/", "TARGET_BAD"),
    (b"GET", b"ws://x/", "TARGET_BAD"),
    (b"CONNECT", b"/", "TARGET_BAD"),
    (b"CONNECT", b"http://x:80/", "TARGET_BAD"),
    (b"GET", b"/%", "TARGET_BAD_ESCAPE"),
    (b"GET", b"/%4", "TARGET_BAD_ESCAPE"),
    (b"GET", b"/%4g", "TARGET_BAD_ESCAPE"),
    (b"GET", b"/%g4", "TARGET_BAD_ESCAPE"),
    (b"GET", b"/%%41", "TARGET_BAD_ESCAPE"),
    (b"GET", b"/%u0041", "TARGET_BAD_ESCAPE"),
    (b"GET", b"/%4?1", "TARGET_BAD_ESCAPE"),
    (b"GET", b"/?%", "TARGET_BAD_ESCAPE"),
    (b"GET", b"/?a%4", "TARGET_BAD_ESCAPE"),
    (b"GET", b"/?a?%zz", "TARGET_BAD_ESCAPE"),
    (b"GET", b"/" + b"a" * 40 + b"%zz", "TARGET_BAD_ESCAPE"),
    (b"GET", b"http://x/%zz", "TARGET_BAD_ESCAPE"),
    (b"GET", b"http://", "TARGET_BAD_AUTHORITY"),
    (b"GET", b"http:///", "TARGET_BAD_AUTHORITY"),
    (b"GET", b"http://?a", "TARGET_BAD_AUTHORITY"),
    (b"GET", b"http://:80/", "TARGET_BAD_AUTHORITY"),
    (b"GET", b"http://u@x/", "TARGET_BAD_AUTHORITY"),
    (b"GET", b"http://u:p@x/", "TARGET_BAD_AUTHORITY"),
    (b"GET", b"http://x:65536/", "TARGET_BAD_AUTHORITY"),
    (b"GET", b"http://x\\y/", "TARGET_BAD_AUTHORITY"),
    (b"GET", b"http://u@x/%zz", "TARGET_BAD_AUTHORITY"),
    (b"CONNECT", b"x", "TARGET_BAD_AUTHORITY"),
    (b"CONNECT", b"x:", "TARGET_BAD_AUTHORITY"),
    (b"CONNECT", b":80", "TARGET_BAD_AUTHORITY"),
    (b"CONNECT", b"x:80/", "TARGET_BAD_AUTHORITY"),
    (b"CONNECT", b"u@x:80", "TARGET_BAD_AUTHORITY"),
    (b"CONNECT", b"x:65536", "TARGET_BAD_AUTHORITY"),
]


@pytest.mark.parametrize(("method", "target", "expected"), BAD)
def test_bad_targets_are_refused(leaves, method, target, expected):
    assert leaves.target(target, method) == expected


GOOD_HOSTS = [
    b"", b"x", b"example.com", b"EXAMPLE.com:", b"x:0", b"x:80", b"x:00080", b"x:65535",
    b"127.0.0.1", b"127.0.0.1:8000", b"999.1.2.3", b"a_b~c-d.e", b"!$&'()*+,;=", b"%41%c3%a9:1",
    b"[::1]", b"[::]:80", b"[1:2:3:4:5:6:7:8]", b"[v1.a:b]", b"[VfF.~]:1", b"x.",
]  # fmt: skip
BAD_HOSTS = [
    b":", b":80", b"x:65536", b"x:99999", b"x:100000", b"x:000080", b"x:8a", b"x:+1", b"x:-1",
    b"x: 80", b"x:80:80", b"u@x", b"u:p@x", b"x y", b" x", b"x ", b"x\t", b"x/y", b"x?y", b"x#y",
    b"x\\y", b"x<y", b'x"y', b"x^y", b"x`y", b"x|y", b"x{y}", b"%", b"%4", b"%4g", b"x%",
    b"\xc3\xa9", b"x\x00", b"x\x7f", b"::1", b"[", b"[]", b"]", b"[::1", b"::1]", b"[::1]x",
    b"[::1]]", b"[[::1]]", b"[x]", b"[1.2.3.4]", b"[fe80::1%25eth0]", b"[fe80::1%eth0]", b"[v.a]",
    b"[v1.]", b"[v1a]", b"[vg.a]", b"[v]", b"[v1.a/b]", b"x[::1]", b"[::1]:65536", b"[::1]80",
]  # fmt: skip


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_good_hosts(leaves, host):
    assert leaves.host_ok(host)


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_bad_hosts(leaves, host):
    assert not leaves.host_ok(host)


def test_every_port(leaves):
    for port in range(65536):
        assert leaves.host_ok(b"x:%d" % port)
    for port in range(65536, 66000):
        assert not leaves.host_ok(b"x:%d" % port)


def is_ipv6(text):
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "text",
    [
        "::", "::1", "1::", "1::8", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
        "1:2:3:4:5:6::8", "1:2:3::5:6:7:8", "::1.2.3.4", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4",
        "1:2:3:4:5::1.2.3.4", "ABCD:abcd::", "0000::0000", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1::2::3", ":::", ":::1", "1:::", ":1", "1:", ":",
        "", "12345::", "g::", "1.2.3.4", "::1.2.3", "::1.2.3.256", "::01.2.3.4", "::1.2.3.4.5",
        "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.", "::.1.2.3", "::1..2.3", "::1.2.3.4 ",
        "1:2:3:4:5:6:7::8", "1:2:3:4:5:6:7:8:", "::1111111111111.2.3.4", "0::0::0",
        "1:2:3:4:5:6::1.2.3.4",
    ],
)  # fmt: skip
def test_ipv6_literals_are_those_python_knows(leaves, text):
    assert leaves.host_ok(b"[" + text.encode() + b"]") == is_ipv6(text)


@given(st.lists(st.sampled_from(["1", "ab", "12345", ":", "::", ".", "0", "1.2.3.4", "g"]),
                max_size=17).map("".join))  # fmt: skip
def test_any_ipv6_like_text_is_judged_as_python_judges_it(libraries, text):
    for build in libraries.values():
        assert build.host_ok(b"[" + text.encode() + b"]") == is_ipv6(text)


@pytest.mark.parametrize("in_place", [True, False])
def test_unescape_undoes_every_escape(leaves, in_place):
    for byte in range(256):
        for text in (b"%%%02x" % byte, b"%%%02X" % byte):
            assert leaves.unescape(b"a" + text + b"b", in_place=in_place) == bytes([97, byte, 98])
    assert leaves.unescape(b"", in_place=in_place) == b""
    assert leaves.unescape(b"%2541+", in_place=in_place) == b"%41+"


@given(st.binary(max_size=60), st.booleans())
def test_any_path_survives_quoting(libraries, raw, in_place):
    target = b"/" + quote_from_bytes(raw, safe="/").encode()
    for build in libraries.values():
        parts = build.target(target)
        assert parts["path"] == target
        assert parts["escaped"] == (b"%" in target)
        assert build.unescape(target, in_place=in_place) == b"/" + raw


TARGET_BYTES = st.text(
    st.sampled_from("/?%4aFgx:@[]*h.") | st.characters(min_codepoint=33, max_codepoint=126),
    min_size=1, max_size=50,
).map(lambda text: text.replace("#", "").encode() or b"/")  # fmt: skip


@given(TARGET_BYTES, st.sampled_from([b"GET", b"OPTIONS", b"CONNECT"]), st.booleans())
def test_any_target_is_judged_alike_and_its_parts_make_it_up(libraries, rest, method, origin):
    target = b"/" + rest if origin else rest
    answers = [build.target(target, method) for build in libraries.values()]
    assert answers[0] == answers[1]
    parts = answers[0]
    if isinstance(parts, dict) and parts["form"] == "origin":
        path, _, query = target.partition(b"?")
        assert (parts["path"], parts["query"]) == (path, query)
        assert unquote_to_bytes(path) == libraries["simd"].unescape(path, in_place=False)
    if isinstance(parts, str) and origin and method != b"CONNECT":
        assert parts == "TARGET_BAD_ESCAPE"
        assert unquote_to_bytes(target).count(b"%") > 0
