"""Who a request is from, by the forwarding fields of proxies that are trusted.

Each proxy of a chain adds, at the right, the address it was called from. So what stands right is
said by proxies we know, and what stands left of the first unknown address may be anybody's
invention: nothing there is looked at. `hop` is an entry's place counted from the right, 0
the one that our peer has added; the entry at which the walk ends is the client's, and what
the other fields say of the same hop (the scheme it used, the host it asked for) belongs to it.

What cannot be read is ignored; it never fails a request, and never makes us look further left.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM
from cpython.tuple cimport PyTuple_GET_ITEM
from cpython.unicode cimport PyUnicode_DecodeASCII, PyUnicode_DecodeUTF8
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memchr, memcpy

from .headers cimport (NAME_CF_CONNECTING_IP, NAME_FORWARDED, NAME_X_FORWARDED_FOR,
                       NAME_X_FORWARDED_HOST, NAME_X_FORWARDED_PORT, NAME_X_FORWARDED_PREFIX,
                       NAME_X_FORWARDED_PROTO, NAME_X_REAL_IP, HeaderBlock, block_of,
                       field_bit, name_id)
from .leaves cimport (fs_address_node, fs_address_port, fs_equal_nocase,
                      fs_target_host_ok, fs_target_unescape)
from .networks cimport Networks, address_text

cdef enum:
    ELEMENTS_MOST = 64              # of Forwarded fields: those further left are not looked at
    SKIPPED = -2                    # in place of a hop: the fields do not reach as far as they must

# A walk over the entries of all field lines of one name, from the right.
cdef struct Walk:
    uint8_t kind
    Py_ssize_t line                 # the field line that is walked over; behind the last at first
    const uint8_t *p
    Py_ssize_t left                 # bytes of it that are not walked over; -1: none

# A forwarded-element, RFC 7239 section 4.
cdef struct Element:
    Run node
    Run proto
    Run host


@cython.final
cdef class Origin:

    cpdef bytes client_text(self):
        """The client, if there is one, for logs: b"192.0.2.1:80", b"[::1]:80", b"192.0.2.1"."""
        if self.text is None:
            host, port = self.client
            if ":" in host:
                host = f"[{host}]"
            self.text = (f"{host}:{port}" if port else host).encode()
        return self.text

    cdef int put_host(self, list headers, int at) except -1:
        """Let the host, if there is one, be that of `headers`, which has it `at`; -1: nowhere."""
        if self.host is None:
            return 0
        if at >= 0:
            headers[at] = (b"host", self.host)
        else:
            headers.insert(0, (b"host", self.host))
        return 0


@cython.final
cdef class Trust:
    """networks: texts as `Networks` has them, of peers and of proxies before them.

    hops: not 0: the entry with this number from the right is the client's; single-valued
    fields (X-Real-IP) are not believed then. fields: names of those that are believed,
    lower-case. anybody: any peer is believed, for it is known to be a proxy.
    """

    def __init__(self, networks=(), int hops=0, fields=(), bint anybody=False):
        self.networks = Networks(networks)
        self.hops = hops
        self.anybody = anybody
        for name in fields:
            raw = name.encode()
            self.fields |= field_bit(name_id(raw, len(raw)))
        if hops:
            self.fields &= ~(field_bit(NAME_X_REAL_IP) | field_bit(NAME_CF_CONNECTING_IP))

    cdef uint32_t believed(self, str host) except? 0:
        """What is believed of a peer: its address, or "unix" for a unix socket."""
        return self.fields if self.anybody or self.networks.holds_peer(host) else 0

    cdef Origin origin(self, HeaderBlock block, uint32_t present):
        """`resolve`, once for as long as the block stays the same, as does who is believed."""
        if block.origin is None:
            block.origin = self.resolve(block, present)
        return block.origin

    cdef Origin resolve(self, HeaderBlock block, uint32_t present):
        """What the fields of `present`, believed and there, say."""
        cdef Origin origin = Origin.__new__(Origin)
        cdef Finding found
        cdef Run run
        cdef bint single, lists
        found.addressed = False
        found.hop = -1
        found.proto.p = found.host.p = NULL
        lists = not (present & field_bit(NAME_FORWARDED) and self.read_forwarded(block, &found))
        if lists:
            self.read_lists(block, present, &found)
        if found.hop == SKIPPED:
            return origin
        if found.addressed:
            put_client(origin, &found)
        read_scheme(origin, &found.proto)
        single = found.hop >= 0 or not self.hops
        if found.host.p != NULL:
            read_host(origin, &found.host)
        if (origin.port == 0 and lists and present & field_bit(NAME_X_FORWARDED_PORT)
                and entry_at(block, NAME_X_FORWARDED_PORT, self.at(&found), single, &run)):
            origin.port = max(fs_address_port(run.p, run.n), 0)
        if (present & field_bit(NAME_X_FORWARDED_PREFIX)
                and entry_at(block, NAME_X_FORWARDED_PREFIX, self.at(&found), single, &run)):
            read_prefix(origin, &run)
        return origin

    cdef Py_ssize_t at(self, const Finding *found) noexcept:
        """The hop to look at in a list: the client's, or that of our peer."""
        if found.hop >= 0:
            return found.hop
        return self.hops - 1 if self.hops else 0

    cdef int read_lists(self, HeaderBlock block, uint32_t present, Finding *found) noexcept:
        """The X-Forwarded- family, and the fields that hold one address."""
        cdef bint single
        if not (self.read_single(block, present, NAME_CF_CONNECTING_IP, found)
                or self.read_single(block, present, NAME_X_REAL_IP, found)):
            self.walk_addresses(block, found)
        if found.hop == SKIPPED:
            return 0
        single = found.hop >= 0 or not self.hops
        if present & field_bit(NAME_X_FORWARDED_PROTO):
            entry_at(block, NAME_X_FORWARDED_PROTO, self.at(found), single, &found.proto)
        if present & field_bit(NAME_X_FORWARDED_HOST):
            entry_at(block, NAME_X_FORWARDED_HOST, self.at(found), single, &found.host)
        return 0

    cdef bint read_single(self, HeaderBlock block, uint32_t present, uint8_t kind,
                          Finding *found) noexcept:
        cdef Walk walk
        cdef Run run, more
        if not present & field_bit(kind):
            return False
        begin(block, &walk, kind)
        # Twice is none: which one did our peer mean?
        if not previous(block, &walk, &run) or previous(block, &walk, &more):
            return False
        found.addressed = fs_address_node(run.p, run.n, False, found.address, &found.port) > 0
        return found.addressed

    cdef int walk_addresses(self, HeaderBlock block, Finding *found) noexcept:
        """X-Forwarded-For."""
        cdef Walk walk
        cdef Run run
        if not self.fields & field_bit(NAME_X_FORWARDED_FOR):
            return 0
        begin(block, &walk, NAME_X_FORWARDED_FOR)
        while previous(block, &walk, &run):
            if not self.step(&run, False, found):
                return 0
        return self.ran_out(found)

    cdef bint step(self, const Run *run, bint strict, Finding *found) noexcept:
        """Take the next entry to the left; whether the one left of it is of interest."""
        cdef uint8_t address[16]
        cdef uint16_t port = 0
        cdef bint good
        if self.hops and found.hop + 2 < self.hops:
            found.hop += 1
            return True
        good = run.p != NULL and fs_address_node(run.p, run.n, strict, address, &port) > 0
        if good:
            memcpy(found.address, address, 16)
            found.port = port
            found.addressed = True
        if good or self.hops:
            # One that nobody can read stops before it: who added it is the last we know.
            found.hop += 1
        return good and not self.hops and self.networks.holds(address)

    cdef int ran_out(self, Finding *found) noexcept:
        if self.hops and found.hop + 1 < self.hops:
            found.hop = SKIPPED
        return 0

    cdef bint read_forwarded(self, HeaderBlock block, Finding *found) noexcept:
        """False if there is no element or the fields cannot be read: as if none had come."""
        cdef Element elements[ELEMENTS_MOST]
        cdef Py_ssize_t count = 0, i, least
        cdef uint32_t line
        for line in range(block.count):
            if block.ids[line] == NAME_FORWARDED:
                # Each for itself, so that an open quote in one cannot swallow the next.
                count = read_elements(value_of(block, line), elements, count)
                if count < 0:
                    return False
        if count == 0:
            return False
        least = max(count - ELEMENTS_MOST, 0)
        i = count
        while i > least:
            i -= 1
            if not self.step(&elements[i % ELEMENTS_MOST].node, True, found):
                break
        else:
            self.ran_out(found)
        if found.hop != SKIPPED:
            i = count - 1 - self.at(found)
            found.proto = elements[i % ELEMENTS_MOST].proto
            found.host = elements[i % ELEMENTS_MOST].host
        return True

    def trusts(self, str host not None):
        """Whether any field of this peer is believed."""
        return self.believed(host) != 0

    def read(self, list headers not None):
        """`resolve` for tests: of pairs with lower-case names, those that are believed."""
        cdef HeaderBlock block = block_of(headers)
        cdef uint32_t present = 0
        cdef uint32_t i
        for i in range(block.count):
            present |= field_bit(block.ids[i])
        return self.resolve(block, present & self.fields)


