/* SPDX-License-Identifier: BSD-3-Clause */
/* sized: what may grow in the structs of the public headers, and what stays as it is. */
#define _DEFAULT_SOURCE /* mmap */

#include "play.h"
#include "signer.h"
#include "sizes.h"

#include "key.h"
#include "sized.h"
#include "ticket.h"

#include <mikeyticket.h>

#include <string.h>
#include <sys/mman.h>

/* ---- structs that stay as they are ---- */

struct alignment {
    char c;
    uint64_t u;
};

/* The octets with pointers of 8 octets, and with those of 4 where a uint64_t is aligned to 4 octets or to 8. */
#define FROZEN(name, with_8, with_4, with_4_aligned)                                                                   \
    _Static_assert(sizeof(struct name) == (sizeof(void *) == 8                  ? (with_8)                             \
                                           : offsetof(struct alignment, u) == 4 ? (with_4)                             \
                                                                                : (with_4_aligned)),                   \
                   #name " stays as it is: it has no size that would tell versions apart")

FROZEN(mkt_span, 16, 8, 8);
FROZEN(mkt_buf, 24, 12, 12);
FROZEN(mkt_kemac, 48, 24, 24);
FROZEN(mkt_pke, 24, 12, 12);
FROZEN(mkt_kv, 40, 20, 20);
FROZEN(mkt_dh, 72, 36, 36);
FROZEN(mkt_sign, 24, 12, 12);
FROZEN(mkt_t, 16, 12, 16);
FROZEN(mkt_id, 24, 12, 12);
FROZEN(mkt_cert, 24, 12, 12);
FROZEN(mkt_chash, 24, 12, 12);
FROZEN(mkt_v, 24, 12, 12);
FROZEN(mkt_sp, 24, 12, 12);
FROZEN(mkt_sp_param, 24, 12, 12);
FROZEN(mkt_rand, 24, 12, 12);
FROZEN(mkt_error, 4, 4, 4);
FROZEN(mkt_ticket_payload, 64, 36, 36);
FROZEN(mkt_thdr, 16, 8, 8);
FROZEN(mkt_key_data, 80, 40, 40);
FROZEN(mkt_general_ext, 24, 12, 12);
FROZEN(mkt_payload, 104, 52, 56);
FROZEN(mkt_cs, 56, 28, 28);
FROZEN(mkt_hdr, 32, 24, 24);
FROZEN(mkt_message, 2536, 1276, 1376);
FROZEN(mkt_policy, 640, 336, 344);
FROZEN(mkt_credential, 64, 32, 32);
FROZEN(mkt_replay, 16, 8, 8);
FROZEN(mkt_sdp_hash, 33, 33, 33);
FROZEN(mkt_sdp_level, 384, 272, 272);
FROZEN(mkt_sdp, 1024, 688, 688);
FROZEN(mkt_sdp_media, 88, 44, 44);
FROZEN(mkt_keymgmt, 32, 16, 16);
FROZEN(mkt_roles, 8, 8, 8);
FROZEN(mkt_sdp_kept, 256, 256, 256);
FROZEN(mkt_connection, 104, 60, 60);
FROZEN(mkt_signer, 32, 16, 16);

/* ---- structs that may grow: the last member of the first version ---- */

#define SIZED(name, last)                                                                                              \
    _Static_assert(offsetof(struct name, size) == 0 && MKT_UP_TO(name, last) == sizeof(struct name),                   \
                   #name " has its size first, and no padding at its end")

SIZED(mkt_host, forward);
SIZED(mkt_settings, public_keys);
SIZED(mkt_public_keys, open);
SIZED(mkt_request, n_keys);
SIZED(mkt_offer, randi);
SIZED(mkt_answer, n_sp);
SIZED(mkt_update, n_sp);
SIZED(mkt_ticket_recipe, n_keys);
SIZED(mkt_key_wish, kv);
SIZED(mkt_sdp_exchange, answer);

/* A play that is at some message, and what of it functions are called with. */
struct scene {
    struct play *play;
    struct mkt_ticket *ticket; /* of Alice's */
    struct mkt_span stored;    /* her bundle */
    struct mkt_sdp offer, answer;
    struct mkt_sdp_kept kept;
};

static const struct mkt_buf measured = {NULL, 0, 0};

static struct scene scene_at(enum leg leg)
{
    struct scene s = {.play = play_new(MKT_SUITE_256, "DEFGHIJLMNO", false)};
    play_until(s.play, leg);
    return s;
}

static void scene_free(struct scene *s)
{
    mkt_ticket_free(s->ticket);
    play_free(s->play);
}

/* The first version has three octets beside its size; the library knows all eight, or less than the program. */
START_TEST(what_one_version_does_not_have_is_clear)
{
    struct versions {
        size_t size;
        uint8_t octets[8];
    } from = {.octets = {1, 2, 3, 4, 5, 6, 7, 8}}, to;
    const size_t head = sizeof from.size, first = head + 3;
    for (size_t size = head; size <= sizeof from; size++) {
        from.size = size;
        memset(&to, 0xff, sizeof to);
        const bool right = mkt_sized_copy(&to, sizeof to, resized(&from, size, size), first);
        ck_assert(right == (size >= first));
        ck_assert_uint_eq(to.size, right ? sizeof to : 0);
        for (size_t i = 0; i < sizeof to.octets; i++)
            ck_assert_uint_eq(to.octets[i], right && head + i < size ? i + 1 : 0);
    }
    from = (struct versions){.size = sizeof from, .octets = {1, 2, 3, 4}};
    for (size_t known = first; known <= sizeof from; known++) {
        memset(&to, 0xff, sizeof to);
        const bool right = mkt_sized_copy(&to, known, &from, first);
        ck_assert(right == (known >= head + 4)); /* the fourth octet is not zero */
        ck_assert_uint_eq(to.size, right ? known : 0);
        for (size_t i = 0; i < sizeof to.octets; i++)
            ck_assert_uint_eq(to.octets[i], head + i >= known ? 0xff : right && i < 4 ? i + 1 : 0);
    }
    free_all();
}
END_TEST

/* ---- host and settings ---- */

/* A refusal because of the host is not logged: what is wrong with a host, its log may have. */
static enum mkt_err with_host(struct scene *s, const void *host)
{
    struct mkt_csb *csb = (struct mkt_csb *)s;
    const enum mkt_err err = mkt_csb_new(&csb, MKT_INITIATOR, host, &s->play->settings[ALICE]);
    ck_assert((csb != NULL) == (err == MKT_OK));
    mkt_csb_free(csb);
    ck_assert_int_eq(s->play->player[ALICE].logged, MKT_OK);
    return err;
}

static enum mkt_err with_host_stored(struct scene *s, const void *host)
{
    struct mkt_csb *csb = (struct mkt_csb *)s;
    const enum mkt_err err = mkt_csb_load(&csb, host, &s->play->settings[ALICE], s->stored);
    ck_assert((csb != NULL) == (err == MKT_OK));
    mkt_csb_free(csb);
    return err;
}

static enum mkt_err with_host_made(struct scene *s, const void *host)
{
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .policy = &s->play->policy, .tpk = tpk};
    struct mkt_ticket *ticket = (struct mkt_ticket *)s;
    const enum mkt_err err = mkt_ticket_make(&ticket, host, &recipe);
    ck_assert((ticket != NULL) == (err == MKT_OK));
    mkt_ticket_free(ticket);
    ck_assert_int_eq(s->play->player[ALICE].logged, MKT_OK);
    return err;
}

static enum mkt_err with_host_kept(struct scene *s, const void *host)
{
    struct mkt_ticket *ticket = (struct mkt_ticket *)s;
    const enum mkt_err err = mkt_ticket_load(&ticket, host, s->stored);
    ck_assert((ticket != NULL) == (err == MKT_OK));
    mkt_ticket_free(ticket);
    ck_assert_int_eq(s->play->player[ALICE].logged, MKT_OK);
    return err;
}

START_TEST(hosts)
{
    uint8_t octets[4096];
    struct mkt_buf kept = {octets, sizeof octets, 0};
    struct scene s = scene_at(OFFER);
    const struct mkt_host *host = &s.play->player[ALICE].host;
    expect_sizes("new", host, sizeof *host, &s, with_host);
    expect_sizes("make a ticket", host, sizeof *host, &s, with_host_made);
    expect_err("ticket", mkt_csb_take_ticket(s.play->csb[ALICE], &s.ticket), MKT_OK);
    expect_err("put it", mkt_ticket_save(s.ticket, &kept), MKT_OK);
    s.stored = mkt_buf_span(&kept);
    expect_sizes("get a ticket", host, sizeof *host, &s, with_host_kept);
    kept.n = 0;
    expect_err("put", mkt_csb_save(s.play->csb[ALICE], &kept), MKT_OK);
    s.stored = mkt_buf_span(&kept);
    expect_sizes("get", host, sizeof *host, &s, with_host_stored);
    scene_free(&s);
}
END_TEST

static enum mkt_err with_settings(struct scene *s, const void *settings)
{
    struct player *alice = &s->play->player[ALICE];
    struct mkt_csb *csb = (struct mkt_csb *)s;
    alice->logged = MKT_OK;
    const enum mkt_err err = mkt_csb_new(&csb, MKT_INITIATOR, &alice->host, settings);
    ck_assert((csb != NULL) == (err == MKT_OK));
    ck_assert_int_eq(alice->logged, err);
    ck_assert(err == MKT_OK || strcmp(alice->detail, "mkt_settings.size") == 0);
    mkt_csb_free(csb);
    return err;
}

static enum mkt_err with_settings_stored(struct scene *s, const void *settings)
{
    struct player *alice = &s->play->player[ALICE];
    struct mkt_csb *csb = (struct mkt_csb *)s;
    const enum mkt_err err = mkt_csb_load(&csb, &alice->host, settings, s->stored);
    ck_assert((csb != NULL) == (err == MKT_OK));
    ck_assert(err != MKT_OK || mkt_csb_ready(csb) == mkt_csb_ready(s->play->csb[ALICE]));
    mkt_csb_free(csb);
    return err;
}

START_TEST(settings)
{
    struct scene s = scene_at(ANSWER);
    const struct mkt_settings *right = &s.play->settings[ALICE];
    uint8_t octets[4096];
    struct mkt_buf kept = {octets, sizeof octets, 0};
    expect_sizes("new", right, sizeof *right, &s, with_settings);
    expect_err("put", mkt_csb_save(s.play->csb[ALICE], &kept), MKT_OK);
    s.stored = mkt_buf_span(&kept);
    expect_sizes("get", right, sizeof *right, &s, with_settings_stored);
    scene_free(&s);
}
END_TEST

static enum mkt_err with_public_keys(struct scene *s, const void *keys)
{
    struct mkt_settings with = s->play->settings[ALICE];
    struct player *alice = &s->play->player[ALICE];
    struct mkt_csb *csb;
    with.public_keys = keys;
    const enum mkt_err err = mkt_csb_new(&csb, MKT_INITIATOR, &alice->host, &with);
    ck_assert(err == MKT_OK || strcmp(alice->detail, "mkt_settings.public_keys") == 0);
    mkt_csb_free(csb);
    return err;
}

START_TEST(public_keys)
{
    struct scene s = scene_at(ASK);
    struct signer signer;
    signer_init(&signer, mkt_id_uri("sip:alice@example.com"));
    expect_sizes("public keys", &signer.keys, sizeof signer.keys, &s, with_public_keys);
    scene_free(&s);
}
END_TEST

/* ---- what messages are made of ---- */

static enum mkt_err with_request(struct scene *s, const void *request)
{
    struct mkt_buf out = measured;
    return mkt_csb_make_request_init(play_bundle(s->play, ALICE), request, &out);
}

static enum mkt_err with_offer(struct scene *s, const void *offer)
{
    struct mkt_buf out = measured;
    return mkt_csb_make_transfer_init(s->play->csb[ALICE], offer, &out);
}

static enum mkt_err with_answer(struct scene *s, const void *answer)
{
    struct mkt_buf out = measured;
    return mkt_csb_make_transfer_resp(s->play->csb[BOB], answer, &out);
}

static enum mkt_err with_update(struct scene *s, const void *update)
{
    struct mkt_buf out = measured;
    return mkt_csb_make_update(s->play->csb[ALICE], update, &out);
}

static enum mkt_err with_offer_line(struct scene *s, const void *offer)
{
    struct mkt_buf out = measured;
    return mkt_sdp_make_offer(s->play->csb[ALICE], offer, &out);
}

static enum mkt_err with_answer_line(struct scene *s, const void *answer)
{
    struct mkt_buf out = measured;
    return mkt_sdp_make_answer(s->play->csb[BOB], answer, &out);
}

static enum mkt_err with_update_line(struct scene *s, const void *update)
{
    struct mkt_buf out = measured;
    return mkt_sdp_make_update(s->play->csb[ALICE], update, &out);
}

static enum mkt_err with_recipe(struct scene *s, const void *recipe)
{
    struct mkt_ticket *ticket = (struct mkt_ticket *)s;
    const enum mkt_err err = mkt_ticket_make(&ticket, &s->play->player[ALICE].host, recipe);
    ck_assert((ticket != NULL) == (err == MKT_OK));
    mkt_ticket_free(ticket);
    return err;
}

static enum mkt_err with_grant(struct scene *s, const void *recipe)
{
    struct mkt_ticket *ticket = (struct mkt_ticket *)s;
    const enum mkt_err err = mkt_csb_grant(s->play->csb[KMS], recipe, &ticket);
    ck_assert((ticket != NULL) == (err == MKT_OK));
    mkt_ticket_free(ticket);
    return err;
}

START_TEST(requests)
{
    struct scene s = scene_at(ASK);
    const struct mkt_request right = {.size = sizeof right, .policy = &s.play->policy, .keys = &one_tgk, .n_keys = 1};
    expect_sizes("request", &right, sizeof right, &s, with_request);
    scene_free(&s);
}
END_TEST

START_TEST(recipes)
{
    struct scene s = scene_at(GRANT);
    struct mkt_ticket_recipe right = {.size = sizeof right, .tpk = tpk};
    expect_sizes("grant", &right, sizeof right, &s, with_grant);
    right.policy = &s.play->policy;
    expect_sizes("make", &right, sizeof right, &s, with_recipe);
    scene_free(&s);
}
END_TEST

/* A KMS that leaves the keys to the request says nothing by their number. */
START_TEST(keys_that_are_left_to_the_request_have_no_number)
{
    struct play *p = play_new(MKT_SUITE_256, "DEFGHIJLMNO", false);
    const struct mkt_request request = {.size = sizeof request, .policy = &p->policy, .no_keys = true};
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = tpk, .n_keys = 5};
    uint8_t octets[4096];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_ticket *ticket = NULL;
    struct mkt_key_data key;
    expect_err("request", mkt_csb_make_request_init(play_bundle(p, ALICE), &request, &out), MKT_OK);
    expect_err("take", mkt_csb_take(play_bundle(p, KMS), mkt_buf_span(&out)), MKT_OK);
    expect_err("grant", mkt_csb_grant(p->csb[KMS], &recipe, &ticket), MKT_OK);
    ck_assert(!mkt_keys_session(ticket->keys, 0, &key));
    mkt_ticket_free(ticket);
    play_free(p);
}
END_TEST

