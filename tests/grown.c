/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that uses all structs of the headers that may grow, each in a block of just its size. tests/grown.sh runs
 * it with a library that was built with other headers.
 *
 *     grown            all goes well
 *     grown STRUCT     the last octet of that struct is not zero, and the library refuses it
 */
#include <mikeyticket.h>
#ifdef TLS
#include <mikeyticket/streams.h>
#include <mikeyticket/x509.h>
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *spoiled; /* the name of a struct, or NULL */
static bool is_spoiled;
static void *blocks[64];
static size_t n_blocks;

static void must(const char *what, enum mkt_err err)
{
    if (err == MKT_OK)
        return;
    if (is_spoiled && err == MKT_E_ARGUMENT)
        _Exit(0);
    fprintf(stderr, "grown: %s: %s\n", what, mkt_err_name(err));
    _Exit(1);
}

/* A copy in a block of its own. */
static void *own(const char *name, const void *from, size_t n)
{
    unsigned char *block = malloc(n);
    if (block == NULL || n_blocks == sizeof blocks / sizeof *blocks)
        abort();
    memcpy(block, from, n);
    blocks[n_blocks++] = block;
    if (spoiled != NULL && strcmp(name, spoiled) == 0) {
        block[n - 1] = 1;
        is_spoiled = true;
    }
    return block;
}

/* ---- hosts ---- */

static const char key_of_all[] = "a key of 32 octets for everybody";

static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    (void)user;
    (void)id;
    (void)policy;
    memcpy(key->p, key_of_all, 32);
    key->n = 32;
    return MKT_OK;
}

static enum mkt_err find_psk(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    (void)user;
    (void)name;
    memcpy(psk->key.p, key_of_all, 32);
    psk->key.n = 32;
    psk->owner = *id;
    return MKT_OK;
}

static enum mkt_err never_seen(void *user, struct mkt_span tag, mkt_ntp until)
{
    (void)user;
    (void)tag;
    (void)until;
    return MKT_OK;
}

/* What nobody calls in a call with pre-shared keys, but must be there. */
static enum mkt_err no_sign(void *user, const struct mkt_span part[], size_t n, struct mkt_buf *signature)
{
    (void)user, (void)part, (void)n, (void)signature;
    return MKT_E_CRYPTO;
}

static enum mkt_err no_verify(void *user, const struct mkt_signed *message, struct mkt_signer *signer)
{
    (void)user, (void)message, (void)signer;
    return MKT_E_CRYPTO;
}

static enum mkt_err no_seal(void *user, const struct mkt_id *to, uint64_t now, struct mkt_span key,
                            struct mkt_buf *envelope, struct mkt_buf *chash)
{
    (void)user, (void)to, (void)now, (void)key, (void)envelope, (void)chash;
    return MKT_E_CRYPTO;
}

static enum mkt_err no_open(void *user, const struct mkt_chash *chash, struct mkt_span envelope, uint8_t *key,
                            size_t length)
{
    (void)user, (void)chash, (void)envelope, (void)key, (void)length;
    return MKT_E_CRYPTO;
}

/* ---- a call with a KMS ---- */

static const struct mkt_host *host;
static const struct mkt_key_wish *two_keys;
static struct mkt_policy policy;
static struct mkt_credential kms;
static unsigned char octets[8192];

static struct mkt_csb *bundle(enum mkt_role role, const char *name)
{
    struct mkt_settings settings;
    struct mkt_public_keys keys;
    struct mkt_csb *csb, *copy;
    mkt_settings_init(&settings, mkt_id_uri(name));
    mkt_public_keys_init(&keys);
    keys.sign = no_sign;
    keys.verify = no_verify;
    keys.seal = no_seal;
    keys.open = no_open;
    settings.kms = &kms;
    settings.public_keys = (const struct mkt_public_keys *)own("mkt_public_keys", &keys, sizeof keys);
    const struct mkt_settings *s = (const struct mkt_settings *)own("mkt_settings", &settings, sizeof settings);
    struct mkt_buf stored = {octets, sizeof octets, 0};
    must("new", mkt_csb_new(&csb, role, host, s));
    must("put", mkt_csb_save(csb, &stored));
    must("get", mkt_csb_load(&copy, host, s, mkt_buf_span(&stored)));
    mkt_csb_free(copy);
    return csb;
}

