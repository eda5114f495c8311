/* fs_http1: a request head, RFC 9112 sections 2-5, as offsets into the
 * caller's bytes.  Strict: what RFC 9112 lets a server reject is rejected.
 *
 * The functions are pure in the bytes: for a given input the answer does not
 * depend on how it was cut into reads.  While the head is incomplete they
 * answer FS_MORE and the caller calls again with the same bytes and more
 * behind them; once they answer an error for some input, they answer the same
 * error for every longer one.  So the first offence in byte order decides.  At one
 * byte: the head's limit goes first, then a line end, then the line's limit or the
 * number of fields, then the grammar.  A CR is judged once the byte behind it is there.
 *
 * `resume` (zeroed for a new head) carries over which lines are already known
 * to be good, so that a head that dribbles in costs no more than one scan of
 * its last line per read, and one scan of the whole when it is complete.  It is a
 * cache only and never changes the answer; `out` and `fields` need not hold
 * anything from an earlier call, and are of no use until the head is complete.
 */
#ifndef FS_HTTP1_H
#define FS_HTTP1_H

#include <stddef.h>
#include <stdint.h>

/* Answers below zero.  MORE is no error. */
enum {
    FS_MORE = -1,
    FS_BAD_REQUEST_LINE = -2,     /* 400: CRLF before the version, as in HTTP/0.9 */
    FS_BAD_METHOD = -3,           /* 400: empty, or a byte that is neither tchar nor SP */
    FS_BAD_TARGET = -4,           /* 400: bytes outside fs_scan_target, or empty */
    FS_BAD_VERSION = -5,          /* 400: not "HTTP/" DIGIT "." DIGIT and then CRLF */
    FS_UNKNOWN_VERSION = -6,      /* 505: a well-formed line up to its CRLF, but major is not 1 */
    FS_LONG_METHOD = -7,          /* 501: tchar number FS_METHOD_MAX + 1 */
    FS_LONG_LINE = -8,            /* 414: request line over its limit */
    FS_BAD_LINE_END = -9,         /* 400: bare CR or bare LF anywhere in the head */
    FS_BAD_FIELD_NAME = -10,      /* 400: empty, no token, or a line without a colon */
    FS_BAD_FIELD_SPACE = -11,     /* 400: white space before the colon, RFC 9112 5.1 */
    FS_BAD_FIELD_FOLD = -12,      /* 400: line begins with SP or HTAB, RFC 9112 5.2 and 2.2 */
    FS_BAD_FIELD_VALUE = -13,     /* 400: control byte but HTAB in a value */
    FS_LONG_FIELD = -14,          /* 431: one field line over its limit */
    FS_MANY_FIELDS = -15,         /* 431: more field lines than allowed */
    FS_LONG_HEAD = -16            /* 431: the whole section over its limit */
};

#define FS_METHOD_MAX 32
#define FS_FIELDS_MAX 1024        /* no limit may be set above this */

typedef struct {
    uint32_t name_off, name_len;      /* as on the wire, case kept */
    uint32_t value_off, value_len;    /* without the optional white space round it */
} fs_field;

typedef struct {
    uint32_t line;       /* most bytes in the request line, CRLF not counted;
                            above 2^32 - 3 it counts as that */
    uint32_t field;      /* most bytes in one field line, CRLF not counted */
    uint32_t head;       /* most bytes in the whole head (request line, field
                            lines, every CRLF, but not leading empty lines) */
    uint32_t fields;     /* most field lines, 1..FS_FIELDS_MAX */
} fs_http1_limits;

typedef struct {
    uint32_t line_off;   /* where the first line not yet known to be good begins */
    uint32_t count;      /* field lines before line_off */
} fs_http1_resume;

typedef struct {
    uint32_t method_off, method_len;
    uint32_t target_off, target_len;
    uint32_t minor;          /* HTTP/1.minor, 0..9 */
    uint32_t fields_off;     /* first byte after the request line's CRLF */
    uint32_t count;          /* fields written */
} fs_http1_head;

/* Skips empty lines (CRLF) in front of a request line, RFC 9112 2.2: at most
 * `most` of them in this call; who drops what was skipped and calls again passes what
 * is left of its allowance.  Returns the bytes to drop (0 or more, always whole CRLFs;
 * a lone trailing CR is left for the next call), or FS_BAD_LINE_END for a CR not followed by
 * LF, a bare LF, or the CRLF of one empty line more than `most`. */
int64_t fs_http1_skip_empty(const uint8_t *p, size_t n, uint32_t most);

/* The request line alone: n bytes at p from its first byte.  Returns its
 * length with CRLF (> 0) with method, target, minor and fields_off set (count is
 * left alone), or FS_MORE or an error.  method, target and version are separated
 * by exactly one SP.  Of the limits only `line` counts here. */
int64_t fs_http1_request_line(const uint8_t *p, size_t n,
                              const fs_http1_limits *limits, fs_http1_head *out);

/* A field section that begins at p[start] and ends with an empty line: a
 * head's field lines, or the trailers of a chunked body (start 0).  Offsets
 * are relative to p.  `fields` has room for limits->fields entries.  Returns the
 * offset just past the section's empty line, or FS_MORE or an error; *count
 * is the number of fields.  limits->head bounds the returned offset: FS_LONG_HEAD once
 * byte number head + 1 is there and nothing before it was an offence. */
int64_t fs_http1_fields(const uint8_t *p, size_t n, size_t start,
                        const fs_http1_limits *limits, fs_http1_resume *resume,
                        fs_field *fields, uint32_t *count);

/* A whole head: request line, then fields.  Returns its length in bytes. */
int64_t fs_http1_parse(const uint8_t *p, size_t n, const fs_http1_limits *limits,
                       fs_http1_resume *resume, fs_http1_head *out, fs_field *fields);

#endif
