/* fs_chunked: see fs_chunked.h.
 *
 *   SIZE --digits--> SIZE --CR--> LINE_LF --LF--> DATA -> DATA_CR -> DATA_LF -> SIZE
 *     |                              ^   `-- size 0: FS_CHUNK_LAST
 *     `-- ";" or BWS --> extension --'
 *
 * The extension states are the grammar of RFC 9112 section 7.1.1:
 *   BWS (white space; ";" must follow)   SEMI (";" seen, a name must follow)
 *   NAME   NAME_BWS ("=" or ";" must follow)   EQUALS (a value must follow)
 *   VALUE   QUOTED   ESCAPE (after "\")   CLOSED (after the closing quote)
 * Trailing white space before CRLF is in no rule, so it is an error.
 */
#include "fs_chunked.h"

#include "fs_block.h"

enum { SP = 0x20, HTAB = 0x09, CR = 0x0d, LF = 0x0a };

enum state {
    SIZE, LINE_LF, DATA, DATA_CR, DATA_LF,
    BWS, SEMI, NAME, NAME_BWS, EQUALS, VALUE, QUOTED, ESCAPE, CLOSED,
    BAD
};

static inline int is_blank(uint8_t c)
{
    return c == SP || c == HTAB;
}

static inline int is_token(uint8_t c)
{
    return fs_class[c] & FS_TOKEN;
}

/* The value of a hex digit, or 16 and more for any other byte. */
static inline unsigned hex_value(uint8_t c)
{
    unsigned digit = (unsigned)c - '0';
    if (digit < 10)
        return digit;
    unsigned letter = ((unsigned)c | 0x20) - 'a';
    return letter < 6 ? letter + 10 : 16;
}

void fs_chunked_init(fs_chunked *c, uint32_t extension_limit)
{
    c->left = 0;
    c->size = 0;
    c->extensions = 0;
    c->limit = extension_limit;
    c->state = SIZE;
    c->digits = 0;
}

/* The state after `c`, a byte of an extension that is no CR and no LF. */
static enum state step_extension(enum state state, uint8_t c)
{
    switch (state) {
    case SIZE: /* the first byte behind the size */
    case BWS:
        return c == ';' ? SEMI : is_blank(c) ? BWS : BAD;
    case SEMI:
        return is_blank(c) ? SEMI : is_token(c) ? NAME : BAD;
    case NAME:
        if (is_token(c))
            return NAME;
        /* fall through */
    case NAME_BWS:
        return c == '=' ? EQUALS : c == ';' ? SEMI : is_blank(c) ? NAME_BWS : BAD;
    case EQUALS:
        return is_blank(c) ? EQUALS : c == '"' ? QUOTED : is_token(c) ? VALUE : BAD;
    case VALUE:
        if (is_token(c))
            return VALUE;
        /* fall through */
    case CLOSED:
        return c == ';' ? SEMI : is_blank(c) ? BWS : BAD;
    case QUOTED:
        if (c == '"')
            return CLOSED;
        if (c == '\\')
            return ESCAPE;
        /* qdtext is the bytes of a field value without these two. */
        return (fs_class[c] & FS_VALUE) ? QUOTED : BAD;
    case ESCAPE:
        return (fs_class[c] & FS_VALUE) ? QUOTED : BAD;
    default:
        return BAD;
    }
}

/* One byte of a chunk's line.  Returns 0 or an error. */
static int read_line_byte(fs_chunked *c, uint8_t byte)
{
    if (c->state == SIZE) {
        unsigned digit = hex_value(byte);
        if (digit < 16) {
            if (c->digits == 16)
                return FS_CHUNK_BAD_SIZE;
            if (c->size >> 59)
                return FS_CHUNK_TOO_BIG;
            c->size = c->size << 4 | digit;
            c->digits++;
            return 0;
        }
    }
    if (byte == LF)
        return FS_CHUNK_BAD_END;
    if (c->state == SIZE && c->digits == 0)
        return FS_CHUNK_BAD_SIZE;
    if (byte == CR) {
        if (c->state != SIZE && c->state != NAME && c->state != VALUE && c->state != CLOSED)
            return FS_CHUNK_BAD_EXTENSION;
        c->state = LINE_LF;
        return 0;
    }
    /* What follows the digits is an extension if it can begin one, else the
     * size is no number. */
    if (c->state == SIZE && byte != ';' && !is_blank(byte))
        return FS_CHUNK_BAD_SIZE;
    if (c->extensions >= c->limit)
        return FS_CHUNK_BAD_EXTENSION;
    c->extensions++;
    enum state next = step_extension((enum state)c->state, byte);
    if (next == BAD)
        return FS_CHUNK_BAD_EXTENSION;
    c->state = (uint8_t)next;
    return 0;
}

int fs_chunked_next(fs_chunked *c, const uint8_t *p, size_t n, size_t *used,
                    size_t *data_off, size_t *data_len)
{
    int answer = FS_CHUNK_MORE;
    size_t at = 0;
    *data_off = 0;
    *data_len = 0;
    while (answer == FS_CHUNK_MORE && at < n) {
        switch ((enum state)c->state) {
        case DATA: {
            size_t run = n - at;
            if (run > c->left)
                run = (size_t)c->left;
            *data_off = at;
            *data_len = run;
            *used = at + run;
            c->left -= run;
            if (c->left == 0)
                c->state = DATA_CR;
            return FS_CHUNK_DATA;
        }
        case DATA_CR:
            if (p[at] != CR)
                answer = FS_CHUNK_BAD_END;
            c->state = DATA_LF;
            break;
        case DATA_LF:
            if (p[at] != LF)
                answer = FS_CHUNK_BAD_END;
            c->state = SIZE;
            c->size = 0;
            c->digits = 0;
            break;
        case LINE_LF:
            if (p[at] != LF)
                answer = FS_CHUNK_BAD_END;
            else if (c->size == 0)
                answer = FS_CHUNK_LAST;
            c->left = c->size;
            c->state = DATA;
            break;
        default:
            answer = read_line_byte(c, p[at]);
        }
        /* An offending byte is not used. */
        if (answer >= 0)
            at++;
    }
    *used = at;
    return answer;
}

size_t fs_chunked_write_head(uint8_t *dst, uint64_t size)
{
    static const char digits[16] = {'0', '1', '2', '3', '4', '5', '6', '7',
                                    '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};
    size_t length = 1;
    for (uint64_t rest = size >> 4; rest != 0; rest >>= 4)
        length++;
    for (size_t i = length; i > 0; i--, size >>= 4)
        dst[i - 1] = (uint8_t)digits[size & 15];
    dst[length] = CR;
    dst[length + 1] = LF;
    return length + 2;
}
