/* fs_ws_frame: the heads of WebSocket frames, RFC 6455 section 5.2.
 *
 * Strict: what RFC 6455 forbids a client is refused at the first byte that shows it, so
 * the answer does not depend on how the input was cut.
 */
#ifndef FS_WS_FRAME_H
#define FS_WS_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum {
    FS_WS_CONTINUATION = 0,
    FS_WS_TEXT = 1,
    FS_WS_BINARY = 2,
    FS_WS_CLOSE = 8,
    FS_WS_PING = 9,
    FS_WS_PONG = 10
};

/* What the connection's state allows the next frame. */
enum {
    FS_WS_UNDER_WAY = 1, /* a fragmented message: continuations, and no other data */
    FS_WS_DEFLATE = 2    /* permessage-deflate was agreed: RSV1 on a message's first frame */
};

enum {
    FS_WS_MORE = 0,               /* all is well so far, the head goes on */
    FS_WS_BAD_RESERVED = -50,     /* 1002: a reserved bit that no extension gave a meaning */
    FS_WS_BAD_OPCODE = -51,       /* 1002: reserved */
    FS_WS_CUT_CONTROL = -52,      /* 1002: a control frame without FIN */
    FS_WS_NOT_UNDER_WAY = -53,    /* 1002: a continuation of no message */
    FS_WS_INTERLEAVED = -54,      /* 1002: a new message while one is under way */
    FS_WS_UNMASKED = -55,         /* 1002: every client masks, section 5.1 */
    FS_WS_LONG_CONTROL = -56,     /* 1002: a control frame with more than 125 bytes */
    FS_WS_LONG_LENGTH = -57,      /* 1002: a length not in its shortest form */
    FS_WS_HUGE_LENGTH = -58,      /* 1002: the top bit of a 64-bit length is set */
    FS_WS_OVER_LIMIT = -59        /* 1009: data beyond what the caller takes */
};

enum {
    FS_WS_READ_HEAD_MOST = 14,    /* bytes of a client's head */
    FS_WS_WRITE_HEAD_MOST = 10    /* and of a server's */
};

typedef struct {
    uint64_t length; /* of the payload */
    uint8_t key[4];
    uint8_t opcode;
    uint8_t fin;     /* 0 or 1 */
    uint8_t rsv1;    /* 0 or 1 */
} fs_ws_head;

/* Reads the client's head that begins at p, of which n bytes are there.  `allowed` is of
 * FS_WS_UNDER_WAY and FS_WS_DEFLATE, `most` the longest payload a data frame may announce.
 * Returns the head's bytes (6, 8 or 14) with *out set, FS_WS_MORE, or an error. */
int fs_ws_read_head(const uint8_t *p, size_t n, unsigned allowed, uint64_t most,
                    fs_ws_head *out);

/* Writes a server's head, which is never masked, in its shortest form: `first` is its first
 * byte, `n` (below 2^63) the payload's length.  dst has room for FS_WS_WRITE_HEAD_MOST;
 * returns the bytes written. */
size_t fs_ws_write_head(uint8_t *dst, uint8_t first, uint64_t n);

/* 1 where a close frame may carry `code`, RFC 6455 section 7.4 and the registry it set up
 * (1012 to 1014 came later), else 0. */
int fs_ws_close_code_ok(unsigned code);

#endif
