/* SPDX-License-Identifier: BSD-3-Clause */
/* vectors/rfc6043.txt: all share keys with the KMS. */
#include "keying.h"

static const char *const sections[] = {"prf", "protect", "traffic", "fork", "ticketkeys"};

static void complete(struct mkt_settings *settings)
{
    (void)settings;
}

static void asks(struct keyed *keyed, const struct vectors *all, const struct section *s, enum asked which,
                 struct mkt_settings *settings, struct player *player)
{
    (void)all, (void)player;
    keyed->kms = (struct mkt_credential){mkt_id_uri(text_of(s, "id_kms")),
                                         mkt_id_bytes(which == REQUEST ? "alice-key" : "bob-key"),
                                         octets_of(s, which == REQUEST ? "psk_i" : "psk_r")};
    settings->kms = &keyed->kms;
}

static void answers(struct keyed *keyed, const struct vectors *all, const struct section *s, enum asked which,
                    struct mkt_settings *settings, struct player *p)
{
    (void)keyed, (void)all, (void)which, (void)settings;
    p->friend[p->n_friends++] =
        (struct friend){mkt_id_bytes("alice-key"), mkt_id_uri(text_of(s, "id_i")), octets_of(s, "psk_i"), false};
    p->friend[p->n_friends++] =
        (struct friend){mkt_id_bytes("bob-key"), mkt_id_uri(text_of(s, "id_r")), octets_of(s, "psk_r"), false};
}

static void end(struct keyed *keyed)
{
    (void)keyed;
}

static void made(const struct section *s, enum asked which, struct mkt_csb **csb, const struct mkt_host *host,
                 const struct mkt_settings *settings, struct mkt_span message)
{
    const char *field = which == REQUEST ? "request_init" : "resolve_init";
    (void)csb, (void)host, (void)settings;
    expect_octets(field, message, octets_of(s, field));
}

const struct keying keying = {
    .file = "rfc6043.txt",
    .sections = sections,
    .n_sections = sizeof sections / sizeof *sections,
    .complete = complete,
    .asks = asks,
    .answers = answers,
    .end = end,
    .made = made,
};
