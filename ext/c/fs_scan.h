/* fs_scan: how far a run of allowed bytes reaches.
 *
 * Every function takes `n` readable bytes at `p` (none needs padding or
 * alignment) and returns how many leading bytes belong to the class, 0..n.
 * Nothing here allocates, keeps state or can fail.
 */
#ifndef FS_SCAN_H
#define FS_SCAN_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of a field value, RFC 9110 section 5.5: HTAB, SP, VCHAR, obs-text.
 * Stops at any other control byte, so at CR, LF, NUL and DEL. */
size_t fs_scan_field_value(const uint8_t *p, size_t n);

/* Bytes of a request target as we take them: 0x21..0x7E without '#'.
 * RFC 3986 allows fewer; browsers leave | { } ^ ` " < > and \ unescaped, so
 * these pass (a named leniency).  A fragment is never sent, RFC 9112 3.2. */
size_t fs_scan_target(const uint8_t *p, size_t n);

/* token, RFC 9110 section 5.6.2. */
size_t fs_scan_token(const uint8_t *p, size_t n);

/* Bytes that stand for themselves between double quotes, in a log line as in
 * JSON: 0x20..0x7E without the quote and the backslash. */
size_t fs_scan_quotable(const uint8_t *p, size_t n);

/* Copies n bytes from src to dst (which may be the same place but must not
 * overlap otherwise), ASCII letters made lower-case. */
void fs_lower(uint8_t *dst, const uint8_t *src, size_t n);

/* 1 where the n bytes at p equal the lower-case ASCII text at `lower`
 * when ASCII case is ignored, else 0.  `lower` has n readable bytes. */
int fs_equal_nocase(const uint8_t *p, const char *lower, size_t n);

#endif
