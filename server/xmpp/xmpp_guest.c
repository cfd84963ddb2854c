/* Names of guests: 8 random bytes, and 8 of an HMAC of them, written as a UUID. */
#include "xmpp/xmpp_guest.h"
#include "base/base_assert.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define HALF 8u
#define UUID_BYTES (2 * HALF)

/* RFC 4122 4.4: version 4 in the first half, the variant in the second. */
static void prove(svi_host *host, uint8_t uuid[UUID_BYTES])
{
    static const char label[] = "stave guest";
    const sv_str secret = svi_server_salt_secret(svi_host_server(host)),
                 domain = svi_host_domain(host);
    uint8_t text[sizeof label + HALF + 1023], mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    SV_ASSERT(domain.n <= 1023);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    memcpy(text, label, sizeof label);
    memcpy(text + sizeof label, uuid, HALF);
    memcpy(text + sizeof label + HALF, domain.p, domain.n);
    SV_ASSERT(HMAC(EVP_sha256(), secret.p ? secret.p : "", (int)secret.n, text,
                   sizeof label + HALF + domain.n, mac, &n) != NULL);
    memcpy(uuid + HALF, mac, HALF);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

static bool has_hyphen(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

static void write_uuid(const uint8_t uuid[UUID_BYTES], char to[SVI_GUEST_NAME_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    size_t half = 0;
    for (size_t i = 0; i < SVI_GUEST_NAME_BYTES; i++) {
        if (has_hyphen(i)) {
            to[i] = '-';
            continue;
        }
        to[i] = digits[half % 2 ? uuid[half / 2] & 15 : uuid[half / 2] >> 4];
        half++;
    }
    to[SVI_GUEST_NAME_BYTES] = 0;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_uuid(sv_str text, uint8_t uuid[UUID_BYTES])
{
    size_t half = 0;
    memset(uuid, 0, UUID_BYTES);
    if (text.n != SVI_GUEST_NAME_BYTES) return false;
    for (size_t i = 0; i < SVI_GUEST_NAME_BYTES; i++) {
        if (has_hyphen(i)) {
            if (text.p[i] != '-') return false;
            continue;
        }
        const int digit = digit_of(text.p[i]);
        if (digit < 0) return false;
        uuid[half / 2] = (uint8_t)(uuid[half / 2] << 4 | digit);
        half++;
    }
    return true;
}

void svi_guest_name(svi_host *host, char to[SVI_GUEST_NAME_BYTES + 1])
{
    SV_ASSERT(svi_host_logins(host) != SVI_LOGINS_ACCOUNTS);
    const svi_plat *plat = svi_server_plat(svi_host_server(host));
    uint8_t uuid[UUID_BYTES];
    plat->random(plat->ctx, uuid, HALF);
    prove(host, uuid);
    write_uuid(uuid, to);
}

bool svi_guest_is(svi_host *host, sv_str name)
{
    uint8_t said[UUID_BYTES], true_[UUID_BYTES];
    if (!svi_host_has_had_guests(host) || !read_uuid(name, said)) return false;
    memcpy(true_, said, UUID_BYTES);
    prove(host, true_);
    return svi_str_eq_secret((sv_str){(const char *)said, UUID_BYTES},
                             (sv_str){(const char *)true_, UUID_BYTES});
}
