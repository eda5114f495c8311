"""From HTTP/1.1 to HTTP/2 without TLS: what `Upgrade: h2c` asks for."""

from ..http2.heads cimport RequestHead
from .parser cimport RequestParser


# The settings that come with a request to go on with HTTP/2, as the payload of SETTINGS; None: it
# does not ask, or not rightly.
cdef bytes asked_settings(RequestParser parser, list headers)

# The head of such a request, as stream 1 has it.
cdef RequestHead upgraded_head(RequestParser parser, str method, list headers)
