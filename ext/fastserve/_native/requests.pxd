"""What requests of every version of HTTP have in common, from a head to its access line."""

from libc.stdint cimport int64_t

from .asgi.exchange cimport Exchange, Sink
from .asgi.scope cimport ScopeTemplate
from .forwarded cimport Origin
from .outlet cimport Outlet
from .shared cimport Shared

cdef enum:
    LEFT = 0                        # in place of a status: the client left before its answer


# An exchange under way; it must end by `application_over`, or by `discard` if none was started.
# version: 10, 11 or 20.
cdef Exchange new_exchange(Shared shared, Sink sink, str method, bytes target, int version,
                           Origin origin)

# Raises ParseError for what is not served, and puts into `headers` what the server knows better.
# extended: a CONNECT that names a protocol, RFC 8441.
cdef int admit(Shared shared, ScopeTemplate template, Exchange exchange, list headers, int host_at,
               bytes raw_path, bytes query_string, bint extended) except -1

# The rest of a scope of an admitted request.
cdef int complete_scope(ScopeTemplate template, Exchange exchange, dict scope, bytes raw_path,
                        bint escaped) except -1

# Run the application up to its first wait; afterwards anything may have happened.
# `left`: the client sends nothing more.
cdef int start_application(Shared shared, Exchange exchange, dict scope, bint left) except -1

# The end of an exchange whose application was not started, or goes on for nobody.
cdef int discard(Shared shared, Exchange exchange) except -1

# What to answer where the application has not: (status, text).
cdef tuple missing_answer(Exchange exchange)

# Count the end of an exchange, and note it in the access log. status may be LEFT; headers: the
# request's, bytes_in: of its body.
cdef int log_end(Shared shared, Exchange exchange, Outlet outlet, ScopeTemplate template,
                 int status, list headers, int64_t bytes_in) except -1
