/* The lowest limit: one epoll loop that answers every request with the same bytes.
 *
 * It finds the end of a request head and a Content-Length and nothing more, so what is left is the
 * kernel's price for one read, one write and one epoll wait. A server cannot be cheaper with the
 * same system calls.
 *
 * Usage: epoll_constant PORT BODY
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 65536, MAX_FDS = 65536, MAX_EVENTS = 256, MAX_ANSWERS = 1024 };

/* What is kept of a connection between two reads: an unfinished head, or a body under way. */
struct conn {
    char *rest;
    size_t rest_len;
    size_t body_left;
};

static struct conn conns[MAX_FDS];
static char input[2 * READ_SIZE];
static char *answers;
static size_t answer_len;

static void drop(int fd)
{
    free(conns[fd].rest);
    memset(&conns[fd], 0, sizeof conns[fd]);
    close(fd);
}

static size_t body_length(const char *head, size_t len)
{
    static const char name[] = "\r\nContent-Length: ";
    const char *at = memmem(head, len, name, sizeof name - 1);
    return at ? strtoull(at + sizeof name - 1, NULL, 10) : 0;
}

/* Counts the requests that end within data[0..len) and keeps the unfinished rest. */
static size_t consume(struct conn *conn, const char *data, size_t len)
{
    size_t done = 0;
    while (len > 0) {
        if (conn->body_left > 0) {
            size_t taken = conn->body_left < len ? conn->body_left : len;
            conn->body_left -= taken;
            data += taken;
            len -= taken;
            if (conn->body_left == 0)
                done++;
            continue;
        }
        const char *end = memmem(data, len, "\r\n\r\n", 4);
        if (end == NULL)
            break;
        size_t head = (size_t)(end - data) + 4;
        conn->body_left = body_length(data, head);
        if (conn->body_left == 0)
            done++;
        data += head;
        len -= head;
    }
    free(conn->rest);
    conn->rest = NULL;
    conn->rest_len = len;
    if (len > 0) {
        conn->rest = malloc(len);
        memcpy(conn->rest, data, len);
    }
    return done;
}

static void on_readable(int fd)
{
    struct conn *conn = &conns[fd];
    if (conn->rest_len > READ_SIZE) { /* a head over 64 KiB is no benchmark's */
        drop(fd);
        return;
    }
    if (conn->rest_len > 0)
        memcpy(input, conn->rest, conn->rest_len);
    ssize_t got = read(fd, input + conn->rest_len, READ_SIZE);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            drop(fd);
        return;
    }
    size_t done = consume(conn, input, conn->rest_len + (size_t)got);
    if (done > MAX_ANSWERS)
        done = MAX_ANSWERS;
    if (done > 0 && write(fd, answers, done * answer_len) != (ssize_t)(done * answer_len))
        drop(fd);
}

static void accept_all(int listener, int poll)
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
        .sin_port = htons((unsigned short)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, 2048) < 0) {
        perror("epoll_constant: listen");
        exit(1);
    }
    return fd;
}

static void make_answers(const char *body)
{
    char one[4096];
    int len = snprintf(one, sizeof one,
                       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(body), body);
    if (len < 0 || (size_t)len >= sizeof one) {
        fprintf(stderr, "epoll_constant: body too long\n");
        exit(1);
    }
    answer_len = (size_t)len;
    answers = malloc(answer_len * MAX_ANSWERS);
    for (int i = 0; i < MAX_ANSWERS; i++)
        memcpy(answers + (size_t)i * answer_len, one, answer_len);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: epoll_constant PORT BODY\n");
        return 2;
    }
    make_answers(argv[2]);
    int listener = listen_on(atoi(argv[1]));
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int count = epoll_wait(poll, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_all(listener, poll);
            else
                on_readable(events[i].data.fd);
        }
    }
}
