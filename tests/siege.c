/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What tests/siege.sh needs to besiege a KMS over HTTP.
 *
 *     siege request --users FILE --as URI [OPTIONS] [URL]    REQUEST_INITs of a user of the KMS
 *     siege post URL TYPE FILE N                             one message, N times
 *     siege damage --users FILE --as URI IN OUT              a RESOLVE_INIT with a damaged ticket and the right MAC
 *     siege slow SOURCE IP PORT N                            N connections that send an octet now and then
 *
 * Options of `request`: --times N (each message is a new one); --out FILE (the last one is kept); --ago SECONDS (made
 * so long ago); --from SECONDS, --until SECONDS (validity asked for, from now on; without them none is); --claim URI
 * (an IDRr of somebody else in place of the IDRi); --key-of URI (the MAC is by the key of another user).
 *
 * Messages are posted on one connection. A line is printed for each HTTP status, with how often it came, and one for
 * the last ticket that was granted: its validity from now on, and K if the KMS changed what was asked for. Exit status
 * 1 if an answer did not come, or is not right.
 */
#define _DEFAULT_SOURCE /* getopt_long, usleep, explicit_bzero */

#include "../examples/http.h"
#include "../examples/users.h"

#include "protect.h"

#include <mikeyticket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_OCTETS = 65536, TIMEOUT_MS = 10000, STATUSES = 600 };

static const char kms_id[] = "http://kms.example.com";

struct siege {
    const char *as, *claim, *key_of, *out;
    unsigned long times;
    int64_t ago, from, until;
    bool has_from, has_until;
    struct users users;
    struct mkt_credential credential;
    struct mkt_host host;
    struct http http;
    unsigned long status[STATUSES]; /* how often each came */
};

static bool complain(const char *what, const char *why)
{
    fprintf(stderr, "siege: %s: %s\n", what, why);
    return false;
}

static bool good(const char *what, enum mkt_err err)
{
    return err == MKT_OK || complain(what, mkt_err_name(err));
}

static bool number(int64_t *n, const char *text)
{
    char *end;
    *n = strtoll(text, &end, 10);
    return (*text != '\0' && *end == '\0') || complain(text, "not a number");
}

static bool write_file(const char *name, struct mkt_span octets)
{
    FILE *out = fopen(name, "wb");
    bool kept = out != NULL && fwrite(octets.p, 1, octets.n, out) == octets.n;
    if (out != NULL)
        kept = fclose(out) == 0 && kept;
    return kept || complain(name, "can't be written");
}

static bool read_file(const char *name, struct mkt_buf *to)
{
    FILE *in = fopen(name, "rb");
    if (in != NULL) {
        to->n = fread(to->p, 1, to->cap, in);
        fclose(in);
    }
    return (in != NULL && to->n > 0) || complain(name, "can't be read");
}

/* ---- messages ---- */

/* The clock of a user whose messages are as old as the test says. */
static enum mkt_err now(void *user, mkt_ntp *at)
{
    const struct siege *siege = user;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    *at = mkt_ntp_from_unix(t.tv_sec - siege->ago) | ((uint64_t)t.tv_nsec << 32) / 1000000000;
    return MKT_OK;
}

/* Puts the MAC into a message that was changed: its key is that of the user, and it covers both identities. */
static bool seal(const struct siege *siege, struct mkt_span octets, uint8_t *mac)
{
    struct mkt_message m;
    struct mkt_protection by_psk = {.key = siege->credential.psk, .label = {.purpose = MKT_PURPOSE_INITIAL}};
    if (!good("sealed", mkt_message_decode(&m, octets)) || !good("sealed", mkt_suite_of_prf(m.hdr.prf, &by_psk.suite)))
        return false;
    const struct mkt_payload *randi = mkt_message_find(&m, MKT_RANDR, MKT_RANDR_I);
    const struct mkt_payload *randr = mkt_message_find(&m, MKT_RANDR, MKT_RANDR_R);
    by_psk.label.csb_id = m.hdr.csb_id;
    by_psk.label.randi = randi != NULL ? randi->rand.rand : (struct mkt_span){NULL, 0};
    by_psk.label.randr = randr != NULL ? randr->rand.rand : (struct mkt_span){NULL, 0};
    const struct mkt_span parts[] = {
        {octets.p, (size_t)(mac - octets.p)}, mkt_span_text(siege->as), mkt_span_text(kms_id)};
    return good("MAC", mkt_protect_seal(&by_psk, NULL, parts, 3, mac));
}