/* Zeros follow the struct up to the end of its memory: the library must not read on until it is there. */
START_TEST(no_struct_has_such_a_size)
{
    enum { PAGE = 4096, READABLE = 1 << 17 };
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2, READABLE};
    uint8_t *memory = mmap(NULL, READABLE + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(memory != MAP_FAILED && mprotect(memory, READABLE, PROT_READ | PROT_WRITE) == 0);
    struct mkt_host host;
    struct mkt_csb *csb;
    mkt_host_init(&host);
    struct scene s = scene_at(GRANT);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct mkt_settings *given = (struct mkt_settings *)(void *)memory;
        mkt_settings_init(given, mkt_id_uri("sip:alice@example.com"));
        given->size = sizes[i];
        expect_err("settings", mkt_csb_new(&csb, MKT_INITIATOR, &host, given), MKT_E_ARGUMENT);
        struct mkt_key_wish *key = (struct mkt_key_wish *)(void *)memory;
        key->size = sizes[i];
        expect_err("key", mkt_csb_requested_key(s.play->csb[KMS], 0, key), MKT_E_ARGUMENT);
    }
    const struct mkt_request too_small = {.size = 0};
    expect_err("whatever its size",
               mkt_csb_make_request_init(s.play->csb[KMS], &too_small, &(struct mkt_buf){NULL, 0, 0}), MKT_E_STATE);
    /* the largest that a version may have: 65,535 octets more than the first one */
    struct mkt_key_wish *key = (struct mkt_key_wish *)(void *)memory;
    memset(memory, 0, READABLE);
    key->size = offsetof(struct mkt_key_wish, kv) + sizeof key->kv + UINT16_MAX;
    expect_err("the largest", mkt_csb_requested_key(s.play->csb[KMS], 0, key), MKT_OK);
    key->size++;
    expect_err("one octet more", mkt_csb_requested_key(s.play->csb[KMS], 0, key), MKT_E_ARGUMENT);
    struct mkt_settings *large = (struct mkt_settings *)(void *)memory;
    memset(memory, 0, READABLE);
    mkt_settings_init(large, mkt_id_uri("sip:alice@example.com"));
    large->size = offsetof(struct mkt_settings, public_keys) + sizeof large->public_keys + UINT16_MAX;
    expect_err("the largest", mkt_csb_new(&csb, MKT_INITIATOR, &host, large), MKT_OK);
    mkt_csb_free(csb);
    large->size++;
    expect_err("one octet more", mkt_csb_new(&csb, MKT_INITIATOR, &host, large), MKT_E_ARGUMENT);
    scene_free(&s);
    ck_assert_int_eq(munmap(memory, READABLE + PAGE), 0);
}
END_TEST

