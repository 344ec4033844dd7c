/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory, the clock, random octets, a hash, a cipher and the callbacks of the host may fail whenever the library asks
 * for them. Here the first thing that a call asks for fails, then the second, and so on until none is left to fail:
 *
 * - the answer is the error of what has failed;
 * - no bundle is changed, nothing has entered a replay cache, nobody was told of an Error message;
 * - nothing is allocated that was not before, and nothing is given back that is not wiped (tests/player.c);
 * - the caller's buffer has as many octets as before, and after them nothing that was meant for it;
 * - a buffer that only measures is as before, too.
 *
 * Then the same call succeeds on the same objects, all these faults behind them, and in the end both parties have the
 * same key. The linker puts the functions of mbedcrypto and of the C library here in place (-Wl,--wrap).
 */
#include "described.h"
#include "play.h"

#include "protect.h"

#include <mikeyticket/connection.h>

#include <mikeyticket/replay.h>
#include <mikeyticket/sdp.h>

#include <mbedtls/aes.h>
#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>

#include <errno.h>
#include <time.h>

/* ---- faults ---- */

enum kind { MEMORY, RANDOM, CLOCK, CRYPTO, CALLBACK, SIGN, VERIFY, SEAL, OPEN, KINDS };

/* A callback of the host may answer an error of its own, as where its database can't be asked. */
static const enum mkt_err error_of[KINDS] = {MKT_E_MEMORY, MKT_E_RANDOM, MKT_E_CLOCK,  MKT_E_CRYPTO, MKT_E_MEMORY,
                                             MKT_E_MEMORY, MKT_E_RANDOM, MKT_E_CRYPTO, MKT_E_MEMORY};

static struct {
    unsigned long nth;   /* which of the things that the call asks for is to fail */
    unsigned long until; /* how many more until then; 0: it has failed, or nothing is to */
    enum mkt_err met;    /* the error of what has failed */
    bool by_default;     /* the host leaves it to the C library, */
    bool calling;        /* and a call is being made: what check and this file want for themselves does not fail */
    unsigned long injected[KINDS], calls;
} fault = {.nth = 1};

static bool fails(enum kind kind)
{
    if (fault.until == 0 || --fault.until > 0)
        return false;
    fault.met = error_of[kind];
    fault.injected[kind]++;
    return true;
}

/* What a function has written when it fails is good for nothing, and may be half of a secret. */
static int fails_half_way(enum kind kind, void *out, size_t n)
{
    if (!fails(kind))
        return 0;
    if (n > 0)
        memset(out, 0xdb, n);
    return -1;
}

/* ---- mbedcrypto: whatever of it can fail; nettle's functions return nothing ---- */

#ifdef MKT_CRYPTO_NETTLE
static const bool crypto_never_fails = true;
#else
static const bool crypto_never_fails = false;
#endif

#define CONCAT(a, b) a##b
#define REAL(name) CONCAT(__real_, name)
#define HERE(name) CONCAT(__wrap_, name)
#define IN_PLACE(name, parameters, arguments, out, n)                                                                  \
    int REAL(name) parameters;                                                                                         \
    int HERE(name) parameters;                                                                                         \
    int HERE(name) parameters                                                                                          \
    {                                                                                                                  \
        int err = fails_half_way(CRYPTO, out, n);                                                                      \
        return err != 0 ? err : REAL(name) arguments;                                                                  \
    }

/* As lib/crypto.c has it. */
#if MBEDTLS_VERSION_MAJOR < 3
#define mbedtls_sha1_starts mbedtls_sha1_starts_ret
#define mbedtls_sha1_update mbedtls_sha1_update_ret
#define mbedtls_sha1_finish mbedtls_sha1_finish_ret
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif

typedef unsigned char octet;

IN_PLACE(mbedtls_sha1_starts, (mbedtls_sha1_context * c), (c), c, 0)
IN_PLACE(mbedtls_sha1_update, (mbedtls_sha1_context * c, const octet *in, size_t n), (c, in, n), c, 0)
IN_PLACE(mbedtls_sha1_finish, (mbedtls_sha1_context * c, octet out[20]), (c, out), out, 20)
IN_PLACE(mbedtls_sha256_starts, (mbedtls_sha256_context * c, int is224), (c, is224), c, 0)
IN_PLACE(mbedtls_sha256_update, (mbedtls_sha256_context * c, const octet *in, size_t n), (c, in, n), c, 0)
IN_PLACE(mbedtls_sha256_finish, (mbedtls_sha256_context * c, octet out[32]), (c, out), out, 32)
IN_PLACE(mbedtls_aes_setkey_enc, (mbedtls_aes_context * aes, const octet *key, unsigned bits), (aes, key, bits), aes, 0)
IN_PLACE(mbedtls_aes_crypt_ctr,
         (mbedtls_aes_context * aes, size_t n, size_t *used, octet counter[16], octet stream[16], const octet *in,
          octet *out),
         (aes, n, used, counter, stream, in, out), out, n)

/* ---- the C library, where the host leaves it to the defaults ---- */

/* Blocks that it was asked for, and that are not given back. */
static struct {
    uint8_t *p;
    size_t n;
} block[8];
static size_t not_wiped; /* octets of blocks that were given back */

