/* fs_hpack: the representations of HPACK, RFC 7541 sections 5 and 6, one after the other.
 *
 * Knows the static table, and nothing of a dynamic one: whether an index or a size is in its
 * bounds is the caller's to say.
 */
#ifndef FS_HPACK_H
#define FS_HPACK_H

#include <stddef.h>
#include <stdint.h>

/* What a representation is, section 6. */
enum {
    FS_HPACK_INDEXED = 1,
    FS_HPACK_INDEXING = 2, /* a literal that becomes an entry of the dynamic table */
    FS_HPACK_WITHOUT = 3,  /* a literal without indexing */
    FS_HPACK_NEVER = 4,    /* a literal that nobody may index */
    FS_HPACK_SIZE = 5      /* an update of the dynamic table's size */
};

enum {
    FS_HPACK_CUT = -82,         /* the block ends within a representation */
    FS_HPACK_BAD_INTEGER = -83, /* above 2^32 - 1, or more than 5 bytes behind its first */
    FS_HPACK_BAD_INDEX = -84    /* 0 as the index of a field, section 6.1 */
};

enum {
    FS_HPACK_STATIC = 61,      /* entries of the static table */
    FS_HPACK_OVERHEAD = 32,    /* bytes that an entry counts besides its own, section 4.1 */
    FS_HPACK_INTEGER_MOST = 6  /* bytes of an integer that is written */
};

/* An entry of the static table, appendix A; the texts end in a NUL that is not counted. */
typedef struct {
    const char *name;
    const char *value;
    uint8_t name_len;
    uint8_t value_len;
} fs_hpack_pair;

/* A string literal, section 5.2: n bytes of the block. */
typedef struct {
    const uint8_t *p;
    uint32_t n;
    uint8_t huffman; /* 0 or 1 */
} fs_hpack_string;

typedef struct {
    uint8_t kind;          /* FS_HPACK_* */
    uint32_t index;        /* of the field or its name, 0: a literal name; or the new size */
    fs_hpack_string name;  /* set where index is 0 */
    fs_hpack_string value; /* set for literals */
} fs_hpack_item;

/* The entry with this index, 1 to FS_HPACK_STATIC. */
const fs_hpack_pair *fs_hpack_static_pair(unsigned index);

/* Reads the integer, section 5.1, whose prefix is the last `prefix` (1 to 8) bits of p[0]; n
 * bytes are there. Returns the bytes it takes, or an error. */
int fs_hpack_read_integer(const uint8_t *p, size_t n, unsigned prefix, uint32_t *value);

/* Reads the representation that begins at p, where n bytes, at least one, are left of the block.
 * Returns the bytes it takes, or an error. */
int64_t fs_hpack_read(const uint8_t *p, size_t n, fs_hpack_item *out);

/* Writes an integer; `first` holds the bits before its prefix. Returns the bytes written, at
 * most FS_HPACK_INTEGER_MOST. */
size_t fs_hpack_write_integer(uint8_t *dst, uint8_t first, unsigned prefix, uint32_t value);

/* Writes a string literal of the n bytes at p, Huffman-coded where that is shorter. dst has room
 * for FS_HPACK_INTEGER_MOST + n bytes. Returns the bytes written. */
size_t fs_hpack_write_string(uint8_t *dst, const uint8_t *p, uint32_t n);

#endif
