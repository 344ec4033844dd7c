/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes what the fuzzers begin with into folders: `seed FOLDER` fills FOLDER/take-NAME, FOLDER/stored and so on with
 * the right messages of all scenes, and what the parties have kept in them.
 */
#define _POSIX_C_SOURCE 200809L

#include "scene.h"

#include <mikeyticket/sdp.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static uint8_t octets[1 + 16384];

static struct mkt_buf behind(uint8_t first)
{
    octets[0] = first;
    return (struct mkt_buf){octets + 1, sizeof octets - 1, 0};
}

static void save(const char *folder, const char *kind, const char *name, unsigned variant, const uint8_t *p, size_t n)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, kind);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s-%u", folder, kind, name, variant);
    FILE *f = fopen(path, "wb");
    require(f != NULL && fwrite(p, 1, n, f) == n && fclose(f) == 0);
}

static void append(struct mkt_buf *out, struct mkt_span s)
{
    require(s.n <= out->cap - out->n);
    memcpy(out->p + out->n, s.p, s.n);
    out->n += s.n;
}

/* The TICKET and TP payloads of a message. */
static void save_payloads(const char *folder, const struct scene *scene, unsigned variant)
{
    struct mkt_message message;
    require(mkt_message_decode(&message, scene_right(scene)) == MKT_OK);
    for (size_t i = 0; i < message.n; i++) {
        struct mkt_payload *p = &message.payload[i];
        struct mkt_buf out = behind((scene->variant & SUITE_128) != 0);
        if (p->type != MKT_TICKET && p->type != MKT_TP)
            continue;
        require(mkt_payloads_encode(p, 1, &out) == MKT_OK);
        if (p->type == MKT_TICKET)
            save(folder, "ticket", take_name(scene->take), variant, octets, 1 + out.n);
        p->type = MKT_TP;
        out.n = 0;
        require(mkt_payloads_encode(p, 1, &out) == MKT_OK);
        save(folder, "policy", take_name(scene->take), variant, octets + 1, out.n);
    }
}

/* Vi as the V payload literally, which is the last of its message (D14). */
static void save_literal_vi(const char *folder, const char *kind, const struct scene *scene, unsigned variant)
{
    struct mkt_message message;
    const struct mkt_span right = scene_right(scene);
    struct mkt_buf out = behind((uint8_t)variant);
    require(mkt_message_decode(&message, right) == MKT_OK);
    const struct mkt_payload *ticket = mkt_message_find(&message, MKT_TICKET, 0);
    if (ticket == NULL || ticket->ticket.initiator_data.n == 0)
        return;
    append(&out, right);
    out.p[ticket->ticket.initiator_data.p - right.p + 1] = MKT_LAST;
    save(folder, kind, "literal", variant, octets, 1 + out.n);
}

/* A KMS is passed a ticket of the one that passes it on. */
static void save_back(const char *folder, const char *kind, const struct scene *scene, unsigned variant)
{
    const struct mkt_span right = scene_right(scene), name = scene->kms.settings.self.data;
    const struct mkt_span other = scene->home.settings.self.data;
    struct mkt_message message;
    struct mkt_buf out = behind((uint8_t)variant);
    append(&out, right);
    require(mkt_message_decode(&message, right) == MKT_OK && name.n == other.n);
    if (scene->take != TAKE_RESOLVE_INIT_OF_KMS)
        return;
    for (size_t i = (size_t)(mkt_message_find(&message, MKT_TICKET, 0)->octets.p - right.p); i + name.n <= out.n; i++)
        if (memcmp(out.p + i, other.p, other.n) == 0)
            memcpy(out.p + i, name.p, name.n);
    save(folder, kind, "back", variant, octets, 1 + out.n);
}

/* A RANDRkms of one octet. */
static void save_short_rand(const char *folder, const char *kind, const struct scene *scene, unsigned variant)
{
    struct mkt_message message;
    struct mkt_buf out = behind((uint8_t)variant);
    require(mkt_message_decode(&message, scene_right(scene)) == MKT_OK);
    if (mkt_message_find(&message, MKT_RANDR, MKT_RANDR_KMS) == NULL)
        return;
    for (size_t i = 0; i < message.n; i++)
        if (message.payload[i].type == MKT_RANDR && mkt_payload_role(&message.payload[i]) == MKT_RANDR_KMS)
            message.payload[i].rand.rand.n = 1;
    require(mkt_message_encode(&message, &out) == MKT_OK);
    save(folder, kind, "short", variant, octets, 1 + out.n);
}

