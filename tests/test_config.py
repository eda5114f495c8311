"""The config: defaults, flat construction by option name, one-line errors."""

from __future__ import annotations

import dataclasses
import pickle
import ssl
import subprocess
import sys

import pytest

from fastserve.config import ALIASES, OPTIONS, SUBJECTS, Config, find_option
from fastserve.errors import ConfigError


def test_defaults_are_those_of_the_design() -> None:
    config = Config("main:app")
    assert (config.bind.host, config.bind.port, config.bind.backlog) == ("127.0.0.1", 8000, 2048)
    assert config.process.workers is None
    assert config.timeouts.keep_alive == 75.0
    assert config.timeouts.graceful_shutdown == 25.0
    assert config.limits.request_head == 65536
    assert config.limits.request_body == 0


def test_defaults_of_websockets_are_uvicorns_where_it_has_the_option() -> None:
    config = Config("main:app")
    assert config.http.ws == "auto"
    websocket = config.websocket
    assert (websocket.max_size, websocket.max_queue) == (16777216, 32)
    assert (websocket.ping_interval, websocket.ping_timeout) == (20.0, 20.0)
    assert websocket.per_message_deflate is True


def test_options_are_given_flat_by_name_and_converted() -> None:
    config = Config("main:app", port="9000", limit_request_body="10m", headers=["x-a: 1"])
    assert config.bind.port == 9000
    assert config.limits.request_body == 10 * 1024**2
    assert config.http.headers == ((b"x-a", b"1"),)
    assert config.get("limit_request_body") == config.limits.request_body


def test_every_default_is_a_value_its_own_kind_takes() -> None:
    for each in OPTIONS.values():
        if each.default is not None:
            assert each.kind(each.default) == each.default, each.name


def test_every_field_is_an_option_with_help() -> None:
    names = {
        prefix + field.name
        for cls, prefix in SUBJECTS.values()
        for field in dataclasses.fields(cls)
    }
    assert names == set(OPTIONS)
    assert all(each.help.endswith(".") for each in OPTIONS.values())


def test_no_two_options_share_a_flag_or_a_variable() -> None:
    flags = [flag for each in OPTIONS.values() for flag in each.flags]
    variables = [name for each in OPTIONS.values() for name in each.environment]
    assert len(flags) == len(set(flags))
    assert len(variables) == len(set(variables))


def test_a_version_of_http_may_be_a_number() -> None:
    assert [Config("main:app", http=each).http.http for each in (1, "2", " AUTO ")] == [
        "1", "2", "auto",
    ]  # fmt: skip


def test_a_first_window_above_the_largest_that_nobody_has_said_is_taken() -> None:
    assert Config("main:app", http2_initial_stream_window_size="8m").http2.max_stream_window_size


def test_none_means_the_default() -> None:
    assert Config("main:app", port=None) == Config("main:app")


