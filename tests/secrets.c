/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where keys go, and where they don't.
 *
 *   secrets           looks for them: no key is left in the memory that is given back, nor on the stack that was used,
 *                     whether a call succeeded or failed half way; none is in a message, and none is told to the log
 *   secrets marked    under valgrind --suppressions=tests/secrets.supp --error-exitcode=1: no branch and no index
 *                     depends on a key or a MAC. Pre-shared keys, TPK, and what is drawn as a key, are marked as
 *                     undefined; valgrind follows them through all that is computed from them, and reports a jump or
 *                     an address that depends on any (ctgrind). What mbedTLS does inside is listed in secrets.supp.
 *
 * In the second way secrets become public, by declassify(), where they have come to be that:
 *
 * - what AES-CM has encrypted, as it goes to the peer; and of a KEMAC that it has decrypted the types, lengths and SPIs
 *   of the keys: who looks on knows them from the length of the KEMAC and from the CS ID map;
 * - whether two MACs are the same, as the answer of the function says it; but not where they differ;
 * - a message with its MAC, when it goes to the peer; the MAC of an Error when it goes into the replay cache;
 * - in the end the TEKs of both parties, to see that they are the same: and that they were secret until then.
 *
 * The linker puts the functions that get keys here in place (-Wl,--wrap), to know them all. It is to bind all symbols
 * at once (-Wl,-z,now): the dynamic linker saves registers on the stack when it binds one later, with the keys in them.
 */
#define _DEFAULT_SOURCE /* sigaltstack */

#include "attempt.h"
#include "stack.h"

#include "crypto.h"
#include "derive.h"
#include "ticket.h"

#include <mikeyticket/sdp.h>


#include <stddef.h>

static bool marked; /* the second way */

static void classify(struct mkt_span secret)
{
    if (marked && secret.n > 0)
        (void)VALGRIND_MAKE_MEM_UNDEFINED(secret.p, secret.n);
}

static void declassify(const void *p, size_t n)
{
    if (marked)
        (void)VALGRIND_MAKE_MEM_DEFINED(p, n);
}

/* ---- all keys that there are, in pieces of eight octets ---- */

enum { PIECE = 8, PIECES = 1 << 16 };

static struct {
    uint64_t octets;
    const char *name;
    uint64_t partner; /* 0, or the octets that stand `apart` from it where it is a secret */
} piece[PIECES];      /* a hash table */
static unsigned long pieces, searched;

/*
 * Who has the states of its hash has an HMAC key as well. One state alone is left on the stack by mbedTLS, whose
 * functions have it in registers (SHA-1 of 2.28 on amd64, where the compiler ran out of them): only both, as they stand
 * in struct mkt_hmac, are the library's.
 */
enum { APART = offsetof(struct mkt_hmac, outer) - offsetof(struct mkt_hmac, inner) };

static size_t place_of(uint64_t octets)
{
    size_t i = (size_t)((octets * 0x9e3779b97f4a7c15u) >> 48) % PIECES;
    while (piece[i].name != NULL && piece[i].octets != octets)
        i = (i + 1) % PIECES;
    return i;
}

/* Whether octets are random enough to be looked for: a hash state has counters and unused room beside its secrets. */
static bool is_telling(const uint8_t octets[PIECE])
{
    unsigned different = 0;
    for (size_t i = 0; i < PIECE; i++) {
        size_t k = 0;
        while (k < i && octets[k] != octets[i])
            k++;
        different += k == i && octets[i] != 0;
    }
    return different >= 5;
}

/*
 * What a function gets that stands in another's place is only noted there, by memcpy(), so that this file does not
 * leave on the stack what it then finds.
 */
static struct {
    const char *name;
    size_t n, apart; /* octets of the secret; where its partners begin, 0 if it has none */
    uint8_t octets[256];
} noted[4096];
static size_t notes;

static void note(const char *name, const void *secret, size_t n, size_t apart)
{
    if (marked || n == 0)
        return;
    if (notes == sizeof noted / sizeof *noted || n + apart > sizeof noted->octets)
        abort();
    noted[notes].name = name;
    noted[notes].n = n;
    noted[notes].apart = apart;
    memcpy(noted[notes++].octets, secret, n + apart);
}

static void know(const char *name, const void *secret, size_t n)
{
    note(name, secret, n, 0);
}

/* The key stream is the difference between plain text and cipher text. It is computed in the note itself. */
static void know_stream(const uint8_t *plain, const uint8_t *encrypted, size_t n)
{
    enum { BLOCK = 16 };
    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t k = n - at < BLOCK ? n - at : BLOCK;
        uint8_t *octets = noted[notes].octets;
        note("a key stream", plain + at, k, 0);
        for (size_t i = 0; i < k && !marked; i++)
            octets[i] ^= encrypted[at + i];
    }
}

