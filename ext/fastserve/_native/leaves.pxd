"""Declarations of the C leaves (`ext/c`), in one place."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "fs_scan.h" nogil:
    size_t fs_scan_field_value(const uint8_t *p, size_t n)
    size_t fs_scan_target(const uint8_t *p, size_t n)
    size_t fs_scan_token(const uint8_t *p, size_t n)
    size_t fs_scan_quotable(const uint8_t *p, size_t n)
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
        FS_METHOD_MAX

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
        FS_DATE_COMMON_LEN

    void fs_date_http(uint8_t *dst, int64_t seconds)
    void fs_date_log(uint8_t *dst, int64_t seconds, int32_t offset)
    void fs_date_common(uint8_t *dst, int64_t seconds, int32_t offset)
    size_t fs_decimal(uint8_t *dst, uint64_t v)


cdef extern from "fs_board.h" nogil:
    enum:
        FS_BOARD_LAYOUT
        FS_BOARD_CAUSES
        FS_BOARD_CLASSES
        FS_BOARD_BUCKETS
        FS_BOARD_TEXT

    const int64_t *fs_board_bounds

    ctypedef struct fs_board_head:
        int64_t layout
        int64_t rows
        int64_t started
        int64_t phase
        int64_t slots
        int64_t *restarts

    ctypedef struct fs_board_row:
        int64_t taken
        int64_t slot
        int64_t started
        int64_t requests_before
        int64_t memory
        int64_t pid
        int64_t phase
        int64_t due
        int64_t lag
        int64_t connections
        int64_t exchanges
        int64_t requests
        int64_t connections_made
        int64_t connections_refused
        int64_t bytes_in
        int64_t bytes_out
        int64_t *responses
        int64_t *latency
        int64_t latency_us

    int64_t fs_board_get(const int64_t *word)
    void fs_board_set(int64_t *word, int64_t value)
    void fs_board_add(int64_t *word, int64_t value)
    int64_t fs_board_count(const int64_t *word)
    int64_t fs_board_sum(int64_t sum, const int64_t *word)
    void fs_board_respond(fs_board_row *row, int status)
    void fs_board_time(fs_board_row *row, int64_t us)
    void fs_board_note(fs_board_row *row, const void *text, size_t n)
    void fs_board_note_two(fs_board_row *row, const void *first, size_t first_n,
                           const void *second, size_t second_n)
    size_t fs_board_text(const fs_board_row *row, char *dst)
    void fs_board_clear(fs_board_row *row)
    fs_board_row *fs_board_row_at(fs_board_head *head, int64_t index)
    size_t fs_board_size(int64_t rows)
    void fs_board_format(fs_board_head *head, int64_t rows, int64_t started)
    bint fs_board_check(const fs_board_head *head, size_t size)

    enum:
        FS_BOARD_CLOSES

    const int *fs_board_close_codes

    ctypedef struct fs_board_websockets:
        int64_t opened
        int64_t messages_in
        int64_t bytes_in
        int64_t messages_out
        int64_t bytes_out
        int64_t *closes

    void fs_board_ws_open(fs_board_row *row)
    void fs_board_ws_close(fs_board_row *row, int code)
    void fs_board_ws_message_in(fs_board_row *row, int64_t n)
    void fs_board_ws_message_out(fs_board_row *row, int64_t n)
    int64_t fs_board_ws_now_open(const fs_board_row *row)
    void fs_board_ws_sum(fs_board_websockets *total, const fs_board_row *row)

    enum:
        FS_BOARD_RESET_CLIENT
        FS_BOARD_RESET_ERROR
        FS_BOARD_RESET_REFUSED
        FS_BOARD_RESET_STALLED
        FS_BOARD_RESETS
    enum:
        FS_BOARD_ENDED_FLOOD
        FS_BOARD_ENDED_LARGE
        FS_BOARD_ENDED_SLOW
        FS_BOARD_ENDED_OTHER
        FS_BOARD_ENDS

    ctypedef struct fs_board_http2:
        int64_t connections
        int64_t *resets
        int64_t *ends

    void fs_board_h2_begin(fs_board_row *row)
    void fs_board_h2_reset(fs_board_row *row, int cause)
    void fs_board_h2_end(fs_board_row *row, int cause)
    void fs_board_h2_sum(fs_board_http2 *total, const fs_board_row *row)


cdef extern from "fs_ws_frame.h" nogil:
    enum:
        FS_WS_CONTINUATION
        FS_WS_TEXT
        FS_WS_BINARY
        FS_WS_CLOSE
        FS_WS_PING
        FS_WS_PONG
        FS_WS_UNDER_WAY
        FS_WS_DEFLATE
        FS_WS_MORE
        FS_WS_BAD_RESERVED
        FS_WS_BAD_OPCODE
        FS_WS_CUT_CONTROL
        FS_WS_NOT_UNDER_WAY
        FS_WS_INTERLEAVED
        FS_WS_UNMASKED
        FS_WS_LONG_CONTROL
        FS_WS_LONG_LENGTH
        FS_WS_HUGE_LENGTH
        FS_WS_OVER_LIMIT
        FS_WS_READ_HEAD_MOST
        FS_WS_WRITE_HEAD_MOST

    ctypedef struct fs_ws_head:
        uint64_t length
        uint8_t *key
        uint8_t opcode
        uint8_t fin
        uint8_t rsv1

    int fs_ws_read_head(const uint8_t *p, size_t n, unsigned int allowed, uint64_t most,
                        fs_ws_head *out)
    size_t fs_ws_write_head(uint8_t *dst, uint8_t first, uint64_t n)
    bint fs_ws_close_code_ok(unsigned int code)


cdef extern from "fs_mask.h" nogil:
    void fs_unmask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *key, size_t phase)
    bint fs_unmask_ascii(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *key,
                         size_t phase)


cdef extern from "fs_utf8.h" nogil:
    ctypedef struct fs_utf8:
        uint8_t inside

    size_t fs_utf8_run(fs_utf8 *state, const uint8_t *p, size_t n)


cdef extern from "fs_address.h" nogil:
    enum:
        FS_ADDRESS_LEN
        FS_ADDRESS_TEXT_MOST
        FS_ADDRESS_BAD

    int fs_address_parse(const uint8_t *p, size_t n, uint8_t *out)
    int fs_address_node(const uint8_t *p, size_t n, bint strict, uint8_t *out, uint16_t *port)
    size_t fs_address_format(uint8_t *dst, const uint8_t *address)
    bint fs_address_in(const uint8_t *address, const uint8_t *network, unsigned int prefix)
    int32_t fs_address_port(const uint8_t *p, size_t n)


cdef extern from "fs_proxy.h" nogil:
    enum:
        FS_PROXY_MORE
        FS_PROXY_BAD
        FS_PROXY_LONG
        FS_PROXY_NONE
        FS_PROXY_INET
        FS_PROXY_UNIX

    ctypedef struct fs_proxy:
        uint8_t kind
        uint8_t *client
        uint8_t *server
        uint16_t client_port
        uint16_t server_port
        uint32_t path_off
        uint32_t path_len

    int32_t fs_proxy_parse(const uint8_t *p, size_t n, size_t most, fs_proxy *out)


cdef extern from "fs_h2_frame.h" nogil:
    enum:
        FS_H2_DATA
        FS_H2_HEADERS
        FS_H2_PRIORITY
        FS_H2_RST_STREAM
        FS_H2_SETTINGS
        FS_H2_PUSH_PROMISE
        FS_H2_PING
        FS_H2_GOAWAY
        FS_H2_WINDOW_UPDATE
        FS_H2_CONTINUATION
        FS_H2_PRIORITY_UPDATE
        FS_H2_END_STREAM
        FS_H2_ACK
        FS_H2_END_HEADERS
        FS_H2_PADDED
        FS_H2_HAS_PRIORITY
        FS_H2_NO_ERROR
        FS_H2_PROTOCOL_ERROR
        FS_H2_INTERNAL_ERROR
        FS_H2_FLOW_CONTROL_ERROR
        FS_H2_SETTINGS_TIMEOUT
        FS_H2_STREAM_CLOSED
        FS_H2_FRAME_SIZE_ERROR
        FS_H2_REFUSED_STREAM
        FS_H2_CANCEL
        FS_H2_COMPRESSION_ERROR
        FS_H2_CONNECT_ERROR
        FS_H2_ENHANCE_YOUR_CALM
        FS_H2_INADEQUATE_SECURITY
        FS_H2_HTTP_1_1_REQUIRED
        FS_H2_HEADER_TABLE_SIZE
        FS_H2_ENABLE_PUSH
        FS_H2_MAX_CONCURRENT_STREAMS
        FS_H2_INITIAL_WINDOW_SIZE
        FS_H2_MAX_FRAME_SIZE
        FS_H2_MAX_HEADER_LIST_SIZE
        FS_H2_ENABLE_CONNECT_PROTOCOL
        FS_H2_NO_RFC7540_PRIORITIES
        FS_H2_HEAD_LEN
        FS_H2_SETTING_LEN
        FS_H2_LEAST_FRAME
        FS_H2_MOST_FRAME
        FS_H2_LONG_FRAME
        FS_H2_BAD_LENGTH
        FS_H2_BAD_PRIORITY
        FS_H2_NO_STREAM
        FS_H2_ON_STREAM
        FS_H2_PUSHED
        FS_H2_NO_BLOCK
        FS_H2_INTERLEAVED

    ctypedef struct fs_h2_head:
        uint32_t length
        uint32_t stream
        uint8_t type
        uint8_t flags

    void fs_h2_read_head(const uint8_t *p, fs_h2_head *out)
    void fs_h2_write_head(uint8_t *dst, uint32_t n, uint8_t type, uint8_t flags, uint32_t stream)
    int fs_h2_check_head(const fs_h2_head *head, uint32_t most, uint32_t block)
    int fs_h2_check_setting(uint16_t id, uint32_t value)
    uint32_t fs_h2_load16(const uint8_t *p)
    uint32_t fs_h2_load32(const uint8_t *p)
    void fs_h2_store32(uint8_t *dst, uint32_t value)


cdef extern from "fs_huffman.h" nogil:
    int64_t fs_huffman_decode(uint8_t *dst, size_t room, const uint8_t *src, size_t n)
    size_t fs_huffman_most(size_t n)


cdef extern from "fs_hpack.h" nogil:
    enum:
        FS_HPACK_INDEXED
        FS_HPACK_INDEXING
        FS_HPACK_WITHOUT
        FS_HPACK_NEVER
        FS_HPACK_SIZE
        FS_HPACK_CUT
        FS_HPACK_BAD_INTEGER
        FS_HPACK_BAD_INDEX
        FS_HPACK_STATIC
        FS_HPACK_OVERHEAD
        FS_HPACK_INTEGER_MOST

    ctypedef struct fs_hpack_pair:
        const char *name
        const char *value
        uint8_t name_len
        uint8_t value_len

    ctypedef struct fs_hpack_string:
        const uint8_t *p
        uint32_t n
        uint8_t huffman

    ctypedef struct fs_hpack_item:
        uint8_t kind
        uint32_t index
        fs_hpack_string name
        fs_hpack_string value

    const fs_hpack_pair *fs_hpack_static_pair(unsigned int index)
    int64_t fs_hpack_read(const uint8_t *p, size_t n, fs_hpack_item *out)
    size_t fs_hpack_write_integer(uint8_t *dst, uint8_t first, unsigned int prefix,
                                  uint32_t value)
    size_t fs_hpack_write_string(uint8_t *dst, const uint8_t *p, uint32_t n)