START_TEST(offers)
{
    struct scene s = scene_at(OFFER);
    expect_err("ticket", mkt_csb_take_ticket(s.play->csb[ALICE], &s.ticket), MKT_OK);
    const struct mkt_offer right = {.size = sizeof right, .ticket = s.ticket, .responder = s.play->settings[BOB].self};
    expect_sizes("offer", &right, sizeof right, &s, with_offer);
    expect_sizes("line", &right, sizeof right, &s, with_offer_line);
    scene_free(&s);
}
END_TEST

START_TEST(answers)
{
    struct scene s = scene_at(ANSWER);
    const struct mkt_answer right = {.size = sizeof right, .keys = &one_tgk, .n_keys = 1};
    expect_sizes("answer", &right, sizeof right, &s, with_answer);
    expect_sizes("line", &right, sizeof right, &s, with_answer_line);
    expect_err("none", with_answer(&s, NULL), MKT_OK);
    scene_free(&s);
}
END_TEST

START_TEST(updates)
{
    struct scene s = scene_at(ALICE_UPDATES);
    const struct mkt_update right = {.size = sizeof right, .keys = &one_tgk, .n_keys = 1};
    expect_sizes("update", &right, sizeof right, &s, with_update);
    expect_sizes("line", &right, sizeof right, &s, with_update_line);
    scene_free(&s);
}
END_TEST

