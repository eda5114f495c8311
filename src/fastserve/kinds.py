"""What kinds of value options take.

A *kind* turns what a person wrote (a string from the command line or the environment, or
a value from TOML or Python) into the value the config holds, or raises `ValueError` with
the rest of a sentence that begins with the option's name.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

__all__ = [
    "Address",
    "Choice",
    "Factory",
    "Flag",
    "Headers",
    "Integer",
    "Kind",
    "LogConfig",
    "LogTarget",
    "Mode",
    "Network",
    "Path",
    "Place",
    "RootPath",
    "Seconds",
    "Secret",
    "Several",
    "Size",
    "Text",
    "TlsVersion",
    "Verification",
]


class Kind(Protocol):
    """What values an option takes; calling it converts one or raises `ValueError`."""

    @property
    def metavar(self) -> str: ...

    def __call__(self, value: object) -> object: ...


@dataclass(frozen=True)
class Text:
    """Any text."""

    metavar: str = "TEXT"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not text")
        if "\0" in value:
            raise ValueError(f"{value!r} has a NUL character in it")
        return value


@dataclass(frozen=True)
class Secret:
    """Text that no message and no list of settings shows."""

    metavar: str = "TEXT"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("it is not text")
        return value


@dataclass(frozen=True)
class Path:
    """A path of the file system; `os.PathLike` is taken too. Not looked at here."""

    metavar: str = "PATH"

    def __call__(self, value: object) -> str:
        text = Text()(os.fspath(value) if isinstance(value, os.PathLike) else value)
        if not text:
            raise ValueError("the path is empty")
        return text


@dataclass(frozen=True)
class LogTarget:
    """A file, or syslog: `syslog:`, `syslog:unix:PATH`, `syslog:HOST:PORT`."""

    metavar: str = "PATH"

    def __call__(self, value: object) -> str:
        text = Path()(value)
        port = re.fullmatch(r"syslog:(?:\[[^\[\]]+\]|[^:\[\]]+):([0-9]{1,5})", text)
        if port:
            Integer(1, 65535)(port[1])
        elif re.match(r"syslog:(?!$|unix:.)", text):
            raise ValueError(
                f"{value!r} is not a syslog such as syslog:, syslog:unix:/run/log or "
                "syslog:192.0.2.1:514"
            )
        return text


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    metavar: str = ""

    TRUE: ClassVar = ("true", "yes", "on", "1")
    FALSE: ClassVar = ("false", "no", "off", "0")

    def __call__(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower() if isinstance(value, (str, int)) else None
        if word in self.TRUE:
            return True
        if word in self.FALSE or word == "":
            return False
        raise ValueError(f"{value!r} is neither true nor false")


@dataclass(frozen=True)
class Integer:
    """A whole number from `least` to `most`, both included."""

    least: int = 0
    most: int = 2**31 - 1
    metavar: str = "INTEGER"

    def __call__(self, value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{value!r} is not a whole number")
        if not self.least <= value <= self.most:
            raise ValueError(f"{value} is not between {self.least} and {self.most}")
        return value


@dataclass(frozen=True)
class Size:
    """A number of bytes; `k`, `m` and `g` multiply by 1024 once, twice, three times."""

    least: int = 0
    most: int = 2**62 - 1
    metavar: str = "SIZE"

    def __call__(self, value: object) -> int:
        if isinstance(value, str):
            match = re.fullmatch(r"([0-9]{1,18})\s*([kmg]?)(?:i?b)?", value.strip().lower())
            if match:
                value = int(match[1]) * 1024 ** " kmg".index(match[2] or " ")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
            raise ValueError(f"{value!r} is not a size in bytes such as 65536, 64k or 10m")
        if value < self.least:
            raise ValueError(f"{value} is less than {self.least}")
        if value > self.most:
            raise ValueError(f"{value} is more than {self.most}")
        return value


@dataclass(frozen=True)
class Seconds:
    """A length of time in seconds, fractions allowed."""

    metavar: str = "SECONDS"

    def __call__(self, value: object) -> float:
        try:
            seconds = float(value) if isinstance(value, (str, int, float)) else math.nan
        except (ValueError, OverflowError):
            seconds = math.nan
        if isinstance(value, bool) or not math.isfinite(seconds) or seconds < 0:
            raise ValueError(f"{value!r} is not a number of seconds")
        return seconds


@dataclass(frozen=True)
class Choice:
    """One of a few words, or numbers; `note` ends the message about any other.

    `placeholder` stands for the words where they are too many for a line.
    """

    words: tuple[str, ...]
    note: str = ""
    placeholder: str = ""

    @property
    def metavar(self) -> str:
        return self.placeholder or "|".join(self.words)

    def __call__(self, value: object) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = f"{value:d}"
        given = value.strip().lower() if isinstance(value, str) else None
        for word in self.words:
            if word.lower() == given:
                return word
        note = f": {self.note}" if self.note else ""
        raise ValueError(f"{value!r} is not one of {', '.join(self.words)}{note}")


@dataclass(frozen=True)
class Verification:
    """Whether clients are asked for a certificate; Uvicorn takes the numbers of `ssl` for it."""

    metavar: str = "none|optional|required"

    def __call__(self, value: object) -> str:
        words = self.metavar.split("|")
        if isinstance(value, int) and not isinstance(value, bool):
            value = f"{value:d}"
        word = str(value).strip().lower()
        if word in words:
            return word
        if word in ("0", "1", "2"):
            return words[int(word)]
        raise ValueError(f"{value!r} is not one of {', '.join(words)}, nor 0, 1 or 2")


@dataclass(frozen=True)
class TlsVersion:
    """What Uvicorn calls a version: a number for any that both sides know, and no other."""

    metavar: str = "INTEGER"

    def __call__(self, value: object) -> int:
        number = Integer()(value)
        if number not in (2, 17):  # ssl.PROTOCOL_TLS and PROTOCOL_TLS_SERVER
            raise ValueError(f"{number} is not 17, any version; --ssl-min-version says the least")
        return number


@dataclass(frozen=True)
class Factory:
    """A callable, or where it is to be imported from: `module:attribute`."""

    metavar: str = "MODULE:NAME"

    def __call__(self, value: object) -> str | Callable[..., object]:
        if callable(value):
            return value
        if not isinstance(value, str) or not re.fullmatch(r"[^:]+:[\w.]+", value.strip()):
            raise ValueError(f"{value!r} is neither a callable nor of the form 'module:name'")
        return value.strip()


@dataclass(frozen=True)
class RootPath:
    """A path prefix: one leading slash, none at the end; empty for none."""

    metavar: str = "PATH"

    def __call__(self, value: object) -> str:
        text = Text()(value).strip("/")
        return f"/{text}" if text else ""


@dataclass(frozen=True)
class Place:
    """Where to listen: exactly one of `host` (with `port`), `path` and `fd` is set."""

    host: str | None = None
    port: int = 0
    path: str | None = None
    fd: int | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        if self.fd is not None:
            return f"fd://{self.fd}"
        host = f"[{self.host}]" if ":" in (self.host or "") else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class Address:
    """A place to listen on: `HOST:PORT`, `[IPV6]:PORT`, `:PORT`, `unix:PATH` or `fd://N`."""

    metavar: str = "ADDRESS"

    def __call__(self, value: object) -> Place:
        if isinstance(value, Place):
            return value
        text = Text()(value).strip()
        if text.startswith("unix:"):
            return Place(path=Path()(text.removeprefix("unix:").removeprefix("//")))
        if text.startswith("fd://"):
            return Place(fd=Integer()(text.removeprefix("fd://")))
        match = re.fullmatch(r"(?:http://)?(?:\[([^\]]+)\]|([^:/\[\]]*)):([0-9]{1,5})/?", text)
        if not match:
            raise ValueError(
                f"{value!r} is not an address such as 127.0.0.1:8000, [::]:8000, "
                "unix:/run/app.sock or fd://3"
            )
        host = match[1] if match[1] is not None else match[2]
        return Place(host=host or "*", port=Integer(0, 65535)(match[3]))


@dataclass(frozen=True)
class Network:
    """Peers: an IP address, a network such as `10.0.0.0/8`, `unix` (Unix sockets), `*` (all)."""

    metavar: str = "NETWORK"

    def __call__(self, value: object) -> str:
        text = Text()(value).strip()
        if text in ("unix", "*"):
            return text
        try:
            if "%" in text:
                raise ValueError  # a zone is of one host's, and peers are compared without
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(
                f"{value!r} is not an address or network such as 10.0.0.7 or 10.0.0.0/8, "
                "nor unix or *"
            ) from None
        if "/" not in text:
            return str(network.network_address)
        if network.network_address != ipaddress.ip_address(text.partition("/")[0]):
            raise ValueError(f"{value!r} has bits set behind its prefix; the network is {network}")
        return str(network)


@dataclass(frozen=True)
class Several:
    """One value of a kind, or a list of them; held as a tuple. Text is split at commas."""

    kind: Kind

    @property
    def metavar(self) -> str:
        return self.kind.metavar

    def __call__(self, value: object) -> tuple[object, ...]:
        if isinstance(value, (list, tuple)):
            return tuple(self.kind(each) for each in value)
        if isinstance(value, str):
            return tuple(self.kind(each.strip()) for each in value.split(",") if each.strip())
        return (self.kind(value),)


@dataclass(frozen=True)
class Mode:
    """The permission bits of a file, in octal as for chmod: 660."""

    metavar: str = "MODE"

    def __call__(self, value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"(0o)?[0-7]{3,4}", value.strip()):
            value = int(value.strip().removeprefix("0o"), 8)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0o777:
            raise ValueError(f"{value!r} is no file mode such as '660' or 0o660")
        return value


# RFC 9110, 5.6.2 (token) and 5.5 (field-value).
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_FRAMING = (b"connection", b"content-length", b"transfer-encoding")


@dataclass(frozen=True)
class Headers:
    """Response header fields: `name: value` texts, pairs, or a mapping.

    Held as pairs of bytes with lower-case names, in the order given. Names that decide
    the framing of a message belong to the server and are refused.
    """

    metavar: str = "NAME:VALUE"

    def __call__(self, value: object) -> tuple[tuple[bytes, bytes], ...]:
        if isinstance(value, str):
            value = [line for line in value.splitlines() if line.strip()]
        elif isinstance(value, Mapping):
            value = list(value.items())
        if not isinstance(value, Iterable) or isinstance(value, bytes):
            raise ValueError(f"{value!r} is not a list of 'name: value' headers")
        return tuple(self._pair(item) for item in value)

    def _pair(self, item: object) -> tuple[bytes, bytes]:
        if isinstance(item, str):
            name, colon, text = item.partition(":")
            pair: tuple[object, ...] = (name, text) if colon else ()
        else:
            pair = tuple(item) if isinstance(item, (tuple, list)) else ()
        if len(pair) != 2:
            raise ValueError(f"{item!r} is not of the form 'name: value'")
        name_bytes, value_bytes = (_latin(part, item).strip(b" \t") for part in pair)
        if not _TOKEN.fullmatch(name_bytes):
            raise ValueError(f"{item!r} has no valid header name")
        if not _VALUE.fullmatch(value_bytes):
            raise ValueError(f"{item!r} has a control character in its value")
        if name_bytes.lower() in _FRAMING:
            raise ValueError(f"{item!r}: the server itself decides this header")
        return name_bytes.lower(), value_bytes


def _latin(part: object, item: object) -> bytes:
    if isinstance(part, bytes):
        return part
    try:
        return str(part).encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"{item!r} has characters outside Latin-1") from None


@dataclass(frozen=True)
class LogConfig:
    """The path of a logging configuration file, or from Python a `dictConfig` mapping."""

    metavar: str = "PATH"

    def __call__(self, value: object) -> str | dict[str, Any]:
        return dict(value) if isinstance(value, Mapping) else Path()(value)