NOT_SANITIZED static uint64_t octets_at(const volatile uint8_t *p)
{
    uint64_t octets = 0;
    for (size_t i = 0; i < PIECE; i++)
        octets = octets << 8 | p[i];
    return octets;
}

static void learn(void)
{
    for (size_t k = 0; k < notes; k++) {
        for (size_t at = 0; at + PIECE <= noted[k].n; at += PIECE) {
            const uint8_t *p = noted[k].octets + at;
            const size_t place = place_of(octets_at(p));
            if (!is_telling(p) || piece[place].name != NULL)
                continue;
            piece[place].octets = octets_at(p);
            piece[place].name = noted[k].name;
            piece[place].partner = noted[k].apart > 0 ? octets_at(p + noted[k].apart) : 0;
            ck_assert_uint_lt(++pieces, PIECES / 2);
        }
    }
    notes = 0;
}

/* The name of a key of which a piece is somewhere in octets, or NULL. */
NOT_SANITIZED static const char *found(const volatile uint8_t *p, size_t n, size_t *at)
{
    uint64_t octets = 0;
    for (size_t i = 0; i < n; i++) {
        octets = octets << 8 | p[i];
        const size_t place = place_of(octets);
        if (piece[place].name == NULL || i + 1 < PIECE)
            continue;
        *at = i + 1 - PIECE;
        if (piece[place].partner != 0 &&
            (*at + APART + PIECE > n || octets_at(p + *at + APART) != piece[place].partner))
            continue;
        return piece[place].name;
    }
    return NULL;
}

static void expect_none(const char *where, struct mkt_span octets)
{
    size_t at = 0;
    if (marked)
        return;
    learn();
    const char *name = found(octets.p, octets.n, &at);
    ck_assert_msg(name == NULL, "%s: octet %zu is of %s", where, at, name);
    searched += octets.n;
}

/* ---- in place of functions that get keys ---- */

static unsigned long to_fail; /* how many more of the calls below until one fails; 0: none will */
static bool deriving;         /* HMACs are those of a PRF */

static bool fails(void)
{
    return to_fail > 0 && --to_fail == 0;
}

enum mkt_err __real_mkt_hmac_key(struct mkt_hmac *hmac, enum mkt_hash hash, struct mkt_span key);
enum mkt_err __wrap_mkt_hmac_key(struct mkt_hmac *hmac, enum mkt_hash hash, struct mkt_span key);
enum mkt_err __real_mkt_hmac(const struct mkt_hmac *hmac, const struct mkt_span parts[], size_t n, uint8_t *mac);
enum mkt_err __wrap_mkt_hmac(const struct mkt_hmac *hmac, const struct mkt_span parts[], size_t n, uint8_t *mac);
enum mkt_err __real_mkt_aes_cm(struct mkt_span key, const uint8_t iv[16], struct mkt_span in, uint8_t *out);
enum mkt_err __wrap_mkt_aes_cm(struct mkt_span key, const uint8_t iv[16], struct mkt_span in, uint8_t *out);
enum mkt_err __real_mkt_derive(enum mkt_suite suite, enum mkt_derivation what, struct mkt_span inkey,
                               const struct mkt_label *label, uint8_t *out, size_t n);
enum mkt_err __wrap_mkt_derive(enum mkt_suite suite, enum mkt_derivation what, struct mkt_span inkey,
                               const struct mkt_label *label, uint8_t *out, size_t n);
enum mkt_err __real_mkt_derive_by(const struct mkt_prf *prf, enum mkt_derivation what, const struct mkt_label *label,
                                  uint8_t *out, size_t n);
enum mkt_err __wrap_mkt_derive_by(const struct mkt_prf *prf, enum mkt_derivation what, const struct mkt_label *label,
                                  uint8_t *out, size_t n);
bool __real_mkt_same(const uint8_t *a, const uint8_t *b, size_t n);
bool __wrap_mkt_same(const uint8_t *a, const uint8_t *b, size_t n);

enum mkt_err __wrap_mkt_hmac_key(struct mkt_hmac *hmac, enum mkt_hash hash, struct mkt_span key)
{
    enum mkt_err err = __real_mkt_hmac_key(hmac, hash, key);
    know("an HMAC key", key.p, key.n);
    note("an HMAC state", &hmac->inner, sizeof hmac->inner, APART);
    return fails() ? MKT_E_CRYPTO : err;
}