void *REAL(malloc)(size_t n);
void *HERE(malloc)(size_t n);
void REAL(free)(void *p);
void HERE(free)(void *p);
int REAL(getentropy)(void *out, size_t n);
int HERE(getentropy)(void *out, size_t n);
int REAL(clock_gettime)(clockid_t clock, struct timespec *t);
int HERE(clock_gettime)(clockid_t clock, struct timespec *t);

void *HERE(malloc)(size_t n)
{
    size_t i = 0;
    if (!fault.by_default || !fault.calling)
        return REAL(malloc)(n);
    if (fails(MEMORY))
        return NULL;
    while (block[i].p != NULL)
        i++;
    block[i].p = REAL(malloc)(n);
    block[i].n = n;
    return memset(block[i].p, 0xa5, n);
}

void HERE(free)(void *p)
{
    for (size_t i = 0; p != NULL && i < sizeof block / sizeof *block; i++) {
        if (block[i].p != p)
            continue;
        for (size_t k = 0; k < block[i].n; k++)
            not_wiped += block[i].p[k] != 0;
        block[i].p = NULL;
    }
    REAL(free)(p);
}

int HERE(getentropy)(void *out, size_t n)
{
    errno = EIO;
    return fault.by_default && fault.calling && fails_half_way(RANDOM, out, n) != 0 ? -1 : REAL(getentropy)(out, n);
}

int HERE(clock_gettime)(clockid_t clock, struct timespec *t)
{
    errno = EINVAL;
    return fault.by_default && fault.calling && fails(CLOCK) ? -1 : REAL(clock_gettime)(clock, t);
}

/* ---- the host ---- */

static struct mkt_host works; /* as tests/player.c plays it */

static void *failing_alloc(void *user, size_t n)
{
    return fails(MEMORY) ? NULL : works.alloc(user, n);
}

static enum mkt_err failing_now(void *user, mkt_ntp *now)
{
    return fails(CLOCK) ? MKT_E_CLOCK : works.now(user, now);
}

static enum mkt_err failing_random(void *user, uint8_t *out, size_t n)
{
    return fails_half_way(RANDOM, out, n) != 0 ? MKT_E_RANDOM : works.random(user, out, n);
}

static enum mkt_err failing_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy,
                                struct mkt_buf *key)
{
    return fails_half_way(CALLBACK, key->p, key->cap) != 0 ? MKT_E_MEMORY : works.tpk(user, id, policy, key);
}

static enum mkt_err failing_psk(void *user, const struct mkt_id *name, const struct mkt_id *id, struct mkt_psk *psk)
{
    return fails_half_way(CALLBACK, psk->key.p, psk->key.cap) != 0 ? MKT_E_MEMORY : works.psk(user, name, id, psk);
}

static enum mkt_err failing_resolved(void *user, struct mkt_span ticket, struct mkt_buf *octets)
{
    return fails_half_way(CALLBACK, octets->p, octets->cap) != 0 ? MKT_E_MEMORY : works.resolved(user, ticket, octets);
}

static enum mkt_err failing_authorise(void *user, const struct mkt_peer *peer)
{
    return fails(CALLBACK) ? MKT_E_MEMORY : works.authorise(user, peer);
}

static enum mkt_err failing_replay(void *user, struct mkt_span tag, mkt_ntp until)
{
    return fails(CALLBACK) ? MKT_E_MEMORY : works.replay(user, tag, until);
}

static enum mkt_err failing_counter(void *user, uint32_t *value)
{
    if (fails(CALLBACK))
        return MKT_E_MEMORY;
    *value = ++((struct player *)user)->counter;
    return MKT_OK;
}

static enum mkt_err failing_count(void *user, const struct mkt_id *peer, uint32_t value)
{
    (void)user;
    (void)value;
    ck_assert_uint_gt(peer->data.n, 0);
    return fails(CALLBACK) ? MKT_E_MEMORY : MKT_OK;
}

/* ---- public keys: a callback fails or not; what it calls itself does not ---- */

static struct mkt_public_keys signs; /* as tests/signer.c plays them */

static bool fails_itself(enum kind kind, unsigned long *until)
{
    const bool does = fails(kind);
    *until = fault.until;
    fault.until = 0;
    return does;
}

static enum mkt_err go_on(unsigned long until, enum mkt_err err)
{
    fault.until = until;
    return err;
}

static enum mkt_err failing_sign(void *user, const struct mkt_span part[], size_t n, struct mkt_buf *signature)
{
    unsigned long until;
    return fails_itself(SIGN, &until) ? error_of[SIGN] : go_on(until, signs.sign(user, part, n, signature));
}

static enum mkt_err failing_verify(void *user, const struct mkt_signed *message, struct mkt_signer *signer)
{
    unsigned long until;
    return fails_itself(VERIFY, &until) ? error_of[VERIFY] : go_on(until, signs.verify(user, message, signer));
}

static enum mkt_err failing_seal(void *user, const struct mkt_id *kms, uint64_t now, struct mkt_span key,
                                 struct mkt_buf *envelope, struct mkt_buf *chash)
{
    unsigned long until;
    return fails_itself(SEAL, &until) ? error_of[SEAL] : go_on(until, signs.seal(user, kms, now, key, envelope, chash));
}

