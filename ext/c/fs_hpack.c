/* fs_hpack: see fs_hpack.h. */
#include "fs_hpack.h"

#include "fs_hpack_tables.h"
#include "fs_huffman.h"

#include <string.h>

enum { HUFFMAN = 0x80, CONTINUATION_MOST = 5 };

const fs_hpack_pair *fs_hpack_static_pair(unsigned index)
{
    return &fs_hpack_static[index - 1];
}

int fs_hpack_read_integer(const uint8_t *p, size_t n, unsigned prefix, uint32_t *value)
{
    if (n == 0)
        return FS_HPACK_CUT;
    uint64_t sum = p[0] & ((1u << prefix) - 1);
    int used = 1;
    if (sum == (1u << prefix) - 1) {
        uint8_t byte;
        do {
            if (used > CONTINUATION_MOST)
                return FS_HPACK_BAD_INTEGER;
            if ((size_t)used == n)
                return FS_HPACK_CUT;
            byte = p[used];
            sum += (uint64_t)(byte & 0x7f) << (7 * (used - 1));
            used++;
        } while (byte & 0x80);
        if (sum > UINT32_MAX)
            return FS_HPACK_BAD_INTEGER;
    }
    *value = (uint32_t)sum;
    return used;
}

static int64_t read_string(const uint8_t *p, size_t n, fs_hpack_string *out)
{
    int used = fs_hpack_read_integer(p, n, 7, &out->n);
    if (used < 0)
        return used;
    if (out->n > n - (size_t)used)
        return FS_HPACK_CUT;
    out->p = p + used;
    out->huffman = p[0] >> 7;
    return (int64_t)used + out->n;
}

/* The kind of the representation and its prefix's bits, by the first bits; section 6. */
static inline unsigned kind_of(uint8_t first, unsigned *prefix)
{
    if (first & 0x80) {
        *prefix = 7;
        return FS_HPACK_INDEXED;
    }
    if (first & 0x40) {
        *prefix = 6;
        return FS_HPACK_INDEXING;
    }
    if (first & 0x20) {
        *prefix = 5;
        return FS_HPACK_SIZE;
    }
    *prefix = 4;
    return first & 0x10 ? FS_HPACK_NEVER : FS_HPACK_WITHOUT;
}

int64_t fs_hpack_read(const uint8_t *p, size_t n, fs_hpack_item *out)
{
    unsigned prefix, kind = kind_of(p[0], &prefix);
    int64_t at = fs_hpack_read_integer(p, n, prefix, &out->index), used;
    if (at < 0)
        return at;
    out->kind = (uint8_t)kind;
    if (kind == FS_HPACK_INDEXED)
        return out->index == 0 ? FS_HPACK_BAD_INDEX : at;
    if (kind == FS_HPACK_SIZE)
        return at;
    if (out->index == 0) {
        used = read_string(p + at, n - (size_t)at, &out->name);
        if (used < 0)
            return used;
        at += used;
    }
    used = read_string(p + at, n - (size_t)at, &out->value);
    return used < 0 ? used : at + used;
}

size_t fs_hpack_write_integer(uint8_t *dst, uint8_t first, unsigned prefix, uint32_t value)
{
    uint32_t most = (1u << prefix) - 1;
    size_t at = 1;
    if (value < most) {
        dst[0] = (uint8_t)(first | value);
        return 1;
    }
    dst[0] = (uint8_t)(first | most);
    for (value -= most; value >= 0x80; value >>= 7)
        dst[at++] = (uint8_t)(value | 0x80);
    dst[at++] = (uint8_t)value;
    return at;
}

size_t fs_hpack_write_string(uint8_t *dst, const uint8_t *p, uint32_t n)
{
    size_t coded = fs_huffman_length(p, n);
    if (coded < n) {
        size_t at = fs_hpack_write_integer(dst, HUFFMAN, 7, (uint32_t)coded);
        return at + fs_huffman_encode(dst + at, p, n);
    }
    size_t at = fs_hpack_write_integer(dst, 0, 7, n);
    if (n > 0)
        memcpy(dst + at, p, n);
    return at + n;
}
