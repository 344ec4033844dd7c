/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cryptography that RFC 6043 forces on whoever makes or takes a message, written down by hand: nothing here looks
 * at what the library does. It gives two numbers to hold the library against: how many blocks there must be, and how
 * long they take where mbedTLS is called for them and for nothing else (the floor).
 *
 * What an operation costs, in blocks of 64 octets of SHA-1 or SHA-256 (h = 20 or 32 octets):
 *
 *   PAD      a key of up to 64 octets is padded and hashed twice, K XOR ipad and K XOR opad (RFC 2104 2): 2 blocks.
 *            Once for each key in each step, whatever is done with it: RFC 2104 4 allows to keep both states.
 *   MAC(n)   HMAC over n octets with a padded key: ceil((n + 9) / 64) blocks within, 1 without (h + 9 <= 64)
 *   PRF(l)   RFC 3830 4.1.2 with a label of l octets and one block of output, as every key here is no longer than h:
 *            A_1 = MAC(l), then MAC(h + l)
 *   AES(n)   one key set up, ceil(n / 16) blocks of AES
 *
 * A label (RFC 6043 5.1) has 10 octets: constant 4, CS ID 1, CSB ID 4, number 1; then values with their lengths. With
 * RANDs as long as the suite's keys, k = 16 or 32 octets:
 *
 *   label     octets               PRF of suite 256: k = h = 32       PRF of suite 128: k = 16, h = 20
 *   INITIAL   10 + 1 + k + 1 = 44 | 28     MAC(44) + MAC(76) = 2 + 3 = 5    MAC(28) + MAC(48) = 2 + 2 = 4
 *   RESPONSE, PSK                 the same: the exchange has one of RANDRi and RANDRr alone
 *   RESPONSE, MPK; TRAFFIC
 *             10 + 2 (1 + k) = 76 | 44     MAC(76) + MAC(108) = 3 + 3 = 6   MAC(44) + MAC(64) = 2 + 3 = 5
 *   TPK, MPK  10 + 1 + k = 43 | 27         MAC(43) + MAC(75) = 5            MAC(27) + MAC(47) = 4
 *   VR        10                           MAC(10) + MAC(42) = 4            MAC(10) + MAC(30) = 4
 *   FORK      10 + 2 + 19 + 1 + k = 64 | 48 (IDRr of 19 octets)
 *                                          MAC(64) + MAC(96) = 3 + 3 = 6    MAC(48) + MAC(68) = 2 + 3 = 5
 *
 * A MAC of a message of m octets without its own MAC is PRF for auth_key, PAD of it, and MAC(m + all else that table
 * 5.2 of RFC 6043 lets it cover). A KEMAC is two PRFs more with the same padded key, encr_key and salt, and AES.
 * The steps, `(n)` being octets of messages and identities:
 *
 *   make, take REQUEST_INIT   PAD(PSK), PRF(INITIAL), PAD(auth_key), MAC(REQUEST_INIT + IDi + IDkms)
 *   make a ticket             PAD(TPK), 3 PRF(TPK), AES(MPK, TGK), PAD(auth_key), MAC(TICKET); PAD(MPK), PRF(MPK) for
 *                             MPKi, and where keys are forked PRF(MPK) for MPKr
 *   make, take REQUEST_RESP   PAD(PSK), 3 PRF(RESPONSE), AES(MPKi, [MPKr], TGK), PAD(auth_key),
 *                             MAC(REQUEST_RESP + REQUEST_INIT)
 *   make TRANSFER_INIT        PAD(MPKi), PRF(INITIAL), PAD(auth_key), MAC(TRANSFER_INIT + IDi + IDr); forked:
 *                             PAD(MPKr), PRF(VR), PAD(auth_key), MAC(Initiator Data)
 *   take TRANSFER_INIT        nothing, where the KMS must resolve the ticket; else open the ticket: PAD(TPK),
 *                             3 PRF(TPK), AES(MPK, TGK), PAD(auth_key), MAC(TICKET); PAD(MPK), PRF(MPK) for MPKi; then
 *                             the message as it was made
 *   make RESOLVE_INIT         PAD(PSK), PRF(INITIAL), PAD(auth_key), MAC(RESOLVE_INIT + IDr + IDkms)
 *   take RESOLVE_INIT         the same; open the ticket; forked: PRF(MPK) for MPKr, PAD(MPKr), PRF(VR), PAD(auth_key),
 *                             MAC(Initiator Data)
 *   make RESOLVE_RESP         forked: PAD(MPKr), PRF(FORK), PAD(TGK), PRF(FORK); PAD(PSK), 3 PRF(RESPONSE),
 *                             AES(MPKi, [MPKr], TGK), PAD(auth_key), MAC(RESOLVE_RESP + RESOLVE_INIT)
 *   take RESOLVE_RESP         PAD(PSK), 3 PRF(RESPONSE), AES, PAD(auth_key), MAC(RESOLVE_RESP + RESOLVE_INIT); then
 *                             the TRANSFER_INIT that waited: PAD(MPKi), PRF(INITIAL), PAD(auth_key), MAC
 *   make TRANSFER_RESP        PAD(MPKi or MPKr), PRF(RESPONSE), PAD(auth_key), MAC(TRANSFER_RESP + TRANSFER_INIT)
 *   take TRANSFER_RESP        forked: PAD(MPKr), PRF(FORK), PAD(TGK), PRF(FORK); then as it was made, with the new MPKr
 *   TEK                       PAD(TGK), PRF(TRAFFIC)
 *
 * With suite 256, without forking and with a TRANSFER_INIT of 600 octets in all, which is covered but for its MAC of 32
 * and for the length of Initiator Data, that makes for its MAC: 2 + 5 + 2 + MAC(600 - 34 + 21 + 19 = 606) = 9 + 11 = 20
 * blocks, and with a ticket whose MAC covers 300 octets to take it 2 + 15 + 2 + MAC(300) + 2 + 5 = 26 + 6 = 32 more.
 */
#ifndef BENCH_PAPER_H
#define BENCH_PAPER_H

#include "count.h"
#include "stage.h"

enum paper_what { PAPER_PAD, PAPER_MAC, PAPER_AES };

struct paper_step {
    enum paper_what what;
    size_t n;
};

struct paper {
    enum mkt_suite suite;
    size_t n;
    struct paper_step step[256];
};

/* What a step of a call must do; the lengths are those of the messages of the stage. */
typedef void paper_of(struct paper *paper, const struct stage *stage);
paper_of paper_request_init, paper_ticket, paper_request_resp, paper_make_transfer_init, paper_take_transfer_init,
    paper_nothing, paper_make_resolve_init, paper_take_resolve_init, paper_make_resolve_resp, paper_take_resolve_resp,
    paper_make_transfer_resp, paper_take_transfer_resp, paper_tek;

/* Its blocks. */
struct count paper_count(const struct paper *paper);

/* The same by mbedTLS alone: each padded key, MAC and AES key stream of it, over octets that mean nothing. */
void paper_floor(const struct paper *paper);

/* The same by mbedTLS's own HMAC, which pads the key for each MAC and has its contexts from the heap. */
void paper_hmacs(const struct paper *paper);

#endif
