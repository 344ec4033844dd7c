/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stack that the library needs: each function is called on a stack of its own, in each exchange, and the deepest
 * octet that it wrote is found. Callbacks need next to nothing here.
 */
#define _DEFAULT_SOURCE /* sigaltstack */

#include "attempt.h"

#include "stack.h"

#include <mikeyticket/replay.h>

/* ---- a host of small frames ---- */

static enum mkt_err now(void *user, mkt_ntp *time)
{
    *time = ((const struct player *)user)->now;
    return MKT_OK;
}

static enum mkt_err draw(void *user, uint8_t *out, size_t n)
{
    struct player *p = user;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(p->next_random++ * 0x9d);
    return MKT_OK;
}

static void *alloc(void *user, size_t n)
{
    ((struct player *)user)->live++;
    return malloc(n);
}

static void release(void *user, void *p)
{
    ((struct player *)user)->live--;
    free(p);
}

static enum mkt_err find_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    const struct player *p = user;
    (void)id, (void)policy;
    if (p->tpk.n == 0)
        return MKT_E_NO_KEY;
    memcpy(key->p, p->tpk.p, p->tpk.n);
    key->n = p->tpk.n;
    return MKT_OK;
}

static enum mkt_err find_psk(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    const struct player *p = user;
    (void)id;
    for (size_t i = 0; i < p->n_friends; i++) {
        if (name == NULL || !mkt_id_equal(name, &p->friend[i].name))
            continue;
        memcpy(psk->key.p, p->friend[i].psk.p, p->friend[i].psk.n);
        psk->key.n = p->friend[i].psk.n;
        psk->owner = p->friend[i].id;
        psk->vouches = p->friend[i].vouches;
        return MKT_OK;
    }
    return MKT_E_NO_KEY;
}

static void say_nothing(void *user, const struct mkt_log_event *event)
{
    (void)user, (void)event;
}

static enum mkt_err by_the_party(void *user, const struct mkt_payload *ticket, const struct mkt_policy *policy,
                                 const struct mkt_id *name, const struct mkt_credential **other)
{
    (void)ticket, (void)policy, (void)name;
    *other = ((struct player *)user)->other;
    return MKT_OK;
}

/* ---- what is called ---- */

static size_t deepest;
static const char *deepest_call = "";

NOT_SANITIZED static size_t unused_octets(void)
{
    size_t unused = 0;
    while (unused < sizeof own_stack && own_stack[unused] == 0)
        unused++;
    return unused;
}

static void measure(const char *call, void (*act)(void *), struct attempt *a)
{
    once_on_own_stack(act, a);
    const size_t unused = unused_octets();
    const size_t depth = (size_t)(on_stack.top - own_stack) - unused;
    ck_assert_uint_gt(unused, 0);
    if (depth <= deepest)
        return;
    deepest = depth;
    deepest_call = call;
}

static void get(void *arg)
{
    struct attempt *a = arg;
    a->err = mkt_csb_load(&a->other, &a->play->player[ALICE].host, a->settings, mkt_buf_span(&a->out));
}

static void read_keys(void *arg)
{
    struct attempt *a = arg;
    a->err = mkt_csb_tek(a->csb, 1, &a->out);
    if (a->err == MKT_OK)
        a->err = mkt_csb_psk_identity(a->csb, 1, &a->out);
}

static void take_sdp(void *arg)
{
    struct attempt *a = arg;
    a->err = mkt_sdp_take_offer(a->csb, a->sdp, 0);
}

static void throw_away(void *arg)
{
    struct attempt *a = arg;
    mkt_csb_free(a->csb);
}

/* ---- a call ---- */

/* The keys of a bundle, its octets, and a copy that was read from them. */
static void use(struct play *p, enum party who)
{
    static uint8_t octets[8192];
    struct attempt a = {
        .play = p, .csb = p->csb[who], .settings = &p->settings[who], .out = {octets, sizeof octets, 0}};
    measure("mkt_csb_save", put, &a);
    expect_err("put", a.err, MKT_OK);
    measure("mkt_csb_load", get, &a);
    expect_err("get", a.err, MKT_OK);
    if (mkt_csb_ready(p->csb[who]))
        measure("mkt_csb_tek, mkt_csb_psk_identity", read_keys, &a);
    a.csb = a.other;
    measure("mkt_csb_free", throw_away, &a);
}

