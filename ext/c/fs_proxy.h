/* fs_proxy: the header that the PROXY protocol puts in front of a connection's bytes, versions 1
 * and 2 (haproxy.org, proxy-protocol.txt of 2020).
 *
 * Strict: one space between the words of version 1, no controls in it, addresses of the family
 * it names and ports without leading zeros; in version 2 the defined commands, families and
 * transports, and extensions (TLVs) that end where the header does.  What is wrong is refused
 * at the first byte that shows it or at the end of the header, so the answer does not depend on
 * how the input was cut.
 */
#ifndef FS_PROXY_H
#define FS_PROXY_H

#include "fs_address.h"

#include <stddef.h>
#include <stdint.h>

enum {
    FS_PROXY_MORE = 0,
    FS_PROXY_BAD = -70,  /* no header, or one that cannot be read */
    FS_PROXY_LONG = -71  /* version 2: longer than the caller takes */
};

enum {
    FS_PROXY_V1_MOST = 107,       /* of version 1, with its line end */
    FS_PROXY_V2_HEAD = 16,        /* of version 2, before addresses and extensions */
    FS_PROXY_PATH_MOST = 108
};

/* Whose addresses a header gives. */
enum {
    FS_PROXY_NONE = 0,   /* none: the socket's own stay (LOCAL, UNKNOWN, UNSPEC) */
    FS_PROXY_INET = 1,   /* both fields of the struct */
    FS_PROXY_UNIX = 2    /* a unix socket; path_off and path_len say its name (of the server) */
};

typedef struct {
    uint8_t kind;
    uint8_t client[FS_ADDRESS_LEN];
    uint8_t server[FS_ADDRESS_LEN];
    uint16_t client_port;
    uint16_t server_port;
    uint32_t path_off;   /* in p */
    uint32_t path_len;
} fs_proxy;

/* Reads the header at the begin of the n bytes at p; at most `most` bytes if it is of version 2.
 * Returns its length, FS_PROXY_MORE or a negative. */
int32_t fs_proxy_parse(const uint8_t *p, size_t n, size_t most, fs_proxy *out);

#endif
