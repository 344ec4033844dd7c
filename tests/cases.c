/* SPDX-License-Identifier: BSD-3-Clause */
#include "cases.h"

#include "exchange.h"
#include "request.h"

#include <stdlib.h>
#include <string.h>

/* ---- the party of a case ---- */

static bool yes_member(void *user, const struct mkt_id *id, const struct mkt_id *group)
{
    (void)user;
    ck_assert_uint_gt(id->data.n, 0);
    ck_assert_uint_gt(group->data.n, 0);
    return true;
}

static enum mkt_err yes_authorise(void *user, const struct mkt_peer *peer)
{
    struct actor *a = user;
    a->authorised = peer->id;
    a->authorised.data = exact(peer->id.data);
    return MKT_OK;
}

static bool says_yes(const struct section *s, const char *field, const char *no)
{
    const char *value = value_of(s, field);
    const bool yes = value != NULL && strcmp(value, "yes") == 0;
    ck_assert_msg(value == NULL || yes || strcmp(value, no) == 0, "%s is neither yes nor %s", field, no);
    return yes;
}

/* The party that asks a KMS, by the message that it sends. */
static const char *asker_of(const struct section *s)
{
    const char *field = value_of(s, "init") != NULL ? "init" : "bytes";
    return octets_of(s, field).p[1] == MKT_REQUEST_INIT_PSK ? "id_i" : "id_r";
}

void actor_begin(struct actor *a, const struct section *s, enum mkt_role role)
{
    static const char *const self[] = {[MKT_INITIATOR] = "id_i", [MKT_RESPONDER] = "id_r", [MKT_KMS] = "id_kms"};
    const char *psk = value_of(s, "psk") != NULL ? "psk" : "psk_r";
    const struct mkt_span key = value_of(s, psk) != NULL ? octets_of(s, psk) : text("");
    *a = (struct actor){.csb = NULL};
    player_init(&a->player, ntp(number_of(s, "now")), value_of(s, "tpk") != NULL ? octets_of(s, "tpk") : text(""));
    a->player.host.member = says_yes(s, "member", "no") ? yes_member : NULL;
    a->player.host.authorise = says_yes(s, "authorise", "none") ? yes_authorise : NULL;
    mkt_settings_init(&a->settings, mkt_id_uri(text_of(s, self[role])));
    a->kms = (struct mkt_credential){mkt_id_uri(text_of(s, "id_kms")), {0}, key};
    if (role != MKT_KMS && key.n > 0)
        a->settings.kms = &a->kms;
    if (role == MKT_KMS && key.n > 0)
        a->player.friend[a->player.n_friends++] =
            (struct friend){{0}, mkt_id_uri(text_of(s, strcmp(psk, "psk_r") == 0 ? "id_r" : asker_of(s))), key, false};
    expect_err("new", mkt_csb_new(&a->csb, role, &a->player.host, &a->settings), MKT_OK);
}

void actor_takes(struct actor *a, const struct section *s, const char *field)
{
    a->player.now = ntp(number_of(s, "now"));
    expect_err(field, taken(mkt_csb_take_offer(a->csb, octets_of(s, field), text("mikey"))), MKT_OK);
}

/* ---- what it has sent before ---- */

