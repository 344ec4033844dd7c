/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs a fuzz target over the files of folders, so that a corpus is a regression test with any compiler. */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A block of just the size of the file, so that sanitizers see one octet too many. */
static int replay(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        fprintf(stderr, "replay: can't read %s\n", path);
        return 1;
    }
    size_t size = (size_t)ftell(f);
    uint8_t *data = malloc(size);
    rewind(f);
    int failed = (data == NULL && size > 0) || fread(data, 1, size, f) != size;
    if (!failed)
        LLVMFuzzerTestOneInput(data, size);
    free(data);
    fclose(f);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;
    size_t n = 0;
    for (int i = 1; i < argc && !failed; i++) {
        DIR *folder = opendir(argv[i]);
        failed = folder == NULL;
        for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
            if (entry->d_name[0] == '.')
                continue;
            failed |= replay(argv[i], entry->d_name);
            n++;
        }
        if (folder != NULL)
            closedir(folder);
    }
    printf("%zu inputs\n", n);
    return failed || n == 0;
}
