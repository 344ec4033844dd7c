/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes what the fuzzers begin with into folders: `seed FOLDER` fills FOLDER/take-NAME and FOLDER/stored. */
#define _POSIX_C_SOURCE 200809L

#include "scene.h"

#include <stdio.h>
#include <sys/stat.h>

static void save(const char *folder, const char *kind, const char *name, const char *variant, const uint8_t *octets,
                 size_t n)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, kind);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s-%s", folder, kind, name, variant);
    FILE *f = fopen(path, "wb");
    require(f != NULL && fwrite(octets, 1, n, f) == n && fclose(f) == 0);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: seed FOLDER\n");
        return 2;
    }
    for (unsigned i = 0; i < 2u * TAKES; i++) {
        const enum take take = (enum take)(i / 2);
        const char *variant = i % 2 == 0 ? "forked" : "plain";
        struct scene scene;
        uint8_t octets[1 + 8192];
        char kind[64];
        struct mkt_buf out = {octets + 1, sizeof octets - 1, 0};
        scene_open(&scene, take, i % 2 == 0);
        octets[0] = (uint8_t)(i % 2);
        require(scene.message.n < sizeof octets);
        for (size_t k = 0; k < scene.message.n; k++)
            octets[1 + k] = scene.octets[k];
        snprintf(kind, sizeof kind, "take-%s", take_name(take));
        save(argv[1], kind, "right", variant, octets, 1 + scene.message.n);
        require(mkt_csb_put(scene.taker->csb, &out) == MKT_OK);
        octets[0] = (uint8_t)i;
        save(argv[1], "stored", take_name(take), variant, octets, 1 + out.n);
        scene_close(&scene);
    }
    return 0;
}
