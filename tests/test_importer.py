"""From a name to an ASGI 3 callable, and what is said where that fails."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from fastserve.config import Application
from fastserve.errors import AppError
from fastserve.importer import is_importing, load_app

APP = """
async def {name}(scope, receive, send):
    await send({{"from": "{name}"}})
"""


@pytest.fixture(autouse=True)
def clean_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(path: str, text: str) -> None:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text))


def load(target: object, **options: Any) -> Any:
    return load_app(target, Application(**options))


def sent_by(app: Any, scope: dict[str, Any] | None = None) -> list[Any]:
    """What the application sends when it is called the ASGI 3 way."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    asyncio.run(app(scope or {"type": "http"}, receive, send))
    return sent


def refusal(target: object, **options: Any) -> AppError:
    with pytest.raises(AppError) as caught:
        load(target, **options)
    return caught.value


@pytest.mark.parametrize(
    "target",
    ["fs_one:app", "fs_one", "fs_one.py", "fs_one.py:app", "./fs_one.py", "fs_one:holder.app"],
)
def test_an_application_is_found_by_module_path_and_attribute(target: str) -> None:
    write(
        "fs_one.py",
        APP.format(name="app") + "class holder: pass\nholder.app = staticmethod(app)\n",
    )
    assert sent_by(load(target)) == [{"from": "app"}]


def test_application_is_found_where_there_is_no_app() -> None:
    write("fs_two.py", APP.format(name="application"))
    assert sent_by(load("fs_two.py")) == [{"from": "application"}]


def test_a_file_in_a_package_is_imported_as_part_of_it() -> None:
    write("src/fs_pkg/__init__.py", "")
    write("src/fs_pkg/names.py", "NAME = 'app'\n")
    write("src/fs_pkg/main.py", "from .names import NAME\n" + APP.format(name="app"))
    app = load("src/fs_pkg/main.py")
    assert app.__module__ == "fs_pkg.main"


def test_a_package_itself_can_be_the_path() -> None:
    write("fs_pkg2/__init__.py", APP.format(name="app"))
    assert load("fs_pkg2/__init__.py").__module__ == "fs_pkg2"


def test_app_dir_is_where_it_is_looked_for() -> None:
    write("inner/fs_three.py", APP.format(name="app"))
    assert sent_by(load("fs_three:app", app_dir="inner"))
    assert sent_by(load("fs_three.py", app_dir="inner"))


def test_an_object_is_taken_as_it_is() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    assert load(app) is app


# -- factories -------------------------------------------------------------------------


FACTORY = APP.format(name="made") + "def create_app():\n    return made\n"


def test_a_factory_is_called() -> None:
    write("fs_fac.py", FACTORY)
    assert sent_by(load("fs_fac:create_app", factory=True)) == [{"from": "made"}]


def test_a_factory_is_found_in_a_file_when_one_is_asked_for() -> None:
    write("fs_fac.py", FACTORY)
    assert sent_by(load("fs_fac.py", factory=True)) == [{"from": "made"}]
    assert "say fs_fac.py:create_app --factory" in refusal("fs_fac.py").message


def test_a_factory_is_recognised_and_called_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    write("fs_fac.py", FACTORY)
    assert sent_by(load("fs_fac:create_app")) == [{"from": "made"}]
    assert "fs_fac:create_app is a factory" in caplog.text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def create_app():\n    raise KeyError('db')\n", "failed: KeyError('db')"),
        ("create_app = 3\n", "not a factory"),
        ("def create_app(settings):\n    return 1\n", "cannot be called without arguments"),
        ("async def create_app():\n    return 1\n", "is an async function"),
        ("def create_app():\n    return None\n", "is of type NoneType, not an ASGI"),
    ],
)
def test_what_is_wrong_with_a_factory_is_said(source: str, message: str) -> None:
    write("fs_fac.py", source)
    error = refusal("fs_fac:create_app", factory=True)
    assert message in error.message
    assert ("KeyError" in (error.details or "")) == ("KeyError" in message)


# -- interfaces ------------------------------------------------------------------------


ASGI2 = """
class app:
    def __init__(self, scope):
        self.scope = scope
    async def __call__(self, receive, send):
        await send({"from": self.scope["type"]})
"""


@pytest.mark.parametrize("interface", ["auto", "asgi2"])
def test_an_asgi_2_application_is_adapted(interface: str) -> None:
    write("fs_asgi2.py", ASGI2)
    assert sent_by(load("fs_asgi2:app", interface=interface)) == [{"from": "http"}]


