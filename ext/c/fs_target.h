/* fs_target: the four forms of a request target (RFC 9112 section 3.2),
 * authorities, and percent-encoding (RFC 3986 section 2.1). */
#ifndef FS_TARGET_H
#define FS_TARGET_H

#include <stddef.h>
#include <stdint.h>

enum {
    FS_TARGET_ORIGIN = 1,      /* "/" path [ "?" query ] */
    FS_TARGET_ABSOLUTE = 2,    /* scheme "://" authority [ path ] [ "?" query ] */
    FS_TARGET_AUTHORITY = 3,   /* host ":" port, for CONNECT alone */
    FS_TARGET_ASTERISK = 4,    /* "*", for OPTIONS alone */
    FS_TARGET_BAD = -30,          /* 400: no form, or the wrong one for the method */
    FS_TARGET_BAD_ESCAPE = -31,   /* 400: "%" without two hex digits, in path or query */
    FS_TARGET_BAD_AUTHORITY = -32 /* 400: user information, empty host, or malformed host or port */
    /* Where a target has two faults the authority's is told, then the path's. */
};

typedef struct {
    uint32_t path_off, path_len;       /* length 0: an absolute form without path, meaning "/" */
    uint32_t query_off, query_len;     /* without the "?"; no query and an empty one look alike */
    uint32_t scheme_len;               /* absolute form: scheme is [0, scheme_len) */
    uint32_t host_off, host_len;       /* host [ ":" port ], absolute and authority forms */
    uint8_t form;
    uint8_t path_escaped;              /* 1: the path (not the query) holds a "%" */
} fs_target;

/* Reads the n bytes (0 < n < 2^32, all within fs_scan_target) at p.  `method` tells
 * which forms are allowed.  Returns the form, or a named negative, then *out is of no
 * use.  The absolute form needs the scheme http or https, in any case of letters; its
 * port may be empty, that of the authority form may not (RFC 9110 section 9.3.6). */
int fs_target_parse(const uint8_t *p, size_t n, const uint8_t *method, size_t method_len,
                    fs_target *out);

/* Undoes percent-encoding; every "%" is known to be good.  dst has room for n bytes
 * and may equal src.  Returns the bytes written. */
size_t fs_target_unescape(uint8_t *dst, const uint8_t *src, size_t n);

/* 1 where the n bytes at p are a valid Host value, RFC 9110 section 7.2: uri-host
 * [ ":" port ] with reg-name, IPv4 or bracketed IPv6/IPvFuture literal, port of at most
 * five digits, 0..65535, or empty; no user information, no IPv6 zone.  Empty is valid
 * for Host (0 bytes: returns 1), but a port without a host is not. */
int fs_target_host_ok(const uint8_t *p, size_t n);

#endif
