/* fs_proxy: see fs_proxy.h. */
#include "fs_proxy.h"

#include <string.h>

static const uint8_t signature[12] = {13, 10, 13, 10, 0, 13, 10, 'Q', 'U', 'I', 'T', 10};

enum { V1_FIRST = 6 };  /* bytes of "PROXY " */

static inline unsigned load16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* The next word of a line, up to a space or the end; *at moves behind that space. */
static size_t read_word(const uint8_t *p, size_t n, size_t *at, const uint8_t **word)
{
    size_t start = *at, end = *at;
    while (end < n && p[end] != ' ')
        end++;
    *word = p + start;
    *at = end < n ? end + 1 : end;
    return end - start;
}

static int read_address(const uint8_t *p, size_t n, size_t *at, int family, uint8_t *out)
{
    const uint8_t *word;
    size_t size = read_word(p, n, at, &word);
    return fs_address_parse(word, size, out) == family;
}

static int read_port(const uint8_t *p, size_t n, size_t *at, uint16_t *out)
{
    const uint8_t *word;
    size_t size = read_word(p, n, at, &word);
    int32_t port = fs_address_port(word, size);
    *out = (uint16_t)port;
    return port >= 0;
}

/* The n bytes of a line of version 1, without its end. */
static int read_line(const uint8_t *p, size_t n, fs_proxy *out)
{
    size_t at = V1_FIRST;
    const uint8_t *word;
    size_t size = read_word(p, n, &at, &word);
    if (size == 7 && memcmp(word, "UNKNOWN", 7) == 0)
        return 1;  /* whatever follows is to be ignored */
    if (size != 4 || memcmp(word, "TCP", 3) != 0 || (word[3] != '4' && word[3] != '6'))
        return 0;
    int family = word[3] - '0';
    /* A space at the very end would be a fifth, empty word. */
    if (!read_address(p, n, &at, family, out->client)
        || !read_address(p, n, &at, family, out->server)
        || !read_port(p, n, &at, &out->client_port) || at == n
        || !read_port(p, n, &at, &out->server_port) || at != n || p[n - 1] == ' ')
        return 0;
    out->kind = FS_PROXY_INET;
    return 1;
}

static int32_t parse_v1(const uint8_t *p, size_t n, fs_proxy *out)
{
    for (size_t at = 0; at < n; at++) {
        if (at < V1_FIRST) {
            if (p[at] != (uint8_t)"PROXY "[at])
                return FS_PROXY_BAD;
        } else if (at >= FS_PROXY_V1_MOST) {
            return FS_PROXY_BAD;
        } else if (p[at] == '\n') {
            return p[at - 1] == '\r' && read_line(p, at - 1, out) ? (int32_t)at + 1 : FS_PROXY_BAD;
        } else if (p[at - 1] == '\r' || (p[at] != '\r' && (p[at] < 0x20 || p[at] > 0x7e))) {
            return FS_PROXY_BAD;
        }
    }
    return n >= FS_PROXY_V1_MOST ? FS_PROXY_BAD : FS_PROXY_MORE;
}

static int are_extensions(const uint8_t *p, size_t n)
{
    while (n > 0) {
        if (n < 3 || load16(p + 1) > n - 3)
            return 0;
        size_t size = 3 + load16(p + 1);
        p += size;
        n -= size;
    }
    return 1;
}

/* How many bytes of addresses the family and transport of p[13] have; -1: neither is defined. */
static int addresses_size(uint8_t code)
{
    static const int sizes[4] = {0, 12, 36, 2 * FS_PROXY_PATH_MOST};
    if (code == 0)
        return 0;
    if (code >> 4 < 1 || code >> 4 > 3 || (code & 15) < 1 || (code & 15) > 2)
        return -1;
    return sizes[code >> 4];
}

static void read_addresses(const uint8_t *p, size_t size, fs_proxy *out)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (size == 12) {
        memcpy(out->client, mapped, sizeof mapped);
        memcpy(out->server, mapped, sizeof mapped);
        memcpy(out->client + 12, p, 4);
        memcpy(out->server + 12, p + 4, 4);
    } else {
        memcpy(out->client, p, 16);
        memcpy(out->server, p + 16, 16);
    }
    out->client_port = (uint16_t)load16(p + size - 4);
    out->server_port = (uint16_t)load16(p + size - 2);
    out->kind = FS_PROXY_INET;
}

static void read_path(const uint8_t *p, fs_proxy *out)
{
    const uint8_t *end = memchr(p, 0, FS_PROXY_PATH_MOST);
    out->kind = FS_PROXY_UNIX;
    out->path_off = FS_PROXY_V2_HEAD + FS_PROXY_PATH_MOST;
    out->path_len = end == NULL ? FS_PROXY_PATH_MOST : (uint32_t)(end - p);
}

static int32_t parse_v2(const uint8_t *p, size_t n, size_t most, fs_proxy *out)
{
    size_t known = n < sizeof signature ? n : sizeof signature;
    if (memcmp(p, signature, known) != 0)
        return FS_PROXY_BAD;
    if (n > 12 && p[12] != 0x20 && p[12] != 0x21)
        return FS_PROXY_BAD;
    /* A LOCAL connection's family is to be ignored, as is all that follows. */
    int size = n > 13 && p[12] == 0x21 ? addresses_size(p[13]) : 0;
    if (size < 0)
        return FS_PROXY_BAD;
    if (n < FS_PROXY_V2_HEAD)
        return FS_PROXY_MORE;
    size_t length = load16(p + 14);
    if (length < (size_t)size)
        return FS_PROXY_BAD;
    if (FS_PROXY_V2_HEAD + length > most)
        return FS_PROXY_LONG;
    if (n < FS_PROXY_V2_HEAD + length)
        return FS_PROXY_MORE;
    const uint8_t *body = p + FS_PROXY_V2_HEAD;
    if (size > 0 && !are_extensions(body + size, length - (size_t)size))
        return FS_PROXY_BAD;
    if (size == 2 * FS_PROXY_PATH_MOST)
        read_path(body + FS_PROXY_PATH_MOST, out);
    else if (size > 0)
        read_addresses(body, (size_t)size, out);
    return (int32_t)(FS_PROXY_V2_HEAD + length);
}

int32_t fs_proxy_parse(const uint8_t *p, size_t n, size_t most, fs_proxy *out)
{
    memset(out, 0, sizeof *out);
    if (n == 0)
        return FS_PROXY_MORE;
    return p[0] == signature[0] ? parse_v2(p, n, most, out) : parse_v1(p, n, out);
}
