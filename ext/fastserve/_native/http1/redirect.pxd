"""Where a request over plain HTTP should have gone."""


cdef object redirect(list headers, bytes target, bytes path, bytes query, int port)
