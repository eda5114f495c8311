"""The access line of an HTTP exchange, whatever the protocol below."""

from libc.stdint cimport int64_t

from .access cimport AccessLog
from .asgi.exchange cimport Exchange
from .asgi.scope cimport ScopeTemplate
from .outlet cimport Outlet


# status 0: the client left. headers: pairs of the request. bytes_in: of its body that have come.
cdef int log_exchange(AccessLog access, Exchange exchange, Outlet outlet, ScopeTemplate template,
                      int status, int64_t duration_us, list headers, int64_t bytes_in) except -1
cdef int log_refusal(AccessLog access, Outlet outlet, ScopeTemplate template, int status,
                     int64_t sent) except -1
cdef str scheme_of(ScopeTemplate template, object origin)
cdef str tls_of(ScopeTemplate template)
