/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dump: shows a MIKEY message as a tree, with the offset of each payload.
 *
 *     dump [--tpk HEX] < message
 *
 * The message comes as octets, hex, base64 or a whole SDP text. With the ticket protection key the ticket in it is
 * opened, and a TRANSFER_INIT is verified as the Responder of its ticket would do it. Signatures are not verified.
 */
#include "certificates.h"
#include "text.h"

#include <mikeyticket.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUT = 1 << 20 };

/* ---- names of the numbers in the IANA registry of MIKEY payloads ---- */

struct name {
    unsigned number;
    const char *name;
};

static const struct name prf_names[] = {{0, "MIKEY-1"}, {1, "PRF-HMAC-SHA-256"}};
static const struct name map_names[] = {{0, "SRTP-ID"}, {1, "Empty map"}, {2, "GENERIC-ID"}};
static const struct name prot_names[] = {{0, "SRTP"}, {1, "TESLA"}, {241, "TLS, private use"}};
static const struct name encr_names[] = {{0, "NULL"}, {1, "AES-CM-128"}, {2, "AES-KW-128"}, {3, "AES-CM-256"}};
static const struct name mac_names[] = {{0, "NULL"}, {1, "HMAC-SHA-1-160"}, {2, "HMAC-SHA-256-256"}};
static const struct name ts_names[] = {{0, "NTP-UTC"}, {1, "NTP"}, {2, "COUNTER"}, {3, "NTP-UTC-32"}};
static const struct name tr_names[] = {{1, "TRi"}, {2, "TRs"}, {3, "TRe"}, {4, "TRr"}};
static const struct name id_names[] = {{0, "NAI"}, {1, "URI"}, {2, "byte string"}};
static const struct name idr_names[] = {{1, "IDRi"}, {2, "IDRr"}, {3, "IDRkms"}, {4, "IDRpsk"}, {5, "IDRapp"}};
static const struct name randr_names[] = {{1, "RANDRi"}, {2, "RANDRr"}, {3, "RANDRkms"}};
static const struct name key_names[] = {{0, "TGK"},  {1, "TGK+SALT"},  {2, "TEK"}, {3, "TEK+SALT"},
                                        {4, "GTGK"}, {5, "GTGK+SALT"}, {6, "MPK"}};
static const struct name ext_names[] = {
    {0, "Vendor ID"}, {1, "SDP IDs"}, {2, "TESLA I-Key"}, {3, "Key ID"}, {4, "CSB_ID"}};
static const struct name hash_names[] = {{0, "SHA-1"}, {1, "MD5"}, {2, "SHA-256"}};
static const struct name dh_names[] = {{0, "OAKLEY 5"}, {1, "OAKLEY 1"}, {2, "OAKLEY 2"}};
static const struct name cert_names[] = {{0, "X.509v3"}, {1, "X.509v3 URL"}, {2, "X.509v3 Sign"}, {3, "X.509v3 Encr"}};
static const struct name sign_names[] = {{0, "RSA/PKCS#1/1.5"}, {1, "RSA/PSS"}};
static const struct name ticket_names[] = {{1, "MIKEY base ticket"}, {2, "3GPP base ticket"}};
#define NAME(names, number) name_of(names, sizeof names / sizeof *names, number)

static const char *name_of(const struct name *names, size_t n, unsigned number)
{
    for (size_t i = 0; i < n; i++)
        if (names[i].number == number)
            return names[i].name;
    return "unknown";
}

/* ---- the tree ---- */

/* Where a line stands in it: how deep, and what offsets count from. */
struct at {
    int depth;
    const uint8_t *base; /* NULL: the octets are no part of the message */
};

static void indent(const struct at *at)
{
    printf("%*s", 8 + 4 * at->depth, "");
}

static void print_hex(struct mkt_span s)
{
    for (size_t i = 0; i < s.n; i++)
        printf("%02x", s.p[i]);
    if (s.n == 0)
        printf("-");
}

static void print_octets(const struct at *at, const char *name, struct mkt_span s)
{
    indent(at);
    printf("%s (%zu): ", name, s.n);
    print_hex(s);
    printf("\n");
}

/* Text where it is printable, so that no identity can write to the terminal what it likes; hex where not. */
static void print_text(const struct at *at, const char *name, struct mkt_span s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!isprint(s.p[i])) {
            print_octets(at, name, s);
            return;
        }
    }
    indent(at);
    printf("%s (%zu): %.*s\n", name, s.n, (int)s.n, (const char *)s.p);
}

