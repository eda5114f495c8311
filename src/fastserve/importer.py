"""From what a person named to an ASGI 3 callable.

Accepted: `module:attribute`, `module`, `path/to/main.py:attribute`, `path/to/main.py`, or
an application object. Where no attribute is named, `app` or `application` is taken, or
with `--factory` also `create_app` or `make_app`. Every failure is an `AppError` whose text
says what to do; a failure inside the application's own code carries its traceback.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from fastserve.config import Application
from fastserve.errors import AppError, app_traceback

__all__ = ["ASGIApp", "find", "is_importing", "load_app"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_APPS = ("app", "application")
_FACTORIES = ("create_app", "make_app")
_log = logging.getLogger("fastserve.error")
_importing = False


def is_importing() -> bool:
    """Whether the application's module is being imported at this moment.

    A module that calls `fastserve.run` unguarded does so again when the server imports it.
    """
    return _importing


def load_app(target: object, options: Application) -> ASGIApp:
    """The ASGI 3 callable that `target` names or is.

    Puts `options.app_dir` (or the directory of a path) first on `sys.path`. Raises
    `AppError`.
    """
    if isinstance(target, str):
        name = target
        app = find(target, options)
    else:
        name = getattr(target, "__qualname__", None) or f"a {type(target).__name__} object"
        app = target
    if options.factory or _looks_like_factory(app):
        if not options.factory:
            _log.warning("%s is a factory: called; say so with --factory", name)
        app = _call_factory(app, name)
    return _as_asgi3(app, name, options.interface)


# -- finding ---------------------------------------------------------------------------


def find(target: str, options: Application) -> object:
    """The object that `target` names. Raises `AppError`."""
    place, colon, attribute = target.strip().rpartition(":")
    if not colon or attribute.endswith(".py") or "\\" in attribute or "/" in attribute:
        place, attribute = target.strip(), ""
    if not place or (colon and not attribute and target.strip().endswith(":")):
        raise AppError(f"{target!r} does not name an application; name it as in 'main:app'")
    if place.endswith(".py"):
        module = _import_path(os.path.join(options.app_dir, place), place)
    else:
        _prefer(os.path.abspath(options.app_dir))
        module = _import_module(place, options.app_dir)
    if not attribute:
        return _sole_app(module, place, options.factory)
    found: object = module
    for step in attribute.split("."):
        try:
            found = getattr(found, step)
        except AttributeError:
            raise AppError(_no_attribute(module, place, attribute)) from None
    return found


def _prefer(directory: str) -> None:
    if sys.path[:1] != [directory]:
        sys.path.insert(0, directory)


def _import_path(path: str, told: str) -> ModuleType:
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        raise AppError(f"there is no file {told!r}{_near_files(path)}")
    directory, file = os.path.split(path)
    name = file.removesuffix(".py")
    if not name.isidentifier():
        raise AppError(f"{told!r} cannot be imported: {name!r} is not a Python name; rename it")
    parts = [] if name == "__init__" else [name]
    while os.path.isfile(os.path.join(directory, "__init__.py")):
        directory, package = os.path.split(directory)
        parts.insert(0, package)
    _prefer(directory)
    module = _import_module(".".join(parts), directory)
    loaded = getattr(module, "__file__", None)
    if loaded is None or not os.path.samefile(loaded, path):
        raise AppError(
            f"{told!r} cannot be imported: another module is called {module.__name__!r} "
            f"({loaded or 'built in'}); rename the file"
        )
    return module


def _import_module(name: str, app_dir: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise AppError(f"{name!r} is not the name of a module{_path_hint(name)}")
    try:
        with _import_under_way():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise AppError(
                f"there is no module {error.name!r} in {os.path.abspath(app_dir)}"
                f"{_module_hint(name, app_dir)}"
            ) from None
        raise _apps_own(f"cannot import {name!r}: {error}", error) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        said = str(error) or type(error).__name__
        if isinstance(error, SystemExit):
            said = f"it exits by itself while being imported (status {error.code})"
        raise _apps_own(f"cannot import {name!r}: {said.splitlines()[0]}", error) from None


@contextmanager
def _import_under_way() -> Iterator[None]:
    global _importing
    before, _importing = _importing, True
    try:
        yield
    finally:
        _importing = before


def _apps_own(message: str, error: BaseException) -> AppError:
    return AppError(message, details=app_traceback(error))


def _sole_app(module: ModuleType, place: str, factory: bool) -> object:
    names = (*_FACTORIES, *_APPS) if factory else _APPS
    for name in names:
        if hasattr(module, name):
            return getattr(module, name)
    if any(hasattr(module, name) for name in _FACTORIES):
        name = next(name for name in _FACTORIES if hasattr(module, name))
        raise AppError(f"{place!r} has no app, but a factory: say {place}:{name} --factory")
    likely = _likely_apps(module)
    hint = f"; did you mean {place}:{likely[0]}?" if likely else f"; name it as in {place}:name"
    raise AppError(f"{place!r} has no {' or '.join(map(repr, names))}{hint}")


# -- hints -----------------------------------------------------------------------------


def _no_attribute(module: ModuleType, place: str, attribute: str) -> str:
    names = [name for name in vars(module) if not name.startswith("_")]
    likely = difflib.get_close_matches(attribute, names, n=1) or _likely_apps(module)
    hint = f"; did you mean {place}:{likely[0]}?" if likely else ""
    return f"{place!r} has no attribute {attribute!r}{hint}"


def _likely_apps(module: ModuleType) -> list[str]:
    """Names in the module of objects, not classes, that take the three ASGI arguments."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and not inspect.isclass(value)
        and getattr(value, "__module__", module.__name__) is not None
        and inspect.iscoroutinefunction(_called(value))
        and _takes(value, 3)
    ]


