"""What requests of every version of HTTP have in common, from a head to its access line.

How a head came and how an answer goes is a channel's affair; that there is one of each for
every exchange, that all are counted, and when a task is cancelled, is the same for all.
"""

from cpython.contextvars cimport PyContext_Copy
from libc.stdint cimport int64_t

from fastserve._native.errors import ParseError

from .asgi.call cimport Call
from .asgi.exchange cimport Exchange, Sink
from .asgi.scope cimport ScopeTemplate
from .deadlines cimport monotonic_ms, monotonic_us, unlink
from .exchange_log cimport log_exchange
from .forwarded cimport Origin
from .http1.parser cimport CONNECT, HEAD
from .http1.redirect cimport redirect
from .outlet cimport Outlet
from .request_ids cimport tell_request_id
from .shared cimport WAIT_REQUEST, Shared


cdef Exchange new_exchange(Shared shared, Sink sink, str method, bytes target, int version,
                           Origin origin):
    cdef Exchange exchange = Exchange.__new__(Exchange)
    exchange.sink = sink
    exchange.loop = shared.loop
    exchange.logger = shared.logger
    exchange.method = method
    exchange.target = target
    exchange.version = version
    exchange.head_request = method is HEAD
    exchange.origin = origin
    if shared.clocked:
        exchange.started_us = monotonic_us()
    if shared.timed_requests:
        exchange.deadline.owner = <void *>exchange
        shared.queue(WAIT_REQUEST).add(&exchange.deadline, monotonic_ms())
        shared.arm_tick()
    shared.exchange_begins()
    return exchange


cdef int admit(Shared shared, ScopeTemplate template, Exchange exchange, list headers, int host_at,
               bytes raw_path, bytes query_string, bint extended) except -1:
    if exchange.method is CONNECT and not extended:
        raise ParseError(501, "CONNECT is not implemented")
    if shared.limit_concurrency and shared.exchanges > shared.limit_concurrency:
        raise ParseError(503, "the server is at its limit of concurrent requests")
    if exchange.origin is not None:
        exchange.origin.put_host(headers, host_at)
    if shared.request_ids is not None:
        exchange.request_id = shared.request_ids.assign(headers, template.believed != 0)
    if shared.redirect_port:
        redirect(template.base["scheme"], exchange.origin, headers, exchange.target, raw_path,
                 query_string, shared.redirect_port)
    return 0


cdef int complete_scope(ScopeTemplate template, Exchange exchange, dict scope, bytes raw_path,
                        bint escaped) except -1:
    if exchange.origin is not None:
        template.relocate(scope, exchange.origin, raw_path, escaped)
    if exchange.request_id is not None:
        tell_request_id(scope, exchange.request_id)
    return 0


cdef int start_application(Shared shared, Exchange exchange, dict scope, bint left) except -1:
    cdef Call call = exchange.call()
    shared.starting = call
    try:
        call.run(shared.app, scope, PyContext_Copy(shared.context))
    finally:
        shared.starting = None
    if not call.ended:
        shared.running.add(call)
        if left:
            shared.client_left(call, False)
    return 0


cdef int discard(Shared shared, Exchange exchange) except -1:
    cdef Call call = exchange.call()
    unlink(&exchange.deadline)
    exchange.disconnect(True)
    shared.client_left(call, False)
    if call.task is None and not call.ended:
        shared.exchange_ends()
    return 0


cdef tuple missing_answer(Exchange exchange):
    if exchange.cancelled or exchange.gone:
        # The client is there: it is the server that told the application to end.
        return 503, "the server is shutting down"
    return 500, "Internal Server Error"


cdef int log_end(Shared shared, Exchange exchange, Outlet outlet, ScopeTemplate template,
                 int status, list headers, int64_t bytes_in) except -1:
    cdef int64_t us
    shared.row.responded(status)
    if not shared.clocked:
        return 0
    us = monotonic_us() - exchange.started_us
    shared.row.took(us)
    if shared.access is not None:
        log_exchange(shared.access, exchange, outlet, template, status, us, headers, bytes_in)
    return 0