# Lists of field lines ---------------------------------------------------------

cdef inline Run value_of(HeaderBlock block, Py_ssize_t line) noexcept:
    cdef Run run
    cdef object value = <object>PyTuple_GET_ITEM(<object>PyList_GET_ITEM(block.pairs, line), 1)
    run.p = <const uint8_t *>PyBytes_AS_STRING(value)
    run.n = PyBytes_GET_SIZE(value)
    return run


cdef inline void begin(HeaderBlock block, Walk *walk, uint8_t kind) noexcept:
    walk.kind = kind
    walk.line = block.count
    walk.left = -1


cdef bint previous(HeaderBlock block, Walk *walk, Run *run) noexcept:
    """The next entry to the left that is not empty (RFC 9110 section 5.6.1); False: no more."""
    cdef Run line
    cdef Py_ssize_t start, end
    while True:
        if walk.left < 0:
            walk.line -= 1
            while walk.line >= 0 and block.ids[walk.line] != walk.kind:
                walk.line -= 1
            if walk.line < 0:
                return False
            line = value_of(block, walk.line)
            walk.p = line.p
            walk.left = line.n
        end = start = walk.left
        while start > 0 and walk.p[start - 1] != c',':
            start -= 1
        walk.left = start - 1
        while end > start and is_space(walk.p[end - 1]):
            end -= 1
        while end > start and is_space(walk.p[start]):
            start += 1
        if end > start:
            run.p = walk.p + start
            run.n = end - start
            return True


