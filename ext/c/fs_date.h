/* fs_date: times as text. */
#ifndef FS_DATE_H
#define FS_DATE_H

#include <stddef.h>
#include <stdint.h>

#define FS_DATE_LEN 29
#define FS_DATE_LOG_LEN 19
#define FS_DATE_COMMON_LEN 26

/* Writes IMF-fixdate (RFC 9110 section 5.6.7), "Sun, 06 Nov 1994 08:49:37 GMT",
 * FS_DATE_LEN bytes and no NUL, for `seconds` since the Unix epoch, years 1970 to
 * 9999: a time outside is moved to the nearest second inside. */
void fs_date_http(uint8_t *dst, int64_t seconds);

/* Writes "1994-11-06 08:49:37" (no NUL, FS_DATE_LOG_LEN bytes) for seconds + offset,
 * offset being the local zone's distance from UTC in seconds; seconds and the sum are
 * kept within the years 1970 to 9999 as above. */
void fs_date_log(uint8_t *dst, int64_t seconds, int32_t offset);

/* Writes the time of the common log format, "10/Oct/2000:13:55:36 -0700" (no NUL,
 * FS_DATE_COMMON_LEN bytes), for the same arguments; an offset of a day or more is shown
 * as 0. */
void fs_date_common(uint8_t *dst, int64_t seconds, int32_t offset);

/* Writes v in decimal at dst, which has room for 20 bytes; returns the length. */
size_t fs_decimal(uint8_t *dst, uint64_t v);

#endif