enum mkt_err __wrap_mkt_hmac(const struct mkt_hmac *hmac, const struct mkt_span parts[], size_t n, uint8_t *mac)
{
    enum mkt_err err = __real_mkt_hmac(hmac, parts, n, mac);
    if (deriving)
        know("what a PRF is made of", mac, mkt_hash_length(hmac->inner.hash));
    return fails() ? MKT_E_CRYPTO : err;
}

/* All derived octets are secret: keys, and the salts of AES-CM. */
enum mkt_err __wrap_mkt_derive(enum mkt_suite suite, enum mkt_derivation what, struct mkt_span inkey,
                               const struct mkt_label *label, uint8_t *out, size_t n)
{
    deriving = true;
    enum mkt_err err = __real_mkt_derive(suite, what, inkey, label, out, n);
    deriving = false;
    know("what is derived", out, n);
    return err;
}

/*
 * The salt of AES-CM is in the IV by the time that the key is derived, which then writes over what is left of it: so it
 * is looked for before that.
 */
static uint8_t salt[MKT_SALT_LENGTH];
static unsigned long salts, salts_left;

NOT_SANITIZED static void look_for_salt(void)
{
    enum { BELOW = 2048 }; /* octets of functions that have returned */
    static uint8_t copy[STACK];
    const volatile uint8_t *p = (const volatile uint8_t *)__builtin_frame_address(0) - BELOW;
    size_t n = 0;
    if (RUNNING_ON_VALGRIND || salts == 0 || on_stack.act == NULL) /* valgrind does not let anybody read there */
        return;
    for (; p + n < on_stack.top; n++)
        copy[n] = p[n];
    for (size_t i = 0; i + sizeof salt <= n; i++)
        salts_left += memcmp(copy + i, salt, sizeof salt) == 0;
}

enum mkt_err __wrap_mkt_derive_by(const struct mkt_prf *prf, enum mkt_derivation what, const struct mkt_label *label,
                                  uint8_t *out, size_t n)
{
    look_for_salt();
    deriving = true;
    enum mkt_err err = __real_mkt_derive_by(prf, what, label, out, n);
    deriving = false;
    know("what is derived", out, n);
    if (err == MKT_OK && n == sizeof salt) {
        memcpy(salt, out, n);
        salts++;
    }
    return err;
}

/* The keys of a chain, where octets are one; else none. */
static size_t keys_of(struct mkt_span octets, struct mkt_key_data keys[MKT_MAX_KEYS])
{
    uint16_t type = MKT_KEY_DATA;
    size_t n = 0;
    while (type == MKT_KEY_DATA && n < MKT_MAX_KEYS) {
        struct mkt_payload p;
        if (mkt_payload_decode(&p, &type, &octets) != MKT_OK)
            return 0;
        keys[n++] = p.key_data;
    }
    return type == MKT_LAST ? n : 0;
}

enum mkt_err __wrap_mkt_aes_cm(struct mkt_span key, const uint8_t iv[16], struct mkt_span in, uint8_t *out)
{
    struct mkt_key_data keys[MKT_MAX_KEYS];
    enum mkt_err err = __real_mkt_aes_cm(key, iv, in, out);
    know("an AES key", key.p, key.n);
    know("an IV", iv, 16);
    know_stream(in.p, out, err == MKT_OK ? in.n : 0);
    declassify(out, in.n);
    const size_t n = keys_of((struct mkt_span){out, in.n}, keys);
    for (size_t i = 0; i < n; i++) {
        classify(keys[i].key);
        classify(keys[i].salt);
        know("a key of a KEMAC", keys[i].key.p, keys[i].key.n);
        know("a salt of a KEMAC", keys[i].salt.p, keys[i].salt.n);
    }
    return fails() ? MKT_E_CRYPTO : err;
}

static unsigned long forged;
static bool forging; /* the expected MAC is a secret now: nobody has sent a message with it */

/* The answer is for everybody. `a` is the expected MAC, `b` that of the message. */
bool __wrap_mkt_same(const uint8_t *a, const uint8_t *b, size_t n)
{
    const bool same = __real_mkt_same(a, b, n);
    declassify(&same, sizeof same);
    if (forging && !same) {
        know("the MAC of a forged message", a, n);
        forged++;
    }
    return same;
}

/* ---- the host ---- */

static struct mkt_host works;  /* as tests/player.c plays it */
static const char *draws = ""; /* what is drawn next, SPIs and CSB IDs left out: 'k' a key or salt, 'r' a RAND */
static unsigned long told;

/* Blocks stay where they are until they have been searched. */
static struct {
    uint8_t *p;
    size_t n;
} block[4096];
static size_t blocks;

