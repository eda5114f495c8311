/* fs_scan: see fs_scan.h.  The scanners proper live in fs_block.h, so that
 * fs_http1 can have them inline. */
#include "fs_scan.h"

#include "fs_block.h"

size_t fs_scan_field_value(const uint8_t *p, size_t n)
{
    return fs_run_value(p, 0, n);
}

size_t fs_scan_target(const uint8_t *p, size_t n)
{
    return fs_run_target(p, 0, n);
}

size_t fs_scan_token(const uint8_t *p, size_t n)
{
    return fs_run_token(p, 0, n);
}

size_t fs_scan_quotable(const uint8_t *p, size_t n)
{
    return fs_run_quotable(p, 0, n);
}

/* Words of 4 and 8 bytes work byte by byte within the word, so the machine's
 * byte order does not matter.  0x80 is set in every byte of `upper` that holds
 * A..Z; 0x80 >> 2 is the bit that tells the cases apart. */
static inline uint64_t lower8(uint64_t x)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t seven = x & (0x7f * ones);
    uint64_t upper = (seven + (0x80 - 'A') * ones) ^ (seven + (0x7f - 'Z') * ones);
    return x | ((upper & ~x & (0x80 * ones)) >> 2);
}

static inline uint8_t lower1(uint8_t c)
{
    return (uint8_t)(c | ((uint8_t)(c - 'A') < 26 ? 0x20 : 0));
}

static inline uint64_t load8(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

static inline uint32_t load4(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, 4);
    return x;
}

void fs_lower(uint8_t *dst, const uint8_t *src, size_t n)
{
    if (n >= 8) {
        /* The last word overlaps the one before; making lower-case twice,
         * where dst is src, changes nothing. */
        size_t i = 0;
        do {
            uint64_t x = lower8(load8(src + i));
            memcpy(dst + i, &x, 8);
            i += 8;
        } while (i + 8 <= n);
        if (i < n) {
            uint64_t x = lower8(load8(src + n - 8));
            memcpy(dst + n - 8, &x, 8);
        }
    } else if (n >= 4) {
        uint32_t last = (uint32_t)lower8(load4(src + n - 4));
        uint32_t first = (uint32_t)lower8(load4(src));
        memcpy(dst, &first, 4);
        memcpy(dst + n - 4, &last, 4);
    } else {
        for (size_t i = 0; i < n; i++)
            dst[i] = lower1(src[i]);
    }
}

int fs_equal_nocase(const uint8_t *p, const char *lower, size_t n)
{
    const uint8_t *q = (const uint8_t *)lower;
    if (n >= 8) {
        for (size_t i = 0; i + 8 <= n; i += 8)
            if (lower8(load8(p + i)) != load8(q + i))
                return 0;
        return lower8(load8(p + n - 8)) == load8(q + n - 8);
    }
    if (n >= 4)
        return (uint32_t)lower8(load4(p)) == load4(q)
               && (uint32_t)lower8(load4(p + n - 4)) == load4(q + n - 4);
    for (size_t i = 0; i < n; i++)
        if (lower1(p[i]) != q[i])
            return 0;
    return 1;
}
