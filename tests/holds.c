/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looks for keys in the memory of processes, as octets and as hex digits in lower case.
 *
 *     holds PID... <HEX-KEYS
 *
 * Standard input has a key on each line. Prints each key that is found, with the process. Exit status 0: at least one is
 * found; 1: none; 2: the memory can't be read.
 */
#define _GNU_SOURCE /* memmem */

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_KEYS = 64, MAX_HEX = 128, BLOCK = 1 << 20 };

static char hex[MAX_KEYS][MAX_HEX + 2];
static unsigned char octets[MAX_KEYS][MAX_HEX / 2];
static size_t n_keys;
static bool found;

static void read_keys(void)
{
    while (n_keys < MAX_KEYS && fgets(hex[n_keys], sizeof hex[n_keys], stdin) != NULL) {
        char *text = hex[n_keys];
        text[strcspn(text, "\n")] = '\0';
        for (size_t i = 0; i < strlen(text) / 2; i++) {
            unsigned octet;
            if (sscanf(text + 2 * i, "%2x", &octet) != 1)
                exit(2);
            octets[n_keys][i] = (unsigned char)octet;
        }
        n_keys += text[0] != '\0';
    }
}

static void look(const char *block, size_t n, const char *pid, const char *map)
{
    for (size_t i = 0; i < n_keys; i++) {
        const size_t length = strlen(hex[i]);
        if (memmem(block, n, octets[i], length / 2) == NULL && memmem(block, n, hex[i], length) == NULL)
            continue;
        printf("%s has %s in %s", pid, hex[i], map);
        found = true;
    }
}

/* Blocks overlap, so that a key at the end of one is whole in the next. */
static void look_in(int memory, unsigned long from, unsigned long to, const char *pid, const char *map)
{
    static char block[BLOCK + MAX_HEX];
    for (unsigned long at = from; at < to; at += BLOCK) {
        const size_t most = to - at < sizeof block ? to - at : sizeof block;
        const ssize_t got = pread(memory, block, most, (off_t)at);
        if (got > 0)
            look(block, (size_t)got, pid, map);
    }
}

static bool look_at(const char *pid)
{
    char name[64], line[512], mode[8];
    unsigned long from, to;
    snprintf(name, sizeof name, "/proc/%s/mem", pid);
    const int memory = open(name, O_RDONLY);
    snprintf(name, sizeof name, "/proc/%s/maps", pid);
    FILE *maps = fopen(name, "r");
    if (memory < 0 || maps == NULL)
        return false;
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 && strncmp(mode, "rw", 2) == 0)
            look_in(memory, from, to, pid, line);
    }
    fclose(maps);
    close(memory);
    return true;
}

int main(int argc, char **argv)
{
    read_keys();
    for (int i = 1; i < argc; i++) {
        if (!look_at(argv[i]))
            return 2;
    }
    return found ? 0 : 1;
}
