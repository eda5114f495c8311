"""The format of access lines, compiled."""

from .access_text cimport Dialect


# What a step writes behind its literal.
cdef enum Field:
    FIELD_END = 0                   # nothing
    FIELD_READABLE                  # the whole line of the default format
    FIELD_TIME                      # times
    FIELD_TIME_LOCAL
    FIELD_TIME_COMBINED
    FIELD_STATUS                    # numbers
    FIELD_BYTES_IN
    FIELD_BYTES_OUT
    FIELD_DURATION
    FIELD_DURATION_MS
    FIELD_TTFB_MS
    FIELD_WS_CODE
    FIELD_WS_MESSAGES_IN
    FIELD_WS_BYTES_IN
    FIELD_WS_MESSAGES_OUT
    FIELD_WS_BYTES_OUT
    FIELD_CLIENT                    # texts
    FIELD_CLIENT_HOST
    FIELD_PEER
    FIELD_METHOD
    FIELD_TARGET
    FIELD_PATH
    FIELD_QUERY
    FIELD_PROTOCOL
    FIELD_SCHEME
    FIELD_REQUEST_ID
    FIELD_TLS
    FIELD_HEADER


cdef struct Step:
    const char *literal             # in front of the value; lives in AccessFormat.held
    Py_ssize_t literal_n
    Field field
    bint plain                      # its text needs no escape in any dialect
    const char *name                # FIELD_HEADER: in lower case, in AccessFormat.held
    Py_ssize_t name_n


cdef class AccessFormat:
    cdef Dialect dialect
    cdef Step *steps                # heap, `count` entries
    cdef Py_ssize_t count
    cdef Py_ssize_t room            # for every literal and every value that is no text
    cdef list held
    cdef readonly tuple headers     # names of the request headers it asks for
    cdef readonly bint wants_first_byte
    cdef bint wants_milliseconds    # of the wall clock

    cdef const char *hold(self, bytes text, Py_ssize_t *n) except NULL