static enum mkt_err failing_open(void *user, const struct mkt_chash *chash, struct mkt_span envelope, uint8_t *key,
                                 size_t key_length)
{
    unsigned long until;
    return fails_itself(OPEN, &until) ? error_of[OPEN]
                                      : go_on(until, signs.open(user, chash, envelope, key, key_length));
}

static void signing_may_fail(struct play *p)
{
    play_sign(p);
    signs = p->signer[ALICE].keys;
    for (size_t i = 0; i < PARTIES; i++) {
        struct mkt_public_keys *keys = &p->signer[i].keys;
        keys->sign = failing_sign;
        keys->verify = failing_verify;
        keys->seal = failing_seal;
        keys->open = failing_open;
    }
}

static void may_fail(struct player *p)
{
    works = p->host;
    p->host.alloc = failing_alloc;
    p->host.now = failing_now;
    p->host.random = failing_random;
    p->host.tpk = failing_tpk;
    p->host.psk = failing_psk;
    p->host.resolved = failing_resolved;
    p->host.authorise = failing_authorise;
    p->host.replay = failing_replay;
}

/* ---- what must not change ---- */

enum { WATCHED = 4, UNTOUCHED = 0xee };

static struct {
    size_t n;
    struct player *player[WATCHED];
    struct mkt_csb *const *csb[WATCHED]; /* each with its player; there may be none yet */
    struct mkt_span before[WATCHED];
    uint8_t octets[WATCHED][8192], after[8192];
    size_t live, seen, reports;
    uint8_t out_octets[8192];
    struct mkt_buf out, measured;
} watched;

static void watch(struct player *player, struct mkt_csb *const *csb)
{
    watched.player[watched.n] = player;
    watched.csb[watched.n++] = csb;
}

static size_t put(const struct mkt_csb *csb, uint8_t octets[8192])
{
    struct mkt_buf out = {octets, 8192, 0};
    if (csb != NULL)
        expect_err("put", mkt_csb_save(csb, &out), MKT_OK);
    return out.n;
}

static void look(void)
{
    watched.live = watched.seen = watched.reports = 0;
    for (size_t i = 0; i < watched.n; i++) {
        watched.before[i] = (struct mkt_span){watched.octets[i], put(*watched.csb[i], watched.octets[i])};
        watched.live += watched.player[i]->live;
        watched.seen += watched.player[i]->n_seen;
        watched.reports += watched.player[i]->reports;
    }
    memset(watched.out_octets, UNTOUCHED, sizeof watched.out_octets);
    watched.out = (struct mkt_buf){watched.out_octets, sizeof watched.out_octets, 0};
    watched.measured = (struct mkt_buf){NULL, 0, 0};
}

static void expect_unchanged(const char *call)
{
    size_t live = 0, seen = 0, reports = 0;
    for (size_t i = 0; i < watched.n; i++) {
        const struct mkt_span after = {watched.after, put(*watched.csb[i], watched.after)};
        if (!mkt_span_equal(after, watched.before[i]))
            expect_octets(call, after, watched.before[i]);
        live += watched.player[i]->live;
        seen += watched.player[i]->n_seen;
        reports += watched.player[i]->reports;
    }
    ck_assert_msg(live == watched.live, "%s: %zu blocks after it, %zu before", call, live, watched.live);
    ck_assert_msg(seen == watched.seen, "%s: it has entered the replay cache", call);
    ck_assert_msg(reports == watched.reports, "%s: the host was told", call);
    ck_assert_msg(watched.out.n == 0, "%s: %zu octets are left", call, watched.out.n);
    ck_assert_msg(watched.measured.n == 0, "%s: %zu octets are measured", call, watched.measured.n);
    /* a line of SDP is no secret: half of it may stay */
    for (size_t i = 0; i < sizeof watched.out_octets && watched.n > 0; i++)
        if (watched.out_octets[i] != 0 && watched.out_octets[i] != UNTOUCHED)
            ck_abort_msg("%s: octet %zu of the caller's buffer is left as %02x", call, i, watched.out_octets[i]);
}

/*
 * do fault_next(); while (met("call", call(...))); makes a call until it succeeds: each time another thing fails. Its
 * output goes to `out`, or is measured.
 */
static struct mkt_buf *const out = &watched.out, *const measured = &watched.measured;

static void fault_next(void)
{
    look();
    fault.until = fault.nth;
    fault.calling = true;
}

static bool met(const char *call, enum mkt_err err)
{
    const enum mkt_err want = fault.met;
    fault.calling = false;
    fault.met = MKT_OK;
    fault.until = 0;
    ck_assert_msg(err == want, "%s: %s, not %s, after fault %lu", call, mkt_err_name(err), mkt_err_name(want),
                  fault.nth);
    if (want != MKT_OK) {
        expect_unchanged(call);
        fault.nth++;
        return true;
    }
    fault.nth = 1;
    fault.calls++;
    return false;
}

/* ---- a whole call ---- */

static struct play *play_start(enum mkt_suite suite, const char *flags, bool two_kms)
{
    struct play *p = play_new(suite, flags, two_kms);
    watched.n = 0;
    for (size_t i = 0; i < PARTIES; i++) {
        may_fail(&p->player[i]);
        watch(&p->player[i], &p->csb[i]);
    }
    return p;
}

