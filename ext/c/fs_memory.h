/* fs_memory: how the C library's allocator treats blocks of a read's size.
 *
 * glibc maps and unmaps blocks above 128 KiB one by one, and gives the top of the heap back
 * to the kernel as soon as 128 KiB of it are free.  A server that reads and drops uploads in
 * blocks of 64 to 256 KiB, or puts WebSocket messages of a megabyte together, then spends its
 * time on page faults (measured for an echo of 1 MiB: 190 of them, and half the time).
 */
#ifndef FS_MEMORY_H
#define FS_MEMORY_H

#include <stdint.h>   /* defines __GLIBC__ where that is the C library */

#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Keeps up to 8 MiB of freed heap for the next read.  For the whole process, so only a
 * program that is a server may call it.  Returns 1 where there is something to set. */
static inline int fs_memory_keep_blocks(void)
{
#ifdef __GLIBC__
    return mallopt(M_MMAP_THRESHOLD, 4 << 20) == 1 && mallopt(M_TRIM_THRESHOLD, 8 << 20) == 1;
#else
    return 0;
#endif
}

#endif
