/* SPDX-License-Identifier: BSD-3-Clause */
/* SDP from the field: each case of tests/sdp/ gives what stands beside it. tests/sdp/README.md tells the format. */
#define _GNU_SOURCE /* asprintf */

#include "described.h"
#include "plan.h"
#include "vector.h"

#include <dirent.h>
#include <stdlib.h>

/* The text of a line that is put together piece by piece; freed by the caller. */
static void add(char **line, const char *piece, size_t n)
{
    char *longer = NULL;
    ck_assert_int_ge(asprintf(&longer, "%s%.*s", *line == NULL ? "" : *line, (int)n, n == 0 ? "" : piece), 0);
    free(*line);
    *line = longer;
}

static void add_text(char **line, const char *text)
{
    add(line, text, strlen(text));
}

static void add_span(char **line, struct mkt_span span)
{
    add_text(line, span.n == 0 ? "-" : "");
    add(line, (const char *)span.p, span.n);
}

static char *path_of(const char *name, const char *ending)
{
    const char *vectors = getenv("VECTORS");
    char *path = NULL;
    ck_assert_int_gt(asprintf(&path, "%s/../sdp/%s%s", vectors == NULL ? "tests/vectors" : vectors, name, ending), 0);
    return path;
}

static struct mkt_span body_of(const char *name, const char *ending)
{
    static uint8_t octets[1 << 16];
    char *path = path_of(name, ending);
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "can't open %s", path);
    size_t n = fread(octets, 1, sizeof octets, f);
    fclose(f);
    free(path);
    ck_assert_uint_lt(n, sizeof octets);
    return exact((struct mkt_span){octets, n});
}

/* Such as "message 2855 TCP/TLS/MSRP IP4 192.0.2.1, setup active, mikey;keyp1, 010203", with errors by name; of the
   session level it is what follows the first comma. */
static char *said(struct mkt_span sdp, size_t media)
{
    char *line = NULL;
    char port[8];
    struct mkt_sdp_media m;
    enum mkt_setup setup;
    enum mkt_err err = media == MKT_SDP_SESSION ? MKT_OK : text_media(sdp, media, &m);
    if (err != MKT_OK) {
        add_text(&line, mkt_err_name(err));
    } else if (media != MKT_SDP_SESSION) {
        snprintf(port, sizeof port, "%u", m.port);
        add_span(&line, m.media);
        add_text(&line, " ");
        add_text(&line, port);
        add_text(&line, " ");
        add_span(&line, m.proto);
        add_text(&line, " ");
        add_span(&line, m.addrtype);
        add_text(&line, " ");
        add_span(&line, m.address);
    }
    add_text(&line, media == MKT_SDP_SESSION ? "setup " : ", setup ");
    err = text_setup(sdp, media, &setup);
    add_text(&line, err != MKT_OK ? mkt_err_name(err) : setup == MKT_SETUP_ABSENT ? "absent" : mkt_setup_name(setup));

    uint8_t octets[8192];
    struct mkt_buf list = {octets, sizeof octets, 0}, message = {octets, sizeof octets, 0};
    err = text_protocols(sdp, media, &list);
    add_text(&line, ", ");
    if (err == MKT_OK)
        add_span(&line, (struct mkt_span){list.p, list.n});
    else
        add_text(&line, mkt_err_name(err));
    err = text_get(sdp, media, &message);
    add_text(&line, ", ");
    if (err != MKT_OK)
        add_text(&line, mkt_err_name(err));
    for (size_t i = 0; i < message.n; i++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", octets[i]);
        add_text(&line, hex);
    }
    return line;
}

static void expect(const char *name, const struct section *section, const char *field, const char *got)
{
    const char *want = value_of(section, field);
    ck_assert_msg(want != NULL, "%s [%s] says nothing of %s, which is\n%s", name, section->name, field, got);
    ck_assert_msg(strcmp(got, want) == 0, "%s [%s] %s is\n%s\nand not\n%s", name, section->name, field, got, want);
}

/* A description gives what its section of the expectations says, of the session level and of each media section. */
static void check_body(const char *name, const struct section *section, struct mkt_span sdp)
{
    char field[24];
    size_t sections = 0;
    enum mkt_err err = text_sections(sdp, &sections);
    if (err != MKT_OK) {
        expect(name, section, "all", mkt_err_name(err));
        return;
    }
    for (size_t i = 0; i <= sections; i++) {
        char *got = said(sdp, i == 0 ? MKT_SDP_SESSION : i - 1);
        snprintf(field, sizeof field, "%zu", i - 1);
        expect(name, section, i == 0 ? "session" : field, got);
        free(got);
    }
}

/* The plans of both ends for each media section. */
static void check_plans(const char *name, const struct section *section, struct texts *now, struct texts *before,
                        bool same_offerer)
{
    size_t sections = 1;
    enum mkt_err err = text_sections(now->offer, &sections);
    for (size_t i = 0; i < 2 * sections; i++) {
        char field[32], got[1000];
        bool offerer = i < sections; /* of the first exchange */
        size_t media = i % sections;
        now->offerer = offerer == same_offerer;
        if (before != NULL)
            before->offerer = offerer;
        snprintf(field, sizeof field, "%s %zu", offerer ? "offerer" : "answerer", media);
        expect(name, section, field, plan(got, sizeof got, now, before, media));
    }
    (void)err; /* what is malformed is asked for its first section */
}

