/* SPDX-License-Identifier: BSD-3-Clause */
/* error_message: Error messages (RFC 6043 5.4): about each message, by who gets it, for who sent it. */
#include "play.h"

#include "message.h"
#include "protect.h"

/* What the host of a party was told. */
static struct told {
    size_t n, n_sp, n_err;
    bool authenticated;
    uint8_t number;
    struct mkt_sp sp[MKT_MAX_PAYLOADS];
} told;

static void report(void *user, const struct mkt_error_message *r)
{
    (void)user;
    told = (struct told){.n = told.n + 1, .authenticated = r->authenticated, .number = r->number};
    for (size_t i = 0; i < r->message->n; i++) {
        if (r->message->payload[i].type == MKT_SP)
            told.sp[told.n_sp++] = r->message->payload[i].sp;
        told.n_err += r->message->payload[i].type == MKT_ERR;
    }
}

static const struct {
    enum mkt_suite suite;
    const char *flags;
    bool two_kms, signs;
} calls[] = {{MKT_SUITE_256, "DEFGHIJLMNO", true, false},
             {MKT_SUITE_128, "DFGHJLMNO", false, false},
             {MKT_SUITE_256, "DHJLNO", false, false},
             {MKT_SUITE_256, "DEFGHIJLMNO", true, true}};
enum { CALLS = sizeof calls / sizeof *calls };

static struct play *new_play(int call)
{
    struct play *p = play_new(calls[call].suite, calls[call].flags, calls[call].two_kms);
    if (calls[call].signs)
        play_sign(p);
    for (size_t i = 0; i < PARTIES; i++)
        p->player[i].host.error = report;
    told = (struct told){0};
    return p;
}

/* The bundle remembers that it made an Error message with MAC. */
static struct mkt_span make_error_once(struct play *p, enum party by, struct mkt_span about, enum mkt_err why)
{
    uint8_t octets[1024];
    struct mkt_buf buf = {octets, sizeof octets, 0}, measured = {NULL, 0, 0};
    struct mkt_csb *csb = play_bundle(p, by);
    const struct mkt_span before = stored(csb);
    const size_t seen = p->player[by].n_seen;
    expect_err("measure", mkt_csb_make_error(csb, about, why, NULL, 0, &measured), MKT_OK);
    ck_assert_uint_eq(p->player[by].n_seen, seen);
    expect_octets("measuring one changes nothing", stored(csb), before);
    expect_err("error", mkt_csb_make_error(csb, about, why, NULL, 0, &buf), MKT_OK);
    ck_assert_uint_eq(measured.n, buf.n);
    ck_assert_uint_le(p->player[by].n_seen, seen + 1);
    p->player[by].n_seen = seen; /* the clock stands, so the next one may be the same */
    return exact((struct mkt_span){octets, buf.n});
}

/* The bundle is as it was before, so that the next one about the same message is the first, too. */
static struct mkt_span make_error(struct play *p, enum party by, struct mkt_span about, enum mkt_err why)
{
    const struct mkt_span before = stored(play_bundle(p, by)), error = make_error_once(p, by, about, why);
    mkt_csb_free(p->csb[by]);
    expect_err("read back", mkt_csb_load(&p->csb[by], &p->player[by].host, &p->settings[by], before), MKT_OK);
    return error;
}

/* Whether a message has a payload. */
static bool has(struct mkt_span octets, unsigned type)
{
    struct mkt_message m;
    expect_err("get", mkt_message_decode(&m, octets), MKT_OK);
    return mkt_message_find(&m, type, 0) != NULL;
}

/* Messages of Ticket Request and Ticket Resolve have no crypto sessions. */
static bool has_sessions(unsigned data_type)
{
    return data_type < MKT_REQUEST_INIT_PSK || data_type > MKT_RESOLVE_RESP || data_type == MKT_TRANSFER_INIT ||
           data_type == MKT_TRANSFER_RESP;
}

/* Whether a message has a MAC, or is signed. */
static bool is_proven(struct mkt_span octets)
{
    return has(octets, MKT_V) || has(octets, MKT_SIGN);
}

/* "HDR, T, (ERR), {SP}, [V]"; version, PRF func and CSB ID are those of the message that it is about. */
static void expect_error(struct mkt_span error, struct mkt_span about, enum mkt_err why, size_t n_sp, bool mac)
{
    struct mkt_message m, of;
    expect_err("get", mkt_message_decode(&m, error), MKT_OK);
    expect_err("get", mkt_message_decode(&of, about), MKT_OK);
    ck_assert_uint_eq(m.hdr.version, 1);
    ck_assert_uint_eq(m.hdr.data_type, MKT_ERROR);
    ck_assert_uint_eq(m.hdr.v, 0);
    ck_assert_uint_eq(m.hdr.prf, of.hdr.prf);
    ck_assert_uint_eq(m.hdr.csb_id, of.hdr.csb_id);
    ck_assert_uint_eq(m.hdr.map_type, has_sessions(of.hdr.data_type) ? MKT_MAP_GENERIC_ID : MKT_MAP_EMPTY); /* D22 */
    ck_assert(m.hdr.n_cs == 0 && m.hdr.map.n == 0);
    ck_assert_uint_eq(m.n, 2 + n_sp + mac);
    ck_assert_uint_eq(m.payload[0].type, MKT_T);
    ck_assert_uint_eq(m.payload[0].t.value, ntp(NOW));
    ck_assert_uint_eq(m.payload[1].type, MKT_ERR);
    ck_assert_uint_eq(m.payload[1].error.number, mkt_err_number(why));
    ck_assert_uint_eq(m.payload[1].error.reserved, 0);
    for (size_t i = 0; i < n_sp; i++)
        ck_assert_uint_eq(m.payload[2 + i].type, MKT_SP);
    const bool by_pk = of.hdr.data_type == MKT_REQUEST_INIT_PK || of.hdr.data_type == MKT_RESOLVE_INIT_PK;
    ck_assert(!mac || m.payload[m.n - 1].type == (by_pk ? MKT_SIGN : MKT_V)); /* P19 */
}

/* The host is told, or is not, and nothing else happens. */
static void expect_told(struct play *p, enum party who, struct mkt_span error, bool authenticated, uint8_t number)
{
    struct mkt_csb *csb = play_bundle(p, who);
    const struct mkt_span before = stored(csb);
    const size_t n = told.n;
    expect_err("take", mkt_csb_take(csb, error), mkt_error_of_number(payload_of(error, MKT_ERR, 0).error.number));
    ck_assert_uint_eq(told.n, n + 1);
    ck_assert_int_eq(told.authenticated, authenticated);
    ck_assert_uint_eq(told.number, number);
    expect_octets("taking one changes nothing", stored(csb), before);
}

static void expect_not_told(struct play *p, enum party who, struct mkt_span error, enum mkt_err err)
{
    struct mkt_csb *csb = play_bundle(p, who);
    const struct mkt_span before = stored(csb);
    const size_t n = told.n, seen = p->player[who].n_seen;
    expect_err("refused", mkt_csb_take(csb, error), err);
    ck_assert_uint_eq(told.n, n);
    ck_assert_uint_eq(p->player[who].n_seen, seen);
    expect_octets("a refused one changes nothing", stored(csb), before);
}