static void begin(struct play *p, enum party who)
{
    if (p->csb[who] != NULL)
        return;
    do
        fault_next();
    while (met("new", mkt_csb_new(&p->csb[who], play_role[who], &p->player[who].host, &p->settings[who])));
}

static const char *name_of(enum leg leg)
{
    return mkt_data_type_name((unsigned)play_type[leg]);
}

/* A buffer that is too small has nothing of the message, whose keys are in clear for a while, but zeros. */
static void too_small(struct play *p, enum leg leg, size_t n)
{
    enum { EMPTY = 0xee };
    uint8_t octets[4096];
    ck_assert_uint_le(n, sizeof octets);
    for (size_t cap = 0; cap < n; cap++) {
        struct mkt_buf buf = {octets, cap, 0};
        size_t clean = 0;
        memset(octets, EMPTY, sizeof octets);
        expect_err(name_of(leg), play_put(p, leg, p->csb[play_from(p, leg)], &buf), MKT_E_BUFFER);
        while (clean < n && (octets[clean] == EMPTY || (octets[clean] == 0 && clean < cap)))
            clean++;
        ck_assert_msg(clean == n, "%s: octet %zu of %zu is left in a buffer", name_of(leg), clean, cap);
        ck_assert_uint_eq(buf.n, 0);
    }
}

/* Measured, made in too little room, then made. */
static void make(struct play *p, enum leg leg)
{
    struct mkt_csb *csb = p->csb[play_from(p, leg)];
    do
        fault_next();
    while (met(name_of(leg), play_put(p, leg, csb, measured)));
    const size_t n = measured->n;
    too_small(p, leg, n);
    do
        fault_next();
    while (met(name_of(leg), play_put(p, leg, csb, out)));
    ck_assert_uint_eq(out->n, n);
    p->message[leg] = exact((struct mkt_span){out->p, out->n});
}

static void take(struct play *p, enum leg leg)
{
    do
        fault_next();
    while (met(name_of(leg), mkt_csb_take_offer(p->csb[play_to(p, leg)], p->message[leg], mikey)));
}

/* An Error message about a message, taken by who made that: but a KMS that has answered knows nothing any more. */
static void complain(struct play *p, enum leg leg)
{
    const enum party from = play_to(p, leg), to = play_from(p, leg);
    const size_t reports = p->player[to].reports;
    do
        fault_next();
    while (met("measure an Error", mkt_csb_make_error(p->csb[from], p->message[leg], MKT_E_SP, NULL, 0, measured)));
    do
        fault_next();
    while (met("make an Error", mkt_csb_make_error(p->csb[from], p->message[leg], MKT_E_SP, NULL, 0, out)));
    const struct mkt_span error = exact((struct mkt_span){out->p, out->n});
    if (play_role[to] == MKT_KMS && !mkt_csb_must_make(p->csb[to], MKT_RESOLVE_INIT_PSK))
        return;
    do
        fault_next();
    while (met("take an Error", taken(mkt_csb_take(p->csb[to], error))));
    ck_assert_uint_eq(p->player[to].reports, reports + 1);
    ck_assert_msg(p->player[to].authenticated != p->settings[from].counter,
                  "the Error about %s, message %d, has no MAC", name_of(leg), (int)leg);
}

/* A bundle goes on in another process. */
static void move(struct play *p, enum party who)
{
    struct mkt_csb *moved = NULL;
    do
        fault_next();
    while (met("put a bundle", mkt_csb_save(p->csb[who], out)));
    const struct mkt_span octets = exact((struct mkt_span){out->p, out->n});
    do
        fault_next();
    while (met("get a bundle", mkt_csb_load(&moved, &p->player[who].host, &p->settings[who], octets)));
    mkt_csb_free(p->csb[who]);
    p->csb[who] = moved;
}

/* A branch of the call goes on in place of the bundle that made the offer. */
static void branch(struct play *p)
{
    struct mkt_csb *branch = NULL;
    do
        fault_next();
    while (met("branch", mkt_csb_branch(p->csb[ALICE], &branch)));
    mkt_csb_free(p->csb[ALICE]);
    p->csb[ALICE] = branch;
}

/* All that a bundle says to its holder; the answer is the TEK. */
static struct mkt_span read_all(const struct mkt_csb *csb)
{
    struct mkt_cs cs;
    struct mkt_sp sp;
    struct mkt_key_data key;
    do
        fault_next();
    while (met("session", mkt_csb_session_at(csb, 0, &cs)));
    do
        fault_next();
    while (met("SP", mkt_csb_sp(csb, cs.cs_id, &sp)));
    do
        fault_next();
    while (met("key", mkt_csb_key(csb, 0, &key)));
    do
        fault_next();
    while (met("salt", mkt_csb_salt(csb, cs.cs_id, out)));
    do
        fault_next();
    while (met("PSK identity", mkt_csb_psk_identity(csb, cs.cs_id, out)));
    do
        fault_next();
    while (met("TEK", mkt_csb_tek(csb, cs.cs_id, measured)));
    do
        fault_next();
    while (met("TEK", mkt_csb_tek(csb, cs.cs_id, out)));
    return exact((struct mkt_span){out->p, out->n});
}