static bool ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);
    return n > m && strcmp(name + n - m, ending) == 0;
}

/* A case, of one to four descriptions; answers how many. */
static size_t check_case(const char *name)
{
    static const char *const ending[] = {".offer", ".answer", ".again.offer", ".again.answer"};
    static const char *const title[] = {"offer", "answer", "again offer", "again answer"};
    struct mkt_span body[4] = {{NULL, 0}};
    const struct section *plans = NULL, *again = NULL;
    char *file = NULL;
    size_t n = 0;
    ck_assert_int_gt(asprintf(&file, "../sdp/%s.txt", name), 0);
    struct vectors v = vectors_read(file);
    for (size_t i = 0; i < v.n; i++) {
        if (strcmp(v.section[i].name, "plan") == 0) {
            plans = &v.section[i];
        } else if (strcmp(v.section[i].name, "again plan") == 0) {
            again = &v.section[i];
        } else {
            ck_assert_msg(n < 4 && strcmp(v.section[i].name, title[n]) == 0, "%s: [%s]", name, v.section[i].name);
            body[n] = body_of(name, ending[n]);
            check_body(name, &v.section[i], body[n]);
            n++;
        }
    }
    ck_assert_msg(n != 3 && (n > 1) == (plans != NULL) && (n == 4) == (again != NULL), "%s: its sections", name);
    struct texts first = {.offer = body[0], .answer = body[n > 1 ? 1 : 0]};
    struct texts second = {.offer = body[n > 2 ? 2 : 0], .answer = body[n > 2 ? 3 : 0]};
    if (plans != NULL)
        check_plans(name, plans, &first, NULL, true);
    if (again != NULL)
        check_plans(name, again, &second, &first, strcmp(text_of(again, "by"), "offerer") == 0);
    for (size_t i = 0; i < v.n; i++)
        for (size_t j = 0; j < v.section[i].n; j++)
            ck_assert_msg(v.section[i].field[j].read, "%s [%s]: %s is about nothing", name, v.section[i].name,
                          v.section[i].field[j].name);
    vectors_free(&v);
    free(file);
    return n;
}

START_TEST(every_case)
{
    size_t cases = 0, bodies = 0, files = 0;
    char *path = path_of("", "");
    DIR *folder = opendir(path);
    ck_assert_msg(folder != NULL, "can't open %s", path);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        files += ends_with(entry->d_name, ".offer") || ends_with(entry->d_name, ".answer");
        if (!ends_with(entry->d_name, ".txt"))
            continue;
        entry->d_name[strlen(entry->d_name) - strlen(".txt")] = '\0';
        bodies += check_case(entry->d_name);
        cases++;
    }
    closedir(folder);
    free(path);
    ck_assert_uint_eq(bodies, files); /* none without expectations */
    ck_assert_uint_ge(cases, 30);
}
END_TEST

/* What the field sends is lines; that they end with LF alone, or that the last has no end, changes nothing. */
START_TEST(line_ends_change_nothing)
{
    char *path = path_of("", "");
    DIR *folder = opendir(path);
    size_t n = 0;
    ck_assert_msg(folder != NULL, "can't open %s", path);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (!ends_with(entry->d_name, ".offer") && !ends_with(entry->d_name, ".answer"))
            continue;
        struct mkt_span sdp = body_of(entry->d_name, "");
        uint8_t *octets = malloc(sdp.n + 1);
        ck_assert_ptr_nonnull(octets);
        struct mkt_span lf = {octets, 0};
        for (size_t i = 0; i < sdp.n; i++)
            if (sdp.p[i] != '\r' || i + 1 == sdp.n || sdp.p[i + 1] != '\n')
                octets[lf.n++] = sdp.p[i];
        size_t sections = 0, again = 0;
        enum mkt_err err = text_sections(sdp, &sections);
        expect_err(entry->d_name, text_sections(lf, &again), err);
        ck_assert_uint_eq(again, sections);
        for (size_t i = 0; err == MKT_OK && i <= sections; i++) {
            size_t media = i == 0 ? MKT_SDP_SESSION : i - 1;
            char *want = said(sdp, media), *got = said(lf, media);
            ck_assert_msg(strcmp(got, want) == 0, "%s: %s, not %s", entry->d_name, got, want);
            free(got);
            free(want);
        }
        free(octets);
        n++;
    }
    closedir(folder);
    free(path);
    ck_assert_uint_ge(n, 30);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fields");
    TCase *tcase = tcase_create("fields");
    tcase_add_test(tcase, every_case);
    tcase_add_test(tcase, line_ends_change_nothing);
    tcase_add_unchecked_fixture(tcase, NULL, free_all);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