static void *keep_alloc(void *user, size_t n)
{
    uint8_t *p = malloc(n);
    ck_assert_uint_lt(blocks, sizeof block / sizeof *block);
    ck_assert_ptr_nonnull(p);
    block[blocks].p = memset(p, 0xa5, n);
    block[blocks++].n = n;
    ((struct player *)user)->live++;
    return p;
}

static void keep_release(void *user, void *p)
{
    ck_assert_ptr_nonnull(p);
    ((struct player *)user)->live--;
}

/* "wiped": nothing at all is left in what was given back, so no key is. */
static void expect_wiped(void)
{
    for (size_t i = 0; i < blocks; i++) {
        size_t left = 0;
        for (size_t k = 0; k < block[i].n; k++)
            left += block[i].p[k] != 0;
        ck_assert_msg(left == 0, "%zu octets are left in a block of %zu", left, block[i].n);
        searched += block[i].n;
        free(block[i].p);
    }
    blocks = 0;
}

static enum mkt_err secret_random(void *user, uint8_t *out, size_t n)
{
    enum { LOW_BITS = 3, ID = 4 }; /* octets of the random bits of T, of an SPI and of a CSB ID */
    static uint64_t state = 1;
    (void)user;
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(state >> 56);
    }
    if (n == LOW_BITS || n == ID || *draws == '\0' || *draws++ == 'r')
        return MKT_OK;
    know("a random key", out, n);
    classify((struct mkt_span){out, n});
    return MKT_OK;
}

static enum mkt_err public_replay(void *user, struct mkt_span tag, mkt_ntp until)
{
    declassify(tag.p, tag.n);
    return works.replay(user, tag, until);
}

/* The log is told nothing that depends on a secret: valgrind sees it if these conditions do. */
static void log_event(void *user, const struct mkt_log_event *event)
{
    (void)user;
    ck_assert(event->err != MKT_OK && event->message >= -1);
    for (const char *c = event->detail; *c != '\0'; c++)
        ck_assert(*c >= ' ' && *c <= '~');
    expect_none("the log", text(event->detail));
    told++;
}

static void keep_secrets(struct player *p)
{
    works = p->host;
    p->host.alloc = keep_alloc;
    p->host.release = keep_release;
    p->host.random = secret_random;
    p->host.replay = public_replay;
    p->host.log = log_event;
}

static void secret(const char *name, struct mkt_span key)
{
    know(name, key.p, key.n);
    classify(key);
}

/* ---- on a stack of its own ---- */

static void on_own_stack(const char *what, void (*act)(void *), void *arg)
{
    once_on_own_stack(act, arg);
    ck_assert_msg(salts_left == 0, "%s: %lu salts are left", what, salts_left);
    expect_none(what, (struct mkt_span){own_stack, (size_t)(on_stack.top - own_stack)});
}

/* ---- what is called there ---- */

static uint8_t octets_out[8192], tek[2][MKT_MAX_TEK];

static void read_tek(void *arg)
{
    struct attempt *a = arg;
    a->err = mkt_csb_tek(a->csb, 1, &a->out);
}

static void identity(void *arg)
{
    struct attempt *a = arg;
    a->err = mkt_csb_psk_identity(a->csb, 1, &a->out);
}

static void throw_away(void *arg)
{
    mkt_csb_free(((struct attempt *)arg)->csb);
}

/* What a message makes somebody draw: MPK, TGK and RAND of a ticket, the TGK of an update, with public keys the key of an
 * envelope, and what takes its place; else RANDs. */
static const char *draws_of(enum leg leg, bool signs)
{
    if (leg == GRANT)
        return signs ? "kkrk" : "kkr";
    if (leg == ALICE_UPDATES || leg == BOB_UPDATES || (signs && leg == RESOLVED))
        return "k";
    return signs && (leg == ASK || leg == RESOLVE || leg == PASS_ON || leg == PASS_BACK) ? "rk" : "";
}

/* Does it, after each call of its to the crypto room has failed once; what goes to the peer is public then. */
static struct mkt_span until_done(const char *what, void (*act)(void *), struct attempt *a, bool is_public)
{
    for (unsigned long n = 1;; n++) {
        a->out = (struct mkt_buf){octets_out, sizeof octets_out, 0};
        to_fail = n;
        draws = act == make ? draws_of(a->leg, a->play->settings[ALICE].public_keys != NULL) : "";
        on_own_stack(what, act, a);
        if (to_fail > 0)
            break;
        expect_err(what, a->err, MKT_E_CRYPTO);
        expect_none("what was to be made", (struct mkt_span){octets_out, sizeof octets_out});
    }
    to_fail = 0;
    expect_err(what, a->err, MKT_OK);
    const struct mkt_span made = {octets_out, a->out.n};
    if (!is_public)
        return made;
    declassify(made.p, made.n);
    expect_none(what, made);
    return exact(made);
}