void actor_requests(struct actor *a, const struct section *s)
{
    const struct mkt_span init = octets_of(s, "init");
    struct mkt_key_wish keys[MKT_MAX_KEYS];
    struct mkt_policy policy;
    struct mkt_request request = {.size = sizeof request, .policy = &policy, .keys = keys};
    uint8_t out[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    a->player.now = payload_of(init, MKT_T, 0).t.value;
    player_draw_like(&a->player, init, MKT_RANDR_I);
    expect_err("TP", mkt_request_decode(init, &policy), MKT_OK);
    while (policy.has_kemac && mkt_request_key(&policy, request.n_keys, &keys[request.n_keys]))
        request.n_keys++;
    request.no_keys = policy.has_kemac && request.n_keys == 0;
    expect_err("init", mkt_csb_make_request_init(a->csb, &request, &buf), MKT_OK);
    expect_octets("init", (struct mkt_span){out, buf.n}, init);
    a->player.now = ntp(number_of(s, "now"));
}

/* The ticket of an offer and its keys, as its holder has them: MPKi, MPKr where keys are forked, and the TGK. */
static struct mkt_ticket *ticket_of(struct player *p, const struct section *s, struct mkt_span init, bool has_mpkr)
{
    struct mkt_ticket_payload ticket = payload_of(init, MKT_TICKET, 0).ticket;
    struct mkt_span spi = octets_of(s, "spi"), mpkr = value_of(s, "mpkr") != NULL ? octets_of(s, "mpkr") : text("");
    struct mkt_payload keys[3] = {{.type = MKT_KEY_DATA}, {.type = MKT_KEY_DATA}, {.type = MKT_KEY_DATA}};
    size_t n = 0;
    keys[n++].key_data = (struct mkt_key_data){
        .type = MKT_KEY_MPK, .key = octets_of(s, "mpki"), .kv = {.type = MKT_KV_SPI, .spi = text("MPKi")}};
    if (has_mpkr)
        keys[n++].key_data =
            (struct mkt_key_data){.type = MKT_KEY_MPK, .key = mpkr, .kv = {.type = MKT_KV_SPI, .spi = text("MPKr")}};
    keys[n++].key_data =
        (struct mkt_key_data){.type = MKT_KEY_TGK, .key = octets_of(s, "tgk"), .kv = {.type = MKT_KV_SPI, .spi = spi}};
    ticket.initiator_data = (struct mkt_span){NULL, 0};
    const struct mkt_payload payload = {.type = MKT_TICKET, .ticket = ticket};
    uint8_t chain[512], octets[4096];
    struct mkt_buf chain_buf = {chain, sizeof chain, 0}, octets_buf = {octets, sizeof octets, 0};
    struct mkt_ticket *held = NULL;
    expect_err("keys", mkt_payloads_encode(keys, n, &chain_buf), MKT_OK);
    expect_err("ticket", mkt_payloads_encode(&payload, 1, &octets_buf), MKT_OK);
    struct mkt_span stored =
        stored_ticket((struct mkt_span){octets + 1, octets_buf.n - 3}, (struct mkt_span){chain, chain_buf.n});
    expect_err("ticket", mkt_ticket_load(&held, &p->host, stored), MKT_OK);
    return held;
}

void actor_offers(struct actor *a, const struct section *s)
{
    const struct mkt_span init = octets_of(s, "transfer_init");
    const struct mkt_id asked = payload_of(init, MKT_IDR, MKT_IDR_R).id;
    const char *id = value_of(s, "asked"); /* refuse.txt has it in the message alone */
    uint16_t flags = 0;
    uint8_t out[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    expect_err("flags", mkt_flags_parse(&flags, text_of(s, "flags")), MKT_OK);
    ck_assert_uint_eq(flags, payload_of(init, MKT_TICKET, 0).ticket.flags);
    a->player.now = payload_of(init, MKT_T, 0).t.value;
    struct mkt_ticket *ticket = ticket_of(&a->player, s, init, (flags & MKT_FLAG_I) != 0);
    player_random(&a->player, from_hex(text_of(s, "csb_id")));
    player_random(&a->player, octets_of(s, "randi"));
    const struct mkt_offer offer = {
        .size = sizeof offer, .ticket = ticket, .responder = id != NULL ? mkt_id_uri(id) : asked};
    expect_err("transfer_init", mkt_csb_make_transfer_init(a->csb, &offer, &buf), MKT_OK);
    expect_octets("transfer_init", (struct mkt_span){out, buf.n}, init);
    mkt_ticket_free(ticket);
    a->player.now = ntp(number_of(s, "now"));
}

void actor_resolves(struct actor *a, const struct section *s)
{
    const struct mkt_span init = octets_of(s, "init");
    uint8_t out[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    a->player.now = payload_of(init, MKT_T, 0).t.value;
    player_draw_like(&a->player, init, MKT_RANDR_R);
    expect_err("init", mkt_csb_make_resolve_init(a->csb, &buf), MKT_OK);
    expect_octets("init", (struct mkt_span){out, buf.n}, init);
    a->player.now = ntp(number_of(s, "now"));
}

/* ---- refusals ---- */

bool fits_class(const struct section *s, enum mkt_err err)
{
    static const char *const names[] = {[MKT_CLASS_MALFORMED] = "malformed",
                                        [MKT_CLASS_AUTH] = "auth",
                                        [MKT_CLASS_UNSUPPORTED] = "unsupported",
                                        [MKT_CLASS_POLICY] = "policy",
                                        [MKT_CLASS_FRESHNESS] = "freshness"};
    const enum mkt_class class = mkt_err_class(err);
    const bool is_named = class >= MKT_CLASS_MALFORMED && class <= MKT_CLASS_FRESHNESS;
    return is_named && strstr(text_of(s, "class"), names[class]) != NULL;
}

/* First the wrong one, then the right one; nothing of the wrong one stays. */
static void refuses(struct actor *a, const struct section *s, struct mkt_span bytes, struct mkt_span valid)
{
    uint8_t before[8192], after[8192];
    struct mkt_buf was = {before, sizeof before, 0}, is = {after, sizeof after, 0};
    const size_t seen = a->player.n_seen, peer = mkt_csb_peer(a->csb).data.n;
    expect_err("put", mkt_csb_save(a->csb, &was), MKT_OK);
    enum mkt_err err = mkt_csb_take_offer(a->csb, bytes, text("mikey"));
    ck_assert_msg(err != MKT_OK, "%s: is taken", text_of(s, "name"));
    ck_assert_msg(fits_class(s, err), "%s: %s is not of class %s", text_of(s, "name"), mkt_err_name(err),
                  text_of(s, "class"));
    ck_assert_int_eq(a->player.logged, err);
    ck_assert_uint_eq(a->player.n_seen, seen);
    expect_err("put", mkt_csb_save(a->csb, &is), MKT_OK);
    expect_octets("the bundle after it", (struct mkt_span){after, is.n}, (struct mkt_span){before, was.n});
    ck_assert_uint_eq(mkt_csb_peer(a->csb).data.n, peer);
    expect_err("valid", taken(mkt_csb_take_offer(a->csb, valid, text("mikey"))), MKT_OK);
}

void actor_refuses(struct actor *a, const struct section *s)
{
    refuses(a, s, octets_of(s, "bytes"), octets_of(s, "valid"));
}

void refuse_offer(struct actor *a, const struct section *s)
{
    actor_begin(a, s, MKT_RESPONDER);
    actor_refuses(a, s);
    expect_octets("id_i", mkt_csb_peer(a->csb).data, text(text_of(s, "id_i")));
}

void refuse_answer(struct actor *a, const struct section *s)
{
    actor_begin(a, s, MKT_INITIATOR);
    actor_offers(a, s);
    actor_refuses(a, s);
    expect_octets("id_r", mkt_csb_peer(a->csb).data, text(text_of(s, "id_r")));
}

void refuse_request_resp(struct actor *a, const struct section *s)
{
    struct mkt_ticket *ticket = NULL;
    actor_begin(a, s, MKT_INITIATOR);
    actor_requests(a, s);
    actor_refuses(a, s);
    expect_err("ticket", mkt_csb_take_ticket(a->csb, &ticket), MKT_OK);
    mkt_ticket_free(ticket);
}

/* A RESOLVE_INIT with the ticket of an offer, whatever is wrong with that, under the key of the Responder. */
static struct mkt_span resolve_init_of(struct actor *a, const struct section *s, const char *offer)
{
    static const uint8_t randr[32] = {1};
    const struct mkt_id self = mkt_id_uri(text_of(s, "id_r"));
    struct mkt_settings settings;
    mkt_settings_init(&settings, self);
    struct mkt_message m;
    uint8_t out[4096], room[4096];
    struct mkt_buf buf = {out, sizeof out, 0};
    struct mkt_span octets;
    settings.kms = &a->kms;
    struct mkt_txn act = {
        .host = &a->player.host, .settings = &settings, .kms = &a->kms, .arena = {room, sizeof room, 0}, .out = &buf};
    act.bundle.suite = number_of(s, "suite") == 128 ? MKT_SUITE_128 : MKT_SUITE_256;
    expect_err("HDR", mkt_begin(&act, &m, MKT_RESOLVE_INIT_PSK, 0x12345678), MKT_OK);
    mkt_add_randr(&m, MKT_RANDR_R, (struct mkt_span){randr, sizeof randr});
    mkt_add_idr(&m, MKT_IDR_R, &self);
    mkt_add_idr(&m, MKT_IDR_KMS, &a->kms.kms);
    *mkt_message_add(&m, MKT_TICKET) = payload_of(octets_of(s, offer), MKT_TICKET, 0);
    expect_err("seal", mkt_seal_for_kms(&act, &m, &self, &octets), MKT_OK);
    return exact(octets);
}

void refuse_offer_forked(struct actor *a, const struct section *s)
{
    const bool by_kms = strcmp(text_of(s, "refuser"), "kms") == 0;
    actor_begin(a, s, by_kms ? MKT_KMS : MKT_RESPONDER);
    if (by_kms)
        refuses(a, s, resolve_init_of(a, s, "bytes"), resolve_init_of(a, s, "valid"));
    else
        actor_refuses(a, s);
    ck_assert(mkt_csb_must_make(a->csb, by_kms ? MKT_RESOLVE_RESP : MKT_RESOLVE_INIT_PSK));
}

/* ---- the runner: Check's loop tests have no argument but the number of the loop ---- */

static const char *file;
static struct vectors all;
static const struct kind *kinds;
static size_t n_kinds;
static bool *passed;
static struct actor actor; /* of the case that runs */

static const struct kind *kind_of(const struct section *s)
{
    for (size_t i = 0; i < n_kinds; i++)
        if (strcmp(kinds[i].section, s->name) == 0)
            return &kinds[i];
    ck_abort_msg("no test runs [%s]", s->name);
    return NULL;
}

/* The fields that say what a case is about: not empty, and true. */
static void read_head(const struct section *s)
{
    enum { HDR = 10 };
    const char *right = value_of(s, "valid") != NULL ? "valid" : "bytes";
    const char *const who[] = {text_of(s, "id_i"), text_of(s, "id_r"), value_of(s, "id_kms")};
    const char *why = value_of(s, "why");
    ck_assert_msg(text_of(s, "name")[0] != '\0' && (why == NULL || why[0] != '\0'), "name or why is empty");
    ck_assert_str_ne(who[0], who[1]);
    ck_assert(who[2] == NULL || (strcmp(who[0], who[2]) != 0 && strcmp(who[1], who[2]) != 0));
    ck_assert_uint_ge(octets_of(s, right).n, HDR);
    const unsigned prf = octets_of(s, right).p[3] & 0x7f;
    ck_assert_uint_eq(number_of(s, "suite"), prf == MKT_PRF_MIKEY_1 ? 128 : prf == MKT_PRF_HMAC_SHA_256 ? 256 : 0);
}

START_TEST(one_case)
{
    const struct section *s = &all.section[_i];
    mkt_csb_free(actor.csb); /* of a case that failed */
    actor.csb = NULL;
    const struct kind *kind = kind_of(s);
    read_head(s);
    kind->run(&actor, s);
    mkt_csb_free(actor.csb);
    actor.csb = NULL;
    ck_assert_uint_eq(actor.player.live, 0);
    for (size_t f = 0; f < s->n; f++)
        ck_assert_msg(s->field[f].read, "no test reads %s of [%s]", s->field[f].name, s->name);
    free_all();
    passed[_i] = true;
}
END_TEST

START_TEST(load)
{
    all = vectors_read(file);
    passed = calloc(all.n, sizeof *passed);
    ck_assert_ptr_nonnull(passed);
}
END_TEST

static SRunner *run_in_one_process(TCase *tcase)
{
    Suite *suite = suite_create(file);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* marks of fields read want one process */
    srunner_run_all(runner, CK_SILENT);
    return runner;
}

/* The name of a case, of a file that was run. */
static const char *name_of(const struct section *s)
{
    const char *name = value_of(s, "name");
    return name != NULL ? name : "";
}

int run_cases(const char *file_name, const struct kind kinds_of_file[], size_t n_kinds_of_file)
{
    TCase *loading = tcase_create("load"), *cases = tcase_create("cases");
    file = file_name;
    kinds = kinds_of_file;
    n_kinds = n_kinds_of_file;
    tcase_add_test(loading, load);
    SRunner *runner = run_in_one_process(loading);
    if (srunner_ntests_failed(runner) > 0) {
        srunner_print(runner, CK_NORMAL);
        return EXIT_FAILURE;
    }
    srunner_free(runner);
    tcase_add_loop_test(cases, one_case, 0, (int)all.n);
    runner = run_in_one_process(cases);
    TestResult **failures = srunner_failures(runner); /* in the order of the cases */
    size_t failed = 0, missing = 0;
    for (size_t i = 0; i < all.n; i++)
        if (!passed[i])
            printf("[%s] %s: %s\n", all.section[i].name, name_of(&all.section[i]), tr_msg(failures[failed++]));
    for (size_t k = 0; k < n_kinds; k++) {
        size_t i = 0;
        while (i < all.n && strcmp(all.section[i].name, kinds[k].section) != 0)
            i++;
        if (i == all.n)
            printf("%s has no [%s]\n", file, kinds[k].section);
        missing += i == all.n;
    }
    printf("%s: %zu of %zu cases pass\n", file, all.n - failed, all.n);
    mkt_csb_free(actor.csb);
    free(failures);
    srunner_free(runner);
    vectors_free(&all);
    free_all();
    free(passed);
    return failed + missing == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
