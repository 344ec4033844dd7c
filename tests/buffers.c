/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every function that appends to a buffer of the caller's keeps what mikeyticket/span.h says: a call that fails leaves
 * `n` as it was, whether it writes or measures. The buffers here hold octets already, which no call changes.
 */
#include "described.h"
#include "play.h"

#include <mikeyticket/sdp.h>

enum { BEFORE = 5, FILLER = 0xb5 };

static uint8_t octets[8192];

/* A buffer that has BEFORE octets already, and room for so many more. */
static struct mkt_buf used(size_t more)
{
    memset(octets, FILLER, sizeof octets);
    return (struct mkt_buf){octets, BEFORE + more, BEFORE};
}

static void expect_as_before(const char *name, size_t n)
{
    ck_assert_msg(n == BEFORE, "%s: n is %zu, not %d", name, n, BEFORE);
    for (size_t i = 0; i < BEFORE; i++)
        ck_assert_msg(octets[i] == FILLER, "%s: octet %zu of before is changed", name, i);
}

/* ---- the functions, in the order of the headers ---- */

/* What the functions work on: a call without KMS whose ends are ready, and one with a KMS, up to some message. */
struct scene {
    struct call *call;
    struct play *play;
};

static const struct mkt_cs cs = {.cs_id = 1, .prot_type = MKT_PROT_TLS, .spi = {octets, 4}};
static const struct mkt_sp_param param = {1, {octets, 1}};
static const struct mkt_update without_answer = {
    .size = sizeof without_answer, .keys = &one_tgk, .n_keys = 1, .no_answer = true};

static struct mkt_payload two_payloads(size_t i)
{
    const struct mkt_payload payloads[] = {
        {.type = MKT_RAND, .rand = {.rand = text("a RAND")}},
        {.type = MKT_RAND, .rand = {.rand = text("another")}},
    };
    return payloads[i];
}

static enum mkt_err cs_put(struct scene *s, struct mkt_buf *out)
{
    (void)s;
    return mkt_cs_encode(&cs, MKT_MAP_GENERIC_ID, out);
}

static enum mkt_err sp_param_put(struct scene *s, struct mkt_buf *out)
{
    (void)s;
    return mkt_sp_param_encode(&param, out);
}

static enum mkt_err payloads_put(struct scene *s, struct mkt_buf *out)
{
    (void)s;
    const struct mkt_payload payloads[] = {two_payloads(0), two_payloads(1)};
    return mkt_payloads_encode(payloads, 2, out);
}

static enum mkt_err first_put(struct scene *s, struct mkt_buf *out)
{
    (void)s;
    const struct mkt_payload payloads[] = {two_payloads(0), two_payloads(1)};
    return mkt_chain_encode(payloads, 2, out);
}

static enum mkt_err message_put(struct scene *s, struct mkt_buf *out)
{
    struct mkt_message message;
    expect_err("get", mkt_message_decode(&message, init_of(s->call)), MKT_OK);
    return mkt_message_encode(&message, out);
}

static enum mkt_err policy_put(struct scene *s, struct mkt_buf *out)
{
    return mkt_policy_encode(&s->call->policy, out);
}

static enum mkt_err ticket_put(struct scene *s, struct mkt_buf *out)
{
    return mkt_ticket_save(s->call->ticket, out);
}

static enum mkt_err ticket_open(struct scene *s, struct mkt_buf *out)
{
    const struct mkt_payload ticket = payload_of(init_of(s->call), MKT_TICKET, 0);
    return mkt_ticket_open(&ticket, tpk, out);
}

static enum mkt_err sdp_put(struct scene *s, struct mkt_buf *out)
{
    return mkt_sdp_key_mgmt_encode(init_of(s->call), out);
}

static enum mkt_err sdp_get(struct scene *s, struct mkt_buf *out)
{
    (void)s;
    return text_get(text("a=key-mgmt:mikey bWlrZXk=\r\n"), MKT_SDP_SESSION, out);
}

static enum mkt_err sdp_protocols(struct scene *s, struct mkt_buf *out)
{
    (void)s;
    return text_protocols(text("a=key-mgmt:mikey bWlrZXk=\r\na=key-mgmt:keyp1 x\r\n"), MKT_SDP_SESSION, out);
}