/* A message with another MAC, half of a MAC, and another message with that MAC. */
static void take_wrong(struct attempt *a, struct mkt_span right)
{
    enum { T_END = 9 }; /* octets of a T payload before the last one */
    uint8_t wrong[4096];
    memcpy(wrong, right.p, right.n);
    wrong[payload_of(right, MKT_T, 0).octets.p + T_END - right.p] ^= 1;
    a->in = (struct mkt_span){wrong, right.n};
    forging = true;
    const unsigned long before = forged;
    on_own_stack("a forged message", take, a);
    forging = false;
    struct mkt_message m;
    expect_err("message", mkt_message_decode(&m, right), MKT_OK);
    const bool is_signed = m.payload[m.n - 1].type == MKT_SIGN; /* by the host */
    expect_err("a forged message", a->err, is_signed ? MKT_E_SIGNATURE : MKT_E_MAC);
    ck_assert_uint_eq(forged, before + !is_signed);
    memcpy(wrong, right.p, right.n);
    wrong[right.n - 1] ^= 1;
    a->in = (struct mkt_span){wrong, right.n};
    on_own_stack("another MAC", take, a);
    ck_assert(a->err != MKT_OK);
    a->in.n -= 4;
    on_own_stack("half a MAC", take, a);
    ck_assert(a->err != MKT_OK);
}

static void complain(struct play *p, enum leg leg)
{
    const enum party from = play_to(p, leg), to = play_from(p, leg);
    struct attempt a = {.play = p, .leg = leg, .csb = p->csb[from], .in = p->message[leg]};
    const struct mkt_span error = until_done("an Error", make_error, &a, true);
    a.csb = p->csb[to];
    if (play_role[to] == MKT_KMS && !mkt_csb_must_make(a.csb, MKT_RESOLVE_INIT_PSK))
        return;
    take_wrong(&a, error);
    a.in = error;
    until_done("an Error", take, &a, false);
    ck_assert(p->player[to].authenticated);
}

/* Both ends have the same TEK, and nobody else knows of it. */
static void expect_same_tek_kept_secret(struct play *p)
{
    uint8_t bits[MKT_MAX_TEK];
    size_t n[2];
    for (size_t i = ALICE; i <= BOB; i++) {
        struct attempt a = {.play = p, .csb = p->csb[i]};
        const struct mkt_span key = until_done("TEK", read_tek, &a, false);
        n[i] = key.n;
        memcpy(tek[i], key.p, key.n);
        for (size_t k = 0; marked && VALGRIND_GET_VBITS(tek[i], bits, key.n) == 1 && k < key.n; k++)
            ck_assert_msg(bits[k] == 0xff, "octet %zu of the TEK is no secret", k);
        memset(octets_out, 0, sizeof octets_out);
        declassify(tek[i], key.n);
        until_done("PSK identity", identity, &a, true);
        until_done("a bundle as octets", put, &a, false);
        memset(octets_out, 0, sizeof octets_out);
    }
    expect_octets("TEK of both ends", (struct mkt_span){tek[ALICE], n[ALICE]}, (struct mkt_span){tek[BOB], n[BOB]});
}

/* ---- calls ---- */

static const struct {
    enum mkt_suite suite;
    const char *flags;
    bool two_kms, signs;
} calls[] = {
    {MKT_SUITE_256, "DEFGHIJLMNO", false, false}, {MKT_SUITE_128, "DEFGHIJLMNO", true, false},
    {MKT_SUITE_256, "DFGHJLMNO", false, false},   {MKT_SUITE_128, "DHJLMFNO", false, false},
    {MKT_SUITE_256, "DEFGHIJLMNO", true, true},
};

