"""Field lines as Python pairs.

A connection's next request mostly repeats the last one's header section, whole or
all but a line. `HeaderBlock` keeps the last section: the same bytes give the same
(immutable) pairs in a fresh list, and a line that differs costs only itself.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GetSlice, PyList_New, PyList_SET_ITEM
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from .leaves cimport fs_equal_nocase, fs_field, fs_lower, fs_scan_token

# A section above this size is not kept: memory per connection stays small.
cdef enum:
    KEEP_MOST = 4096
    SLOTS = 256

cdef struct Known:
    PyObject *name                  # interned for the life of the process
    uint8_t length
    uint8_t id

cdef Known known[SLOTS]
cdef list _known_names = []         # owns what `known` points to

_TOLD = {
    b"host": NAME_HOST, b"content-length": NAME_CONTENT_LENGTH,
    b"transfer-encoding": NAME_TRANSFER_ENCODING, b"connection": NAME_CONNECTION,
    b"expect": NAME_EXPECT, b"te": NAME_TE, b"upgrade": NAME_UPGRADE,
    b"date": NAME_DATE, b"server": NAME_SERVER, b"trailer": NAME_TRAILER,
    b"x-request-id": NAME_REQUEST_ID, b"cookie": NAME_COOKIE, b"priority": NAME_PRIORITY,
    b"keep-alive": NAME_KEEP_ALIVE, b"proxy-connection": NAME_PROXY_CONNECTION,
    b":method": NAME_PSEUDO_METHOD, b":scheme": NAME_PSEUDO_SCHEME,
    b":authority": NAME_PSEUDO_AUTHORITY, b":path": NAME_PSEUDO_PATH,
    b":protocol": NAME_PSEUDO_PROTOCOL, b":status": NAME_PSEUDO_OTHER,
    b"forwarded": NAME_FORWARDED, b"x-forwarded-for": NAME_X_FORWARDED_FOR,
    b"x-forwarded-proto": NAME_X_FORWARDED_PROTO, b"x-forwarded-host": NAME_X_FORWARDED_HOST,
    b"x-forwarded-port": NAME_X_FORWARDED_PORT,
    b"x-forwarded-prefix": NAME_X_FORWARDED_PREFIX, b"x-real-ip": NAME_X_REAL_IP,
    b"cf-connecting-ip": NAME_CF_CONNECTING_IP,
}
_COMMON = (
    b"accept accept-charset accept-encoding accept-language access-control-request-headers "
    b"access-control-request-method authorization baggage cache-control cf-ray "
    b"content-encoding content-language content-type dnt from if-match "
    b"if-modified-since if-none-match if-range if-unmodified-since last-event-id "
    b"max-forwards origin pragma range referer sec-ch-ua "
    b"sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site "
    b"sec-fetch-user sec-gpc sec-websocket-extensions sec-websocket-key "
    b"sec-websocket-protocol sec-websocket-version traceparent tracestate "
    b"upgrade-insecure-requests user-agent via x-amzn-trace-id x-api-key x-csrf-token "
    b"x-requested-with "
    b"accept-ranges access-control-allow-credentials access-control-allow-headers "
    b"access-control-allow-methods access-control-allow-origin access-control-expose-headers "
    b"access-control-max-age age allow content-disposition content-range "
    b"content-security-policy cross-origin-opener-policy etag expires last-modified link "
    b"location referrer-policy retry-after set-cookie strict-transport-security vary "
    b"www-authenticate x-accel-buffering x-content-type-options x-frame-options "
    b"x-process-time x-xss-protection "
    b"content-location proxy-authenticate proxy-authorization refresh"
).split()


cdef inline uint32_t slot_of(const uint8_t *p, Py_ssize_t n) noexcept:
    # Case does not change bits 0-4 of a letter; that is all this looks at.
    return <uint32_t>(n * 37 + (p[0] & 31) * 5 + (p[n - 1] & 31) * 11
                      + (p[n >> 1] & 31) * 3 + (p[n >> 2] & 31) * 17) & (SLOTS - 1)


cdef inline Known *find(const uint8_t *p, Py_ssize_t n) noexcept:
    cdef uint32_t slot
    cdef Known *entry
    if n == 0:
        return NULL
    slot = slot_of(p, n)
    while True:
        entry = &known[slot]
        if entry.name == NULL:
            return NULL
        if entry.length == n and fs_equal_nocase(p, PyBytes_AS_STRING(<bytes>entry.name), n):
            return entry
        slot = (slot + 1) & (SLOTS - 1)


cdef _fill_known():
    cdef uint32_t slot
    memset(known, 0, sizeof(known))
    for name in list(_TOLD) + _COMMON:
        _known_names.append(name)
        slot = slot_of(<const uint8_t *>PyBytes_AS_STRING(name), len(name))
        while known[slot].name != NULL:
            slot = (slot + 1) & (SLOTS - 1)
        known[slot].name = <PyObject *>name
        known[slot].length = <uint8_t>len(name)
        known[slot].id = _TOLD.get(name, NAME_OTHER)

_fill_known()


cdef uint8_t name_id(const uint8_t *p, Py_ssize_t n) noexcept:
    """NAME_* of a field name in any case."""
    cdef Known *entry = find(p, n)
    return NAME_OTHER if entry == NULL else entry.id


cdef bytes lower_name(const uint8_t *p, Py_ssize_t n):
    """The name in lower case; the same object every time for a common name."""
    cdef Known *entry = find(p, n)
    cdef bytes name
    if entry != NULL:
        return <bytes>entry.name
    name = PyBytes_FromStringAndSize(NULL, n)
    fs_lower(<uint8_t *>PyBytes_AS_STRING(name), p, n)
    return name


cdef bytes exact_name(const uint8_t *p, Py_ssize_t n, uint8_t *kind, bint *well):
    """The name as it came; the same object every time for a common name.

    `kind` is set to its NAME_*, `well` to whether RFC 9113 section 8.2.1 allows it: a token in
    lower case, behind a colon where it is a pseudo-header's. What is not has NAME_OTHER.
    """
    cdef Known *entry = find(p, n)
    cdef Py_ssize_t begin, i
    if entry != NULL and memcmp(p, PyBytes_AS_STRING(<bytes>entry.name), n) == 0:
        kind[0] = entry.id
        well[0] = True
        return <bytes>entry.name
    begin = 1 if n > 0 and p[0] == c":" else 0
    well[0] = n > begin and fs_scan_token(p + begin, n - begin) == <size_t>(n - begin)
    for i in range(n):
        if c"A" <= p[i] <= c"Z":
            well[0] = False
    kind[0] = NAME_PSEUDO_OTHER if begin and well[0] else NAME_OTHER
    return PyBytes_FromStringAndSize(<const char *>p, n)


@cython.final
cdef class HeaderBlock:

    def __cinit__(self):
        self.raw = NULL
        self.fields = NULL
        self.raw_len = self.count = 0

    def __dealloc__(self):
        PyMem_Free(self.raw)
        PyMem_Free(self.fields)

    cdef bint same(self, const uint8_t *p, Py_ssize_t n) noexcept:
        """Whether the n bytes at p begin with the kept section."""
        return (self.raw_len != 0 and n >= self.raw_len
                and memcmp(p, self.raw, self.raw_len) == 0)

    cdef list copy(self):
        """The kept pairs in a list of the caller's own."""
        return PyList_GetSlice(self.pairs, 0, self.count)

    cdef void forget(self) noexcept:
        """Give back all memory; the next section is made from scratch."""
        PyMem_Free(self.raw)
        PyMem_Free(self.fields)
        self.raw = NULL
        self.fields = NULL
        self.ids = NULL
        self.raw_len = self.count = 0
        self.pairs = None
        self.origin = None

    cdef int load(self, const uint8_t *p, uint32_t start, uint32_t end,
                  const fs_field *fields, uint32_t count) except -1:
        """Make the pairs of the section p[start:end]; offsets are relative to p.

        Afterwards `pairs`, `ids` and `count` describe it. Its bytes are kept for
        `same` unless there are too many.
        """
        cdef list pairs = PyList_New(count)
        cdef uint8_t *ids
        cdef uint8_t kind
        cdef uint8_t *raw = NULL
        cdef uint32_t i, length = end - start
        cdef fs_field *kept
        cdef tuple pair
        kept = <fs_field *>PyMem_Malloc(count * (sizeof(fs_field) + 1) + 1)
        if kept == NULL:
            raise MemoryError
        if length <= KEEP_MOST:
            raw = <uint8_t *>PyMem_Malloc(length)
            if raw == NULL:
                PyMem_Free(kept)
                raise MemoryError
            memcpy(raw, p + start, length)
        ids = <uint8_t *>(kept + count)
        try:
            for i in range(count):
                kept[i] = fields[i]
                kept[i].name_off -= start
                kept[i].value_off -= start
                if i < self.count and self.raw != NULL and self.repeats(i, p, &fields[i]):
                    pair = <tuple>self.pairs[i]
                    ids[i] = self.ids[i]
                else:
                    pair = make_pair(p, &fields[i], &kind)
                    ids[i] = kind
                Py_INCREF(pair)
                PyList_SET_ITEM(pairs, i, pair)
        except BaseException:
            PyMem_Free(kept)
            PyMem_Free(raw)
            raise
        self.forget()
        self.raw = raw
        self.raw_len = length if raw != NULL else 0
        self.fields = kept
        self.ids = ids
        self.count = count
        self.pairs = pairs
        return 0

    cdef bint repeats(self, uint32_t i, const uint8_t *p, const fs_field *new):
        cdef fs_field *old = &self.fields[i]
        return (old.name_len == new.name_len and old.value_len == new.value_len
                and memcmp(self.raw + old.name_off, p + new.name_off, new.name_len) == 0
                and memcmp(self.raw + old.value_off, p + new.value_off, new.value_len) == 0)