static struct mkt_ticket *granted(struct mkt_csb *alice, struct mkt_csb *kms_side)
{
    struct mkt_buf message = {octets, sizeof octets, 0};
    struct mkt_request request;
    struct mkt_ticket_recipe recipe;
    struct mkt_key_wish keys[2];
    struct mkt_ticket *ticket;
    mkt_request_init(&request);
    request.policy = &policy;
    request.keys = two_keys;
    request.n_keys = 2;
    must("request", mkt_csb_make_request_init(
                        alice, (const struct mkt_request *)own("mkt_request", &request, sizeof request), &message));
    must("take", mkt_csb_take(kms_side, mkt_buf_span(&message)));
    for (size_t i = 0; i < 2; i++) {
        struct mkt_key_wish asked;
        mkt_key_wish_init(&asked, MKT_KEY_TGK);
        struct mkt_key_wish *key = (struct mkt_key_wish *)own("asked", &asked, sizeof asked);
        must("asked", mkt_csb_requested_key(kms_side, i, key));
        keys[i] = *key;
    }
    mkt_ticket_recipe_init(&recipe);
    recipe.tpk = mkt_span_text(key_of_all);
    recipe.keys = (const struct mkt_key_wish *)own("mkt_key_wish", keys, sizeof keys);
    recipe.n_keys = 2;
    const void *r = own("mkt_ticket_recipe", &recipe, sizeof recipe);
    must("grant", mkt_csb_grant(kms_side, (const struct mkt_ticket_recipe *)r, &ticket));
    message.n = 0;
    must("granted", mkt_csb_make_request_resp(kms_side, ticket, &message));
    mkt_ticket_free(ticket);
    must("take", mkt_csb_take(alice, mkt_buf_span(&message)));
    must("ticket", mkt_csb_take_ticket(alice, &ticket));
    return ticket;
}

static void call(void)
{
    struct mkt_csb *alice = bundle(MKT_INITIATOR, "sip:alice@example.com"), *kms_side = bundle(MKT_KMS, "sip:kms");
    struct mkt_csb *bob = bundle(MKT_RESPONDER, "sip:bob@example.com");
    struct mkt_ticket *ticket = granted(alice, kms_side);
    struct mkt_buf message = {octets, sizeof octets, 0}, measured = {NULL, 0, 0};
    struct mkt_offer offer;
    struct mkt_answer answer;
    struct mkt_update update;
    mkt_offer_init(&offer);
    offer.ticket = ticket;
    offer.responder = mkt_id_uri("sip:bob@example.com");
    offer.keys = two_keys;
    offer.n_keys = 2;
    const struct mkt_offer *o = (const struct mkt_offer *)own("mkt_offer", &offer, sizeof offer);
    must("offer line", mkt_sdp_make_offer(alice, o, &measured));
    must("offer", mkt_csb_make_transfer_init(alice, o, &message));
    must("take", mkt_csb_take_offer(bob, mkt_buf_span(&message), mkt_span_text("mikey")));
    message.n = 0;
    mkt_answer_init(&answer);
    answer.keys = two_keys;
    answer.n_keys = 2;
    const struct mkt_answer *a = (const struct mkt_answer *)own("mkt_answer", &answer, sizeof answer);
    must("answer line", mkt_sdp_make_answer(bob, a, &measured));
    must("answer", mkt_csb_make_transfer_resp(bob, a, &message));
    must("take", mkt_csb_take(alice, mkt_buf_span(&message)));
    message.n = 0;
    mkt_update_init(&update);
    update.keys = two_keys;
    update.n_keys = 2;
    const struct mkt_update *u = (const struct mkt_update *)own("mkt_update", &update, sizeof update);
    must("update line", mkt_sdp_make_update(alice, u, &measured));
    must("update", mkt_csb_make_update(alice, u, &message));
    must("take", mkt_csb_take(bob, mkt_buf_span(&message)));
    message.n = 0;
    must("answer", mkt_csb_make_transfer_resp(bob, NULL, &message));
    must("take", mkt_csb_take(alice, mkt_buf_span(&message)));
    mkt_ticket_free(ticket);
    mkt_csb_free(alice);
    mkt_csb_free(bob);
    mkt_csb_free(kms_side);
}

static void tickets(void)
{
    struct mkt_ticket_recipe recipe;
    struct mkt_ticket *ticket, *copy;
    struct mkt_buf stored = {octets, sizeof octets, 0};
    mkt_ticket_recipe_init(&recipe);
    recipe.policy = &policy;
    recipe.tpk = mkt_span_text(key_of_all);
    recipe.keys = two_keys;
    recipe.n_keys = 2;
    const void *r = own("mkt_ticket_recipe", &recipe, sizeof recipe);
    must("make", mkt_ticket_make(&ticket, host, (const struct mkt_ticket_recipe *)r));
    must("put", mkt_ticket_save(ticket, &stored));
    must("get", mkt_ticket_load(&copy, host, mkt_buf_span(&stored)));
    mkt_ticket_free(ticket);
    mkt_ticket_free(copy);
}

