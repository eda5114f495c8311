/* What the torments share: seeded dice, a demand that aborts, and input in a heap block of just
 * its size, so that AddressSanitizer sees one byte too many.
 */
#ifndef DICE_H
#define DICE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t dice;

static uint32_t roll(uint32_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)(dice >> 32) % below;
}

static void demand(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

/* A copy of just n bytes, to be freed. */
static uint8_t *exact(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (copy == NULL)
        abort();
    memcpy(copy, data, n);
    return copy;
}

/* The body of a torment's main: invents input and torments with it, for argv[1] seconds (1) from
 * seed argv[2] (1); prints how often. `data` has the room that `invent` fills. */
static inline int torments(int argc, char **argv, uint8_t *data, size_t (*invent)(uint8_t *),
                           void (*torment)(const uint8_t *, size_t))
{
    unsigned long count = 0;
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    dice = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1) * 0x9e3779b97f4a7c15u + 1;
    clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
    while (clock() < end) {
        torment(data, invent(data));
        count++;
    }
    printf("%lu\n", count);
    return 0;
}

#endif