static enum mkt_err with_exchange(struct scene *s, const void *exchange)
{
    struct mkt_connection connection;
    struct mkt_sdp_kept kept;
    return mkt_connection_decide(exchange, &s->kept, 0, &connection, &kept);
}

START_TEST(exchanges)
{
    static const char description[] = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
                                      "m=application 5000 TCP/TLS/BFCP *\r\na=setup:%s\r\n";
    struct scene s = {.kept = {.octets = {0}}};
    struct mkt_sdp_exchange right;
    char offer[256], answer[256];
    snprintf(offer, sizeof offer, description, "actpass");
    snprintf(answer, sizeof answer, description, "passive");
    expect_err("offer", mkt_sdp_parse(&s.offer, text(offer)), MKT_OK);
    expect_err("answer", mkt_sdp_parse(&s.answer, text(answer)), MKT_OK);
    mkt_sdp_exchange_init(&right, &s.offer, &s.answer);
    expect_sizes("exchange", &right, sizeof right, &s, with_exchange);
}
END_TEST

/* ---- arrays of keys ---- */

enum { KEYS = 3 };

/* What one wish says, in an array of wishes that are `more` octets larger than the library's. */
static uint8_t *wishes_of(size_t more)
{
    static const char *const spis[KEYS] = {"first", "second", "third"};
    const size_t size = sizeof(struct mkt_key_wish) + more;
    uint8_t octets[1024] = {0};
    for (size_t i = 0; i < KEYS; i++) {
        struct mkt_key_wish wish;
        mkt_key_wish_init(&wish, MKT_KEY_TGK);
        wish.kv = (struct mkt_kv){.type = MKT_KV_SPI, .spi = text(spis[i])};
        wish.length = 16 + i;
        wish.size = size;
        memcpy(octets + i * size, &wish, sizeof wish);
    }
    ck_assert_uint_le(KEYS * size, sizeof octets);
    return (uint8_t *)(uintptr_t)exact((struct mkt_span){octets, KEYS * size}).p;
}