static void print_number(const struct at *at, const char *name, unsigned number, const char *meaning)
{
    indent(at);
    printf("%s: %u (%s)\n", name, number, meaning);
}

static void print_chain(struct at at, const char *name, unsigned first, struct mkt_span octets);

/* TP Data and Initiator Data, whose first octet is the type of the first payload. */
static void print_typed_chain(struct at at, const char *name, struct mkt_span octets)
{
    uint16_t first;
    indent(&at);
    printf("%s (%zu)\n", name, octets.n);
    at.depth++;
    enum mkt_err err = mkt_chain_decode(&first, &octets);
    if (err == MKT_OK)
        print_chain(at, NULL, first, octets);
    else
        printf("%*s%s\n", 8 + 4 * at.depth, "", mkt_err_text(err));
}

static void print_kv(const struct at *at, const struct mkt_kv *kv)
{
    if (kv->type == MKT_KV_SPI)
        print_octets(at, "SPI", kv->spi);
    if (kv->type != MKT_KV_INTERVAL)
        return;
    print_octets(at, "Valid From", kv->from);
    print_octets(at, "Valid To", kv->to);
}

static void print_time(const struct at *at, const struct mkt_t *t)
{
    print_number(at, "TS type", t->ts_type, NAME(ts_names, t->ts_type));
    indent(at);
    if (t->ts_type == MKT_TS_COUNTER || t->ts_type == MKT_TS_NTP_UTC_32)
        printf("TS value: %lu\n", (unsigned long)t->value);
    else
        printf("TS value: %lu.%09lu\n", (unsigned long)(t->value >> 32),
               (unsigned long)(((t->value & 0xffffffff) * 1000000000) >> 32));
}

static void print_ticket(const struct at *at, const struct mkt_payload *p)
{
    const struct mkt_ticket_payload *t = &p->ticket;
    print_number(at, "Ticket type", t->type, NAME(ticket_names, t->type));
    indent(at);
    printf("Subtype: %u, Version: %u\n", t->subtype, t->version);
    print_number(at, "PRF func", t->prf, NAME(prf_names, t->prf));
    indent(at);
    printf("Flags: ");
    for (int i = 0; i < 12; i++)
        if ((t->flags & MKT_FLAG_D >> i) != 0)
            putchar("DEFGHIJKLMNO"[i]);
    printf("\n");
    print_typed_chain(*at, "TP Data", t->tp_data);
    if (p->type != MKT_TICKET)
        return;
    if (t->type == MKT_TICKET_BASE)
        print_chain(*at, "Ticket Data", MKT_THDR, t->ticket_data);
    else
        print_octets(at, "Ticket Data", t->ticket_data);
    print_typed_chain(*at, "Initiator Data", t->initiator_data);
}

static void print_sp(const struct at *at, const struct mkt_sp *sp)
{
    struct mkt_span rest = sp->params;
    struct mkt_sp_param param;
    indent(at);
    printf("Policy no: %u\n", sp->policy_no);
    print_number(at, "Prot type", sp->prot_type, NAME(prot_names, sp->prot_type));
    while (rest.n > 0 && mkt_sp_param_next(&param, &rest) == MKT_OK) {
        indent(at);
        printf("Policy param: type %u, value ", param.type);
        print_hex(param.value);
        printf("\n");
    }
}

static void print_serial(void *at, struct mkt_span octets)
{
    print_octets(at, "Serial number", octets);
}

static void print_alternative(void *at, const char *kind, struct mkt_span text)
{
    print_text(at, kind, text);
}

/* Prints the names in a certificate. They are not verified. */
static void print_certificate(const struct at *at, const struct mkt_cert *cert)
{
    struct at here = *at;
    if (cert->type != MKT_CERT_URL && !certificates_show(cert->data, print_serial, print_alternative, &here)) {
        indent(at);
        printf("no certificate that can be read here\n");
    }
}

