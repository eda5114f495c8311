/* fs_chunked: the chunked transfer coding, RFC 9112 section 7.1, up to and
 * including the last chunk's line.  What follows (trailers and the empty
 * line) is a field section for fs_http1_fields.
 *
 * Strict: a size is 1..16 hex digits and nothing but them (no sign, no 0x, no
 * white space before), every line ends in CRLF, a chunk's data is followed by
 * exactly CRLF, extensions follow the grammar *( BWS ";" BWS ext-name [ BWS "="
 * BWS ( token / quoted-string ) ] ) and are dropped.  The first offence in byte order
 * decides, at the byte itself, so the answer does not depend on how the input was cut.
 */
#ifndef FS_CHUNKED_H
#define FS_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

enum {
    FS_CHUNK_MORE = 0,            /* all input used, nothing to hand out */
    FS_CHUNK_DATA = 1,            /* *data_off, *data_len say where in p the data is */
    FS_CHUNK_LAST = 2,            /* the last chunk's line is over; trailers follow */
    FS_CHUNK_BAD_SIZE = -20,      /* 400: no digit, a 17th, or behind the digits a byte that
                                     begins neither CRLF nor an extension */
    FS_CHUNK_BAD_EXTENSION = -21, /* 400: grammar (a CR where the extension may not end
                                     too), control bytes, or over the limit */
    FS_CHUNK_BAD_END = -22,       /* 400: bare LF in a line, a CR without LF behind it, or data
                                     not followed by CRLF */
    FS_CHUNK_TOO_BIG = -23        /* 413: the size does not fit 63 bits */
};

typedef struct {
    uint64_t left;          /* of the current chunk: data bytes not yet handed out; set when
                               its line is over, so the same however the line was cut */
    uint64_t size;          /* what the digits read so far make */
    uint32_t extensions;    /* bytes between size and CR seen in this body so far */
    uint32_t limit;         /* most bytes of extensions in one body */
    uint8_t state;
    uint8_t digits;
} fs_chunked;

/* Readies c for a new body.  extension_limit: bytes over all chunks, so that
 * a sender cannot hide endless work in them (CVE-2023-39326 and its kin). */
void fs_chunked_init(fs_chunked *c, uint32_t extension_limit);

/* Reads on in n bytes at p; *used says how many are done with, which after an error is
 * the offset of the offending byte.  *data_off and *data_len are 0 but for FS_CHUNK_DATA,
 * and then *data_len > 0.  One call hands
 * out at most one run of data, so call until FS_CHUNK_MORE, FS_CHUNK_LAST or an
 * error.  After FS_CHUNK_LAST or an error c must not be used again before init. */
int fs_chunked_next(fs_chunked *c, const uint8_t *p, size_t n, size_t *used,
                    size_t *data_off, size_t *data_len);

/* Writes a chunk's head (size in lower-case hex and CRLF) for size > 0 at dst,
 * which has room for 18 bytes; returns its length. */
size_t fs_chunked_write_head(uint8_t *dst, uint64_t size);

#endif
