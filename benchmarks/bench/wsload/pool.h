/* The messages of a run, framed and masked once; and the comparison of compressed echoes.
 *
 * A pool's file is made of little-endian 32-bit words and bytes: how many messages; then for each
 * the length of its content, the length of its compressed form (0: it is sent as it is), the
 * content and the compressed form.
 */
#ifndef WSLOAD_POOL_H
#define WSLOAD_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct message {
    const uint8_t *content;
    size_t len;
    size_t frame_at, frame_len; /* in the pool's frames */
};

struct pool {
    unsigned count;
    struct message *messages;
    uint8_t *frames; /* all of them, one behind the other */
    size_t frames_len, longest;
};

/* How many bytes follow a frame's second byte as its length, RFC 6455 section 5.2. */
static inline unsigned len_bytes(uint8_t second)
{
    unsigned short_len = second & 0x7f;
    return short_len < 126 ? 0 : short_len == 126 ? 2 : 8;
}

/* Writes a client's frame to `out`; answers its length. */
static inline size_t write_masked(uint8_t *out, uint8_t first, const uint8_t *data, size_t len)
{
    static uint32_t random = 2463534242u; /* xorshift: repeatable, and each frame has its own mask */
    uint8_t mask[4];
    size_t at = 2;
    random ^= random << 13, random ^= random >> 17, random ^= random << 5;
    memcpy(mask, &random, 4);
    out[0] = first;
    out[1] = 0x80 | (uint8_t)(len < 126 ? len : len < 65536 ? 126 : 127);
    for (unsigned left = len_bytes(out[1]); left > 0; left--)
        out[at++] = (uint8_t)(len >> 8 * (left - 1));
    memcpy(out + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < len; i++)
        out[at + i] = data[i] ^ mask[i % 4];
    return at + len;
}

static inline uint8_t *file_read(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    if (file == NULL)
        return NULL;
    if (fseek(file, 0, SEEK_END) == 0 && ftell(file) > 0) {
        *len = (size_t)ftell(file);
        data = malloc(*len);
        rewind(file);
        if (fread(data, 1, *len, file) != *len)
            data = NULL;
    }
    fclose(file);
    return data;
}

static inline size_t word(const uint8_t *at)
{
    return at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
}

/* Reads the file and frames its messages with `opcode`; answers whether it is no such file. */
static inline bool pool_read(struct pool *pool, const char *path, uint8_t opcode)
{
    size_t len = 0, at = 4;
    uint8_t *data = file_read(path, &len);
    if (data == NULL || len < 4 || word(data) == 0 || word(data) > len / 8)
        return true;
    pool->count = (unsigned)word(data);
    pool->messages = calloc(pool->count, sizeof *pool->messages);
    pool->frames = malloc(len + 14u * pool->count);
    for (unsigned i = 0; i < pool->count; i++) {
        struct message *message = &pool->messages[i];
        if (len - at < 8 || len - at - 8 < word(data + at) + word(data + at + 4))
            return true;
        size_t content = word(data + at), packed = word(data + at + 4);
        at += 8;
        message->content = data + at;
        message->len = content;
        message->frame_at = pool->frames_len;
        message->frame_len = write_masked(
            pool->frames + pool->frames_len, (uint8_t)(0x80 | (packed ? 0x40 : 0) | opcode),
            data + at + (packed ? content : 0), packed ? packed : content);
        pool->frames_len += message->frame_len;
        at += content + packed;
        if (content > pool->longest)
            pool->longest = content;
    }
    return at != len;
}

#ifdef WITH_ZLIB
#include <zlib.h>
enum { CAN_INFLATE = 1 };

/* What the server compressed on one connection, whether or not its context goes on. */
struct inflater {
    z_stream stream;
};

static inline struct inflater *inflater_new(void)
{
    struct inflater *inflater = calloc(1, sizeof *inflater);
    return inflater && inflateInit2(&inflater->stream, -15) == Z_OK ? inflater : NULL;
}

/* Inflates data[0..n), compares it with the message from *got on and moves *got; 0 if all agrees. */
static inline int inflate_compare(struct inflater *inflater, const struct message *message,
                                  size_t *got, const uint8_t *data, size_t n)
{
    static uint8_t out[65536];
    z_stream *stream = &inflater->stream;
    stream->next_in = (uint8_t *)data;
    stream->avail_in = (unsigned)n;
    do {
        stream->next_out = out;
        stream->avail_out = sizeof out;
        int told = inflate(stream, Z_SYNC_FLUSH);
        size_t made = sizeof out - stream->avail_out;
        if ((told != Z_OK && told != Z_BUF_ERROR) || made > message->len - *got
            || memcmp(message->content + *got, out, made) != 0)
            return -1;
        *got += made;
    } while (stream->avail_out == 0 || stream->avail_in > 0);
    return 0;
}
#else
enum { CAN_INFLATE = 0 };

struct inflater {
    char unused;
};

static inline struct inflater *inflater_new(void)
{
    return NULL;
}

static inline int inflate_compare(struct inflater *inflater, const struct message *message,
                                  size_t *got, const uint8_t *data, size_t n)
{
    (void)inflater, (void)message, (void)got, (void)data, (void)n;
    return 0;
}
#endif

#endif
