/* The WebSocket leaves under the sanitizers: random bytes (seeded, so a failure repeats), each
 * input in a heap block of just its size.  Beyond "no crash" it checks what holds for any
 * input: answers do not depend on cuts, and what is written can be read.
 *
 *   ws_torment SECONDS SEED
 */
#include "fs_mask.h"
#include "fs_utf8.h"
#include "fs_ws_frame.h"

#include "dice.h"

#define ROOM 300

static void torment_head(const uint8_t *data, size_t n)
{
    unsigned allowed = roll(4);
    uint64_t most = dice >> roll(64);
    fs_ws_head whole, head;
    int answer = FS_WS_MORE, got;
    size_t cut = 0;
    for (; cut <= n && answer == FS_WS_MORE; cut++) {
        uint8_t *p = exact(data, cut);
        answer = fs_ws_read_head(p, cut, allowed, most, &head);
        demand(answer >= FS_WS_OVER_LIMIT && answer <= (int)cut, "a head's answer is in range");
        free(p);
    }
    got = fs_ws_read_head(data, n, allowed, most, &whole);
    demand(got == answer, "a head's answer does not depend on cuts");
    if (got <= 0)
        return;
    demand(whole.length == head.length && memcmp(whole.key, head.key, 4) == 0, "nor its facts");
    uint8_t *room = malloc(FS_WS_WRITE_HEAD_MOST);
    if (room == NULL)
        abort();
    size_t size = fs_ws_write_head(room, data[0], whole.length);
    demand(size + 4 == (size_t)got, "a server's head lacks the key alone");
    demand(room[1] == (data[1] & 0x7f) && memcmp(room + 2, data + 2, size - 2) == 0,
           "what is written is what was read");
    free(room);
}

static void torment_mask(const uint8_t *data, size_t n)
{
    uint8_t key[4] = {data[0], (uint8_t)roll(256), 0, (uint8_t)roll(256)};
    size_t phase = roll(200), cut = roll((uint32_t)n + 1);
    uint8_t *apart = exact(data, n), *place = exact(data, n), *source = exact(data, n);
    int ascii = fs_unmask_ascii(apart, source, n, key, phase), expected = 1;
    fs_unmask(place, place, cut, key, phase);
    fs_unmask(place + cut, place + cut, n - cut, key, phase + cut);
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = data[i] ^ key[(phase + i) % 4];
        demand(apart[i] == byte && place[i] == byte, "unmasking is a sum with the key");
        expected &= byte < 0x80;
    }
    demand(ascii == expected, "ASCII is told");
    free(apart);
    free(place);
    free(source);
}

static void torment_text(const uint8_t *data, size_t n)
{
    fs_utf8 all = {0}, parts = {0};
    uint8_t *p = exact(data, n);
    size_t whole = fs_utf8_run(&all, p, n), at = 0, run = 1, size = 1;
    free(p);
    while (at < n && run == size) {
        size = 1 + roll(40);
        size = size < n - at ? size : n - at;
        p = exact(data + at, size);
        run = fs_utf8_run(&parts, p, size);
        free(p);
        at += run;
    }
    demand(at == whole, "how far a text goes does not depend on cuts");
    demand(whole < n || all.inside == parts.inside, "nor does where it stands");
}

/* Random bytes, with a sensible head or sensible text as often as not. */
static size_t invent(uint8_t *data)
{
    static const char *const words[] = {"abcdefghijklmnopqrst", "\xc3\xa9", "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"};
    size_t n = roll(ROOM - 32), at = 0;
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)roll(256);
    if (roll(2)) {
        while (at < n) {
            const char *word = words[roll(sizeof words / sizeof *words)];
            memcpy(data + at, word, strlen(word));
            at += strlen(word);
        }
        n = at;
        if (n > 0 && roll(2))
            data[roll((uint32_t)n)] = (uint8_t)roll(256);
    } else if (n > 2) {
        data[0] = (uint8_t)(0x80 | roll(11));
        data[1] = (uint8_t)(0x80 | (roll(2) ? 126 + roll(2) : roll(128)));
        for (size_t i = 2; i < n && roll(4); i++)
            data[i] = 0;
    }
    return n;
}

static void torment(const uint8_t *data, size_t n)
{
    torment_head(data, n);
    torment_mask(data, n);
    torment_text(data, n);
}

int main(int argc, char **argv)
{
    static uint8_t data[ROOM];
    return torments(argc, argv, data, invent, torment);
}
