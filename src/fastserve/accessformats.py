"""The formats of access lines, compiled into steps: each a literal and the field behind it.

The native code does the rest (`access_format`). docs/logging.md is the reference.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

__all__ = ["FIELDS", "AccessFormatKind", "SkippedPath", "Steps", "access_steps"]

FIELDS = (
    "time", "time_local", "time_combined", "client", "client_host", "peer", "method", "target",
    "path", "query", "protocol", "scheme", "host", "status", "bytes_in", "bytes_out",
    "duration", "duration_ms", "ttfb_ms", "worker", "pid", "request_id", "tls", "referer",
    "user_agent", "ws_code", "ws_messages_in", "ws_bytes_in", "ws_messages_out", "ws_bytes_out",
)  # fmt: skip
_WORDS = ("default", "combined", "json", "logfmt")
_COMBINED = (
    '{client_host} - - [{time_combined}] "{method} {target} {protocol}" {status} {bytes_out} '
    '"{referer}" "{user_agent}"'
)
# Of JSON and logfmt lines, in this order; "peer" only where it is not the client.
_STRUCTURED = (
    "time", "client", "peer", "method", "path", "query", "protocol", "scheme", "host", "status",
    "bytes_in", "bytes_out", "duration_ms", "ttfb_ms", "worker", "pid", "request_id", "tls",
    "referer", "user_agent", "ws_code", "ws_messages_in", "ws_bytes_in", "ws_messages_out",
    "ws_bytes_out",
)  # fmt: skip
# Request headers whose values nobody wants in a log.
_SECRETS = ("authorization", "cookie", "proxy-authorization")
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_HEADER = re.compile(r"header\[([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\]")

Steps = list[tuple[str, str, str]]  # literal, field, name of a header or ""


def access_steps(text: str) -> tuple[str, Steps]:
    """The dialect and the steps of an access format: one of the words, or a template.

    Raises `ValueError` for what is neither, with the nearest name if one is near.
    """
    if text == "default":
        return "text", [("", "readable", "")]
    if text == "json":
        steps = [(f',"{name}":', name, "") for name in _STRUCTURED]
        return "json", [('{"time":', "time", ""), *steps[1:], ("}", "", "")]
    if text == "logfmt":
        steps = [(f" {name}=", name, "") for name in _STRUCTURED]
        return "logfmt", [("time=", "time", ""), *steps[1:]]
    return "text", _template_steps(_COMBINED if text == "combined" else text)


def _template_steps(text: str) -> Steps:
    if "{" not in text:
        raise ValueError(
            f"{text!r} is not one of {', '.join(_WORDS)}, nor a template such as "
            f"'{{client}} {{method}} {{path}} {{status}}'{_near(text, _WORDS)}"
        )
    if not text.isprintable():
        raise ValueError(f"{text!r} has a control character in it")
    steps: Steps = []
    literal, end = "", 0
    for match in _PART.finditer(text):
        literal += text[end : match.start()]
        end = match.end()
        if match[0] in ("{{", "}}"):
            literal += match[0][0]
        elif match[1] is None:
            raise ValueError(f"{text!r} has a lone {match[0]}; write it twice to mean itself")
        else:
            steps.append((literal, *_field(match[1])))
            literal = ""
    literal += text[end:]
    return [*steps, (literal, "", "")] if literal else steps


def _field(name: str) -> tuple[str, str]:
    header = _HEADER.fullmatch(name)
    if header:
        if header[1].lower() in _SECRETS:
            raise ValueError(f"{{{name}}} would write secrets into the log")
        return "header", header[1]
    if name not in FIELDS:
        raise ValueError(f"there is no field {{{name}}}{_near(name, (*FIELDS, 'header[NAME]'))}")
    return name, ""


def _near(name: str, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


@dataclass(frozen=True)
class AccessFormatKind:
    """A word for a format of access lines, or a template."""

    metavar: str = "default|combined|json|logfmt|TEMPLATE"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not text")
        text = value.strip() if value.strip() in _WORDS else value
        access_steps(text)
        return text


@dataclass(frozen=True)
class SkippedPath:
    """A path of requests, or the beginning of one and `*`."""

    metavar: str = "PATH"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"/[!-~]*", value) or "?" in value:
            raise ValueError(f"{value!r} is not a path such as /readyz or /static/*")
        if "*" in value[:-1]:
            raise ValueError(f"{value!r}: * stands at the end, for all paths that begin so")
        return value