/* ---- about each message ---- */

/* Whether its sender still waits, or has keys that stay: a KMS is as new after each answer, and only hears of
 * errors. */
static bool sender_knows(const struct play *p, enum leg leg)
{
    return play_role[play_from(p, leg)] != MKT_KMS || play_type[leg] == MKT_RESOLVE_INIT_PSK;
}

/* The party that gets a message refuses it: the Error message has a MAC where that party knows the message's keys. */
START_TEST(about_a_message_that_is_refused)
{
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        struct play *p = new_play(_i);
        if (play_has(p, leg)) {
            const enum party to = play_to(p, leg), from = play_from(p, leg);
            const bool mac = leg != OFFER; /* its ticket is not opened */
            play_until(p, leg);
            const struct mkt_span message = play_make(p, leg), error = make_error(p, to, message, MKT_E_DENIED);
            expect_error(error, message, MKT_E_DENIED, 0, mac);
            expect_told(p, from, error, mac && sender_knows(p, leg), mkt_err_number(MKT_E_DENIED));
            /* the one who made it takes the message after all, and all goes on as if nothing had been */
            play_take(p, leg);
            for (l++; l < LEGS; l++) {
                if (!play_has(p, (enum leg)l))
                    continue;
                play_make(p, (enum leg)l);
                play_take(p, (enum leg)l);
            }
            l = leg;
            expect_octets("TEK", tek_of(p->csb[ALICE], 1), tek_of(p->csb[BOB], 1));
        }
        play_free(p);
    }
}
END_TEST

/* The same of a message that does not verify: its sender is anybody, and gets no MAC. */
START_TEST(about_a_message_that_is_not_authentic)
{
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        struct play *p = new_play(_i);
        if (play_has(p, leg)) {
            const enum party to = play_to(p, leg), from = play_from(p, leg);
            uint8_t octets[4096];
            play_until(p, leg);
            const struct mkt_span message = play_make(p, leg);
            memcpy(octets, message.p, message.n);
            octets[message.n - 1] ^= 1; /* the end of the MAC */
            const struct mkt_span forged = {octets, message.n};
            const enum mkt_err err = mkt_csb_take(play_bundle(p, to), forged);
            ck_assert(leg == OFFER || err == (has(forged, MKT_SIGN) ? MKT_E_SIGNATURE : MKT_E_MAC));
            const struct mkt_span error = make_error(p, to, forged, MKT_E_MAC);
            expect_error(error, forged, MKT_E_MAC, 0, false);
            expect_told(p, from, error, false, 0);
            play_take(p, leg); /* the right one */
        }
        play_free(p);
    }
}
END_TEST

/* The message that was taken and is not answered, by itself or named. */
START_TEST(about_a_message_that_was_taken)
{
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        struct play *p = new_play(_i);
        if (play_has(p, leg)) {
            const enum party to = play_to(p, leg);
            uint8_t octets[1024];
            struct mkt_buf buf = {octets, sizeof octets, 0};
            play_until(p, leg);
            play_make(p, leg);
            play_take(p, leg);
            /* whose answer the other end waits for; after a RESOLVE_RESP that is that of the TRANSFER_INIT, or of the
             * RESOLVE_INIT that was passed on */
            const enum leg waiting = leg == RESOLVED ? OFFER : leg == PASS_BACK ? RESOLVE : leg;
            const bool answers = mkt_csb_must_make(p->csb[to], MKT_REQUEST_RESP) ||
                                 mkt_csb_must_make(p->csb[to], MKT_RESOLVE_INIT_PSK) ||
                                 mkt_csb_must_make(p->csb[to], MKT_RESOLVE_RESP) ||
                                 mkt_csb_must_make(p->csb[to], MKT_TRANSFER_RESP);
            if (answers) {
                const struct mkt_span error = make_error(p, to, text(""), MKT_E_DENIED);
                expect_error(error, p->message[waiting], MKT_E_DENIED, 0, leg != OFFER);
                expect_octets("named", make_error(p, to, p->message[waiting], MKT_E_DENIED), error);
                expect_told(p, play_from(p, waiting), error, leg != OFFER, mkt_err_number(MKT_E_DENIED));
            } else {
                expect_err("nothing waits", mkt_csb_make_error(p->csb[to], text(""), MKT_E_DENIED, NULL, 0, &buf),
                           MKT_E_STATE);
                ck_assert_uint_eq(buf.n, 0);
            }
        }
        play_free(p);
    }
}
END_TEST

/* "The auth_key SHALL be the same as in the message where the error occurred": of those that a PSK protects. */
START_TEST(auth_keys_of_messages_to_and_from_a_kms)
{
    static const struct {
        enum leg leg, init;
        uint8_t role;
    } legs[] = {{ASK, ASK, MKT_RANDR_I},         {GRANT, ASK, MKT_RANDR_I},         {RESOLVE, RESOLVE, MKT_RANDR_R},
                {PASS_ON, PASS_ON, MKT_RANDR_R}, {PASS_BACK, PASS_ON, MKT_RANDR_R}, {RESOLVED, RESOLVE, MKT_RANDR_R}};
    for (size_t i = 0; i < sizeof legs / sizeof *legs; i++) {
        struct play *p = new_play(_i);
        if (play_has(p, legs[i].leg)) {
            play_until(p, legs[i].leg);
            const struct mkt_span message = play_make(p, legs[i].leg), init = p->message[legs[i].init];
            const struct mkt_span error = make_error(p, play_to(p, legs[i].leg), message, MKT_E_STALE);
            const struct mkt_span rand = payload_of(init, MKT_RANDR, legs[i].role).rand.rand;
            struct mkt_message m, of;
            struct mkt_span parts[2];
            expect_err("get", mkt_message_decode(&m, error), MKT_OK);
            expect_err("get", mkt_message_decode(&of, init), MKT_OK);
            uint8_t octets[32];
            struct mkt_span key = p->credential[play_from(p, legs[i].init)].psk;
            if (calls[_i].signs && legs[i].leg == legs[i].init) { /* it is signed */
                ck_assert(has(error, MKT_SIGN));
                play_free(p);
                continue;
            }
            if (calls[_i].signs) {
                const struct mkt_payload *chash = mkt_message_find(&of, MKT_CHASH, 0);
                const struct mkt_span pke = payload_of(init, MKT_PKE, 0).pke.data;
                struct signer *kms = &p->signer[play_to(p, legs[i].init)];
                key = (struct mkt_span){octets, calls[_i].suite == MKT_SUITE_256 ? 32 : 16};
                expect_err("open", kms->keys.open(kms, chash != NULL ? &chash->chash : NULL, pke, octets, key.n),
                           MKT_OK);
            }
            struct mkt_protection by_psk = {
                .suite = calls[_i].suite,
                .key = key,
                .label = {.purpose = legs[i].leg == legs[i].init ? MKT_PURPOSE_INITIAL : MKT_PURPOSE_RESPONSE,
                          .csb_id = of.hdr.csb_id},
            };
            *(legs[i].role == MKT_RANDR_I ? &by_psk.label.randi : &by_psk.label.randr) = rand;
            mkt_message_covered(&m, error, parts);
            expect_err("MAC", mkt_protect_open(&by_psk, NULL, parts, 2, payload_of(error, MKT_V, 0).v.mac), MKT_OK);
        }
        play_free(p);
    }
}
END_TEST