def test_an_alias_is_the_same_option() -> None:
    assert ALIASES == {"h11_max_incomplete_event_size": "limit_request_head"}
    config = Config("main:app", h11_max_incomplete_event_size=32768)
    assert config.limits.request_head == 32768
    with pytest.raises(ConfigError, match="are the same option"):
        Config("main:app", h11_max_incomplete_event_size=32768, limit_request_head=1024)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prt": 1}, "there is no option 'prt'; did you mean 'port'?"),
        ({"port": 70000}, "port: 70000 is not between 0 and 65535"),
        ({"uds": "/x", "fd": 3}, "uds and fd exclude each other"),
        ({"uds": "/x", "fd": 0}, "uds and fd exclude each other"),
        ({"bind": ["a"]}, "bind: 'a' is not an address"),
        ({"uds_mode": "rw"}, "uds_mode: 'rw' is no file mode"),
        ({"loop": "trio"}, "loop: 'trio' is not one of auto, uvloop, asyncio"),
        ({"ws": "wsproto"}, "ws: 'wsproto' is not one of auto, none: fastserve has a WebSocket"),
        ({"http": "h11"}, "http: 'h11' is not one of auto, 1, 2: fastserve has HTTP protocols of"),
        ({"http": True}, "http: True is not one of auto, 1, 2"),
        ({"http2_max_concurrent_streams": 0}, "http2_max_concurrent_streams: 0 is not between 1"),
        ({"http2_max_frame_size": "8k"}, "http2_max_frame_size: 8192 is less than 16384"),
        ({"http2_max_frame_size": "16m"}, "http2_max_frame_size: 16777216 is more than 16777215"),
        ({"http2_header_table_size": "2m"}, "http2_header_table_size: 2097152 is more than"),
        ({"http2_initial_connection_window_size": 65534}, "65534 is less than 65535"),
        ({"http2_initial_stream_window_size": "2g"}, "2147483648 is more than 2147483647"),
        (
            {"http2_max_stream_window_size": "128k"},
            "http2_max_stream_window_size: 131072 is less than --http2-initial-stream-window-size "
            "(262144)",
        ),
        (
            {
                "http2_max_connection_window_size": "2m",
                "http2_initial_connection_window_size": "4m",
            },
            "http2_max_connection_window_size: 2097152 is less than "
            "--http2-initial-connection-window-size (4194304)",
        ),
        ({"http2_settings_timeout": -1}, "http2_settings_timeout: -1 is not a number of seconds"),
        ({"ws_max_size": 0}, "ws_max_size: 0 is less than 1"),
        ({"ws_max_queue": 0}, "ws_max_queue: 0 is not between 1 and"),
        ({"ws_deflate_window": 8}, "ws_deflate_window: 8 is not between 9 and 15"),
        ({"ws_deflate_level": 10}, "ws_deflate_level: 10 is not between 1 and 9"),
        ({"ws_ping": 1}, "there is no option 'ws_ping'; did you mean 'ws_ping_"),
    ],
)
def test_errors_name_the_option(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config("main:app", **options)
    assert message in str(caught.value)
    assert caught.value.status == 2


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ({}, ["127.0.0.1:8000"]),
        ({"host": "::1", "port": 9000}, ["[::1]:9000"]),
        ({"uds": "/run/a.sock"}, ["unix:/run/a.sock"]),
        ({"fd": 0}, ["fd://0"]),
        ({"bind": ["*:80", "unix:/run/a.sock"]}, ["*:80", "unix:/run/a.sock"]),
        ({"bind": "*:80, fd://3"}, ["*:80", "fd://3"]),
        ({"bind": (), "port": 80}, ["127.0.0.1:80"]),
    ],
)
def test_what_is_listened_on_whichever_option_says_so(
    options: dict[str, object], places: list[str]
) -> None:
    config = Config("main:app", **options)
    assert [str(each) for each in config.bind.places] == places


@pytest.mark.parametrize(
    ("name", "value"), [("host", "::1"), ("port", 0), ("uds", "/run/a.sock"), ("fd", 0)]
)
def test_bind_is_given_in_place_of_the_others(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^bind and {name} exclude each other"):
        Config("main:app", bind=["*:80"], **{name: value})


def test_no_is_not_a_choice_that_excludes_another() -> None:
    config = Config("main:app", preload=False, reload=True)
    assert config.reload.reload


def test_an_app_object_cannot_have_several_workers() -> None:
    async def app(scope: object, receive: object, send: object) -> None: ...

    with pytest.raises(ConfigError, match="must be an import string such as 'main:app'"):
        Config(app, workers=2)


def test_an_empty_app_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="name is empty"):
        Config(" ")


def test_it_remembers_where_a_value_came_from() -> None:
    config = Config("main:app", origins={"port": "--port"}, port=1, host="::1")
    assert config.origin("port") == "--port"
    assert config.origin("host") == "host"
    assert config.origin("workers") == "default"
    with pytest.raises(ConfigError, match=r"^--port: "):
        Config("main:app", origins={"port": "--port"}, port="x")


