/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes programs for fuzz/model.c that each tell a story: `seed-model FOLDER` fills FOLDER/model. Ends, letters and
 * tickets are counted from the newest: see the operations there.
 */
#define _POSIX_C_SOURCE 200809L

#include "model.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *folder;
static unsigned n_saved;

static void save(uint8_t how, const uint8_t program[], size_t n)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/model/story-%u", folder, n_saved++);
    FILE *f = fopen(path, "wb");
    if (f == NULL || fputc(how, f) == EOF || fwrite(program, 1, n, f) != n || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

#define STORY(how, ...) save(how, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Arguments: keys for tickets, offers and answers; an update that nobody answers, or that is not delivered. */
enum { NO_KEYS = 0, TGK = 1, SALTED = 2, TWO = 5, TGK_AND_TGK = 0x21, SILENT = 128, LATER = 128, OWN = 32 };
enum { FOR_BOTH = FOR_BOB | FOR_CAROL };

/* Of one call that came to two devices; `flags` are those of the ticket. */
static void save_calls(uint8_t how, uint8_t flags)
{
    /* updates out of order, again, and back to their maker */
    STORY(how, OP_CALL, flags, FOR_BOTH, 12, TGK_AND_TGK, OP_UPDATE, 1, TGK, SILENT, LATER, OP_UPDATE, 1, SALTED,
          SILENT, LATER, OP_DELIVER, 0, 2, 0, OP_DELIVER, 1, 2, 0, OP_DELIVER, 0, 2, 0, OP_DELIVER, 0, 1, 0, OP_UPDATE,
          2, TGK, 0, LATER, OP_DELIVER, 0, 2, 0, OP_DELIVER, 0, 1, MEDDLES, OP_GO_ON, 1, TGK, 0, OP_DELIVER, 0, 1, 0,
          OP_DELIVER, 0, 2, 0);
    /* an update of one device comes to the other */
    STORY(how, OP_CALL, flags, FOR_BOTH, 0, TGK_AND_TGK, OP_UPDATE, 1, TGK, SILENT, LATER, OP_DELIVER, 0, 0, 0,
          OP_UPDATE, 0, TGK, 0, LATER, OP_DELIVER, 0, 1, 0, OP_DELIVER, 1, 2, 0);
    /* Error messages: two about one message, again, and to others */
    STORY(how, OP_CALL, flags, FOR_TEAM, 0, TGK_AND_TGK, OP_CLOCK, 7, 130, OP_UPDATE, 2, TGK, 0, LATER, OP_DELIVER, 0,
          1, 0, OP_DELIVER, 0, 0, 0, OP_ERROR, 1, 192, 0, 0, OP_ERROR, 1, 192, 0, 0, OP_DELIVER, 0, 0, 0, OP_DELIVER, 1,
          2, 0, OP_DELIVER, 1, 2, MEDDLES, OP_DELIVER, 1, 1, 0, OP_ERROR, 1, 0, 128, 2, OP_ERROR, 2, 3, 129, 5);
    /* others answer than the one who was called */
    STORY(how, OP_TICKET, 0, flags, FOR_BOTH, TGK, OP_OFFER, 0, 0, NO_KEYS, 0, 0, OP_RING, 0, CAROL_0, NO_KEYS, 0, 0,
          OP_RING, 0, BOB_1, NO_KEYS, 0, 0, OP_RING, 0, BOB_0, TGK, 0, 0, OP_UPDATE, 2, TGK, 0, 0, OP_UPDATE, 1, TGK, 0,
          0, OP_UPDATE, 3, TGK, 0, 0);
    /* a call to a group comes back to its maker, and to another device of hers */
    STORY(how, OP_TICKET, 1, flags, FOR_TEAM, TGK, OP_OFFER, 0, 1, NO_KEYS, 0, 0, OP_RING, 0, ALICE_0, TGK, 0, 0,
          OP_RING, 0, ALICE_1, TGK, 0, 0, OP_RING, 0, CAROL_0, TGK, LEAVE_OUT, 0, OP_UPDATE, 0, TGK, 0, 0, OP_UPDATE, 1,
          TGK, 0, 0);
}

static void save_mallory(uint8_t flags)
{
    const uint8_t response = flags & TICKET_F;
    /* one who remembers the ticket, which Mallory resolved too */
    STORY(0, OP_TICKET, 0, flags, FOR_BOB | FOR_MALLORY, TGK, OP_OFFER, 0, 0, NO_KEYS, 0, 0, OP_RING, 0, BOB_1, NO_KEYS,
          0, 0, OP_KEEP, 0, OP_RING, 0, MALLORY_0, NO_KEYS, 0, 0, OP_STEAL, 0, 0, NO_KEYS, OP_RING, 0, BOB_1, NO_KEYS,
          0, 0, OP_UPDATE, 0, TGK, 0, 0, OP_OFFER, 1, 0, NO_KEYS, 0, 0, OP_RING, 0, BOB_1, NO_KEYS, 0, 0);
    /* the Initiator Data of another message */
    STORY(0, OP_TICKET, 0, flags, FOR_BOB | FOR_MALLORY, TGK, OP_OFFER, 0, 0, NO_KEYS, 0, 0, OP_RING, 0, MALLORY_0,
          NO_KEYS, 0, 0, OP_FORGE, 3, 0, 2, 7, 2, OP_RING, 0, BOB_1, NO_KEYS, 0, 0, OP_FORGE, 3, 0, 2, 10, 0, OP_RING,
          0, BOB_1, NO_KEYS, 0, 0);
    for (uint8_t key = 2; key < 6; key++)
        STORY(0, OP_TICKET, 0, flags, FOR_BOB | FOR_MALLORY, TGK, OP_OFFER, 0, 0, NO_KEYS, 0, 0, OP_RING, 0, MALLORY_0,
              NO_KEYS, 0, 0, OP_RING, 0, BOB_1, NO_KEYS, 0, 0, OP_UPDATE, 0, TGK, 0, LATER, OP_FORGE, 0, 0, key, 10,
              response, OP_DELIVER, 0, 2, 0, OP_DELIVER, 0, 3, 0, OP_DELIVER, 0, 0, 0, OP_ERROR, 0, 192, 0, 0, OP_FORGE,
              0, 0, key, 23, response, OP_DELIVER, 0, 2, 0);
    /* another name */
    STORY(0, OP_TICKET, 3 | 16, flags, FOR_BOTH, TGK, OP_TICKET, 0, flags, FOR_BOB, TGK, OP_OFFER, 0, 0, NO_KEYS, 0, 0,
          OP_RING, 0, MALLORY_0, NO_KEYS, NAMED | LIE, 1, OP_RING, 0, MALLORY_0, NO_KEYS, LIE, 1, OP_RING, 0, MALLORY_0,
          NO_KEYS, NAMED | LIE | LEAVE_OUT, 1, OP_RING, 0, MALLORY_0, NO_KEYS, 0, 0);
    STORY(0, OP_TICKET, 3, flags, FOR_BOTH, TGK, OP_OFFER, 0, 0, NO_KEYS, 0, 0, OP_OFFER, 0, 0, NO_KEYS, LIE, 0,
          OP_RING, 0, BOB_1, TGK, 0, 0, OP_RING, 1, BOB_1, TGK, 0, 0, OP_TICKET, 3 | OWN, flags, FOR_BOB, TGK, OP_OFFER,
          0, 0, NO_KEYS, 0, 0, OP_RING, 0, BOB_1, NO_KEYS, 0, 0);
    /* another's request by her own key */
    STORY(0, OP_TICKET, 0, flags, FOR_BOTH, TGK, OP_FORGE, 1, 0, 0, 25, 0, OP_DELIVER, 0, 2, 0, OP_FORGE, 1, 0, 0, 0, 0,
          OP_DELIVER, 0, 2, 0, OP_FORGE, 1, 0, 0, 1, 0, OP_DELIVER, 0, 2, 0);
}

static void save_others(uint8_t flags)
{
    static const uint8_t who[] = {FOR_BOTH, FOR_TEAM, FOR_TEAM | WITH_SUITE_128, FOR_BOB | FOR_MALLORY};
    for (size_t i = 0; i < sizeof who; i++)
        STORY(0, OP_CALL, flags, who[i], 8, TGK_AND_TGK, OP_UPDATE, 0, TGK, 0, 0, OP_UPDATE, 2, TGK, 0, 0, OP_UPDATE, 1,
              TGK, SILENT, 0, OP_LOOK, 0, OP_KEEP, 1, OP_STEAL, 0, 0, NO_KEYS, OP_RING, 0, BOB_1, TGK, 0, 0);
    /* COUNTERs */
    STORY(0, OP_TICKET, 8, flags, FOR_BOTH, TGK, OP_OFFER, 0, 0, TGK, COUNTER, 0, OP_RING, 0, BOB_0, TGK, COUNTER, 0,
          OP_RING, 0, BOB_1, TGK, COUNTER, 0, OP_UPDATE, 1, TGK, 0, 0, OP_UPDATE, 2, TGK, 0, 0, OP_UPDATE, 0, NO_KEYS,
          0, 0, OP_DELIVER, 0, 2, 0);
    /* stored and read back after each step, in less and less room */
    STORY(0, OP_TICKET, 4, flags, FOR_BOTH, TGK, OP_RESTORE, 0, 0, OP_OFFER, 0, 0, TGK, 0, 0, OP_RESTORE, 0, 0, OP_RING,
          0, BOB_1, NO_KEYS, 0, 0, OP_RESTORE, 0, 90, OP_DELIVER, 0, 0, 0, OP_GO_ON, 0, TGK, 0, OP_RESTORE, 0, 0,
          OP_RESTORE, 1, 0, OP_UPDATE, 0, TGK, 0, LATER, OP_RESTORE, 0, 60, OP_DELIVER, 0, 1, 0, OP_RESTORE, 1, 0,
          OP_GO_ON, 1, NO_KEYS, 0, OP_RESTORE, 0, 0, OP_UPDATE, 1, TGK, 0, 0, OP_UPDATE, 0, TGK, 0, 0);
    /* measured, and with too little room in bundles and buffers */
    for (uint8_t size = 8; size < 200; size = (uint8_t)(size + 32))
        STORY(0, OP_TICKET, 0, flags, FOR_BOTH, TWO, OP_OFFER, 64, 0, TWO, SMALL, size, OP_RING, 0, BOB_0, TWO, SMALL,
              size, OP_RING, 0, BOB_1, TWO, SMALL, size, OP_UPDATE, 0, 6, size, 0, OP_UPDATE, 1, TWO, 7, 0, OP_UPDATE,
              2, TWO, MEASURED, 0, OP_GO_ON, 0, 6, MEASURED | SHORT, OP_ERROR, 0, 192, MEASURED | SHORT, 0);
    /* cut, changed, exchanged, spliced */
    for (uint8_t at = 1; at < 5; at++) {
        const uint8_t octet = (uint8_t)(255 - at), payload = (uint8_t)(2 + 4 * at), behind = (uint8_t)(16 * at);
        STORY(0, OP_TICKET, 0, flags, FOR_BOTH, TGK, OP_CHANGE, 1, 255, octet, 1, OP_DELIVER, 0, 0, 0, OP_OFFER, 0, 0,
              TGK, 0, 0, OP_CHANGE, 0, 255, octet, 1, OP_RING, 0, BOB_1, NO_KEYS, 0, 0, OP_DELIVER, 1, 1, 0, OP_CUT, 0,
              at, OP_DELIVER, 0, 0, 0, OP_EXCHANGE, 0, 1, at, payload, OP_DELIVER, 0, 0, 0, OP_SPLICE, 0, 2, 0, behind,
              OP_DELIVER, 0, 0, 0);
    }
    /* the KMS again and again */
    STORY(0, OP_TICKET, 0, flags, FOR_BOTH, TGK, OP_DELIVER, 1, 1, 0, OP_DELIVER, 1, 0, 0, OP_DELIVER, 0, 0, 0,
          OP_OFFER, 0, 0, NO_KEYS, 0, 0, OP_RING, 0, BOB_1, NO_KEYS, 0, 0, OP_DELIVER, 2, 3, 0, OP_DELIVER, 1, 3, 0,
          OP_DELIVER, 1, 0, 0, OP_RING, 0, BOB_1, NO_KEYS, 0, 0, OP_ERROR, 4, 0, 0, 3, OP_ERROR, 4, 0, 0, 3, OP_DELIVER,
          0, 0, 0);
    /* clocks that are ahead, behind, and tick */
    STORY(0, OP_CLOCK, 0, 4, OP_CALL, flags, FOR_BOTH, 0, TGK_AND_TGK, OP_UPDATE, 0, TGK, 0, 0, OP_UPDATE, 1, TGK, 0, 0,
          OP_CLOCK, 2, 70, OP_UPDATE, 0, TGK, 0, 0, OP_CLOCK, 7, 130, OP_UPDATE, 2, TGK, 0, 0, OP_UPDATE, 1, TGK, 0, 0,
          OP_CLOCK, 7, 5, OP_DELIVER, 3, 2, 0, OP_CLOCK, 7, 69, OP_DELIVER, 4, 2, 0, OP_RING, 0, CAROL_0, NO_KEYS, 0,
          0);
}

/* What a host says of a member of the group that was called, of an Initiator without a name, of a ticket of its own. */
static void save_hosts(uint8_t flags)
{
    static const uint8_t no[] = {KNOWS_NONE | DENIES, KNOWS_NONE | UNASKED, DENIES, KNOWS_NONE, UNASKED, 0};
    for (size_t i = 0; i < sizeof no; i++) {
        STORY(0, OP_TICKET, 0, flags, FOR_TEAM, TGK, OP_OFFER, 0, 1, NO_KEYS, 0, 0, OP_RING, 0, BOB_1, NO_KEYS, SILENT,
              0, OP_ANSWER, 0, TGK, 0, OP_DELIVER, 0, 1, no[i], OP_DELIVER, 0, 1, 0, OP_UPDATE, 0, TGK, 0, 0, OP_UPDATE,
              1, TGK, 0, 0);
        STORY(0, OP_TICKET, 0, flags, FOR_TEAM, TGK | WITHOUT_INITIATOR, OP_OFFER, 0, 0, NO_KEYS, 0, 0, OP_RING,
              (uint8_t)(4 * no[i]), BOB_0, TGK, 0, 0, OP_RING, 0, BOB_1, TGK, 0, 0, OP_UPDATE, 0, TGK, 0, 0);
    }
    /* Mallory asks for a ticket in nobody's name, and calls in Alice's */
    STORY(0, OP_TICKET, 3, flags, FOR_BOTH, TGK | WITHOUT_INITIATOR, OP_OFFER, 0, 0, NO_KEYS, LIE, 0, OP_RING, 0, BOB_1,
          TGK, 0, 0, OP_UPDATE, 0, TGK, 0, 0);
    for (uint8_t without = 0; without <= (WITHOUT_N | WITHOUT_O); without = (uint8_t)(without + WITHOUT_N))
        for (uint8_t caller = 0; caller < 3;
             caller = (uint8_t)(caller + 2)) /* from the one device of Alice or the other */
            STORY(TYPE_2, OP_CALL, flags, FOR_BOTH | OF_TYPE_2 | without, caller, TGK_AND_TGK, OP_UPDATE, 0, TGK, 0, 0,
                  OP_UPDATE, 2, TGK, 0, 0, OP_CHANGE, 2, 0, 99, 1, OP_OPEN, DEVICES + BOB_0, 0, 0, OP_DELIVER, 0, 0, 0);
    /* Error messages about what the KMS answered */
    STORY(0, OP_TICKET, 0, flags, FOR_BOTH, TGK, OP_ERROR, 0, 10, 128, 0, OP_DELIVER, 0, 1, 0, OP_OFFER, 0, 0, NO_KEYS,
          0, 0, OP_RING, 0, BOB_1, NO_KEYS, SILENT, 0, OP_ERROR, 0, 10, 128, 0, OP_ERROR, 0, 192, 0, 0);
}

int main(int argc, char **argv)
{
    static const uint8_t flags[] = {
        TICKET_F | TICKET_J | TICKET_L | TICKET_M,
        TICKET_F | TICKET_G | TICKET_J | TICKET_L | TICKET_M,
        TICKET_F | TICKET_I | TICKET_J | TICKET_L | TICKET_M,
        TICKET_F | TICKET_G | TICKET_I | TICKET_J | TICKET_L | TICKET_M,
        TICKET_J | TICKET_L,
        TICKET_F | TICKET_L | TICKET_M | TICKET_ENDS,
    };
    static const uint8_t worlds[] = {0, ONE_CACHE, ONE_CACHE | NO_SCOPES, NO_CACHE};
    char path[4096];
    if (argc != 2) {
        fprintf(stderr, "usage: seed-model FOLDER\n");
        return 2;
    }
    folder = argv[1];
    snprintf(path, sizeof path, "%s/model", folder);
    mkdir(path, 0777);
    for (size_t f = 0; f < sizeof flags; f++) {
        for (size_t w = 0; w < sizeof worlds; w++)
            save_calls(worlds[w], flags[f]);
        save_mallory(flags[f]);
        save_others(flags[f]);
        save_hosts(flags[f]);
    }
    return 0;
}