/* Every error that there is, about every message: its number, and SPs where it is about sessions or policies. */
START_TEST(every_error)
{
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        struct play *p = new_play(_i);
        size_t n = 0;
        play_until(p, leg);
        if (play_has(p, leg)) {
            const struct mkt_span message = play_make(p, leg);
            for (int err = 1; err < 1000; err++) {
                const enum mkt_err why = (enum mkt_err)err;
                if (strcmp(mkt_err_name(why), "unknown") == 0)
                    continue;
                const bool about_policies =
                    why == MKT_E_SP || why == MKT_E_SP_PARAMETERS || why == MKT_E_PROT || why == MKT_E_CS;
                const size_t n_sp = about_policies && has_sessions(message.p[1]);
                /* who sends a message a second time is not who made it; a stranger's signature is not verified again */
                const bool by_pk = message.p[1] == MKT_REQUEST_INIT_PK || message.p[1] == MKT_RESOLVE_INIT_PK;
                const bool stranger = by_pk && (why == MKT_E_SIGNATURE || why == MKT_E_CHAIN);
                const bool mac = leg != OFFER && why != MKT_E_REPLAY && !stranger;
                const struct mkt_span error = make_error(p, play_to(p, leg), message, why);
                expect_error(error, message, why, n_sp, mac);
                if (n_sp > 0) {
                    const struct mkt_sp sp = payload_of(error, MKT_SP, 0).sp;
                    ck_assert(sp.prot_type == MKT_PROT_TLS && sp.params.n == 0);
                }
                n++;
            }
            ck_assert_uint_gt(n, 60);
        }
        play_free(p);
    }
}
END_TEST

/* D27: a second Error message about one message has no MAC and takes no slot, whatever the error is. */
START_TEST(a_second_error_about_one_message)
{
    static const enum leg legs[] = {ANSWER, ALICE_UPDATES, BOB_ANSWERS, BOB_UPDATES, ALICE_ANSWERS};
    static const enum mkt_err errs[] = {MKT_E_DENIED, MKT_E_SP, MKT_E_DENIED, MKT_E_CACHE_FULL};
    for (size_t i = 0; i < sizeof legs / sizeof *legs; i++) {
        struct play *p = new_play(_i);
        if (play_has(p, legs[i])) {
            play_until(p, legs[i]);
            const struct mkt_span message = play_make(p, legs[i]);
            const enum party to = play_to(p, legs[i]);
            size_t slots = 0;
            for (size_t e = 0; e < sizeof errs / sizeof *errs; e++) {
                uint8_t octets[1024];
                struct mkt_buf buf = {octets, sizeof octets, 0};
                p->player[to].n_seen = 0;
                expect_err("error", mkt_csb_make_error(p->csb[to], message, errs[e], NULL, 0, &buf), MKT_OK);
                slots += p->player[to].n_seen;
                ck_assert_int_eq(has((struct mkt_span){octets, buf.n}, MKT_V), e == 0);
                const struct mkt_span octets_of = stored(p->csb[to]); /* another process goes on */
                mkt_csb_free(p->csb[to]);
                expect_err("get", mkt_csb_load(&p->csb[to], &p->player[to].host, &p->settings[to], octets_of), MKT_OK);
            }
            ck_assert_uint_eq(slots, 1);
            play_take(p, legs[i]); /* and the message can still be taken */
        }
        play_free(p);
    }
}
END_TEST

/* D27: an Error message about a message outside the skew has no MAC and takes no slot, whatever the error is. */
START_TEST(about_a_message_outside_the_skew)
{
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        struct play *p = new_play(_i);
        if (play_has(p, leg) && leg != OFFER) {
            const enum party to = play_to(p, leg);
            play_until(p, leg);
            const struct mkt_span message = play_make(p, leg);
            p->player[to].now = ntp(NOW + 301);
            ck_assert(!is_proven(make_error_once(p, to, message, MKT_E_DENIED)));
            ck_assert(!is_proven(make_error_once(p, to, message, MKT_E_STALE)));
            p->player[to].now = ntp(NOW);
            ck_assert(is_proven(make_error_once(p, to, message, MKT_E_DENIED)));
        }
        play_free(p);
    }
}
END_TEST

/* D27: a KMS can never take an Error message of its own back, so none takes a slot; nor does one about its answers. */
START_TEST(errors_that_take_no_slot)
{
    static const enum leg legs[] = {ASK, GRANT, RESOLVE, PASS_ON, PASS_BACK, RESOLVED};
    for (size_t i = 0; i < sizeof legs / sizeof *legs; i++) {
        struct play *p = new_play(_i);
        if (play_has(p, legs[i])) {
            const enum party to = play_to(p, legs[i]);
            uint8_t octets[1024];
            struct mkt_buf buf = {octets, sizeof octets, 0};
            play_until(p, legs[i]);
            const struct mkt_span message = play_make(p, legs[i]);
            const size_t seen = p->player[to].n_seen;
            expect_err("error", mkt_csb_make_error(play_bundle(p, to), message, MKT_E_DENIED, NULL, 0, &buf), MKT_OK);
            ck_assert(is_proven((struct mkt_span){octets, buf.n}));
            ck_assert_uint_eq(p->player[to].n_seen, seen);
        }
        play_free(p);
    }
}
END_TEST

/* ---- security policies ---- */

/* "If the suggested security policies are not supported, the Error message SHOULD include the supported parameters." */
START_TEST(policies_that_are_supported)
{
    static const uint8_t params[] = {0x63, 1, 0};
    const struct mkt_sp sp[] = {{3, MKT_PROT_TLS, {params, sizeof params}}, {200, MKT_PROT_SRTP, {NULL, 0}}};
    struct play *p = new_play(1);
    uint8_t octets[1024];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    p->settings[BOB].prot_type = MKT_PROT_SRTP; /* not what alice offers */
    play_until(p, OFFER);
    const struct mkt_span init = play_make(p, OFFER);
    expect_err("refused", mkt_csb_take_offer(play_bundle(p, BOB), init, mikey), MKT_E_PROT);
    expect_told(p, ALICE, make_error(p, BOB, init, MKT_E_PROT), false, 9);
    ck_assert(told.n_sp == 1 && told.sp[0].prot_type == MKT_PROT_SRTP && told.sp[0].params.n == 0);

    expect_err("given", mkt_csb_make_error(p->csb[BOB], init, MKT_E_PROT, sp, 2, &buf), MKT_OK);
    expect_told(p, ALICE, exact((struct mkt_span){octets, buf.n}), false, 9);
    ck_assert_uint_eq(told.n_sp, 2);
    ck_assert(told.sp[0].policy_no == 3 && told.sp[0].prot_type == MKT_PROT_TLS);
    ck_assert(told.sp[1].policy_no == 200 && told.sp[1].prot_type == MKT_PROT_SRTP);

    buf.n = 0; /* also where the error is about something else */
    expect_err("given", mkt_csb_make_error(p->csb[BOB], init, MKT_E_STALE, sp, 1, &buf), MKT_OK);
    expect_told(p, ALICE, exact((struct mkt_span){octets, buf.n}), false, 1);
    ck_assert_uint_eq(told.n_sp, 1);
    play_free(p);
}
END_TEST