static void expect_same_key(const struct play *p)
{
    const struct mkt_span one = read_all(p->csb[ALICE]), other = read_all(p->csb[BOB]);
    ck_assert_uint_ge(one.n, 16);
    expect_octets("TEK of both ends", one, other);
}

/* Every message of a call, with an Error about each where the key of that is known, and bundles that move. */
static void whole_call(struct play *p)
{
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        if (!play_has(p, leg))
            continue;
        for (size_t i = 0; i < PARTIES; i++)
            p->player[i].now += ntp(1);
        begin(p, play_from(p, leg));
        begin(p, play_to(p, leg));
        make(p, leg);
        move(p, play_from(p, leg));
        if (leg != OFFER)
            complain(p, leg);
        if (leg == ANSWER)
            branch(p);
        take(p, leg);
        move(p, play_to(p, leg));
        if (leg == ANSWER || leg == BOB_ANSWERS || leg == ALICE_ANSWERS)
            take(p, leg); /* SIP repeats it */
        if (leg == RESOLVED && play_has(p, ANSWER))
            complain(p, OFFER);
        if (leg == ANSWER || leg == BOB_ANSWERS || leg == ALICE_ANSWERS || (leg == RESOLVED && !play_has(p, ANSWER)))
            expect_same_key(p);
    }
}

static const struct {
    enum mkt_suite suite;
    const char *flags;
    bool two_kms, counter, certified;
} calls[] = {
    {MKT_SUITE_256, "DEFGHIJLMNO", false, false, false}, /* key forking */
    {MKT_SUITE_128, "DEFGHIJLMNO", true, false, false},  /* and two KMSs */
    {MKT_SUITE_128, "DFGHJLMNO", false, true, false},    /* none; COUNTER timestamps */
    {MKT_SUITE_256, "DHJLNO", false, false, false},      /* no TRANSFER_RESP */
    {MKT_SUITE_256, "DEFGHIJLMNO", false, false, true},  /* by public key */
    {MKT_SUITE_128, "DFGHJLMNO", true, true, true},
};

START_TEST(calls_with_a_kms)
{
    struct play *p = play_start(calls[_i].suite, calls[_i].flags, calls[_i].two_kms);
    for (size_t i = 0; i < PARTIES && calls[_i].counter; i++) {
        p->player[i].host.counter_next = failing_counter;
        p->player[i].host.counter_check = failing_count;
        p->player[i].counter = (uint32_t)(100 * i);
        p->settings[i].counter = true;
    }
    if (calls[_i].certified)
        signing_may_fail(p);
    whole_call(p);
    play_free(p);
}
END_TEST

/* The ticket is used again: Bob has kept what the KMS resolved, and asks nobody. */
START_TEST(a_ticket_used_again)
{
    struct play *p = play_start(MKT_SUITE_256, "DEFGHIJLMNO", false);
    struct mkt_ticket *ticket = NULL;
    play_until(p, OFFER);
    do
        fault_next();
    while (met("ticket", mkt_csb_take_ticket(p->csb[ALICE], &ticket)));
    for (int i = 0; i < 2; i++) {
        struct mkt_offer offer = {.size = sizeof offer, .ticket = ticket, .responder = p->settings[BOB].self};
        do
            fault_next();
        while (met("offer", mkt_csb_make_transfer_init(p->csb[ALICE], &offer, out)));
        p->message[OFFER] = exact((struct mkt_span){out->p, out->n});
        begin(p, BOB);
        take(p, OFFER);
        ck_assert(mkt_csb_must_make(p->csb[BOB], i == 0 ? MKT_RESOLVE_INIT_PSK : MKT_TRANSFER_RESP));
        for (unsigned l = RESOLVE; l <= RESOLVED && i == 0; l++) {
            if (!play_has(p, (enum leg)l))
                continue;
            make(p, (enum leg)l);
            take(p, (enum leg)l);
        }
        if (i == 0) {
            do
                fault_next();
            while (met("resolved", mkt_csb_save_resolved(p->csb[BOB], out)));
            p->player[BOB].resolved = exact((struct mkt_span){out->p, out->n});
        }
        make(p, ANSWER);
        take(p, ANSWER);
        expect_same_key(p);
        for (size_t who = ALICE; who <= BOB; who++) {
            mkt_csb_free(p->csb[who]);
            p->csb[who] = NULL;
        }
        begin(p, ALICE);
    }
    mkt_ticket_free(ticket);
    play_free(p);
}
END_TEST

/* ---- a call without KMS ---- */

static struct call *call_start(enum mkt_suite suite, const char *flags)
{
    struct call *c = call_new(suite, flags);
    may_fail(&c->alice);
    may_fail(&c->bob);
    watched.n = 0;
    watch(&c->alice, &c->i);
    watch(&c->bob, &c->r);
    return c;
}

