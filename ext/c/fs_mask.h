/* fs_mask: taking the mask off a payload, RFC 6455 section 5.3.
 *
 * Sixteen bytes at a time by SSE2 or NEON, else eight by words; FS_NO_SIMD leaves the words.
 */
#ifndef FS_MASK_H
#define FS_MASK_H

#include <stddef.h>
#include <stdint.h>

/* Writes the n bytes at src to dst, unmasked; dst is src, or does not overlap it.  The first
 * byte belongs to key[phase % 4]: `phase` is how many bytes of the payload came before. */
void fs_unmask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], size_t phase);

/* The same; returns 1 where all that was written is ASCII, else 0. */
int fs_unmask_ascii(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4],
                    size_t phase);

#endif