START_TEST(more_policies_than_a_message_has_room_for)
{
    struct mkt_sp sp[22];
    struct play *p = new_play(1);
    uint8_t octets[1024];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    for (size_t i = 0; i < 22; i++)
        sp[i] = (struct mkt_sp){(uint8_t)i, MKT_PROT_TLS, {NULL, 0}};
    play_until(p, ANSWER);
    expect_err("22", mkt_csb_make_error(p->csb[BOB], text(""), MKT_E_SP_PARAMETERS, sp, 22, &buf), MKT_E_TOO_MANY);
    ck_assert_uint_eq(buf.n, 0);
    expect_err("21", mkt_csb_make_error(p->csb[BOB], text(""), MKT_E_SP_PARAMETERS, sp, 21, &buf), MKT_OK);
    expect_told(p, ALICE, exact((struct mkt_span){octets, buf.n}), true, 10);
    ck_assert_uint_eq(told.n_sp, 21);
    play_free(p);

    p = new_play(1); /* RFC 4563 section 5: with an Empty map "there MUST NOT be any Security Policy payload" */
    for (enum leg leg = ASK; leg <= RESOLVED; leg++) {
        if (!play_has(p, leg))
            continue;
        play_make(p, leg);
        buf.n = 0;
        expect_err("one", mkt_csb_make_error(play_bundle(p, play_to(p, leg)), p->message[leg], MKT_E_SP, sp, 1, &buf),
                   leg == OFFER ? MKT_OK : MKT_E_TOO_MANY);
        play_take(p, leg);
    }
    play_free(p);
}
END_TEST

/* ---- what none is about ---- */

START_TEST(about_nothing)
{
    struct play *p = new_play(1);
    uint8_t octets[1024], junk[32] = {1, MKT_TRANSFER_INIT};
    struct mkt_buf buf = {octets, sizeof octets, 0};
    for (unsigned who = ALICE; who <= KMS; who++)
        expect_err("nothing was taken",
                   mkt_csb_make_error(play_bundle(p, (enum party)who), text(""), MKT_E_STALE, NULL, 0, &buf),
                   MKT_E_STATE);
    play_until(p, ANSWER);
    /* "but not in Error messages" */
    const struct mkt_span error = make_error(p, BOB, text(""), MKT_E_STALE);
    struct mkt_csb *bob = p->csb[BOB];
    expect_err("an Error", mkt_csb_make_error(bob, error, MKT_E_STALE, NULL, 0, &buf), MKT_E_DATA_TYPE);
    expect_err("an Error", mkt_csb_make_error(p->csb[ALICE], error, MKT_E_STALE, NULL, 0, &buf), MKT_E_DATA_TYPE);
    memcpy(octets, error.p, error.n); /* one that does not decode */
    expect_err("an Error that is cut",
               mkt_csb_make_error(bob, (struct mkt_span){octets, error.n - 1}, MKT_E_STALE, NULL, 0, &buf),
               MKT_E_DATA_TYPE);
    expect_err("no error", mkt_csb_make_error(bob, text(""), MKT_OK, NULL, 0, &buf), MKT_E_ARGUMENT);
    for (size_t n = 1; n < 10; n++) /* octets of the HDR up to the CS ID map */
        expect_err("less than a HDR",
                   mkt_csb_make_error(bob, exact((struct mkt_span){junk, n}), MKT_E_TRUNCATED, NULL, 0, &buf),
                   MKT_E_VERSION);
    junk[1] = MKT_ERROR;
    expect_err("less than an Error",
               mkt_csb_make_error(bob, exact((struct mkt_span){junk, 9}), MKT_E_TRUNCATED, NULL, 0, &buf),
               MKT_E_VERSION);
    junk[0] = 2;
    expect_err("another version", mkt_csb_make_error(bob, (struct mkt_span){junk, 32}, MKT_E_VERSION, NULL, 0, &buf),
               MKT_E_VERSION);
    ck_assert_uint_eq(buf.n, 0);
    play_free(p);
}
END_TEST

/* A HDR is enough to be about; of what decodes but has not the shape of its type there is no MAC either. */
START_TEST(about_what_is_hardly_a_message)
{
    struct play *p = new_play(1);
    uint8_t octets[4096];
    struct mkt_message m;
    play_until(p, ANSWER);
    const struct mkt_span init = p->message[OFFER];
    expect_err("get", mkt_message_decode(&m, init), MKT_OK);
    const uint32_t csb_id = m.hdr.csb_id;
    for (size_t n = 10; n < init.n; n += 7) {
        const struct mkt_span error = make_error(p, BOB, exact((struct mkt_span){init.p, n}), MKT_E_TRUNCATED);
        ck_assert(!has(error, MKT_V));
        expect_err("get", mkt_message_decode(&m, error), MKT_OK);
        ck_assert(m.hdr.csb_id == csb_id && m.hdr.prf == MKT_PRF_MIKEY_1);
        expect_told(p, ALICE, error, false, 12);
    }
    memcpy(octets, init.p, init.n);
    octets[init.n] = 0;
    ck_assert(has(make_error(p, BOB, init, MKT_E_TRAILING), MKT_V));
    ck_assert(!has(make_error(p, BOB, (struct mkt_span){octets, init.n + 1}, MKT_E_TRAILING), MKT_V));
    expect_err("get", mkt_message_decode(&m, init), MKT_OK);
    find(&m, MKT_RANDR, MKT_RANDR_I)->rand.role = MKT_RANDR_R; /* no RANDRi */
    struct mkt_buf buf = {octets, sizeof octets, 0};
    expect_err("put", mkt_message_encode(&m, &buf), MKT_OK);
    ck_assert(!has(make_error(p, BOB, (struct mkt_span){octets, buf.n}, MKT_E_MISSING), MKT_V));
    m.hdr.data_type = 99;
    m.hdr.prf = 99;
    buf.n = 0;
    expect_err("put", mkt_message_encode(&m, &buf), MKT_OK);
    const struct mkt_span unknown = {octets, buf.n};
    expect_error(make_error(p, BOB, unknown, MKT_E_DATA_TYPE), unknown, MKT_E_DATA_TYPE, 0, false);
    play_free(p);
}
END_TEST

/*
 * RFC 3830 6.12: 11, "not supported Data type". A party answers so to a type that it never takes, whatever follows it:
 * nobody can know the payloads of another document's message.
 */