static enum mkt_err keymgmt_put(struct scene *s, struct mkt_buf *out)
{
    const struct mkt_keymgmt spec[] = {{text("rtsp://a/1"), init_of(s->call)}, {text("rtsp://a/2"), text("message")}};
    return mkt_keymgmt_encode(spec, 2, out);
}

static enum mkt_err keymgmt_get(struct scene *s, struct mkt_buf *out)
{
    (void)s;
    return mkt_keymgmt_decode(text("KeyMgmt: prot=mikey; data=\"bWlrZXk=\"\r\n"), text(""), out);
}

static enum mkt_err leg_put(struct scene *s, enum leg leg, struct mkt_buf *out)
{
    return play_put(s->play, leg, play_bundle(s->play, play_from(s->play, leg)), out);
}

static enum mkt_err make_request_init(struct scene *s, struct mkt_buf *out)
{
    return leg_put(s, ASK, out);
}

static enum mkt_err make_request_resp(struct scene *s, struct mkt_buf *out)
{
    return leg_put(s, GRANT, out);
}

static enum mkt_err make_transfer_init(struct scene *s, struct mkt_buf *out)
{
    return leg_put(s, OFFER, out);
}

static enum mkt_err sdp_make_offer(struct scene *s, struct mkt_buf *out)
{
    struct mkt_csb *alice = play_bundle(s->play, ALICE);
    struct mkt_offer offer = {.size = sizeof offer, .responder = s->play->settings[BOB].self};
    enum mkt_err err = mkt_csb_take_ticket(alice, &offer.ticket);
    err = err == MKT_OK ? mkt_sdp_make_offer(alice, &offer, out) : err;
    mkt_ticket_free(offer.ticket);
    return err;
}

static enum mkt_err sdp_make_answer(struct scene *s, struct mkt_buf *out)
{
    return mkt_sdp_make_answer(s->play->csb[BOB], NULL, out);
}

static enum mkt_err sdp_make_update(struct scene *s, struct mkt_buf *out)
{
    return mkt_sdp_make_update(s->play->csb[ALICE], &without_answer, out);
}

static enum mkt_err make_resolve_init(struct scene *s, struct mkt_buf *out)
{
    return leg_put(s, RESOLVE, out);
}

static enum mkt_err make_resolve_resp(struct scene *s, struct mkt_buf *out)
{
    return leg_put(s, RESOLVED, out);
}

static enum mkt_err make_transfer_resp(struct scene *s, struct mkt_buf *out)
{
    return leg_put(s, ANSWER, out);
}

static enum mkt_err make_update(struct scene *s, struct mkt_buf *out)
{
    return leg_put(s, ALICE_UPDATES, out);
}

static enum mkt_err make_update_without_answer(struct scene *s, struct mkt_buf *out)
{
    return mkt_csb_make_update(s->play->csb[ALICE], &without_answer, out);
}

static enum mkt_err make_update_resp(struct scene *s, struct mkt_buf *out)
{
    return leg_put(s, BOB_ANSWERS, out);
}

static enum mkt_err make_error(struct scene *s, struct mkt_buf *out)
{
    return mkt_csb_make_error(s->play->csb[BOB], (struct mkt_span){NULL, 0}, MKT_E_SP, NULL, 0, out);
}

static enum mkt_err sdp_make_error(struct scene *s, struct mkt_buf *out)
{
    return mkt_sdp_make_error(s->play->csb[BOB], NULL, 0, MKT_E_SP, NULL, 0, out);
}

static enum mkt_err resolved_put(struct scene *s, struct mkt_buf *out)
{
    return mkt_csb_save_resolved(s->play->csb[BOB], out);
}

static enum mkt_err csb_put(struct scene *s, struct mkt_buf *out)
{
    return mkt_csb_save(s->call->i, out);
}

static enum mkt_err tek(struct scene *s, struct mkt_buf *out)
{
    return mkt_csb_tek(s->call->i, 1, out);
}

static enum mkt_err salt(struct scene *s, struct mkt_buf *out)
{
    return mkt_csb_salt(s->call->i, 1, out);
}