/* A message that names somebody else as the Responder. */
static bool claim(const struct siege *siege, struct mkt_buf *message)
{
    uint8_t octets[MAX_OCTETS];
    struct mkt_buf out = {octets, sizeof octets, 0};
    struct mkt_message m;
    if (!good("claim", mkt_message_decode(&m, (struct mkt_span){message->p, message->n})))
        return false;
    m.payload[m.n] = m.payload[m.n - 1];
    m.payload[m.n - 1] = (struct mkt_payload){.type = MKT_IDR, .id = mkt_id_uri(siege->claim)};
    m.payload[m.n++ - 1].id.role = MKT_IDR_R;
    const size_t mac = m.payload[m.n - 1].v.mac.n;
    if (!good("claim", mkt_message_encode(&m, &out)) ||
        !seal(siege, (struct mkt_span){octets, out.n}, octets + out.n - mac))
        return false;
    memcpy(message->p, octets, out.n);
    message->n = out.n;
    return true;
}

/* The bundle stays, to take the answer. */
static bool make_request_init(struct siege *siege, struct mkt_csb **csb, struct mkt_buf *message)
{
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri(siege->as));
    struct mkt_policy policy = mkt_policy_default(MKT_SUITE_256);
    const struct mkt_request request = {.size = sizeof request, .policy = &policy};
    const int64_t at = (int64_t)time(NULL) - siege->ago;
    settings.kms = &siege->credential;
    settings.leave_out_identities = siege->claim != NULL;
    policy.flags |= MKT_FLAG_D;
    policy.responder[policy.n_responders++] = mkt_id_uri("sip:bob@example.com");
    policy.has_start = siege->has_from;
    policy.start = mkt_ntp_from_unix(at + siege->from);
    policy.has_end = siege->has_until;
    policy.end = mkt_ntp_from_unix(at + siege->until);
    siege->host = (struct mkt_host){.size = sizeof(struct mkt_host), .user = siege, .now = now};
    message->n = 0;
    return good("REQUEST_INIT", mkt_csb_new(csb, MKT_INITIATOR, &siege->host, &settings)) &&
           good("REQUEST_INIT", mkt_csb_make_request_init(*csb, &request, message)) &&
           (siege->claim == NULL || claim(siege, message));
}

/* Bits of the Ticket Data change, and the MAC is made anew. */
static bool damage(struct siege *siege, const char *from, const char *to)
{
    uint8_t octets[MAX_OCTETS];
    struct mkt_buf message = {octets, sizeof octets, 0};
    struct mkt_message m;
    if (!read_file(from, &message))
        return false;
    const struct mkt_span whole = {octets, message.n};
    if (!good(from, mkt_message_decode(&m, whole)))
        return false;
    const struct mkt_payload *ticket = mkt_message_find(&m, MKT_TICKET, 0);
    if (ticket == NULL || ticket->ticket.ticket_data.n == 0)
        return complain(from, "there is no ticket in it");
    octets[ticket->ticket.ticket_data.p + ticket->ticket.ticket_data.n - 1 - octets] ^= 1;
    return seal(siege, whole, octets + message.n - m.payload[m.n - 1].v.mac.n) && write_file(to, whole);
}

/* ---- posts ---- */

static bool post(struct siege *siege, const char *url, const char *type, struct mkt_span message,
                 struct mkt_buf *answer)
{
    answer->n = 0;
    if (!http_post(&siege->http, url, type, message, TIMEOUT_MS, answer))
        return complain(type, siege->http.error);
    siege->status[siege->http.status >= 0 && siege->http.status < STATUSES ? siege->http.status : 0]++;
    return true;
}

static void tell(const struct siege *siege)
{
    for (size_t i = 0; i < STATUSES; i++)
        if (siege->status[i] > 0)
            printf("%zu: %lu\n", i, siege->status[i]);
}