START_TEST(a_data_type_that_is_never_taken)
{
    static const struct {
        enum mkt_role role;
        unsigned type[4];
    } takes[] = {{MKT_INITIATOR, {MKT_ERROR, MKT_REQUEST_RESP, MKT_TRANSFER_INIT, MKT_TRANSFER_RESP}},
                 {MKT_RESPONDER, {MKT_ERROR, MKT_TRANSFER_INIT, MKT_TRANSFER_RESP, MKT_RESOLVE_RESP}},
                 {MKT_KMS, {MKT_ERROR, MKT_REQUEST_INIT_PSK, MKT_RESOLVE_INIT_PSK, MKT_RESOLVE_RESP}}};
    static const enum leg waits_for[] = {GRANT, OFFER, ASK};
    /* RFC 6509: a MIKEY-SAKKE message, whose first payload is a TIMESTAMP of its own */
    static const uint8_t sakke[] = {0x01, 0x1a, 0x1a, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01, 0x00};
    for (size_t w = 0; w < 3; w++) {
        struct play *p = new_play(1);
        play_until(p, waits_for[w]);
        play_make(p, waits_for[w]);
        const enum party who = play_to(p, waits_for[w]);
        for (unsigned type = 0; type < 256; type++) {
            uint8_t octets[sizeof sakke];
            bool taken = false;
            memcpy(octets, sakke, sizeof octets);
            octets[1] = (uint8_t)type;
            for (size_t i = 0; i < 4; i++)
                taken |= takes[w].type[i] == type;
            ck_assert_uint_eq(takes[w].role, play_role[who]);
            for (size_t n = 0; n <= sizeof octets; n++) {
                const enum mkt_err err = n < 2    ? MKT_E_TRUNCATED
                                         : !taken ? MKT_E_DATA_TYPE
                                         : n < 10 ? MKT_E_TRUNCATED
                                                  : MKT_OK;
                const struct mkt_span in = exact((struct mkt_span){octets, n});
                const enum mkt_err got = mkt_csb_take_offer(play_bundle(p, who), in, mikey);
                ck_assert_msg(err == MKT_OK ? got != MKT_OK && got != MKT_E_DATA_TYPE : got == err,
                              "type %u, %zu octets: %s", type, n, mkt_err_name(got));
                if (n < 10 || taken)
                    continue;
                const struct mkt_span error = make_error(p, who, in, got);
                ck_assert_uint_eq(payload_of(error, MKT_ERR, 0).error.number, 11);
                ck_assert(!has(error, MKT_V));
            }
            octets[0] = 2; /* of another version nothing is known */
            expect_err("version",
                       mkt_csb_take_offer(play_bundle(p, who), (struct mkt_span){octets, sizeof octets}, mikey),
                       MKT_E_VERSION);
        }
        play_free(p);
    }
}
END_TEST

/* Nor does it matter whether the party takes any message at all now: here it owes each of its own. */
START_TEST(a_data_type_that_is_never_taken_by_who_owes_a_message)
{
    static const uint8_t sakke[] = {0x01, 0x1a, 0x1a, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01, 0x00};
    for (unsigned l = ASK; l < LEGS; l++) {
        struct play *p = new_play(0);
        play_until(p, (enum leg)l);
        if (play_has(p, (enum leg)l))
            expect_err(mkt_data_type_name((unsigned)play_type[l]),
                       mkt_csb_take(play_bundle(p, play_from(p, (enum leg)l)), (struct mkt_span){sakke, sizeof sakke}),
                       MKT_E_DATA_TYPE);
        play_free(p);
    }
}
END_TEST

/* A message of another bundle, under keys that this one has not. */
START_TEST(about_a_message_of_another_bundle)
{
    struct play *p = new_play(1), *q = new_play(1);
    q->player[ALICE].next_random = 500;
    play_until(p, BOB_UPDATES);
    play_until(q, ALICE_UPDATES);
    play_make(q, ALICE_UPDATES);
    for (unsigned l = ASK; l <= ALICE_UPDATES; l++) {
        if (!play_has(q, (enum leg)l) || l == GRANT || l == RESOLVED)
            continue;
        const enum party to = play_to(q, (enum leg)l);
        const bool kms = to == KMS; /* it knows alice and bob, whatever they send */
        expect_error(make_error(p, to, q->message[l], MKT_E_CSB_ID), q->message[l], MKT_E_CSB_ID, 0, kms);
    }
    expect_error(make_error(p, ALICE, q->message[GRANT], MKT_E_STATE), q->message[GRANT], MKT_E_STATE, 0, false);
    expect_error(make_error(p, BOB, q->message[RESOLVED], MKT_E_STATE), q->message[RESOLVED], MKT_E_STATE, 0, false);
    play_free(q);
    for (size_t i = 0; i < PARTIES; i++)
        mkt_csb_free(p->csb[i]);
    free(p);
}
END_TEST

START_TEST(small_buffers)
{
    struct play *p = new_play(0);
    uint8_t octets[1024];
    play_until(p, ANSWER);
    const size_t n = make_error(p, BOB, text(""), MKT_E_SP).n, seen = p->player[BOB].n_seen;
    for (size_t cap = 0; cap < n; cap++) {
        struct mkt_buf small = {octets, cap + 3, 3};
        expect_err("small", mkt_csb_make_error(p->csb[BOB], text(""), MKT_E_SP, NULL, 0, &small), MKT_E_BUFFER);
        ck_assert_uint_eq(small.n, 3);
    }
    ck_assert_uint_eq(p->player[BOB].n_seen, seen);
    play_free(p);
}
END_TEST

/* ---- taken ---- */

/* After one without MAC all goes on: anybody may have sent it. So it does after one with MAC, if the host likes. */
START_TEST(the_right_answer_afterwards)
{
    for (unsigned authentic = 0; authentic < 2; authentic++) {
        struct play *p = new_play(_i);
        for (unsigned l = ASK; l < LEGS; l++) {
            const enum leg leg = (enum leg)l;
            if (!play_has(p, leg))
                continue;
            for (size_t i = 0; i < PARTIES; i++)
                p->player[i].now++;
            struct mkt_span about = play_make(p, leg);
            uint8_t octets[4096];
            memcpy(octets, about.p, about.n);
            octets[about.n - 1] ^= !authentic;
            expect_told(p, play_from(p, leg),
                        make_error_once(p, play_to(p, leg), (struct mkt_span){octets, about.n}, MKT_E_DENIED),
                        authentic && leg != OFFER && sender_knows(p, leg), 12);
            play_take(p, leg);
        }
        expect_octets("TEK", tek_of(p->csb[ALICE], 1), tek_of(p->csb[BOB], 1));
        play_free(p);
    }
}
END_TEST

/* An Error message put anew, V in place. */
static struct mkt_span put_anew(const struct mkt_message *m)
{
    uint8_t octets[1024];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    expect_err("put", mkt_message_encode(m, &buf), MKT_OK);
    return exact((struct mkt_span){octets, buf.n});
}

