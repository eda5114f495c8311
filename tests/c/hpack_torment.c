/* The leaves of HPACK under the sanitizers: random bytes (seeded, so a failure repeats), each
 * input and each output in a heap block of just its size.  Beyond "no crash" it checks what holds
 * for any input: what is decoded encodes to the same bytes, and the reverse.
 *
 *   hpack_torment SECONDS SEED
 */
#include "fs_hpack.h"
#include "fs_huffman.h"

#include "dice.h"

#define ROOM 300

static uint8_t *block(size_t n)
{
    uint8_t *room = malloc(n ? n : 1);
    if (room == NULL)
        abort();
    return room;
}

static void torment_encoding(const uint8_t *data, size_t n)
{
    uint8_t *text = exact(data, n);
    size_t size = fs_huffman_length(text, n);
    uint8_t *coded = block(size), *again = block(n);
    demand(fs_huffman_encode(coded, text, n) == size, "an encoding has the length it was told");
    demand(fs_huffman_decode(again, n, coded, size) == (int64_t)n, "it decodes to as much");
    demand(n <= fs_huffman_most(size), "no more than the most");
    demand(memcmp(again, text, n) == 0, "what is encoded decodes to itself");
    free(text);
    free(coded);
    free(again);
}

static void torment_decoding(const uint8_t *data, size_t n)
{
    uint8_t *coded = exact(data, n);
    int64_t length = fs_huffman_decode(NULL, 0, coded, n);
    demand(length >= 0 || length == FS_HUFFMAN_BAD_END || length == FS_HUFFMAN_BAD_EOS,
           "an answer is a length or an error");
    size_t room = length > 0 ? roll((uint32_t)length + 2) : roll(64);
    uint8_t *text = block(room);
    demand(fs_huffman_decode(text, room, coded, n) == length, "whatever the room");
    free(text);
    if (length >= 0) {
        text = block((size_t)length);
        demand(fs_huffman_decode(text, (size_t)length, coded, n) == length, "or with just enough");
        demand(fs_huffman_length(text, (size_t)length) == n, "one text has one code");
        uint8_t *again = block(n);
        fs_huffman_encode(again, text, (size_t)length);
        demand(memcmp(again, coded, n) == 0, "with these very bytes");
        free(again);
        free(text);
    }
    free(coded);
}

static void demand_string(const fs_hpack_string *text, const uint8_t *p, const uint8_t *end)
{
    demand(text->p > p && text->p <= end && text->n <= (size_t)(end - text->p)
           && text->huffman <= 1, "a string is of the representation");
}

static void torment_block(const uint8_t *data, size_t n)
{
    uint8_t *p = exact(data, n);
    for (size_t at = 0; at < n;) {
        fs_hpack_item item = {0};
        int64_t used = fs_hpack_read(p + at, n - at, &item);
        if (used < 0) {
            demand(used <= FS_HPACK_CUT && used >= FS_HPACK_BAD_INDEX, "errors have names");
            break;
        }
        demand(used >= 1 && (size_t)used <= n - at, "what it takes is there");
        const uint8_t *end = p + at + used;
        if (item.kind != FS_HPACK_INDEXED && item.kind != FS_HPACK_SIZE) {
            if (item.index == 0)
                demand_string(&item.name, p + at, end);
            demand_string(&item.value, p + at, end);
            demand(item.value.p + item.value.n == end, "the value is its last");
        }
        at += (size_t)used;
    }
    free(p);
}

static void torment_writing(const uint8_t *data, size_t n)
{
    unsigned prefix = 1 + roll(8);
    uint32_t value = (uint32_t)(dice >> (32 + roll(32))), got = 0;
    uint8_t integer[FS_HPACK_INTEGER_MOST];
    size_t size = fs_hpack_write_integer(integer, 0, prefix, value);
    uint8_t *p = exact(integer, size);
    demand(fs_hpack_read_integer(p, size, prefix, &got) == (int)size && got == value,
           "an integer is read as it is written");
    free(p);
    uint8_t *text = exact(data, n), *room = block(FS_HPACK_INTEGER_MOST + n);
    size = fs_hpack_write_string(room, text, (uint32_t)n);
    demand(size <= FS_HPACK_INTEGER_MOST + n, "a string fits its room");
    free(text);
    free(room);
}

/* Random bytes; as often as not, of those that are frequent in headers, or with bits all set. */
static size_t invent(uint8_t *data)
{
    size_t n = roll(ROOM);
    unsigned kind = roll(4);
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)(kind == 0 ? roll(256) : kind == 1 ? 'a' + roll(26)
                            : kind == 2 ? 32 + roll(95) : roll(8) ? 0xff : roll(256));
    for (unsigned k = roll(4); n > 0 && k > 0; k--)
        data[roll((uint32_t)n)] = (uint8_t)roll(256);
    return n;
}

static void torment(const uint8_t *data, size_t n)
{
    torment_encoding(data, n);
    torment_decoding(data, n);
    torment_block(data, n);
    torment_writing(data, n);
}

int main(int argc, char **argv)
{
    static uint8_t data[ROOM];
    return torments(argc, argv, data, invent, torment);
}