/* The same offer in a description, which the bundle of a second bob takes. */
static void take_in_sdp(struct play *p, struct mkt_span offer)
{
    static char text_of[16384];
    struct mkt_sdp sdp;
    struct mkt_buf line = {(uint8_t *)text_of, sizeof text_of, 0};
    struct attempt a = {.play = p, .sdp = &sdp};
    struct mkt_settings device = p->settings[BOB];
    const char head[] = "v=0\r\no=- 0 0 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
                        "m=message 9 TCP/TLS/MSRP *\r\n";
    device.replay_scope = text("another device");
    memcpy(text_of, head, sizeof head - 1);
    line.n = sizeof head - 1;
    expect_err("line", mkt_sdp_key_mgmt_encode(offer, &line), MKT_OK);
    expect_err("parse", mkt_sdp_parse(&sdp, mkt_buf_span(&line)), MKT_OK);
    expect_err("new", mkt_csb_new(&a.csb, MKT_RESPONDER, &p->player[BOB].host, &device), MKT_OK);
    measure("mkt_sdp_take_offer", take_sdp, &a);
    expect_err("take", a.err, MKT_OK);
    measure("mkt_csb_free", throw_away, &a);
}

static const struct {
    enum mkt_suite suite;
    const char *flags;
    bool two_kms, bob_resolves; /* by himself */
    bool signs;
} calls[] = {
    {MKT_SUITE_256, "DEFGHIJLMNO", true, false, false},  {MKT_SUITE_256, "DFGHJLMNO", false, true, false},
    {MKT_SUITE_128, "DEFGHIJLMNO", false, false, false}, {MKT_SUITE_128, "DHJLNO", false, true, false},
    {MKT_SUITE_256, "DEFGHIJLMNO", true, false, true},
};
enum { CALLS = sizeof calls / sizeof *calls };

START_TEST(each_function_in_each_exchange)
{
    static uint8_t octets[8192];
    static uint64_t memory[1 << 15];
    struct mkt_replay cache;
    struct play *p = play_new(calls[_i].suite, calls[_i].flags, calls[_i].two_kms);
    p->player[HOME].other = p->settings[HOME].kms;
    if (calls[_i].bob_resolves)
        p->player[BOB].tpk = tpk;
    if (calls[_i].signs)
        play_sign(p);
    expect_err("cache", mkt_replay_new(&cache, memory, sizeof memory), MKT_OK);
    for (size_t i = 0; i < PARTIES; i++)
        p->player[i].host = (struct mkt_host){.size = sizeof(struct mkt_host),
                                              .user = &p->player[i],
                                              .now = now,
                                              .random = draw,
                                              .alloc = alloc,
                                              .release = release,
                                              .tpk = find_tpk,
                                              .psk = find_psk,
                                              .forward = by_the_party,
                                              .log = say_nothing,
                                              .cache = &cache};
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        if (!play_has(p, leg) || (calls[_i].bob_resolves && (leg == RESOLVE || leg == RESOLVED)))
            continue;
        for (size_t i = 0; i < PARTIES; i++)
            p->player[i].now += ntp(1);
        struct attempt a = {.play = p, .leg = leg, .csb = play_bundle(p, play_from(p, leg))};
        const char *name = mkt_data_type_name((unsigned)play_type[leg]);
        a.out = (struct mkt_buf){octets, sizeof octets, 0};
        measure(name, make, &a);
        expect_err(name, a.err, MKT_OK);
        p->message[leg] = exact(mkt_buf_span(&a.out));
        a.csb = play_bundle(p, play_to(p, leg));
        a.in = p->message[leg];
        use(p, play_to(p, leg));
        if (leg == OFFER)
            take_in_sdp(p, a.in);
        a.out.n = 0;
        measure("mkt_csb_make_error", make_error, &a);
        expect_err("error", a.err, MKT_OK);
        measure(name, take, &a);
        expect_err(name, a.err, MKT_OK);
        use(p, play_to(p, leg));
    }
    play_free(p);
}
END_TEST

/* Sanitizers make frames that no user has. With pointers of 32 bits less is needed. */
START_TEST(the_header_says_enough_and_not_too_much)
{
    const char *sanitizer = getenv("SANITIZER");
    printf("%zu octets of stack, by %s\n", deepest, deepest_call);
    ck_assert_uint_gt(deepest, 1024);
    if (sanitizer != NULL && strcmp(sanitizer, "none") != 0)
        return;
    ck_assert_uint_le(deepest, MKT_STACK_SIZE);
    ck_assert(sizeof(void *) < 8 || deepest > MKT_STACK_SIZE / 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("depth");
    TCase *tcase = tcase_create("depth");
    tcase_add_loop_test(tcase, each_function_in_each_exchange, 0, CALLS);
    tcase_add_test(tcase, the_header_says_enough_and_not_too_much);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