/* What one who was granted a ticket, or who had it resolved, has kept. */
static void save_kept(const char *folder, struct scene *scene, unsigned variant)
{
    struct mkt_buf out = behind((uint8_t)variant);
    if (scene->take == TAKE_REQUEST_RESP)
        require(mkt_csb_take_offer(scene->alice.csb, scene_right(scene), mkt_span_text("mikey")) == MKT_OK &&
                mkt_csb_take_ticket(scene->alice.csb, &scene->ticket) == MKT_OK);
    if (scene->ticket != NULL && mkt_ticket_save(scene->ticket, &out) == MKT_OK)
        save(folder, "stored-ticket", take_name(scene->take), variant, octets, 1 + out.n);
    out.n = 0;
    if (mkt_csb_save_resolved(scene->bob.csb, &out) == MKT_OK)
        save(folder, "resolved", take_name(scene->take), variant, octets, 1 + out.n);
    /* the same without RANDRkms, which stands before Bob's name: type and length in 3 octets, and the name */
    const size_t behind_rand = 3 + scene->bob.settings.self.data.n, n = scene->bob.settings.tek_length;
    if (out.n < behind_rand + 1 + n || out.p[out.n - behind_rand - n - 1] != n)
        return;
    out.p[out.n - behind_rand - n - 1] = 0;
    memmove(out.p + out.n - behind_rand - n, out.p + out.n - behind_rand, behind_rand);
    save(folder, "resolved", take_name(scene->take), VARIANTS + variant, octets, 1 + out.n - n);
}

static void save_all(const char *folder, enum take take, unsigned variant)
{
    struct scene scene;
    char kind[64];
    scene_open(&scene, take, variant);
    struct mkt_buf out = behind((uint8_t)variant);
    append(&out, scene_right(&scene));
    snprintf(kind, sizeof kind, "take-%s", take_name(take));
    save(folder, kind, "right", variant, octets, 1 + out.n);
    save(folder, "message", take_name(take), variant, octets + 1, out.n);

    uint8_t head[] = {(uint8_t)variant, (uint8_t)take};
    out = behind(head[0]);
    append(&out, (struct mkt_span){head + 1, 1});
    require(mkt_csb_save(scene.taker->csb, &out) == MKT_OK);
    save(folder, "stored", take_name(take), variant, octets, 1 + out.n);
    octets[1] |= 128;
    save(folder, "stored", take_name(take), VARIANTS + variant, octets, 1 + out.n);
    save_literal_vi(folder, kind, &scene, variant);
    save_back(folder, kind, &scene, variant);
    save_short_rand(folder, kind, &scene, variant);
    save_payloads(folder, &scene, variant);
    save_kept(folder, &scene, variant);
    scene_close(&scene);
}

/* A header with two specs, after the line with the URI that is asked for. */
static void save_headers(const char *folder)
{
    static const uint8_t message[] = {1, 2, 3, 4};
    static const char *const uris[] = {"", "rtsp://a"};
    for (unsigned i = 0; i < 2; i++) {
        const struct mkt_keymgmt specs[] = {{mkt_span_text(uris[i]), {message, 4}}, {mkt_span_text("b"), {message, 2}}};
        struct mkt_buf out = {octets, sizeof octets, 0};
        append(&out, mkt_span_text(uris[i]));
        append(&out, mkt_span_text("\n"));
        require(mkt_keymgmt_encode(specs, 2, &out) == MKT_OK);
        save(folder, "keymgmt", "header", i, octets, out.n);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: seed FOLDER\n");
        return 2;
    }
    for (unsigned take = 0; take < TAKES; take++)
        for (unsigned variant = 0; variant < VARIANTS; variant++)
            save_all(argv[1], (enum take)take, variant);
    save_headers(argv[1]);
    return 0;
}