cdef bint entry_at(HeaderBlock block, uint8_t kind, Py_ssize_t hop, bint single,
                   Run *out) noexcept:
    """What the fields say of a hop. `single`: one entry alone is what they say of all hops."""
    cdef Walk walk
    cdef Run run
    cdef Py_ssize_t count = 0
    begin(block, &walk, kind)
    while previous(block, &walk, &run):
        if count == hop:
            out[0] = run
            return True
        count += 1
    if count == 1 and single:
        out[0] = run
        return True
    return False


cdef inline bint is_space(uint8_t c) noexcept:
    return c == c' ' or c == c'\t'


# Forwarded, RFC 7239 ------------------------------------------------------------

cdef Py_ssize_t read_elements(Run line, Element *elements, Py_ssize_t count) noexcept:
    """Put the line's elements behind the `count` before; how many there are now, or -1.

    elements: the last ELEMENTS_MOST of them, in a ring. Beyond the grammar, spaces may stand
    around ";", and addresses without quotes: as long as the line can be taken apart in one way
    only, neither helps anybody to deceive.
    """
    cdef Py_ssize_t at = 0
    cdef Element *element = NULL
    cdef Run name, value
    while True:
        at = skip_spaces(&line, at)
        if at == line.n or line.p[at] == c',':
            element = NULL
        elif line.p[at] != c';':
            if element == NULL:
                element = &elements[count % ELEMENTS_MOST]
                element.node.p = element.proto.p = element.host.p = NULL
                count += 1
            at = read_pair(&line, at, &name, &value)
            if at < 0 or not put_pair(element, &name, &value):
                return -1
            at = skip_spaces(&line, at)
            if at < line.n and line.p[at] != c';' and line.p[at] != c',':
                return -1
            continue
        if at == line.n:
            return count
        at += 1


cdef inline Py_ssize_t skip_spaces(const Run *line, Py_ssize_t at) noexcept:
    while at < line.n and is_space(line.p[at]):
        at += 1
    return at


