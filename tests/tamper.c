/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every message of vectors/rfc6043.txt, and of calls that are played here, before it comes to its taker
 *
 * - is cut off after each of its octets,
 * - has each of its bits turned over,
 * - has each of its payloads left out or doubled, and each two of them swapped, with Next Payload as it must be then.
 *
 * All that is refused: the bundle is as before, the replay cache has nothing new, and the host is not told of an Error.
 * The MAC covers a message from its first octet to its last, so no octet is without effect. What it leaves out of a
 * TRANSFER_INIT, Initiator Data and its length, is held together by a MAC of its own, Vr, by Vi, which is that of the
 * message, and by its length, which must be what is left of the TICKET. Two things are taken all the same:
 *
 * - A TRANSFER_INIT, where a KMS must resolve its ticket: the Responder has no key yet. Nothing of it counts, and it is
 *   refused when the RESOLVE_RESP comes, or the KMS refuses the ticket in the RESOLVE_INIT.
 * - An Error message without its V, as RFC 6043 5.4 allows it, also where one bit makes another payload of V (CHASH,
 *   with SHA-256 as long): the host is told that anybody may have sent it.
 *
 * Then each bit of each ticket is turned over for mkt_ticket_open(), as one who can make a MAC for the message but not
 * for the ticket would. Its MAC leaves out Next Payload, and Initiator Data with its length (A.1): keys are the same.
 *
 * A sample is followed by the right message, taken by a copy of the bundle; in the end the bundle itself takes it.
 *
 *   TAMPER=N   only one in N of all this; by default 1, with sanitizers and valgrind more
 */
#include "play.h"

#include "key.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

static struct vectors all;
static unsigned long one_in, at_all;
static struct {
    unsigned long messages, tried, cut, turned, left_out, doubled, swapped, waited, unauthenticated, sampled;
    unsigned long tickets, ticket_bits, left_out_by_a1;
} count;

static void load(void)
{
    const char *n = getenv("TAMPER");
    all = vectors_read("rfc6043.txt");
#ifdef __SANITIZE_ADDRESS__
    one_in = 17;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
    one_in = 17;
#endif
#endif
    one_in = n != NULL ? strtoul(n, NULL, 10) : RUNNING_ON_VALGRIND ? 257 : one_in;
    one_in = one_in == 0 ? 1 : one_in;
}

static void unload(void)
{
    vectors_free(&all);
    free_all();
}

/* ---- takers ---- */

/* One who is about to take a message. */
struct taker {
    struct player player;
    struct mkt_settings settings;
    struct mkt_credential known; /* the key shared with the KMS */
    struct mkt_csb *csb;
};

static struct mkt_buf whole(const struct mkt_csb *csb, uint8_t octets[8192])
{
    struct mkt_buf out = {octets, 8192, 0};
    if (mkt_csb_save(csb, &out) != MKT_OK)
        ck_abort_msg("a bundle has more than %zu octets", out.cap);
    return out;
}

static struct mkt_csb *copy_of(const struct mkt_csb *csb, const struct mkt_host *host,
                               const struct mkt_settings *settings)
{
    uint8_t octets[8192];
    struct mkt_csb *copy = NULL;
    expect_err("copy", mkt_csb_load(&copy, host, settings, (struct mkt_span){octets, whole(csb, octets).n}), MKT_OK);
    return copy;
}

/* What is about to be taken. */
struct scene {
    const char *call, *message;
    struct player *player;
    const struct mkt_settings *settings;
    struct mkt_csb **csb;
    struct taker *kms; /* who resolves the ticket, a new bundle; NULL: nobody must */
    struct mkt_span right;
};