static void print_fields(const struct at *at, const struct mkt_payload *p)
{
    switch (p->type) {
    case MKT_KEMAC:
        print_number(at, "Encr alg", p->kemac.encr_alg, NAME(encr_names, p->kemac.encr_alg));
        if (p->kemac.encr_alg == MKT_ENCR_NULL && p->kemac.encr_data.n > 0) /* keys that an Initiator asks for */
            print_chain(*at, "Encr data", MKT_KEY_DATA, p->kemac.encr_data);
        else
            print_octets(at, "Encr data", p->kemac.encr_data);
        print_number(at, "MAC alg", p->kemac.mac_alg, NAME(mac_names, p->kemac.mac_alg));
        print_octets(at, "MAC", p->kemac.mac);
        return;
    case MKT_PKE:
        indent(at);
        printf("C: %u\n", p->pke.c);
        print_octets(at, "Data", p->pke.data);
        return;
    case MKT_DH:
        print_number(at, "DH-Group", p->dh.group, NAME(dh_names, p->dh.group));
        print_octets(at, "DH-value", p->dh.value);
        print_kv(at, &p->dh.kv);
        return;
    case MKT_SIGN:
        print_number(at, "S type", p->sign.s_type, NAME(sign_names, p->sign.s_type));
        print_octets(at, "Signature", p->sign.signature);
        return;
    case MKT_TR:
        print_number(at, "TS role", p->t.role, NAME(tr_names, p->t.role));
        print_time(at, &p->t);
        return;
    case MKT_T:
        print_time(at, &p->t);
        return;
    case MKT_IDR:
        print_number(at, "ID role", p->id.role, NAME(idr_names, p->id.role));
        print_number(at, "ID type", p->id.type, NAME(id_names, p->id.type));
        print_text(at, "ID data", p->id.data);
        return;
    case MKT_ID:
        print_number(at, "ID type", p->id.type, NAME(id_names, p->id.type));
        print_text(at, "ID data", p->id.data);
        return;
    case MKT_CERT:
        print_number(at, "Cert type", p->cert.type, NAME(cert_names, p->cert.type));
        print_certificate(at, &p->cert);
        print_octets(at, "Certificate", p->cert.data);
        return;
    case MKT_CHASH:
        print_number(at, "Hash func", p->chash.func, NAME(hash_names, p->chash.func));
        print_octets(at, "Hash", p->chash.hash);
        return;
    case MKT_V:
        print_number(at, "Auth alg", p->v.mac_alg, NAME(mac_names, p->v.mac_alg));
        print_octets(at, "Ver data", p->v.mac);
        return;
    case MKT_SP:
        print_sp(at, &p->sp);
        return;
    case MKT_RANDR:
        print_number(at, "RAND role", p->rand.role, NAME(randr_names, p->rand.role));
        print_octets(at, "RAND", p->rand.rand);
        return;
    case MKT_RAND:
        print_octets(at, "RAND", p->rand.rand);
        return;
    case MKT_ERR:
        print_number(at, "Error no", p->error.number, mkt_err_text(mkt_error_of_number(p->error.number)));
        return;
    case MKT_TP:
    case MKT_TICKET:
        print_ticket(at, p);
        return;
    case MKT_THDR:
        print_octets(at, "THDR Data", p->thdr.data);
        return;
    case MKT_KEY_DATA:
        print_number(at, "Type", p->key_data.type, NAME(key_names, p->key_data.type));
        print_octets(at, "Key data", p->key_data.key);
        if (p->key_data.salt.n > 0)
            print_octets(at, "Salt data", p->key_data.salt);
        print_kv(at, &p->key_data.kv);
        return;
    case MKT_GENERAL_EXT:
        print_number(at, "Type", p->general_ext.type, NAME(ext_names, p->general_ext.type));
        print_text(at, "Data", p->general_ext.data);
        return;
    }
}

/* The offset of the payload, its name and length, then its fields one step deeper. */
static void print_payload(struct at at, const struct mkt_payload *p)
{
    if (at.base != NULL)
        printf("%6zu  ", (size_t)(p->octets.p - at.base));
    else
        printf("%6s  ", "");
    printf("%*s%s, %zu octets\n", 4 * at.depth, "", mkt_payload_name(p->type), p->octets.n);
    at.depth++;
    print_fields(&at, p);
}

static void print_chain(struct at at, const char *name, unsigned first, struct mkt_span octets)
{
    uint16_t type = (uint16_t)first;
    if (name != NULL) {
        indent(&at);
        printf("%s (%zu)\n", name, octets.n);
        at.depth++;
    }
    while (type != MKT_LAST) {
        struct mkt_payload p;
        enum mkt_err err = mkt_payload_decode(&p, &type, &octets);
        if (err != MKT_OK) {
            indent(&at);
            printf("here it ends: %s\n", mkt_err_text(err));
            return;
        }
        print_payload(at, &p);
    }
}

