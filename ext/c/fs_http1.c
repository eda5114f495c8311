/* fs_http1: see fs_http1.h.
 *
 * Every position where the grammar is not met goes to refuse(), which alone
 * knows the order of offences at one byte: line ends first, then the line's
 * limit, then the grammar.  So the fast path has no limit checks within a line:
 * it works in a window that ends where the limit does.
 */
#include "fs_http1.h"

#include "fs_block.h"
#include "fs_digits.h"

#if defined(__GNUC__)
#define FS_LIKELY(x) __builtin_expect(!!(x), 1)
#define FS_COLD __attribute__((cold, noinline))
#else
#define FS_LIKELY(x) (x)
#define FS_COLD
#endif

enum { SP = 0x20, HTAB = 0x09, CR = 0x0d, LF = 0x0a };

/* Why the byte at p[at] is not what the grammar asks for.  `end`: where the
 * window ends, which is n or else the line's first byte over its limit, then
 * answered as `too_long`; `ended`: the answer where a good CRLF comes too early;
 * `bad`: any other byte. */
FS_COLD static int64_t refuse(const uint8_t *p, size_t n, size_t at, size_t end,
                              int too_long, int ended, int bad)
{
    if (at >= n)
        return FS_MORE;
    if (p[at] == LF)
        return FS_BAD_LINE_END;
    if (p[at] == CR) {
        if (at + 1 >= n)
            return FS_MORE;
        return p[at + 1] == LF ? ended : FS_BAD_LINE_END;
    }
    return at >= end ? too_long : bad;
}

int64_t fs_http1_skip_empty(const uint8_t *p, size_t n, uint32_t most)
{
    size_t at = 0;
    for (uint32_t seen = 0; at < n && (p[at] == CR || p[at] == LF); seen++) {
        if (p[at] == LF)
            return FS_BAD_LINE_END;
        if (at + 1 >= n)
            break;
        if (p[at + 1] != LF || seen == most)
            return FS_BAD_LINE_END;
        at += 2;
    }
    return (int64_t)at;
}

/* The version at p[at] and the CRLF behind it, looked at byte by byte. */
FS_COLD static int64_t read_version(const uint8_t *p, size_t n, size_t at, size_t end,
                                    fs_http1_head *out)
{
    static const uint8_t shape[8] = {'H', 'T', 'T', 'P', '/', '0', '.', '0'};
    for (size_t i = 0; i < sizeof shape; i++) {
        size_t here = at + i;
        int good = here < end && (shape[i] == '0' ? fs_is_digit(p[here]) : p[here] == shape[i]);
        if (!good)
            return refuse(p, n, here, end, FS_LONG_LINE, FS_BAD_VERSION, FS_BAD_VERSION);
    }
    size_t stop = at + sizeof shape;
    if (n - stop < 2 || p[stop] != CR || p[stop + 1] != LF)
        return refuse(p, n, stop, end, FS_LONG_LINE, FS_BAD_VERSION, FS_BAD_VERSION);
    if (p[at + 5] != '1')
        return FS_UNKNOWN_VERSION;
    out->minor = (uint32_t)(p[at + 7] - '0');
    out->fields_off = (uint32_t)(stop + 2);
    return (int64_t)(stop + 2);
}

/* Why the method that reaches up to p[at] is not one. */
FS_COLD static int64_t refuse_method(const uint8_t *p, size_t n, size_t at, size_t end)
{
    if (at == FS_METHOD_MAX && at < end && (fs_class[p[at]] & FS_TOKEN))
        return FS_LONG_METHOD;
    return refuse(p, n, at, end, FS_LONG_LINE, FS_BAD_REQUEST_LINE, FS_BAD_METHOD);
}

int64_t fs_http1_request_line(const uint8_t *p, size_t n,
                              const fs_http1_limits *limits, fs_http1_head *out)
{
    /* Offsets are 32 bits wide and fields_off lies two beyond the line. */
    size_t limit = limits->line < UINT32_MAX - 2 ? limits->line : UINT32_MAX - 2;
    size_t end = n < limit ? n : limit;
    size_t at = 0;
    size_t method_end = end < FS_METHOD_MAX ? end : FS_METHOD_MAX;
    while (at < method_end && (fs_class[p[at]] & FS_TOKEN))
        at++;
    if (at == 0 || at >= end || p[at] != SP)
        return refuse_method(p, n, at, end);
    size_t target = at + 1;
    size_t stop = fs_run_target(p, target, end);
    if (stop == target || stop >= end || p[stop] != SP)
        return refuse(p, n, stop, end, FS_LONG_LINE, FS_BAD_REQUEST_LINE, FS_BAD_TARGET);
    out->method_off = 0;
    out->method_len = (uint32_t)at;
    out->target_off = (uint32_t)target;
    out->target_len = (uint32_t)(stop - target);
    at = stop + 1;
    if (FS_LIKELY(n - at >= 10 && end - at >= 8 && memcmp(p + at, "HTTP/1.1", 8) == 0
                  && p[at + 8] == CR && p[at + 9] == LF)) {
        out->minor = 1;
        out->fields_off = (uint32_t)(at + 10);
        return (int64_t)(at + 10);
    }
    return read_version(p, n, at, end, out);
}

