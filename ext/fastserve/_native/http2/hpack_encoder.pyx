"""HPACK, RFC 7541: what we send, encoded.

What repeats is indexed, in a table of 4096 bytes at most; what is secret never is.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ..buffer cimport WriteBuffer
from ..leaves cimport (FS_HPACK_INTEGER_MOST, FS_HPACK_OVERHEAD, FS_HPACK_STATIC, fs_hpack_pair,
                       fs_hpack_static_pair, fs_hpack_write_integer, fs_hpack_write_string)

from fastserve._native.errors import ProtocolViolation

cdef extern from "Python.h":
    void drop_reference "Py_DECREF"(PyObject *each) noexcept
    Py_ssize_t size_of "PyBytes_GET_SIZE"(PyObject *text) noexcept

cdef enum:
    TABLE_MOST = 4096
    FIELD_MOST = 1 << 24            # bytes of a field
    FIRST_SLOTS = 8
    FIRST_STATUS = 8                # in the static table
    STATUSES = 7
    TOLD = 256

cdef int[STATUSES] _statuses
_statuses[:] = [200, 204, 206, 304, 400, 404, 500]

cdef struct Told:
    const char *name                # NULL: the slot is free
    uint8_t length
    uint8_t index                   # of the first static entry with this name, or 0
    uint8_t policy

cdef Told told[TOLD]
cdef list _told_names = []          # owns what `told` points to

# Section 7.1.3: who can make us compress a guess beside one of these must learn nothing of it.
_NEVER = (
    b"set-cookie cookie authorization proxy-authorization authentication-info "
    b"proxy-authentication-info x-api-key x-auth-token x-csrf-token x-xsrf-token"
).split()
# Mostly another value each time: an entry would push out one that is of use.
_PLAIN = (
    b"age content-disposition content-length content-location content-md5 content-range digest "
    b"etag expires last-modified link location refresh repr-digest retry-after server-timing "
    b"traceparent tracestate x-amzn-trace-id x-b3-spanid x-b3-traceid x-correlation-id "
    b"x-process-time x-ratelimit-remaining x-ratelimit-reset x-request-id x-response-time "
    b"x-runtime x-trace-id www-authenticate"
).split()


cdef inline uint64_t word_of(const uint8_t *p, Py_ssize_t n) noexcept:
    """Up to eight bytes as a number; they may overlap."""
    cdef uint64_t word = 0
    cdef uint32_t low = 0, high = 0
    if n >= 8:
        memcpy(&word, p, 8)
    elif n >= 4:
        memcpy(&low, p, 4)
        memcpy(&high, p + n - 4, 4)
        word = <uint64_t>high << 32 | low
    elif n > 0:
        word = <uint64_t>p[0] << 16 | <uint64_t>p[n >> 1] << 8 | p[n - 1]
    return word


cdef inline uint32_t hash_of(const uint8_t *p, Py_ssize_t n, uint32_t seed) noexcept:
    """Of the ends, the middle and the length: tables are small, so who knows how to make values
    collide gains a hundred comparisons at most."""
    cdef uint64_t h = (<uint64_t>n + seed) * <uint64_t>0x9e3779b97f4a7c15
    h = (h ^ word_of(p, n)) * <uint64_t>0xff51afd7ed558ccd
    if n > 8:
        h = (h ^ h >> 32 ^ word_of(p + n - 8, 8)) * <uint64_t>0x9e3779b97f4a7c15
    if n > 16:
        h = (h ^ h >> 32 ^ word_of(p + (n >> 1) - 4, 8)) * <uint64_t>0xff51afd7ed558ccd
    return <uint32_t>(h >> 32)


cdef inline bint same_text(PyObject *kept, bytes text) noexcept:
    return (kept == <PyObject *>text
            or (size_of(kept) == PyBytes_GET_SIZE(text)
                and memcmp(PyBytes_AS_STRING(<bytes>kept), PyBytes_AS_STRING(text),
                           PyBytes_GET_SIZE(text)) == 0))


cdef inline const Told *find_told(const uint8_t *p, Py_ssize_t n, uint32_t hash) noexcept:
    cdef uint32_t slot = hash & (TOLD - 1)
    while told[slot].name != NULL:
        if told[slot].length == n and memcmp(told[slot].name, p, n) == 0:
            return &told[slot]
        slot = (slot + 1) & (TOLD - 1)
    return NULL


cdef Told *told_slot(bytes name):
    """The name's slot, its own from now on."""
    cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(name)
    cdef uint32_t slot = hash_of(p, len(name), 0) & (TOLD - 1)
    while told[slot].name != NULL:
        if told[slot].length == len(name) and memcmp(told[slot].name, p, len(name)) == 0:
            return &told[slot]
        slot = (slot + 1) & (TOLD - 1)
    _told_names.append(name)
    told[slot].name = PyBytes_AS_STRING(name)
    told[slot].length = <uint8_t>len(name)
    return &told[slot]