static void connections(void)
{
    static const char text[] = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
                               "m=application 5000 TCP/TLS/BFCP *\r\n";
    struct mkt_sdp offer, answer;
    struct mkt_sdp_exchange now;
    struct mkt_sdp_kept kept;
    struct mkt_connection connection;
    memset(&kept, 0, sizeof kept);
    must("offer", mkt_sdp_parse(&offer, mkt_span_text(text)));
    must("answer", mkt_sdp_parse(&answer, mkt_span_text(text)));
    mkt_sdp_exchange_init(&now, &offer, &answer);
    const void *n = own("mkt_sdp_exchange", &now, sizeof now);
    must("decide", mkt_connection_decide((const struct mkt_sdp_exchange *)n, &kept, 0, &connection, &kept));
}

#ifdef TLS
static int draw(void *user, unsigned char *out, size_t n)
{
    (void)user;
    memset(out, 7, n);
    return 0;
}

static void streams(void)
{
    static mbedtls_ssl_context ssl;
    static struct mkt_tls room[2];
    const uint64_t seven = 7;
    struct mkt_streams_settings settings;
    struct mkt_tls_settings tls;
    struct mkt_streams *set;
    mbedtls_ssl_config conf[3];
    mkt_streams_settings_init(&settings);
    settings.rng = draw;
    settings.most = 10;
    mkt_tls_settings_init(&tls, MKT_END_CLIENT);
    const struct mkt_streams_settings *s =
        (const struct mkt_streams_settings *)own("mkt_streams_settings", &settings, sizeof settings);
    const struct mkt_tls_settings *t = (const struct mkt_tls_settings *)own("mkt_tls_settings", &tls, sizeof tls);
    mkt_tls_settings_init(&tls, MKT_END_SERVER);
    const struct mkt_tls_settings *t_server =
        (const struct mkt_tls_settings *)own("mkt_tls_settings", &tls, sizeof tls);
    const struct mkt_span key = mkt_span_text(key_of_all), identity = mkt_span_text("seven");
    for (size_t i = 0; i < 3; i++)
        mbedtls_ssl_config_init(&conf[i]);
    int cause;
    must("choose", mkt_tls_choose(&room[0], t));
    must("configure", mkt_tls_setup_psk(&conf[0], &room[0], key, identity, &cause));
    must("streams", mkt_streams_new(&set, s));
    must("add", mkt_streams_add(set, seven, key, identity));
    must("choose", mkt_tls_choose(&room[1], t_server));
    must("server", mkt_streams_server(set, &conf[1], &room[1], &cause));
    const struct mkt_tls_bio bio = {.send = NULL};
    must("bind", mkt_streams_bind(set, &ssl, &seven, &bio));
    must("client", mkt_streams_client(set, &ssl, &conf[2], &room[0], &cause));
    for (size_t i = 0; i < 3; i++)
        mbedtls_ssl_config_free(&conf[i]);
    mkt_streams_free(set);
}

static void certificates(void)
{
    struct mkt_x509_settings settings;
    struct mkt_public_keys keys;
    struct mkt_x509 *x509;
    mkt_x509_settings_init(&settings);
    settings.rng = draw;
    const void *s = own("mkt_x509_settings", &settings, sizeof settings);
    must("x509", mkt_x509_new(&x509, (const struct mkt_x509_settings *)s));
    mkt_public_keys_init(&keys);
    struct mkt_public_keys *k = (struct mkt_public_keys *)own("mkt_public_keys", &keys, sizeof keys);
    must("public keys", mkt_x509_public_keys(x509, k));
    if (k->size != sizeof keys || k->open == NULL)
        must("public keys filled in", MKT_E_STATE);
    mkt_x509_free(x509);
}
#endif

int main(int argc, char *argv[])
{
    struct mkt_host callbacks;
    struct mkt_key_wish keys[2];
    spoiled = argc > 1 ? argv[1] : NULL;
    mkt_host_init(&callbacks);
    callbacks.tpk = find_tpk;
    callbacks.psk = find_psk;
    callbacks.replay = never_seen;
    host = (const struct mkt_host *)own("mkt_host", &callbacks, sizeof callbacks);
    for (size_t i = 0; i < 2; i++)
        mkt_key_wish_init(&keys[i], MKT_KEY_TGK);
    two_keys = (const struct mkt_key_wish *)own("mkt_key_wish", keys, sizeof keys);
    policy = mkt_policy_default(MKT_SUITE_256);
    policy.flags |= MKT_FLAG_M;
    policy.kms = mkt_id_uri("sip:kms");
    policy.initiator = mkt_id_uri("sip:alice@example.com");
    policy.responder[policy.n_responders++] = mkt_id_uri("sip:bob@example.com");
    kms.kms = policy.kms;
    kms.psk = mkt_span_text(key_of_all);

    tickets();
    call();
    connections();
#ifdef TLS
    streams();
    certificates();
#endif
    while (n_blocks > 0)
        free(blocks[--n_blocks]);
    if (spoiled != NULL)
        fprintf(stderr, "grown: nothing looks at the octets of %s that it does not know\n", spoiled);
    printf("headers %d, library %u\n", MKT_VERSION_NUMBER, mkt_version());
    return spoiled != NULL;
}
