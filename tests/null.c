/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rule for NULL, mikeyticket/span.h: a pointer may be NULL if its description says "may be NULL", and no other.
 * Each function that says so is tried here; the headers are read, so that none is left out.
 */
#include "call.h"

#include <mikeyticket/replay.h>
#include <mikeyticket/streams.h>
#include <mikeyticket/x509.h>

static int no_rng(void *user, unsigned char *out, size_t n)
{
    (void)user;
    memset(out, 1, n);
    return 0;
}

static enum mkt_err csb_free(struct call *c)
{
    (void)c;
    mkt_csb_free(NULL);
    return MKT_OK;
}

static enum mkt_err ticket_free(struct call *c)
{
    (void)c;
    mkt_ticket_free(NULL);
    return MKT_OK;
}

static enum mkt_err streams_free(struct call *c)
{
    (void)c;
    mkt_streams_free(NULL);
    return MKT_OK;
}

static enum mkt_err span_text(struct call *c)
{
    (void)c;
    return mkt_span_text(NULL).n == 0 ? MKT_OK : MKT_E_LENGTH;
}

static enum mkt_err make_transfer_resp(struct call *c)
{
    make_init(c);
    expect_err("take", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    return mkt_csb_make_transfer_resp(c->r, NULL, &c->resp_buf);
}

static enum mkt_err make_error(struct call *c)
{
    make_init(c);
    expect_err("take", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    return mkt_csb_make_error(c->r, (struct mkt_span){NULL, 0}, MKT_E_DENIED, NULL, 0, &c->resp_buf);
}

static enum mkt_err sdp_make_error(struct call *c)
{
    make_init(c);
    expect_err("take", mkt_csb_take_offer(c->r, init_of(c), mikey), MKT_OK);
    return mkt_sdp_make_error(c->r, NULL, 0, MKT_E_DENIED, NULL, 0, &c->resp_buf);
}

static enum mkt_err replay_new(struct call *c)
{
    struct mkt_replay cache;
    (void)c;
    return mkt_replay_new(&cache, NULL, 1000);
}

static enum mkt_err replay_open(struct call *c)
{
    struct mkt_replay cache;
    (void)c;
    return mkt_replay_open(&cache, NULL, 1000, mkt_ntp_from_unix(0), 300);
}

static enum mkt_err streams_bind(struct call *c)
{
    const struct mkt_streams_settings settings = {.size = sizeof settings, .rng = no_rng};
    struct mkt_streams *streams;
    mbedtls_ssl_context ssl;
    (void)c;
    const struct mkt_tls_bio bio = {.user = NULL};
    mbedtls_ssl_init(&ssl);
    expect_err("streams", mkt_streams_new(&streams, &settings), MKT_OK);
    const enum mkt_err err = mkt_streams_bind(streams, &ssl, NULL, &bio);
    mkt_streams_free(streams);
    return err;
}

static enum mkt_err x509_free(struct call *c)
{
    (void)c;
    mkt_x509_free(NULL);
    return MKT_OK;
}

static const struct {
    const char *name;
    enum mkt_err (*call)(struct call *);
    enum mkt_err want;
} functions[] = {
    {"mkt_span_text", span_text, MKT_OK},
    {"mkt_replay_new", replay_new, MKT_E_ARGUMENT},
    {"mkt_replay_open", replay_open, MKT_E_ARGUMENT},
    {"mkt_ticket_free", ticket_free, MKT_OK},
    {"mkt_csb_free", csb_free, MKT_OK},
    {"mkt_csb_make_transfer_resp", make_transfer_resp, MKT_OK},
    {"mkt_csb_make_error", make_error, MKT_OK},
    {"mkt_sdp_make_error", sdp_make_error, MKT_OK},
    {"mkt_streams_free", streams_free, MKT_OK},
    {"mkt_streams_bind", streams_bind, MKT_OK},
    {"mkt_x509_free", x509_free, MKT_OK},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

START_TEST(what_may_be_null_may_be_null)
{
    struct call *c = call_new(MKT_SUITE_256, "FGHJLNO");
    expect_err(functions[_i].name, functions[_i].call(c), functions[_i].want);
    call_free(c);
}
END_TEST

static const char *read_header(const char *name)
{
    static char words[65536];
    const char *folder = getenv("HEADERS");
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder != NULL ? folder : "include/mikeyticket", name);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    words[fread(words, 1, sizeof words - 1, file)] = '\0';
    fclose(file);
    return words;
}

/* The description of a function is the comment before it; all free functions say so. */
START_TEST(all_functions_are_here)
{
    static const char *const headers[] = {"span.h",       "error.h",         "host.h",       "replay.h", "key.h",
                                          "payload.h",    "policy.h",        "message.h",    "ticket.h", "sdp.h",
                                          "connection.h", "exchange.h",      "derive.h",     "csb.h",    "tls.h",
                                          "streams.h",    "cipher_suites.h", "public_key.h", "x509.h"};
    size_t found = 0;
    for (size_t h = 0; h < sizeof headers / sizeof *headers; h++) {
        const char *comment = NULL;
        for (const char *line = read_header(headers[h]); line != NULL; line = strchr(line, '\n')) {
            line += *line == '\n';
            if (strncmp(line, "/**", 3) == 0)
                comment = line;
            if (strncmp(line, "MKT_API", 7) != 0)
                continue;
            const char *bracket = strchr(line, '('), *name = bracket;
            while (name[-1] == '_' || (name[-1] >= 'a' && name[-1] <= 'z') || (name[-1] >= '0' && name[-1] <= '9'))
                name--;
            const int n = (int)(bracket - name);
            const char *may = comment == NULL ? NULL : strstr(comment, "may be NULL");
            const bool says = may != NULL && may < line, frees = strncmp(bracket - 5, "_free", 5) == 0;
            size_t i = 0;
            while (i < FUNCTIONS && (strncmp(functions[i].name, name, (size_t)n) != 0 || functions[i].name[n] != '\0'))
                i++;
            ck_assert_msg(!frees || says, "%.*s does not take NULL", n, name);
            ck_assert_msg((i < FUNCTIONS) == says, "%.*s: described as tried?", n, name);
            found += says;
            comment = NULL;
        }
    }
    ck_assert_uint_eq(found, FUNCTIONS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("null");
    TCase *tcase = tcase_create("null");
    tcase_add_loop_test(tcase, what_may_be_null_may_be_null, 0, FUNCTIONS);
    tcase_add_test(tcase, all_functions_are_here);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