/* Those that wait for an answer to a message, with a MAC and without. */
static const enum leg heard[] = {ASK, RESOLVE, PASS_ON, ANSWER, ALICE_UPDATES, BOB_ANSWERS, BOB_UPDATES, ALICE_ANSWERS};
enum { HEARD = sizeof heard / sizeof *heard };

/* Plays up to a message, of which the one who gets it has a MAC to show; NULL where the call has none. */
static struct play *play_to_error(int call, enum leg leg, struct mkt_span *error, enum party *from)
{
    struct play *p = new_play(call);
    if (!play_has(p, leg)) {
        play_free(p);
        return NULL;
    }
    play_until(p, leg);
    play_make(p, leg);
    *error = make_error(p, play_to(p, leg), p->message[leg], MKT_E_STALE);
    ck_assert(is_proven(*error));
    *from = play_from(p, leg);
    return p;
}

/* Each flip is refused; or takes V away, and the host is told that anybody may have sent it. */
START_TEST(every_bit_of_an_authentic_one_counts)
{
    for (size_t i = 0; i < HEARD; i++) {
        struct mkt_span error;
        enum party from;
        struct play *p = play_to_error(_i, heard[i], &error, &from);
        if (p == NULL)
            continue;
        uint8_t octets[1024];
        const struct mkt_span before = stored(p->csb[from]);
        const size_t seen = p->player[from].n_seen;
        memcpy(octets, error.p, error.n);
        for (size_t bit = 0; bit < 8 * error.n; bit++) {
            const struct mkt_span flipped = {octets, error.n};
            octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (mkt_csb_take(p->csb[from], flipped) == MKT_OK)
                ck_assert_msg(!told.authenticated && !is_proven(flipped), "bit %zu of octet %zu", bit % 8, bit / 8);
            octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t n = 0; n < error.n; n++)
            ck_assert_int_eq(mkt_err_class(mkt_csb_take(p->csb[from], exact((struct mkt_span){error.p, n}))),
                             MKT_CLASS_MALFORMED);
        ck_assert_uint_le(told.n, 1); /* CHASH is like V but for its type */
        ck_assert_uint_eq(p->player[from].n_seen, seen);
        expect_octets("unchanged", stored(p->csb[from]), before);
        expect_told(p, from, error, true, 1);
        expect_not_told(p, from, error, MKT_E_REPLAY);
        play_free(p);
    }
}
END_TEST

/* What is refused with a MAC and without, and never told. */
START_TEST(wrong_ones)
{
    static const uint8_t mac[32];
    for (size_t i = 0; i < HEARD; i++) {
        struct mkt_span error;
        enum party from;
        struct play *p = play_to_error(_i, heard[i], &error, &from);
        struct mkt_message m, wrong;
        if (p == NULL)
            continue;
        expect_err("get", mkt_message_decode(&m, error), MKT_OK);
        for (unsigned authentic = 0; authentic < 2; authentic++) {
            m.n -= !authentic;
            wrong = m;
            wrong.hdr.csb_id ^= 1;
            expect_not_told(p, from, put_anew(&wrong), MKT_E_CSB_ID);
            wrong.hdr.prf ^= 1; /* the first error counts */
            expect_not_told(p, from, put_anew(&wrong), MKT_E_CSB_ID);
            wrong.payload[0].t = (struct mkt_t){.ts_type = MKT_TS_COUNTER, .value = 1};
            expect_not_told(p, from, put_anew(&wrong), MKT_E_COUNTER);
            wrong = m;
            wrong.hdr.prf ^= 1;
            expect_not_told(p, from, put_anew(&wrong), MKT_E_PRF);
            wrong = m;
            wrong.payload[1].type = MKT_ID; /* no ERR */
            wrong.payload[1].id = mkt_id_uri("sip:mallory@example.com");
            expect_not_told(p, from, put_anew(&wrong), MKT_E_MISSING);
            wrong = m;
            wrong.payload[0] = wrong.payload[1]; /* no T */
            expect_not_told(p, from, put_anew(&wrong), MKT_E_MISSING);
            wrong = m;
            wrong.hdr.map_type = MKT_MAP_SRTP_ID;
            expect_not_told(p, from, put_anew(&wrong), MKT_E_BAD_MAP);
            m.n += !authentic;
        }
        const size_t v = m.n - 1;
        wrong = m;
        if (m.payload[v].type == MKT_SIGN) {
            wrong.payload[v].sign.s_type = 2;
            expect_not_told(p, from, put_anew(&wrong), MKT_E_PUBLIC_KEY);
        } else {
            wrong.payload[v].v = (struct mkt_v){MKT_MAC_NULL, {NULL, 0}};
            expect_not_told(p, from, put_anew(&wrong), MKT_E_MAC_ALG);
            wrong.payload[v].v = calls[_i].suite == MKT_SUITE_256 ? (struct mkt_v){MKT_MAC_HMAC_SHA_1_160, {mac, 20}}
                                                                  : (struct mkt_v){MKT_MAC_HMAC_SHA_256_256, {mac, 32}};
            expect_not_told(p, from, put_anew(&wrong), MKT_E_MAC_ALG);
        }
        wrong = m;
        wrong.payload[m.n] = wrong.payload[1];
        wrong.n++;
        if (m.payload[v].type == MKT_V) /* behind SIGN nothing can be written */
            expect_not_told(p, from, put_anew(&wrong), MKT_E_ORDER);
        wrong = m;
        if (m.payload[v].type == MKT_SIGN)
            wrong.payload[v].sign.signature = (struct mkt_span){mac, sizeof mac};
        else
            wrong.payload[v].v.mac.p = mac;
        expect_not_told(p, from, put_anew(&wrong), m.payload[v].type == MKT_SIGN ? MKT_E_SIGNATURE : MKT_E_MAC);

        /* too late, too early: "a fresh timestamp value SHALL be used" */
        struct player *player = &p->player[from];
        player->now = ntp(NOW + 301);
        expect_not_told(p, from, error, MKT_E_STALE);
        player->now = ntp(NOW - 301);
        expect_not_told(p, from, error, MKT_E_FUTURE);
        wrong = m;
        wrong.n--;
        expect_not_told(p, from, put_anew(&wrong), MKT_E_FUTURE);
        player->now = ntp(NOW);
        expect_told(p, from, put_anew(&wrong), false, 1);
        expect_told(p, from, error, true, 1);
        play_free(p);
    }
}
END_TEST

/* More than one error, and payloads that are not expected: the first number is told, the host may look at the rest. */
START_TEST(several_errors_in_one)
{
    struct mkt_span error;
    enum party from;
    struct play *p = play_to_error(1, ANSWER, &error, &from);
    struct mkt_message m;
    expect_err("get", mkt_message_decode(&m, error), MKT_OK);
    m.n--;
    m.payload[m.n++] = (struct mkt_payload){.type = MKT_ERR, .error = {7, 0}};
    m.payload[m.n++] = (struct mkt_payload){.type = MKT_GENERAL_EXT, .general_ext = {MKT_EXT_VENDOR_ID, text("x")}};
    expect_told(p, from, put_anew(&m), false, 1);
    ck_assert_uint_eq(told.n_err, 2);
    play_free(p);
}
END_TEST