def test_it_is_frozen_and_can_be_sent_to_a_worker() -> None:
    config = Config("main:app", workers=3, headers=["x-a: 1"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.app = "other:app"  # type: ignore[misc]
    copy = pickle.loads(pickle.dumps(config))
    assert copy == config
    assert copy.origin("workers") == "workers"


def test_an_unknown_name_without_a_near_one_gets_no_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        find_option("zzzzzz")
    assert str(caught.value) == "there is no option 'zzzzzz'"


def test_config_is_data_and_imports_neither_the_loop_nor_the_command_line() -> None:
    code = (
        "import sys, fastserve.config;"
        "sys.exit(bool({'asyncio', 'click', 'fastserve.server'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_server_of_metrics_and_health_speaks_http_1_and_no_websocket() -> None:
    admin = Config("main:app", admin_bind="127.0.0.1:9000").for_admin()
    assert (admin.http.http, admin.http.ws) == ("1", "none")
    assert str(admin.bind.places[0]) == "127.0.0.1:9000"


# -- TLS -------------------------------------------------------------------------------


def test_tls_is_on_with_a_certificate_and_its_key_may_be_in_its_file() -> None:
    assert not Config("main:app").tls.is_on
    one = Config("main:app", ssl_certfile="a.pem").tls
    assert (one.is_on, one.pairs, one.files) == (True, [("a.pem", "a.pem")], ["a.pem"])
    two = Config(
        "main:app",
        ssl_certfile=["a.pem", "b.pem"],
        ssl_keyfile="a.key,b.key",
        ssl_ca_certs="ca.pem",
        ssl_crlfile="crl.pem",
    ).tls
    assert two.pairs == [("a.pem", "a.key"), ("b.pem", "b.key")]
    assert two.files == ["a.pem", "b.pem", "a.key", "b.key", "ca.pem", "crl.pem"]


def test_uvicorns_arguments_without_a_certificate_mean_nothing() -> None:
    config = Config(
        "main:app",
        ssl_certfile=None,
        ssl_keyfile=None,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        ssl_cert_reqs=ssl.CERT_NONE,
    )
    assert not config.tls.is_on


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ssl_keyfile": "a.key"}, "ssl_keyfile needs --ssl-certfile"),
        ({"ssl_ciphers": "x"}, "ssl_ciphers needs --ssl-certfile"),
        ({"ssl_cert_reqs": 2}, "ssl_cert_reqs needs --ssl-certfile"),
        ({"insecure_bind": ":80"}, "insecure_bind needs --ssl-certfile"),
        ({"redirect_insecure": True}, "redirect_insecure needs --ssl-certfile"),
        (
            {"ssl_certfile": ["a", "b"], "ssl_keyfile": "a"},
            "ssl_keyfile: there are 1 keys for 2 certificates",
        ),
        ({"ssl_certfile": "a", "ssl_cert_reqs": 1}, "ssl_cert_reqs needs --ssl-ca-certs"),
        ({"ssl_certfile": "a", "ssl_crlfile": "c"}, "ssl_crlfile needs --ssl-ca-certs"),
        ({"ssl_certfile": "a", "ssl_cert_reqs": 3}, "'3' is not one of none, optional, required"),
        ({"ssl_certfile": "a", "ssl_cert_reqs": True}, "True is not one of none, optional"),
        ({"ssl_certfile": "a", "ssl_version": 5}, "5 is not 17, any version; --ssl-min-version"),
        ({"ssl_certfile": "a", "ssl_min_version": "TLSv1"}, "not one of TLSv1.2, TLSv1.3"),
        (
            {"ssl_certfile": "a", "redirect_insecure": True, "port": 443},
            "redirect_insecure needs --insecure-bind",
        ),
        (
            {"ssl_certfile": "a", "bind": ":443", "insecure_bind": [":80", ":443"]},
            "insecure_bind: *:443 is already for TLS",
        ),
        ({"ssl_context_factory": "main"}, "'main' is neither a callable nor of the form"),
        (
            {"ssl_context_factory": print, "workers": 2},
            "ssl_context_factory: workers each import it, so it must be an import string",
        ),
    ],
)
def test_options_of_tls_that_do_not_go_together_are_refused(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Config("main:app", **options)
    assert message in str(caught.value)


def test_a_password_is_never_shown() -> None:
    config = Config("main:app", ssl_certfile="a", ssl_keyfile_password="hunter2")
    assert config.tls.keyfile_password == "hunter2"
    assert "hunter2" not in repr(config)
    with pytest.raises(ConfigError) as caught:
        Config("main:app", ssl_certfile="a", ssl_keyfile_password=424242)
    assert "424242" not in str(caught.value)
