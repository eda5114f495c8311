/* Loops over the scanners that would take minutes from Python. */
#include "fs_scan.h"

#include <string.h>

typedef size_t (*scanner)(const uint8_t *, size_t);

/* Every length up to `most`, at 32 alignments, with each byte value at each
 * place between allowed bytes: the scanner stops there or at the end.  `end`
 * is where readable memory ends, so alignment 0 has nothing readable behind it.
 * Returns 0, or a number that tells the first case that failed. */
int64_t sweep_scanner(int which, const uint8_t allowed[256], uint8_t filler, uint8_t *end,
                      size_t most)
{
    static const scanner scanners[] = {fs_scan_field_value, fs_scan_target, fs_scan_token,
                                       fs_scan_quotable};
    scanner scan = scanners[which];
    for (size_t away = 0; away < 32; away++) {
        for (size_t n = 0; n <= most; n++) {
            uint8_t *p = end - away - n;
            memset(p, filler, n);
            memset(p + n, 0, away);
            p[-1] = 0;
            if (scan(p, n) != n)
                return (int64_t)(1000000 + away * 1000 + n);
            for (size_t at = 0; at < n; at++) {
                for (int value = 0; value < 256; value++) {
                    p[at] = (uint8_t)value;
                    size_t expected = allowed[value] ? n : at;
                    if (scan(p, n) != expected)
                        return (int64_t)(((away * 1000 + n) * 1000 + at) * 1000 + (size_t)value);
                }
                p[at] = filler;
            }
        }
    }
    return 0;
}
