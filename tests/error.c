/* SPDX-License-Identifier: BSD-3-Clause */
/* error: each value of the enum has one row, and the row says what the header and the RFCs say. */
#include "vector.h"

#include <limits.h>
#include <string.h>

/* The compiler's own check that no value of the enum is left out below. */
#pragma GCC diagnostic error "-Wswitch"

/* How the header spells an error; NULL for a code that it does not have. */
static const char *spelling(enum mkt_err err)
{
    switch (err) {
#define CASE(e)                                                                                                        \
    case e:                                                                                                            \
        return #e
        CASE(MKT_OK);
        CASE(MKT_E_ARGUMENT);
        CASE(MKT_E_STATE);
        CASE(MKT_E_BUFFER);
        CASE(MKT_E_BUNDLE_FULL);
        CASE(MKT_E_NO_SESSION);
        CASE(MKT_E_LENGTH);
        CASE(MKT_E_PROFILE);
        CASE(MKT_E_IN_USE);
        CASE(MKT_E_AGAIN);
        CASE(MKT_E_TRUNCATED);
        CASE(MKT_E_TRAILING);
        CASE(MKT_E_BAD_VALUE);
        CASE(MKT_E_VERSION);
        CASE(MKT_E_PAYLOAD);
        CASE(MKT_E_TOO_MANY);
        CASE(MKT_E_MISSING);
        CASE(MKT_E_ORDER);
        CASE(MKT_E_DATA_TYPE);
        CASE(MKT_E_BAD_MAP);
        CASE(MKT_E_KEMAC_MAC);
        CASE(MKT_E_BASE64);
        CASE(MKT_E_SDP);
        CASE(MKT_E_STORED);
        CASE(MKT_E_MAC);
        CASE(MKT_E_TICKET_MAC);
        CASE(MKT_E_CSB_ID);
        CASE(MKT_E_NO_KEY);
        CASE(MKT_E_INITIATOR_MAC);
        CASE(MKT_E_SIGNATURE);
        CASE(MKT_E_CHAIN);
        CASE(MKT_E_PRF);
        CASE(MKT_E_MAC_ALG);
        CASE(MKT_E_ENCR_ALG);
        CASE(MKT_E_HASH);
        CASE(MKT_E_DH_GROUP);
        CASE(MKT_E_TICKET_TYPE);
        CASE(MKT_E_COUNTER);
        CASE(MKT_E_CERTIFICATE);
        CASE(MKT_E_PUBLIC_KEY);
        CASE(MKT_E_FLAGS);
        CASE(MKT_E_POLICY);
        CASE(MKT_E_VALIDITY);
        CASE(MKT_E_MPK);
        CASE(MKT_E_KEY_LENGTH);
        CASE(MKT_E_SPI);
        CASE(MKT_E_RAND);
        CASE(MKT_E_KEMAC);
        CASE(MKT_E_INITIATOR_DATA);
        CASE(MKT_E_CS);
        CASE(MKT_E_PROT);
        CASE(MKT_E_SP);
        CASE(MKT_E_INITIATOR);
        CASE(MKT_E_OWN_IDENTITY);
        CASE(MKT_E_RESPONDER);
        CASE(MKT_E_APPLICATION);
        CASE(MKT_E_PROTOCOLS);
        CASE(MKT_E_RESOLVE);
        CASE(MKT_E_REUSE);
        CASE(MKT_E_DENIED);
        CASE(MKT_E_ROLE);
        CASE(MKT_E_KMS);
        CASE(MKT_E_NOT_AS_ASKED);
        CASE(MKT_E_UPDATE);
        CASE(MKT_E_SP_PARAMETERS);
        CASE(MKT_E_WRONG_CERTIFICATE);
        CASE(MKT_E_STALE);
        CASE(MKT_E_FUTURE);
        CASE(MKT_E_EXPIRED);
        CASE(MKT_E_NOT_YET);
        CASE(MKT_E_REPLAY);
        CASE(MKT_E_MEMORY);
        CASE(MKT_E_RANDOM);
        CASE(MKT_E_CLOCK);
        CASE(MKT_E_CRYPTO);
        CASE(MKT_E_TLS);
        CASE(MKT_E_CACHE_FULL);
        CASE(MKT_E_REPORTED);
        CASE(MKT_E_REPORTED_LAST);
#undef CASE
    }
    return NULL;
}