@pytest.mark.parametrize(
    "source",
    [
        "class App:\n    async def __call__(self, scope, receive, send): ...\napp = App()\n",
        "import functools\nasync def f(x, scope, receive, send): ...\n"
        "app = functools.partial(f, 1)\n",
        "def app(*args, **kwargs): ...\n",
        "class app:\n    def __init__(self, scope, receive, send): ...\n"
        "    def __await__(self): ...\n",
    ],
    ids=["object", "partial", "any arguments", "awaitable class"],
)
def test_asgi_3_is_recognised_by_its_three_arguments(source: str) -> None:
    write("fs_asgi3.py", source)
    assert load("fs_asgi3:app") is sys.modules["fs_asgi3"].app


def test_a_wsgi_application_is_named_so_with_the_way_out() -> None:
    write("fs_wsgi.py", "def app(environ, start_response): ...\n")
    error = refusal("fs_wsgi:app")
    assert "is a WSGI application" in error.message
    assert "WsgiToAsgi" in error.message


def test_flask_is_wsgi() -> None:
    flask = pytest.importorskip("flask")
    assert "is a WSGI application" in refusal(flask.Flask("x")).message


# -- failures --------------------------------------------------------------------------


def test_a_misspelt_module_gets_a_suggestion() -> None:
    write("fs_main.py", APP.format(name="app"))
    assert "did you mean 'fs_main'?" in refusal("fs_mian:app").message


def test_a_module_in_a_directory_below_gets_app_dir() -> None:
    write("backend/fs_deep.py", APP.format(name="app"))
    assert "add --app-dir backend" in refusal("fs_deep:app").message


def test_a_path_written_as_a_module_gets_the_path() -> None:
    write("backend/fs_deep.py", APP.format(name="app"))
    assert "did you mean backend/fs_deep.py?" in refusal("backend/fs_deep:app").message


def test_a_missing_submodule_is_not_taken_for_a_missing_dependency() -> None:
    write("fs_pkg3/__init__.py", "")
    error = refusal("fs_pkg3.nowhere:app")
    assert "there is no module 'fs_pkg3.nowhere'" in error.message
    assert error.details is None


def test_a_missing_file_gets_a_near_one() -> None:
    write("fs_main.py", APP.format(name="app"))
    assert "did you mean 'fs_main.py'?" in refusal("fs_mian.py").message


def test_a_file_that_is_shadowed_is_not_silently_another_module() -> None:
    write("json.py", APP.format(name="app"))
    assert "rename the file" in refusal("json.py").message


def test_a_file_whose_name_is_no_python_name_is_refused() -> None:
    write("my-app.py", APP.format(name="app"))
    assert "rename it" in refusal("my-app.py").message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import fs_not_there\n", "No module named 'fs_not_there'"),
        ("def f():\n    raise ValueError('bad\\nsecond')\nf()\n", "bad"),
        ("x = = 1\n", "invalid syntax"),
        ("raise SystemExit(4)\n", "exits by itself while being imported (status 4)"),
    ],
    ids=["dependency", "error", "syntax", "exit"],
)
def test_the_applications_own_failure_comes_with_its_traceback(source: str, said: str) -> None:
    write("fs_broken.py", source)
    error = refusal("fs_broken:app")
    assert said in error.message
    assert "\n" not in error.message
    assert error.details is not None
    assert "fs_broken.py" in error.details
    assert "importer.py" not in error.details
    assert "importlib" not in error.details


def test_a_missing_attribute_gets_a_near_or_a_likely_one() -> None:
    write("fs_names.py", APP.format(name="service") + "server = 1\n")
    assert "did you mean fs_names:service?" in refusal("fs_names:servce").message
    assert "did you mean fs_names:service?" in refusal("fs_names:qqq").message
    assert "did you mean fs_names:service?" in refusal("fs_names").message


@pytest.mark.parametrize("target", [":app", "fs_x:", ":", "fs_x.py:"])
def test_half_a_name_is_refused(target: str) -> None:
    assert "does not name an application" in refusal(target).message


@pytest.mark.parametrize(
    ("source", "message"),
    [("app = 3\n", "of type int"), ("def app(a, b, c, d): ...\n", "cannot be called with (scope")],
)
def test_what_is_no_application_is_refused(source: str, message: str) -> None:
    write("fs_not.py", source)
    assert message in refusal("fs_not:app").message


def test_it_is_known_while_the_application_is_imported() -> None:
    write(
        "fs_when.py",
        "from fastserve.importer import is_importing\nSEEN = is_importing()\n"
        + APP.format(name="app"),
    )
    load("fs_when:app")
    assert sys.modules["fs_when"].SEEN is True
    assert is_importing() is False
