/* fs_block: runs of allowed bytes, sixteen bytes at a time.  Private to the
 * leaves; fs_scan.h is the interface.
 *
 * A "stop" function looks at one block and answers a mask of the bytes that
 * are outside its class.  FS_NO_SIMD leaves only the table, which is the
 * definition of every class and what the tests compare the blocks with.
 *
 * No load ever leaves [p, p + end): the last, partial block is loaded so that
 * it ends at `end`, and the bytes already known are shifted out of its mask.
 */
#ifndef FS_BLOCK_H
#define FS_BLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    FS_TOKEN = 1,      /* tchar, RFC 9110 section 5.6.2 */
    FS_VALUE = 2,      /* HTAB, SP, VCHAR, obs-text, RFC 9110 section 5.5 */
    FS_TARGET = 4,     /* 0x21..0x7E without "#" */
    FS_PLAIN_PATH = 8, /* anything but "?" and "%" */
    FS_REG_NAME = 16,  /* unreserved and sub-delims, RFC 3986 section 2 */
    FS_HEX = 32        /* HEXDIG in either case */
};

static const uint8_t fs_class[256] = {
     8,  8,  8,  8,  8,  8,  8,  8,  8, 10,  8,  8,  8,  8,  8,  8,
     8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,
    10, 31, 14, 11, 31,  7, 31, 31, 30, 30, 31, 31, 30, 31, 31, 14,
    63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 14, 30, 14, 30, 14,  6,
    14, 63, 63, 63, 63, 63, 63, 31, 31, 31, 31, 31, 31, 31, 31, 31,
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 14, 14, 14, 15, 31,
    15, 63, 63, 63, 63, 63, 63, 31, 31, 31, 31, 31, 31, 31, 31, 31,
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 14, 15, 14, 31,  8,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
};

#if !defined(FS_NO_SIMD) && (defined(__SSE2__) || defined(_M_X64))
#include <emmintrin.h>
#define FS_BLOCK 16
#define FS_LANE 1 /* bits of mask per byte of block */
typedef __m128i fs_block;
typedef uint32_t fs_mask;

static inline fs_block fs_block_load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline fs_mask fs_stop_value(fs_block x)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x);
    __m128i tab = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x09));
    __m128i del = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f));
    return (fs_mask)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

static inline fs_mask fs_stop_target(fs_block x)
{
    /* Compared as signed, 0x80..0xFF are below 0x20 and so out as well. */
    __m128i in = _mm_cmpgt_epi8(x, _mm_set1_epi8(0x20));
    __m128i hash = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x23));
    __m128i del = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f));
    in = _mm_andnot_si128(_mm_or_si128(hash, del), in);
    return (fs_mask)_mm_movemask_epi8(in) ^ 0xffffu;
}

static inline fs_mask fs_stop_path(fs_block x)
{
    __m128i query = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x3f));
    __m128i escape = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x25));
    return (fs_mask)_mm_movemask_epi8(_mm_or_si128(query, escape));
}

/* Letters, digits and "-" only: a subset of token that three comparisons tell. */
static inline fs_mask fs_stop_name(fs_block x)
{
    /* x + (0x7F - last) wraps for what is above `last`, so one signed
     * comparison tells a range. */
    __m128i folded = _mm_or_si128(x, _mm_set1_epi8(0x20));
    __m128i alpha = _mm_cmpgt_epi8(_mm_add_epi8(folded, _mm_set1_epi8(0x7f - 'z')),
                                   _mm_set1_epi8(0x7f - 26));
    __m128i digit = _mm_cmpgt_epi8(_mm_add_epi8(x, _mm_set1_epi8(0x7f - '9')),
                                   _mm_set1_epi8(0x7f - 10));
    __m128i dash = _mm_cmpeq_epi8(x, _mm_set1_epi8('-'));
    return (fs_mask)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(alpha, digit), dash)) ^ 0xffffu;
}

#elif !defined(FS_NO_SIMD) && defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define FS_BLOCK 16
#define FS_LANE 4
typedef uint8x16_t fs_block;
typedef uint64_t fs_mask;

static inline fs_block fs_block_load(const uint8_t *p)
{
    return vld1q_u8(p);
}

/* NEON has no movemask: narrowing by four bits leaves one nibble per byte. */
static inline fs_mask fs_block_mask(uint8x16_t x)
{
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(x), 4)), 0);
}

static inline fs_mask fs_stop_value(fs_block x)
{
    uint8x16_t low = vbicq_u8(vcltq_u8(x, vdupq_n_u8(0x20)), vceqq_u8(x, vdupq_n_u8(0x09)));
    return fs_block_mask(vorrq_u8(low, vceqq_u8(x, vdupq_n_u8(0x7f))));
}

