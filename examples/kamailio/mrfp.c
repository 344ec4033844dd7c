/* SPDX-License-Identifier: BSD-3-Clause */
#include "mrfp.h"

#include "calls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* An MRFP on the same host answers at once: one that does not is not waited for. */
enum { TIMEOUT_S = 1, MAX_ANSWER = 512 };

char mrfp_fault[160];
static int connection = -1;

static bool fault(const char *text, const char *why)
{
    snprintf(mrfp_fault, sizeof mrfp_fault, "%s: %s", text, why);
    return false;
}

static void hang_up(void)
{
    if (connection >= 0)
        close(connection);
    connection = -1;
}

static bool send_line(const char *line)
{
    const size_t n = strlen(line);
    return send(connection, line, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* Reads one line. There is nothing behind it: this connection gets no events, and commands are sent one by one. */
static bool read_line(char answer[MAX_ANSWER])
{
    size_t n = 0;
    do {
        const ssize_t got = recv(connection, answer + n, MAX_ANSWER - 1 - n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        n += (size_t)got;
    } while (answer[n - 1] != '\n' && n < MAX_ANSWER - 1);
    answer[n - 1] = '\0';
    return true;
}

static bool dial(void)
{
    char answer[MAX_ANSWER];
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(mrfc.mrfp) >= sizeof address.sun_path)
        return false;
    strcpy(address.sun_path, mrfc.mrfp);
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connection >= 0 && setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
           setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) == 0 &&
           connect(connection, (struct sockaddr *)&address, sizeof address) == 0 && send_line("quiet\n") &&
           read_line(answer);
}

/* The connection of before may be to an MRFP that has ended since: then there is a new one. */
static bool is_open(void)
{
    char octet;
    if (connection >= 0 && (recv(connection, &octet, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN))
        hang_up();
    return connection >= 0 || dial();
}

bool mrfp_do(char *command, unsigned *number)
{
    char answer[MAX_ANSWER];
    mrfp_fault[0] = '\0';
    const bool answered = is_open() && send_line(command) && read_line(answer);
    const int error = errno;
    explicit_bzero(command, strlen(command));
    if (!answered) {
        hang_up();
        return fault(mrfc.mrfp, strerror(error));
    }
    const char *last = strrchr(answer, ' ');
    if (strncmp(answer, "ok ", 3) != 0 || (number != NULL && sscanf(last, " %u", number) != 1))
        return fault("the MRFP answers", answer);
    return true;
}
