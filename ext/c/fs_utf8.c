/* fs_utf8: see fs_utf8.h.
 *
 * An automaton whose states are shifts: `rows` has one word for each byte, and a state's
 * successor lies in it at the bit that is the state's number.  So a byte costs two loads
 * and a shift, whatever it is, and no branch; what is wrong stays wrong and is looked for
 * once a block.  ASCII is stepped over by blocks.
 *
 * Instructions per byte of 256 KiB (callgrind, GCC 12 -O3): ASCII 0.8, German 5.1, Russian,
 * Japanese and emoji 5.8; CPython's decoder, which follows for text that is no ASCII, takes
 * 8.1 to 11.5.  A decoder of whole characters, with branches, took 4.8 to 11.6 here; SSSE3's
 * shuffles would take about 1.5 (counted, not run).  No more is spent on it, because only
 * text that comes in parts is checked here: the rest is decoded at once.
 */
#include "fs_utf8.h"

#include <string.h>

#if !defined(FS_NO_SIMD) && (defined(__SSE2__) || defined(_M_X64))
#include <emmintrin.h>

static inline int is_ascii(const uint8_t *p)
{
    return _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)p)) == 0;
}

#elif !defined(FS_NO_SIMD) && defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>

static inline int is_ascii(const uint8_t *p)
{
    return vmaxvq_u8(vld1q_u8(p)) < 0x80;
}

#else
static inline int is_ascii(const uint8_t *p)
{
    uint64_t x, y;
    memcpy(&x, p, 8);
    memcpy(&y, p + 8, 8);
    return ((x | y) & UINT64_C(0x8080808080808080)) == 0;
}
#endif

enum {
    BLOCK = 16,
    STATE = 63, /* the bits of a shift that count */
    START = 0,  /* between characters */
    BAD = 6,
    LAST = 12,  /* one more byte, of 80..BF */
    TWO = 18,   /* two more */
    THREE = 24,
    E0 = 30,    /* two more, A0..BF first: below is an overlong form */
    ED = 36,    /* two more, 80..9F first: above are the surrogates */
    F0 = 42,    /* three more, 90..BF first: below is an overlong form */
    F4 = 48     /* three more, 80..8F first: above is more than U+10FFFF */
};

#define TO(from, to) ((uint64_t)((to) ^ BAD) << (from))
#define ALL_BAD (UINT64_C(0x0006186186186186)) /* BAD at each of the nine states */
#define ROW(steps) (ALL_BAD ^ (steps))

#define WRONG ROW(0)
#define ASCII ROW(TO(START, START))
#define MIDDLE TO(LAST, START) ^ TO(TWO, LAST) ^ TO(THREE, TWO)
#define LOW ROW(MIDDLE ^ TO(ED, LAST) ^ TO(F4, TWO))
#define NEXT ROW(MIDDLE ^ TO(ED, LAST) ^ TO(F0, TWO))
#define HIGH ROW(MIDDLE ^ TO(E0, LAST) ^ TO(F0, TWO))
#define LEAD(state) ROW(TO(START, state))

#define FOUR(x) x, x, x, x
#define SIXTEEN(x) FOUR(x), FOUR(x), FOUR(x), FOUR(x)

static const uint64_t rows[256] = {
    SIXTEEN(ASCII), SIXTEEN(ASCII), SIXTEEN(ASCII), SIXTEEN(ASCII), /* 00..3F */
    SIXTEEN(ASCII), SIXTEEN(ASCII), SIXTEEN(ASCII), SIXTEEN(ASCII), /* 40..7F */
    SIXTEEN(LOW), SIXTEEN(NEXT), SIXTEEN(HIGH), SIXTEEN(HIGH),      /* 80..BF */
    WRONG, WRONG, LEAD(LAST), LEAD(LAST),                           /* C0..C3 */
    FOUR(LEAD(LAST)), FOUR(LEAD(LAST)), FOUR(LEAD(LAST)),           /* C4..CF */
    SIXTEEN(LEAD(LAST)),                                            /* D0..DF */
    LEAD(E0), LEAD(TWO), LEAD(TWO), LEAD(TWO),                      /* E0..E3 */
    FOUR(LEAD(TWO)), FOUR(LEAD(TWO)),                               /* E4..EB */
    LEAD(TWO), LEAD(ED), LEAD(TWO), LEAD(TWO),                      /* EC..EF */
    LEAD(F0), LEAD(THREE), LEAD(THREE), LEAD(THREE),                /* F0..F3 */
    LEAD(F4), WRONG, WRONG, WRONG,                                  /* F4..F7 */
    FOUR(WRONG), FOUR(WRONG),                                       /* F8..FF */
};

/* The state after one more byte; only its STATE bits mean something. */
static inline uint64_t step(uint64_t state, uint8_t byte)
{
    return rows[byte] >> (state & STATE);
}

size_t fs_utf8_run(fs_utf8 *state, const uint8_t *p, size_t n)
{
    uint64_t now = state->inside;
    size_t at = 0;
    for (; n - at >= BLOCK; at += BLOCK) {
        if ((now & STATE) == START && is_ascii(p + at))
            continue;
        uint64_t then = now;
        for (size_t i = 0; i < BLOCK; i++)
            then = step(then, p[at + i]);
        if ((then & STATE) == BAD)
            break;
        now = then;
    }
    for (; at < n; at++) {
        now = step(now, p[at]);
        if ((now & STATE) == BAD)
            break;
    }
    state->inside = now & STATE;
    return at;
}
