/* Addresses and PROXY headers under the sanitizers: good ones cut, spoilt and lengthened at random
 * (seeded, so a failure repeats), each input in a heap block of just its size.
 *
 *   proxy_torment SECONDS SEED
 */
#include "fs_address.h"
#include "fs_proxy.h"

#include "dice.h"

#define ROOM 600

static const char *const lines[] = {
    "PROXY TCP4 192.0.2.1 192.0.2.2 5555 80\r\nGET",
    "PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 5555 443\r\n",
    "PROXY UNKNOWN ffff::1\r\n",
    "[2001:db8::1]:443",
    "1:2:3:4:5:6:1.2.3.4",
    "192.0.2.1:_x",
};

static void torment_address(const uint8_t *data, size_t n)
{
    uint8_t *p = exact(data, n), address[FS_ADDRESS_LEN] = {0}, again[FS_ADDRESS_LEN];
    uint16_t port;
    int strict = fs_address_node(p, n, 1, address, &port);
    int loose = fs_address_node(p, n, 0, again, &port);
    demand(strict < 0 || loose == strict || port == 0, "what is strict is loose, but for a name");
    int family = fs_address_parse(p, n, address);
    demand(family == 4 || family == 6 || family == FS_ADDRESS_BAD, "the answer is in range");
    demand(fs_address_port(p, n) >= -1 && fs_address_port(p, n) <= 65535, "a port is in range");
    free(p);
    if (family < 0)
        return;
    uint8_t *text = malloc(FS_ADDRESS_TEXT_MOST);
    if (text == NULL)
        abort();
    size_t size = fs_address_format(text, address);
    demand(size <= FS_ADDRESS_TEXT_MOST, "the text fits");
    demand(fs_address_parse(text, size, again) > 0 && memcmp(address, again, sizeof again) == 0,
           "what is written is what was read");
    demand(fs_address_in(address, again, roll(129)), "an address is in each of its networks");
    free(text);
}

static void torment_header(const uint8_t *data, size_t n)
{
    fs_proxy whole, part;
    size_t most = 16 + roll(400);
    int32_t answer = FS_PROXY_MORE, got = fs_proxy_parse(data, n, most, &whole);
    for (size_t cut = 0; cut <= n && answer == FS_PROXY_MORE; cut++) {
        uint8_t *p = exact(data, cut);
        answer = fs_proxy_parse(p, cut, most, &part);
        demand(answer >= FS_PROXY_LONG && answer <= (int32_t)cut, "the answer is in range");
        free(p);
    }
    demand(answer == got, "a header's answer does not depend on cuts");
    if (got <= 0)
        return;
    demand(memcmp(&whole, &part, sizeof whole) == 0, "nor do its facts");
    demand(whole.path_off + whole.path_len <= (uint32_t)got, "a path is in the header");
}

static size_t invent(uint8_t *data)
{
    static const uint8_t start[] = {13, 10, 13, 10, 0, 13, 10, 'Q', 'U', 'I', 'T', 10, 0x21};
    static const uint8_t families[] = {0, 0x11, 0x21, 0x31};
    size_t n = 17 + roll(ROOM - 17);
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)(roll(2) ? roll(4) : roll(256));
    if (roll(2)) {
        const char *line = lines[roll(sizeof lines / sizeof *lines)];
        n = strlen(line);
        memcpy(data, line, n);
    } else {
        memcpy(data, start, sizeof start);
        data[13] = families[roll(4)];
        data[14] = 0;
        data[15] = (uint8_t)roll(256);
    }
    if (roll(2))
        data[roll((uint32_t)n)] = (uint8_t)roll(256);
    return roll(3) ? n : roll((uint32_t)n + 1);
}

static void torment(const uint8_t *data, size_t n)
{
    torment_address(data, n);
    torment_header(data, n);
}

int main(int argc, char **argv)
{
    static uint8_t data[ROOM];
    return torments(argc, argv, data, invent, torment);
}