/* Tickets: made, kept, read, offered. Without J a ticket can be used once, and a fault is no use. Both supply keys. */
START_TEST(calls_without_kms)
{
    static const struct mkt_key_wish wishes[] = {{.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TGK_SALT},
                                                 {.size = sizeof(struct mkt_key_wish), .type = MKT_KEY_TEK}};
    struct call *c = call_start(_i % 2 == 0 ? MKT_SUITE_256 : MKT_SUITE_128, _i < 2 ? "DFGHLMNO" : "DFGHJLMNO");
    struct mkt_ticket *made = NULL;
    struct mkt_policy policy;
    struct mkt_payload payload;
    c->recipe.keys = wishes;
    c->recipe.n_keys = 2;
    do
        fault_next();
    while (met("make a ticket", mkt_ticket_make(&made, &c->alice.host, &c->recipe)));
    do
        fault_next();
    while (met("policy", mkt_ticket_policy(made, &policy)));
    do
        fault_next();
    while (met("put a ticket", mkt_ticket_save(made, out)));
    out->p[0] = 1; /* it is handed out, so it counts as not used */
    const struct mkt_span kept = exact((struct mkt_span){out->p, out->n});
    mkt_ticket_free(made);
    do
        fault_next();
    while (met("get a ticket", mkt_ticket_load(&c->ticket, &c->alice.host, kept)));
    do
        fault_next();
    while (met("Initiator", mkt_csb_new(&c->i, MKT_INITIATOR, &c->alice.host, &c->settings_i)));
    do
        fault_next();
    while (met("Responder", mkt_csb_new(&c->r, MKT_RESPONDER, &c->bob.host, &c->settings_r)));

    const struct mkt_offer offer = {
        .size = sizeof offer, .ticket = c->ticket, .responder = c->settings_r.self, .keys = wishes, .n_keys = 1};
    const struct mkt_answer answer = {.size = sizeof answer, .keys = &one_tgk, .n_keys = 1};
    do
        fault_next();
    while (met("offer", mkt_csb_make_transfer_init(c->i, &offer, out)));
    const struct mkt_span init = exact((struct mkt_span){out->p, out->n});
    payload = payload_of(init, MKT_TICKET, 0);
    do
        fault_next();
    while (met("open the ticket", mkt_ticket_open(&payload, c->recipe.tpk, out)));
    do
        fault_next();
    while (met("take the offer", mkt_csb_take_offer(c->r, init, mikey)));
    do
        fault_next();
    while (met("answer", mkt_csb_make_transfer_resp(c->r, &answer, out)));
    const struct mkt_span resp = exact((struct mkt_span){out->p, out->n});
    do
        fault_next();
    while (met("take the answer", mkt_csb_take(c->i, resp)));
    for (int by = 0; by < 2; by++) {
        const struct mkt_update update = {.size = sizeof update, .keys = &one_tgk, .n_keys = 1, .no_answer = true};
        do
            fault_next();
        while (met("measure an update", mkt_csb_make_update(by == 0 ? c->i : c->r, &update, measured)));
        do
            fault_next();
        while (met("update", mkt_csb_make_update(by == 0 ? c->i : c->r, &update, out)));
        const struct mkt_span message = exact((struct mkt_span){out->p, out->n});
        do
            fault_next();
        while (met("take the update", mkt_csb_take(by == 0 ? c->r : c->i, message)));
    }
    expect_octets("TEK of both ends", read_all(c->i), read_all(c->r));
    call_free(c);
}
END_TEST

/* ---- the library's own replay cache ---- */

START_TEST(the_replay_cache)
{
    struct play *p = play_start(MKT_SUITE_256, "DFGHJLMNO", false);
    void *memory = malloc(mkt_replay_size(100));
    struct mkt_replay cache;
    expect_err("cache", mkt_replay_new(&cache, memory, mkt_replay_size(100)), MKT_OK);
    for (size_t i = 0; i < PARTIES; i++) {
        p->player[i].host.replay = NULL;
        p->player[i].host.cache = &cache;
    }
    for (unsigned l = ASK; l < LEGS; l++) {
        if (!play_has(p, (enum leg)l))
            continue;
        begin(p, play_from(p, (enum leg)l));
        begin(p, play_to(p, (enum leg)l));
        make(p, (enum leg)l);
        size_t before = mkt_replay_count(&cache, p->player[ALICE].now);
        enum mkt_err err;
        do {
            ck_assert_uint_eq(mkt_replay_count(&cache, p->player[ALICE].now), before);
            fault_next();
            err = mkt_csb_take_offer(p->csb[play_to(p, (enum leg)l)], p->message[l], mikey);
        } while (met(name_of((enum leg)l), err));
        before = mkt_replay_count(&cache, p->player[ALICE].now) - before;
        const bool initial =
            play_type[l] != MKT_REQUEST_RESP && play_type[l] != MKT_RESOLVE_RESP && play_type[l] != MKT_TRANSFER_RESP;
        ck_assert_msg(before == (initial && l != OFFER ? 1
                                 : l == RESOLVED       ? 1
                                                       : 0),
                      "%s: %zu", name_of((enum leg)l), before);
    }
    expect_same_key(p);
    play_free(p);
    free(memory);
}
END_TEST

/* ---- a host without callbacks ---- */

