/* fs_huffman: see fs_huffman.h.
 *
 * A decoder's `bits` hold the next `have` bits of the input at the left of a word. A code is
 * looked up by the bits that come first; the few longer ones are found by their length, for the
 * code is canonical: read as numbers from the left, longer codes are the larger ones.
 */
#include "fs_huffman.h"

#include "fs_hpack_tables.h"

#include <string.h>

/* The symbol that `bits` begin with, none of the quick ones; *used is set to its bits. */
static unsigned long_symbol(uint64_t bits, unsigned *used)
{
    uint32_t next = (uint32_t)(bits >> 32);
    size_t row = 0, last = sizeof fs_huffman_long / sizeof *fs_huffman_long - 1;
    while (row < last && next >= fs_huffman_long[row].end)
        row++;
    *used = fs_huffman_long[row].bits;
    return fs_huffman_symbols[fs_huffman_long[row].place
                              + (next >> (32 - *used)) - fs_huffman_long[row].first];
}

static inline uint64_t load_big(const uint8_t *p)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value = value << 8 | p[i];
    return value;
}

int64_t fs_huffman_decode(uint8_t *dst, size_t room, const uint8_t *src, size_t n)
{
    enum { STEP = 56 / FS_HUFFMAN_QUICK };
    const uint8_t *end = src + n;
    uint64_t bits = 0;
    unsigned have = 0, used, symbol;
    size_t out = 0;
    while (end - src >= 8 && room - out >= STEP) {
        /* Fills up to 56 bits or more; what of the last byte does not fit comes again. */
        bits |= load_big(src) >> have;
        src += (63 - have) >> 3;
        have |= 56;
        for (unsigned i = 0; i < STEP; i++) {
            unsigned entry = fs_huffman_quick[bits >> (64 - FS_HUFFMAN_QUICK)];
            if (entry == 0) {
                /* 30 bits may be more than are left here. */
                if (i > 0)
                    break;
                symbol = long_symbol(bits, &used);
                if (symbol == FS_HUFFMAN_EOS)
                    return FS_HUFFMAN_BAD_EOS;
                entry = used << 8 | symbol;
                i = STEP;
            }
            dst[out++] = (uint8_t)entry;
            bits <<= entry >> 8;
            have -= entry >> 8;
        }
    }
    /* Here only the bits that count are taken from `bits`. */
    bits &= ~(UINT64_MAX >> have);
    for (;;) {
        while (have < 56 && src < end) {
            bits |= (uint64_t)*src++ << (56 - have);
            have += 8;
        }
        if (have == 0)
            return (int64_t)out;
        /* Behind the end the bits are EOS's, as in a well-formed one before it: section 5.2. */
        uint64_t next = bits | (UINT64_MAX >> have);
        unsigned entry = fs_huffman_quick[next >> (64 - FS_HUFFMAN_QUICK)];
        used = entry >> 8;
        symbol = entry & 0xff;
        if (entry == 0)
            symbol = long_symbol(next, &used);
        if (used > have)
            break;
        if (symbol == FS_HUFFMAN_EOS)
            return FS_HUFFMAN_BAD_EOS;
        if (out < room)
            dst[out] = (uint8_t)symbol;
        out++;
        bits <<= used;
        have -= used;
    }
    if (have > 7 || ~bits >> (64 - have))
        return FS_HUFFMAN_BAD_END;
    return (int64_t)out;
}

size_t fs_huffman_length(const uint8_t *src, size_t n)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++)
        bits += fs_huffman_codes[src[i]].bits;
    return (size_t)((bits + 7) / 8);
}

size_t fs_huffman_encode(uint8_t *dst, const uint8_t *src, size_t n)
{
    uint8_t *begin = dst;
    uint64_t bits = 0; /* the last `have` are not written; fewer than 32 before each symbol */
    unsigned have = 0;
    for (size_t i = 0; i < n; i++) {
        bits = bits << fs_huffman_codes[src[i]].bits | fs_huffman_codes[src[i]].code;
        have += fs_huffman_codes[src[i]].bits;
        if (have >= 32) {
            have -= 32;
            uint32_t word = (uint32_t)(bits >> have);
            for (unsigned k = 0; k < 4; k++)
                *dst++ = (uint8_t)(word >> (24 - 8 * k));
        }
    }
    /* Section 5.2: padded with the first bits of EOS, which are ones. */
    unsigned padding = (8 - have % 8) % 8;
    bits = bits << padding | ((1u << padding) - 1);
    for (have += padding; have > 0; have -= 8)
        *dst++ = (uint8_t)(bits >> (have - 8));
    return (size_t)(dst - begin);
}
