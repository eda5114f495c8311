"""Text in log lines, escaped as the line's format wants it."""

from libc.stdint cimport int64_t

from .buffer cimport WriteBuffer


# How a line's values are told apart, and so what has to be escaped in them.
cdef enum Dialect:
    DIALECT_TEXT = 0                # quotes, backslashes and what is not ASCII as \xHH
    DIALECT_JSON                    # a JSON string, with its quotes
    DIALECT_LOGFMT                  # bare where that is plain, else as in JSON


# Leaves room for `more` bytes behind the text.
cdef int put_text(WriteBuffer out, Dialect dialect, const char *p, Py_ssize_t n,
                  Py_ssize_t more) except -1

# Room for these was reserved.
cdef void put_decimal(WriteBuffer out, int64_t v) noexcept
cdef void put_thousandths(WriteBuffer out, int64_t v) noexcept
cdef void put_millionths(WriteBuffer out, int64_t v) noexcept
