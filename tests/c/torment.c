/* The leaves under the sanitizers: a corpus, cut everywhere, and then mutated at
 * random (seeded, so a failure repeats).  Beyond "no crash" it
 * checks what holds for any input: answers do not depend on cuts, and offsets
 * lie within the input.
 *
 *   torment SECONDS SEED
 */
#include "fs_chunked.h"
#include "fs_date.h"
#include "fs_http1.h"
#include "fs_scan.h"
#include "fs_target.h"

#include "dice.h"

#include <time.h>

#define ROOM 4096
#define FIELDS 6

static const char *const corpus[] = {
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /a%20b?c=%41 HTTP/1.1\r\nHost: example.com:8000\r\nContent-Length: 5\r\n\r\nhello",
    "GET http://[::1]:80/ HTTP/1.0\r\nA:\r\nB: \t \r\nLong-Name-Of-More-Than-16: value of more "
    "than sixteen bytes\t\r\n\r\n",
    "CONNECT [1:2:3::1.2.3.4]:443 HTTP/1.1\r\nHost: [v1.a:b]\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a.b\r\nX: \xff\x80\r\nX: y\r\nX: z\r\nX: w\r\nX: v\r\nX: u\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\n folded\r\nname : v\r\n\r\n",
    "5\r\nhello\r\n10;a=b ; c=\"d\\\"e\"\r\n0123456789abcdef\r\n0\r\n\r\n",
    "7fffffffffffffff\r\nx",
    "8000000000000000;x\r\n",
};
static const char *const spices[] = {
    "\r\n", "\r", "\n", " ", "\t", ":", "%", "%4", "?", "[", "]", "::", "@", ";", "\"", "\\", "=",
    "0", "f", "HTTP/1.1", "http://", "\x7f", "\xff", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};
static unsigned long checked;

static int64_t parse(const uint8_t *data, size_t n, const fs_http1_limits *limits,
                     fs_http1_resume *resume)
{
    uint8_t *p = exact(data, n);
    fs_http1_head head = {0};
    fs_field fields[FIELDS];
    int64_t got = fs_http1_parse(p, n, limits, resume, &head, fields);
    demand(got >= FS_LONG_HEAD && got <= (int64_t)n && got != 0, "a head's answer is in range");
    if (got > 0) {
        fs_target target;
        demand(head.count <= limits->fields, "no more fields than allowed");
        demand(head.target_off + head.target_len < head.fields_off, "the target is in its line");
        fs_target_parse(p + head.target_off, head.target_len, p, head.method_len, &target);
        for (uint32_t i = 0; i < head.count; i++) {
            fs_field f = fields[i];
            demand(f.name_len > 0 && f.name_off >= head.fields_off
                       && f.value_off > f.name_off + f.name_len - 1
                       && f.value_off + f.value_len <= (uint64_t)got, "a field is in the head");
            fs_target_host_ok(p + f.value_off, f.value_len);
            fs_lower(p + f.name_off, p + f.name_off, f.name_len);
        }
    }
    free(p);
    return got;
}

static void torment_head(const uint8_t *data, size_t n)
{
    fs_http1_limits limits = {40 + roll(100), 30 + roll(100), 80 + roll(300), 1 + roll(FIELDS)};
    fs_http1_resume none = {0, 0}, resume = {0, 0};
    int64_t whole = parse(data, n, &limits, &none);
    int64_t got = FS_MORE;
    for (size_t cut = 0; cut < n && got == FS_MORE; cut += 1 + roll(7))
        got = parse(data, cut, &limits, &resume);
    if (got == FS_MORE)
        got = parse(data, n, &limits, &resume);
    demand(got == whole, "a head's answer does not depend on cuts");
    uint8_t *p = exact(data, n);
    int64_t skipped = fs_http1_skip_empty(p, n, roll(4));
    demand(skipped == FS_BAD_LINE_END || (skipped >= 0 && skipped <= (int64_t)n),
           "empty lines are in the input");
    free(p);
}

