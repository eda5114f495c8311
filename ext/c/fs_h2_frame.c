/* fs_h2_frame: see fs_h2_frame.h. */
#include "fs_h2_frame.h"

static const uint32_t STREAM_BITS = 0x7fffffff;
static const uint32_t MOST_WINDOW = 0x7fffffff;

void fs_h2_read_head(const uint8_t *p, fs_h2_head *out)
{
    out->length = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
    out->type = p[3];
    out->flags = p[4];
    out->stream = fs_h2_load32(p + 5) & STREAM_BITS;
}

void fs_h2_write_head(uint8_t *dst, uint32_t n, uint8_t type, uint8_t flags, uint32_t stream)
{
    dst[0] = (uint8_t)(n >> 16);
    dst[1] = (uint8_t)(n >> 8);
    dst[2] = (uint8_t)n;
    dst[3] = type;
    dst[4] = flags;
    fs_h2_store32(dst + 5, stream);
}

/* 0 or the error of a frame that belongs to a stream and has from `least` bytes on. */
static inline int on_stream(const fs_h2_head *head, uint32_t least)
{
    if (head->stream == 0)
        return FS_H2_NO_STREAM;
    return head->length < least ? FS_H2_BAD_LENGTH : 0;
}

/* The same of one that belongs to the connection. */
static inline int on_connection(const fs_h2_head *head, uint32_t least)
{
    if (head->stream != 0)
        return FS_H2_ON_STREAM;
    return head->length < least ? FS_H2_BAD_LENGTH : 0;
}

static inline int exactly(const fs_h2_head *head, uint32_t length)
{
    return head->length == length ? 0 : FS_H2_BAD_LENGTH;
}

/* Bytes that HEADERS or DATA have before their content, sections 6.1 and 6.2. */
static inline uint32_t before_content(const fs_h2_head *head)
{
    uint32_t n = head->flags & FS_H2_PADDED ? 1 : 0;
    return head->type == FS_H2_HEADERS && head->flags & FS_H2_HAS_PRIORITY ? n + 5 : n;
}

int fs_h2_check_head(const fs_h2_head *head, uint32_t most, uint32_t block)
{
    int bad;
    /* Section 6.2: nothing comes between the frames of a field block. */
    if (block != 0 && (head->type != FS_H2_CONTINUATION || head->stream != block))
        return FS_H2_INTERLEAVED;
    if (head->length > most)
        return FS_H2_LONG_FRAME;
    switch (head->type) {
    case FS_H2_DATA:
    case FS_H2_HEADERS:
        return on_stream(head, before_content(head));
    case FS_H2_PRIORITY:
        bad = on_stream(head, 0);
        return bad || head->length == 5 ? bad : FS_H2_BAD_PRIORITY;
    case FS_H2_RST_STREAM:
        bad = on_stream(head, 0);
        return bad ? bad : exactly(head, 4);
    case FS_H2_SETTINGS:
        bad = on_connection(head, 0);
        if (bad)
            return bad;
        if (head->flags & FS_H2_ACK)
            return exactly(head, 0);
        return head->length % FS_H2_SETTING_LEN ? FS_H2_BAD_LENGTH : 0;
    case FS_H2_PUSH_PROMISE:
        return FS_H2_PUSHED;
    case FS_H2_PING:
        bad = on_connection(head, 0);
        return bad ? bad : exactly(head, 8);
    case FS_H2_GOAWAY:
        return on_connection(head, 8);
    case FS_H2_WINDOW_UPDATE:
        return exactly(head, 4);
    case FS_H2_CONTINUATION:
        return block == 0 ? FS_H2_NO_BLOCK : 0;
    case FS_H2_PRIORITY_UPDATE:
        return on_connection(head, 4);
    default:
        return 0;
    }
}

int fs_h2_check_setting(uint16_t id, uint32_t value)
{
    switch (id) {
    case FS_H2_ENABLE_PUSH:
    case FS_H2_NO_RFC7540_PRIORITIES:
        return value <= 1 ? FS_H2_NO_ERROR : FS_H2_PROTOCOL_ERROR;
    case FS_H2_INITIAL_WINDOW_SIZE:
        return value <= MOST_WINDOW ? FS_H2_NO_ERROR : FS_H2_FLOW_CONTROL_ERROR;
    case FS_H2_MAX_FRAME_SIZE:
        return value >= FS_H2_LEAST_FRAME && value <= FS_H2_MOST_FRAME ? FS_H2_NO_ERROR
                                                                        : FS_H2_PROTOCOL_ERROR;
    default:
        return FS_H2_NO_ERROR;
    }
}
