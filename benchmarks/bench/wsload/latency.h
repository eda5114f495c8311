/* A histogram of latencies: 64 buckets for each doubling, so a figure is right to 1.6 %. */
#ifndef WSLOAD_LATENCY_H
#define WSLOAD_LATENCY_H

#include <stddef.h>
#include <stdint.h>

enum { LATENCY_BUCKETS = 64 * 40 };

struct latency {
    uint64_t buckets[LATENCY_BUCKETS], total, highest;
};

static inline void latency_count(struct latency *latency, uint64_t ns)
{
    unsigned shift = 0;
    if (ns > latency->highest)
        latency->highest = ns;
    while (ns >> shift >= 128)
        shift++;
    size_t bucket = shift * 64 + (ns >> shift);
    latency->buckets[bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1]++;
    latency->total++;
}

/* The latency in microseconds that `share` of all did not exceed; 0 without any. */
static inline double latency_us(const struct latency *latency, double share)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += latency->buckets[i];
        if (seen > 0 && (double)seen >= share * (double)latency->total) {
            size_t shift = i < 128 ? 0 : i / 64 - 1;
            return (double)((uint64_t)(i - shift * 64) << shift) / 1e3;
        }
    }
    return 0;
}

#endif
