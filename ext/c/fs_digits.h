/* fs_digits: characters that are digits, and IPv4 addresses in them; what several leaves read. */
#ifndef FS_DIGITS_H
#define FS_DIGITS_H

#include <stddef.h>
#include <stdint.h>

static inline int fs_is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

/* Of a character that is known to be a hexadecimal digit. */
static inline uint8_t fs_hex_value(uint8_t c)
{
    return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* IPv4address, RFC 3986 section 3.2.2: four numbers 0..255 without leading zeros. Whether the n
 * bytes at p are one, all of them; `out` is good only then. */
static inline int fs_ipv4(const uint8_t *p, size_t n, uint8_t out[4])
{
    size_t at = 0;
    for (int octet = 0; octet < 4; octet++) {
        if (octet > 0 && (at >= n || p[at++] != '.'))
            return 0;
        size_t start = at;
        unsigned value = 0;
        while (at < n && at - start < 3 && fs_is_digit(p[at]))
            value = value * 10 + (unsigned)(p[at++] - '0');
        if (at == start || value > 255 || (at - start > 1 && p[start] == '0'))
            return 0;
        out[octet] = (uint8_t)value;
    }
    return at == n;
}

#endif