static void whole_call(enum mkt_suite suite, const char *flags, bool two_kms, bool signs)
{
    struct play *p = play_new(suite, flags, two_kms);
    if (signs)
        play_sign(p);
    secret("the TPK", tpk);
    for (size_t i = 0; i < PARTIES; i++) {
        keep_secrets(&p->player[i]);
        secret("a PSK", p->credential[i].psk);
    }
    for (unsigned l = ASK; l < LEGS; l++) {
        const enum leg leg = (enum leg)l;
        if (!play_has(p, leg))
            continue;
        for (size_t i = 0; i < PARTIES; i++)
            p->player[i].now += ntp(1);
        struct attempt a = {.play = p, .leg = leg, .csb = play_bundle(p, play_from(p, leg))};
        const char *name = mkt_data_type_name((unsigned)play_type[leg]);
        p->message[leg] = until_done(name, make, &a, true);
        a.csb = play_bundle(p, play_to(p, leg));
        /* of a TRANSFER_INIT whose ticket must be resolved first, the MAC can't be told */
        if (leg != OFFER) {
            complain(p, leg);
            take_wrong(&a, p->message[leg]);
        }
        a.in = p->message[leg];
        until_done(name, take, &a, false);
        if (leg == ANSWER || leg == BOB_ANSWERS || leg == ALICE_ANSWERS)
            expect_same_tek_kept_secret(p);
    }
    for (size_t i = 0; i < PARTIES; i++) {
        struct attempt a = {.csb = p->csb[i]};
        on_own_stack("free", throw_away, &a);
        p->csb[i] = NULL;
        declassify(p->credential[i].psk.p, p->credential[i].psk.n);
    }
    declassify(tpk.p, tpk.n);
    play_free(p);
    expect_wiped();
}

START_TEST(a_call_with_a_kms)
{
    whole_call(calls[_i].suite, calls[_i].flags, calls[_i].two_kms, calls[_i].signs);
}
END_TEST

/* ---- tickets ---- */

struct ticketing {
    struct call *call;
    struct mkt_ticket *made, *got;
    struct mkt_buf kept, opened, init, sdp;
    struct mkt_offer offer;
    struct mkt_csb *csb;
};

/* A ticket is made, kept, read and offered with a key of the Initiator's own, the message written as SDP. */
static void make_ticket_and_offer(void *arg)
{
    struct ticketing *t = arg;
    const struct mkt_key_wish wish = {
        .size = sizeof wish, .type = MKT_KEY_TGK_SALT, .length = t->call->recipe.keys->length};
    struct call *c = t->call;
    const struct mkt_host *host = &c->alice.host;
    draws = "kkr";
    expect_err("make a ticket", mkt_ticket_make(&t->made, host, &c->recipe), MKT_OK);
    expect_err("put it", mkt_ticket_save(t->made, &t->kept), MKT_OK);
    expect_err("get it", mkt_ticket_load(&t->got, host, (struct mkt_span){t->kept.p, t->kept.n}), MKT_OK);
    mkt_ticket_free(t->made);
    t->offer = (struct mkt_offer){.size = sizeof(struct mkt_offer),
                                  .ticket = t->got,
                                  .responder = c->settings_r.self,
                                  .keys = &wish,
                                  .n_keys = 1};
    expect_err("Initiator", mkt_csb_new(&t->csb, MKT_INITIATOR, host, &c->settings_i), MKT_OK);
    draws = "rkk";
    expect_err("offer", mkt_csb_make_transfer_init(t->csb, &t->offer, &t->init), MKT_OK);
    mkt_ticket_free(t->got);
}

static void open_and_answer(void *arg)
{
    struct ticketing *t = arg;
    struct call *c = t->call;
    const struct mkt_span init = {t->init.p, t->init.n};
    expect_err("offer", mkt_csb_take_offer(c->r, init, mikey), MKT_OK);
    expect_err("answer", mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf), MKT_OK);
    expect_err("SDP", mkt_sdp_key_mgmt_encode(init, &t->sdp), MKT_OK);
}

static void open_ticket(void *arg)
{
    struct ticketing *t = arg;
    const struct mkt_payload ticket = payload_of((struct mkt_span){t->init.p, t->init.n}, MKT_TICKET, 0);
    expect_err("open", mkt_ticket_open(&ticket, t->call->recipe.tpk, &t->opened), MKT_OK);
}

static void free_both(void *arg)
{
    struct ticketing *t = arg;
    mkt_csb_free(t->csb);
    mkt_csb_free(t->call->r);
    t->call->r = NULL;
}

