/* fs_board: layout of the board, the block of memory that all processes of a server share.
 *
 * A head, then rows.  The head and the first part of each row have one writer, the process
 * that made the board; the rest of a row is written by the process that holds the row, alone.
 * So a count is a relaxed load and a relaxed store of an aligned word: no lock, nothing torn,
 * and nothing that the death of a writer could leave locked.  Readers take what they find.
 *
 * Every part fills whole cache lines, so two writers never share one.
 */
#ifndef FS_BOARD_H
#define FS_BOARD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FS_BOARD_MAGIC 0x6472616f62736166 /* "fasboard" in memory, little endian */
#define FS_BOARD_LAYOUT 4                 /* another number for every change of a struct below */

enum {
    FS_BOARD_CAUSES = 9,   /* of a worker's restart */
    FS_BOARD_CLASSES = 6,  /* 1xx .. 5xx, and responses that had nobody left to go to */
    FS_BOARD_BUCKETS = 15, /* of latency; the last has no bound */
    FS_BOARD_CLOSES = 10,  /* codes WebSockets were closed with; the last is for any other */
    FS_BOARD_TEXT = 160
};

/* Why a stream of HTTP/2 was reset. */
enum {
    FS_BOARD_RESET_CLIENT, /* its client took it back */
    FS_BOARD_RESET_ERROR,  /* for its client's errors */
    FS_BOARD_RESET_REFUSED,
    FS_BOARD_RESET_STALLED, /* its client took nothing of the response */
    FS_BOARD_RESETS
};

/* Why a connection of HTTP/2 was ended. */
enum {
    FS_BOARD_ENDED_FLOOD = 0, /* the first of eight, as the budgets are numbered */
    FS_BOARD_ENDED_LARGE = 8, /* a field block that is not read to its end */
    FS_BOARD_ENDED_SLOW,      /* a frame, or an acknowledgement, that did not come */
    FS_BOARD_ENDED_OTHER,     /* any other error */
    FS_BOARD_ENDS
};

