"""Where a request over plain HTTP should have gone."""

from ..forwarded cimport Origin


cdef int redirect(str scheme, Origin origin, list headers, bytes target, bytes path, bytes query,
                  int port) except -1