static bool tell_ticket(struct mkt_csb *csb, struct mkt_span answer)
{
    struct mkt_ticket *ticket = NULL;
    struct mkt_policy policy;
    if (!good("REQUEST_RESP", mkt_csb_take(csb, answer)) || !good("ticket", mkt_csb_take_ticket(csb, &ticket)) ||
        !good("ticket", mkt_ticket_policy(ticket, &policy)))
        return false;
    const uint64_t at = mkt_ntp_from_unix((int64_t)time(NULL)) >> 32;
    printf("granted:");
    if (policy.has_start)
        printf(" from %ld", (long)((int64_t)(policy.start >> 32) - (int64_t)at));
    if (policy.has_end)
        printf(" until %ld", (long)((int64_t)(policy.end >> 32) - (int64_t)at));
    printf("%s\n", (policy.flags & MKT_FLAG_K) != 0 ? " K" : "");
    mkt_ticket_free(ticket);
    return true;
}

static bool request(struct siege *siege, const char *url)
{
    static uint8_t octets[MAX_OCTETS], answered[MAX_OCTETS];
    struct mkt_buf message = {octets, sizeof octets, 0}, answer = {answered, sizeof answered, 0};
    bool done = true;
    for (unsigned long i = 0; i < siege->times && done; i++) {
        struct mkt_csb *csb = NULL;
        const struct mkt_span sent = {octets, 0};
        done = make_request_init(siege, &csb, &message);
        if (done && url != NULL)
            done = post(siege, url, "ticketrequest", (struct mkt_span){sent.p, message.n}, &answer);
        /* the answer to a message that was changed is not for this bundle */
        if (done && url != NULL && siege->claim == NULL && i + 1 == siege->times && siege->http.status == 200)
            done = tell_ticket(csb, (struct mkt_span){answer.p, answer.n});
        mkt_csb_free(csb);
    }
    return done && (siege->out == NULL || write_file(siege->out, (struct mkt_span){octets, message.n}));
}

static bool post_again(struct siege *siege, const char *url, const char *type, const char *file, int64_t times)
{
    static uint8_t octets[MAX_OCTETS], answered[2 * MAX_OCTETS];
    struct mkt_buf message = {octets, sizeof octets, 0}, answer = {answered, sizeof answered, 0};
    bool done = read_file(file, &message);
    for (int64_t i = 0; i < times && done; i++)
        done = post(siege, url, type, (struct mkt_span){octets, message.n}, &answer);
    return done;
}

/* ---- slow clients ---- */

/* Where they are slow: from the first octet on, after the line of the request, in the body, in a second request. */
enum { WAYS = 4 };
static const char *const fast[WAYS] = {
    "",
    "POST /?requesttype=ticketrequest HTTP/1.1\r\n",
    "POST /?requesttype=ticketrequest HTTP/1.1\r\nHost: kms\r\nContent-Length: 60000\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: kms\r\n\r\n",
};
static const char *const slow[WAYS] = {"POST /?requesttype=ticketrequest&", "X-Slow: ", "",
                                       "POST /?requesttype=ticketrequest HTTP/1.1\r\nX-Slow: "};

struct slow {
    int fd;
    size_t sent; /* octets of `slow`, then any */
};

/* -1 if the KMS takes no more of them. */
static int open_slow(const char *source, const char *ip, const char *port, unsigned way)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, source, &from.sin_addr);
    inet_pton(AF_INET, ip, &to.sin_addr);
    to.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    if (fd >= 0 && bind(fd, (struct sockaddr *)&from, sizeof from) == 0 &&
        connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
        send(fd, fast[way], strlen(fast[way]), MSG_NOSIGNAL) == (ssize_t)strlen(fast[way]))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Sends one octet more; false if the KMS has closed the connection. */
