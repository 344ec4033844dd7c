/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes what right peers send into a folder: `seed-tls FOLDER` fills FOLDER/tls and FOLDER/suites. */
#define _POSIX_C_SOURCE 200809L

#include "end.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The peer of an end, and the octets under way to it and from it. */
struct peer {
    mbedtls_ssl_context ssl;
    enum { SHAKING_HANDS, WRITING, CLOSING, DONE } state;
    uint8_t to[65536], from[65536];
    size_t n_to, read, n_from, given, n_first; /* octets of the first flight from the peer */
};

static int peer_send(void *user, const unsigned char *octets, size_t n)
{
    struct peer *peer = user;
    end_require(n <= sizeof peer->from - peer->n_from);
    memcpy(peer->from + peer->n_from, octets, n);
    peer->n_from += n;
    return (int)n;
}

static int peer_receive(void *user, unsigned char *octets, size_t n)
{
    struct peer *peer = user;
    if (peer->read == peer->n_to)
        return MBEDTLS_ERR_SSL_WANT_READ;
    if (n > peer->n_to - peer->read)
        n = peer->n_to - peer->read;
    memcpy(octets, peer->to + peer->read, n);
    peer->read += n;
    return (int)n;
}

static void go_on(struct peer *peer)
{
    if (peer->state == SHAKING_HANDS && mbedtls_ssl_handshake(&peer->ssl) == 0)
        peer->state = WRITING;
    else if (peer->state == WRITING && mbedtls_ssl_write(&peer->ssl, (const unsigned char *)"hello", 5) == 5)
        peer->state = CLOSING;
    else if (peer->state == CLOSING && mbedtls_ssl_close_notify(&peer->ssl) == 0)
        peer->state = DONE;
}

static int end_send(void *user, const unsigned char *octets, size_t n)
{
    struct peer *peer = user;
    if (peer->n_to == 0)
        peer->n_first = peer->given;
    end_require(n <= sizeof peer->to - peer->n_to);
    memcpy(peer->to + peer->n_to, octets, n);
    peer->n_to += n;
    return (int)n;
}

static int end_receive(void *user, unsigned char *octets, size_t n)
{
    struct peer *peer = user;
    for (int i = 0; i < 8 && peer->given == peer->n_from; i++)
        go_on(peer);
    if (n > peer->n_from - peer->given)
        n = peer->n_from - peer->given;
    memcpy(octets, peer->from + peer->given, n);
    peer->given += n;
    return (int)n;
}

static FILE *create(const char *folder, const char *kind, const char *name, unsigned i)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, kind);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s-%u", folder, kind, name, i);
    FILE *f = fopen(path, "wb");
    end_require(f != NULL);
    return f;
}

/* Who the peer says that he is, and his key; whether he is connected. */
struct guise {
    const char *name;
    struct mkt_span psk, identity;
    bool right;
};

/* What a peer sends to an end. */
static void save_peer(const char *folder, unsigned how, const struct guise *guise)
{
    static struct peer peer;
    const struct wire wire = {&peer, end_send, end_receive};
    const bool client = (how & CLIENT) != 0;
    const struct mkt_tls_settings settings = end_settings(how, client ? MKT_END_SERVER : MKT_END_CLIENT);
    uint64_t drawn = 6;
    mbedtls_ssl_config conf;
    struct mkt_tls tls;
    memset(&peer, 0, sizeof peer);
    mbedtls_ssl_config_init(&conf);
    mbedtls_ssl_init(&peer.ssl);
    mbedtls_ssl_conf_rng(&conf, end_draw, &drawn);
    int cause;
    end_require(mkt_tls_choose(&tls, &settings) == MKT_OK && mkt_tls_configure(&conf, &tls, &cause) == MKT_OK);
    end_require(mbedtls_ssl_conf_psk(&conf, guise->psk.p, guise->psk.n, guise->identity.p, guise->identity.n) == 0);
    end_require(mbedtls_ssl_setup(&peer.ssl, &conf) == 0);
    mbedtls_ssl_set_bio(&peer.ssl, &peer, peer_send, peer_receive, NULL);
    end_require(end_run(how, &wire) == guise->right);
    mbedtls_ssl_free(&peer.ssl);
    mbedtls_ssl_config_free(&conf);
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 40}; /* it gives up */
    FILE *f = create(folder, "tls", guise->name, 1000 + how);
    end_require(fputc((int)how, f) != EOF && fwrite(peer.from, 1, peer.n_first, f) == peer.n_first &&
                fwrite(alert, 1, sizeof alert, f) == sizeof alert && fclose(f) == 0);
    f = create(folder, "tls", guise->name, how);
    end_require(fputc((int)how, f) != EOF && fwrite(peer.from, 1, peer.n_from, f) == peer.n_from && fclose(f) == 0);
}

static void save_suites(const char *folder)
{
    struct mkt_tls tls;
    const struct mkt_tls_settings settings = end_settings(LEGACY, MKT_END_SERVER);
    end_require(mkt_tls_choose(&tls, &settings) == MKT_OK);
    FILE *f = create(folder, "suites", "legacy", 0);
    end_require(fputs("legacy, modern", f) >= 0 && fclose(f) == 0);
    for (unsigned i = 0; tls.suite[i] != 0; i++) {
        f = create(folder, "suites", "suite", i);
        end_require(fputs(mbedtls_ssl_get_ciphersuite_name(tls.suite[i]), f) >= 0 && fclose(f) == 0);
        f = create(folder, "suites", "iana", i);
        end_require(fputs(mkt_cipher_suite_name(tls.suite[i]), f) >= 0 && fclose(f) == 0);
    }
}

int main(int argc, char **argv)
{
    static const uint8_t too_long[MKT_TLS_MAX_IDENTITY + 1] = {'l'};
    if (argc != 2) {
        fprintf(stderr, "usage: seed-tls FOLDER\n");
        return 2;
    }
    for (unsigned how = 0; how < 2 * GONE; how++) {
        /* where the identity tells the stream, it may be the new one */
        const bool told = (how & (CLIENT | BOUND)) == 0;
        save_peer(argv[1], how, &(struct guise){"one", end_psks[0], end_identities[0], (how & GONE) == 0 || told});
        if ((how & CLIENT) == 0) {
            save_peer(argv[1], how, &(struct guise){"two", end_psks[1], end_identities[1], told});
            save_peer(argv[1], how, &(struct guise){"who", end_psks[0], mkt_span_text("who"), false});
            save_peer(argv[1], how, &(struct guise){"long", end_psks[0], {too_long, sizeof too_long}, false});
        }
    }
    save_suites(argv[1]);
    return 0;
}