/* The taker waits for a KMS: which does not resolve the ticket, or with its keys the message turns out to be wrong. */
static void expect_refused_later(const struct scene *s, const char *how, size_t at)
{
    uint8_t octets[4096];
    struct mkt_buf init = {octets, sizeof octets, 0}, resp = {octets, sizeof octets, 0};
    struct mkt_csb *kms = copy_of(s->kms->csb, &s->kms->player.host, &s->kms->settings);
    enum mkt_err err = MKT_E_STATE;
    if (!mkt_csb_ready(*s->csb) && mkt_csb_must_make(*s->csb, MKT_RESOLVE_INIT_PSK))
        err = mkt_csb_make_resolve_init(*s->csb, &init);
    if (err != MKT_OK)
        ck_abort_msg("%s: %s %s %zu is taken", s->call, s->message, how, at);
    if (mkt_csb_take(kms, (struct mkt_span){octets, init.n}) == MKT_OK) {
        expect_err("RESOLVE_RESP", mkt_csb_make_resolve_resp(kms, &resp), MKT_OK);
        err = mkt_csb_take(*s->csb, (struct mkt_span){octets, resp.n});
        if (mkt_err_class(err) != MKT_CLASS_AUTH)
            ck_abort_msg("%s: %s %s %zu is no question of authenticity: %s", s->call, s->message, how, at,
                         mkt_err_name(err));
    }
    if (mkt_csb_ready(*s->csb) || mkt_csb_peer(*s->csb).data.n > 0)
        ck_abort_msg("%s: %s %s %zu counts", s->call, s->message, how, at);
    mkt_csb_free(kms);
    s->kms->player.n_seen = 0;
    count.waited++;
}

/* An Error without V changes nothing, and is what it is. */
static void expect_unauthenticated(const struct scene *s, struct mkt_span in, const char *how, size_t at)
{
    struct mkt_message message;
    if (mkt_message_decode(&message, in) != MKT_OK || message.hdr.data_type != MKT_ERROR || s->player->authenticated ||
        mkt_message_find(&message, MKT_V, 0) != NULL)
        ck_abort_msg("%s: %s %s %zu is taken", s->call, s->message, how, at);
    count.unauthenticated++;
}

/* What is refused now or later; the bundle is then as it was. */
static void expect_refused(struct scene *s, struct mkt_span in, const char *how, size_t at)
{
    enum { SAMPLE = 1009 };
    static uint8_t before[8192], after[8192];
    const size_t seen = s->player->n_seen, reports = s->player->reports;
    if (at_all++ % one_in != 0)
        return;
    count.tried++;
    const size_t n = whole(*s->csb, before).n;
    const enum mkt_err err = taken(mkt_csb_take_offer(*s->csb, in, mikey));
    if (err == MKT_OK && s->kms != NULL) {
        expect_refused_later(s, how, at);
        mkt_csb_free(*s->csb);
        expect_err("as before", mkt_csb_load(s->csb, &s->player->host, s->settings, (struct mkt_span){before, n}),
                   MKT_OK);
    } else if (err == MKT_OK) {
        expect_unauthenticated(s, in, how, at);
    }
    if (err != MKT_OK && (s->player->logged != err || s->player->reports != reports))
        ck_abort_msg("%s: %s %s %zu: the host is told otherwise", s->call, s->message, how, at);
    if (whole(*s->csb, after).n != n || memcmp(after, before, n) != 0 || s->player->n_seen != seen)
        ck_abort_msg("%s: %s %s %zu: something has changed", s->call, s->message, how, at);
    if (count.tried % SAMPLE == 0) {
        struct mkt_csb *copy = copy_of(*s->csb, &s->player->host, s->settings);
        expect_err("the right one", taken(mkt_csb_take_offer(copy, s->right, mikey)), MKT_OK);
        mkt_csb_free(copy);
        s->player->n_seen = seen;
        count.sampled++;
    }
}

/* ---- tampering ---- */

/* In blocks of just their size, for those who look for what is read beyond. */
static void cut(struct scene *s)
{
    for (size_t n = 0; n < s->right.n; n++, count.cut++) {
        uint8_t *octets = malloc(n > 0 ? n : 1);
        ck_assert_ptr_nonnull(octets);
        memcpy(octets, s->right.p, n);
        expect_refused(s, (struct mkt_span){octets, n}, "cut to", n);
        free(octets);
    }
}

