/* fs_utf8: UTF-8 that may be cut anywhere, RFC 3629: no overlong forms, no surrogates,
 * nothing above U+10FFFF, and no byte is taken that cannot continue what came before.
 */
#ifndef FS_UTF8_H
#define FS_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Where a text stands; all zero is its beginning. */
typedef struct {
    uint8_t inside; /* 0: the text may end here; else it is within a character */
} fs_utf8;

/* How many of the n bytes at p can continue the text; fewer than n: the next one cannot, and
 * the state is of no more use. */
size_t fs_utf8_run(fs_utf8 *state, const uint8_t *p, size_t n);

#endif
