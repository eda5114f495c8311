"""Files of environment variables, which `--env-file` names.

Variables of the prefix `FASTSERVE_` are options, and `sources` takes them; the others are the
application's. What `load` has set it can take back: so a process that becomes a new program
(`supervision.upgrade`), or is started by one that has loaded a file, sees the file as it is then.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

from fastserve.errors import ConfigError

__all__ = ["LOADED", "PREFIX", "load", "read", "unload"]

PREFIX = "FASTSERVE_"
# The process that has loaded variables, and their names.
LOADED = "FASTSERVE_LOADED_VARIABLES"


def read(paths: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The variables in the files at `paths`, each with its file; a later file wins.

    `${NAME}` in a value stands for another variable, of the environment or of a line before.
    Raises `ConfigError` for a file that is not there or not understood, for an option that a
    file has twice, and if python-dotenv is missing.
    """
    try:
        from dotenv.main import DotEnv
        from dotenv.parser import parse_stream
    except ImportError:
        raise ConfigError(
            "--env-file needs python-dotenv: pip install 'fastserve[standard]'"
        ) from None
    texts = []
    files: dict[str, str] = {}
    for path in paths:
        text = _text(path)
        lines: dict[str, int] = {}
        for each in parse_stream(io.StringIO(text)):
            line = each.original.line
            if each.error:
                raise ConfigError(f"{path}, line {line}: this is not NAME=VALUE")
            if each.key is None:
                continue
            if each.key in lines and each.key.startswith(PREFIX):
                raise ConfigError(
                    f"{path}, line {line}: {each.key} is in line {lines[each.key]} too"
                )
            lines[each.key] = line
            files[each.key] = path
        texts.append(text)
    found = DotEnv(None, io.StringIO("\n".join(texts)), override=False).dict()
    return {name: (value, files[name]) for name, value in found.items() if value is not None}


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        raise ConfigError(f"--env-file: there is no file {path!r}") from None
    except OSError as error:
        raise ConfigError(f"--env-file: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"--env-file: {path} is not UTF-8 text") from None


def load(paths: Sequence[str]) -> None:
    """Put what the files at `paths` have for the application into the process's environment.

    Variables that are already set keep their value, unless an earlier `load` has set them.
    Raises as `read` does.
    """
    unload()
    if not paths:
        return
    added = {
        name: value
        for name, (value, _) in read(paths).items()
        if name not in os.environ and not name.startswith(PREFIX)
    }
    if added:
        os.environ |= added
        os.environ[LOADED] = " ".join([str(os.getpid()), *added])


def unload() -> None:
    """Take back what `load` has set, in this process or in the one that has started it."""
    pid, *names = os.environ.pop(LOADED, "0").split()
    if int(pid) in (os.getpid(), os.getppid()):
        for name in names:
            os.environ.pop(name, None)
