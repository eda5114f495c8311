"""The format of access lines, compiled once into an array of steps.

A step is a literal and the field behind it. In JSON and logfmt the literal holds the field's key,
and both are left out where the field has no value; elsewhere "-" stands for it.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free

from fastserve._native.access_text import DIALECTS

cdef enum:
    NUMBER_ROOM = 40                # one number or time, quoted

FIELDS = {
    "": FIELD_END,
    "readable": FIELD_READABLE,
    "time": FIELD_TIME,
    "time_local": FIELD_TIME_LOCAL,
    "time_combined": FIELD_TIME_COMBINED,
    "client": FIELD_CLIENT,
    "client_host": FIELD_CLIENT_HOST,
    "peer": FIELD_PEER,
    "method": FIELD_METHOD,
    "target": FIELD_TARGET,
    "path": FIELD_PATH,
    "query": FIELD_QUERY,
    "protocol": FIELD_PROTOCOL,
    "scheme": FIELD_SCHEME,
    "status": FIELD_STATUS,
    "bytes_in": FIELD_BYTES_IN,
    "bytes_out": FIELD_BYTES_OUT,
    "duration": FIELD_DURATION,
    "duration_ms": FIELD_DURATION_MS,
    "ttfb_ms": FIELD_TTFB_MS,
    "request_id": FIELD_REQUEST_ID,
    "tls": FIELD_TLS,
    "ws_code": FIELD_WS_CODE,
    "ws_messages_in": FIELD_WS_MESSAGES_IN,
    "ws_bytes_in": FIELD_WS_BYTES_IN,
    "ws_messages_out": FIELD_WS_MESSAGES_OUT,
    "ws_bytes_out": FIELD_WS_BYTES_OUT,
}
# Texts of ours, and tokens of RFC 9110 section 5.6.2: no space, no quote, no byte above 126.
_PLAIN = ("client", "client_host", "peer", "method", "protocol", "scheme", "tls")
# Fields that are a request header.
_HEADERS = {"host": "host", "referer": "referer", "user_agent": "user-agent"}


@cython.final
cdef class AccessFormat:

    def __cinit__(self):
        self.steps = NULL

    def __init__(self, str dialect, steps, *, **constants):
        """`dialect`: text, json or logfmt. `steps`: (literal, field, header's name or "").

        A field that `constants` names is a number of the process that becomes a literal.
        Raises KeyError for an unknown field.
        """
        cdef list todo = _joined(steps, constants)
        cdef Step *step
        self.dialect = DIALECTS[dialect]
        self.held = []
        self.steps = <Step *>PyMem_Calloc(len(todo) or 1, sizeof(Step))
        if self.steps == NULL:
            raise MemoryError
        headers = []
        for literal, field, name in todo:
            if field in _HEADERS or field == "header":
                name = _HEADERS.get(field, name).lower()
                headers.append(name.encode())
                kind = FIELD_HEADER
            else:
                kind = FIELDS[field]
            step = &self.steps[self.count]
            step.field = kind
            step.plain = field in _PLAIN
            step.literal = self.hold(literal.encode(), &step.literal_n)
            step.name = self.hold(name.encode(), &step.name_n)
            self.wants_first_byte = self.wants_first_byte or kind == FIELD_TTFB_MS
            self.wants_milliseconds = self.wants_milliseconds or kind == FIELD_TIME
            self.room += step.literal_n + NUMBER_ROOM
            self.count += 1
        self.headers = tuple(dict.fromkeys(headers))

    def __dealloc__(self):
        PyMem_Free(self.steps)

    cdef const char *hold(self, bytes text, Py_ssize_t *n) except NULL:
        self.held.append(text)
        n[0] = PyBytes_GET_SIZE(text)
        return PyBytes_AS_STRING(text)


def _joined(steps, constants):
    """The steps, with literals in place of constants, side by side ones in one step."""
    found, constant = [], ""
    for literal, field, name in steps:
        if field in constants:
            constant += f"{literal}{constants[field]}"
            continue
        if constant:
            found.append((constant, "", ""))
            constant = ""
        found.append((literal, field, name))
    if constant:
        found.append((constant, "", ""))
    return found