cdef _fill_told():
    cdef const fs_hpack_pair *each
    memset(told, 0, sizeof(told))
    for index in range(FS_HPACK_STATIC, 0, -1):
        each = fs_hpack_static_pair(index)
        told_slot(each.name[:each.name_len]).index = index
    for policy, names in ((HPACK_NEVER, _NEVER), (HPACK_PLAIN, _PLAIN)):
        for name in names:
            told_slot(name).policy = policy

_fill_told()


cdef HpackPolicy policy_of(bytes name) noexcept:
    """How a field with this name, in lower case, is best sent in a response."""
    cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(name)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(name)
    cdef const Told *known = find_told(p, n, hash_of(p, n, 0))
    return HPACK_INDEX if known == NULL else <HpackPolicy>known.policy


cdef uint32_t static_index(const Told *known, bytes value) noexcept:
    """The index of the static entry with this name and value, or 0."""
    cdef Py_ssize_t n = PyBytes_GET_SIZE(value)
    cdef const fs_hpack_pair *each
    cdef uint32_t index
    for index in range(known.index, FS_HPACK_STATIC + 1):
        each = fs_hpack_static_pair(index)
        if each.name_len != known.length or memcmp(each.name, known.name, known.length) != 0:
            break
        if each.value_len == n and memcmp(each.value, PyBytes_AS_STRING(value), n) == 0:
            return index
    return 0


