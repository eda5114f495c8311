/* fs_ws_frame: see fs_ws_frame.h. */
#include "fs_ws_frame.h"

#include <string.h>

enum { FIN = 0x80, RSV1 = 0x40, RSV2_RSV3 = 0x30, OPCODE = 0x0f, CONTROL = 0x08, MASKED = 0x80 };

static inline uint64_t load_big(const uint8_t *p, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | p[i];
    return value;
}

/* 0 or the error of a head's first byte. */
static inline int check_first(uint8_t first, unsigned allowed)
{
    unsigned opcode = first & OPCODE;
    if (first & RSV2_RSV3)
        return FS_WS_BAD_RESERVED;
    /* RFC 7692 section 6: RSV1 is for the first frame of a data message alone. */
    if ((first & RSV1)
        && !((allowed & FS_WS_DEFLATE) && (opcode == FS_WS_TEXT || opcode == FS_WS_BINARY)))
        return FS_WS_BAD_RESERVED;
    if (opcode & CONTROL) {
        if (opcode > FS_WS_PONG)
            return FS_WS_BAD_OPCODE;
        return first & FIN ? 0 : FS_WS_CUT_CONTROL;
    }
    if (opcode > FS_WS_BINARY)
        return FS_WS_BAD_OPCODE;
    if (opcode == FS_WS_CONTINUATION)
        return allowed & FS_WS_UNDER_WAY ? 0 : FS_WS_NOT_UNDER_WAY;
    return allowed & FS_WS_UNDER_WAY ? FS_WS_INTERLEAVED : 0;
}

/* A length of 2 or 8 bytes at p, of which n are there: 1 and *length, 0 for more, or an error. */
static int read_length(const uint8_t *p, size_t n, size_t size, uint64_t *length)
{
    if (size == 2) {
        if (n < 2)
            return FS_WS_MORE;
        *length = load_big(p, 2);
        return *length < 126 ? FS_WS_LONG_LENGTH : 1;
    }
    if (n > 0 && p[0] & 0x80)
        return FS_WS_HUGE_LENGTH;
    /* What fits 16 bits shows at the sixth byte. */
    if (n >= 6 && load_big(p, 6) == 0)
        return FS_WS_LONG_LENGTH;
    if (n < 8)
        return FS_WS_MORE;
    *length = load_big(p, 8);
    return 1;
}

int fs_ws_read_head(const uint8_t *p, size_t n, unsigned allowed, uint64_t most,
                    fs_ws_head *out)
{
    if (n == 0)
        return FS_WS_MORE;
    uint8_t first = p[0];
    int answer = check_first(first, allowed);
    if (answer < 0 || n == 1)
        return answer;
    if (!(p[1] & MASKED))
        return FS_WS_UNMASKED;
    uint64_t length = p[1] & 0x7f;
    size_t at = 2;
    if (length > 125) {
        if (first & CONTROL)
            return FS_WS_LONG_CONTROL;
        size_t size = length == 126 ? 2 : 8;
        answer = read_length(p + 2, n - 2, size, &length);
        if (answer <= 0)
            return answer;
        at += size;
    }
    if (length > most && !(first & CONTROL))
        return FS_WS_OVER_LIMIT;
    if (n < at + 4)
        return FS_WS_MORE;
    memcpy(out->key, p + at, 4);
    out->length = length;
    out->opcode = first & OPCODE;
    out->fin = first >> 7;
    out->rsv1 = first >> 6 & 1;
    return (int)at + 4;
}

size_t fs_ws_write_head(uint8_t *dst, uint8_t first, uint64_t n)
{
    dst[0] = first;
    if (n < 126) {
        dst[1] = (uint8_t)n;
        return 2;
    }
    size_t size = n < 65536 ? 2 : 8;
    dst[1] = size == 2 ? 126 : 127;
    for (size_t i = size; i > 0; i--, n >>= 8)
        dst[1 + i] = (uint8_t)n;
    return 2 + size;
}

int fs_ws_close_code_ok(unsigned code)
{
    if (code >= 1000 && code <= 1014)
        return code != 1004 && code != 1005 && code != 1006;
    return code >= 3000 && code <= 4999;
}