static void print_hdr(const struct mkt_hdr *h)
{
    const struct at at = {1, NULL};
    struct mkt_span map = h->map;
    struct mkt_cs cs;
    printf("%6d  HDR\n", 0);
    print_number(&at, "data type", h->data_type, mkt_data_type_name(h->data_type));
    indent(&at);
    printf("V: %u\n", h->v);
    print_number(&at, "PRF func", h->prf, NAME(prf_names, h->prf));
    indent(&at);
    printf("CSB ID: %08x\n", (unsigned)h->csb_id);
    indent(&at);
    printf("#CS: %u\n", h->n_cs);
    print_number(&at, "CS ID map type", h->map_type, NAME(map_names, h->map_type));
    for (unsigned i = 1; map.n > 0 && mkt_cs_next(&cs, h->map_type, (uint8_t)i, &map) == MKT_OK; i++) {
        const struct at deeper = {2, NULL};
        indent(&at);
        printf("crypto session\n");
        indent(&deeper);
        printf("CS ID: %u\n", cs.cs_id);
        print_number(&deeper, "Prot type", cs.prot_type, NAME(prot_names, cs.prot_type));
        indent(&deeper);
        printf("S: %u\n", cs.s);
        print_octets(&deeper, "Policies", cs.policies);
        print_octets(&deeper, "Session Data", cs.session_data);
        print_octets(&deeper, "SPI", cs.spi);
    }
}

/* ---- with the ticket protection key ---- */

/* The Responder that the message was meant for, at the moment when it was made. */
struct responder {
    struct mkt_span tpk;
    mkt_ntp now;
    char at_fault[128];
};

static enum mkt_err give_tpk(void *user, const struct mkt_id *id, const struct mkt_policy *policy, struct mkt_buf *key)
{
    const struct responder *r = user;
    (void)id;
    (void)policy;
    if (r->tpk.n > key->cap)
        return MKT_E_NO_KEY;
    memcpy(key->p, r->tpk.p, r->tpk.n);
    key->n = r->tpk.n;
    return MKT_OK;
}

static enum mkt_err give_now(void *user, mkt_ntp *now)
{
    *now = ((const struct responder *)user)->now;
    return MKT_OK;
}

static enum mkt_err count_anything(void *user, const struct mkt_id *peer, uint32_t value)
{
    (void)user;
    (void)peer;
    (void)value;
    return MKT_OK;
}

static void note_fault(void *user, const struct mkt_log_event *event)
{
    struct responder *r = user;
    snprintf(r->at_fault, sizeof r->at_fault, "%s", event->detail);
}

static void print_verdict(const char *what, enum mkt_err err, const char *at_fault)
{
    if (err == MKT_OK)
        printf("%s: its MAC verifies\n", what);
    else
        printf("%s: %s: %s%s%s\n", what, mkt_err_name(err), mkt_err_text(err), at_fault[0] != '\0' ? ": " : "",
               at_fault);
}

/* Takes a TRANSFER_INIT as the first Responder of its policy; shows the verdict and the keys. */
static void verify(const struct mkt_message *m, struct mkt_span octets, const struct mkt_policy *policy,
                   struct mkt_span tpk)
{
    const struct mkt_payload *list = mkt_message_find(m, MKT_GENERAL_EXT, MKT_EXT_SDP_IDS);
    const struct mkt_payload *t = mkt_message_find(m, MKT_T, 0);
    struct responder responder = {.tpk = tpk, .now = policy->start};
    const struct mkt_host host = {.size = sizeof host,
                                  .user = &responder,
                                  .now = give_now,
                                  .tpk = give_tpk,
                                  .counter_check = count_anything,
                                  .log = note_fault};
    const struct at at = {1, NULL};
    struct mkt_key_data key;
    struct mkt_csb *csb;
    if (policy->n_responders == 0 || t == NULL)
        return;
    if (t->t.ts_type != MKT_TS_COUNTER)
        responder.now = t->t.ts_type == MKT_TS_NTP_UTC_32 ? t->t.value << 32 : t->t.value;
    struct mkt_settings settings;
    mkt_settings_init(&settings, policy->responder[0]);
    settings.peer = policy->initiator;
    settings.allow_no_protocols = true;
    settings.max_sessions = UINT8_MAX;
    settings.bundle_size = MKT_CSB_SIZE + 3 * octets.n;
    if (policy->n_applications > 0)
        settings.application = policy->application[0];
    if (m->hdr.n_cs > 0 && m->hdr.map_type == MKT_MAP_GENERIC_ID)
        settings.prot_type = m->hdr.map.p[1];
    if (mkt_csb_new(&csb, MKT_RESPONDER, &host, &settings) != MKT_OK)
        return;
    enum mkt_err err = mkt_csb_take_offer(csb, octets, list != NULL ? list->general_ext.data : settings.application);
    print_verdict("TRANSFER_INIT", err, responder.at_fault);
    for (size_t i = 0; mkt_csb_key(csb, i, &key) == MKT_OK; i++) {
        struct mkt_payload p = {.type = MKT_KEY_DATA, .key_data = key};
        printf("        session key\n");
        print_fields(&at, &p);
    }
    mkt_csb_free(csb);
}