@cython.final
cdef class HpackEncoder:
    """Encodes a connection's field blocks: `begin`, then `put` for each field.

    What has been encoded must be sent, in order, or the peer's table differs from ours.
    """

    def __cinit__(self):
        self.most = self.lowest = TABLE_MOST

    def __dealloc__(self):
        self.evict(0)
        PyMem_Free(self.ring)

    cdef int limit(self, uint32_t most) except -1:
        """The peer's SETTINGS_HEADER_TABLE_SIZE has come; blocks from now on keep to it."""
        most = min(most, <uint32_t>TABLE_MOST)
        if most == self.most:
            return 0
        self.most = most
        self.lowest = min(self.lowest, most) if self.owes else most
        self.owes = True
        self.generation += 1
        self.evict(most)
        return 0

    cdef int begin(self, WriteBuffer out) except -1:
        """A block begins, with updates of the table's size if they are owed: section 4.2."""
        if not self.owes:
            return 0
        out.reserve(2 * FS_HPACK_INTEGER_MOST)
        if self.lowest < self.most:
            out.used += fs_hpack_write_integer(<uint8_t *>out.data + out.used, 0x20, 5,
                                               self.lowest)
        out.used += fs_hpack_write_integer(<uint8_t *>out.data + out.used, 0x20, 5, self.most)
        self.lowest = self.most
        self.owes = False
        return 0

    cdef int put_status(self, WriteBuffer out, int status) except -1:
        """The pseudo-header :status."""
        cdef uint8_t index = 0
        cdef int i
        for i in range(STATUSES):
            if _statuses[i] == status:
                index = <uint8_t>(FIRST_STATUS + i)
                break
        if index == 0:
            return self.put(out, b":status", b"%d" % status, HPACK_INDEX)
        index |= 0x80
        return out.write(&index, 1)

    cdef int put(self, WriteBuffer out, bytes name, bytes value, HpackPolicy policy) except -1:
        """One field; its name is in lower case."""
        cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(name)
        cdef const uint8_t *q = <const uint8_t *>PyBytes_AS_STRING(value)
        cdef Py_ssize_t n = PyBytes_GET_SIZE(name), m = PyBytes_GET_SIZE(value)
        cdef uint32_t name_hash = hash_of(p, n, 0)
        cdef uint32_t hash = hash_of(q, m, name_hash)
        cdef uint32_t index = 0, size
        cdef const Told *known
        cdef uint8_t *at
        if n + m > FIELD_MOST:
            raise ProtocolViolation("a header is too large")
        out.reserve(n + m + 3 * FS_HPACK_INTEGER_MOST)
        at = <uint8_t *>out.data + out.used
        if policy != HPACK_NEVER:
            index = self.find_pair(name, value, hash)
        known = find_told(p, n, name_hash) if index == 0 else NULL
        if known != NULL and known.index and policy != HPACK_NEVER:
            index = static_index(known, value)
        if 0 < index < 127:
            at[0] = <uint8_t>(0x80 | index)
            out.used += 1
            return 0
        if index:
            out.used += fs_hpack_write_integer(at, 0x80, 7, index)
            return 0
        index = known.index if known != NULL and known.index else self.find_name(name, name_hash)
        size = <uint32_t>(n + m + FS_HPACK_OVERHEAD)
        # A larger one would push out too much.
        if policy == HPACK_INDEX and size <= self.most / 4 * 3:
            self.insert(name, value, size, name_hash, hash)
            at += fs_hpack_write_integer(at, 0x40, 6, index)
        else:
            at += fs_hpack_write_integer(at, 0x10 if policy == HPACK_NEVER else 0, 4, index)
        if index == 0:
            at += fs_hpack_write_string(at, p, <uint32_t>n)
        at += fs_hpack_write_string(at, q, <uint32_t>m)
        out.used = <char *>at - out.data
        return 0

    cdef uint32_t find_pair(self, bytes name, bytes value, uint32_t hash) noexcept:
        """The index of the entry, or 0."""
        cdef uint32_t age = self.sequence - self.pairs_at[hash & (SLOTS_OF_SENT - 1)], older
        cdef const Sent *entry
        while age < self.entries:
            entry = &self.ring[(self.sequence - age) & (self.slots - 1)]
            if (entry.hash == hash and same_text(entry.value, value)
                    and same_text(entry.name, name)):
                return FS_HPACK_STATIC + 1 + age
            older = self.sequence - entry.before
            if older <= age:
                break
            age = older
        return 0

    cdef uint32_t find_name(self, bytes name, uint32_t hash) noexcept:
        """The index of the newest entry with this name, or 0."""
        cdef uint32_t age = self.sequence - self.names_at[hash & (SLOTS_OF_SENT - 1)], older
        cdef const Sent *entry
        while age < self.entries:
            entry = &self.ring[(self.sequence - age) & (self.slots - 1)]
            if entry.name_hash == hash and same_text(entry.name, name):
                return FS_HPACK_STATIC + 1 + age
            older = self.sequence - entry.name_before
            if older <= age:
                break
            age = older
        return 0

    cdef int insert(self, bytes name, bytes value, uint32_t size, uint32_t name_hash,
                    uint32_t hash) except -1:
        """Section 4.4; size is not above the table's. Nothing has changed after an error."""
        cdef Sent *entry
        if self.entries == self.slots:
            self.grow()
        self.generation += 1
        self.evict(self.most - size)
        self.sequence += 1
        entry = &self.ring[self.sequence & (self.slots - 1)]
        Py_INCREF(name)             # dropped by evict, as the value
        Py_INCREF(value)
        entry.name = <PyObject *>name
        entry.value = <PyObject *>value
        entry.size = size
        entry.hash = hash
        entry.name_hash = name_hash
        entry.before = self.pairs_at[hash & (SLOTS_OF_SENT - 1)]
        entry.name_before = self.names_at[name_hash & (SLOTS_OF_SENT - 1)]
        self.pairs_at[hash & (SLOTS_OF_SENT - 1)] = self.sequence
        self.names_at[name_hash & (SLOTS_OF_SENT - 1)] = self.sequence
        self.entries += 1
        self.used += size
        return 0

    cdef int grow(self) except -1:
        cdef uint32_t slots = self.slots * 2 if self.slots else FIRST_SLOTS
        cdef uint32_t i
        cdef Sent *ring = <Sent *>PyMem_Malloc(slots * sizeof(Sent))
        if ring == NULL:
            raise MemoryError
        for i in range(self.entries):
            ring[(self.sequence - i) & (slots - 1)] = self.ring[
                (self.sequence - i) & (self.slots - 1)]
        PyMem_Free(self.ring)
        self.ring = ring
        self.slots = slots
        return 0

    cdef void evict(self, uint32_t most) noexcept:
        """The oldest entries leave until `most` bytes are used at most."""
        cdef Sent *oldest
        while self.used > most:
            self.generation += 1
            oldest = &self.ring[(self.sequence - self.entries + 1) & (self.slots - 1)]
            self.entries -= 1
            self.used -= oldest.size
            drop_reference(oldest.name)
            drop_reference(oldest.value)

    def encode_block(self, list pairs not None, policy=None):
        """The block of these pairs, for tests; `policy`: of all, as `policy_name` has it."""
        cdef WriteBuffer out = WriteBuffer.__new__(WriteBuffer)
        cdef bytes name
        cdef bytes value
        cdef HpackPolicy how
        self.begin(out)
        for name, value in pairs:
            if name == b":status":
                self.put_status(out, int(value))
                continue
            how = policy_of(name) if policy is None else _POLICIES.index(policy)
            self.put(out, name, value, how)
        return out.take()

    def set_limit(self, uint32_t most):
        """`limit`, for tests."""
        self.limit(most)

    @property
    def table(self):
        """The pairs of the dynamic table, from index 62 on; for tests."""
        cdef uint32_t i
        cdef const Sent *entry
        found = []
        for i in range(self.entries):
            entry = &self.ring[(self.sequence - i) & (self.slots - 1)]
            found.append((<object>entry.name, <object>entry.value))
        return found

    @property
    def table_size(self):
        """What they count, section 4.1."""
        return self.used


_POLICIES = ("index", "plain", "never")


def policy_name(bytes name not None):
    """What `policy_of` says of a name; for tests."""
    return _POLICIES[policy_of(name)]
