/* fs_block: runs of allowed bytes, sixteen bytes at a time.  Private to the
 * leaves; fs_scan.h is the interface.
 *
 * A "stop" function looks at one block and answers a mask of the bytes that
 * are outside its class.  FS_NO_SIMD leaves only the table, which is the
 * definition of every class and what the tests compare the blocks with.
 *
 * Blocks of 32 bytes (AVX2) do not pay: compiled in without any dispatch they took
 * 5 % of the instructions off a browser's 14 fields and added 6 % to a short head.
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
    FS_HEX = 32,       /* HEXDIG in either case */
    FS_QUOTABLE = 64   /* 0x20..0x7E without the quote and the backslash */
};

static const uint8_t fs_class[256] = {
      8,   8,   8,   8,   8,   8,   8,   8,   8,  10,   8,   8,   8,   8,   8,   8,
      8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,
     74,  95,  14,  75,  95,  71,  95,  95,  94,  94,  95,  95,  94,  95,  95,  78,
    127, 127, 127, 127, 127, 127, 127, 127, 127, 127,  78,  94,  78,  94,  78,  70,
     78, 127, 127, 127, 127, 127, 127,  95,  95,  95,  95,  95,  95,  95,  95,  95,
     95,  95,  95,  95,  95,  95,  95,  95,  95,  95,  95,  78,  14,  78,  79,  95,
     79, 127, 127, 127, 127, 127, 127,  95,  95,  95,  95,  95,  95,  95,  95,  95,
     95,  95,  95,  95,  95,  95,  95,  95,  95,  95,  95,  78,  79,  78,  95,   8,
     10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,
     10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,
     10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,
     10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,
     10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,
     10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,
     10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,
     10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,  10,
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

/* Stops at HTAB too, which fs_run_value then steps over: it is too rare to be
 * worth two instructions in every block. */
static inline fs_mask fs_stop_value(fs_block x)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x);
    __m128i del = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f));
    return (fs_mask)_mm_movemask_epi8(_mm_or_si128(low, del));
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

static inline fs_mask fs_stop_quotable(fs_block x)
{
    /* Compared as signed, 0x80..0xFF are below 0x1f and so out as well. */
    __m128i in = _mm_cmpgt_epi8(x, _mm_set1_epi8(0x1f));
    __m128i quote = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x22));
    __m128i slash = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x5c));
    __m128i del = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f));
    in = _mm_andnot_si128(_mm_or_si128(_mm_or_si128(quote, slash), del), in);
    return (fs_mask)_mm_movemask_epi8(in) ^ 0xffffu;
}

/* Letters and "-" only: the part of token that two comparisons tell, and all
 * that most field names are made of. */
static inline fs_mask fs_stop_name(fs_block x)
{
    /* x + (0x7F - 'z') wraps for what is above 'z', so one signed comparison
     * tells the range. */
    __m128i folded = _mm_or_si128(x, _mm_set1_epi8(0x20));
    __m128i alpha = _mm_cmpgt_epi8(_mm_add_epi8(folded, _mm_set1_epi8(0x7f - 'z')),
                                   _mm_set1_epi8(0x7f - 26));
    __m128i dash = _mm_cmpeq_epi8(x, _mm_set1_epi8('-'));
    return (fs_mask)_mm_movemask_epi8(_mm_or_si128(alpha, dash)) ^ 0xffffu;
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

/* Stops at HTAB too, as above. */
static inline fs_mask fs_stop_value(fs_block x)
{
    return fs_block_mask(vorrq_u8(vcltq_u8(x, vdupq_n_u8(0x20)), vceqq_u8(x, vdupq_n_u8(0x7f))));
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

static inline fs_mask fs_stop_quotable(fs_block x)
{
    /* 0x20..0x7E is one range once 0x20 is taken off. */
    uint8x16_t out = vcgtq_u8(vsubq_u8(x, vdupq_n_u8(0x20)), vdupq_n_u8(0x7e - 0x20));
    uint8x16_t escaped = vorrq_u8(vceqq_u8(x, vdupq_n_u8(0x22)), vceqq_u8(x, vdupq_n_u8(0x5c)));
    return fs_block_mask(vorrq_u8(out, escaped));
}

/* Letters and "-" only: the part of token that two comparisons tell. */
static inline fs_mask fs_stop_name(fs_block x)
{
    uint8x16_t folded = vsubq_u8(vorrq_u8(x, vdupq_n_u8(0x20)), vdupq_n_u8('a'));
    uint8x16_t alpha = vcltq_u8(folded, vdupq_n_u8(26));
    uint8x16_t dash = vceqq_u8(x, vdupq_n_u8('-'));
    return fs_block_mask(vmvnq_u8(vorrq_u8(alpha, dash)));
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
    return (unsigned)__builtin_ctzll(m) / FS_LANE;
}
#endif

typedef fs_mask (*fs_stop)(fs_block);

/* The first offset in [at, end) at which `stop` stops, or end.  Where there is no
 * block to be had the table's `bit` decides; `stop` may stop more often than it, and
 * the caller then goes on.  Bytes before `at` may be loaded but are not judged. */
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
    for (;;) {
        at = FS_RUN(p, at, end, fs_stop_value, FS_VALUE);
        if (at >= end || p[at] != 0x09)
            return at;
        at++;
    }
}

static inline size_t fs_run_target(const uint8_t *p, size_t at, size_t end)
{
    return FS_RUN(p, at, end, fs_stop_target, FS_TARGET);
}

static inline size_t fs_run_path(const uint8_t *p, size_t at, size_t end)
{
    return FS_RUN(p, at, end, fs_stop_path, FS_PLAIN_PATH);
}

static inline size_t fs_run_quotable(const uint8_t *p, size_t at, size_t end)
{
    return FS_RUN(p, at, end, fs_stop_quotable, FS_QUOTABLE);
}

/* Blocks as far as they reach; the table takes over at the first byte that is no
 * letter and no "-". */
static inline size_t fs_run_token(const uint8_t *p, size_t at, size_t end)
{
    at = FS_RUN(p, at, end, fs_stop_name, FS_TOKEN);
    while (at < end && (fs_class[p[at]] & FS_TOKEN))
        at++;
    return at;
}

#endif