static void turn(struct scene *s)
{
    uint8_t *octets = malloc(s->right.n);
    ck_assert_ptr_nonnull(octets);
    memcpy(octets, s->right.p, s->right.n);
    for (size_t bit = 0; bit < 8 * s->right.n; bit++, count.turned++) {
        octets[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        expect_refused(s, (struct mkt_span){octets, s->right.n}, "with another bit", bit);
        octets[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
    }
    free(octets);
}

static void put_again(struct scene *s, struct mkt_message *message, const char *how, size_t at)
{
    uint8_t octets[8192];
    struct mkt_buf out = {octets, sizeof octets, 0};
    const size_t n = message->n;
    /* SIGN has no Next Payload: what is behind it is no payload */
    for (size_t i = 0; i + 1 < message->n; i++)
        if (message->payload[i].type == MKT_SIGN)
            message->n = i + 1;
    expect_err(how, mkt_message_encode(message, &out), MKT_OK);
    octets[out.n] = 0;
    out.n += message->n < n;
    expect_refused(s, (struct mkt_span){octets, out.n}, how, at);
}

static void rearrange(struct scene *s)
{
    struct mkt_message right, wrong;
    expect_err(s->message, mkt_message_decode(&right, s->right), MKT_OK);
    for (size_t i = 0; i < right.n; i++, count.left_out++) {
        wrong = right;
        wrong.n--;
        memmove(&wrong.payload[i], &right.payload[i + 1], (right.n - i - 1) * sizeof *right.payload);
        put_again(s, &wrong, "without payload", i);
    }
    for (size_t i = 0; i < right.n; i++) {
        for (size_t to = i; to <= right.n; to += right.n - i, count.doubled++) {
            wrong = right;
            wrong.n++;
            memmove(&wrong.payload[to + 1], &right.payload[to], (right.n - to) * sizeof *right.payload);
            wrong.payload[to] = right.payload[i];
            put_again(s, &wrong, "with two of payload", i);
        }
    }
    for (size_t i = 0; i < right.n; i++) {
        for (size_t k = i + 1; k < right.n; k++, count.swapped++) {
            wrong = right;
            wrong.payload[i] = right.payload[k];
            wrong.payload[k] = right.payload[i];
            put_again(s, &wrong, "with others for payload", i);
        }
    }
}

/* All of it; the right message is taken at last. */
static void tamper(struct scene s)
{
    cut(&s);
    turn(&s);
    rearrange(&s);
    const enum mkt_err err = taken(mkt_csb_take_offer(*s.csb, s.right, mikey));
    ck_assert_msg(err == MKT_OK, "%s: %s is not taken any more: %s", s.call, s.message, mkt_err_name(err));
    count.messages++;
}

/* ---- the vectors ---- */

static enum mkt_err next_counter(void *user, uint32_t *value)
{
    *value = ((struct player *)user)->counter;
    return MKT_OK;
}

static enum mkt_err any_count(void *user, const struct mkt_id *peer, uint32_t value)
{
    (void)user;
    (void)value;
    return peer->data.n > 0 ? MKT_OK : MKT_E_REPLAY;
}

/* Memory is that of the C library: tests/player.c would look at each octet of it. */
static void use_malloc(struct player *p)
{
    p->host.alloc = NULL;
    p->host.release = NULL;
}

/* A party of a section, with a new bundle. */
static void begin(struct taker *t, const struct section *s, enum mkt_role role, bool has_kms)
{
    static const char *const ids[] = {"id_i", "id_r", "id_kms"};
    const bool responder = role == MKT_RESPONDER;
    player_init(&t->player, ntp(number_of(s, "now")), octets_of(s, "tpk"));
    use_malloc(&t->player);
    t->player.host.counter_next = next_counter;
    t->player.host.counter_check = any_count;
    mkt_settings_init(&t->settings, mkt_id_uri(text_of(s, ids[role])));
    t->settings.counter = payload_of(octets_of(s, "transfer_init"), MKT_T, 0).t.ts_type == MKT_TS_COUNTER;
    t->known =
        (struct mkt_credential){mkt_id_uri(text_of(s, "id_kms")), mkt_id_bytes(responder ? "bob-key" : "alice-key"),
                                octets_of(s, responder ? "psk_r" : "psk_i")};
    if (has_kms) {
        t->settings.kms = &t->known;
        t->player.tpk = text("");
    }
    if (role == MKT_KMS) {
        t->player.friend[t->player.n_friends++] =
            (struct friend){mkt_id_bytes("alice-key"), mkt_id_uri(text_of(s, "id_i")), octets_of(s, "psk_i"), false};
        t->player.friend[t->player.n_friends++] =
            (struct friend){mkt_id_bytes("bob-key"), mkt_id_uri(text_of(s, "id_r")), octets_of(s, "psk_r"), false};
    }
    expect_err(s->name, mkt_csb_new(&t->csb, role, &t->player.host, &t->settings), MKT_OK);
}

/* A message of a section comes to its taker, who has it at the end. */
static void tamper_field(struct taker *t, const struct section *s, const char *field, struct taker *kms)
{
    t->player.now = ntp(number_of(s, "now"));
    tamper((struct scene){s->name, field, &t->player, &t->settings, &t->csb, kms, octets_of(s, field)});
    t->player.n_seen = 0;
}

/* What is drawn and what the clock says, for a message to be that of the vectors. */
static void like(struct taker *t, struct mkt_span want, uint8_t rand_role, bool with_csb_id)
{
    const struct mkt_payload time = payload_of(want, MKT_T, 0);
    t->player.n_random = t->player.next_random = 0;
    t->player.counter = (uint32_t)time.t.value;
    t->player.now = time.t.ts_type == MKT_TS_COUNTER ? t->player.now : time.t.value;
    if (with_csb_id)
        player_random(&t->player, (struct mkt_span){want.p + 4, 4});
    if (rand_role != 0)
        player_random(&t->player, payload_of(want, MKT_RANDR, rand_role).rand.rand);
}

/* The keys that a party supplied itself, where its message has a KEMAC. */
static size_t supplied(struct taker *t, const struct section *s, struct mkt_span message, struct mkt_key_wish wish[])
{
    struct mkt_message m;
    struct mkt_key_data key;
    size_t n = 0;
    expect_err(s->name, mkt_message_decode(&m, message), MKT_OK);
    if (mkt_message_find(&m, MKT_KEMAC, 0) == NULL)
        return 0;
    const struct mkt_span chain = octets_of(s, "supplied");
    for (struct mkt_keys keys = mkt_keys_of(chain); mkt_keys_next(&keys, &key); n++) {
        player_random(&t->player, key.key);
        player_random(&t->player, key.salt);
        player_random(&t->player, key.kv.spi);
        wish[n] = (struct mkt_key_wish){.size = sizeof(struct mkt_key_wish),
                                        .type = (uint8_t)key.type,
                                        .length = key.key.n,
                                        .salt_length = key.salt.n};
    }
    return n;
}

/* What the holder of the ticket has: where the vectors do not say it, MPKi in the place of the MPK. */
static struct mkt_span holder_keys(const struct section *s)
{
    uint8_t octets[4096];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    struct mkt_payload list[MKT_MAX_KEYS];
    struct mkt_key_data key;
    const struct mkt_span chain = octets_of(s, "ticket_keys");
    size_t n = 0;
    if (value_of(s, "request_keys") != NULL)
        return octets_of(s, "request_keys");
    for (struct mkt_keys keys = mkt_keys_of(chain); mkt_keys_next(&keys, &key);)
        list[n++] = (struct mkt_payload){.type = MKT_KEY_DATA, .key_data = key};
    list[0].key_data.key = octets_of(s, "mpki");
    expect_err(s->name, mkt_payloads_encode(list, n, &buf), MKT_OK);
    return exact((struct mkt_span){octets, buf.n});
}

static bool has(const struct section *s, const char *field)
{
    return value_of(s, field) != NULL;
}

static void expect_made(const struct section *s, const char *field, struct mkt_buf *made)
{
    expect_octets(s->name, (struct mkt_span){made->p, made->n}, octets_of(s, field));
    made->n = 0;
}

static void ticket_request(const struct section *s)
{
    struct taker alice, kms;
    uint8_t octets[8192];
    struct mkt_buf made = {octets, sizeof octets, 0};
    struct mkt_policy policy;
    const struct mkt_span want = octets_of(s, "request_init");
    const struct mkt_payload tp = payload_of(want, MKT_TP, 0);
    begin(&kms, s, MKT_KMS, false);
    tamper_field(&kms, s, "request_init", NULL);
    mkt_csb_free(kms.csb);

    begin(&alice, s, MKT_INITIATOR, true);
    like(&alice, want, MKT_RANDR_I, true);
    expect_err(s->name, mkt_policy_decode(&policy, &tp.ticket), MKT_OK);
    expect_err(s->name,
               mkt_csb_make_request_init(
                   alice.csb, &(struct mkt_request){.size = sizeof(struct mkt_request), .policy = &policy}, &made),
               MKT_OK);
    expect_made(s, "request_init", &made);
    tamper_field(&alice, s, "request_resp", NULL);
    mkt_csb_free(alice.csb);
}

/* The Responder has taken the offer then. */
static void ticket_resolve(const struct section *s, struct taker *bob)
{
    uint8_t octets[8192];
    struct mkt_buf made = {octets, sizeof octets, 0};
    struct taker kms;
    begin(&kms, s, MKT_KMS, false);
    tamper_field(bob, s, "transfer_init", &kms);
    tamper_field(&kms, s, "resolve_init", NULL);
    mkt_csb_free(kms.csb);
    like(bob, octets_of(s, "resolve_init"), MKT_RANDR_R, true);
    expect_err(s->name, mkt_csb_make_resolve_init(bob->csb, &made), MKT_OK);
    expect_made(s, "resolve_init", &made);
    tamper_field(bob, s, "resolve_resp", NULL);
}

static void make_offer(const struct section *s, struct taker *alice)
{
    uint8_t octets[8192];
    struct mkt_buf made = {octets, sizeof octets, 0};
    struct mkt_key_wish wish[MKT_MAX_KEYS];
    const struct mkt_cs cs = {.cs_id = (uint8_t)number_of(s, "cs_id"), .prot_type = MKT_PROT_TLS};
    struct mkt_offer offer = {.size = sizeof offer, .responder = mkt_id_uri(text_of(s, "id_group")), .keys = wish};
    const struct mkt_span want = octets_of(s, "transfer_init");
    if (cs.cs_id != 1) {
        offer.cs = &cs;
        offer.n_cs = 1;
    }
    like(alice, want, MKT_RANDR_I, true);
    offer.n_keys = supplied(alice, s, want, wish);
    expect_err(
        s->name,
        mkt_ticket_load(&offer.ticket, &alice->player.host, stored_ticket(octets_of(s, "ticket"), holder_keys(s))),
        MKT_OK);
    expect_err(s->name, mkt_csb_make_transfer_init(alice->csb, &offer, &made), MKT_OK);
    expect_made(s, "transfer_init", &made);
    mkt_ticket_free(offer.ticket);
}

static void make_answer(const struct section *s, struct taker *bob)
{
    uint8_t octets[8192];
    struct mkt_buf made = {octets, sizeof octets, 0};
    struct mkt_key_wish wish[MKT_MAX_KEYS];
    struct mkt_answer answer = {.size = sizeof answer, .keys = wish};
    const struct mkt_span want = octets_of(s, "transfer_resp");
    like(bob, want, strchr(text_of(s, "flags"), 'G') != NULL ? MKT_RANDR_R : 0, false);
    answer.n_keys = supplied(bob, s, want, wish);
    expect_err(s->name, mkt_csb_make_transfer_resp(bob->csb, &answer, &made), MKT_OK);
    expect_made(s, "transfer_resp", &made);
}

/* An update by one end, and its answer; the bundles are as before then. */
static void update(const struct section *s, char by, struct taker *one, struct taker *other)
{
    static const struct mkt_key_wish tgk = {.size = sizeof tgk, .type = MKT_KEY_TGK};
    uint8_t octets[8192];
    struct mkt_buf made = {octets, sizeof octets, 0};
    struct mkt_csb *before[2] = {copy_of(one->csb, &one->player.host, &one->settings),
                                 copy_of(other->csb, &other->player.host, &other->settings)};
    char init[16], resp[16], spi[16], key[16];
    snprintf(init, sizeof init, "update_%c_init", by);
    snprintf(resp, sizeof resp, "update_%c_resp", by);
    snprintf(spi, sizeof spi, "update_%c_spi", by);
    snprintf(key, sizeof key, "update_%c_tgk", by);
    like(one, octets_of(s, init), 0, false);
    player_low_bits(&one->player, octets_of(s, init), strchr(text_of(s, "flags"), 'G') != NULL);
    player_random(&one->player, octets_of(s, key));
    player_random(&one->player, octets_of(s, spi));
    expect_err(init,
               mkt_csb_make_update(
                   one->csb, &(struct mkt_update){.size = sizeof(struct mkt_update), .keys = &tgk, .n_keys = 1}, &made),
               MKT_OK);
    expect_made(s, init, &made);
    tamper_field(other, s, init, NULL);
    like(other, octets_of(s, resp), 0, false);
    expect_err(resp, mkt_csb_make_transfer_resp(other->csb, NULL, &made), MKT_OK);
    expect_made(s, resp, &made);
    tamper_field(one, s, resp, NULL);
    mkt_csb_free(one->csb);
    mkt_csb_free(other->csb);
    one->csb = before[0];
    other->csb = before[1];
}

static void call(const struct section *s)
{
    const bool forked = strchr(text_of(s, "flags"), 'E') != NULL;
    struct taker alice, bob, alone;
    if (!forked) {
        begin(&alone, s, MKT_RESPONDER, false);
        tamper_field(&alone, s, "transfer_init", NULL);
        mkt_csb_free(alone.csb);
    }
    begin(&alice, s, MKT_INITIATOR, false);
    make_offer(s, &alice);
    tamper_field(&alice, s, "error", NULL);
    begin(&bob, s, MKT_RESPONDER, has(s, "resolve_init"));
    if (has(s, "resolve_init"))
        ticket_resolve(s, &bob);
    else
        expect_err(s->name, mkt_csb_take_offer(bob.csb, octets_of(s, "transfer_init"), mikey), MKT_OK);
    if (has(s, "transfer_resp")) {
        make_answer(s, &bob);
        tamper_field(&alice, s, "transfer_resp", NULL);
    }
    if (has(s, "update_i_init"))
        update(s, 'i', &alice, &bob);
    if (has(s, "update_r_init"))
        update(s, 'r', &bob, &alice);
    mkt_csb_free(alice.csb);
    mkt_csb_free(bob.csb);
}

START_TEST(messages_of_the_vectors)
{
    size_t messages = 0;
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        if (strncmp(s->name, "exchange-", 9) != 0)
            continue;
        for (size_t f = 0; f < s->n; f++) {
            const char *ends = strrchr(s->field[f].name, '_');
            messages += strcmp(s->field[f].name, "error") == 0 ||
                        (ends != NULL && (strcmp(ends, "_init") == 0 || strcmp(ends, "_resp") == 0));
        }
        /* one that two kinds of Responder take */
        messages += strchr(text_of(s, "flags"), 'E') == NULL && has(s, "resolve_init");
        if (has(s, "request_init"))
            ticket_request(s);
        call(s);
        free_all();
    }
    ck_assert_uint_eq(count.messages, messages);
}
END_TEST

/* ---- tickets ---- */

static enum mkt_err open_octets(struct mkt_span octets, struct mkt_span by, struct mkt_buf *keys)
{
    struct mkt_payload ticket;
    uint16_t type = MKT_TICKET;
    struct mkt_span rest = octets;
    const enum mkt_err err = mkt_payload_decode(&ticket, &type, &rest);
    return err == MKT_OK && rest.n == 0 ? mkt_ticket_open(&ticket, by, keys) : err == MKT_OK ? MKT_E_TRAILING : err;
}

START_TEST(tickets_of_the_vectors)
{
    for (size_t i = 0; i < all.n; i++) {
        const struct section *s = &all.section[i];
        uint8_t octets[2048], opened[512];
        if (strncmp(s->name, "exchange-", 9) != 0)
            continue;
        const struct mkt_payload right = payload_of(octets_of(s, "transfer_init"), MKT_TICKET, 0);
        const struct mkt_span keys = octets_of(s, "ticket_keys"), by = octets_of(s, "tpk");
        const size_t end = (size_t)(right.ticket.ticket_data.p + right.ticket.ticket_data.n - right.octets.p);
        ck_assert_uint_le(right.octets.n, sizeof octets);
        memcpy(octets, right.octets.p, right.octets.n);
        octets[0] = MKT_LAST;
        for (size_t bit = 0; bit < 8 * right.octets.n; bit++, count.ticket_bits++) {
            const bool left_out = bit < 8 || bit >= 8 * end;
            struct mkt_buf out = {opened, sizeof opened, 0};
            if (count.ticket_bits % one_in != 0)
                continue;
            octets[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
            const enum mkt_err err = open_octets((struct mkt_span){octets, right.octets.n}, by, &out);
            octets[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
            if (err == MKT_OK && (!left_out || !mkt_span_equal((struct mkt_span){opened, out.n}, keys)))
                ck_abort_msg("%s: a ticket with another bit %zu is opened", s->name, bit);
            if (err != MKT_OK && out.n != 0)
                ck_abort_msg("%s: keys of a ticket with another bit %zu are left", s->name, bit);
            count.left_out_by_a1 += err == MKT_OK;
        }
        struct mkt_buf out = {opened, sizeof opened, 0};
        expect_err(s->name, open_octets((struct mkt_span){octets, right.octets.n}, by, &out), MKT_OK);
        expect_octets(s->name, (struct mkt_span){opened, out.n}, keys);
        count.tickets++;
        free_all();
    }
}
END_TEST

/* ---- calls that are played ---- */

static const struct {
    const char *name;
    enum mkt_suite suite;
    const char *flags;
    bool two_kms, signs;
} plays[] = {
    {"two KMSs, 256", MKT_SUITE_256, "DEFGHIJLMNO", true, false},
    {"two KMSs, 128", MKT_SUITE_128, "DEFGHIJLMNO", true, false},
    {"no answer, 256", MKT_SUITE_256, "DHJLNO", false, false},
    {"public keys, 256", MKT_SUITE_256, "DEFGHIJLMNO", true, true},
};

/* The RESOLVE_INIT that a KMS passes on, updates of all kinds, and all by public key; what comes before is in the
 * vectors. */
START_TEST(messages_of_a_play)
{
    struct play *p = play_new(plays[_i].suite, plays[_i].flags, plays[_i].two_kms);
    for (size_t i = 0; i < PARTIES; i++)
        use_malloc(&p->player[i]);
    if (plays[_i].signs)
        play_sign(p);
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        if (!play_has(p, leg))
            continue;
        const enum party to = play_to(p, leg);
        const struct mkt_span right = play_make(p, leg);
        play_bundle(p, to);
        if (leg < RESOLVE && !(plays[_i].signs && leg < OFFER))
            play_take(p, leg);
        else
            tamper((struct scene){plays[_i].name, mkt_data_type_name((unsigned)play_type[leg]), &p->player[to],
                                  &p->settings[to], &p->csb[to], NULL, right});
    }
    play_free(p);
}
END_TEST

START_TEST(nothing_was_left_out)
{
    printf("%lu messages tampered with in %lu ways: %lu cut off, %lu bits turned, payloads %lu left out, %lu doubled, "
           "%lu swapped\n",
           count.messages, count.tried, count.cut / one_in, count.turned / one_in, count.left_out / one_in,
           count.doubled / one_in, count.swapped / one_in);
    printf("%lu waited for a KMS, %lu Errors had no V; %lu right messages in between\n", count.waited,
           count.unauthenticated, count.sampled);
    printf("%lu bits of %lu tickets turned, %lu of them where the MAC of the ticket leaves them out\n",
           count.ticket_bits / one_in, count.tickets, count.left_out_by_a1);
    ck_assert_uint_eq(at_all, count.cut + count.turned + count.left_out + count.doubled + count.swapped);
    ck_assert_uint_gt(count.waited, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tamper");
    TCase *tcase = tcase_create("tamper");
    tcase_add_unchecked_fixture(tcase, load, unload);
    tcase_set_timeout(tcase, 1200);
    tcase_add_test(tcase, messages_of_the_vectors);
    tcase_add_test(tcase, tickets_of_the_vectors);
    tcase_add_loop_test(tcase, messages_of_a_play, 0, sizeof plays / sizeof *plays);
    tcase_add_test(tcase, nothing_was_left_out);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