static void expect_mac(struct play *p, enum party by, struct mkt_span about, enum mkt_err why, bool mac)
{
    expect_error(make_error(p, by, about, why), about, why, mkt_err_class(why) == MKT_CLASS_POLICY && why == MKT_E_SP,
                 mac);
}

/* What take() answers where the party has taken it already. */
static enum mkt_err again(struct play *p, enum party who, struct mkt_span message)
{
    const enum mkt_err err = mkt_csb_take_offer(p->csb[who], message, mikey);
    ck_assert_int_ne(err, MKT_OK);
    return err;
}

/*
 * Who sends a message again, or sends it back to who made it, is not who made it: the Error message about it has no
 * MAC, or the peer would think that its last message was refused. Whatever state it comes in.
 */
START_TEST(about_one_that_was_sent_again)
{
    static const enum leg legs[] = {OFFER, ALICE_UPDATES, BOB_UPDATES};
    for (size_t i = 0; i < sizeof legs / sizeof *legs; i++) {
        const enum leg leg = legs[i], answer = leg == OFFER ? ANSWER : (enum leg)(leg + 1);
        struct play *p = new_play(_i);
        play_until(p, leg);
        const struct mkt_span m = play_make(p, leg);
        const enum party to = play_to(p, leg), from = play_from(p, leg);
        expect_mac(p, from, m, again(p, from, m), false); /* sent back */
        expect_mac(p, from, m, MKT_E_SP, false);
        play_take(p, leg);
        expect_mac(p, to, m, again(p, to, m), false); /* before the answer */
        for (unsigned l = leg + 1; l <= answer; l++) {
            if (!play_has(p, (enum leg)l))
                continue;
            play_make(p, (enum leg)l);
            play_take(p, (enum leg)l);
        }
        expect_mac(p, to, m, again(p, to, m), false);
        expect_mac(p, from, m, again(p, from, m), false);
        expect_mac(p, to, m, MKT_E_SP, true); /* the last that was taken, which the host does not like after all */
        expect_mac(p, from, m, MKT_E_SP, false);

        const enum leg crossing = to == BOB ? BOB_UPDATES : ALICE_UPDATES; /* while an update of its own waits */
        play_make(p, crossing);
        expect_mac(p, to, m, again(p, to, m), false);
        if (leg == OFFER) { /* Alice has said something else since */
            mkt_csb_abandon(p->csb[to]);
            play_make(p, ALICE_UPDATES);
            play_take(p, ALICE_UPDATES);
            play_make(p, BOB_ANSWERS);
            play_take(p, BOB_ANSWERS);
            expect_mac(p, to, m, MKT_E_SP, false);
        }
        play_free(p);
    }
}
END_TEST

/* The message that was taken and is not answered may be late by now, or its ticket expired. */
START_TEST(about_the_message_that_waits)
{
    struct play *p = new_play(1);
    play_until(p, ANSWER);
    expect_mac(p, BOB, p->message[OFFER], MKT_E_EXPIRED, true);
    expect_mac(p, BOB, p->message[OFFER], MKT_E_STALE, true);
    play_free(p);
}
END_TEST

/* "Both" ends have the same keys: what a party complained about does not come back to it as the other's complaint. */
START_TEST(one_that_comes_back)
{
    static const enum leg legs[] = {ANSWER, ALICE_UPDATES, BOB_ANSWERS, BOB_UPDATES, ALICE_ANSWERS};
    for (size_t i = 0; i < sizeof legs / sizeof *legs; i++) {
        struct play *p = new_play(_i);
        if (play_has(p, legs[i])) {
            uint8_t octets[1024];
            struct mkt_buf buf = {octets, sizeof octets, 0};
            play_until(p, legs[i]);
            const struct mkt_span about = play_make(p, legs[i]);
            struct mkt_csb *csb = p->csb[play_to(p, legs[i])];
            expect_err("error", mkt_csb_make_error(csb, about, MKT_E_STALE, NULL, 0, &buf), MKT_OK);
            const struct mkt_span error = exact((struct mkt_span){octets, buf.n});
            ck_assert(has(error, MKT_V));
            ck_assert_int_ne(mkt_csb_take(csb, error), MKT_OK);
            ck_assert_uint_eq(told.n, 0);
        }
        play_free(p);
    }
}
END_TEST

static enum mkt_err counter(void *user, uint32_t *value)
{
    *value = ++((struct player *)user)->counter;
    return MKT_OK;
}

static enum mkt_err any_count(void *user, const struct mkt_id *peer, uint32_t value)
{
    (void)user, (void)peer, (void)value;
    return MKT_OK;
}

/* "If the COUNTER timestamp type [...] is used, the timestamp value MAY be equal": nobody can say whether it is new. */
START_TEST(by_a_counter)
{
    struct play *p = new_play(1);
    for (size_t i = 0; i < PARTIES; i++) {
        p->settings[i].counter = true;
        p->player[i].host.counter_next = counter;
        p->player[i].host.counter_check = any_count;
    }
    uint8_t octets[1024];
    struct mkt_buf buf = {octets, sizeof octets, 0};
    play_until(p, ANSWER);
    const struct mkt_span about = play_make(p, ANSWER);
    /* who counts may say STALE of a message that came before */
    expect_err("error", mkt_csb_make_error(p->csb[ALICE], about, MKT_E_STALE, NULL, 0, &buf), MKT_OK);
    ck_assert(!has((struct mkt_span){octets, buf.n}, MKT_V));
    buf.n = 0;
    expect_err("error", mkt_csb_make_error(p->csb[ALICE], about, MKT_E_SP, NULL, 0, &buf), MKT_OK);
    const struct mkt_span error = exact((struct mkt_span){octets, buf.n});
    ck_assert(has(error, MKT_V));
    ck_assert_uint_eq(payload_of(error, MKT_T, 0).t.ts_type, MKT_TS_COUNTER);
    expect_told(p, BOB, error, false, mkt_err_number(MKT_E_SP));
    octets[buf.n - 1] ^= 1;
    expect_not_told(p, BOB, (struct mkt_span){octets, buf.n}, MKT_E_MAC);
    p->player[BOB].host.counter_check = NULL;
    expect_not_told(p, BOB, error, MKT_E_COUNTER);
    play_free(p);
}
END_TEST