static enum mkt_err psk_identity(struct scene *s, struct mkt_buf *out)
{
    return mkt_csb_psk_identity(s->call->i, 1, out);
}

static const struct {
    const char *name;
    enum mkt_err (*call)(struct scene *, struct mkt_buf *);
    enum leg leg; /* of the play; 0: a call without KMS is enough */
} functions[] = {
    {"mkt_cs_encode", cs_put, ASK},
    {"mkt_sp_param_encode", sp_param_put, ASK},
    {"mkt_payloads_encode", payloads_put, ASK},
    {"mkt_chain_encode", first_put, ASK},
    {"mkt_message_encode", message_put, ASK},
    {"mkt_policy_encode", policy_put, ASK},
    {"mkt_ticket_save", ticket_put, ASK},
    {"mkt_ticket_open", ticket_open, ASK},
    {"mkt_sdp_key_mgmt_encode", sdp_put, ASK},
    {"mkt_sdp_key_mgmt_decode", sdp_get, ASK},
    {"mkt_sdp_protocols", sdp_protocols, ASK},
    {"mkt_keymgmt_encode", keymgmt_put, ASK},
    {"mkt_keymgmt_decode", keymgmt_get, ASK},
    {"mkt_csb_make_request_init", make_request_init, ASK},
    {"mkt_csb_make_request_resp", make_request_resp, GRANT},
    {"mkt_csb_make_transfer_init", make_transfer_init, OFFER},
    {"mkt_csb_make_resolve_init", make_resolve_init, RESOLVE},
    {"mkt_csb_make_resolve_resp", make_resolve_resp, RESOLVED},
    {"mkt_csb_make_transfer_resp", make_transfer_resp, ANSWER},
    {"mkt_csb_make_update", make_update, ALICE_UPDATES},
    {"mkt_csb_make_update without answer", make_update_without_answer, ALICE_UPDATES},
    {"mkt_csb_make_transfer_resp to an update", make_update_resp, BOB_ANSWERS},
    {"mkt_csb_make_error", make_error, ANSWER},
    {"mkt_sdp_make_error", sdp_make_error, ANSWER},
    {"mkt_sdp_make_offer", sdp_make_offer, OFFER},
    {"mkt_sdp_make_answer", sdp_make_answer, ANSWER},
    {"mkt_sdp_make_update", sdp_make_update, ALICE_UPDATES},
    {"mkt_csb_save_resolved", resolved_put, ANSWER},
    {"mkt_csb_save", csb_put, ASK},
    {"mkt_csb_tek", tek, ASK},
    {"mkt_csb_salt", salt, ASK},
    {"mkt_csb_psk_identity", psk_identity, ASK},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static struct scene scene_new(size_t which)
{
    static const struct mkt_key_wish with_salt = {.size = sizeof with_salt, .type = MKT_KEY_TGK_SALT};
    struct scene s = {call_new(MKT_SUITE_256, "FGHJLNO"), play_new(MKT_SUITE_256, "DEFGHIJLMNO", false)};
    s.call->recipe.keys = &with_salt;
    make_resp(s.call);
    finish(s.call);
    play_until(s.play, functions[which].leg);
    return s;
}

static void scene_free(struct scene *s)
{
    play_free(s->play);
    call_free(s->call);
}

/* ---- buffers ---- */

START_TEST(too_small_and_measured)
{
    const char *name = functions[_i].name;
    struct scene s = scene_new((size_t)_i);
    struct mkt_buf measured = {NULL, 0, BEFORE}, out;
    expect_err(name, functions[_i].call(&s, &measured), MKT_OK);
    ck_assert_msg(measured.n > BEFORE, "%s appends nothing", name);
    const size_t n = measured.n - BEFORE;
    for (size_t more = 0; more < n; more++) {
        out = used(more);
        expect_err(name, functions[_i].call(&s, &out), MKT_E_BUFFER);
        expect_as_before(name, out.n);
    }
    out = used(n);
    out.cap = BEFORE - 1;
    expect_err(name, functions[_i].call(&s, &out), MKT_E_ARGUMENT);
    expect_as_before(name, out.n);
    out = used(n);
    expect_err(name, functions[_i].call(&s, &out), MKT_OK);
    ck_assert_uint_eq(out.n, measured.n);
    out.n = BEFORE;
    expect_as_before(name, out.n);
    scene_free(&s);
}
END_TEST

/* The table above has every function of the headers that appends. */
START_TEST(all_functions_are_here)
{
    static const char *const headers[] = {"payload.h", "policy.h", "message.h", "ticket.h", "sdp.h", "csb.h"};
    static char words[65536];
    size_t found = 0;
    for (size_t h = 0; h < sizeof headers / sizeof *headers; h++) {
        const char *folder = getenv("HEADERS");
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder != NULL ? folder : "include/mikeyticket", headers[h]);
        FILE *file = fopen(path, "r");
        ck_assert_msg(file != NULL, "%s", path);
        words[fread(words, 1, sizeof words - 1, file)] = '\0';
        fclose(file);
        for (char *at = strstr(words, "\nMKT_API"), *end; at != NULL; at = strstr(end, "\nMKT_API")) {
            end = strchr(at, ';');
            const char *buffer = strstr(at, "struct mkt_buf *"), *bracket = strchr(at, '('), *name = bracket;
            if (buffer == NULL || buffer > end)
                continue;
            while (name[-1] == '_' || (name[-1] >= 'a' && name[-1] <= 'z'))
                name--;
            const size_t n = (size_t)(bracket - name);
            size_t i = 0;
            while (i < FUNCTIONS && (strncmp(functions[i].name, name, n) != 0 || functions[i].name[n] != '\0'))
                i++;
            ck_assert_msg(i < FUNCTIONS, "%.*s is not tried", (int)n, name);
            found++;
        }
    }
    ck_assert_uint_ge(found, 20);
}
END_TEST