static void open_ticket(const struct mkt_message *m, struct mkt_span octets, struct mkt_span tpk)
{
    const struct mkt_payload *ticket = mkt_message_find(m, MKT_TICKET, 0);
    const struct at at = {0, NULL};
    struct mkt_policy policy;
    if (ticket == NULL || mkt_policy_decode(&policy, &ticket->ticket) != MKT_OK)
        return;
    struct mkt_buf keys = {malloc(octets.n), octets.n, 0};
    enum mkt_err err = keys.p == NULL ? MKT_E_MEMORY : mkt_ticket_open(ticket, tpk, &keys);
    printf("\n");
    print_verdict("TICKET", err, "");
    if (err == MKT_OK)
        print_chain(at, "KEMAC, decrypted", MKT_KEY_DATA, mkt_buf_span(&keys));
    if (m->hdr.data_type == MKT_TRANSFER_INIT)
        verify(m, octets, &policy, tpk);
    free(keys.p);
}

/* ---- input ---- */

static int fail(size_t octet, size_t n, enum mkt_err err)
{
    fprintf(stderr, "dump: octet %zu of %zu: %s\n", octet, n, mkt_err_text(err));
    return 1;
}

/* Hex digits, white space between them ignored; false where there is anything else. */
static bool from_hex(struct mkt_span in, struct mkt_buf *out)
{
    unsigned octet = 0, digits = 0;
    for (size_t i = 0; i < in.n; i++) {
        if (isspace(in.p[i]))
            continue;
        if (!isxdigit(in.p[i]))
            return false;
        octet = octet << 4 | (unsigned)(isdigit(in.p[i]) ? in.p[i] - '0' : tolower(in.p[i]) - 'a' + 10);
        if (++digits % 2 == 0)
            out->p[out->n++] = (uint8_t)octet;
    }
    return digits > 0 && digits % 2 == 0;
}

/* Base64, white space ignored, as the value of the attribute that it would be. */
static enum mkt_err from_base64(struct mkt_span in, struct mkt_buf *out)
{
    static const char head[] = "a=key-mgmt:mikey ";
    uint8_t *p = malloc(sizeof head + in.n);
    size_t n = sizeof head - 1;
    if (p == NULL)
        return MKT_E_MEMORY;
    memcpy(p, head, n);
    for (size_t i = 0; i < in.n; i++)
        if (!isspace(in.p[i]))
            p[n++] = in.p[i];
    struct mkt_sdp sdp;
    enum mkt_err err = mkt_sdp_parse(&sdp, (struct mkt_span){p, n});
    err = err == MKT_OK ? mkt_sdp_key_mgmt_decode(&sdp, MKT_SDP_SESSION, out) : err;
    free(p);
    return err;
}

static bool begins(struct mkt_span in, const char *text)
{
    struct mkt_span s = mkt_span_text(text);
    return in.n >= s.n && memcmp(in.p, s.p, s.n) == 0;
}

/* The first MIKEY message of a description: at session level, or of the first section that has one. */
static enum mkt_err from_sdp(struct mkt_span in, struct mkt_buf *out)
{
    struct mkt_sdp sdp;
    enum mkt_err err = mkt_sdp_parse(&sdp, in);
    err = err == MKT_OK ? mkt_sdp_key_mgmt_decode(&sdp, MKT_SDP_SESSION, out) : err;
    for (size_t i = 0; err == MKT_E_MISSING && i < sdp.sections; i++)
        err = mkt_sdp_key_mgmt_decode(&sdp, i, out);
    return err;
}

