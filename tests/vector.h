/* SPDX-License-Identifier: BSD-3-Clause */
/* What every suite shares: exact-size copies of octets, comparisons that say where they differ, vector files. */
#ifndef TESTS_VECTOR_H
#define TESTS_VECTOR_H

#include <mikeyticket/error.h>

#include <check.h>
#include <stdio.h>

/* The octets of hex digits ("-" is none), in a block of just their size so that sanitizers see one octet too many.
   Blocks live until free_all(). */
struct mkt_span from_hex(const char *hex);
struct mkt_span exact(struct mkt_span octets);
void free_all(void);

/* Fails with the name, that of the section of vectors that was read last, and the first differing octet. */
void expect_octets(const char *name, struct mkt_span got, struct mkt_span want);

/* Fails with the name and both errors by name. */
void expect_err(const char *name, enum mkt_err got, enum mkt_err want);

/* MKT_OK for an error of the class REPORTED, with which a bundle takes an Error message; all others as they are. */
enum mkt_err taken(enum mkt_err err);

struct field {
    char *name, *value;
    bool read;
};

struct section {
    char *name; /* without brackets */
    struct field *field;
    size_t n;
};

struct vectors {
    struct section *section;
    size_t n;
};

/*
 * Reads a file of the folder that the environment variable VECTORS names (tests/vectors by default); fails where it
 * can't. vectors_free() gives the memory back.
 */
struct vectors vectors_read(const char *file);
void vectors_free(struct vectors *vectors);

/* The value of a field, which is now marked as read; NULL where the section has none. */
const char *value_of(const struct section *section, const char *name);
/* The same of a field that must be there, as text, octets or a number. */
const char *text_of(const struct section *section, const char *name);
struct mkt_span octets_of(const struct section *section, const char *name);
unsigned long number_of(const struct section *section, const char *name);

/* Runs the suite of a room; answers the exit code of the test program. */
int run(Suite *suite);

#endif