cdef Py_ssize_t read_pair(const Run *line, Py_ssize_t at, Run *name, Run *value) noexcept:
    """token "=" ( token / quoted-string ), from line.p[at] on; where it ends, or -1.

    A value with a quoted-pair in it is given as an empty one: it is none of those that are read.
    """
    cdef Py_ssize_t start = at
    cdef bint escaped = False
    while at < line.n and is_plain(line.p[at]):
        at += 1
    name.p = line.p + start
    name.n = at - start
    if name.n == 0 or at == line.n or line.p[at] != c'=':
        return -1
    at += 1
    start = at
    if at == line.n or line.p[at] != c'"':
        while at < line.n and (is_plain(line.p[at]) or memchr(b":[]", line.p[at], 3) != NULL):
            at += 1
        value.p = line.p + start
        value.n = at - start
        return at if value.n else -1
    start += 1
    at += 1
    while at < line.n and line.p[at] != c'"':
        if line.p[at] == c'\\':
            escaped = True
            at += 1
        at += 1
    if at >= line.n:
        return -1
    value.p = line.p + start
    value.n = 0 if escaped else at - start
    return at + 1


cdef inline bint is_plain(uint8_t c) noexcept:
    """A token's character, RFC 9110 section 5.6.2."""
    return c > 32 and c < 127 and memchr(b"\"(),/:;<=>?@[\\]{}", c, 17) == NULL


cdef bint put_pair(Element *element, const Run *name, const Run *value) noexcept:
    """False: the parameter is there twice, RFC 7239 section 4."""
    cdef Run *place = NULL
    if name.n == 3 and fs_equal_nocase(name.p, b"for", 3):
        place = &element.node
    elif name.n == 5 and fs_equal_nocase(name.p, b"proto", 5):
        place = &element.proto
    elif name.n == 4 and fs_equal_nocase(name.p, b"host", 4):
        place = &element.host
    if place != NULL:
        if place.p != NULL:
            return False
        place[0] = value[0]
    return True


# Values ---------------------------------------------------------------------------

cdef int put_client(Origin origin, const Finding *found) except -1:
    origin.client = (address_text(found.address), found.port)
    return 0


cdef int read_scheme(Origin origin, const Run *run) except -1:
    cdef Py_ssize_t n = run.n if run.p != NULL else 0
    if ((n == 5 and fs_equal_nocase(run.p, b"https", 5))
            or (n == 3 and fs_equal_nocase(run.p, b"wss", 3))):
        origin.scheme = "https"
    elif ((n == 4 and fs_equal_nocase(run.p, b"http", 4))
            or (n == 2 and fs_equal_nocase(run.p, b"ws", 2))):
        origin.scheme = "http"
    return 0


cdef int read_host(Origin origin, const Run *run) except -1:
    """uri-host [ ":" port ], as a Host field has it; not with port 0."""
    cdef Py_ssize_t end = run.n, start = 0, colon
    cdef int32_t port = 0
    if run.n == 0 or not fs_target_host_ok(run.p, run.n):
        return 0
    if run.p[0] == c'[':
        start = 1
        end = <const uint8_t *>memchr(run.p, c']', run.n) - run.p
        colon = end + 1
    else:
        colon = 0
        while colon < run.n and run.p[colon] != c':':
            colon += 1
        end = colon
    if colon + 1 < run.n:
        port = fs_address_port(run.p + colon + 1, run.n - colon - 1)
        if port <= 0:
            return 0
    origin.host = PyBytes_FromStringAndSize(<const char *>run.p, run.n)
    origin.server_host = PyUnicode_DecodeASCII(<const char *>run.p + start, end - start, NULL)
    origin.port = port
    return 0


cdef int read_prefix(Origin origin, const Run *run) except -1:
    """A path that is one and no more: "/a/b", percent-encoded; the slash at its end falls off."""
    cdef Py_ssize_t i, n = run.n
    cdef bytes plain
    cdef str text
    for i in range(n):
        if run.p[i] <= 32 or run.p[i] >= 127 or memchr(b"?#\\", run.p[i], 3) != NULL:
            return 0
    if run.p[0] != c'/':
        return 0
    if run.p[n - 1] == c'/':
        n -= 1
    if n == 0:
        return 0
    plain = PyBytes_FromStringAndSize(NULL, n)
    n = fs_target_unescape(<uint8_t *>PyBytes_AS_STRING(plain), run.p, n)
    try:
        text = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(plain), n, NULL)
    except UnicodeDecodeError:
        return 0
    parts = text.split("/")
    del parts[0]
    # What is left of escapes was none. An encoded slash or dot has become one, and counts as one.
    if ("%" in text or "\\" in text or any(part in ("", ".", "..") for part in parts)
            or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)):
        return 0
    origin.prefix = text
    return 0