START_TEST(the_defaults_of_a_host)
{
    struct call *c = call_start(MKT_SUITE_256, "DFGHJLMNO");
    struct player *players[] = {&c->alice, &c->bob};
    for (size_t i = 0; i < 2; i++) {
        const struct mkt_host bare = {.size = sizeof bare, .user = players[i], .tpk = failing_tpk};
        players[i]->host = bare;
    }
    fault.by_default = true;
    do
        fault_next();
    while (met("make a ticket", mkt_ticket_make(&c->ticket, &c->alice.host, &c->recipe)));
    do
        fault_next();
    while (met("Initiator", mkt_csb_new(&c->i, MKT_INITIATOR, &c->alice.host, &c->settings_i)));
    do
        fault_next();
    while (met("Responder", mkt_csb_new(&c->r, MKT_RESPONDER, &c->bob.host, &c->settings_r)));
    c->offer.ticket = c->ticket;
    do
        fault_next();
    while (met("offer", mkt_csb_make_transfer_init(c->i, &c->offer, out)));
    memcpy(c->init, out->p, out->n);
    c->init_buf.n = out->n;
    do
        fault_next();
    while (met("take the offer", mkt_csb_take_offer(c->r, init_of(c), mikey)));
    do
        fault_next();
    while (met("answer", mkt_csb_make_transfer_resp(c->r, NULL, out)));
    memcpy(c->resp, out->p, out->n);
    c->resp_buf.n = out->n;
    do
        fault_next();
    while (met("take the answer", mkt_csb_take(c->i, resp_of(c))));
    fault.by_default = false;
    expect_same_tek(c, 1, 32);
    call_free(c);
    for (size_t i = 0; i < sizeof block / sizeof *block; i++)
        ck_assert_ptr_null(block[i].p);
    ck_assert_uint_eq(not_wiped, 0);
}
END_TEST

/* ---- a key longer than a block, which no party has ---- */

START_TEST(long_hmac_keys)
{
    static const uint8_t octets[100] = {1};
    const enum mkt_hash hash = _i == 0 ? MKT_HASH_SHA_1 : MKT_HASH_SHA_256;
    const struct mkt_span key = {octets, sizeof octets};
    struct mkt_hmac hmac;
    watched.n = 0;
    do
        fault_next();
    while (met("HMAC key", mkt_hmac_key(&hmac, hash, key)));
    do
        fault_next();
    while (met("HMAC", mkt_hmac(&hmac, &key, 1, out->p)));
    mkt_wipe(&hmac, sizeof hmac);
}
END_TEST

/* ---- keys and plain text of calls that fail: zeros, whatever was there by then ---- */

static void expect_zeros(const char *call, enum mkt_err err, const uint8_t *octets, size_t n)
{
    for (size_t i = 0; i < n && err != MKT_OK; i++)
        ck_assert_msg(octets[i] == 0, "%s: octet %zu is %02x after fault %lu", call, i, octets[i], fault.nth);
}

START_TEST(keys_that_are_not_derived)
{
    static const uint8_t octets[80] = {1}; /* three blocks of an inkey */
    const enum mkt_suite suite = _i == 0 ? MKT_SUITE_256 : MKT_SUITE_128;
    const struct mkt_span inkey = {octets, sizeof octets};
    const struct mkt_label label = {
        .purpose = MKT_PURPOSE_INITIAL, .randi = text("a RANDRi"), .randr = text("a RANDRr")};
    const size_t n = suite == MKT_SUITE_128 ? 16 : 64; /* RFC 6043 12.1 */
    const struct mkt_span tgk = {octets, suite == MKT_SUITE_128 ? 16 : sizeof octets};
    uint8_t key[64];
    enum mkt_err err;
    watched.n = 0;
    do {
        memset(key, UNTOUCHED, sizeof key);
        fault_next();
        err = mkt_derive(suite, MKT_DERIVE_ENCR_KEY, inkey, &label, key, sizeof key);
        expect_zeros("derive", err, key, sizeof key);
    } while (met("derive", err));
    do {
        memset(key, UNTOUCHED, sizeof key);
        fault_next();
        err = mkt_derive_traffic(suite, MKT_TRAFFIC_TEK, tgk, 1, label.randi, label.randr, key, n);
        expect_zeros("TEK", err, key, n);
    } while (met("TEK", err));
}
END_TEST

START_TEST(text_that_is_not_protected)
{
    static const uint8_t octets[32] = {1};
    uint8_t plain[100], encrypted[100], decrypted[100], mac[MKT_MAX_HASH];
    const enum mkt_suite suite = _i == 0 ? MKT_SUITE_256 : MKT_SUITE_128;
    const struct mkt_algorithms *a = mkt_suite_algorithms(suite);
    const struct mkt_label label = {
        .purpose = MKT_PURPOSE_INITIAL, .randi = text("a RANDRi"), .randr = text("a RANDRr")};
    const struct mkt_protection p = {suite, {octets, a->key}, label};
    const struct mkt_span part = {encrypted, sizeof encrypted};
    const struct mkt_encryption seal = {1, 2, {plain, sizeof plain}, encrypted}, open = {1, 2, part, decrypted};
    enum mkt_err err;
    memset(plain, 7, sizeof plain);
    watched.n = 0;
    do {
        memset(encrypted, UNTOUCHED, sizeof encrypted);
        fault_next();
        err = mkt_protect_seal(&p, &seal, &part, 1, mac);
        expect_zeros("seal", err, encrypted, sizeof encrypted);
    } while (met("seal", err));
    do {
        memset(decrypted, UNTOUCHED, sizeof decrypted);
        fault_next();
        err = mkt_protect_open(&p, &open, &part, 1, (struct mkt_span){mac, a->auth_key});
        expect_zeros("open", err, decrypted, sizeof decrypted);
    } while (met("open", err));
    ck_assert_mem_eq(decrypted, plain, sizeof plain);
    mac[0] ^= 1;
    err = mkt_protect_open(&p, &open, &part, 1, (struct mkt_span){mac, a->auth_key});
    expect_err("forged", err, MKT_E_MAC);
    expect_zeros("forged", err, decrypted, sizeof decrypted);
}
END_TEST

