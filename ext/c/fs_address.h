/* fs_address: IP addresses as text and as 16 bytes, and networks of them.
 *
 * An IPv4 address is held in its IPv4-mapped form (::ffff:a.b.c.d, RFC 4291 section 2.5.5.2), so
 * that it is the same address whether it came from an IPv4 or a dual-stack socket.
 *
 * Strict: four numbers without leading zeros, or RFC 4291 section 2.2, where "::" stands for
 * at least one group.  Zone identifiers mean nothing to another host and are refused.
 */
#ifndef FS_ADDRESS_H
#define FS_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

enum {
    FS_ADDRESS_LEN = 16,
    FS_ADDRESS_TEXT_MOST = 39,
    FS_ADDRESS_BAD = -60
};

/* Reads the n bytes at p, all of them, into out; returns 4 or 6, or FS_ADDRESS_BAD. */
int fs_address_parse(const uint8_t *p, size_t n, uint8_t out[FS_ADDRESS_LEN]);

/* Reads an address that may have a port behind it: "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]",
 * "[2001:db8::1]:80".  strict: as RFC 7239 section 6 has it, where the port may be a made-up
 * name too (":_x", read as 0); else "2001:db8::1" is read as well.  *port is 0 where there
 * is none.  Returns what fs_address_parse does. */
int fs_address_node(const uint8_t *p, size_t n, int strict, uint8_t out[FS_ADDRESS_LEN],
                    uint16_t *port);

/* Writes the address as RFC 5952 says, a mapped one as IPv4; returns its length. */
size_t fs_address_format(uint8_t dst[FS_ADDRESS_TEXT_MOST], const uint8_t address[FS_ADDRESS_LEN]);

/* Whether the first `prefix` (0..128) bits of both are the same. */
int fs_address_in(const uint8_t address[FS_ADDRESS_LEN], const uint8_t network[FS_ADDRESS_LEN],
                  unsigned prefix);

/* Reads a port of 1 to 5 digits without leading zeros, at most 65535; -1 for anything else. */
int32_t fs_address_port(const uint8_t *p, size_t n);

#endif