static enum mkt_err with_wishes_of_recipe(struct scene *s, const void *wishes)
{
    const struct mkt_ticket_recipe recipe = {
        .size = sizeof recipe, .policy = &s->play->policy, .tpk = tpk, .keys = wishes, .n_keys = KEYS};
    struct mkt_ticket *ticket;
    struct mkt_key_data key;
    const enum mkt_err err = mkt_ticket_make(&ticket, &s->play->player[ALICE].host, &recipe);
    for (size_t i = 0; err == MKT_OK && i < KEYS; i++) {
        ck_assert(mkt_keys_session(ticket->keys, i, &key));
        ck_assert_uint_eq(key.key.n, 16 + i);
        ck_assert_int_eq(key.kv.spi.p[0], "fst"[i]);
    }
    mkt_ticket_free(ticket);
    return err;
}

static enum mkt_err with_wishes_of_grant(struct scene *s, const void *wishes)
{
    const struct mkt_ticket_recipe recipe = {.size = sizeof recipe, .tpk = tpk, .keys = wishes, .n_keys = KEYS};
    return with_grant(s, &recipe);
}

static enum mkt_err with_wishes_of_request(struct scene *s, const void *wishes)
{
    const struct mkt_request r = {.size = sizeof r, .policy = &s->play->policy, .keys = wishes, .n_keys = KEYS};
    return with_request(s, &r);
}