static int read_chunks(const uint8_t *data, size_t n, size_t step, uint32_t limit, uint64_t *sum)
{
    fs_chunked c;
    fs_chunked_init(&c, limit);
    *sum = 0;
    int got = FS_CHUNK_MORE;
    for (size_t at = 0; at < n;) {
        size_t size = n - at < step ? n - at : step, used, offset, length;
        uint8_t *p = exact(data + at, size);
        got = fs_chunked_next(&c, p, size, &used, &offset, &length);
        demand(used <= size && offset + length <= used, "chunk data is in what was used");
        for (size_t i = 0; i < length; i++)
            *sum = *sum * 31 + p[offset + i];
        free(p);
        at += used;
        if (got < 0 || got == FS_CHUNK_LAST)
            return got;
    }
    return FS_CHUNK_MORE;
}

static void torment_chunks(const uint8_t *data, size_t n)
{
    uint64_t whole_sum, sum;
    uint32_t limit = roll(40);
    int whole = read_chunks(data, n, n ? n : 1, limit, &whole_sum);
    int got = read_chunks(data, n, 1 + roll(9), limit, &sum);
    demand(got == whole && sum == whole_sum, "a body does not depend on cuts");
}

static void torment_rest(const uint8_t *data, size_t n)
{
    uint8_t *p = exact(data, n);
    size_t run = fs_scan_target(p, n);
    fs_target target;
    if (run > 0) {
        int form = fs_target_parse(p, run, (const uint8_t *)"CONNECT", roll(2) ? 7 : 3, &target);
        if (form > 0) {
            demand((uint64_t)target.path_off + target.path_len <= run
                       && (uint64_t)target.query_off + target.query_len <= run
                       && (uint64_t)target.host_off + target.host_len <= run,
                   "a target's parts are in it");
            demand(fs_target_unescape(p, p, target.path_len) <= target.path_len,
                   "undoing escapes does not lengthen");
        }
    }
    demand(fs_scan_field_value(p, n) <= n && fs_scan_token(p, n) <= n, "runs end in the input");
    fs_target_host_ok(p, n);
    if (n <= 12)
        fs_equal_nocase(p, "content-type", n);
    free(p);
    uint8_t *date = malloc(FS_DATE_LEN), *log = malloc(FS_DATE_LOG_LEN), *number = malloc(20);
    if (date == NULL || log == NULL || number == NULL)
        abort();
    fs_date_http(date, (int64_t)(dice >> roll(64)));
    fs_date_log(log, (int64_t)(dice >> roll(64)), (int32_t)roll(UINT32_MAX));
    demand(fs_decimal(number, dice >> roll(64)) <= 20, "a number fits");
    demand(fs_chunked_write_head(number, (dice >> roll(64)) | 1) <= 18, "a chunk head fits");
    free(date);
    free(log);
    free(number);
}

static void torment_all(const uint8_t *data, size_t n)
{
    torment_head(data, n);
    torment_chunks(data, n);
    torment_rest(data, n);
    checked++;
}

/* Changes, removes, doubles or inserts something; returns the new length. */
static size_t mutate(uint8_t *data, size_t n)
{
    size_t at = roll((uint32_t)n + 1);
    const char *spice = spices[roll(sizeof spices / sizeof *spices)];
    size_t size = strlen(spice);
    switch (roll(4)) {
    case 0:
        if (at < n)
            data[at] = (uint8_t)roll(256);
        return n;
    case 1:
        if (at < n) {
            memmove(data + at, data + at + 1, n - at - 1);
            return n - 1;
        }
        return n;
    case 2:
        return at > 4 ? at : n;
    default:
        if (n + size > ROOM)
            return n;
        memmove(data + at + size, data + at, n - at);
        memcpy(data + at, spice, size);
        return n + size;
    }
}

int main(int argc, char **argv)
{
    static uint8_t data[ROOM];
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    dice = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1) * 0x9e3779b97f4a7c15u + 1;
    const size_t count = sizeof corpus / sizeof *corpus;
    for (size_t i = 0; i < count; i++)
        for (size_t n = 0; n <= strlen(corpus[i]); n++)
            torment_all((const uint8_t *)corpus[i], n);
    clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
    while (clock() < end) {
        const char *seed = corpus[roll((uint32_t)count)];
        size_t n = strlen(seed);
        memcpy(data, seed, n);
        for (uint32_t i = 1 + roll(6); i > 0; i--)
            n = mutate(data, n);
        torment_all(data, n);
    }
    printf("%lu\n", checked);
    return 0;
}
