"""Access log lines, formatted natively and written in batches."""

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t

from .access_format cimport AccessFormat, Step
from .buffer cimport WriteBuffer


# What a line can tell. The objects are borrowed from whoever has it written; NULL: there is none.
cdef struct AccessRecord:
    PyObject *client                # bytes: who asks, as in client_text()
    PyObject *peer                  # bytes: the other end of the socket
    PyObject *method                # str
    PyObject *target                # bytes, as on the wire
    PyObject *headers               # list of (bytes, bytes)
    PyObject *scheme                # str
    PyObject *request_id            # bytes
    PyObject *tls                   # str: version of TLS
    int version                     # of HTTP: 10, 11, 20
    int status
    int64_t bytes_in                # of the request's body
    int64_t bytes_out               # of the response's body; of a WebSocket's frames
    int64_t duration_us
    int64_t first_us                # from the head to the first byte of the response; < 0: none
    int code                        # a WebSocket's close code; 0: this was none
    int64_t messages_in
    int64_t messages_bytes_in
    int64_t messages_out
    int64_t messages_bytes_out


cdef class AccessLog:
    cdef object write               # callable(bytes): whole lines
    cdef object loop
    cdef AccessFormat format
    cdef bint readable              # the default format: most of a record is of no interest
    cdef WriteBuffer lines
    cdef Py_ssize_t whole           # lines.data[:whole] is whole lines; behind it one that failed
    cdef object timer               # pending flush, or None
    cdef bint colour
    cdef tuple skips                # bytes: exact paths, or None
    cdef tuple skip_prefixes
    cdef int64_t stamp_second       # what the stamps show
    cdef char local_stamp[20]
    cdef char utc_stamp[20]
    cdef char common_stamp[27]
    cdef int32_t offset             # local time minus UTC, seconds

    cdef int add(self, const AccessRecord *record) except -1
    cdef int put_readable(self, const AccessRecord *record) except -1
    cdef int put_number(self, const Step *step, const AccessRecord *record) except -1
    cdef int put_time(self, const Step *step, int64_t now_ms) except -1
    cdef bint skipped(self, bytes target)
    cdef list keep(self, list headers)
    cdef int restamp(self, int64_t now) except -1
    cdef int flush(self) except -1