/* A line of a description: `<type>=`. */
static bool is_sdp(struct mkt_span in)
{
    return in.n >= 2 && isalpha(in.p[0]) && in.p[1] == '=';
}

/* The first octet that is neither white space nor a hex digit; n where there is none. */
static size_t not_hex(struct mkt_span in)
{
    size_t i = 0;
    while (i < in.n && (isspace(in.p[i]) || isxdigit(in.p[i])))
        i++;
    return i;
}

/* Where what is no message in any form is wrong: the attribute that holds it, or the first octet that is not base64. */
static size_t wrong_octet(struct mkt_span in)
{
    static const char attribute[] = "a=key-mgmt:";
    for (size_t i = 0; i < in.n; i++) {
        bool base64 = isalnum(in.p[i]) || isspace(in.p[i]) || memchr("+/=", in.p[i], 3) != NULL;
        if (is_sdp(in) ? begins((struct mkt_span){in.p + i, in.n - i}, attribute) : !base64)
            return i;
    }
    return in.n;
}

/* What the input is, told by its first octets: no MIKEY message begins like any of the texts, but with its version. */
static enum mkt_err decode_input(struct mkt_span in, struct mkt_buf *out)
{
    if (in.n == 0 || (in.p[0] < ' ' && !isspace(in.p[0]))) {
        memcpy(out->p, in.p, in.n);
        out->n = in.n;
        return MKT_OK;
    }
    if (is_sdp(in))
        return from_sdp(in, out);
    if (not_hex(in) == in.n)
        return from_hex(in, out) ? MKT_OK : MKT_E_TRUNCATED;
    return from_base64(in, out);
}

static int dump(struct mkt_span in, struct mkt_buf *octets, struct mkt_span tpk)
{
    struct mkt_message m;
    enum mkt_err err = decode_input(in, octets);
    if (err != MKT_OK)
        return fail(wrong_octet(in), in.n, err);
    struct mkt_span message = {octets->p, octets->n};
    err = mkt_message_decode(&m, message);
    if (err != MKT_OK)
        return fail(mkt_message_error_offset(message), message.n, err);
    printf("%s, %zu octets%s\n", mkt_data_type_name(m.hdr.data_type), message.n,
           tpk.n > 0 ? "" : "; nothing is verified");
    print_hdr(&m.hdr);
    for (size_t i = 0; i < m.n; i++)
        print_payload((struct at){0, message.p}, &m.payload[i]);
    if (tpk.n > 0)
        open_ticket(&m, message, tpk);
    if (tpk.n > 0 && m.hdr.data_type != MKT_TRANSFER_INIT)
        printf("%s: not verified: its MAC takes more than the TPK and this message\n",
               mkt_data_type_name(m.hdr.data_type));
    return 0;
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: dump [--tpk HEX] < message (octets, hex, base64 or SDP)";
    uint8_t key[MKT_MAX_TPK * 2];
    struct mkt_buf key_buf = {key, sizeof key, 0};
    if (argc != 1 && (argc != 3 || strcmp(argv[1], "--tpk") != 0)) {
        fprintf(stderr, "%s\n", usage);
        return 2;
    }
    if (argc == 3 && (strlen(argv[2]) > sizeof key || !from_hex(mkt_span_text(argv[2]), &key_buf) || key_buf.n < 16)) {
        fprintf(stderr, "dump: --tpk wants 32 to %d hex digits\n", 2 * MKT_MAX_TPK);
        return 2;
    }
    uint8_t *input = malloc(MAX_INPUT);
    struct mkt_buf octets = {malloc(MAX_INPUT), MAX_INPUT, 0};
    size_t n = input == NULL ? 0 : fread(input, 1, MAX_INPUT, stdin);
    int code;
    if (input == NULL || octets.p == NULL)
        code = fail(0, 0, MKT_E_MEMORY);
    else if (n == MAX_INPUT)
        code = fail(n, n, MKT_E_LENGTH);
    else
        code = dump((struct mkt_span){input, n}, &octets, mkt_buf_span(&key_buf));
    free(input);
    free(octets.p);
    return code;
}
