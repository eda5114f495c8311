/* fs_mask: see fs_mask.h.
 *
 * A payload of a block or more needs no loop for what is left over: its last block is made
 * first and written last, over whatever the blocks before it wrote there.  So it works in
 * place too, where a block may not be unmasked twice.
 */
#include "fs_mask.h"

#include <string.h>

#if !defined(FS_NO_SIMD) && (defined(__SSE2__) || defined(_M_X64))
#include <emmintrin.h>
#define BLOCK 16
typedef __m128i block;

static inline block load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline void store(uint8_t *p, block x)
{
    _mm_storeu_si128((__m128i *)(void *)p, x);
}

static inline block spread(uint32_t key)
{
    return _mm_set1_epi32((int)key);
}

static inline block flip(block x, block y)
{
    return _mm_xor_si128(x, y);
}

static inline block join(block x, block y)
{
    return _mm_or_si128(x, y);
}

static inline int is_ascii(block x)
{
    return _mm_movemask_epi8(x) == 0;
}

#elif !defined(FS_NO_SIMD) && defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define BLOCK 16
typedef uint8x16_t block;

static inline block load(const uint8_t *p)
{
    return vld1q_u8(p);
}

static inline void store(uint8_t *p, block x)
{
    vst1q_u8(p, x);
}

static inline block spread(uint32_t key)
{
    return vreinterpretq_u8_u32(vdupq_n_u32(key));
}

static inline block flip(block x, block y)
{
    return veorq_u8(x, y);
}

static inline block join(block x, block y)
{
    return vorrq_u8(x, y);
}

static inline int is_ascii(block x)
{
    return vmaxvq_u8(x) < 0x80;
}

#else
#define BLOCK 8
typedef uint64_t block;

static inline block load(const uint8_t *p)
{
    block x;
    memcpy(&x, p, 8);
    return x;
}

static inline void store(uint8_t *p, block x)
{
    memcpy(p, &x, 8);
}

static inline block spread(uint32_t key)
{
    return (block)key << 32 | key;
}

static inline block flip(block x, block y)
{
    return x ^ y;
}

static inline block join(block x, block y)
{
    return x | y;
}

static inline int is_ascii(block x)
{
    return (x & UINT64_C(0x8080808080808080)) == 0;
}
#endif

/* The key as it lies in memory, for a run that begins `phase` bytes later. */
static inline uint32_t turn(uint32_t key, size_t phase)
{
    unsigned bits = 8 * (phase & 3);
    if (bits == 0)
        return key;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return key << bits | key >> (32 - bits);
#else
    return key >> bits | key << (32 - bits);
#endif
}

/* Fewer bytes than a block; returns their union, in any order. */
static inline uint64_t unmask_few(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    if (n >= 8) {
        uint64_t x, y, twice = (uint64_t)key << 32 | key, last = turn(key, n);
        memcpy(&x, src, 8);
        memcpy(&y, src + n - 8, 8);
        x ^= twice;
        y ^= last << 32 | last;
        memcpy(dst, &x, 8);
        memcpy(dst + n - 8, &y, 8);
        return x | y;
    }
    if (n >= 4) {
        uint32_t x, y;
        memcpy(&x, src, 4);
        memcpy(&y, src + n - 4, 4);
        x ^= key;
        y ^= turn(key, n);
        memcpy(dst, &x, 4);
        memcpy(dst + n - 4, &y, 4);
        return x | y;
    }
    uint8_t bytes[4], seen = 0;
    memcpy(bytes, &key, 4);
    for (size_t i = 0; i < n; i++) {
        dst[i] = src[i] ^ bytes[i];
        seen |= dst[i];
    }
    return seen;
}

/* Whether all that was written is ASCII; costs nothing where nobody asks. */
static inline int unmask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4],
                         size_t phase)
{
    uint32_t turned;
    memcpy(&turned, key, 4);
    turned = turn(turned, phase);
    if (n < BLOCK)
        return (unmask_few(dst, src, n, turned) & UINT64_C(0x8080808080808080)) == 0;
    size_t at = 0, end = n - BLOCK; /* where the last block begins */
    block mask = spread(turned);
    block last = flip(load(src + end), spread(turn(turned, n)));
    block seen = last;
    while (end - at >= 4 * BLOCK) {
        block a = flip(load(src + at), mask), b = flip(load(src + at + BLOCK), mask);
        block c = flip(load(src + at + 2 * BLOCK), mask);
        block d = flip(load(src + at + 3 * BLOCK), mask);
        store(dst + at, a);
        store(dst + at + BLOCK, b);
        store(dst + at + 2 * BLOCK, c);
        store(dst + at + 3 * BLOCK, d);
        seen = join(seen, join(join(a, b), join(c, d)));
        at += 4 * BLOCK;
    }
    for (; at < end; at += BLOCK) {
        block x = flip(load(src + at), mask);
        store(dst + at, x);
        seen = join(seen, x);
    }
    store(dst + end, last);
    return is_ascii(seen);
}

void fs_unmask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], size_t phase)
{
    unmask(dst, src, n, key, phase);
}

int fs_unmask_ascii(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4],
                    size_t phase)
{
    return unmask(dst, src, n, key, phase);
}
