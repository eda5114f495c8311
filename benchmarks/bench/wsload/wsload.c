/* wsload: WebSocket load from one thread, made to cost less than any server it loads.
 *
 *   wsload [options] PORT PATH POOL
 *
 *   -c N     connections (64)            -t S  seconds at most (1)
 *   -d N     messages under way on each  -n N  messages at most
 *   -k N     compare each Nth message's content (100)
 *   -x       text, not binary            -z    offer permessage-deflate
 *   -b PATH  broadcast: one more connection, to PATH, publishes what all others must receive
 *
 * Each connection sends the pool's messages in turn, the next when a whole echo has come; in a
 * broadcast the next goes out when everyone has the last.  Masking and compression were done
 * before: a frame goes out as it lies in memory.  Every echo's opcode and length are checked, some
 * contents too.  With -z, where a server may compress with a context that spans messages, it is
 * every message of the first connection that is inflated and compared.
 *
 * Says "ready" when all connections are open and checked, begins at a line on standard input, prints
 * one line of JSON and keeps the connections until standard input ends: the caller can read the
 * server's CPU time on both sides of the load alone.  Exits with 3 if the server declines -z.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "handshake.h"
#include "latency.h"
#include "pool.h"

enum { MAX_DEPTH = 64, MAX_EVENTS = 512, INPUT = 1 << 18, LARGE = 1 << 16 };
enum { FEW = 8, NAP_NS = 40000 };
enum { FIN = 0x80, RSV1 = 0x40, MASKED = 0x80 };
enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

struct conn {
    int fd;                     /* -1: lost */
    bool checking, compressed;  /* of the message that is coming */
    uint8_t opcode;             /* of the frame that is coming; FIN and RSV1 are in first_byte */
    uint8_t first_byte;
    uint8_t head[10], head_have;
    bool in_payload, in_message;
    uint64_t left;              /* payload bytes of the frame that have not come */
    size_t got;                 /* bytes of the message's content so far */
    unsigned expect, next;      /* messages of the pool: awaited, to be sent */
    size_t send_at, owed;       /* where in the frames sending stands, and bytes still to go */
    uint8_t control[6 + 125];   /* a ping's payload behind room for the pong's head */
    uint8_t control_have;
    bool pong_owed;
    struct inflater *inflater;
    unsigned oldest, under_way; /* in sent_at, a ring */
    uint64_t sent_at[MAX_DEPTH];
};

static struct {
    int port, connections, depth, check_every;
    double seconds;
    uint64_t most;
    bool text, deflate;
    const char *path, *publish;
} option = {.connections = 64, .depth = 1, .check_every = 100, .seconds = 1, .most = UINT64_MAX};

static struct pool pool;
static struct conn *conns;
static uint8_t input[INPUT];
static size_t head_size = INPUT; /* what is read where a frame's head is awaited */
static uint64_t now, started, done, bytes, wire_bytes, checked, compressed, errors;
static uint64_t missing; /* copies of the published message that have not come */
static struct latency latency;