/* Why the line at p[line] has no good name; the name reaches up to p[at]. */
FS_COLD static int64_t refuse_name(const uint8_t *p, size_t n, size_t line, size_t at,
                                   size_t end)
{
    int bad = FS_BAD_FIELD_NAME;
    if (at < n && (p[at] == SP || p[at] == HTAB))
        bad = at == line ? FS_BAD_FIELD_FOLD : FS_BAD_FIELD_SPACE;
    return refuse(p, n, at, end, FS_LONG_FIELD, FS_BAD_FIELD_NAME, bad);
}

/* One field line at p[line], not an empty one.  Returns the next line's
 * offset, FS_MORE or an error. */
static inline int64_t read_field(const uint8_t *p, size_t n, size_t line, uint32_t most,
                                 fs_field *field)
{
    size_t end = n - line < most ? n : line + most;
    size_t colon = fs_run_token(p, line, end);
    if (colon == line || colon >= end || p[colon] != ':')
        return refuse_name(p, n, line, colon, end);
    size_t value = colon + 1;
    /* Mostly there is one SP; what is no blank is above SP or ends the value. */
    if (value < end && p[value] == SP)
        value++;
    while (value < end && p[value] <= SP && (p[value] == SP || p[value] == HTAB))
        value++;
    size_t stop = fs_run_value(p, value, end);
    /* The CR may stand where the window ends: CRLF is not counted. */
    if (!FS_LIKELY(n - stop >= 2 && p[stop] == CR && p[stop + 1] == LF))
        return refuse(p, n, stop, end, FS_LONG_FIELD, FS_BAD_LINE_END, FS_BAD_FIELD_VALUE);
    size_t value_end = stop; /* whatever is up to SP in a good value is SP or HTAB */
    while (value_end > value && p[value_end - 1] <= SP)
        value_end--;
    field->name_off = (uint32_t)line;
    field->name_len = (uint32_t)(colon - line);
    field->value_off = (uint32_t)value;
    field->value_len = (uint32_t)(value_end - value);
    return (int64_t)(stop + 2);
}

/* Field lines from p[at] on, `count` of them known before.  resume is
 * written where the answer is FS_MORE. */
static int64_t read_fields(const uint8_t *p, size_t n, size_t at, uint32_t count,
                           const fs_http1_limits *limits, fs_http1_resume *resume,
                           fs_field *fields, uint32_t *count_out)
{
    size_t have = n < limits->head ? n : limits->head;
    int64_t got = FS_MORE;
    while (at < have) {
        uint8_t first = p[at];
        if (first == CR) {
            if (at + 1 >= have)
                break;
            if (p[at + 1] != LF)
                return FS_BAD_LINE_END;
            *count_out = count;
            return (int64_t)(at + 2);
        }
        fs_field field;
        got = read_field(p, have, at, limits->field, &field);
        /* A fold is no field line of its own and a LF no line at all, so
         * neither is one too many. */
        if (count >= limits->fields && first != LF && first != SP && first != HTAB)
            return FS_MANY_FIELDS;
        if (got < 0)
            break;
        fields[count++] = field;
        at = (size_t)got;
        got = FS_MORE;
    }
    if (got != FS_MORE)
        return got;
    if (n > limits->head)
        return FS_LONG_HEAD;
    resume->line_off = (uint32_t)at;
    resume->count = count;
    return FS_MORE;
}

int64_t fs_http1_fields(const uint8_t *p, size_t n, size_t start,
                        const fs_http1_limits *limits, fs_http1_resume *resume,
                        fs_field *fields, uint32_t *count)
{
    if (resume->line_off > start) {
        int64_t got = read_fields(p, n, resume->line_off, resume->count, limits, resume,
                                  fields, count);
        if (got < 0)
            return got;
        /* Complete: `fields` may have served another head since the lines
         * before line_off were read, so all of it is read once more. */
    }
    return read_fields(p, n, start, 0, limits, resume, fields, count);
}

int64_t fs_http1_parse(const uint8_t *p, size_t n, const fs_http1_limits *limits,
                       fs_http1_resume *resume, fs_http1_head *out, fs_field *fields)
{
    if (resume->line_off != 0) {
        int64_t got = read_fields(p, n, resume->line_off, resume->count, limits, resume,
                                  fields, &out->count);
        if (got < 0)
            return got;
    }
    int64_t line = fs_http1_request_line(p, n < limits->head ? n : limits->head, limits, out);
    if (line < 0)
        return line == FS_MORE && n > limits->head ? FS_LONG_HEAD : line;
    return read_fields(p, n, (size_t)line, 0, limits, resume, fields, &out->count);
}
