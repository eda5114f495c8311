"""What is read from a certificate: names, end, and the subject as RFC 4514 writes it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from support.certificates import Authority, Certificate

from fastserve.certificates import Facts, read_certificate


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def der(certificate: Certificate) -> bytes:
    text = Path(certificate.certfile).read_text()
    return ssl.PEM_cert_to_DER_cert(text[: text.index("-----END") + 26])


def read(certificate: Certificate) -> Facts:
    return read_certificate(der(certificate))


def part(*pairs: tuple[x509.ObjectIdentifier, str]) -> list[x509.NameAttribute]:
    return [x509.NameAttribute(oid, value) for oid, value in pairs]


def test_its_names_are_those_of_hosts_in_lower_case(authority: Authority) -> None:
    facts = read(authority.issue("A.example", "*.b.example", "127.0.0.1"))
    assert facts.names == ("a.example", "*.b.example")


@pytest.mark.parametrize("days", [1, 90, 365 * 40])
def test_its_end_is_told(authority: Authority, days: int) -> None:
    left = read(authority.issue("a.example", days=days)).not_after - datetime.now(UTC)
    assert timedelta(days=days, minutes=-5) < left <= timedelta(days=days)


def test_a_subject_is_written_from_its_last_part_to_its_first(authority: Authority) -> None:
    issued = authority.issue_to(
        part((NameOID.COUNTRY_NAME, "DE")),
        part((NameOID.DOMAIN_COMPONENT, "example")),
        part((NameOID.STATE_OR_PROVINCE_NAME, "Bayern")),
        part((NameOID.LOCALITY_NAME, "München")),
        part((NameOID.STREET_ADDRESS, "Weg 1")),
        part((NameOID.ORGANIZATION_NAME, "Example")),
        part((NameOID.ORGANIZATIONAL_UNIT_NAME, "Unit")),
        part((NameOID.USER_ID, "jo")),
        part((NameOID.COMMON_NAME, "Jo")),
    )
    assert read(issued).subject == (
        "CN=Jo,UID=jo,OU=Unit,O=Example,STREET=Weg 1,L=München,ST=Bayern,DC=example,C=DE"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Smith, Jo", r"Smith\, Jo"),
        ('a+b;c<d>e\\f"g', r"a\+b\;c\<d\>e\\f\"g"),
        ("#1 of #2", r"\#1 of #2"),
        (" spaced ", r"\ spaced\ "),
        (" ", r"\ "),
        ("a=b", "a=b"),
        ("line\nbreak\0\x7f", r"line\0abreak\00\7f"),
        ("Łukasz \U0001f600", "Łukasz \U0001f600"),
    ],
)
def test_what_is_special_in_a_value_is_escaped(
    authority: Authority, value: str, written: str
) -> None:
    issued = authority.issue_to(part((NameOID.COMMON_NAME, value)))
    assert read(issued).subject == f"CN={written}"
    name = x509.Name.from_rfc4514_string(f"CN={written}")
    assert name == x509.Name(part((NameOID.COMMON_NAME, value)))


def test_a_part_of_several_values_joins_them(authority: Authority) -> None:
    issued = authority.issue_to(part((NameOID.COMMON_NAME, "Jo"), (NameOID.USER_ID, "jo")))
    assert set(read(issued).subject.split("+")) == {"CN=Jo", "UID=jo"}


def test_an_unknown_kind_of_value_is_its_number_and_its_bytes(authority: Authority) -> None:
    odd = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
    issued = authority.issue_to(part((odd, "ab")), part((NameOID.COMMON_NAME, "Jo")))
    assert read(issued).subject == "CN=Jo,1.3.6.1.4.1.99999.1=#0c026162"


def test_an_empty_subject_is_empty(authority: Authority) -> None:
    assert read(authority.issue_to()).subject == ""


def test_what_is_cut_or_changed_anywhere_is_an_error_of_its_own(authority: Authority) -> None:
    whole = der(authority.issue("a.example"))
    for n in range(len(whole)):
        with pytest.raises(ValueError, match="not an X"):
            read_certificate(whole[:n])
    for n in range(len(whole)):
        for byte in (0x00, 0x1F, 0x80, 0xFF):
            changed = whole[:n] + bytes([byte]) + whole[n + 1 :]
            told: Any = None
            try:
                told = read_certificate(changed)
            except ValueError as error:
                told = error
            assert isinstance(told, Facts) or "not an X.509 certificate" in str(told)
