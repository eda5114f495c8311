/* fs_target: see fs_target.h. */
#include "fs_target.h"

#include "fs_block.h"
#include "fs_digits.h"

static inline int is_hex(uint8_t c)
{
    return fs_class[c] & FS_HEX;
}

static inline int is_escape(const uint8_t *p, size_t at, size_t n)
{
    return n - at >= 3 && p[at] == '%' && is_hex(p[at + 1]) && is_hex(p[at + 2]);
}

static int is_ipv4(const uint8_t *p, size_t n)
{
    uint8_t unused[4];
    return fs_ipv4(p, n, unused);
}

/* IPv6address, RFC 3986 section 3.2.2: eight groups, or fewer with one "::"
 * in place of the rest.  Zone identifiers (RFC 6874) mean nothing to another
 * host and are refused. */
static int is_ipv6(const uint8_t *p, size_t n)
{
    size_t at = 0;
    int groups = 0;
    int compressed = n >= 2 && p[0] == ':' && p[1] == ':';
    if (compressed && (at = 2) == n)
        return 1;
    for (;;) {
        size_t start = at;
        while (at < n && at - start < 5 && is_hex(p[at]))
            at++;
        if (at < n && p[at] == '.') {
            if (!is_ipv4(p + start, n - start))
                return 0;
            groups += 2;
            break;
        }
        if (at == start || at - start > 4 || ++groups > 8)
            return 0;
        if (at == n)
            break;
        if (p[at++] != ':' || at == n)
            return 0;
        if (p[at] == ':') {
            if (compressed)
                return 0;
            compressed = 1;
            if (++at == n)
                break;
        }
    }
    return compressed ? groups <= 7 : groups == 8;
}

/* IPvFuture, RFC 3986 section 3.2.2. */
static int is_ip_future(const uint8_t *p, size_t n)
{
    size_t at = 1;
    if (n == 0 || (p[0] | 0x20) != 'v')
        return 0;
    while (at < n && is_hex(p[at]))
        at++;
    if (at == 1 || at >= n || p[at] != '.')
        return 0;
    size_t start = ++at;
    while (at < n && ((fs_class[p[at]] & FS_REG_NAME) || p[at] == ':'))
        at++;
    return at > start && at == n;
}

/* How many bytes at p are a host that is not empty; 0 where there is none. */
static size_t read_host(const uint8_t *p, size_t n)
{
    size_t at = 0;
    if (n > 0 && p[0] == '[') {
        while (at < n && p[at] != ']')
            at++;
        if (at == n || !(is_ipv6(p + 1, at - 1) || is_ip_future(p + 1, at - 1)))
            return 0;
        return at + 1;
    }
    for (;;) {
        while (at < n && (fs_class[p[at]] & FS_REG_NAME))
            at++;
        if (at == n || !is_escape(p, at, n))
            return at;
        at += 3;
    }
}

/* uri-host [ ":" port ], all of the n bytes; with need_port, a port that is not empty. */
static int is_authority(const uint8_t *p, size_t n, int need_port)
{
    size_t at = read_host(p, n);
    if (at == 0)
        return 0;
    if (at == n)
        return !need_port;
    if (p[at++] != ':' || n - at > 5)
        return 0;
    if (at == n)
        return !need_port;
    uint32_t port = 0;
    for (; at < n; at++) {
        if (!fs_is_digit(p[at]))
            return 0;
        port = port * 10 + (uint32_t)(p[at] - '0');
    }
    return port <= 65535;
}

/* path [ "?" query ] from p[at] on; every "%" must lead two hex digits. */
static int read_path(const uint8_t *p, size_t at, size_t n, fs_target *out)
{
    out->path_off = (uint32_t)at;
    while ((at = fs_run_path(p, at, n)) < n && p[at] == '%') {
        if (!is_escape(p, at, n))
            return FS_TARGET_BAD_ESCAPE;
        out->path_escaped = 1;
        at += 3;
    }
    out->path_len = (uint32_t)at - out->path_off;
    out->query_off = (uint32_t)(at < n ? at + 1 : n);
    out->query_len = (uint32_t)n - out->query_off;
    for (at = out->query_off; (at = fs_run_path(p, at, n)) < n;) {
        if (p[at] == '?') {
            at++;
        } else if (is_escape(p, at, n)) {
            at += 3;
        } else {
            return FS_TARGET_BAD_ESCAPE;
        }
    }
    return 0;
}

static int answer(fs_target *out, int form)
{
    out->form = (uint8_t)form;
    return form;
}

/* The length of "http" or "https" in any case where "://" follows, else 0. */
static size_t read_scheme(const uint8_t *p, size_t n)
{
    static const char name[5] = {'h', 't', 't', 'p', 's'};
    size_t at = 0;
    while (at < n && at < sizeof name && (p[at] | 0x20) == name[at])
        at++;
    return at >= 4 && n - at >= 3 && memcmp(p + at, "://", 3) == 0 ? at : 0;
}

static int read_absolute(const uint8_t *p, size_t n, fs_target *out)
{
    size_t scheme = read_scheme(p, n);
    if (scheme == 0)
        return FS_TARGET_BAD;
    size_t host = scheme + 3;
    size_t end = host;
    while (end < n && p[end] != '/' && p[end] != '?')
        end++;
    /* No "@" is in a host: RFC 9110 section 4.2.4 wants user information treated as an error. */
    if (!is_authority(p + host, end - host, 0))
        return FS_TARGET_BAD_AUTHORITY;
    out->scheme_len = (uint32_t)scheme;
    out->host_off = (uint32_t)host;
    out->host_len = (uint32_t)(end - host);
    int bad = read_path(p, end, n, out);
    return bad ? bad : answer(out, FS_TARGET_ABSOLUTE);
}

int fs_target_parse(const uint8_t *p, size_t n, const uint8_t *method, size_t method_len,
                    fs_target *out)
{
    memset(out, 0, sizeof *out);
    if (n == 0)
        return FS_TARGET_BAD;
    int connect = method_len == 7 && memcmp(method, "CONNECT", 7) == 0;
    if (p[0] == '/' && !connect) {
        int bad = read_path(p, 0, n, out);
        return bad ? bad : answer(out, FS_TARGET_ORIGIN);
    }
    if (n == 1 && p[0] == '*') {
        if (method_len == 7 && memcmp(method, "OPTIONS", 7) == 0)
            return answer(out, FS_TARGET_ASTERISK);
        return FS_TARGET_BAD;
    }
    if (!connect)
        return read_absolute(p, n, out);
    if (p[0] == '/' || read_scheme(p, n))
        return FS_TARGET_BAD;
    /* RFC 9110 section 9.3.6: an empty or invalid port must be rejected. */
    if (!is_authority(p, n, 1))
        return FS_TARGET_BAD_AUTHORITY;
    out->host_len = (uint32_t)n;
    return answer(out, FS_TARGET_AUTHORITY);
}

size_t fs_target_unescape(uint8_t *dst, const uint8_t *src, size_t n)
{
    size_t to = 0;
    for (size_t from = 0; from < n; to++) {
        if (is_escape(src, from, n)) {
            dst[to] = (uint8_t)(fs_hex_value(src[from + 1]) << 4 | fs_hex_value(src[from + 2]));
            from += 3;
        } else {
            dst[to] = src[from++];
        }
    }
    return to;
}

int fs_target_host_ok(const uint8_t *p, size_t n)
{
    return n == 0 || is_authority(p, n, 0);
}