/* Upper bounds of the buckets, in microseconds. */
static const int64_t fs_board_bounds[FS_BOARD_BUCKETS - 1] = {
    500,   1000,   2500,   5000,   10000,   25000,   50000,
    100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

static const int fs_board_close_codes[FS_BOARD_CLOSES - 1] = {
    1000, 1001, 1002, 1005, 1006, 1007, 1009, 1011, 1012,
};

typedef struct fs_board_head {
    int64_t magic;
    int64_t layout;
    int64_t rows;
    int64_t started; /* wall clock, microseconds */
    int64_t phase;
    int64_t slots; /* how many workers are wanted */
    int64_t spare;
    int64_t restarts[FS_BOARD_CAUSES];
} fs_board_head;

/* Two cache lines; a message touches only the first. */
typedef struct fs_board_websockets {
    int64_t open; /* a gauge, zeroed between two processes */
    int64_t opened;
    int64_t messages_in;
    int64_t bytes_in; /* of payload, as the application sees it */
    int64_t messages_out;
    int64_t bytes_out;
    int64_t closes[FS_BOARD_CLOSES];
} fs_board_websockets;

/* Counters; two cache lines. */
typedef struct fs_board_http2 {
    int64_t connections;
    int64_t resets[FS_BOARD_RESETS];
    int64_t ends[FS_BOARD_ENDS];
} fs_board_http2;

typedef struct fs_board_row {
    /* written by the maker of the board */
    int64_t taken; /* 0: free */
    int64_t slot;
    int64_t started;         /* wall clock, microseconds */
    int64_t requests_before; /* of the row's former processes */
    int64_t memory;          /* bytes, 0: unknown */
    int64_t spare[3];
    /* written by the process that holds the row; gauges, zeroed between two processes */
    int64_t pid;
    int64_t phase;
    int64_t due; /* of the next beat: monotonic clock, microseconds; 0: no beat yet */
    int64_t lag; /* of the last beat, microseconds */
    int64_t connections;
    int64_t exchanges;
    /* counters, never set back */
    int64_t requests;
    int64_t connections_made;
    int64_t bytes_in;
    int64_t bytes_out;
    int64_t responses[FS_BOARD_CLASSES];
    int64_t latency[FS_BOARD_BUCKETS];
    int64_t latency_us; /* the sum */
    /* the request line last begun; a reader may find half of it replaced */
    int64_t text_len;
    char text[FS_BOARD_TEXT];
    int64_t spare_too[2];
    int64_t connections_refused; /* a counter */
    fs_board_websockets websockets;
    fs_board_http2 http2;
} fs_board_row;

#if defined(__GNUC__)
static inline int64_t fs_board_get(const int64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}
static inline void fs_board_set(int64_t *word, int64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}
#else /* MSVC: an aligned volatile word is read and written whole */
static inline int64_t fs_board_get(const int64_t *word) { return *(const volatile int64_t *)word; }
static inline void fs_board_set(int64_t *word, int64_t value) { *(volatile int64_t *)word = value; }
#endif

/* By the word's only writer.  Wraps instead of overflowing, whatever stood there. */
static inline void fs_board_add(int64_t *word, int64_t value)
{
    fs_board_set(word, (int64_t)((uint64_t)fs_board_get(word) + (uint64_t)value));
}

/* What can be counted is 0 or more, so anything less was not written by us. */
static inline int64_t fs_board_count(const int64_t *word)
{
    int64_t value = fs_board_get(word);
    return value < 0 ? 0 : value;
}

/* A sum of counts that stays at the highest number instead of overflowing. */
static inline int64_t fs_board_sum(int64_t sum, const int64_t *word)
{
    int64_t value = fs_board_count(word);
    return value > INT64_MAX - sum ? INT64_MAX : sum + value;
}

/* `status` 100 .. 599; 0: the client left before it had its answer. */
static inline void fs_board_respond(fs_board_row *row, int status)
{
    int kind = status / 100;
    fs_board_add(&row->responses[kind >= 1 && kind <= 5 ? kind - 1 : FS_BOARD_CLASSES - 1], 1);
}

static inline void fs_board_time(fs_board_row *row, int64_t us)
{
    int bucket = 0;
    while (bucket < FS_BOARD_BUCKETS - 1 && us > fs_board_bounds[bucket])
        bucket++;
    fs_board_add(&row->latency[bucket], 1);
    fs_board_add(&row->latency_us, us > 0 ? us : 0);
}

static inline void fs_board_ws_open(fs_board_row *row)
{
    fs_board_add(&row->websockets.open, 1);
    fs_board_add(&row->websockets.opened, 1);
}

static inline void fs_board_ws_close(fs_board_row *row, int code)
{
    int i = 0;
    while (i < FS_BOARD_CLOSES - 1 && fs_board_close_codes[i] != code)
        i++;
    fs_board_add(&row->websockets.open, -1);
    fs_board_add(&row->websockets.closes[i], 1);
}

/* A whole message, of `n` bytes of payload. */
static inline void fs_board_ws_message_in(fs_board_row *row, int64_t n)
{
    fs_board_add(&row->websockets.messages_in, 1);
    fs_board_add(&row->websockets.bytes_in, n);
}

static inline void fs_board_ws_message_out(fs_board_row *row, int64_t n)
{
    fs_board_add(&row->websockets.messages_out, 1);
    fs_board_add(&row->websockets.bytes_out, n);
}

static inline int64_t fs_board_ws_now_open(const fs_board_row *row)
{
    return fs_board_count(&row->websockets.open);
}

/* Adds the counters of a row, not its gauge, to those of `sum`. */
static inline void fs_board_ws_sum(fs_board_websockets *sum, const fs_board_row *row)
{
    const fs_board_websockets *each = &row->websockets;
    int i;
    sum->opened = fs_board_sum(sum->opened, &each->opened);
    sum->messages_in = fs_board_sum(sum->messages_in, &each->messages_in);
    sum->bytes_in = fs_board_sum(sum->bytes_in, &each->bytes_in);
    sum->messages_out = fs_board_sum(sum->messages_out, &each->messages_out);
    sum->bytes_out = fs_board_sum(sum->bytes_out, &each->bytes_out);
    for (i = 0; i < FS_BOARD_CLOSES; i++)
        sum->closes[i] = fs_board_sum(sum->closes[i], &each->closes[i]);
}

static inline void fs_board_h2_begin(fs_board_row *row)
{
    fs_board_add(&row->http2.connections, 1);
}

/* `cause`: FS_BOARD_RESET_... */
static inline void fs_board_h2_reset(fs_board_row *row, int cause)
{
    fs_board_add(&row->http2.resets[cause], 1);
}

/* `cause`: FS_BOARD_ENDED_... */
static inline void fs_board_h2_end(fs_board_row *row, int cause)
{
    fs_board_add(&row->http2.ends[cause], 1);
}

static inline void fs_board_h2_sum(fs_board_http2 *sum, const fs_board_row *row)
{
    const fs_board_http2 *each = &row->http2;
    int i;
    sum->connections = fs_board_sum(sum->connections, &each->connections);
    for (i = 0; i < FS_BOARD_RESETS; i++)
        sum->resets[i] = fs_board_sum(sum->resets[i], &each->resets[i]);
    for (i = 0; i < FS_BOARD_ENDS; i++)
        sum->ends[i] = fs_board_sum(sum->ends[i], &each->ends[i]);
}

/* A text longer than there is room for is cut. */
static inline void fs_board_note(fs_board_row *row, const void *text, size_t n)
{
    if (n > FS_BOARD_TEXT)
        n = FS_BOARD_TEXT;
    memcpy(row->text, text, n);
    fs_board_set(&row->text_len, (int64_t)n);
}

/* Of two words. */
static inline void fs_board_note_two(fs_board_row *row, const void *first, size_t first_n,
                                     const void *second, size_t second_n)
{
    if (first_n > FS_BOARD_TEXT - 1)
        first_n = FS_BOARD_TEXT - 1;
    if (second_n > FS_BOARD_TEXT - 1 - first_n)
        second_n = FS_BOARD_TEXT - 1 - first_n;
    memcpy(row->text, first, first_n);
    row->text[first_n] = ' ';
    memcpy(row->text + first_n + 1, second, second_n);
    fs_board_set(&row->text_len, (int64_t)(first_n + 1 + second_n));
}

/* Copies the text to `dst`, FS_BOARD_TEXT bytes, in printable ASCII; returns its length. */
static inline size_t fs_board_text(const fs_board_row *row, char *dst)
{
    int64_t n = fs_board_count(&row->text_len);
    size_t i;
    if (n > FS_BOARD_TEXT)
        n = FS_BOARD_TEXT;
    memcpy(dst, row->text, (size_t)n);
    for (i = 0; i < (size_t)n; i++)
        if (dst[i] < 0x20 || dst[i] > 0x7e)
            dst[i] = '?';
    return (size_t)n;
}

/* Between two processes: what told of the last one goes, counters stay. */
static inline void fs_board_clear(fs_board_row *row)
{
    fs_board_set(&row->slot, 0);
    fs_board_set(&row->started, 0);
    fs_board_set(&row->memory, 0);
    fs_board_set(&row->pid, 0);
    fs_board_set(&row->phase, 0);
    fs_board_set(&row->due, 0);
    fs_board_set(&row->lag, 0);
    fs_board_set(&row->connections, 0);
    fs_board_set(&row->exchanges, 0);
    fs_board_set(&row->text_len, 0);
    fs_board_set(&row->websockets.open, 0);
}

static inline fs_board_row *fs_board_row_at(fs_board_head *head, int64_t index)
{
    return (fs_board_row *)(head + 1) + index;
}

static inline size_t fs_board_size(int64_t rows)
{
    return sizeof(fs_board_head) + (size_t)rows * sizeof(fs_board_row);
}

/* `head`: zeroed memory of fs_board_size(rows). */
static inline void fs_board_format(fs_board_head *head, int64_t rows, int64_t started)
{
    head->layout = FS_BOARD_LAYOUT;
    head->rows = rows;
    head->started = started;
    fs_board_set(&head->magic, FS_BOARD_MAGIC);
}

/* Whether the `size` bytes at `head` are a board of this layout. */
static inline int fs_board_check(const fs_board_head *head, size_t size)
{
    return size >= sizeof(fs_board_head) && head->magic == FS_BOARD_MAGIC
        && head->layout == FS_BOARD_LAYOUT && head->rows >= 0
        && head->rows <= (int64_t)((size - sizeof(fs_board_head)) / sizeof(fs_board_row));
}

#endif
