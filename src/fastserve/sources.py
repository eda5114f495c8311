"""Where options come from: given ones, then the environment, then pyproject.toml.

A source is a mapping of option names to raw values, with the origin of each for
messages. `gather` lays them over one another and makes the `Config`.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from typing import Any

from fastserve.config import ALIASES, OPTIONS, Config, find_option
from fastserve.errors import ConfigError

__all__ = ["Found", "from_environment", "from_pyproject", "gather", "load_env_file"]

# option name -> (raw value, where it was found); the application is the option "app"
Found = dict[str, tuple[Any, str]]


def from_environment(environment: Mapping[str, str]) -> Found:
    """Options in `FASTSERVE_*` and the few variables that mean the same.

    An empty variable counts as not set. Other variables of the prefix are left alone:
    Kubernetes sets some (`FASTSERVE_SERVICE_HOST`) for any service that is called fastserve.
    """
    found: Found = {}
    if environment.get("FASTSERVE_APP"):
        found["app"] = (environment["FASTSERVE_APP"], "FASTSERVE_APP")
    for each in OPTIONS.values():
        for variable in each.environment:
            if environment.get(variable):
                found[each.name] = (environment[variable], variable)
                break
    return found


def from_pyproject(path: str) -> Found:
    """Options in the `[tool.fastserve]` table of the file at `path`; none if it is not there.

    Keys may be written with hyphens or underscores. Raises `ConfigError` for a key that
    is no option and for a file that cannot be read or parsed.
    """
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    table = document.get("tool", {}).get("fastserve", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: [tool.fastserve] is not a table")
    found: Found = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name != "app" and ALIASES.get(name, name) not in OPTIONS:
            known = {"app", *OPTIONS, *ALIASES}
            raise ConfigError(f"{path}: [tool.fastserve] has no option {key!r}{_near(name, known)}")
        name = name if name == "app" else find_option(name).name
        found[name] = (value, f"{key!r} in [tool.fastserve] of {path}")
    return found


def gather(
    app: object,
    given: Found,
    *,
    environment: Mapping[str, str] | None = None,
    pyproject: str | None = "pyproject.toml",
) -> Config:
    """The config of `app` (None: the sources name it) from all sources.

    `given`, of which None means not given, wins over the environment (None: the process's
    own), which wins over the file `pyproject` (None: no file). Raises `ConfigError`.
    """
    merged = from_pyproject(pyproject) if pyproject else {}
    merged |= from_environment(os.environ if environment is None else environment)
    for name, (value, origin) in given.items():
        if value is not None:
            merged[name if name == "app" else find_option(name).name] = (value, origin)
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


def load_env_file(path: str) -> None:
    """Put the variables of the file at `path` into the process's environment.

    Variables that are already set keep their value. Raises `ConfigError` if the file or
    python-dotenv is missing.
    """
    try:
        from dotenv import load_dotenv
    except ImportError:
        raise ConfigError(
            "--env-file needs python-dotenv: pip install 'fastserve[standard]'"
        ) from None
    if not os.path.isfile(path):
        raise ConfigError(f"--env-file: there is no file {path!r}")
    load_dotenv(path)


def _near(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