/* In a state in which nothing was sent there is nothing that one could be about. */
START_TEST(where_nothing_was_sent)
{
    struct play *p = new_play(0);
    struct mkt_span error;
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        play_make(p, leg);
        const enum party to = play_to(p, leg);
        error = make_error(p, to, p->message[leg], MKT_E_STALE);
        if (leg == ASK || leg == RESOLVE || leg == PASS_ON)
            expect_told(p, to, error, false, mkt_err_number(MKT_E_STALE)); /* a KMS keeps nothing of what it answered */
        if (leg == OFFER)
            expect_not_told(p, to, error, MKT_E_DATA_TYPE);
        play_take(p, leg);
        if (leg == ASK || leg == RESOLVE || leg == PASS_ON || leg == OFFER || leg == RESOLVED || leg == GRANT)
            expect_not_told(p, to, error, MKT_E_STATE);
    }
    play_free(p);

    p = new_play(1); /* a request that is given up is not heard of any more */
    play_make(p, ASK);
    error = make_error(p, KMS, p->message[ASK], MKT_E_STALE);
    mkt_csb_abandon(p->csb[ALICE]);
    expect_not_told(p, ALICE, error, MKT_E_STATE);
    play_until(p, RESOLVE);
    play_make(p, RESOLVE);
    error = make_error(p, KMS, p->message[RESOLVE], MKT_E_STALE);
    mkt_csb_abandon(p->csb[BOB]);
    expect_not_told(p, BOB, error, MKT_E_STATE);
    play_free(p);
}
END_TEST

/* A RESOLVE_INIT may be made again: errors about the one before are not about the last. */
START_TEST(about_the_last_request)
{
    struct play *p = new_play(0);
    play_until(p, RESOLVE);
    const struct mkt_span first = play_make(p, RESOLVE), of_first = make_error(p, HOME, first, MKT_E_STALE);
    const struct mkt_span second = play_make(p, RESOLVE), of_second = make_error(p, HOME, second, MKT_E_STALE);
    expect_not_told(p, BOB, of_first, MKT_E_CSB_ID);
    expect_told(p, BOB, of_second, true, 1);
    play_take(p, RESOLVE);
    play_free(p);
}
END_TEST

START_TEST(nobody_is_told)
{
    struct mkt_span error;
    enum party from;
    struct play *p = play_to_error(1, ANSWER, &error, &from);
    p->player[from].host.error = NULL;
    expect_err("take", taken(mkt_csb_take(p->csb[from], error)), MKT_OK);
    expect_err("replay", mkt_csb_take(p->csb[from], error), MKT_E_REPLAY);
    ck_assert_uint_eq(told.n, 0);
    play_free(p);
}
END_TEST

/* What an Initiator does with them: from its KMS, it asks for something else. */
START_TEST(a_kms_says_no)
{
    struct play *p = new_play(_i);
    play_make(p, ASK);
    p->player[KMS].fail = MKT_E_DENIED;
    expect_err("denied", mkt_csb_take(play_bundle(p, KMS), p->message[ASK]), MKT_E_DENIED);
    expect_told(p, ALICE, make_error(p, KMS, p->message[ASK], MKT_E_DENIED), true, 12);
    mkt_csb_abandon(p->csb[ALICE]);
    p->player[KMS].fail = MKT_OK;
    play_until(p, RESOLVE);
    play_make(p, RESOLVE);
    const enum party asked = play_to(p, RESOLVE);
    p->player[asked].now = ntp(NOW + 1000);
    expect_err("stale", mkt_csb_take(play_bundle(p, asked), p->message[RESOLVE]), MKT_E_STALE);
    p->player[asked].now = ntp(NOW);
    expect_told(p, BOB, make_error(p, asked, p->message[RESOLVE], MKT_E_STALE), true, 1);
    for (unsigned l = RESOLVE; l < LEGS; l++) {
        if (!play_has(p, (enum leg)l))
            continue;
        play_make(p, (enum leg)l);
        play_take(p, (enum leg)l);
    }
    expect_octets("TEK", tek_of(p->csb[ALICE], 1), tek_of(p->csb[BOB], 1));
    play_free(p);
}
END_TEST

/* The KMS does not resolve the ticket: Bob tells Alice the number that he was told, whatever it is. */
START_TEST(the_number_of_a_kms_is_passed_on)
{
    static const uint8_t numbers[] = {0, 7, 8, 12, 13, 15, 16, 255};
    for (size_t i = 0; i < sizeof numbers; i++) {
        struct play *p = new_play(_i);
        play_until(p, RESOLVE);
        const struct mkt_span question = play_make(p, RESOLVE);
        const enum party asked = play_to(p, RESOLVE);
        p->player[asked].now = ntp(NOW + 1000);
        expect_err("stale", mkt_csb_take(play_bundle(p, asked), question), MKT_E_STALE);
        p->player[asked].now = ntp(NOW);
        expect_told(p, BOB, make_error(p, asked, question, mkt_error_of_number(numbers[i])), true, numbers[i]);
        const struct mkt_span error = make_error(p, BOB, text(""), mkt_error_of_number(told.number));
        expect_error(error, p->message[OFFER], mkt_error_of_number(numbers[i]), 0, false);
        expect_told(p, ALICE, error, false, numbers[i]);
        play_free(p);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report");
    TCase *tcase = tcase_create("made");
    tcase_add_loop_test(tcase, about_a_message_that_is_refused, 0, CALLS);
    tcase_add_loop_test(tcase, about_a_message_that_is_not_authentic, 0, CALLS);
    tcase_add_loop_test(tcase, about_a_message_that_was_taken, 0, CALLS);
    tcase_add_loop_test(tcase, auth_keys_of_messages_to_and_from_a_kms, 0, CALLS);
    tcase_add_loop_test(tcase, every_error, 0, CALLS);
    tcase_add_loop_test(tcase, a_second_error_about_one_message, 0, CALLS);
    tcase_add_loop_test(tcase, about_a_message_outside_the_skew, 0, CALLS);
    tcase_add_loop_test(tcase, errors_that_take_no_slot, 0, CALLS);
    tcase_add_test(tcase, policies_that_are_supported);
    tcase_add_test(tcase, more_policies_than_a_message_has_room_for);
    tcase_add_test(tcase, about_nothing);
    tcase_add_test(tcase, about_what_is_hardly_a_message);
    tcase_add_test(tcase, a_data_type_that_is_never_taken);
    tcase_add_test(tcase, a_data_type_that_is_never_taken_by_who_owes_a_message);
    tcase_add_test(tcase, about_a_message_of_another_bundle);
    tcase_add_test(tcase, small_buffers);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("taken");
    tcase_add_loop_test(tcase, the_right_answer_afterwards, 0, CALLS);
    tcase_add_loop_test(tcase, every_bit_of_an_authentic_one_counts, 0, CALLS);
    tcase_add_loop_test(tcase, wrong_ones, 0, CALLS);
    tcase_add_test(tcase, several_errors_in_one);
    tcase_add_loop_test(tcase, about_one_that_was_sent_again, 0, CALLS);
    tcase_add_test(tcase, about_the_message_that_waits);
    tcase_add_loop_test(tcase, one_that_comes_back, 0, CALLS);
    tcase_add_test(tcase, by_a_counter);
    tcase_add_test(tcase, where_nothing_was_sent);
    tcase_add_test(tcase, about_the_last_request);
    tcase_add_test(tcase, nobody_is_told);
    tcase_add_loop_test(tcase, a_kms_says_no, 0, CALLS);
    tcase_add_loop_test(tcase, the_number_of_a_kms_is_passed_on, 0, CALLS);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
