/* fs_huffman: see fs_huffman.h.
 *
 * A decoder's `bits` hold the next `have` bits of the input at the left of a word, inverted: the
 * zeros that follow them are the ones that a text is padded with. A code is looked up by the bits
 * that come first; the few longer ones are found by their length, for the code is canonical: read
 * as numbers from the left, longer codes are the larger ones.
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

/* The next 64 bits of the input, inverted. */
static inline uint64_t load_inverted(const uint8_t *p)
{
    return ~((uint64_t)p[0] << 56 | (uint64_t)p[1] << 48 | (uint64_t)p[2] << 40
             | (uint64_t)p[3] << 32 | (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16
             | (uint64_t)p[6] << 8 | p[7]);
}

/* The same where but `left` bytes may be left of n, with zeros behind them. */
static inline uint64_t load_rest(const uint8_t *src, size_t left, size_t n)
{
    if (left >= 8)
        return load_inverted(src);
    if (n >= 8)
        return load_inverted(src + left - 8) << (64 - 8 * left);
    uint64_t bits = 0;
    for (size_t i = 0; i < left; i++)
        bits |= (uint64_t)(uint8_t)~src[i] << (56 - 8 * i);
    return bits;
}

/* The end of a decoding, checked symbol by symbol: `have` of `bits`, then the last `left` of the
 * n bytes, at src. */
static int64_t decode_rest(uint8_t *dst, size_t room, size_t out, uint64_t bits, unsigned have,
                           const uint8_t *src, size_t left, size_t n)
{
    for (;;) {
        if (have < FS_HUFFMAN_LONGEST) {
            if (left > 0) {
                size_t whole = (63 - have) >> 3;
                bits |= load_rest(src, left, n) >> have;
                whole = whole < left ? whole : left;
                src += whole;
                left -= whole;
                have += 8 * (unsigned)whole;
            }
            /* Section 5.2: what is left may be padding, less than a byte of ones. */
            if (bits == 0 && have < 8)
                return (int64_t)out;
        }
        unsigned entry = fs_huffman_quick[bits >> (64 - FS_HUFFMAN_QUICK)];
        unsigned used = entry & 63, symbol = entry >> 8;
        if (entry == 0)
            symbol = long_symbol(~bits, &used);
        if (used > have)
            return FS_HUFFMAN_BAD_END;
        if (symbol == FS_HUFFMAN_EOS)
            return FS_HUFFMAN_BAD_EOS;
        if (out < room)
            dst[out] = (uint8_t)symbol;
        out++;
        bits <<= used;
        have -= used;
    }
}

int64_t fs_huffman_decode(uint8_t *dst, size_t room, const uint8_t *src, size_t n)
{
    enum { STEP = 56 / FS_HUFFMAN_QUICK };
    const uint8_t *end = src + n;
    uint64_t bits = 0;
    unsigned have = 0, entry, used, symbol;
    size_t out = 0;
    while (end - src >= 8 && room - out >= STEP) {
        /* 56 bits or more; what of the last byte does not fit is loaded again. */
        bits |= load_inverted(src) >> have;
        src += (63 - have) >> 3;
        have |= 56;
        for (unsigned i = 0; i < STEP; i++) {
            entry = fs_huffman_quick[bits >> (64 - FS_HUFFMAN_QUICK)];
            if (entry == 0)
                break;
            dst[out++] = (uint8_t)(entry >> 8);
            bits <<= entry & 63;
            have -= entry & 63;
        }
        if (entry == 0 && have >= FS_HUFFMAN_LONGEST) {
            symbol = long_symbol(~bits, &used);
            if (symbol == FS_HUFFMAN_EOS)
                return FS_HUFFMAN_BAD_EOS;
            dst[out++] = (uint8_t)symbol;
            bits <<= used;
            have -= used;
        }
    }
    bits &= ~(UINT64_MAX >> have);
    return decode_rest(dst, room, out, bits, have, src, (size_t)(end - src), n);
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