static bool go_on_slowly(struct slow *s, unsigned way)
{
    char answer[1024];
    const char octet = s->sent < strlen(slow[way]) ? slow[way][s->sent] : 'x';
    ssize_t n;
    while ((n = recv(s->fd, answer, sizeof answer, MSG_DONTWAIT)) > 0)
        continue;
    if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
        return false;
    s->sent++;
    return send(s->fd, &octet, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 || errno == EAGAIN || errno == EWOULDBLOCK;
}

/* Prints how many are open when no more are closed for a second, and when none is left. */
static bool be_slow(const char *source, const char *ip, const char *port, int64_t n)
{
    enum { SETTLED = 10, PAUSE_US = 100000 };
    unsigned settled = 0;
    struct slow *all = calloc((size_t)n, sizeof *all);
    size_t left = (size_t)n;
    if (all == NULL)
        return complain("slow", "no memory");
    for (size_t i = 0; i < (size_t)n; i++)
        all[i].fd = open_slow(source, ip, port, i % WAYS);
    while (left > 0) {
        const size_t before = left;
        left = 0;
        for (size_t i = 0; i < (size_t)n; i++) {
            if (all[i].fd >= 0 && !go_on_slowly(&all[i], i % WAYS)) {
                close(all[i].fd);
                all[i].fd = -1;
            }
            left += all[i].fd >= 0;
        }
        settled = left == before || settled > SETTLED ? settled + 1 : 0;
        if (settled == SETTLED)
            printf("open: %zu\n", left);
        usleep(PAUSE_US);
    }
    printf("all closed\n");
    free(all);
    return true;
}

/* ---- the program ---- */

static bool options_get(struct siege *siege, const char **users, int argc, char **argv)
{
    static const struct option names[] = {
        {"users", required_argument, NULL, 'u'},  {"as", required_argument, NULL, 'a'},
        {"times", required_argument, NULL, 'n'},  {"out", required_argument, NULL, 'o'},
        {"ago", required_argument, NULL, 'g'},    {"from", required_argument, NULL, 'f'},
        {"until", required_argument, NULL, 't'},  {"claim", required_argument, NULL, 'c'},
        {"key-of", required_argument, NULL, 'k'}, {NULL, 0, NULL, 0},
    };
    int64_t n;
    bool fine = true;
    int c;
    while (fine && (c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'u':
            *users = optarg;
            break;
        case 'a':
            siege->as = optarg;
            break;
        case 'n':
            fine = number(&n, optarg);
            siege->times = (unsigned long)n;
            break;
        case 'o':
            siege->out = optarg;
            break;
        case 'g':
            fine = number(&siege->ago, optarg);
            break;
        case 'f':
            siege->has_from = fine = number(&siege->from, optarg);
            break;
        case 't':
            siege->has_until = fine = number(&siege->until, optarg);
            break;
        case 'c':
            siege->claim = optarg;
            break;
        case 'k':
            siege->key_of = optarg;
            break;
        default:
            fine = false;
            break;
        }
    }
    return fine;
}

/* Whose key is used, and whose name. */
static bool be_user(struct siege *siege, const char *users)
{
    if (users == NULL || siege->as == NULL)
        return complain("usage", "--users and --as are needed");
    const struct mkt_id id = mkt_id_uri(siege->as),
                        key_of = mkt_id_uri(siege->key_of != NULL ? siege->key_of : siege->as);
    if (!users_read(&siege->users, users))
        return false;
    const struct entry *user = users_user(&siege->users, &id), *key = users_user(&siege->users, &key_of);
    if (user == NULL || key == NULL)
        return complain(siege->as, "no user");
    siege->credential = (struct mkt_credential){mkt_id_uri(kms_id), mkt_id_bytes(user->id), {key->key, key->key_n}};
    return true;
}

static bool run(struct siege *siege, int argc, char **argv)
{
    const char *users = NULL, *command = argc > 1 ? argv[1] : "";
    if (argc == 6 && strcmp(command, "slow") == 0) {
        int64_t n;
        return number(&n, argv[5]) && be_slow(argv[2], argv[3], argv[4], n);
    }
    if (argc == 6 && strcmp(command, "post") == 0) {
        int64_t n;
        bool done = number(&n, argv[5]) && post_again(siege, argv[2], argv[3], argv[4], n);
        tell(siege);
        return done;
    }
    if (argc < 2 || !options_get(siege, &users, argc - 1, argv + 1))
        return complain("usage", "see the beginning of tests/siege.c");
    char **words = argv + 1 + optind;
    const int n_words = argc - 1 - optind;
    if (strcmp(command, "damage") == 0 && n_words == 2)
        return be_user(siege, users) && damage(siege, words[0], words[1]);
    if (strcmp(command, "request") != 0 || n_words > 1)
        return complain("usage", "see the beginning of tests/siege.c");
    bool done = be_user(siege, users) && request(siege, n_words == 1 ? words[0] : NULL);
    tell(siege);
    return done;
}

int main(int argc, char **argv)
{
    static struct siege siege = {.times = 1};
    setvbuf(stdout, NULL, _IOLBF, 0);
    bool done = http_open(&siege.http) && run(&siege, argc, argv);
    http_close(&siege.http);
    users_free(&siege.users);
    return done ? 0 : 1;
}
