/* SPDX-License-Identifier: BSD-3-Clause */
#include "certificates.h"

#include "text.h"

#include <mikeyticket/x509.h>

#include <mbedtls/platform_util.h>
#include <mbedtls/x509_crt.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_FILE = 65536, RFC822_NAME = 0x81, DNS_NAME = 0x82, URI = 0x86 };

/* The contents of the files, with a NUL after each. */
struct contents {
    uint8_t cert[MAX_FILE], key[MAX_FILE], ca[MAX_FILE], kms[MAX_FILE];
};

/* A mistake: where, what, and what to do. */
static bool wrong(const char *file, const char *text)
{
    fprintf(stderr, "%s: %s\n", file, text);
    return false;
}

static bool read_file(const char *file, uint8_t *octets, struct mkt_span *read)
{
    FILE *in = fopen(file, "rb");
    if (in != NULL)
        setvbuf(in, NULL, _IONBF, 0); /* no copy of what is secret */
    errno = in == NULL ? errno : 0;
    *read = (struct mkt_span){octets, in == NULL ? 0 : fread(octets, 1, MAX_FILE - 1, in)};
    const bool failed = in == NULL || ferror(in), whole = !failed && feof(in);
    if (failed)
        fprintf(stderr, "%s: %s: name a file that can be read\n", file, strerror(errno));
    else if (!whole)
        wrong(file, "longer than 65,535 octets: name a file of certificates or of a key");
    if (in != NULL)
        fclose(in);
    return whole;
}

/* Says why certificates were not added. */
static bool added(enum mkt_err err, const char *file)
{
    if (err == MKT_OK)
        return true;
    if (err == MKT_E_BAD_VALUE)
        return wrong(file, "no X.509 certificate: name a file of certificates in PEM, or of one in DER");
    if (err == MKT_E_CHAIN)
        return wrong(file, "a certificate that is not taken: use X.509v3 and RSA of 2,048 to 4,096 bits; name at most "
                           "4 certificates, each followed by the one that certifies it");
    fprintf(stderr, "%s: %s\n", file, mkt_err_text(err));
    return false;
}

static bool add_own(struct mkt_x509 *x509, const struct certificate_files *files, struct mkt_span chain,
                    struct mkt_span key)
{
    const enum mkt_err err = mkt_x509_add_own(x509, chain, key);
    if (err != MKT_E_NO_KEY)
        return added(err, files->cert);
    fprintf(stderr, "%s: not the private key of %s: name its RSA key, in PEM or DER and not encrypted\n", files->key,
            files->cert);
    return false;
}

/* ---- checks that the other side makes, too ---- */

static bool is_uri(const mbedtls_x509_sequence *name)
{
    return name->buf.p != NULL && name->buf.tag == URI;
}

/* Checks that a certificate is of an identity. */
static bool check_name(const char *file, const mbedtls_x509_crt *crt, const struct mkt_id *id, const char *option)
{
    char first[256] = "no URI", wanted[256];
    size_t n = 0;
    for (const mbedtls_x509_sequence *name = &crt->subject_alt_names; name != NULL; name = name->next) {
        const struct mkt_id found = {.type = MKT_ID_URI, .data = {name->buf.p, name->buf.len}};
        if (!is_uri(name))
            continue;
        if (mkt_id_equal(&found, id))
            return true;
        if (n++ == 0)
            text_put_id(first, &found);
    }
    text_put_id(wanted, id);
    fprintf(stderr, "%s: its subjectAltName has %s%s, and not %s: give %s its identity, or name another certificate\n",
            file, first, n > 1 ? " and others" : "", wanted, option);
    return false;
}

/* Checks that it is valid now, by the clock of this system. */
static bool check_time(const char *file, const mbedtls_x509_crt *crt)
{
    const bool early = mbedtls_x509_time_is_future(&crt->valid_from) != 0;
    const mbedtls_x509_time *t = early ? &crt->valid_from : &crt->valid_to;
    if (!early && mbedtls_x509_time_is_past(&crt->valid_to) == 0)
        return true;
    fprintf(stderr, "%s: the certificate %s %04d-%02d-%02d %02d:%02d:%02d UTC: %s\n", file,
            early ? "is not valid before" : "expired on", t->year, t->mon, t->day, t->hour, t->min, t->sec,
            early ? "wait, or set the clock" : "get a new one, or set the clock");
    return false;
}

static bool check_usage(const char *file, const mbedtls_x509_crt *crt, bool seals)
{
    if (mbedtls_x509_crt_check_key_usage(crt, seals ? MBEDTLS_X509_KU_KEY_ENCIPHERMENT
                                                    : MBEDTLS_X509_KU_DIGITAL_SIGNATURE) == 0)
        return true;
    return wrong(file, seals ? "its keyUsage has no keyEncipherment: use a certificate of a KMS that has it"
                             : "its keyUsage has no digitalSignature: use a certificate that has it");
}