def _path_hint(name: str) -> str:
    path = name.replace("\\", "/").removesuffix("/")
    if os.path.isfile(path + ".py"):
        return f"; did you mean {path}.py?"
    if "/" in path:
        return f"; did you mean {path.strip('/').replace('/', '.')}?"
    return ""


def _module_hint(name: str, app_dir: str) -> str:
    first = name.partition(".")[0]
    try:
        entries = sorted(os.listdir(app_dir))
    except OSError:
        return "; --app-dir names no directory that can be read"
    for entry in entries:
        directory = os.path.normpath(os.path.join(app_dir, entry))
        inside = os.path.join(directory, first)
        if os.path.isfile(inside + ".py") or os.path.isfile(os.path.join(inside, "__init__.py")):
            return f"; there is one in {entry!r}: add --app-dir {directory}"
    known = [entry.removesuffix(".py") for entry in entries if entry.endswith(".py")]
    known += [
        entry for entry in entries if os.path.isfile(os.path.join(app_dir, entry, "__init__.py"))
    ]
    near = difflib.get_close_matches(first, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else "; --app-dir says where else to look"


def _near_files(path: str) -> str:
    directory, file = os.path.split(path)
    try:
        files = [each for each in os.listdir(directory) if each.endswith(".py")]
    except OSError:
        return ""
    near = difflib.get_close_matches(file, files, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


# -- what kind of callable -------------------------------------------------------------


def _called(app: Any) -> Any:
    """What runs when `app` is called: itself, or its type's `__call__`."""
    if inspect.isfunction(app) or inspect.ismethod(app) or inspect.isclass(app):
        return app
    return type(app).__call__ if callable(app) else app


def _takes(app: Any, count: int) -> bool:
    """Whether `app` can be called with so many positional arguments; yes if none can tell."""
    try:
        inspect.signature(app).bind(*(None,) * count)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _looks_like_factory(app: object) -> bool:
    return inspect.isfunction(app) and _takes(app, 0) and not _takes(app, 3)


def _call_factory(factory: object, name: str) -> object:
    if not callable(factory):
        raise AppError(f"{name} is of type {type(factory).__name__}, not a factory")
    if not _takes(factory, 0):
        raise AppError(f"{name} is not a factory: it cannot be called without arguments")
    try:
        with _import_under_way():
            made = factory()
    except Exception as error:
        raise _apps_own(f"the factory {name} failed: {error!r}", error) from None
    if inspect.iscoroutine(made):
        made.close()
        raise AppError(f"the factory {name} is an async function; it must be a plain one")
    return made


def _as_asgi3(app: Any, name: str, interface: str) -> ASGIApp:
    if not callable(app):
        raise AppError(f"{name} is of type {type(app).__name__}, not an ASGI application")
    if interface == "asgi3" or (interface == "auto" and _takes(app, 3)):
        return app  # type: ignore[no-any-return]
    if interface == "asgi2" or _is_asgi2(app):
        return _from_asgi2(app)
    if _is_wsgi(app):
        raise AppError(
            f"{name} is a WSGI application, and fastserve speaks ASGI\n"
            "wrap it: from asgiref.wsgi import WsgiToAsgi; asgi_app = WsgiToAsgi(app)"
        )
    raise AppError(
        f"{name} is not an ASGI application: it cannot be called with (scope, receive, send)"
    )


def _is_asgi2(app: Any) -> bool:
    """ASGI 2 is called with the scope alone and returns a callable for (receive, send)."""
    return _takes(app, 1) and not _is_wsgi(app)


def _is_wsgi(app: Any) -> bool:
    return hasattr(app, "wsgi_app") or (
        _takes(app, 2) and not inspect.iscoroutinefunction(_called(app))
    )


def _from_asgi2(app: Callable[[Scope], Callable[[Receive, Send], Awaitable[None]]]) -> ASGIApp:
    async def asgi3(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope)(receive, send)

    return asgi3
