"""The access line of an HTTP exchange, whatever the protocol below.

Of what only some formats tell nothing is looked up for the default one.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.string cimport memset

from .access cimport AccessLog, AccessRecord
from .asgi.exchange cimport Exchange
from .asgi.scope cimport ScopeTemplate
from .forwarded cimport Origin
from .outlet cimport Outlet

# By the numbers that ASGI's tls extension has.
cdef dict _VERSIONS = {0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}

# In the line of a head that was refused.
cdef str _NO_METHOD = "-"
cdef bytes _NO_TARGET = b"-"


cdef int log_exchange(AccessLog access, Exchange exchange, Outlet outlet, ScopeTemplate template,
                      int status, int64_t duration_us, list headers, int64_t bytes_in) except -1:
    cdef bytes peer
    cdef bytes client = outlet.client_of(exchange.origin)
    cdef str scheme, tls
    cdef AccessRecord record
    memset(&record, 0, sizeof(record))
    record.client = <PyObject *>client
    record.method = <PyObject *>exchange.method
    record.target = <PyObject *>exchange.target
    record.version = exchange.version
    # nginx's convention for a client that left.
    record.status = status or 499
    record.bytes_out = 0 if exchange.bodiless else exchange.body_sent
    record.duration_us = duration_us
    if access.readable:
        return access.add(&record)
    peer = outlet.client_text()
    record.peer = <PyObject *>peer
    record.bytes_in = bytes_in
    record.first_us = exchange.first_us - exchange.started_us if exchange.first_us else -1
    if headers is not None:
        record.headers = <PyObject *>headers
    if exchange.request_id is not None:
        record.request_id = <PyObject *>exchange.request_id
    scheme = scheme_of(template, exchange.origin)
    record.scheme = <PyObject *>scheme
    tls = tls_of(template)
    if tls is not None:
        record.tls = <PyObject *>tls
    return access.add(&record)


cdef int log_refusal(AccessLog access, Outlet outlet, ScopeTemplate template, int status,
                     int64_t sent) except -1:
    """The line of a head that made no exchange: most of it is not known, or not to be believed."""
    cdef bytes client = outlet.client_text()
    cdef str scheme = scheme_of(template, None)
    cdef str tls = tls_of(template)
    cdef AccessRecord record
    memset(&record, 0, sizeof(record))
    record.client = record.peer = <PyObject *>client
    record.method = <PyObject *>_NO_METHOD
    record.target = <PyObject *>_NO_TARGET
    record.scheme = <PyObject *>scheme
    if tls is not None:
        record.tls = <PyObject *>tls
    record.version = 11
    record.status = status
    record.bytes_out = sent
    return access.add(&record)


cdef str scheme_of(ScopeTemplate template, object origin):
    cdef Origin told = origin
    if told is not None and told.scheme is not None:
        return told.scheme
    return <str>template.base["scheme"]


cdef str tls_of(ScopeTemplate template):
    """The version of TLS, or None without."""
    return None if template.tls is None else _VERSIONS.get(template.tls["tls_version"])
