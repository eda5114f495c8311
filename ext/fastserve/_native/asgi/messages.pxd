"""Reading what an application gives to `send`."""

from cpython.dict cimport PyDict_CheckExact, PyDict_GetItemWithError
from cpython.object cimport PyObject


cdef enum MessageKind:
    MESSAGE_UNKNOWN = 0
    MESSAGE_START
    MESSAGE_BODY
    MESSAGE_TRAILERS
    MESSAGE_HINT
    MESSAGE_PATHSEND
    MESSAGE_ZEROCOPYSEND
    MESSAGE_ACCEPT
    MESSAGE_SEND
    MESSAGE_CLOSE
    MESSAGE_DENIAL_START
    MESSAGE_DENIAL_BODY

cdef MessageKind message_kind(object kind) except? MESSAGE_UNKNOWN
cdef bytes plain_bytes(object data)
cdef int status_code(object value) except -1


# message.get(key), quick for a dict
cdef inline object item(object message, str key):
    cdef PyObject *found
    if PyDict_CheckExact(message):
        found = PyDict_GetItemWithError(message, key)
        return None if found == NULL else <object>found
    return message.get(key)