/* With keys of the default length, and with longer ones: the PRF splits those into pieces, each of which is a key. */
START_TEST(a_ticket_of_ones_own)
{
    static uint8_t kept[4096], opened[1024], init[4096], sdp[8192];
    static const uint8_t long_tpk[64] = "a ticket protection key of 512 bits, more than the PRF takes...";
    const struct mkt_key_wish long_tgk = {.size = sizeof long_tgk, .type = MKT_KEY_TGK, .length = 64};
    struct call *c = call_new(MKT_SUITE_256, "DFGHJLMNO");
    struct ticketing t = {.call = c,
                          .kept = {kept, sizeof kept, 0},
                          .opened = {opened, sizeof opened, 0},
                          .init = {init, sizeof init, 0},
                          .sdp = {sdp, sizeof sdp, 0}};
    if (_i == 1) {
        c->recipe.tpk = c->bob.tpk = exact((struct mkt_span){long_tpk, sizeof long_tpk});
        c->recipe.keys = &long_tgk;
    }
    keep_secrets(&c->alice);
    keep_secrets(&c->bob);
    secret("the TPK", c->recipe.tpk);
    expect_err("Responder", mkt_csb_new(&c->r, MKT_RESPONDER, &c->bob.host, &c->settings_r), MKT_OK);
    on_own_stack("a ticket and an offer", make_ticket_and_offer, &t);
    declassify(init, t.init.n);
    expect_none("TRANSFER_INIT", (struct mkt_span){init, t.init.n});
    on_own_stack("an answer", open_and_answer, &t);
    declassify(c->resp, c->resp_buf.n);
    on_own_stack("a ticket is shown", open_ticket, &t);
    struct attempt ends[] = {{.csb = t.csb, .in = resp_of(c)}, {.csb = c->r}};
    on_own_stack("an answer", take, &ends[0]);
    expect_err("an answer", ends[0].err, MKT_OK);
    for (size_t i = 0; i < 2; i++) {
        ends[i].out = (struct mkt_buf){tek[i], MKT_MAX_TEK, 0};
        on_own_stack("TEK", read_tek, &ends[i]);
        expect_err("TEK", ends[i].err, MKT_OK);
        declassify(tek[i], ends[i].out.n);
    }
    expect_octets("TEK", (struct mkt_span){tek[0], ends[0].out.n}, (struct mkt_span){tek[1], ends[1].out.n});
    expect_none("SDP", (struct mkt_span){sdp, t.sdp.n});
    if (!marked)
        ck_assert_ptr_nonnull(found(opened, sizeof opened, &(size_t){0}));
    on_own_stack("free", free_both, &t);
    declassify(c->recipe.tpk.p, c->recipe.tpk.n);
    call_free(c);
    expect_wiped();
}
END_TEST

/* ---- one function ---- */

/* One call, and nothing after it that could write over what it leaves on the stack. */
struct hmac_call {
    enum mkt_hash hash;
    struct mkt_span key, text;
    struct mkt_hmac hmac;
    uint8_t mac[MKT_MAX_HASH];
    enum mkt_err err;
};

static void make_key(void *arg)
{
    struct hmac_call *c = arg;
    c->err = mkt_hmac_key(&c->hmac, c->hash, c->key);
}

static void make_mac(void *arg)
{
    struct hmac_call *c = arg;
    c->err = mkt_hmac(&c->hmac, &c->text, 1, c->mac);
}

/* The words of a hash state, from which the hash is written. */
static void know_state(const uint8_t *hash, size_t n)
{
    static uint32_t words[MKT_MAX_HASH / 4];
    for (size_t i = 0; i < n / 4; i++)
        words[i] = (uint32_t)hash[4 * i] << 24 | (uint32_t)hash[4 * i + 1] << 16 | (uint32_t)hash[4 * i + 2] << 8 |
                   hash[4 * i + 3];
    know("the state of a hash", words, n);
}

/* Keys up to the block of the hash and longer ones: padded keys, both hashes and their states. */
START_TEST(an_hmac_leaves_nothing_behind)
{
    enum { BLOCK = 64 };
    static uint8_t octets[100], padded[2][BLOCK], hash[MKT_MAX_HASH];
    static struct hmac_call c;
    static const size_t lengths[] = {16, 20, 32, 64, 65, 100};
    if (marked)
        return;
    c = (struct hmac_call){.hash = _i % 2 == 0 ? MKT_HASH_SHA_1 : MKT_HASH_SHA_256,
                           .text = text("any octets, more than one block of them: "
                                        "sixty-four and some more")};
    c.key = (struct mkt_span){octets, lengths[_i / 2]};
    const size_t n = mkt_hash_length(c.hash);
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (uint8_t)(i * i + 3 * i + 17 * (size_t)_i);
    on_own_stack("an HMAC key", make_key, &c);
    expect_err("an HMAC key", c.err, MKT_OK);
    on_own_stack("an HMAC", make_mac, &c);
    expect_err("an HMAC", c.err, MKT_OK);
    memset(padded, 0, sizeof padded);
    if (c.key.n > BLOCK)
        expect_err("hash", mkt_hash_of(c.hash, &c.key, 1, padded[0]), MKT_OK);
    else
        memcpy(padded[0], c.key.p, c.key.n);
    memcpy(padded[1], padded[0], BLOCK);
    know("the hash of a key", padded[0], n);
    for (size_t i = 0; i < BLOCK; i++) {
        padded[0][i] ^= 0x36;
        padded[1][i] ^= 0x5c;
    }
    know("a padded key", padded, sizeof padded);
    const struct mkt_span inner[] = {{padded[0], BLOCK}, c.text};
    expect_err("inner", mkt_hash_of(c.hash, inner, 2, hash), MKT_OK);
    know("the inner hash", hash, n);
    know_state(hash, n);
    know_state(c.mac, n);
    on_own_stack("an HMAC key", make_key, &c);
    on_own_stack("an HMAC", make_mac, &c);
}
END_TEST

