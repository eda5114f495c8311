/* A client's opening handshake, RFC 6455 section 4.1, one blocking connection at a time. */
#ifndef WSLOAD_HANDSHAKE_H
#define WSLOAD_HANDSHAKE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* The key of RFC 6455 section 1.3 and its answer: no SHA-1 is needed here. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

enum { PATIENCE_S = 10 };

/* Ends the program with a line on standard error. */
__attribute__((noreturn)) static inline void fail(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(status);
}

static inline int handshake_dial(int port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_sec = PATIENCE_S};
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail(1, "connect: %s", strerror(errno));
    return fd;
}

/* The value of a field of the head, whose end is zeroed; NULL without one. */
static inline const char *head_field(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    return at ? at + strlen(name) + strspn(at + strlen(name), " \t") : NULL;
}

static inline void check_head(const char *head, bool deflate)
{
    const char *accept = head_field(head, "\r\nSec-WebSocket-Accept:");
    const char *extensions = head_field(head, "\r\nSec-WebSocket-Extensions:");
    if (strncmp(head, "HTTP/1.1 101 ", 13) != 0)
        fail(1, "the handshake was answered with %.12s", head);
    if (accept == NULL || strncmp(accept, ACCEPT "\r\n", sizeof ACCEPT + 1) != 0)
        fail(1, "the handshake's Sec-WebSocket-Accept is missing or wrong");
    if (extensions && !deflate)
        fail(1, "the server chose an extension that was not offered");
    if (deflate && (!extensions || !strcasestr(extensions, "permessage-deflate")))
        fail(3, "has no permessage-deflate");
    if (extensions && strcasestr(extensions, "client_max_window_bits"))
        fail(1, "the server limits a window that was not offered");
}

/* Opens a WebSocket on `fd`; head[0..*have) is what came, the return value where frames begin. */
static inline size_t handshake(int fd, int port, const char *path, bool deflate, char *head,
                               size_t size, size_t *have)
{
    const char *offer =
        deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n" : "";
    int n = snprintf(head, size,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY
                     "\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                     path, port, offer);
    char *end = NULL;
    if (send(fd, head, (size_t)n, MSG_NOSIGNAL) != n)
        fail(1, "the handshake could not be sent");
    for (*have = 0; end == NULL;) {
        ssize_t got = recv(fd, head + *have, size - 1 - *have, 0);
        if (got <= 0)
            fail(1, "the handshake was not answered");
        *have += (size_t)got;
        head[*have] = 0;
        end = strstr(head, "\r\n\r\n");
    }
    end[2] = 0;
    check_head(head, deflate);
    return (size_t)(end + 4 - head);
}

#endif
