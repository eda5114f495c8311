"""One request's scope: a copy of a template that already has every key.

ASGI, "HTTP Connection Scope". Applications may write into what they get, so every
dict and list in it is the request's own; only immutable objects are shared.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Copy, PyDict_SetItem
from cpython.unicode cimport PyUnicode_DecodeASCII, PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t

from ..forwarded cimport Origin
from ..leaves cimport fs_target_unescape

# The very object that the parsers give for the commonest method.
cdef str _GET = "GET"
cdef dict _ASGI = {"version": "3.0", "spec_version": "2.5"}
# From pairs, because a display of so many is laid out for keys of any kind: its copies would
# take a third more memory, and every look-up longer.
cdef dict _BASE = dict([
    ("type", "http"),
    ("asgi", None),
    ("http_version", "1.1"),
    ("server", None),
    ("client", None),
    ("scheme", None),
    ("method", "GET"),
    ("root_path", None),
    ("path", "/"),
    ("raw_path", b"/"),
    ("query_string", b""),
    ("headers", None),
    ("extensions", None),
])


@cython.final
cdef class ScopeTemplate:
    """What the scopes of one connection have in common.

    scheme: "http" or "https". client, server: (str, int), (path, None) or None.
    root_path: the mount point; `path` always begins with it (WSGI's SCRIPT_NAME),
    whether the proxy in front strips it or passes it on. state: copied into every scope,
    None leaves the key out.
    """

    def __init__(self, str scheme, client, server, str root_path, dict state):
        self.root_path = root_path.rstrip("/")
        self.state = state
        self.base = PyDict_Copy(_BASE)
        self.base["server"] = server
        self.base["client"] = client
        self.base["scheme"] = scheme
        self.base["root_path"] = self.root_path
        if state is not None:
            self.base["state"] = None

    cdef dict http(self, str method, str http_version, bytes raw_path, bint escaped,
                   bytes query_string, list headers):
        """A fresh scope. `raw_path`: as on the wire; `escaped`: it holds percent-encoding.

        `http_version`: None stands for "1.1".
        """
        cdef dict extensions
        cdef dict scope = PyDict_Copy(self.base)
        PyDict_SetItem(scope, "asgi", PyDict_Copy(_ASGI))
        PyDict_SetItem(scope, "path", self.mounted(decode_path(raw_path, escaped)))
        PyDict_SetItem(scope, "raw_path", raw_path)
        # The template has the commonest of these two already.
        if method is not _GET:
            PyDict_SetItem(scope, "method", method)
        if PyBytes_GET_SIZE(query_string):
            PyDict_SetItem(scope, "query_string", query_string)
        PyDict_SetItem(scope, "headers", headers)
        if http_version is not None:
            PyDict_SetItem(scope, "http_version", http_version)
        if http_version == "1.0":
            # No interim responses and no chunked coding there, so no hints and no trailers.
            extensions = {"http.response.pathsend": {}, "http.response.zerocopysend": {}}
        else:
            extensions = {"http.response.trailers": {}, "http.response.early_hint": {},
                          "http.response.pathsend": {}, "http.response.zerocopysend": {}}
        if self.tls is not None:
            PyDict_SetItem(extensions, "tls", self.tls_extension())
        PyDict_SetItem(scope, "extensions", extensions)
        if self.state is not None:
            PyDict_SetItem(scope, "state", PyDict_Copy(self.state))
        return scope

    cdef dict websocket(self, str http_version, bytes raw_path, bint escaped, bytes query_string,
                        list headers, list subprotocols):
        """A fresh scope of a WebSocket connection (ASGI, "Websocket Connection Scope")."""
        cdef dict scope = PyDict_Copy(self.base)
        del scope["method"]
        scope["type"] = "websocket"
        scope["asgi"] = PyDict_Copy(_ASGI)
        scope["http_version"] = http_version
        scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
        scope["path"] = self.mounted(decode_path(raw_path, escaped))
        scope["raw_path"] = raw_path
        scope["query_string"] = query_string
        scope["headers"] = headers
        scope["subprotocols"] = subprotocols
        scope["extensions"] = {"websocket.http.response": {}}
        if self.tls is not None:
            scope["extensions"]["tls"] = self.tls_extension()
        if self.state is not None:
            scope["state"] = PyDict_Copy(self.state)
        return scope

    cdef dict tls_extension(self):
        """The request's own, with the one list that it can hold."""
        cdef dict extension = PyDict_Copy(self.tls)
        chain = extension.get("client_cert_chain")
        if chain is not None:
            extension["client_cert_chain"] = list(chain)
        return extension

    cdef int relocate(self, dict scope, Origin origin, bytes raw_path, bint escaped) except -1:
        """Let the scope, whose headers have `origin`'s host already, say the rest of it."""
        cdef str scheme = origin.scheme if origin.scheme is not None else self.base["scheme"]
        cdef str root, path
        if origin.client is not None:
            scope["client"] = origin.client
        if origin.scheme is not None:
            if scope["type"] == "websocket":
                scope["scheme"] = "wss" if scheme == "https" else "ws"
            else:
                scope["scheme"] = scheme
        if origin.host is not None or origin.port:
            scope["server"] = self.server_of(origin, scheme)
        if origin.prefix is not None:
            root = origin.prefix + self.root_path
            scope["root_path"] = root
            path = decode_path(raw_path, escaped)
            if not is_under(root, path):
                # The proxy has taken off its own prefix, or what is ours besides.
                scope["path"] = origin.prefix + scope["path"]
            else:
                scope["path"] = path
        return 0

    cdef tuple server_of(self, Origin origin, str scheme):
        if origin.host is not None:
            return (origin.server_host, origin.port or (443 if scheme == "https" else 80))
        server = self.base["server"]
        return server if server is None or server[1] is None else (server[0], origin.port)

    cdef str mounted(self, str path):
        """`path`, under the mount point if it is not already."""
        return path if is_under(self.root_path, path) else self.root_path + path


cdef inline bint is_under(str root, str path):
    return not root or (path.startswith(root)
                        and (len(path) == len(root) or path[len(root)] == "/"))


cdef str decode_path(bytes raw_path, bint escaped):
    """Percent-decoded, then UTF-8; what is no UTF-8 becomes U+FFFD.

    An unescaped path is ASCII, because the parser takes no other bytes in a target.
    """
    cdef bytes plain
    cdef Py_ssize_t n = PyBytes_GET_SIZE(raw_path)
    if not escaped:
        return PyUnicode_DecodeASCII(PyBytes_AS_STRING(raw_path), n, NULL)
    plain = PyBytes_FromStringAndSize(NULL, n)
    n = fs_target_unescape(<uint8_t *>PyBytes_AS_STRING(plain),
                           <const uint8_t *>PyBytes_AS_STRING(raw_path), n)
    return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(plain), n, "replace")
