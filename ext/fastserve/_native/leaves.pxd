"""Declarations of the C leaves (`ext/c`), in one place."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "fs_scan.h" nogil:
    size_t fs_scan_field_value(const uint8_t *p, size_t n)
    size_t fs_scan_target(const uint8_t *p, size_t n)
    size_t fs_scan_token(const uint8_t *p, size_t n)
    void fs_lower(uint8_t *dst, const uint8_t *src, size_t n)
    bint fs_equal_nocase(const uint8_t *p, const char *lower, size_t n)


cdef extern from "fs_http1.h" nogil:
    enum:
        FS_MORE
        FS_BAD_REQUEST_LINE
        FS_BAD_METHOD
        FS_BAD_TARGET
        FS_BAD_VERSION
        FS_UNKNOWN_VERSION
        FS_LONG_METHOD
        FS_LONG_LINE
        FS_BAD_LINE_END
        FS_BAD_FIELD_NAME
        FS_BAD_FIELD_SPACE
        FS_BAD_FIELD_FOLD
        FS_BAD_FIELD_VALUE
        FS_LONG_FIELD
        FS_MANY_FIELDS
        FS_LONG_HEAD
        FS_FIELDS_MAX

    ctypedef struct fs_field:
        uint32_t name_off
        uint32_t name_len
        uint32_t value_off
        uint32_t value_len

    ctypedef struct fs_http1_limits:
        uint32_t line
        uint32_t field
        uint32_t head
        uint32_t fields

    ctypedef struct fs_http1_resume:
        uint32_t line_off
        uint32_t count

    ctypedef struct fs_http1_head:
        uint32_t method_off
        uint32_t method_len
        uint32_t target_off
        uint32_t target_len
        uint32_t minor
        uint32_t fields_off
        uint32_t count

    int64_t fs_http1_skip_empty(const uint8_t *p, size_t n, uint32_t most)
    int64_t fs_http1_request_line(const uint8_t *p, size_t n, const fs_http1_limits *limits,
                                  fs_http1_head *out)
    int64_t fs_http1_fields(const uint8_t *p, size_t n, size_t start,
                            const fs_http1_limits *limits, fs_http1_resume *resume,
                            fs_field *fields, uint32_t *count)


cdef extern from "fs_chunked.h" nogil:
    enum:
        FS_CHUNK_MORE
        FS_CHUNK_DATA
        FS_CHUNK_LAST
        FS_CHUNK_BAD_SIZE
        FS_CHUNK_BAD_EXTENSION
        FS_CHUNK_BAD_END
        FS_CHUNK_TOO_BIG

    ctypedef struct fs_chunked:
        uint64_t left

    void fs_chunked_init(fs_chunked *c, uint32_t extension_limit)
    int fs_chunked_next(fs_chunked *c, const uint8_t *p, size_t n, size_t *used,
                        size_t *data_off, size_t *data_len)
    size_t fs_chunked_write_head(uint8_t *dst, uint64_t size)


cdef extern from "fs_target.h" nogil:
    enum:
        FS_TARGET_ORIGIN
        FS_TARGET_ABSOLUTE
        FS_TARGET_AUTHORITY
        FS_TARGET_ASTERISK
        FS_TARGET_BAD
        FS_TARGET_BAD_ESCAPE
        FS_TARGET_BAD_AUTHORITY

    ctypedef struct fs_target:
        uint32_t path_off
        uint32_t path_len
        uint32_t query_off
        uint32_t query_len
        uint32_t scheme_len
        uint32_t host_off
        uint32_t host_len
        uint8_t form
        uint8_t path_escaped

    int fs_target_parse(const uint8_t *p, size_t n, const uint8_t *method, size_t method_len,
                        fs_target *out)
    size_t fs_target_unescape(uint8_t *dst, const uint8_t *src, size_t n)
    bint fs_target_host_ok(const uint8_t *p, size_t n)


cdef extern from "fs_date.h" nogil:
    enum:
        FS_DATE_LEN
        FS_DATE_LOG_LEN

    void fs_date_http(uint8_t *dst, int64_t seconds)
    void fs_date_log(uint8_t *dst, int64_t seconds, int32_t offset)
    size_t fs_decimal(uint8_t *dst, uint64_t v)
