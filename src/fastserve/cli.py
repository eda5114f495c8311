"""The command line, derived from the config's fields.

`fastserve APP` serves; `fastserve check APP`, with the same options, tries. An application
whose module is called check is named with its attribute, check:app.
"""

from __future__ import annotations

import platform
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from fastserve.config import OPTIONS, SUBJECTS, Config, title
from fastserve.errors import ConfigError, FastserveError
from fastserve.kinds import Flag
from fastserve.launch import launch
from fastserve.options import Option
from fastserve.sources import Found, gather
from fastserve.terminal import open_standard_streams

__all__ = ["check_command", "command", "main"]

_APP = """
APP is module:attribute, a module, or the path of a Python file with or without
:attribute. Where no attribute is named, app or application is taken.

\b
Options come from, and the first that has one wins:
  1. the command line
  2. the environment: FASTSERVE_PORT for --port
  3. the same variables in the files of --env-file
  4. the TOML file of --config
  5. [tool.fastserve] in the pyproject.toml of the working directory
"""
_ABOUT = f"""Serve an ASGI application.

fastserve check APP, with the same options, is a dry run: it imports the application, runs
its lifespan and tells what it finds.
{_APP}"""
_ABOUT_CHECK = f"""Try an ASGI application and its options without serving.

Imports the application, runs its lifespan, and tells the settings that are not the
defaults and what may not be what was meant. The exit status is 0 if the server would start.
{_APP}"""


class _Command(click.Command):
    """A command whose help lists options by subject, and whose flags may be given a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_plain_flags(args)))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {subject: [] for subject in SUBJECTS}
        others: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                each = OPTIONS.get(param.name or "")
                (sections[each.subject] if each else others).append(record)
        for subject, records in sections.items():
            with formatter.section(title(subject)):
                formatter.write_dl(records)
        with formatter.section("Other"):
            formatter.write_dl(others)


def command() -> click.Command:
    """The click command; invoked, it returns the exit status."""
    version = click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_print_version,
        help="Show the version and exit.",
    )
    params = [*_parameters(), version]
    return _Command("fastserve", params=params, callback=_serve, help=_ABOUT)


def check_command() -> click.Command:
    """The click command `fastserve check`; invoked, it returns the exit status."""
    params = [
        *_parameters(),
        click.Option(
            ["--all", "show_all"], is_flag=True, help="Show every setting, the defaults too."
        ),
        click.Option(
            ["--import-only"],
            is_flag=True,
            help="Import the application, but do not run its lifespan.",
        ),
    ]
    return _Command("check", params=params, callback=_check, help=_ABOUT_CHECK)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (None: the process's own); the exit status."""
    open_standard_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    name, run = "fastserve", command
    if given[:1] == ["check"]:
        name, run = "fastserve check", check_command
        del given[0]
    try:
        # Without standalone mode, click returns the callback's value or an exit's status.
        status = run().main(given, name, standalone_mode=False)
    except click.UsageError as error:
        print(f"fastserve: {error.format_message()}", file=sys.stderr)
        print(f"{name} --help lists the options", file=sys.stderr)
        return error.exit_code
    except FastserveError as error:
        print(error.report(), file=sys.stderr)
        return error.status
    except click.Abort:
        return 130
    return int(status or 0)


def _serve(app: str | None, **values: Any) -> int:
    return launch(_config(app, values))


def _check(app: str | None, show_all: bool, import_only: bool, **values: Any) -> int:
    from fastserve.check import check

    return check(_config(app, values), show_all=show_all, import_only=import_only)


def _config(app: str | None, values: Mapping[str, Any]) -> Config:
    given: Found = {
        name: (value, OPTIONS[name].flags[0])
        for name, value in values.items()
        if value is not None and value != ()
    }
    return gather(app, given)


def _parameters() -> list[click.Parameter]:
    """What both commands take."""
    return [
        click.Argument(["app"], required=False, metavar="APP"),
        *(_parameter(each) for each in OPTIONS.values()),
    ]


def _plain_flags(args: Sequence[str]) -> Iterator[str]:
    """The arguments with `--flag false` and `--flag=false` as `--no-flag`; true likewise.

    Uvicorn has flags of that kind. It is so for all that have a `--no-` form.
    """
    pairs = {flag for each in OPTIONS.values() if each.is_pair for flag in each.flags}
    valued = {
        flag for each in OPTIONS.values() if not isinstance(each.kind, Flag) for flag in each.flags
    }
    words = deque(args)
    while words:
        word = words.popleft()
        if word == "--":
            yield word
            yield from words
            return
        flag, equals, value = word.partition("=")
        if flag in pairs:
            if not equals and words and words[0].lower() in Flag.TRUE + Flag.FALSE:
                value = words.popleft()
            try:
                yield flag if Flag()(value or not equals) else f"--no-{flag.removeprefix('--')}"
            except ValueError as error:
                raise ConfigError(f"{flag}: {error}") from None
            continue
        yield word
        if word in valued and words:  # its value is nobody's flag
            yield words.popleft()


def _parameter(each: Option) -> click.Option:
    name = each.name
    flags = list(each.flags)
    settings: dict[str, Any] = {"help": _help(each), "default": None}
    if isinstance(each.kind, Flag):
        if each.is_pair:
            flags = [f"{flag}/--no-{flag.removeprefix('--')}" for flag in flags]
        settings["is_flag"] = True
    else:
        # Values stay text: the option's kind converts them, for every source alike.
        settings.update(type=click.UNPROCESSED, metavar=each.kind.metavar, multiple=each.repeat)
    return click.Option([*flags, name], **settings)


def _help(each: Option) -> str:
    return f"{each.help} [default: {each.told_default}]" if each.told_default else each.help


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from fastserve import __version__

        click.echo(
            f"fastserve {__version__} ({platform.python_implementation()} "
            f"{platform.python_version()}, {platform.system()} {platform.machine()})"
        )
        ctx.exit()
