/* fs_clock: the clocks, as inline functions over the C library.
 *
 * The coarse clock is read from the page the kernel maps into every process
 * and lags by at most one kernel tick; that is good enough for deadlines.
 */
#ifndef FS_CLOCK_H
#define FS_CLOCK_H

#include <stdint.h>
#include <time.h>

#ifdef _WIN32
#include <windows.h>
static inline int64_t fs_clock_monotonic_coarse_ms(void) { return (int64_t)GetTickCount64(); }
static inline int64_t fs_clock_monotonic_us(void)
{
    LARGE_INTEGER now, per_second;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&per_second);
    return (int64_t)((double)now.QuadPart * 1e6 / (double)per_second.QuadPart);
}
static inline int64_t fs_clock_wall_seconds(void) { return (int64_t)time(NULL); }
static inline int64_t fs_clock_wall_ms(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
#else
#ifdef CLOCK_MONOTONIC_COARSE
#define FS_CLOCK_COARSE CLOCK_MONOTONIC_COARSE
#define FS_CLOCK_WALL CLOCK_REALTIME_COARSE
#else
#define FS_CLOCK_COARSE CLOCK_MONOTONIC
#define FS_CLOCK_WALL CLOCK_REALTIME
#endif
static inline int64_t fs_clock_monotonic_coarse_ms(void)
{
    struct timespec t;
    clock_gettime(FS_CLOCK_COARSE, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
static inline int64_t fs_clock_monotonic_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
static inline int64_t fs_clock_wall_seconds(void)
{
    struct timespec t;
    clock_gettime(FS_CLOCK_WALL, &t);
    return (int64_t)t.tv_sec;
}
static inline int64_t fs_clock_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
#endif

#endif
