/* The lowest limit of a WebSocket echo: one epoll loop that unmasks frames and sends them back.
 *
 * What is left is the kernel's price for one read, one write and one epoll wait. It answers only the
 * key that bench/wsload sends (RFC 6455 section 1.3), and does nothing that the standard asks of a
 * server beyond that: no fragments put together, no UTF-8 or length checked, no ping or close.
 *
 * Usage: epoll_ws_echo PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 18, MAX_FDS = 65536, MAX_EVENTS = 256 };

/* What is kept of a connection between two reads. */
struct conn {
    bool open;               /* the handshake is done */
    uint8_t *rest;           /* an unfinished frame, and room for all of it */
    size_t rest_len, room;
    uint8_t *out;            /* an answer the socket did not take at once */
    size_t out_at, out_len;
};

static struct conn conns[MAX_FDS];
static uint8_t input[READ_SIZE];
static int poll;

static const char switch_protocol[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void drop(int fd)
{
    free(conns[fd].rest);
    free(conns[fd].out);
    memset(&conns[fd], 0, sizeof conns[fd]);
    close(fd);
}

static void watch(int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    epoll_ctl(poll, EPOLL_CTL_MOD, fd, &event);
}

/* `to` may be before `from` in the same buffer: each word is read before it is overwritten. */
static void unmask(uint8_t *to, const uint8_t *from, size_t len, const uint8_t *mask)
{
    uint64_t key, word;
    size_t i = 0;
    memcpy(&key, mask, 4);
    memcpy((uint8_t *)&key + 4, &key, 4);
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= key;
        memcpy(to + i, &word, 8);
    }
    for (; i < len; i++)
        to[i] = from[i] ^ ((uint8_t *)&key)[i % 8];
}

/* The size of the frame at data[0..len): its head in *head, 0 if that is not whole. */
static size_t frame_size(const uint8_t *data, size_t len, size_t *head)
{
    size_t size = len < 2 ? 0 : data[1] & 0x7f, more = size < 126 ? 0 : size == 126 ? 2 : 8;
    if (len < 2 + more + 4)
        return 0;
    if (more > 0)
        size = 0;
    for (size_t i = 0; i < more; i++)
        size = size << 8 | data[2 + i];
    *head = 2 + more + 4;
    return *head + size;
}

/* Echoes frames in place: answers how many bytes of answer stand at data; *used were read. */
static size_t echo(uint8_t *data, size_t len, size_t *used)
{
    size_t made = 0, head, size;
    *used = 0;
    while ((size = frame_size(data + *used, len - *used, &head)) > 0 && size <= len - *used) {
        uint8_t mask[4];
        memcpy(mask, data + *used + head - 4, 4);
        /* Our head is the client's, less mask and mask bit, so what is made never overtakes. */
        memmove(data + made, data + *used, head - 4);
        data[made + 1] &= 0x7f;
        unmask(data + made + head - 4, data + *used + head, size - head, mask);
        made += size - 4;
        *used += size;
    }
    return made;
}

static void put(int fd, const uint8_t *data, size_t len)
{
    struct conn *conn = &conns[fd];
    ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        drop(fd);
        return;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done < len) {
        conn->out = malloc(len - done);
        conn->out_at = 0;
        conn->out_len = len - done;
        memcpy(conn->out, data + done, conn->out_len);
        watch(fd, EPOLLOUT);
    }
}

static void on_writable(int fd)
{
    struct conn *conn = &conns[fd];
    ssize_t sent = send(fd, conn->out + conn->out_at, conn->out_len - conn->out_at, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            drop(fd);
        return;
    }
    conn->out_at += (size_t)sent;
    if (conn->out_at == conn->out_len) {
        free(conn->out);
        conn->out = NULL;
        watch(fd, EPOLLIN);
    }
}

/* Keeps data[0..len), the begin of a frame, with room for all of it. */
static void keep(struct conn *conn, const uint8_t *data, size_t len)
{
    size_t head, whole = frame_size(data, len, &head);
    if (whole < READ_SIZE)
        whole = READ_SIZE;
    if (len > 0 && whole > conn->room) {
        uint8_t *rest = malloc(whole);
        memcpy(rest, data, len);
        free(conn->rest);
        conn->rest = rest;
        conn->room = whole;
    } else if (len > 0) {
        memmove(conn->rest, data, len);
    }
    conn->rest_len = len;
}

static void on_readable(int fd)
{
    struct conn *conn = &conns[fd];
    uint8_t *data = conn->rest_len > 0 ? conn->rest : input;
    size_t room = conn->rest_len > 0 ? conn->room - conn->rest_len : READ_SIZE;
    ssize_t got = recv(fd, data + conn->rest_len, room, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            drop(fd);
        return;
    }
    size_t len = conn->rest_len + (size_t)got, used, made;
    if (!conn->open) { /* a client waits for the answer before it sends frames */
        conn->open = memmem(data, len, "\r\n\r\n", 4) != NULL;
        if (conn->open)
            put(fd, (const uint8_t *)switch_protocol, sizeof switch_protocol - 1);
        else
            drop(fd);
        return;
    }
    made = echo(data, len, &used);
    if (made > 0)
        put(fd, data, made);
    if (conn->open)
        keep(conn, data + used, len - used);
}

static void accept_all(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        int on = 1;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (fd >= MAX_FDS || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0)
            close(fd);
    }
}

static int listen_on(int port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, 2048) < 0) {
        perror("epoll_ws_echo: listen");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: epoll_ws_echo PORT\n");
        return 2;
    }
    int listener = listen_on(atoi(argv[1]));
    poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int count = epoll_wait(poll, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_all(listener);
            else if (conns[fd].out)
                on_writable(fd);
            else
                on_readable(fd);
        }
    }
}
