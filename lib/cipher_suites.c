/* SPDX-License-Identifier: BSD-3-Clause */
#include <mikeyticket/cipher_suites.h>

/* The registry has PSK, DHE_PSK and RSA_PSK with one cipher at one distance. */
#define THREE(number, distance, cipher)                                                                                \
    {number, "TLS_PSK_WITH_" cipher}, {(number) + (distance), "TLS_DHE_PSK_WITH_" cipher},                             \
        {(number) + 2 * (distance), "TLS_RSA_PSK_WITH_" cipher}
#define ECDHE(number, cipher) {number, "TLS_ECDHE_PSK_WITH_" cipher}

static const struct {
    int number;
    const char *name; /* of the IANA registry */
} suites[] = {
    /* RFC 4785, RFC 4279 */
    THREE(0x002c, 1, "NULL_SHA"), THREE(0x008a, 4, "RC4_128_SHA"), THREE(0x008b, 4, "3DES_EDE_CBC_SHA"),
    THREE(0x008c, 4, "AES_128_CBC_SHA"), THREE(0x008d, 4, "AES_256_CBC_SHA"),
    /* RFC 5487 */
    THREE(0x00a8, 2, "AES_128_GCM_SHA256"), THREE(0x00a9, 2, "AES_256_GCM_SHA384"), THREE(0x00b0, 4, "NULL_SHA256"),
    THREE(0x00ae, 4, "AES_128_CBC_SHA256"), THREE(0x00af, 4, "AES_256_CBC_SHA384"), THREE(0x00b1, 4, "NULL_SHA384"),
    /* RFC 5489 */
    ECDHE(0xc033, "RC4_128_SHA"), ECDHE(0xc034, "3DES_EDE_CBC_SHA"), ECDHE(0xc035, "AES_128_CBC_SHA"),
    ECDHE(0xc036, "AES_256_CBC_SHA"), ECDHE(0xc037, "AES_128_CBC_SHA256"), ECDHE(0xc038, "AES_256_CBC_SHA384"),
    ECDHE(0xc039, "NULL_SHA"), ECDHE(0xc03a, "NULL_SHA256"), ECDHE(0xc03b, "NULL_SHA384"),
    /* RFC 6209, RFC 6367 */
    THREE(0xc064, 2, "ARIA_128_CBC_SHA256"), THREE(0xc065, 2, "ARIA_256_CBC_SHA384"),
    THREE(0xc06a, 2, "ARIA_128_GCM_SHA256"), THREE(0xc06b, 2, "ARIA_256_GCM_SHA384"),
    ECDHE(0xc070, "ARIA_128_CBC_SHA256"), ECDHE(0xc071, "ARIA_256_CBC_SHA384"),
    THREE(0xc08e, 2, "CAMELLIA_128_GCM_SHA256"), THREE(0xc08f, 2, "CAMELLIA_256_GCM_SHA384"),
    THREE(0xc094, 2, "CAMELLIA_128_CBC_SHA256"), THREE(0xc095, 2, "CAMELLIA_256_CBC_SHA384"),
    ECDHE(0xc09a, "CAMELLIA_128_CBC_SHA256"), ECDHE(0xc09b, "CAMELLIA_256_CBC_SHA384"),
    /* RFC 6655 */
    {0xc0a4, "TLS_PSK_WITH_AES_128_CCM"}, {0xc0a5, "TLS_PSK_WITH_AES_256_CCM"},
    {0xc0a6, "TLS_DHE_PSK_WITH_AES_128_CCM"}, {0xc0a7, "TLS_DHE_PSK_WITH_AES_256_CCM"},
    {0xc0a8, "TLS_PSK_WITH_AES_128_CCM_8"}, {0xc0a9, "TLS_PSK_WITH_AES_256_CCM_8"},
    {0xc0aa, "TLS_PSK_DHE_WITH_AES_128_CCM_8"}, {0xc0ab, "TLS_PSK_DHE_WITH_AES_256_CCM_8"},
    /* RFC 7905, RFC 8442 */
    {0xccab, "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256"}, ECDHE(0xccac, "CHACHA20_POLY1305_SHA256"),
    {0xccad, "TLS_DHE_PSK_WITH_CHACHA20_POLY1305_SHA256"}, {0xccae, "TLS_RSA_PSK_WITH_CHACHA20_POLY1305_SHA256"},
    ECDHE(0xd001, "AES_128_GCM_SHA256"), ECDHE(0xd002, "AES_256_GCM_SHA384"),
    ECDHE(0xd003, "AES_128_CCM_8_SHA256"), ECDHE(0xd005, "AES_128_CCM_SHA256"),
    /* RFC 8446 B.4 */
    {0x1301, "TLS_AES_128_GCM_SHA256"}, {0x1302, "TLS_AES_256_GCM_SHA384"}, {0x1303, "TLS_CHACHA20_POLY1305_SHA256"},
    {0x1304, "TLS_AES_128_CCM_SHA256"}, {0x1305, "TLS_AES_128_CCM_8_SHA256"},
};

/* What differs between the names of a suite, apart from separators and case; > is the end of a name. */
static const char *const spellings[][2] = {
    {"WITH", ""}, {"CBC", ""}, {"RC4128", "RC4"}, {"POLY1305SHA256", "POLY1305"}, /* OpenSSL leaves them out */
    {"ARCFOUR128", "RC4"}, {"SHA1>", "SHA>"},                                     /* GnuTLS */
    {"TLS13AES", "TLSAES"}, {"TLS13CHACHA", "TLSCHACHA"},                         /* mbedTLS */
    {"PSKDHE", "DHEPSK"},                                                         /* RFC 6655 */
};

enum { ROOM = 128 }; /* more than twice the longest name: a name that is cut equals none */

/* Writes the form that the names of a suite have in common. */
static void normalize(struct mkt_span name, char form[ROOM])
{
    size_t n = 0;
    for (size_t i = 0; i < name.n && n < ROOM - 2; i++) {
        const uint8_t c = name.p[i];
        if (c != '-' && c != '_')
            form[n++] = (char)(c >= 'a' ? c - 'a' + 'A' : c == '\0' ? '?' : c);
    }
    memcpy(form + n, ">", 2);
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        const char *from = spellings[i][0], *to = spellings[i][1];
        char *at = strstr(form, from);
        if (at == NULL)
            continue;
        memcpy(at, to, strlen(to));
        memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
    }
}

int mkt_cipher_suite_number(struct mkt_span name)
{
    char wanted[ROOM], form[ROOM];
    normalize(name, wanted);
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        normalize(mkt_span_text(suites[i].name), form);
        /* OpenSSL's names of suites with PSK have no TLS in front */
        if (strcmp(form, wanted) == 0 || (strstr(form, "PSK") != NULL && strcmp(form + strlen("TLS"), wanted) == 0))
            return suites[i].number;
    }
    return 0;
}

const char *mkt_cipher_suite_name(int number)
{
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
        if (suites[i].number == number)
            return suites[i].name;
    return NULL;
}

bool mkt_cipher_suite_allowed(int number)
{
    const char *name = mkt_cipher_suite_name(number);
    return name != NULL && strstr(name, "_RSA_") == NULL && strstr(name, "_NULL_") == NULL &&
           strstr(name, "_RC4_") == NULL && strstr(name, "_3DES_") == NULL &&
           (strstr(name, "_PSK_") != NULL || strstr(name, "_SHA256") != NULL);
}