/* One call of AES-CM, and nothing after it. */
struct cm_call {
    struct mkt_span key, in;
    uint8_t iv[16], out[100];
    enum mkt_err err;
};

static void encrypt(void *arg)
{
    struct cm_call *c = arg;
    c->err = __real_mkt_aes_cm(c->key, c->iv, c->in, c->out);
}

/* Both key lengths, texts of whole blocks, of parts of one, and of several: IV, counter, key and key stream. */
START_TEST(aes_cm_leaves_nothing_behind)
{
    enum { BLOCK = 16 };
    static const uint8_t zeros[100];
    static uint8_t key[32], counter[BLOCK];
    static struct cm_call c, whole;
    static const size_t lengths[] = {1, 15, 16, 17, 32, 100};
    if (marked)
        return;
    c = (struct cm_call){.key = {key, _i % 2 == 0 ? 16 : 32}, .in = {zeros, lengths[_i / 2]}};
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(i * i + 5 * i + 29 * (size_t)_i + 1);
    for (size_t i = 0; i < BLOCK; i++)
        c.iv[i] = (uint8_t)(3 * i * i + 11 * i + 41 * (size_t)_i + 7);
    c.iv[14] = c.iv[15] = 0; /* as in all messages (RFC 3830 4.2.3) */
    whole = c;
    whole.in.n = (c.in.n + BLOCK - 1) / BLOCK * BLOCK;
    if (whole.in.n > sizeof zeros)
        whole.in.n = sizeof zeros;
    encrypt(&whole);
    on_own_stack("AES-CM", encrypt, &c);
    expect_err("AES-CM", c.err, MKT_OK);
    memcpy(counter, c.iv, BLOCK);
    counter[15] = (uint8_t)((c.in.n + BLOCK - 1) / BLOCK);
    know("an AES key", key, c.key.n);
    know("an IV", c.iv, BLOCK);
    know("a counter", counter, BLOCK);
    know("a key stream", whole.out, whole.in.n);
    on_own_stack("AES-CM", encrypt, &c);
}
END_TEST

/* ---- this test itself ---- */

/* What is looked for is found: on the stack, at any place, whatever stands around it. */
START_TEST(what_is_left_is_found)
{
    static const uint8_t key[32] = "a key that is left on the stack";
    size_t at = 0;
    if (marked)
        return;
    on_own_stack("a key that nobody knows", leave_a_key, (void *)(uintptr_t)key);
    know("the key", key, sizeof key);
    learn();
    const char *name = found(own_stack, (size_t)(on_stack.top - own_stack), &at);
    ck_assert_msg(name != NULL, "it is not");
    ck_assert_str_eq(name, "the key");
}
END_TEST

START_TEST(something_was_looked_for)
{
    ck_assert_uint_gt(told, 0);
    if (marked) {
        ck_assert_msg(RUNNING_ON_VALGRIND, "not under valgrind, or built without its headers");
        printf("keys marked as undefined; %lu refusals logged\n", told);
        return;
    }
    ck_assert_uint_gt(pieces, 100);
    printf("%lu pieces of %d octets of keys looked for in %lu octets of memory; %lu refusals logged\n", pieces, PIECE,
           searched, told);
}
END_TEST

int main(int argc, char *argv[])
{
    Suite *suite = suite_create("secrets");
    TCase *tcase = tcase_create("secrets");
    marked = argc > 1 && strcmp(argv[1], "marked") == 0;
    if (marked && NO_VALGRIND)
        return 77; /* skipped */
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, what_is_left_is_found);
    tcase_add_loop_test(tcase, an_hmac_leaves_nothing_behind, 0, 12);
    tcase_add_loop_test(tcase, aes_cm_leaves_nothing_behind, 0, 12);
    tcase_add_loop_test(tcase, a_call_with_a_kms, 0, sizeof calls / sizeof *calls);
    tcase_add_loop_test(tcase, a_ticket_of_ones_own, 0, 2);
    tcase_add_test(tcase, something_was_looked_for);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
