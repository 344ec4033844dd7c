/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An MRFC for tests/mrfp.sh, which has no SIP: its commands come from standard input.
 *
 *     mrfc SOCKET          sends each line, waits for its answer and prints that; not the events
 *     mrfc SOCKET watch [COMMAND]
 *                          says `watching`, sends a command, and prints what comes until the MRFP is gone
 *     mrfc SOCKET stall    sends `count` until the MRFP takes no more, says `stalled`, waits for the end of its input, and
 *                          then says `answered all` if there is an answer to each
 *
 * Exit status 1 if the MRFP is not there or goes before the last answer.
 */
#define _DEFAULT_SOURCE /* getline, dprintf */

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static int fail(const char *what)
{
    fprintf(stderr, "mrfc: %s\n", what);
    return 1;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    return connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}

static int watch(int fd, FILE *from, const char *command)
{
    char *line = NULL;
    size_t room = 0;
    puts("watching");
    fflush(stdout);
    dprintf(fd, "%s", command);
    while (getline(&line, &room, from) > 0) {
        fputs(line, stdout);
        fflush(stdout);
    }
    free(line);
    return 0;
}

static bool is_event(const char *line)
{
    return strncmp(line, "ok ", 3) != 0 && strncmp(line, "error ", 6) != 0;
}

static int stall(int fd, FILE *from)
{
    static const char count[] = "count\n";
    enum { LENGTH = sizeof count - 1, LINES = 1000 };
    char lines[LINES * LENGTH];
    size_t sent = 0, answered = 0, room = 0;
    char *line = NULL;
    for (size_t i = 0; i < LINES; i++)
        memcpy(lines + i * LENGTH, count, LENGTH);
    /* What is left of a line must be sent before the next one. */
    for (ssize_t n; (n = send(fd, lines + sent % LENGTH, sizeof lines - sent % LENGTH, MSG_DONTWAIT)) > 0;)
        sent += (size_t)n;
    puts("stalled");
    fflush(stdout);
    (void)getchar();
    while (answered < sent / LENGTH && getline(&line, &room, from) > 0)
        answered += !is_event(line);
    free(line);
    printf("answered %s\n", answered == sent / LENGTH ? "all" : "not all");
    return 0;
}

static int ask(int fd, FILE *from)
{
    char *line = NULL, *answer = NULL;
    size_t room = 0, answer_room = 0;
    ssize_t n;
    bool answered = true;
    while (answered && (n = getline(&line, &room, stdin)) > 0) {
        answered = send(fd, line, (size_t)n, 0) == n;
        while (answered && (answered = getline(&answer, &answer_room, from) > 0) && is_event(answer))
            ;
        if (answered)
            fputs(answer, stdout);
        fflush(stdout);
    }
    free(line);
    free(answer);
    return answered ? 0 : fail("no answer");
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return fail("usage: mrfc SOCKET [watch|stall]");
    signal(SIGPIPE, SIG_IGN);
    const int fd = connect_to(argv[1]);
    FILE *from = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (from == NULL)
        return fail("no MRFP");
    const char *what = argc > 2 ? argv[2] : "";
    int status = 0;
    if (strcmp(what, "watch") == 0)
        status = watch(fd, from, argc > 3 ? argv[3] : "");
    else if (strcmp(what, "stall") == 0)
        status = stall(fd, from);
    else
        status = ask(fd, from);
    fclose(from);
    return status;
}
