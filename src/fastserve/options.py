"""How an option is written once.

A config field carries an `Option` in its metadata: what kind of value it takes (see
`kinds`), its help, its flags. The command line, the environment reader, the config-file
readers and the settings page all read it from there; none of them knows an option by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from fastserve.kinds import Flag, Kind, Secret, Size

__all__ = ["Option", "option", "options_of"]

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """One option as every reader sees it. `name` is the Python and config-file name."""

    name: str
    kind: Kind
    help: str
    default: object
    subject: str
    attribute: str
    flags: tuple[str, ...]
    environment: tuple[str, ...]
    repeat: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def is_pair(self) -> bool:
        """Whether the flag has a `--no-` form, because unset or true is its default."""
        return isinstance(self.kind, Flag) and self.default is not False

    @property
    def told_default(self) -> str:
        """The default as a person would write it; empty if unset is the default."""
        if self.default is None or self.default is False or self.default in ((), ""):
            return ""
        if self.default is True:
            return "on"
        if isinstance(self.default, tuple):
            return ",".join(map(str, self.default))
        if isinstance(self.kind, Size) and isinstance(self.default, int) and self.default:
            for unit, size in (("m", 1024**2), ("k", 1024)):
                if self.default % size == 0:
                    return f"{self.default // size}{unit}"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


def option(
    default: T,
    kind: Kind,
    help: str,
    *,
    flag: str | None = None,
    environment: tuple[str, ...] = (),
    repeat: bool = False,
    aliases: tuple[str, ...] = (),
) -> T:
    """A dataclass field that is an option.

    `flag` names the flag where it is not the option's name; `environment` adds variables
    besides `FASTSERVE_<NAME>`, read after it; `repeat` lets the flag be given many times;
    `aliases` are further option names with the same meaning.
    """
    metadata = {
        "kind": kind,
        "help": help,
        "flag": flag,
        "environment": environment,
        "repeat": repeat,
        "aliases": aliases,
    }
    return field(default=default, metadata=metadata, repr=not isinstance(kind, Secret))


def options_of(subject: str, cls: type[Any], prefix: str) -> list[Option]:
    """The options of one subject's dataclass; their names are `prefix` + the field's name."""
    found = []
    for each in fields(cls):
        told = each.metadata
        name = prefix + each.name
        names = [told["flag"] or name, *told["aliases"]]
        found.append(
            Option(
                name=name,
                kind=told["kind"],
                help=told["help"],
                default=each.default,
                subject=subject,
                attribute=each.name,
                flags=tuple("--" + word.replace("_", "-") for word in names),
                environment=(f"FASTSERVE_{name.upper()}", *told["environment"]),
                repeat=told["repeat"],
                aliases=told["aliases"],
            )
        )
    return found