cdef HeaderBlock block_of(list pairs):
    cdef HeaderBlock block = HeaderBlock.__new__(HeaderBlock)
    cdef Py_ssize_t i, n = len(pairs)
    cdef bytes name
    block.fields = <fs_field *>PyMem_Malloc(n * (sizeof(fs_field) + 1) + 1)
    if block.fields == NULL:
        raise MemoryError
    block.ids = <uint8_t *>(block.fields + n)
    block.pairs = pairs
    block.count = <uint32_t>n
    for i in range(n):
        name = <bytes>(<tuple>pairs[i])[0]
        block.ids[i] = name_id(<const uint8_t *>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
    return block


cdef inline tuple make_pair(const uint8_t *p, const fs_field *field, uint8_t *kind):
    cdef Known *entry = find(p + field.name_off, field.name_len)
    cdef bytes name
    cdef bytes value
    cdef tuple pair
    if entry != NULL:
        name = <bytes>entry.name
        kind[0] = entry.id
    else:
        name = lower_name(p + field.name_off, field.name_len)
        kind[0] = NAME_OTHER
    value = PyBytes_FromStringAndSize(<const char *>p + field.value_off, field.value_len)
    pair = PyTuple_New(2)
    Py_INCREF(name)
    PyTuple_SET_ITEM(pair, 0, name)
    Py_INCREF(value)
    PyTuple_SET_ITEM(pair, 1, value)
    return pair