static inline fs_mask fs_stop_target(fs_block x)
{
    /* 0x21..0x7E is one range once 0x21 is taken off. */
    uint8x16_t out = vcgtq_u8(vsubq_u8(x, vdupq_n_u8(0x21)), vdupq_n_u8(0x7e - 0x21));
    return fs_block_mask(vorrq_u8(out, vceqq_u8(x, vdupq_n_u8(0x23))));
}

static inline fs_mask fs_stop_path(fs_block x)
{
    return fs_block_mask(
        vorrq_u8(vceqq_u8(x, vdupq_n_u8(0x3f)), vceqq_u8(x, vdupq_n_u8(0x25))));
}

/* Letters, digits and "-" only: a subset of token that three comparisons tell. */
static inline fs_mask fs_stop_name(fs_block x)
{
    uint8x16_t folded = vsubq_u8(vorrq_u8(x, vdupq_n_u8(0x20)), vdupq_n_u8('a'));
    uint8x16_t alpha = vcltq_u8(folded, vdupq_n_u8(26));
    uint8x16_t digit = vcltq_u8(vsubq_u8(x, vdupq_n_u8('0')), vdupq_n_u8(10));
    uint8x16_t dash = vceqq_u8(x, vdupq_n_u8('-'));
    return fs_block_mask(vmvnq_u8(vorrq_u8(vorrq_u8(alpha, digit), dash)));
}
#endif

#ifdef FS_BLOCK
#if defined(_MSC_VER)
#include <intrin.h>
#define FS_INLINE static __forceinline
static inline size_t fs_mask_first(fs_mask m)
{
    unsigned long at;
    _BitScanForward64(&at, m);
    return at / FS_LANE;
}
#else
#define FS_INLINE static inline __attribute__((always_inline))
static inline size_t fs_mask_first(fs_mask m)
{
    return (size_t)__builtin_ctzll(m) / FS_LANE;
}
#endif

typedef fs_mask (*fs_stop)(fs_block);

/* The first offset in [at, end) whose byte is outside the class (`stop` for
 * blocks, `bit` in the table: both must mean the same), or end.  Bytes before
 * `at` may be loaded but are not judged. */
FS_INLINE size_t fs_run(const uint8_t *p, size_t at, size_t end, fs_stop stop, uint8_t bit)
{
    while (end - at >= FS_BLOCK) {
        fs_mask m = stop(fs_block_load(p + at));
        if (m)
            return at + fs_mask_first(m);
        at += FS_BLOCK;
    }
    if (at < end && end >= FS_BLOCK) {
        size_t known = FS_BLOCK - (end - at);
        fs_mask m = stop(fs_block_load(p + end - FS_BLOCK)) >> (known * FS_LANE);
        return m ? at + fs_mask_first(m) : end;
    }
    while (at < end && (fs_class[p[at]] & bit))
        at++;
    return at;
}
#define FS_RUN(p, at, end, stop, bit) fs_run(p, at, end, stop, bit)
#else
static inline size_t fs_run_table(const uint8_t *p, size_t at, size_t end, uint8_t bit)
{
    while (at < end && (fs_class[p[at]] & bit))
        at++;
    return at;
}
#define FS_RUN(p, at, end, stop, bit) fs_run_table(p, at, end, bit)
#endif

static inline size_t fs_run_value(const uint8_t *p, size_t at, size_t end)
{
    return FS_RUN(p, at, end, fs_stop_value, FS_VALUE);
}

static inline size_t fs_run_target(const uint8_t *p, size_t at, size_t end)
{
    return FS_RUN(p, at, end, fs_stop_target, FS_TARGET);
}

static inline size_t fs_run_path(const uint8_t *p, size_t at, size_t end)
{
    return FS_RUN(p, at, end, fs_stop_path, FS_PLAIN_PATH);
}

/* Nearly every field name is letters, digits and "-", which blocks tell
 * cheaply; the table takes over at the first byte that is not. */
static inline size_t fs_run_token(const uint8_t *p, size_t at, size_t end)
{
#ifdef FS_BLOCK
    while (end - at >= FS_BLOCK) {
        fs_mask m = fs_stop_name(fs_block_load(p + at));
        if (m) {
            at += fs_mask_first(m);
            break;
        }
        at += FS_BLOCK;
    }
#endif
    while (at < end && (fs_class[p[at]] & FS_TOKEN))
        at++;
    return at;
}

#endif