/* ---- what fails half-way ---- */

START_TEST(payloads_without_encoding)
{
    const struct mkt_payload payloads[] = {two_payloads(0), {.type = 200}};
    struct mkt_message message = {.hdr = {.version = 1}, .n = 2, .payload = {payloads[0], payloads[1]}};
    struct mkt_policy policy = granted(MKT_SUITE_256);
    const struct mkt_cs long_spi = {.cs_id = 1, .spi = {octets, 256}};
    const struct mkt_sp_param long_value = {1, {octets, 256}};
    const struct mkt_keymgmt specs[] = {{text("a"), text("message")}, {text("a"), text("message")}};
    policy.responder[policy.n_responders++] = (struct mkt_id){.type = MKT_ID_URI, .data = {octets, 65536}};
    for (int writes = 0; writes < 2; writes++) {
        struct mkt_buf out = used(100);
        out.p = writes ? out.p : NULL;
        expect_err("chain", mkt_payloads_encode(payloads, 2, &out), MKT_E_PAYLOAD);
        expect_err("chain", mkt_chain_encode(payloads, 2, &out), MKT_E_PAYLOAD);
        expect_err("message", mkt_message_encode(&message, &out), MKT_E_PAYLOAD);
        expect_err("session", mkt_cs_encode(&long_spi, MKT_MAP_GENERIC_ID, &out), MKT_E_LENGTH);
        expect_err("parameter", mkt_sp_param_encode(&long_value, &out), MKT_E_LENGTH);
        expect_err("policy", mkt_policy_encode(&policy, &out), MKT_E_LENGTH);
        expect_err("two specs of one URI", mkt_keymgmt_encode(specs, 2, &out), MKT_E_ARGUMENT);
        expect_err("two for mikey",
                   text_protocols(text("a=key-mgmt:mikey x\na=key-mgmt:mikey x"), MKT_SDP_SESSION, &out), MKT_E_SDP);
        expect_err("no base64", text_get(text("a=key-mgmt:mikey bWlrZXk"), MKT_SDP_SESSION, &out), MKT_E_BASE64);
        expect_as_before("payloads", out.n);
    }
}
END_TEST

static enum mkt_err half_an_identity(void *user, const struct mkt_psk_session *session, struct mkt_buf *identity)
{
    (void)user, (void)session;
    identity->n += 3;
    return MKT_E_BUFFER;
}