enum { CODES = 800 }; /* those that are not the numbers of Error messages */

START_TEST(every_error_has_its_name_and_a_sentence)
{
    for (int code = 0; code < CODES; code++) {
        enum mkt_err err = (enum mkt_err)code;
        const char *name = spelling(err), *sentence = mkt_err_text(err);
        ck_assert_str_eq(mkt_err_name(err), name == NULL ? "unknown" : name);
        ck_assert_msg(strlen(sentence) > 0, "%d has no text", code);
        ck_assert_msg(strpbrk(sentence, "\r\n") == NULL && sentence[strlen(sentence) - 1] != ' ',
                      "the text of %d is not one line", code);
    }
}
END_TEST

START_TEST(no_two_errors_have_the_same_sentence)
{
    for (int a = 0; a < CODES; a++)
        for (int b = a + 1; b < CODES; b++)
            if (spelling((enum mkt_err)a) != NULL && spelling((enum mkt_err)b) != NULL)
                ck_assert_str_ne(mkt_err_text((enum mkt_err)a), mkt_err_text((enum mkt_err)b));
}
END_TEST

START_TEST(the_hundreds_tell_the_class)
{
    static const struct {
        enum mkt_err first, last;
        enum mkt_class class;
    } bands[] = {
        {MKT_OK, MKT_OK, MKT_CLASS_OK},
        {MKT_E_ARGUMENT, MKT_E_AGAIN, MKT_CLASS_USE},
        {MKT_E_TRUNCATED, MKT_E_STORED, MKT_CLASS_MALFORMED},
        {MKT_E_MAC, MKT_E_CHAIN, MKT_CLASS_AUTH},
        {MKT_E_PRF, MKT_E_PUBLIC_KEY, MKT_CLASS_UNSUPPORTED},
        {MKT_E_FLAGS, MKT_E_WRONG_CERTIFICATE, MKT_CLASS_POLICY},
        {MKT_E_STALE, MKT_E_REPLAY, MKT_CLASS_FRESHNESS},
        {MKT_E_MEMORY, MKT_E_CACHE_FULL, MKT_CLASS_HOST},
    };
    int banded = 0, all = 0;
    for (int code = 0; code < CODES; code++)
        all += spelling((enum mkt_err)code) != NULL;
    for (size_t i = 0; i < sizeof bands / sizeof *bands; i++)
        for (int code = (int)bands[i].first; code <= (int)bands[i].last; code++, banded++) {
            ck_assert_msg(mkt_err_class((enum mkt_err)code) == bands[i].class, "%s", mkt_err_name((enum mkt_err)code));
            ck_assert_int_eq(code / 100, (int)bands[i].class);
        }
    ck_assert_int_eq(banded, all);
}
END_TEST

/*
 * Errors that have a number of their own in RFC 3830 table 6.12 or RFC 6043 table 6.14, by the comments of these
 * tables. All others are 12, "an unspecified error occurred".
 */
