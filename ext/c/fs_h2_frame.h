/* fs_h2_frame: the heads of HTTP/2 frames, RFC 9113 section 4.1, and what a head or a setting
 * can be wrong in by itself, section 6. */
#ifndef FS_H2_FRAME_H
#define FS_H2_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* Frame types, RFC 9113 section 6 and RFC 9218 section 7.1. */
enum {
    FS_H2_DATA = 0,
    FS_H2_HEADERS = 1,
    FS_H2_PRIORITY = 2,
    FS_H2_RST_STREAM = 3,
    FS_H2_SETTINGS = 4,
    FS_H2_PUSH_PROMISE = 5,
    FS_H2_PING = 6,
    FS_H2_GOAWAY = 7,
    FS_H2_WINDOW_UPDATE = 8,
    FS_H2_CONTINUATION = 9,
    FS_H2_PRIORITY_UPDATE = 16
};

/* Flags; which frame has which: section 6. */
enum {
    FS_H2_END_STREAM = 0x01,
    FS_H2_ACK = 0x01,
    FS_H2_END_HEADERS = 0x04,
    FS_H2_PADDED = 0x08,
    FS_H2_HAS_PRIORITY = 0x20
};

/* Error codes, section 7. */
enum {
    FS_H2_NO_ERROR = 0,
    FS_H2_PROTOCOL_ERROR = 1,
    FS_H2_INTERNAL_ERROR = 2,
    FS_H2_FLOW_CONTROL_ERROR = 3,
    FS_H2_SETTINGS_TIMEOUT = 4,
    FS_H2_STREAM_CLOSED = 5,
    FS_H2_FRAME_SIZE_ERROR = 6,
    FS_H2_REFUSED_STREAM = 7,
    FS_H2_CANCEL = 8,
    FS_H2_COMPRESSION_ERROR = 9,
    FS_H2_CONNECT_ERROR = 10,
    FS_H2_ENHANCE_YOUR_CALM = 11,
    FS_H2_INADEQUATE_SECURITY = 12,
    FS_H2_HTTP_1_1_REQUIRED = 13
};

/* Settings, section 6.5.2, RFC 8441 section 3 and RFC 9218 section 2.1. */
enum {
    FS_H2_HEADER_TABLE_SIZE = 1,
    FS_H2_ENABLE_PUSH = 2,
    FS_H2_MAX_CONCURRENT_STREAMS = 3,
    FS_H2_INITIAL_WINDOW_SIZE = 4,
    FS_H2_MAX_FRAME_SIZE = 5,
    FS_H2_MAX_HEADER_LIST_SIZE = 6,
    FS_H2_ENABLE_CONNECT_PROTOCOL = 8,
    FS_H2_NO_RFC7540_PRIORITIES = 9
};

enum {
    FS_H2_HEAD_LEN = 9,
    FS_H2_SETTING_LEN = 6,
    FS_H2_LEAST_FRAME = 16384,       /* the least SETTINGS_MAX_FRAME_SIZE, section 4.2 */
    FS_H2_MOST_FRAME = (1 << 24) - 1
};

/* What is wrong with a head. Each costs the connection but for FS_H2_BAD_PRIORITY. */
enum {
    FS_H2_LONG_FRAME = -90,          /* FRAME_SIZE_ERROR: longer than we take */
    FS_H2_BAD_LENGTH = -91,          /* FRAME_SIZE_ERROR: not a length of this type */
    FS_H2_BAD_PRIORITY = -92,        /* FRAME_SIZE_ERROR of the stream: PRIORITY's length */
    FS_H2_NO_STREAM = -93,           /* PROTOCOL_ERROR: a stream's frame on stream 0 */
    FS_H2_ON_STREAM = -94,           /* PROTOCOL_ERROR: the connection's frame on a stream */
    FS_H2_PUSHED = -95,              /* PROTOCOL_ERROR: a client cannot push */
    FS_H2_NO_BLOCK = -96,            /* PROTOCOL_ERROR: CONTINUATION of nothing */
    FS_H2_INTERLEAVED = -97          /* PROTOCOL_ERROR: another frame inside a field block */
};

typedef struct {
    uint32_t length; /* of the payload, below 2^24 */
    uint32_t stream; /* without the reserved bit */
    uint8_t type;
    uint8_t flags;
} fs_h2_head;

/* Reads the head of FS_H2_HEAD_LEN bytes at p. */
void fs_h2_read_head(const uint8_t *p, fs_h2_head *out);

/* Writes a head; dst has room for FS_H2_HEAD_LEN. n is below 2^24, stream below 2^31. */
void fs_h2_write_head(uint8_t *dst, uint32_t n, uint8_t type, uint8_t flags, uint32_t stream);

/* 0, or what is wrong with a client's head where frames of `most` bytes are taken and the field
 * block of the stream `block` is under way (0: none).  A type that nobody knows is wrong only
 * in its size and inside a block. */
int fs_h2_check_head(const fs_h2_head *head, uint32_t most, uint32_t block);

/* FS_H2_NO_ERROR, or the error code that a client's setting costs the connection. */
int fs_h2_check_setting(uint16_t id, uint32_t value);

static inline uint32_t fs_h2_load16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t fs_h2_load32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void fs_h2_store32(uint8_t *dst, uint32_t value)
{
    dst[0] = (uint8_t)(value >> 24);
    dst[1] = (uint8_t)(value >> 16);
    dst[2] = (uint8_t)(value >> 8);
    dst[3] = (uint8_t)value;
}

#endif