static enum mkt_err with_wishes_of_offer(struct scene *s, const void *wishes)
{
    const struct mkt_offer offer = {.size = sizeof offer,
                                    .ticket = s->ticket,
                                    .responder = s->play->settings[BOB].self,
                                    .keys = wishes,
                                    .n_keys = KEYS};
    return with_offer(s, &offer);
}

static enum mkt_err with_wishes_of_answer(struct scene *s, const void *wishes)
{
    const struct mkt_answer answer = {.size = sizeof answer, .keys = wishes, .n_keys = KEYS};
    return with_answer(s, &answer);
}

static enum mkt_err with_wishes_of_update(struct scene *s, const void *wishes)
{
    const struct mkt_update update = {.size = sizeof update, .keys = wishes, .n_keys = KEYS};
    return with_update(s, &update);
}

/* "All elements of an array have the same size", which is the way from one to the next. */
START_TEST(wishes)
{
    static const struct {
        const char *name;
        enum leg leg;
        call_with *call;
    } rows[] = {
        {"recipe", GRANT, with_wishes_of_recipe},  {"grant", GRANT, with_wishes_of_grant},
        {"request", ASK, with_wishes_of_request},  {"offer", OFFER, with_wishes_of_offer},
        {"answer", ANSWER, with_wishes_of_answer}, {"update", ALICE_UPDATES, with_wishes_of_update},
    };
    const size_t known = sizeof(struct mkt_key_wish), less = known - 1, none = 0;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct scene s = scene_at(rows[r].leg);
        if (rows[r].leg == OFFER)
            expect_err("ticket", mkt_csb_take_ticket(s.play->csb[ALICE], &s.ticket), MKT_OK);
        for (size_t more = 0; more <= 24; more++) {
            expect_err(rows[r].name, rows[r].call(&s, wishes_of(more)), MKT_OK);
            for (size_t i = 0; i < KEYS; i++) {
                const size_t size = known + more, other = size + 1;
                uint8_t *unknown = wishes_of(more), *differ = wishes_of(more), *small = wishes_of(more);
                unknown[(i + 1) * size - 1] = more == 0 ? unknown[(i + 1) * size - 1] : 1;
                expect_err(rows[r].name, rows[r].call(&s, unknown), more == 0 ? MKT_OK : MKT_E_ARGUMENT);
                if (i > 0)
                    memcpy(differ + i * size, &other, sizeof other);
                expect_err(rows[r].name, rows[r].call(&s, differ), i == 0 ? MKT_OK : MKT_E_ARGUMENT);
                memcpy(small + i * size, i == 1 ? &none : &less, sizeof less);
                expect_err(rows[r].name, rows[r].call(&s, small), MKT_E_ARGUMENT);
            }
        }
        scene_free(&s);
    }
}
END_TEST

