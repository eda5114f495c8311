"""Where options come from.

A source is a mapping of option names to raw values, with the origin of each for
messages. `gather` lays them over one another and makes the `Config`: what is given wins over
the environment, then come the files of `--env-file`, the file of `--config`, and
`[tool.fastserve]` in pyproject.toml.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastserve import envfiles
from fastserve.config import ALIASES, OPTIONS, Config, find_option
from fastserve.envfiles import PREFIX
from fastserve.errors import ConfigError
from fastserve.terminal import HANDOVER, TRIAL

__all__ = [
    "Found",
    "from_config_file",
    "from_env_files",
    "from_environment",
    "from_pyproject",
    "gather",
    "is_of_kubernetes",
]

# option name -> (raw value, where it was found); the application is the option "app"
Found = dict[str, tuple[Any, str]]

# Options that name files of options: no such file names another.
_FILES = ("config", "env_file")
_OURS = {TRIAL, HANDOVER, envfiles.LOADED}
_NAMES = {"app", *OPTIONS, *ALIASES}
_VARIABLES = _OURS | {f"{PREFIX}{name.upper()}" for name in _NAMES}
# How alike a variable's name must be to an option's for a mistake; others may be anybody's.
_ALIKE = 0.75
# What Kubernetes, and Docker's links, set for each service: for one called fastserve,
# FASTSERVE_SERVICE_HOST, FASTSERVE_PORT_80_TCP_ADDR and FASTSERVE_PORT=tcp://10.0.0.1:80.
_SERVICE = re.compile(
    r"\w+_(SERVICE_(HOST|PORT(_\w+)?)|PORT_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT(_START|_END)?|PROTO))?)"
)
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def is_of_kubernetes(variable: str, value: str) -> bool:
    """Whether the variable is one that Kubernetes sets for a service."""
    if variable.endswith("_PORT") and _SERVICE_ADDRESS.match(value):
        return True
    return _SERVICE.fullmatch(variable) is not None


def from_environment(environment: Mapping[str, str]) -> Found:
    """Options in `FASTSERVE_*` and the few variables that mean the same.

    An empty variable counts as not set, and one of Kubernetes is no option. Raises
    `ConfigError` for a variable whose name is nearly an option's; others are left alone.
    """
    return _of_variables({name: (value, name) for name, value in environment.items()})


def from_env_files(paths: Sequence[str]) -> Found:
    """Options in the files of variables at `paths`; of an option in two, the later file's.

    Raises `ConfigError` as `from_environment` and `envfiles.read` do.
    """
    return _of_variables(
        {
            name: (value, f"{name} in {path}")
            for name, (value, path) in envfiles.read(paths).items()
        },
        without=_FILES,
    )


def _of_variables(told: Mapping[str, tuple[str, str]], without: Iterable[str] = ()) -> Found:
    """The options among the variables `told`, which have their values and origins."""
    for variable, (value, origin) in told.items():
        if value and variable.startswith(PREFIX) and variable not in _VARIABLES:
            _refuse_if_near(variable, value, origin)
    found: Found = {}
    variables = {"app": (f"{PREFIX}APP",)} | {
        each.name: each.environment + tuple(PREFIX + alias.upper() for alias in each.aliases)
        for each in OPTIONS.values()
    }
    for name, names in variables.items():
        for variable in names:
            value, origin = told.get(variable, ("", ""))
            if value and not is_of_kubernetes(variable, value):
                if name in without:
                    raise ConfigError(f"{origin}: a file of options names no other")
                found[name] = value, origin
                break
    return found


def _refuse_if_near(variable: str, value: str, origin: str) -> None:
    if not is_of_kubernetes(variable, value):
        near = difflib.get_close_matches(variable.removeprefix(PREFIX).lower(), _NAMES, 1, _ALIKE)
        if near:
            meant = PREFIX + near[0].upper()
            raise ConfigError(f"{origin}: there is no such option; did you mean {meant}?")


def from_pyproject(path: str) -> Found:
    """Options in the `[tool.fastserve]` table of the file at `path`; none if it is not there.

    Keys may be written with hyphens or underscores. Raises `ConfigError` for a key that
    is no option and for a file that cannot be read or parsed.
    """
    document = _toml(path)
    tools = (document or {}).get("tool", {})
    table = tools.get("fastserve", {}) if isinstance(tools, dict) else None
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: [tool.fastserve] is not a table")
    return _of_table(table, f"[tool.fastserve] of {path}")


def from_config_file(path: str) -> Found:
    """Options in the TOML file at `path`, whose keys are those of `[tool.fastserve]`.

    Raises as `from_pyproject` does, and if the file is not there.
    """
    document = _toml(path)
    if document is None:
        raise ConfigError(f"--config: there is no file {path!r}")
    return _of_table(document, path)


def _toml(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read {path}: it is not UTF-8 text") from None
    except ValueError as error:
        raise ConfigError(f"cannot read {path}: {error}") from None


def _of_table(table: Mapping[str, Any], where: str) -> Found:
    found: Found = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in _NAMES:
            near = difflib.get_close_matches(name, sorted(_NAMES), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            if isinstance(value, dict):
                hint = ": options stand there themselves, in no table of their own"
            raise ConfigError(f"{where}: there is no option {key!r}{hint}")
        name = ALIASES.get(name, name)
        if name == "config":
            raise ConfigError(f"{where}: {key!r}: a file of options names no other")
        _add(found, name, value, f"{key!r} in {where}")
    return found


def _of_arguments(given: Found) -> Found:
    """What is given, under the options' own names; None is not given."""
    found: Found = {}
    for name, (value, origin) in given.items():
        if value is not None:
            _add(found, name if name == "app" else find_option(name).name, value, origin)
    return found


def _add(found: Found, name: str, value: object, origin: str) -> None:
    if name in found:
        raise ConfigError(f"{found[name][1]} and {origin} are the same option")
    found[name] = value, origin


def gather(
    app: object,
    given: Found,
    *,
    environment: Mapping[str, str] | None = None,
    pyproject: str | None = "pyproject.toml",
) -> Config:
    """The config of `app` (None: the sources name it) from all sources.

    `given`, of which None means not given, wins over the environment (None: the process's
    own, without what came from a file), which wins over all files. They are `pyproject`
    (None: no file) and those that the options `config` and `env_file` name; their relative
    paths, and relative paths in them, start at the working directory. Raises `ConfigError`.
    """
    if environment is None:
        envfiles.unload()
        environment = os.environ
    merged = from_pyproject(pyproject) if pyproject else {}
    over = from_environment(environment) | _of_arguments(given)
    if "config" in over:
        merged |= from_config_file(_converted(over, "config"))
    if "env_file" in merged | over:
        merged |= from_env_files(_converted(merged | over, "env_file"))
    merged |= over
    named, origin = merged.pop("app", (None, ""))
    if app is None:
        app = named
        if app is None:
            raise ConfigError("no application named; name it as in: fastserve main:app")
        if not isinstance(app, str):
            raise ConfigError(f"{origin}: {app!r} is not text such as 'main:app'")
    return Config(
        app,
        origins={name: origin for name, (_, origin) in merged.items()},
        **{name: value for name, (value, _) in merged.items()},
    )


def _converted(found: Found, name: str) -> Any:
    value, origin = found[name]
    try:
        return OPTIONS[name].kind(value)
    except ValueError as error:
        raise ConfigError(f"{origin}: {error}") from None