static uint64_t clock_ns(clockid_t which)
{
    struct timespec at;
    clock_gettime(which, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* ---- sending ---- */

static void lose(struct conn *conn)
{
    if (option.publish)
        fail(1, "the server closed a connection during the broadcast");
    close(conn->fd);
    conn->fd = -1;
    errors++;
}

static void send_pong(struct conn *conn)
{
    /* A mask of zeros is a mask: the payload goes back as it came. */
    const uint8_t head[6] = {FIN | PONG, MASKED | conn->control_have};
    memcpy(conn->control, head, sizeof head);
    if (send(conn->fd, conn->control, 6u + conn->control_have, MSG_NOSIGNAL) > 0)
        conn->pong_owed = false;
    else if (errno != EAGAIN)
        lose(conn);
}

/* Sends what is owed as far as the socket takes it; the frames are a ring without a seam. */
static void flush(struct conn *conn)
{
    while (conn->owed > 0) {
        size_t to_end = pool.frames_len - conn->send_at;
        size_t n = conn->owed < to_end ? conn->owed : to_end;
        ssize_t sent = send(conn->fd, pool.frames + conn->send_at, n, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN)
                lose(conn);
            return;
        }
        conn->owed -= (size_t)sent;
        conn->send_at += (size_t)sent;
        if (conn->send_at == pool.frames_len)
            conn->send_at = 0;
    }
    if (conn->pong_owed)
        send_pong(conn);
}

/* Begins `count` further messages, or as many as the limit leaves. */
static void begin(struct conn *conn, unsigned count)
{
    for (; count > 0 && started < option.most; count--) {
        started++;
        conn->sent_at[(conn->oldest + conn->under_way++) % MAX_DEPTH] = now;
        conn->owed += pool.messages[conn->next].frame_len;
        conn->next = (conn->next + 1) % pool.count;
    }
    flush(conn);
}

/* ---- receiving ---- */

static void check_content(struct conn *conn, const uint8_t *data, size_t n)
{
    const struct message *message = &pool.messages[conn->expect];
    if (conn->compressed) {
        if (conn->inflater && inflate_compare(conn->inflater, message, &conn->got, data, n))
            fail(1, "a compressed echo's content differs from what was sent");
    } else {
        if (n > message->len - conn->got)
            fail(1, "an echo is longer than the %zu bytes sent", message->len);
        if (conn->checking && memcmp(message->content + conn->got, data, n) != 0)
            fail(1, "an echo's content differs from what was sent");
        conn->got += n;
    }
}

static void begin_message(struct conn *conn)
{
    static uint64_t nth;
    conn->in_message = true;
    conn->got = 0;
    conn->compressed = (conn->first_byte & RSV1) != 0;
    conn->checking = option.deflate ? conn->inflater != NULL
                                    : nth++ % (uint64_t)option.check_every == 0;
    if (conn->opcode != (option.text ? TEXT : BINARY))
        fail(1, "an echo has opcode %d", conn->opcode);
    if (conn->compressed && !option.deflate)
        fail(1, "a frame is marked as compressed without an agreement");
}

static void end_message(struct conn *conn)
{
    static const uint8_t tail[4] = {0x00, 0x00, 0xff, 0xff}; /* RFC 7692 section 7.2.2 */
    const struct message *message = &pool.messages[conn->expect];
    if (conn->compressed) {
        compressed++;
        if (conn->inflater)
            check_content(conn, tail, sizeof tail);
    }
    if ((!conn->compressed || conn->inflater) && conn->got != message->len)
        fail(1, "an echo has %zu bytes, %zu were sent", conn->got, message->len);
    conn->in_message = false;
    conn->expect = (conn->expect + 1) % pool.count;
    checked += conn->checking;
    bytes += message->len;
    done++;
    if (option.publish) {
        if (missing-- == 0)
            fail(1, "a message came that was not published");
        latency_count(&latency, now - conns[option.connections].sent_at[0]);
        return;
    }
    if (conn->under_way-- == 0)
        fail(1, "an echo came of a message that was not sent");
    latency_count(&latency, now - conn->sent_at[conn->oldest]);
    conn->oldest = (conn->oldest + 1) % MAX_DEPTH;
}

/* The frame's head is whole in conn->head. */
static void begin_frame(struct conn *conn)
{
    unsigned more = len_bytes(conn->head[1]);
    uint64_t len = more ? 0 : conn->head[1] & 0x7f;
    for (unsigned i = 0; i < more; i++)
        len = len << 8 | conn->head[2 + i];
    conn->first_byte = conn->head[0];
    conn->opcode = conn->head[0] & 0x0f;
    if (conn->head[1] & MASKED)
        fail(1, "the server masked a frame");
    conn->head_have = 0;
    conn->left = len;
    conn->in_payload = true;
    if (conn->opcode >= CLOSE) {
        conn->control_have = 0;
        if (len > 125)
            fail(1, "a control frame has %llu bytes", (unsigned long long)len);
        return;
    }
    if ((conn->opcode == CONTINUATION) != conn->in_message)
        fail(1, "a message is in pieces that do not follow each other");
    if (!conn->in_message)
        begin_message(conn);
    wire_bytes += len;
}

/* Answers whether a whole data message has come. */
static bool end_frame(struct conn *conn)
{
    conn->in_payload = false;
    if (conn->opcode == CLOSE) {
        lose(conn);
    } else if (conn->opcode == PING) {
        conn->pong_owed = true;
        flush(conn);
    } else if (conn->opcode < CLOSE && conn->first_byte & FIN) {
        end_message(conn);
        return true;
    }
    return false;
}

/* Reads frames from data[0..n); answers how many messages ended. */
static unsigned consume(struct conn *conn, const uint8_t *data, size_t n)
{
    unsigned ended = 0;
    while (conn->fd >= 0) {
        while (!conn->in_payload && n > 0) {
            conn->head[conn->head_have++] = *data++;
            n--;
            if (conn->head_have >= 2 && conn->head_have == 2 + len_bytes(conn->head[1]))
                begin_frame(conn);
        }
        if (!conn->in_payload)
            break;
        size_t taken = conn->left < n ? (size_t)conn->left : n;
        if (conn->opcode < CLOSE) {
            check_content(conn, data, taken);
        } else {
            memcpy(conn->control + 6 + conn->control_have, data, taken);
            conn->control_have += (uint8_t)taken;
        }
        conn->left -= taken;
        data += taken;
        n -= taken;
        if (conn->left > 0)
            break;
        ended += end_frame(conn);
    }
    return ended;
}

/* The rest of a large payload that nobody compares is dropped inside the kernel. */
static bool may_skip(const struct conn *conn)
{
    return conn->in_payload && conn->opcode < CLOSE && !conn->checking && !conn->compressed
           && conn->left >= LARGE;
}

static void on_readable(struct conn *conn, bool hung_up)
{
    unsigned ended = 0;
    while (conn->fd >= 0) {
        bool skip = may_skip(conn);
        size_t asked = skip || conn->in_payload ? INPUT : head_size;
        if (skip && conn->left <= INPUT)
            asked = (size_t)conn->left - 1; /* the last byte ends the frame, as ever */
        ssize_t got = recv(conn->fd, input, asked, skip ? MSG_TRUNC : 0);
        if (got <= 0) {
            if (got == 0 || errno != EAGAIN)
                lose(conn);
            break;
        }
        now = clock_ns(CLOCK_MONOTONIC);
        if (skip) {
            conn->left -= (size_t)got;
            conn->got += (size_t)got;
        } else {
            ended += consume(conn, input, (size_t)got);
        }
        /* epoll(7): a short read of a stream means that it is drained. */
        if ((size_t)got < asked && !hung_up)
            break;
    }
    if (ended > 0 && conn->fd >= 0 && !option.publish)
        begin(conn, ended);
}

/* ---- opening ---- */

static void open_conn(struct conn *conn, const char *path, unsigned first)
{
    char head[8192];
    size_t have, rest;
    conn->fd = handshake_dial(option.port);
    rest = handshake(conn->fd, option.port, path, option.deflate, head, sizeof head, &have);
    fcntl(conn->fd, F_SETFL, O_NONBLOCK);
    conn->expect = conn->next = first;
    conn->send_at = pool.messages[first].frame_at;
    consume(conn, (uint8_t *)head + rest, have - rest);
}

static int open_all(void)
{
    int poll = epoll_create1(0), count = option.connections + (option.publish ? 1 : 0);
    conns = calloc((size_t)count, sizeof *conns);
    if (option.deflate)
        conns[0].inflater = inflater_new();
    for (int i = 0; i < count; i++) {
        bool publisher = option.publish && i == option.connections;
        struct epoll_event event = {
            .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = &conns[i]};
        open_conn(&conns[i], publisher ? option.publish : option.path,
                  option.publish ? 0 : (unsigned)i % pool.count);
        if (epoll_ctl(poll, EPOLL_CTL_ADD, conns[i].fd, &event) < 0)
            fail(1, "epoll_ctl: %s", strerror(errno));
    }
    return poll;
}

/* ---- the run ---- */

static void publish(void)
{
    struct conn *publisher = &conns[option.connections];
    publisher->under_way = 0;
    if (started < option.most) {
        missing = (uint64_t)option.connections;
        begin(publisher, 1);
    }
}

static bool over(uint64_t deadline)
{
    uint64_t awaited = option.publish ? missing : started - done;
    return now >= deadline || (started >= option.most && awaited == 0)
           || errors == (uint64_t)option.connections;
}

/* Waking for each echo would cost both sides more than the echo itself: when only a few of the
 * connections had news, the others get a moment to have some too.
 */
static void run(int poll)
{
    struct epoll_event events[MAX_EVENTS];
    const struct timespec nap = {.tv_nsec = NAP_NS};
    int count = MAX_EVENTS;
    now = clock_ns(CLOCK_MONOTONIC);
    uint64_t deadline = now + (uint64_t)(option.seconds * 1e9);
    if (!option.publish)
        for (int i = 0; i < option.connections; i++)
            begin(&conns[i], (unsigned)option.depth);
    while (!over(deadline)) {
        if (option.publish && missing == 0)
            publish();
        if (count < option.connections / FEW)
            nanosleep(&nap, NULL);
        count = epoll_wait(poll, events, MAX_EVENTS, PATIENCE_S * 1000);
        if (count == 0)
            fail(1, "nothing came for %d s", PATIENCE_S);
        for (int i = 0; i < count; i++) {
            struct conn *conn = events[i].data.ptr;
            if (conn->fd >= 0 && events[i].events & EPOLLOUT && (conn->owed || conn->pong_owed))
                flush(conn);
            if (conn->fd >= 0 && events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
                on_readable(conn, events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
        }
        now = clock_ns(CLOCK_MONOTONIC);
    }
}

static void read_options(int argc, char **argv)
{
    int letter;
    while ((letter = getopt(argc, argv, "c:t:n:d:k:b:xz")) != -1) {
        switch (letter) {
        case 'c': option.connections = atoi(optarg); break;
        case 't': option.seconds = atof(optarg); break;
        case 'n': option.most = strtoull(optarg, NULL, 10); break;
        case 'd': option.depth = atoi(optarg); break;
        case 'k': option.check_every = atoi(optarg); break;
        case 'b': option.publish = optarg; break;
        case 'x': option.text = true; break;
        case 'z': option.deflate = true; break;
        default: exit(2);
        }
    }
    if (argc - optind != 3 || option.connections < 1 || option.depth < 1
        || option.depth > MAX_DEPTH || option.check_every < 1)
        fail(2, "usage: wsload [-c N] [-t S] [-n N] [-d 1-%d] [-k N] [-b PATH] [-x] [-z] "
                "PORT PATH POOL", MAX_DEPTH);
    option.port = atoi(argv[optind]);
    option.path = argv[optind + 1];
    if (pool_read(&pool, argv[optind + 2], option.text ? TEXT : BINARY))
        fail(2, "%s: not a pool of messages", argv[optind + 2]);
    /* Of a large message only the head is worth a copy. */
    if (pool.longest >= LARGE)
        head_size = 4096;
}

int main(int argc, char **argv)
{
    char line[64];
    read_options(argc, argv);
    prctl(PR_SET_TIMERSLACK, 1); /* a nap is not to become longer than it says */
    int poll = open_all();
    puts("ready");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        line[0] = 0;
    uint64_t from = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    run(poll);
    printf("{\"messages\": %llu, \"bytes\": %llu, \"wire_bytes\": %llu, \"seconds\": %.6f, "
           "\"cpu_seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
           "\"errors\": %llu, \"checked\": %llu, \"compressed\": %llu, \"can_inflate\": %s}\n",
           (unsigned long long)done, (unsigned long long)bytes, (unsigned long long)wire_bytes,
           (double)(now - from) / 1e9, (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e9,
           latency_us(&latency, 0.5), latency_us(&latency, 0.99),
           (double)latency.highest / 1e3,
           (unsigned long long)errors, (unsigned long long)checked,
           (unsigned long long)compressed, CAN_INFLATE ? "true" : "false");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL)
        ;
    return 0;
}
