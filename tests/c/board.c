/* The board's layout and counting, by whoever compiles it: prints nothing and returns 0 if right. */
#include "fs_board.h"

#include <stdio.h>

#define CHECK(what)                                       \
    do {                                                  \
        if (!(what)) {                                    \
            printf("line %d: %s\n", __LINE__, #what);     \
            return 1;                                     \
        }                                                 \
    } while (0)

static int64_t memory[1024];

static int layout(void)
{
    CHECK(sizeof(fs_board_head) % 64 == 0);
    CHECK(sizeof(fs_board_row) % 64 == 0);
    CHECK(offsetof(fs_board_row, pid) % 64 == 0); /* where the second writer begins */
    CHECK(offsetof(fs_board_row, websockets) % 64 == 0); /* a message touches one line */
    CHECK(offsetof(fs_board_websockets, closes) <= 64);
    CHECK(offsetof(fs_board_row, http2) % 64 == 0);
    CHECK(fs_board_size(2) == sizeof(fs_board_head) + 2 * sizeof(fs_board_row));
    return 0;
}

static int boards(void)
{
    fs_board_head *head = (fs_board_head *)memory;
    CHECK(!fs_board_check(head, sizeof(memory)));
    fs_board_format(head, 3, 7);
    CHECK(fs_board_check(head, fs_board_size(3)));
    CHECK(!fs_board_check(head, fs_board_size(3) - 1));
    CHECK(!fs_board_check(head, 8));
    head->layout++;
    CHECK(!fs_board_check(head, fs_board_size(3)));
    head->layout--;
    head->rows = INT64_MAX;
    CHECK(!fs_board_check(head, fs_board_size(3)));
    head->rows = -1;
    CHECK(!fs_board_check(head, fs_board_size(3)));
    CHECK((char *)fs_board_row_at(head, 2) + sizeof(fs_board_row)
          == (char *)memory + fs_board_size(3));
    return 0;
}

static int counts(fs_board_row *row)
{
    int64_t word = INT64_MAX;
    fs_board_add(&word, 1);
    CHECK(word == INT64_MIN && fs_board_count(&word) == 0);
    word = 5;
    CHECK(fs_board_sum(INT64_MAX - 4, &word) == INT64_MAX);
    CHECK(fs_board_sum(INT64_MAX - 5, &word) == INT64_MAX);
    CHECK(fs_board_sum(1, &word) == 6);
    fs_board_respond(row, 100);
    fs_board_respond(row, 599);
    fs_board_respond(row, 600);
    fs_board_respond(row, 0);
    CHECK(row->responses[0] == 1 && row->responses[4] == 1 && row->responses[5] == 2);
    fs_board_time(row, -1);
    fs_board_time(row, 500);
    fs_board_time(row, 501);
    fs_board_time(row, 10000000);
    fs_board_time(row, 10000001);
    CHECK(row->latency[0] == 2 && row->latency[1] == 1);
    CHECK(row->latency[FS_BOARD_BUCKETS - 2] == 1 && row->latency[FS_BOARD_BUCKETS - 1] == 1);
    CHECK(row->latency_us == 500 + 501 + 10000000 + 10000001);
    return 0;
}

static int websockets(fs_board_row *row)
{
    fs_board_websockets sum;
    int i;
    memset(&sum, 0, sizeof(sum));
    for (i = 0; i < 12; i++)
        fs_board_ws_open(row);
    CHECK(fs_board_ws_now_open(row) == 12);
    for (i = 0; i < FS_BOARD_CLOSES - 1; i++)
        fs_board_ws_close(row, fs_board_close_codes[i]);
    fs_board_ws_close(row, 4000);
    fs_board_ws_close(row, 0);
    CHECK(fs_board_ws_now_open(row) == 1);
    fs_board_ws_message_in(row, 0);
    fs_board_ws_message_in(row, 5);
    fs_board_ws_message_out(row, 7);
    fs_board_ws_sum(&sum, row);
    fs_board_ws_sum(&sum, row);
    CHECK(sum.open == 0 && sum.opened == 24);
    CHECK(sum.messages_in == 4 && sum.bytes_in == 10);
    CHECK(sum.messages_out == 2 && sum.bytes_out == 14);
    for (i = 0; i < FS_BOARD_CLOSES - 1; i++)
        CHECK(sum.closes[i] == 2);
    CHECK(sum.closes[FS_BOARD_CLOSES - 1] == 4);
    row->websockets.open = -1;
    CHECK(fs_board_ws_now_open(row) == 0);
    row->websockets.opened = -1;
    row->websockets.bytes_in = INT64_MAX;
    fs_board_ws_sum(&sum, row);
    CHECK(sum.opened == 24 && sum.bytes_in == INT64_MAX);
    return 0;
}

static int http2(fs_board_row *row)
{
    fs_board_http2 sum;
    int i;
    memset(&sum, 0, sizeof(sum));
    for (i = 0; i < 3; i++)
        fs_board_h2_begin(row);
    for (i = 0; i < FS_BOARD_RESETS; i++)
        fs_board_h2_reset(row, i);
    fs_board_h2_reset(row, FS_BOARD_RESET_STALLED);
    for (i = 0; i < FS_BOARD_ENDS; i++)
        fs_board_h2_end(row, i);
    fs_board_h2_end(row, FS_BOARD_ENDED_OTHER);
    fs_board_h2_sum(&sum, row);
    fs_board_h2_sum(&sum, row);
    CHECK(sum.connections == 6);
    CHECK(sum.resets[FS_BOARD_RESET_CLIENT] == 2 && sum.resets[FS_BOARD_RESET_STALLED] == 4);
    CHECK(sum.ends[FS_BOARD_ENDED_FLOOD] == 2 && sum.ends[FS_BOARD_ENDED_OTHER] == 4);
    row->http2.connections = INT64_MAX;
    row->http2.resets[0] = -1;
    fs_board_h2_sum(&sum, row);
    CHECK(sum.connections == INT64_MAX && sum.resets[0] == 2);
    return 0;
}

static int texts(fs_board_row *row)
{
    char text[FS_BOARD_TEXT + 1], long_one[FS_BOARD_TEXT + 9];
    fs_board_note(row, "GET /\x7f\xff\n", 8);
    CHECK(fs_board_text(row, text) == 8 && memcmp(text, "GET /???", 8) == 0);
    memset(long_one, 'a', sizeof(long_one));
    fs_board_note(row, long_one, sizeof(long_one));
    text[FS_BOARD_TEXT] = '!';
    CHECK(fs_board_text(row, text) == FS_BOARD_TEXT && text[FS_BOARD_TEXT] == '!');
    CHECK(row->spare_too[0] == 0);
    row->text_len = INT64_MAX;
    CHECK(fs_board_text(row, text) == FS_BOARD_TEXT);
    row->text_len = -1;
    CHECK(fs_board_text(row, text) == 0);
    return 0;
}

static int clearing(fs_board_row *row)
{
    row->pid = row->connections = row->exchanges = row->due = row->memory = row->requests = 3;
    row->websockets.open = row->websockets.messages_in = 3;
    row->http2.connections = row->http2.resets[0] = row->http2.ends[0] = 3;
    fs_board_clear(row);
    CHECK(row->pid == 0 && row->connections == 0 && row->exchanges == 0 && row->due == 0);
    CHECK(row->memory == 0 && row->text_len == 0 && row->websockets.open == 0);
    CHECK(row->requests == 3 && row->latency_us != 0 && row->responses[4] == 1);
    CHECK(row->websockets.messages_in == 3);
    CHECK(row->http2.connections == 3 && row->http2.resets[0] == 3 && row->http2.ends[0] == 3);
    return 0;
}

int main(void)
{
    fs_board_row *row = fs_board_row_at((fs_board_head *)memory, 0);
    return layout() || boards() || counts(row) || websockets(row) || http2(row) || texts(row)
        || clearing(row);
}