/* ---- SDP and RTSP ---- */

/* A call whose messages are made and taken as lines of SDP. */
START_TEST(lines_of_sdp)
{
    struct play *p = play_start(MKT_SUITE_256, "DEFGHIJLMNO", false);
    struct mkt_offer offer = {.size = sizeof offer, .responder = p->settings[BOB].self};
    static uint8_t line[4096];
    struct mkt_buf error = {line, sizeof line, 0};
    struct mkt_sdp parsed;
    struct mkt_sdp_kept kept = {{0}};
    struct mkt_connection connection;
    play_until(p, OFFER);
    expect_err("ticket", mkt_csb_take_ticket(p->csb[ALICE], &offer.ticket), MKT_OK);
    play_bundle(p, BOB);
    do
        fault_next();
    while (met("make an offer", mkt_sdp_make_offer(p->csb[ALICE], &offer, out)));
    mkt_ticket_free(offer.ticket);
    expect_err("parse", mkt_sdp_parse(&parsed, exact((struct mkt_span){out->p, out->n})), MKT_OK);
    do
        fault_next();
    while (met("take an offer", mkt_sdp_take_offer(p->csb[BOB], &parsed, MKT_SDP_SESSION)));
    play_make(p, RESOLVE);
    play_take(p, RESOLVE);
    play_make(p, RESOLVED);
    play_take(p, RESOLVED);
    do
        fault_next();
    while (met("make an Error", mkt_sdp_make_error(p->csb[BOB], NULL, 0, MKT_E_SP, NULL, 0, &error)));
    do
        fault_next();
    while (met("make an answer", mkt_sdp_make_answer(p->csb[BOB], NULL, out)));
    expect_err("parse", mkt_sdp_parse(&parsed, exact((struct mkt_span){out->p, out->n})), MKT_OK);
    do
        fault_next();
    while (met("take an answer", mkt_sdp_take_answer(p->csb[ALICE], &parsed, MKT_SDP_SESSION)));
    expect_same_key(p);
    play_free(p);

    static const char text_of[] = "v=0\nc=IN IP4 192.0.2.1\nm=message 9 TCP/TLS/MSRP *\na=key-mgmt:mikey AQ==\n"
                                  "a=path:msrps://a.example:1/s;tcp msrps://b.example:1/s;tcp\n";
    const char *const own = "v=0\nm=message 9 TCP/TLS/MSRP *\na=path:msrps://c.example:1/s;tcp\n";
    enum mkt_keying keying;
    struct mkt_sdp other;
    watched.n = 0;
    do {
        fault_next();
        /* each time anew, as a hash is taken once */
        (void)!mkt_sdp_parse(&parsed, mkt_span_text(text_of));
    } while (met("keying", mkt_connection_keying(&parsed, 0, true, &kept, &keying)));
    const struct mkt_sdp_exchange exchange = {.size = sizeof exchange, .offer = &parsed, .answer = &other};
    do {
        fault_next();
        (void)!mkt_sdp_parse(&parsed, mkt_span_text(text_of));
        (void)!mkt_sdp_parse(&other, mkt_span_text(own));
        ck_assert_uint_eq(kept.octets[0], 0);
    } while (met("decide", mkt_connection_decide(&exchange, &kept, 0, &connection, &kept)));
    ck_assert_uint_eq(kept.octets[0], 1);
}
END_TEST

/* ---- */

START_TEST(faults_of_every_kind_were_met)
{
    static const char *const names[KINDS] = {"memory", "random", "clock", "crypto", "callbacks",
                                             "sign",   "verify", "seal",  "open"};
    unsigned long all = 0;
    for (size_t k = 0; k < KINDS; k++) {
        ck_assert_msg(fault.injected[k] > 0 || (k == CRYPTO && crypto_never_fails), "nothing of %s has failed",
                      names[k]);
        all += fault.injected[k];
    }
    printf("%lu faults in %lu calls:", all, fault.calls);
    for (size_t k = 0; k < KINDS; k++)
        printf(" %s %lu", names[k], fault.injected[k]);
    printf("\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("faults");
    TCase *tcase = tcase_create("faults");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, calls_with_a_kms, 0, sizeof calls / sizeof *calls);
    tcase_add_test(tcase, a_ticket_used_again);
    tcase_add_loop_test(tcase, calls_without_kms, 0, 4);
    tcase_add_test(tcase, the_replay_cache);
    tcase_add_test(tcase, the_defaults_of_a_host);
    tcase_add_loop_test(tcase, long_hmac_keys, 0, 2);
    tcase_add_loop_test(tcase, keys_that_are_not_derived, 0, 2);
    tcase_add_loop_test(tcase, text_that_is_not_protected, 0, 2);
    tcase_add_test(tcase, lines_of_sdp);
    tcase_add_test(tcase, faults_of_every_kind_were_met);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