static uint8_t wire_number(enum mkt_err err)
{
    enum { OTHERS = 12 };
    static const struct {
        uint8_t number;
        enum mkt_err errors[8];
    } rows[] = {
        /* "Authentication failure" */
        {0,
         {MKT_E_MAC, MKT_E_TICKET_MAC, MKT_E_CSB_ID, MKT_E_NO_KEY, MKT_E_INITIATOR_MAC, MKT_E_SIGNATURE, MKT_E_CHAIN}},
        /* "Invalid timestamp" */
        {1, {MKT_E_STALE, MKT_E_FUTURE, MKT_E_REPLAY, MKT_E_COUNTER}},
        /* "PRF function", "MAC algorithm", "Encryption algorithm", "Hash function", "DH group not supported" */
        {2, {MKT_E_PRF}},
        {3, {MKT_E_MAC_ALG, MKT_E_KEMAC_MAC}},
        {4, {MKT_E_ENCR_ALG}},
        {5, {MKT_E_HASH}},
        {6, {MKT_E_DH_GROUP}},
        /* "ID not supported" */
        {7, {MKT_E_INITIATOR, MKT_E_OWN_IDENTITY, MKT_E_RESPONDER, MKT_E_KMS}},
        /* "Certificate not supported" */
        {8, {MKT_E_CERTIFICATE, MKT_E_WRONG_CERTIFICATE}},
        /* "SP type not supported", "SP parameters not supported" */
        {9, {MKT_E_PROT}},
        {10, {MKT_E_SP_PARAMETERS}},
        /* "not supported Data type" */
        {11, {MKT_E_DATA_TYPE}},
        /* "Ticket Type not supported": the type, subtype or version, and nothing else about a ticket */
        {14, {MKT_E_TICKET_TYPE}},
        /* "TP parameters not supported": what is in the policy, and nothing else about a ticket */
        {15, {MKT_E_FLAGS, MKT_E_POLICY, MKT_E_VALIDITY, MKT_E_APPLICATION, MKT_E_RESOLVE, MKT_E_NOT_AS_ASKED}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t k = 0; rows[i].errors[k] != MKT_OK; k++)
            if (rows[i].errors[k] == err)
                return rows[i].number;
    return OTHERS;
}

START_TEST(a_peer_is_told_the_number_of_the_rfc_or_unspecified)
{
    for (int code = 0; code < CODES; code++) {
        const enum mkt_err err = (enum mkt_err)code;
        ck_assert_msg(mkt_err_number(err) == wire_number(err), "%s is %u, not %u", mkt_err_name(err),
                      mkt_err_number(err), wire_number(err));
    }
}
END_TEST

START_TEST(what_concerns_this_host_alone_is_unspecified_to_a_peer)
{
    for (int code = 0; code < CODES; code++) {
        enum mkt_err err = (enum mkt_err)code;
        if (code / 100 == 1 || code / 100 == 7)
            ck_assert_msg(mkt_err_number(err) == 12, "%s is %u", mkt_err_name(err), mkt_err_number(err));
    }
}
END_TEST

START_TEST(an_unknown_code_is_harmless)
{
    static const int codes[] = {1, 99, 199, 299, 799, 1056, 1100, INT_MAX};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        enum mkt_err err = (enum mkt_err)codes[i];
        ck_assert_str_eq(mkt_err_name(err), "unknown");
        ck_assert_str_ne(mkt_err_text(err), mkt_err_text(MKT_OK));
        ck_assert_uint_eq(mkt_err_number(err), 12);
        (void)mkt_err_class(err);
    }
}
END_TEST

/* Any number can be passed on, those that no error of the library has among them. */
START_TEST(numbers_of_error_messages)
{
    for (unsigned number = 0; number <= UINT8_MAX; number++) {
        const enum mkt_err err = mkt_error_of_number((uint8_t)number);
        ck_assert_int_eq(err, MKT_E_REPORTED + (int)number);
        ck_assert_int_eq(mkt_err_number(err), number);
        ck_assert_int_eq(mkt_err_class(err), MKT_CLASS_REPORTED);
        ck_assert_str_eq(mkt_err_name(err), "MKT_E_REPORTED");
        ck_assert_str_ne(mkt_err_text(err), mkt_err_text(MKT_OK));
    }
    ck_assert_int_eq(mkt_error_of_number(UINT8_MAX), MKT_E_REPORTED_LAST);
    ck_assert_str_eq(mkt_err_text(mkt_error_of_number(0)), "Auth failure");
    ck_assert_str_eq(mkt_err_text(mkt_error_of_number(12)), "Unspecified error");
    ck_assert_str_eq(mkt_err_text(mkt_error_of_number(15)), "Invalid TPpar");
    ck_assert_str_eq(mkt_err_text(mkt_error_of_number(16)), mkt_err_text(MKT_E_REPORTED_LAST));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("error");
    TCase *tcase = tcase_create("error");
    tcase_add_test(tcase, every_error_has_its_name_and_a_sentence);
    tcase_add_test(tcase, no_two_errors_have_the_same_sentence);
    tcase_add_test(tcase, the_hundreds_tell_the_class);
    tcase_add_test(tcase, a_peer_is_told_the_number_of_the_rfc_or_unspecified);
    tcase_add_test(tcase, what_concerns_this_host_alone_is_unspecified_to_a_peer);
    tcase_add_test(tcase, an_unknown_code_is_harmless);
    tcase_add_test(tcase, numbers_of_error_messages);
    suite_add_tcase(suite, tcase);
    return run(suite);
}
