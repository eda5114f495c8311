"""HPACK, RFC 7541: what a peer sends, decoded.

A field that the peer has indexed is a tuple made once, with what is to be known of its name
and value: each further use costs a reference. It costs the peer one byte, so the limits count
every use.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_New
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ..headers cimport exact_name
from ..leaves cimport (FS_H2_COMPRESSION_ERROR, FS_HPACK_BAD_INDEX, FS_HPACK_BAD_INTEGER,
                       FS_HPACK_CUT, FS_HPACK_INDEXED, FS_HPACK_INDEXING, FS_HPACK_OVERHEAD,
                       FS_HPACK_SIZE, FS_HPACK_STATIC, fs_hpack_item, fs_hpack_pair,
                       fs_hpack_read, fs_hpack_static_pair, fs_hpack_string, fs_huffman_decode,
                       fs_huffman_most, fs_scan_field_value)

from fastserve._native.errors import Http2Error

cdef extern from "Python.h":
    PyObject *part_of "PyTuple_GET_ITEM"(PyObject *pair, Py_ssize_t i) noexcept
    void set_item "PyList_SET_ITEM"(PyObject *pairs, Py_ssize_t i, PyObject *pair) noexcept
    void take_reference "Py_INCREF"(PyObject *each) noexcept
    void drop_reference "Py_DECREF"(PyObject *each) noexcept
    Py_ssize_t size_of "PyBytes_GET_SIZE"(PyObject *text) noexcept

cdef enum:
    TABLE_AT_FIRST = 4096           # section 6.5.2
    SCRATCH = 1024
    FIRST_ROOM = 32
    FIRST_SLOTS = 8
    BAD_NAME = 1
    BAD_VALUE = 2

cdef Received statics[FS_HPACK_STATIC + 1]
cdef list _static_pairs = []        # owns what `statics` points to


cdef _fill_statics():
    cdef const fs_hpack_pair *each
    cdef bint well = False
    for index in range(1, FS_HPACK_STATIC + 1):
        each = fs_hpack_static_pair(index)
        name = exact_name(<const uint8_t *>each.name, each.name_len, &statics[index].mark, &well)
        pair = (name, each.value[:each.value_len])
        _static_pairs.append(pair)
        statics[index].pair = <PyObject *>pair
        statics[index].size = each.name_len + each.value_len + FS_HPACK_OVERHEAD
        statics[index].bad = 0

_fill_statics()


cdef int bad_block(int64_t answer) except -1:
    """RFC 7541 section 2.2 and RFC 9113 section 4.3: the connection cannot go on."""
    if answer == FS_HPACK_CUT:
        reason = "field block is cut off"
    elif answer == FS_HPACK_BAD_INTEGER:
        reason = "integer of a field block too large"
    elif answer == FS_HPACK_BAD_INDEX:
        reason = "no field with this index"
    else:
        reason = "bad Huffman code"
    raise Http2Error(FS_H2_COMPRESSION_ERROR, reason)


cdef bytes text_of(const fs_hpack_string *text, Py_ssize_t most, int64_t *length):
    """The string; None where it is longer than `most`. `length` is set to its bytes."""
    cdef uint8_t scratch[SCRATCH]
    cdef bint small
    cdef bytes found
    if not text.huffman:
        length[0] = text.n
        if text.n > most:
            return None
        return PyBytes_FromStringAndSize(<const char *>text.p, text.n)
    small = fs_huffman_most(text.n) <= SCRATCH
    length[0] = fs_huffman_decode(scratch, SCRATCH if small else 0, text.p, text.n)
    if length[0] < 0:
        bad_block(length[0])
    if length[0] > most:
        return None
    if small:
        return PyBytes_FromStringAndSize(<const char *>scratch, length[0])
    found = PyBytes_FromStringAndSize(NULL, length[0])
    fs_huffman_decode(<uint8_t *>PyBytes_AS_STRING(found), length[0], text.p, text.n)
    return found


cdef bytes name_of(const fs_hpack_string *text, Py_ssize_t most, int64_t *length,
                   Received *entry):
    """The same for a name; sets what `entry` says of it."""
    cdef uint8_t scratch[SCRATCH]
    cdef const uint8_t *p = text.p
    cdef bint well = False
    cdef bytes found = None
    length[0] = text.n
    if text.huffman:
        if fs_huffman_most(text.n) <= SCRATCH:
            p = scratch
            length[0] = fs_huffman_decode(scratch, SCRATCH, text.p, text.n)
            if length[0] < 0:
                bad_block(length[0])
        else:
            found = text_of(text, most, length)
            if found is None:
                return None
            p = <const uint8_t *>PyBytes_AS_STRING(found)
    if length[0] > most:
        return None
    found = exact_name(p, length[0], &entry.mark, &well)
    entry.bad = 0 if well else BAD_NAME
    return found


cdef inline uint8_t judge_value(const uint8_t *p, Py_ssize_t n) noexcept:
    """0 or BAD_VALUE, RFC 9113 section 8.2.1; other control bytes are refused as in HTTP/1."""
    if n == 0:
        return 0
    if p[0] in b" \t" or p[n - 1] in b" \t" or fs_scan_field_value(p, n) != <size_t>n:
        return BAD_VALUE
    return 0


cdef inline const Received *entry_at(HpackDecoder self, uint32_t index) except NULL:
    """The entry of either table, section 2.3.3; index is not 0."""
    if index <= FS_HPACK_STATIC:
        return &statics[index]
    if index - FS_HPACK_STATIC > self.entries:
        bad_block(FS_HPACK_BAD_INDEX)
    return &self.ring[(self.next - (index - FS_HPACK_STATIC)) & (self.slots - 1)]


cdef inline bint too_large(const Received *entry, const BlockLimits *limits) noexcept:
    return (entry.size - FS_HPACK_OVERHEAD > limits.field
            and (size_of(part_of(entry.pair, 0)) > <Py_ssize_t>limits.field
                 or size_of(part_of(entry.pair, 1)) > <Py_ssize_t>limits.field))


cdef inline int keep(HpackDecoder self, const Received *entry,
                     const BlockLimits *limits) except -1:
    """One more pair of the block, if the limits allow it."""
    self.size += entry.size
    if self.size > limits.size or self.count >= limits.fields or too_large(entry, limits):
        self.over = True
        return 0
    if self.count == self.room:
        self.grow_found()
    if entry.bad:
        self.malformed = True
    take_reference(entry.pair)
    self.found[self.count] = entry.pair
    self.marks[self.count] = entry.mark
    self.count += 1
    return 0


@cython.final
cdef class HpackDecoder:
    """Decodes a connection's field blocks; each must come here, in order, read or not."""

    def __cinit__(self, uint32_t table_size=TABLE_AT_FIRST):
        self.most = self.granted = table_size

    def __dealloc__(self):
        self.drop_found()
        self.evict(0)
        PyMem_Free(self.ring)
        PyMem_Free(self.found)

    cdef int decode(self, const uint8_t *p, Py_ssize_t n, uint32_t fields_most,
                    uint32_t size_most, uint32_t field_most) except -1:
        """Decode a whole block; afterwards `pairs` and the others tell of it.

        At most `fields_most` pairs are taken, of `size_most` bytes in all as RFC 9113 section
        6.5.2 counts them, none with more than `field_most` bytes in its name or value. What is
        over is decoded for the table's sake. Raises Http2Error(COMPRESSION_ERROR) where RFC 7541
        forbids the block; nothing can be decoded after it.
        """
        cdef BlockLimits limits
        cdef uint32_t i
        limits.fields = fields_most
        limits.size = size_most
        limits.field = field_most
        self.drop_found()           # of a block that failed
        self.pairs = None
        self.malformed = self.over = False
        self.size = 0
        self.read_block(p, n, &limits)
        self.pairs = PyList_New(self.count)
        for i in range(self.count):
            set_item(<PyObject *>self.pairs, i, self.found[i])
        self.count = 0
        return 0

    cdef int read_block(self, const uint8_t *p, Py_ssize_t n, const BlockLimits *limits) except -1:
        cdef Py_ssize_t at = 0
        if self.owes or (n > 0 and p[0] & 0xe0 == 0x20):
            at = self.read_sizes(p, n)
        while at < n:
            if 0x80 < p[at] < 0xff:
                keep(self, entry_at(self, p[at] & 0x7f), limits)
                at += 1
            else:
                at += self.read_field(p + at, n - at, limits)
        return 0

    cdef Py_ssize_t read_field(self, const uint8_t *p, Py_ssize_t n,
                               const BlockLimits *limits) except -1:
        """What is no field with an index below 127; returns its bytes."""
        cdef fs_hpack_item item
        cdef int64_t used = fs_hpack_read(p, n, &item)
        if used < 0:
            bad_block(used)
        if item.kind == FS_HPACK_INDEXED:
            keep(self, entry_at(self, item.index), limits)
        elif item.kind == FS_HPACK_SIZE:
            raise Http2Error(FS_H2_COMPRESSION_ERROR, "table size changed within a field block")
        else:
            self.read_literal(&item, limits)
        return used

    cdef Py_ssize_t read_sizes(self, const uint8_t *p, Py_ssize_t n) except -1:
        """The updates that a block begins with, section 4.2; returns their bytes."""
        cdef Py_ssize_t at = 0
        cdef int64_t answer
        cdef fs_hpack_item item
        while at < n and p[at] & 0xe0 == 0x20:
            answer = fs_hpack_read(p + at, n - at, &item)
            if answer < 0:
                bad_block(answer)
            at += answer
            if item.index > (self.owed if self.owes else self.granted):
                raise Http2Error(FS_H2_COMPRESSION_ERROR, "table size over its limit")
            self.owes = False
            self.generation += 1
            self.most = item.index
            self.evict(item.index)
        if self.owes:
            raise Http2Error(FS_H2_COMPRESSION_ERROR, "table size not lowered")
        return at

    cdef int read_literal(self, void *given, const BlockLimits *limits) except -1:
        """A pair that is spelled out, in part or whole; into the table where it says so."""
        cdef fs_hpack_item *item = <fs_hpack_item *>given
        cdef bint indexing = item.kind == FS_HPACK_INDEXING
        # Nothing longer can be in the table or a pair, so it is not made.
        cdef Py_ssize_t most = limits.field
        cdef int64_t name_length, value_length
        cdef const Received *named
        cdef Received fresh
        cdef bytes name, value
        cdef tuple pair
        if indexing and self.most > limits.field:
            most = self.most
        elif not indexing and self.over:
            most = 0
        if item.index:
            named = entry_at(self, item.index)
            name = <bytes>part_of(named.pair, 0)
            name_length = PyBytes_GET_SIZE(name)
            fresh.mark = named.mark
            fresh.bad = named.bad & BAD_NAME
        else:
            name = name_of(&item.name, most, &name_length, &fresh)
        value = text_of(&item.value, most, &value_length)
        if name is None or value is None:
            self.size += <uint64_t>(name_length + value_length + FS_HPACK_OVERHEAD)
            self.over = True
            if indexing:
                # Section 4.4: larger than the table, it empties it.
                self.generation += 1
                self.evict(0)
            return 0
        fresh.bad |= judge_value(<const uint8_t *>PyBytes_AS_STRING(value), value_length)
        pair = (name, value)
        fresh.pair = <PyObject *>pair
        fresh.size = <uint32_t>(name_length + value_length + FS_HPACK_OVERHEAD)
        keep(self, &fresh, limits)
        if indexing:
            self.insert(&fresh)
        return 0

    cdef int insert(self, const Received *entry) except -1:
        """Section 4.4; the entry's pair is still the caller's."""
        self.generation += 1
        if entry.size > self.most:
            self.evict(0)
            return 0
        self.evict(self.most - entry.size)
        if self.entries == self.slots:
            self.grow()
        take_reference(entry.pair)
        self.ring[self.next & (self.slots - 1)] = entry[0]
        self.next += 1
        self.entries += 1
        self.used += entry.size
        return 0

    cdef void evict(self, uint32_t most) noexcept:
        """The oldest entries leave until `most` bytes are used at most."""
        cdef Received *oldest
        while self.used > most:
            self.generation += 1
            oldest = &self.ring[(self.next - self.entries) & (self.slots - 1)]
            self.entries -= 1
            self.used -= oldest.size
            drop_reference(oldest.pair)

    cdef int grow(self) except -1:
        cdef uint32_t slots = self.slots * 2 if self.slots else FIRST_SLOTS
        cdef uint32_t i
        cdef Received *ring = <Received *>PyMem_Malloc(slots * sizeof(Received))
        if ring == NULL:
            raise MemoryError
        for i in range(1, self.entries + 1):
            ring[(self.next - i) & (slots - 1)] = self.ring[(self.next - i) & (self.slots - 1)]
        PyMem_Free(self.ring)
        self.ring = ring
        self.slots = slots
        return 0

    cdef int grow_found(self) except -1:
        cdef uint32_t room = self.room * 2 if self.room else FIRST_ROOM
        cdef PyObject **found = <PyObject **>PyMem_Malloc(room * (sizeof(PyObject *) + 1))
        if found == NULL:
            raise MemoryError
        if self.count:
            memcpy(found, self.found, self.count * sizeof(PyObject *))
            memcpy(found + room, self.marks, self.count)
        PyMem_Free(self.found)
        self.found = found
        self.marks = <uint8_t *>(found + room)
        self.room = room
        return 0

    cdef int drop_found(self) noexcept:
        while self.count:
            self.count -= 1
            drop_reference(self.found[self.count])
        return 0

    cdef int limit(self, uint32_t most) except -1:
        """SETTINGS_HEADER_TABLE_SIZE, now that the peer has acknowledged it.

        Below the table's size, the next block must begin with an update: RFC 9113 section 4.3.1.
        """
        self.granted = most
        if most < self.most:
            self.owed = most
            self.owes = True
            # A block means something else now, even if no entry had to leave.
            self.generation += 1
            self.most = most
            self.evict(most)
        return 0

    def decode_block(self, bytes block not None, *, uint32_t fields=0xffffffff,
                     uint32_t size=0xffffffff, uint32_t field=0xffffffff):
        """The pairs of a whole block, within limits; for tests."""
        self.decode(<const uint8_t *>PyBytes_AS_STRING(block), PyBytes_GET_SIZE(block), fields,
                    size, field)
        return self.pairs

    def set_limit(self, uint32_t most):
        """`limit`, for tests."""
        self.limit(most)

    def marks_of(self):
        """`marks` of the last block, for tests."""
        return [self.marks[i] for i in range(len(self.pairs))]

    @property
    def table(self):
        """The pairs of the dynamic table, from index 62 on; for tests."""
        return [<object>entry_at(self, FS_HPACK_STATIC + 1 + i).pair for i in range(self.entries)]

    @property
    def table_size(self):
        """What they count, section 4.1."""
        return self.used
