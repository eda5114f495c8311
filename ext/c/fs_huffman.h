/* fs_huffman: the code of HPACK's strings, RFC 7541 section 5.2 and appendix B. */
#ifndef FS_HUFFMAN_H
#define FS_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>

enum {
    FS_HUFFMAN_BAD_END = -80, /* it ends in more than 7 bits of no symbol, or not in EOS's bits */
    FS_HUFFMAN_BAD_EOS = -81  /* the symbol EOS is part of it */
};

/* Decodes the n bytes at src. Returns the length of the text, of which the first `room` bytes
 * are written to dst (none where room is 0), or an error: then what dst holds means nothing. */
int64_t fs_huffman_decode(uint8_t *dst, size_t room, const uint8_t *src, size_t n);

/* The most bytes that n bytes can decode to: no code has less than 5 bits. */
static inline size_t fs_huffman_most(size_t n)
{
    return n + n / 5 * 3 + 3;
}

/* Bytes that the n bytes at src encode to. */
size_t fs_huffman_length(const uint8_t *src, size_t n);

/* Writes them; dst has room for just that many. Returns their number. */
size_t fs_huffman_encode(uint8_t *dst, const uint8_t *src, size_t n);

#endif
