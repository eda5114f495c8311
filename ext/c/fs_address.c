/* fs_address: see fs_address.h. */
#include "fs_address.h"

#include "fs_block.h"
#include "fs_digits.h"

#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Up to four hex digits at p[*at]: how many there are. */
static size_t read_group(const uint8_t *p, size_t n, size_t *at, unsigned *value)
{
    size_t start = *at;
    *value = 0;
    while (*at < n && *at - start < 4 && (fs_class[p[*at]] & FS_HEX))
        *value = *value << 4 | fs_hex_value(p[(*at)++]);
    return *at - start;
}

static int read_ipv6(const uint8_t *p, size_t n, uint8_t out[FS_ADDRESS_LEN])
{
    size_t at = 0, used = 0, gap = FS_ADDRESS_LEN + 1;
    unsigned value;
    if (n >= 2 && p[0] == ':' && p[1] == ':') {
        gap = 0;
        at = 2;
    }
    while (at < n) {
        size_t start = at;
        if (used > FS_ADDRESS_LEN - 2 || read_group(p, n, &at, &value) == 0)
            return 0;
        if (at < n && p[at] == '.') {
            if (used > FS_ADDRESS_LEN - 4 || !fs_ipv4(p + start, n - start, out + used))
                return 0;
            used += 4;
            break;
        }
        out[used++] = (uint8_t)(value >> 8);
        out[used++] = (uint8_t)value;
        if (at == n)
            break;
        if (p[at++] != ':' || at == n)
            return 0;
        if (p[at] == ':') {
            if (gap <= FS_ADDRESS_LEN)
                return 0;
            gap = used;
            at++;
        }
    }
    if (gap > FS_ADDRESS_LEN)
        return used == FS_ADDRESS_LEN;
    if (used > FS_ADDRESS_LEN - 2)
        return 0;
    memmove(out + FS_ADDRESS_LEN - (used - gap), out + gap, used - gap);
    memset(out + gap, 0, FS_ADDRESS_LEN - used);
    return 1;
}

int fs_address_parse(const uint8_t *p, size_t n, uint8_t out[FS_ADDRESS_LEN])
{
    if (n > 1 && memchr(p, ':', n) == NULL) {
        memcpy(out, mapped, sizeof mapped);
        return fs_ipv4(p, n, out + sizeof mapped) ? 4 : FS_ADDRESS_BAD;
    }
    return n > 1 && read_ipv6(p, n, out) ? 6 : FS_ADDRESS_BAD;
}

int32_t fs_address_port(const uint8_t *p, size_t n)
{
    int32_t value = 0;
    if (n == 0 || n > 5 || (n > 1 && p[0] == '0'))
        return -1;
    for (size_t at = 0; at < n; at++) {
        if (!fs_is_digit(p[at]))
            return -1;
        value = value * 10 + (p[at] - '0');
    }
    return value <= 65535 ? value : -1;
}

/* obfport, RFC 7239 section 6.3: "_" and at least one of ALPHA DIGIT "." "_" "-". */
static int is_made_up(const uint8_t *p, size_t n)
{
    if (n < 2 || p[0] != '_')
        return 0;
    for (size_t at = 1; at < n; at++) {
        uint8_t c = p[at];
        if (!fs_is_digit(c) && (uint8_t)((c | 0x20) - 'a') >= 26 && c != '.' && c != '_' && c != '-')
            return 0;
    }
    return 1;
}

int fs_address_node(const uint8_t *p, size_t n, int strict, uint8_t out[FS_ADDRESS_LEN],
                    uint16_t *port)
{
    size_t end = n, rest = n;
    int family;
    *port = 0;
    if (n > 0 && p[0] == '[') {
        const uint8_t *close = memchr(p, ']', n);
        if (close == NULL)
            return FS_ADDRESS_BAD;
        end = (size_t)(close - p);
        rest = end + 1;
        family = fs_address_parse(p + 1, end - 1, out);
        if (family != 6)
            return FS_ADDRESS_BAD;
    } else {
        const uint8_t *colon = n > 0 ? memchr(p, ':', n) : NULL;
        if (colon != NULL && memchr(colon + 1, ':', n - (size_t)(colon - p) - 1) == NULL)
            end = rest = (size_t)(colon - p);
        family = fs_address_parse(p, end, out);
        if (family == 6 && strict)
            return FS_ADDRESS_BAD;
    }
    if (family < 0 || rest == n)
        return family;
    if (p[rest++] != ':')
        return FS_ADDRESS_BAD;
    if (strict && is_made_up(p + rest, n - rest))
        return family;
    int32_t number = fs_address_port(p + rest, n - rest);
    if (number < 0)
        return FS_ADDRESS_BAD;
    *port = (uint16_t)number;
    return family;
}

static size_t format_ipv4(uint8_t *dst, const uint8_t *octets)
{
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        unsigned value = octets[i];
        if (i > 0)
            dst[at++] = '.';
        if (value > 99)
            dst[at++] = (uint8_t)('0' + value / 100);
        if (value > 9)
            dst[at++] = (uint8_t)('0' + value / 10 % 10);
        dst[at++] = (uint8_t)('0' + value % 10);
    }
    return at;
}

static size_t format_group(uint8_t *dst, unsigned value)
{
    size_t at = 0;
    for (int shift = 12; shift >= 0; shift -= 4)
        if (shift == 0 || value >> shift)
            dst[at++] = (uint8_t)"0123456789abcdef"[value >> shift & 15];
    return at;
}

size_t fs_address_format(uint8_t dst[FS_ADDRESS_TEXT_MOST], const uint8_t address[FS_ADDRESS_LEN])
{
    unsigned groups[8];
    int best = 8, longest = 1, run = 0;
    size_t at = 0;
    if (memcmp(address, mapped, sizeof mapped) == 0)
        return format_ipv4(dst, address + sizeof mapped);
    /* RFC 5952 section 4.2: "::" for the longest run of zeros, the first of equals, never for one. */
    for (int i = 0; i < 8; i++) {
        groups[i] = (unsigned)address[2 * i] << 8 | address[2 * i + 1];
        run = groups[i] == 0 ? run + 1 : 0;
        if (run > longest) {
            longest = run;
            best = i + 1 - run;
        }
    }
    for (int i = 0; i < 8; i++) {
        if (i == best) {
            dst[at++] = ':';
            if (i == 0)
                dst[at++] = ':';
            i += longest - 1;
            continue;
        }
        at += format_group(dst + at, groups[i]);
        if (i < 7)
            dst[at++] = ':';
    }
    return at;
}

int fs_address_in(const uint8_t address[FS_ADDRESS_LEN], const uint8_t network[FS_ADDRESS_LEN],
                  unsigned prefix)
{
    unsigned bytes = prefix / 8, bits = prefix % 8;
    if (memcmp(address, network, bytes) != 0)
        return 0;
    return bits == 0 || (address[bytes] ^ network[bytes]) >> (8 - bits) == 0;
}