/* Checks the first certificate of a file. It may be read once more: the library has taken it. */
static bool check(const char *file, struct mkt_span text, const struct mkt_id *id, const char *option, bool of_kms)
{
    mbedtls_x509_crt crt;
    mbedtls_x509_crt_init(&crt);
    const bool pem = strstr((const char *)text.p, "-----BEGIN") != NULL;
    bool good = mbedtls_x509_crt_parse(&crt, text.p, text.n + pem) == 0 && check_usage(file, &crt, of_kms);
    if (good && of_kms)
        good = check_name(file, &crt, id, option) && check_time(file, &crt);
    else if (good && check_name(file, &crt, id, option))
        (void)check_time(file, &crt);
    mbedtls_x509_crt_free(&crt);
    return good;
}

/* Checks that an envelope can be sealed for the KMS: a CA that is trusted certifies it. */
static bool check_chain(const struct certificates *certificates, const struct certificate_files *files,
                        const struct mkt_id *kms)
{
    const uint8_t key[32] = {0};
    struct mkt_buf envelope = {NULL, 0, 0}, chash = {NULL, 0, 0};
    const mkt_ntp now = mkt_ntp_from_unix((int64_t)time(NULL));
    const struct mkt_public_keys *keys = &certificates->keys;
    const enum mkt_err err = keys->seal(keys->user, kms, now, (struct mkt_span){key, sizeof key}, &envelope, &chash);
    if (err == MKT_E_CHAIN)
        fprintf(stderr, "%s: no valid CA in %s certifies it: name the CA of the KMS by --ca\n", files->kms, files->ca);
    else if (err != MKT_OK)
        fprintf(stderr, "%s: %s\n", files->kms, mkt_err_text(err));
    return err == MKT_OK;
}

/* ---- all of them ---- */

static bool open_files(struct certificates *certificates, const struct certificate_files *files,
                       struct contents *contents, const struct mkt_id *self, const struct mkt_id *kms)
{
    struct mkt_span cert, key, ca, other = {NULL, 0};
    if (!read_file(files->cert, contents->cert, &cert) || !read_file(files->key, contents->key, &key) ||
        !read_file(files->ca, contents->ca, &ca) || (kms != NULL && !read_file(files->kms, contents->kms, &other)))
        return false;
    if (!add_own(certificates->x509, files, cert, key) ||
        !added(mkt_x509_add_anchors(certificates->x509, ca), files->ca) ||
        (kms != NULL && !added(mkt_x509_add_kms(certificates->x509, other), files->kms)))
        return false;
    if (!added(mkt_x509_public_keys(certificates->x509, &certificates->keys), files->cert) ||
        !check(files->cert, cert, self, "--id", kms == NULL))
        return false;
    return kms == NULL || (check(files->kms, other, kms, "--kms-id", true) && check_chain(certificates, files, kms));
}

bool certificates_open(struct certificates *certificates, const struct certificate_files *files,
                       const struct mkt_id *self, const struct mkt_id *kms)
{
    struct mkt_x509_settings settings;
    struct contents *contents = calloc(1, sizeof *contents);

    mkt_x509_settings_init(&settings);
    mkt_public_keys_init(&certificates->keys);
    if (contents == NULL || mkt_x509_new(&certificates->x509, &settings) != MKT_OK) {
        free(contents);
        return wrong(files->cert, "no memory: stop other programs");
    }
    const bool good = open_files(certificates, files, contents, self, kms);
    mbedtls_platform_zeroize(contents, sizeof *contents);
    free(contents);
    return good;
}

void certificates_close(struct certificates *certificates)
{
    mkt_x509_free(certificates->x509);
    certificates->x509 = NULL;
}

bool certificates_show(struct mkt_span der, void (*serial)(void *user, struct mkt_span octets),
                       void (*name)(void *user, const char *kind, struct mkt_span text), void *user)
{
    mbedtls_x509_crt crt;
    mbedtls_x509_crt_init(&crt);
    const bool good = mbedtls_x509_crt_parse_der(&crt, der.p, der.n) == 0;
    if (good)
        serial(user, (struct mkt_span){crt.serial.p, crt.serial.len});
    for (const mbedtls_x509_sequence *at = &crt.subject_alt_names; good && at != NULL; at = at->next) {
        const int kind = at->buf.tag;
        const char *what = kind == URI           ? "subjectAltName URI"
                           : kind == RFC822_NAME ? "subjectAltName rfc822Name"
                           : kind == DNS_NAME    ? "subjectAltName dNSName"
                                                 : "subjectAltName of another kind";
        if (at->buf.p != NULL)
            name(user, what, (struct mkt_span){at->buf.p, at->buf.len});
    }
    mbedtls_x509_crt_free(&crt);
    return good;
}