/* What is given to a program of an older or newer version; its struct keeps its size. */
START_TEST(keys_that_are_asked_for)
{
    struct scene s = scene_at(GRANT);
    const size_t known = sizeof(struct mkt_key_wish);
    struct mkt_key_wish got, key = {.size = sizeof key};
    expect_err("the only one", mkt_csb_requested_key(s.play->csb[KMS], 0, &key), MKT_OK);
    ck_assert_uint_eq(key.type, MKT_KEY_TGK);
    ck_assert_uint_eq(key.size, known);
    expect_err("no more", mkt_csb_requested_key(s.play->csb[KMS], 1, &key), MKT_E_NO_SESSION);
    for (size_t size = 0; size < known + 24; size++) {
        uint8_t before[256];
        memset(before, 0xee, sizeof before);
        memcpy(before, &size, sizeof size);
        uint8_t *newer = resized(before, sizeof before, size);
        const enum mkt_err err = mkt_csb_requested_key(s.play->csb[KMS], 0, (struct mkt_key_wish *)(void *)newer);
        expect_err("size", err, size < known ? MKT_E_ARGUMENT : MKT_OK);
        ck_assert_mem_eq(newer, &size, sizeof size);
        if (err != MKT_OK)
            continue;
        memcpy(&got, newer, known);
        ck_assert(got.type == key.type && got.length == key.length && got.salt_length == key.salt_length);
        ck_assert_uint_eq(got.kv.type, MKT_KV_SPI);
        expect_octets("SPI", got.kv.spi, key.kv.spi);
        for (size_t i = known; i < size; i++)
            ck_assert_uint_eq(newer[i], 0);
    }
    scene_free(&s);
}
END_TEST

/* ---- versions ---- */

START_TEST(the_version_of_the_library_is_that_of_its_headers)
{
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", MKT_VERSION_MAJOR, MKT_VERSION_MINOR, MKT_VERSION_PATCH);
    ck_assert_str_eq(version, PROJECT_VERSION);
    ck_assert_uint_eq(mkt_version(), MKT_VERSION_NUMBER);
    ck_assert_uint_eq(mkt_version() >> 16, MKT_VERSION_MAJOR);
    ck_assert_uint_eq(mkt_version() >> 8 & 0xff, MKT_VERSION_MINOR);
    ck_assert_uint_eq(mkt_version() & 0xff, MKT_VERSION_PATCH);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sized");
    TCase *tcase = tcase_create("sized");
    tcase_add_test(tcase, what_one_version_does_not_have_is_clear);
    tcase_add_test(tcase, hosts);
    tcase_add_test(tcase, settings);
    tcase_add_test(tcase, public_keys);
    tcase_add_test(tcase, requests);
    tcase_add_test(tcase, recipes);
    tcase_add_test(tcase, keys_that_are_left_to_the_request_have_no_number);
    tcase_add_test(tcase, no_struct_has_such_a_size);
    tcase_add_test(tcase, offers);
    tcase_add_test(tcase, answers);
    tcase_add_test(tcase, updates);
    tcase_add_test(tcase, exchanges);
    tcase_add_test(tcase, wishes);
    tcase_add_test(tcase, keys_that_are_asked_for);
    tcase_add_test(tcase, the_version_of_the_library_is_that_of_its_headers);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