/* A callback that fails may leave `n` of the caller's buffer anywhere: the library puts it back. */
START_TEST(an_identity_that_the_host_gives_up)
{
    struct scene s = scene_new(0);
    for (int writes = 0; writes < 2; writes++) {
        struct mkt_buf out = used(100);
        out.p = writes ? out.p : NULL;
        s.call->alice.host.psk_identity = half_an_identity;
        expect_err("identity", psk_identity(&s, &out), MKT_E_BUFFER);
        expect_as_before("identity", out.n);
    }
    scene_free(&s);
}
END_TEST

START_TEST(a_ticket_under_another_key)
{
    struct scene s = scene_new(0);
    const struct mkt_payload ticket = payload_of(init_of(s.call), MKT_TICKET, 0);
    struct mkt_buf out = used(200);
    expect_err("another TPK", mkt_ticket_open(&ticket, (struct mkt_span){octets, 32}, &out), MKT_E_TICKET_MAC);
    expect_as_before("another TPK", out.n);
    for (size_t i = BEFORE; i < sizeof octets; i++)
        ck_assert_msg(octets[i] == FILLER || octets[i] == 0, "octet %zu is left as %02x", i, octets[i]);
    scene_free(&s);
}
END_TEST

/* ---- bundles without room ---- */

/*
 * Each message of a call is made, and measured, by bundles of every size. The message is appended before the bundle
 * keeps its copy: a bundle that has no room for that fails late.
 */
START_TEST(bundles_of_every_size)
{
    static const char *const flags[] = {"DEFGHIJLMNO", "DHJLNO"};
    struct play *p = play_new(MKT_SUITE_256, flags[_i], false);
    size_t refused = 0;
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        if (!play_has(p, leg))
            continue;
        const enum party who = play_from(p, leg);
        const char *name = mkt_data_type_name((unsigned)play_type[leg]);
        struct mkt_settings settings = p->settings[who];
        const struct mkt_span kept = stored(play_bundle(p, who));
        const size_t seen = p->player[who].n_seen;
        for (settings.bundle_size = 600; settings.bundle_size < MKT_CSB_SIZE; settings.bundle_size += 4) {
            struct mkt_csb *csb = NULL;
            struct mkt_buf measured = {NULL, 0, BEFORE}, out = used(sizeof octets - BEFORE);
            if (mkt_csb_load(&csb, &p->player[who].host, &settings, kept) != MKT_OK)
                continue;
            const enum mkt_err err = play_put(p, leg, csb, &measured);
            expect_err(name, play_put(p, leg, csb, &out), err);
            if (err != MKT_OK) {
                expect_err(name, err, MKT_E_BUNDLE_FULL);
                expect_as_before(name, measured.n);
                expect_as_before(name, out.n);
                refused++;
            } else {
                ck_assert_uint_eq(measured.n, out.n);
            }
            mkt_csb_free(csb);
            p->player[who].n_seen = seen;
        }
        play_make(p, leg);
        play_take(p, leg);
    }
    ck_assert_uint_gt(refused, 0);
    play_free(p);
}
END_TEST

START_TEST(view_of_a_buffer)
{
    const struct mkt_buf buf = used(3), measures = {NULL, 0, 7};
    const struct mkt_span view = mkt_buf_span(&buf), nothing = mkt_buf_span(&measures);
    ck_assert_ptr_eq(view.p, octets);
    ck_assert_uint_eq(view.n, BEFORE);
    ck_assert_ptr_null(nothing.p);
    ck_assert_uint_eq(nothing.n, 0); /* there are no octets that it could view */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buffers");
    TCase *tcase = tcase_create("buffers");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, too_small_and_measured, 0, FUNCTIONS);
    tcase_add_test(tcase, all_functions_are_here);
    tcase_add_test(tcase, payloads_without_encoding);
    tcase_add_test(tcase, an_identity_that_the_host_gives_up);
    tcase_add_test(tcase, a_ticket_under_another_key);
    tcase_add_loop_test(tcase, bundles_of_every_size, 0, 2);
    tcase_add_test(tcase, view_of_a_buffer);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
