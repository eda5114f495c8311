"""What an X.509 certificate says of itself: subject, host names, end.

Read from its DER (RFC 5280, section 4.1), for the `ssl` module tells these only of a peer
that was verified.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

__all__ = ["Facts", "read_certificate"]

# RFC 4514, section 3, and further names that are registered for LDAP.
_KEYWORDS = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "2.5.4.4": "sn",
    "2.5.4.5": "serialNumber",
    "2.5.4.12": "title",
    "2.5.4.42": "givenName",
    "1.2.840.113549.1.9.1": "emailAddress",
}
_ALT_NAMES = "2.5.29.17"

# ASN.1 tags.
_OID, _SEQUENCE, _SET, _OCTETS, _UTC_TIME, _GENERALIZED_TIME = 0x06, 0x30, 0x31, 0x04, 0x17, 0x18
_VERSION, _EXTENSIONS, _DNS_NAME = 0xA0, 0xA3, 0x82
_ENCODINGS = {
    0x0C: "utf-8",
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString, as everybody writes it
    0x16: "ascii",  # IA5String
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}


class Facts(NamedTuple):
    """`subject` is a string of RFC 4514; `names` are the DNS names, in lower case."""

    subject: str
    names: tuple[str, ...]
    not_after: datetime


class _Item(NamedTuple):
    tag: int
    content: bytes
    whole: bytes

    def inside(self, tag: int) -> list[_Item]:
        if self.tag != tag:
            raise ValueError(f"a tag {self.tag:#x} where {tag:#x} is due")
        return list(_items(self.content))


def read_certificate(der: bytes) -> Facts:
    """Raises `ValueError` for what is no certificate."""
    try:
        (certificate,) = _items(der)
        fields = certificate.inside(_SEQUENCE)[0].inside(_SEQUENCE)
        if fields[0].tag == _VERSION:
            del fields[0]
        _, _, _, validity, subject, _, *more = fields
        return Facts(_name(subject), tuple(_dns_names(more)), _time(validity.inside(_SEQUENCE)[1]))
    except (IndexError, ValueError, OverflowError) as error:
        raise ValueError(f"not an X.509 certificate: {error}") from None


def _items(data: bytes) -> Iterator[_Item]:
    at = 0
    while at < len(data):
        begin, tag, length = at, data[at], data[at + 1]
        at += 2
        if tag & 0x1F == 0x1F or length == 0x80:
            raise ValueError("a form that DER or X.509 does not have")
        if length > 0x80:
            more = length - 0x80
            length = int.from_bytes(data[at : at + more])
            at += more
        if at + length > len(data):
            raise ValueError("it is cut short")
        yield _Item(tag, data[at : at + length], data[begin : at + length])
        at += length


def _oid(item: _Item) -> str:
    if item.tag != _OID or not item.content or item.content[-1] & 0x80:
        raise ValueError("no object identifier")
    numbers, number = [], 0
    for byte in item.content:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:]]))


def _time(item: _Item) -> datetime:
    text = item.content.decode("ascii")
    if item.tag == _UTC_TIME:  # RFC 5280, section 4.1.2.5.1: 50 to 99 are the last century's
        text = ("19" if text[:2] >= "50" else "20") + text
    elif item.tag != _GENERALIZED_TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _dns_names(fields: list[_Item]) -> Iterator[str]:
    for field in fields:
        if field.tag != _EXTENSIONS:
            continue
        for extension in field.inside(_EXTENSIONS)[0].inside(_SEQUENCE):
            kind, *_, value = extension.inside(_SEQUENCE)
            if _oid(kind) == _ALT_NAMES:
                (names,) = value.inside(_OCTETS)
                for name in names.inside(_SEQUENCE):
                    if name.tag == _DNS_NAME:
                        yield name.content.decode("ascii").lower()


# -- RFC 4514 --------------------------------------------------------------------------


def _name(subject: _Item) -> str:
    """The last part first (section 2.1)."""
    return ",".join(
        "+".join(_attribute(pair) for pair in part.inside(_SET))
        for part in reversed(subject.inside(_SEQUENCE))
    )


def _attribute(pair: _Item) -> str:
    kind, value = pair.inside(_SEQUENCE)
    oid = _oid(kind)
    if oid in _KEYWORDS and value.tag in _ENCODINGS:
        text = value.content.decode(_ENCODINGS[value.tag])
        return f"{_KEYWORDS[oid]}={_escaped(text)}"
    return f"{oid}=#{value.whole.hex()}"  # section 2.4


def _escaped(text: str) -> str:
    """Section 2.4; control characters too, so that a name cannot break a line."""
    parts = []
    for at, char in enumerate(text):
        if char < " " or char == "\x7f":
            parts.append(f"\\{ord(char):02x}")
        elif char in '"+,;<>\\' or (char == "#" and at == 0):
            parts.append("\\" + char)
        elif char == " " and at in (0, len(text) - 1):
            parts.append("\\ ")
        else:
            parts.append(char)
    return "".join(parts)
