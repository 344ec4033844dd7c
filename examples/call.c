/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* getopt_long, getentropy */

#include "call.h"

#include "text.h"

#include <mbedtls/platform_util.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

bool ok(enum mkt_err err)
{
    if (err == MKT_OK)
        return true;
    fprintf(stderr, "refused: %s %s\n", mkt_err_name(err), mkt_err_text(err));
    return false;
}

bool fail(enum mkt_err err, const char *what)
{
    fprintf(stderr, "refused: %s %s: %s\n", mkt_err_name(err), mkt_err_text(err), what);
    return false;
}

/* Of mbedTLS: its code says more than our MKT_E_TLS. */
static bool fail_tls(int code)
{
    char what[64];
    if (code == 0 || code == MBEDTLS_ERR_SSL_CONN_EOF)
        return fail(MKT_E_TLS, "TCP was closed without close_notify");
    if (code == MBEDTLS_ERR_SSL_TIMEOUT)
        return fail(MKT_E_TLS, "the other end said nothing for 10 s");
    snprintf(what, sizeof what, "mbedTLS error -0x%04x", (unsigned)-code);
    return fail(MKT_E_TLS, what);
}

void call_log(void *user, const struct mkt_log_event *event)
{
    (void)user;
    if (event->detail[0] != '\0')
        fprintf(stderr, "at fault: %s\n", event->detail);
}

/* The command line */

static bool usage(const char *text)
{
    fprintf(stderr, "usage: %s\n", text);
    return false;
}

/* Reads a key, and takes it out of the list of processes. */
static bool key_get(uint8_t *key, size_t cap, size_t *n, char *hex, const char *text)
{
    bool good = text_get_key(hex, key, cap, n);
    mbedtls_platform_zeroize(hex, strlen(hex));
    return good || usage(text);
}

static bool setup_get(struct options *options, const char *name, bool initiator)
{
    for (enum mkt_setup setup = MKT_SETUP_ACTIVE; setup <= MKT_SETUP_ACTPASS; setup++) {
        if (strcmp(name, mkt_setup_name(setup)) == 0 && (initiator || setup != MKT_SETUP_ACTPASS)) {
            options->setup = setup;
            return true;
        }
    }
    return usage(initiator ? "--setup takes actpass, active or passive" : "--setup takes active or passive");
}

static bool choice(bool *second, const char *value, const char *one, const char *two, const char *text)
{
    *second = strcmp(value, two) == 0;
    return *second || strcmp(value, one) == 0 || usage(text);
}

enum { FORK = 256, NO_FORK, KMS, KMS_ID, PSK, PSK_ID, TPK, TPK_ID, CERT, KEY, CA, KMS_CERT };

static const char initiator_usage[] =
    "initiator [--id URI] [--to URI] [--member URI] [--authorise URI] "
    "(--tpk HEX [--tpk-id ID] | --kms URL (--psk HEX [--psk-id ID] | "
    "--cert FILE --key FILE --ca FILE --kms-cert FILE)) [--kms-id URI] [--ticket-type N] [--ticket FILE] "
    "[--suite 256|128] [--flags LETTERS] [--fork|--no-fork] [--media msrp|bfcp] [--setup actpass|active|passive] "
    "[--message TEXT] [--legacy] [--show-keys]";
static const char responder_usage[] =
    "responder [--id URI] [--group URI] [--tpk HEX [--tpk-id ID]] [--kms URL (--psk HEX [--psk-id ID] | "
    "--cert FILE --key FILE --ca FILE --kms-cert FILE)] [--kms-id URI] [--resolved FILE] [--media msrp|bfcp] "
    "[--setup active|passive] [--message TEXT] [--legacy] [--show-keys]; --tpk or --kms is needed";

/* The flags of the ticket policy if no option gives them. With a KMS keys are forked (RFC 6043 12.4). A ticket that the
   Initiator makes with a TPK is one that a Responder can resolve by itself. */
static void default_flags(struct options *options)
{
    options->flags =
        (options->kms != NULL ? mkt_policy_forked(options->suite) : mkt_policy_default(options->suite)).flags;
}

/* A key that is shared with the KMS, or certificates. */
static bool credentials_agree(const struct options *options)
{
    const struct certificate_files *files = &options->files;
    const bool psk = options->credential.psk.n > 0, cert = files->cert != NULL;
    if (cert != (files->key != NULL) || cert != (files->ca != NULL) || cert != (files->kms != NULL))
        return usage("--cert, --key, --ca and --kms-cert go together");
    if (psk && cert)
        return usage("--psk is a key that is shared with the KMS, and --cert takes its place: give one of them");
    if ((options->kms != NULL) != (psk || cert))
        return usage("--kms and --psk go together, or --kms, --cert, --key, --ca and --kms-cert");
    return psk || options->credential.name.data.n == 0 || usage("--psk-id names the key of --psk: give --psk, too");
}

/* What options demand or exclude each other. */
static bool options_agree(const struct options *options, bool initiator)
{
    if (options->tpk_n == 0 && options->kms == NULL)
        return usage("--tpk or --kms is needed");
    if (initiator && options->tpk_n > 0 && options->kms != NULL)
        return usage("with --tpk the ticket is made here, and with --kms it is asked for: give one of them");
    if (options->tpk_n == 0 && options->tpk_id != NULL)
        return usage("--tpk-id names the key of --tpk: give --tpk, too");
    if (!credentials_agree(options))
        return false;
    if (options->id[0] == '\0' || options->to[0] == '\0' || options->credential.kms.data.n == 0 ||
        (options->group != NULL && options->group[0] == '\0') ||
        (options->authorised != NULL && options->authorised[0] == '\0'))
        return usage("an identity can't be empty");
    return strlen(options->text) <= MAX_TEXT ||
           usage("--message takes 2048 octets at most"); /* RFC 4975 5.1: more has to go in chunks */
}

bool options_get(struct options *options, int argc, char **argv, bool initiator)
{
    static const struct option both[] = {
        {"id", required_argument, NULL, 'i'},        {"tpk", required_argument, NULL, TPK},
        {"tpk-id", required_argument, NULL, TPK_ID}, {"kms", required_argument, NULL, KMS},
        {"kms-id", required_argument, NULL, KMS_ID}, {"psk", required_argument, NULL, PSK},
        {"psk-id", required_argument, NULL, PSK_ID}, {"media", required_argument, NULL, 'm'},
        {"setup", required_argument, NULL, 's'},     {"message", required_argument, NULL, 't'},
        {"cert", required_argument, NULL, CERT},     {"key", required_argument, NULL, KEY},
        {"ca", required_argument, NULL, CA},         {"kms-cert", required_argument, NULL, KMS_CERT},
        {"legacy", no_argument, NULL, 'l'},          {"show-keys", no_argument, NULL, 'w'},
    };
    static const struct option initiators[] = {
        {"to", required_argument, NULL, 'r'},        {"member", required_argument, NULL, 'g'},
        {"suite", required_argument, NULL, 'u'},     {"flags", required_argument, NULL, 'f'},
        {"fork", no_argument, NULL, FORK},           {"no-fork", no_argument, NULL, NO_FORK},
        {"ticket", required_argument, NULL, 'k'},    {"ticket-type", required_argument, NULL, 'y'},
        {"authorise", required_argument, NULL, 'a'},
    };
    static const struct option responders[] = {
        {"group", required_argument, NULL, 'g'},
        {"resolved", required_argument, NULL, 'k'},
    };
    struct option names[sizeof both / sizeof *both + sizeof initiators / sizeof *initiators + 1] = {{NULL, 0, NULL, 0}};
    bool second, good = true, has_flags = false;
    uint16_t flags = 0, add = 0, leave_out = 0;
    int c;

    memcpy(names, both, sizeof both);
    memcpy(names + sizeof both / sizeof *both, initiator ? initiators : responders,
           initiator ? sizeof initiators : sizeof responders);
    *options = (struct options){.id = initiator ? "sip:alice@example.com" : "sip:bob@example.com",
                                .to = "sip:bob@example.com",
                                .text = "Hello",
                                .suite = MKT_SUITE_256,
                                .ticket_type = MKT_TICKET_BASE,
                                .stream = MKT_STREAM_MSRP,
                                .setup = MKT_SETUP_ACTPASS,
                                .credential.kms = mkt_id_uri("http://kms.example.com"),
                                .credential.psk.p = options->psk};
    opterr = 0;
    while (good && (c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'i':
            options->id = optarg;
            break;
        case 'r':
            options->to = optarg;
            break;
        case 'g':
            options->group = optarg;
            break;
        case 'a':
            options->authorised = optarg;
            break;
        case 't':
            options->text = optarg;
            break;
        case 'k':
            options->file = optarg;
            break;
        case TPK:
            good = key_get(options->tpk, sizeof options->tpk, &options->tpk_n, optarg,
                           "--tpk takes 16 to 64 octets as hex digits");
            break;
        case TPK_ID:
            options->tpk_id = optarg;
            break;
        case KMS:
            options->kms = optarg;
            good = http_is_url(optarg) || usage("--kms takes a URL that begins with http:// or https://");
            break;
        case KMS_ID:
            options->credential.kms = mkt_id_uri(optarg);
            break;
        case PSK:
            good = key_get(options->psk, sizeof options->psk, &options->credential.psk.n, optarg,
                           "--psk takes 16 to 64 octets as hex digits");
            break;
        case PSK_ID:
            options->credential.name = mkt_id_bytes(optarg);
            break;
        case CERT:
            options->files.cert = optarg;
            break;
        case KEY:
            options->files.key = optarg;
            break;
        case CA:
            options->files.ca = optarg;
            break;
        case KMS_CERT:
            options->files.kms = optarg;
            break;
        case 's':
            good = setup_get(options, optarg, initiator);
            break;
        case 'm':
            good = choice(&second, optarg, "msrp", "bfcp", "--media takes msrp or bfcp");
            options->stream = second ? MKT_STREAM_BFCP : MKT_STREAM_MSRP;
            break;
        case 'u':
            good = choice(&second, optarg, "256", "128", "--suite takes 256 or 128");
            options->suite = second ? MKT_SUITE_128 : MKT_SUITE_256;
            break;
        case 'f':
            has_flags = true;
            good = mkt_flags_parse(&flags, optarg) == MKT_OK || usage("--flags takes letters of flags");
            break;
        case 'y':
            options->ticket_type = (uint16_t)strtoul(optarg, NULL, 10);
            good = (strspn(optarg, "0123456789") == strlen(optarg) && strlen(optarg) < 6 &&
                    strtoul(optarg, NULL, 10) <= UINT16_MAX && options->ticket_type > 0) ||
                   usage("--ticket-type takes a number, such as 2");
            break;
        case FORK: /* RFC 6043 6.10: I implies E and F */
            add = MKT_FLAG_E | MKT_FLAG_F | MKT_FLAG_I;
            leave_out = 0;
            break;
        case NO_FORK:
            add = 0;
            leave_out = MKT_FLAG_E | MKT_FLAG_I;
            break;
        case 'l':
            options->legacy = true;
            break;
        case 'w':
            options->show_keys = true;
            break;
        default:
            good = usage(initiator ? initiator_usage : responder_usage);
            break;
        }
    }
    if (good && optind != argc)
        good = usage("options begin with --, and there is nothing else to say");
    good = good && options_agree(options, initiator);
    if (has_flags)
        options->flags = flags;
    else
        default_flags(options);
    options->flags = (uint16_t)((options->flags | add) & ~leave_out);
    if (!good) {
        mbedtls_platform_zeroize(options->tpk, sizeof options->tpk);
        mbedtls_platform_zeroize(options->psk, sizeof options->psk);
    }
    return good;
}

struct mkt_settings options_settings(const struct options *options)
{
    struct mkt_settings settings;
    mkt_settings_init(&settings, mkt_id_uri(options->id));
    if (options->kms != NULL)
        settings.kms = &options->credential;
    if (options->stream == MKT_STREAM_BFCP)
        settings.application = mkt_span_text("bfcp");
    if (options->files.cert != NULL) {
        settings.public_keys = &options->certificates.keys;
        settings.bundle_size = MKT_CSB_SIZE + MAX_MESSAGE; /* it keeps its message until the KMS has answered */
    }
    return settings;
}

bool options_certificates(struct options *options)
{
    const struct mkt_id id = mkt_id_uri(options->id);
    return options->files.cert == NULL ||
           certificates_open(&options->certificates, &options->files, &id, &options->credential.kms);
}

void options_wipe(struct options *options)
{
    certificates_close(&options->certificates);
    mbedtls_platform_zeroize(options, sizeof *options);
}

/* Time and sockets */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Begins a step, which has 10 s. */
static void begin_step(struct call *call)
{
    call->deadline = now_ms() + DEADLINE_MS;
}

/* Waits until a file descriptor can be read or written; false, without a word, after the deadline. */
static bool wait_for(const struct call *call, int fd, short events)
{
    for (;;) {
        int64_t left = call->deadline - now_ms();
        struct pollfd p = {fd, events, 0};
        int n = left <= 0 ? 0 : poll(&p, 1, (int)left);
        if (n >= 0 || errno != EINTR)
            return n > 0;
    }
}

/* The two that mbedTLS reads and writes with. What poll() promised may be gone again, so they may have to wait twice.
 */
static int tcp_send(void *user, const unsigned char *p, size_t n)
{
    const struct call *call = user;
    while (wait_for(call, call->tcp, POLLOUT)) {
        ssize_t sent = send(call->tcp, p, n, 0);
        if (sent >= 0)
            return (int)sent;
        if (errno != EAGAIN && errno != EINTR)
            return MBEDTLS_ERR_SSL_CONN_EOF;
    }
    return MBEDTLS_ERR_SSL_TIMEOUT;
}

static int tcp_receive(void *user, unsigned char *p, size_t n)
{
    const struct call *call = user;
    while (wait_for(call, call->tcp, POLLIN)) {
        ssize_t got = recv(call->tcp, p, n, 0);
        if (got >= 0)
            return (int)got;
        if (errno != EAGAIN && errno != EINTR)
            return MBEDTLS_ERR_SSL_CONN_EOF;
    }
    return MBEDTLS_ERR_SSL_TIMEOUT;
}

static void close_tcp(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* The deadlines are those of poll(): nothing else may block. */
static int new_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        close_tcp(&fd);
    return fd;
}

bool call_roles(struct call *call)
{
    if (!ok(mkt_setup_roles(call->options->stream, call->offered, call->answered, call->offerer, &call->roles)))
        return false;
    return call->roles.tcp != MKT_END_NONE || fail(MKT_E_ROLE, "the other end wants no connection");
}

bool call_listen(struct call *call, enum mkt_setup setup)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;

    call->port = 9; /* RFC 4145 4.1: the discard port, for a side that is active */
    if (setup == MKT_SETUP_ACTIVE)
        return true;
    call->listener = new_socket();
    if (call->listener < 0 || bind(call->listener, (struct sockaddr *)&address, n) != 0 ||
        listen(call->listener, 1) != 0 || getsockname(call->listener, (struct sockaddr *)&address, &n) != 0)
        return fail(MKT_E_TLS, "can't listen on the loopback address");
    call->port = ntohs(address.sin_port);
    return true;
}

static bool accept_tcp(struct call *call)
{
    if (!wait_for(call, call->listener, POLLIN))
        return fail(MKT_E_TLS, "no TCP connection within 10 s");
    call->tcp = accept(call->listener, NULL, NULL);
    if (call->tcp < 0 || fcntl(call->tcp, F_SETFL, O_NONBLOCK) != 0)
        return fail(MKT_E_TLS, "can't accept the TCP connection");
    close_tcp(&call->listener);
    return true;
}

static bool connect_tcp(struct call *call)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(call->peer_port)};
    int error = 0;
    socklen_t n = sizeof error;

    close_tcp(&call->listener); /* of an offer with actpass */
    call->tcp = new_socket();
    if (call->tcp < 0)
        return fail(MKT_E_TLS, "no socket");
    if (connect(call->tcp, (struct sockaddr *)&address, sizeof address) == 0)
        return true;
    if (errno != EINPROGRESS || !wait_for(call, call->tcp, POLLOUT) ||
        getsockopt(call->tcp, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0)
        return fail(MKT_E_TLS, "no TCP connection");
    return true;
}

/* The call */

struct call *call_new(const struct options *options, bool offerer)
{
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        fail(MKT_E_MEMORY, "no memory");
        return NULL;
    }
    call->options = options;
    call->offerer = call->floor_client = offerer;
    call->listener = call->tcp = -1;
    call->line = (struct mkt_buf){(uint8_t *)call->line_octets, sizeof call->line_octets, 0};
    if (!http_open(&call->http)) {
        fail(MKT_E_MEMORY, "no memory for HTTP");
        http_close(&call->http);
        free(call);
        return NULL;
    }
    mbedtls_entropy_init(&call->entropy);
    mbedtls_ctr_drbg_init(&call->drbg);
    mbedtls_ssl_config_init(&call->conf);
    mbedtls_ssl_init(&call->ssl);
    signal(SIGPIPE, SIG_IGN);
    return call;
}

void call_free(struct call *call)
{
    if (call == NULL)
        return;
    mbedtls_ssl_free(&call->ssl);
    mbedtls_ssl_config_free(&call->conf);
    mbedtls_ctr_drbg_free(&call->drbg);
    mbedtls_entropy_free(&call->entropy);
    close_tcp(&call->tcp);
    close_tcp(&call->listener);
    http_close(&call->http);
    mbedtls_platform_zeroize(call->kept, sizeof call->kept);
    free(call);
}

void call_ladder(const struct call *call, const char *arrow, const char *other, struct mkt_span message)
{
    fprintf(stderr, "%s %s %s: %s, %zu octets\n", call->offerer ? "initiator" : "responder", arrow, other,
            mkt_data_type_name(message.n > 1 ? message.p[1] : UINT8_MAX), message.n);
}

void call_ladder_sdp(struct call *call, const char *arrow, const char *other, struct mkt_sdp *sdp, size_t media)
{
    struct mkt_buf message = {call->message, sizeof call->message, 0};
    if (mkt_sdp_key_mgmt_decode(sdp, media, &message) == MKT_OK)
        call_ladder(call, arrow, other, mkt_buf_span(&message));
}

/* The KMS */

void call_report(void *user, const struct mkt_error_message *report)
{
    struct call *call = user;
    const struct mkt_span kms = call->options->credential.kms.data;
    fprintf(stderr, "refused: %s, by %.*s: error %u, %s, %s\n", mkt_data_type_name(call->asked), (int)kms.n,
            (const char *)kms.p, report->number, mkt_err_text(mkt_error_of_number(report->number)),
            report->authenticated ? "authenticated" : "not authenticated: anybody may have sent it");
}

bool call_ask_kms(struct call *call, struct mkt_csb *csb, const char *type, struct mkt_span message)
{
    struct mkt_buf answer = {call->answer, sizeof call->answer, 0};
    char what[CURL_ERROR_SIZE + 64];

    call_ladder(call, "->", "kms", message);
    if (!http_post(&call->http, call->options->kms, type, message, DEADLINE_MS, &answer)) {
        snprintf(what, sizeof what, "no answer from the KMS: %s", call->http.error);
        return fail(MKT_E_MISSING, what);
    }
    if (!call->http.mikey || (call->http.status != 200 && call->http.status != 403)) {
        snprintf(what, sizeof what, "the KMS answered HTTP status %ld%s", call->http.status,
                 call->http.mikey ? "" : ", and no MIKEY message");
        return fail(MKT_E_MISSING, what);
    }
    call_ladder(call, "<-", "kms", mkt_buf_span(&answer));
    call->asked = message.p[1];
    const enum mkt_err err = mkt_csb_take(csb, mkt_buf_span(&answer));
    return mkt_err_class(err) != MKT_CLASS_REPORTED && ok(err); /* call_report() has said so */
}

/* Files */

static bool fail_file(const char *file, const char *what)
{
    fprintf(stderr, "refused: %s: %s: name another file\n", file, what);
    return false;
}

bool call_read_file(const char *file, struct mkt_buf *octets)
{
    FILE *in = fopen(file, "rb");
    if (in == NULL)
        return errno == ENOENT || fail_file(file, strerror(errno));
    setvbuf(in, NULL, _IONBF, 0); /* no copy of what is secret */
    size_t n = fread(octets->p + octets->n, 1, octets->cap - octets->n, in);
    bool good = !ferror(in) && feof(in);
    fclose(in);
    octets->n += n;
    return good || fail_file(file, "too long, or can't be read");
}

bool call_write_file(const char *file, struct mkt_span octets)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    bool good = fd >= 0 && write(fd, octets.p, octets.n) == (ssize_t)octets.n;
    if (fd >= 0)
        good = close(fd) == 0 && good;
    return good || fail_file(file, "can't be written");
}

/* SDP */

bool call_read_sdp(struct call *call)
{
    size_t line = 0; /* where the line begins that is being read */
    char c;

    begin_step(call);
    for (;;) {
        if (!wait_for(call, STDIN_FILENO, POLLIN))
            return fail(MKT_E_MISSING, "no description on standard input within 10 s");
        ssize_t got = read(STDIN_FILENO, &c, 1); /* one by one: what follows the empty line is not ours */
        if (got < 0)
            return fail(MKT_E_MISSING, "can't read standard input");
        if (got == 0)
            break;
        if (call->text_n == sizeof call->text)
            return fail(MKT_E_SDP, "the description is too long");
        call->text[call->text_n++] = c;
        if (c != '\n')
            continue;
        size_t n = call->text_n - line;
        if (n == 1 || (n == 2 && call->text[line] == '\r')) {
            call->text_n = line; /* the empty line ends the text and is no part of it */
            break;
        }
        line = call->text_n;
    }

    bool msrp = call->options->stream == MKT_STREAM_MSRP;
    struct mkt_sdp_media media;
    if (call->text_n == 0)
        return fail(MKT_E_MISSING, "standard input has no description");
    enum mkt_err err = mkt_sdp_parse(&call->sdp, (struct mkt_span){(const uint8_t *)call->text, call->text_n});
    err = err == MKT_OK ? mkt_sdp_media_parse(&call->sdp, 0, &media) : err;
    if (err != MKT_OK)
        return fail(err, "the m= line");
    /* RFC 3264 section 6: an answer has an m= line for each of the offer; these programs answer one */
    if (call->sdp.sections > 1)
        return fail(MKT_E_SDP, "more than one media section, and this program has one stream");
    if (!mkt_span_equal(media.media, mkt_span_text(msrp ? "message" : "application")) ||
        !mkt_span_equal(media.proto, mkt_span_text(msrp ? "TCP/TLS/MSRP" : "TCP/TLS/BFCP")) || media.port == 0)
        return fail(MKT_E_SDP, "the stream is not of the medium that is wanted");
    if (!mkt_span_equal(media.address, mkt_span_text("127.0.0.1")))
        return fail(MKT_E_SDP, "the address is not 127.0.0.1");
    call->peer_port = media.port;
    return true;
}

/* What only the stream's own section has. */
static bool write_media(struct call *call)
{
    char session[17];
    if (!text_draw_id(session))
        return fail(MKT_E_RANDOM, "no random octets");
    if (call->options->stream == MKT_STREAM_MSRP) {
        /* RFC 6135 4.2.2: the real address and port where this side can be connected to; 4.4: no a=connection */
        snprintf(call->path, sizeof call->path, "msrps://127.0.0.1:%u/%s;tcp", call->port, session);
        printf("a=accept-types:text/plain\r\na=path:%s\r\n", call->path);
        return true;
    }
    printf("a=connection:new\r\na=bfcpver:1\r\n");
    if (call->floor_client) {
        printf("a=floorctrl:c-only\r\n");
        return true;
    }
    /* RFC 8856 section 10: the floor control server names the conference, the user and a floor, here of no stream */
    call->conference = (uint32_t)strtoul(session + 8, NULL, 16);
    call->user = 1;
    printf("a=floorctrl:s-only\r\na=confid:%lu\r\na=userid:%u\r\na=floorid:1\r\n", (unsigned long)call->conference,
           call->user);
    return true;
}

bool call_write_sdp(struct call *call, enum mkt_setup setup)
{
    bool msrp = call->options->stream == MKT_STREAM_MSRP;

    printf("v=0\r\no=- %lld 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n", (long long)time(NULL));
    printf("m=%s %u %s *\r\n", msrp ? "message" : "application", call->port, msrp ? "TCP/TLS/MSRP" : "TCP/TLS/BFCP");
    printf("a=setup:%s\r\n", mkt_setup_name(setup));
    if (!write_media(call))
        return false;
    if (call->line.n > 0)
        printf("%.*s\r\n", (int)call->line.n, call->line_octets);
    printf("\r\n");
    return fflush(stdout) == 0 || fail(MKT_E_BUFFER, "can't write to standard output");
}

/* A number in an attribute of the other's description. */
static bool number_get(struct call *call, const char *name, uint64_t most, uint64_t *number)
{
    struct mkt_span value = {NULL, 0};
    if (!ok(mkt_sdp_attribute(&call->sdp, 0, name, &value)))
        return false;
    if (value.n == 0)
        return fail(MKT_E_MISSING, name);
    *number = 0;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return fail(MKT_E_SDP, name);
        *number = *number * 10 + (uint64_t)(value.p[i] - '0');
        if (*number > most)
            return fail(MKT_E_SDP, name);
    }
    return true;
}

bool call_read_media(struct call *call)
{
    struct mkt_span value = {NULL, 0};
    uint64_t conference, user;

    if (call->options->stream == MKT_STREAM_MSRP) {
        if (!ok(mkt_sdp_attribute(&call->sdp, 0, "path", &value)))
            return false;
        if (value.n == 0 || value.n >= sizeof call->peer_path)
            return fail(MKT_E_MISSING, "no a=path");
        memcpy(call->peer_path, value.p, value.n);
        return true;
    }
    if (!ok(mkt_sdp_attribute(&call->sdp, 0, "floorctrl", &value)))
        return false;
    const bool server = mkt_span_equal(value, mkt_span_text("s-only"));
    if (!server && (call->offerer || !mkt_span_equal(value, mkt_span_text("c-only"))))
        return fail(MKT_E_ROLE, "a=floorctrl gives neither side its role");
    call->floor_client = server;
    if (!server)
        return true;
    if (!number_get(call, "confid", UINT32_MAX, &conference) || !number_get(call, "userid", UINT16_MAX, &user))
        return false;
    call->conference = (uint32_t)conference;
    call->user = (uint16_t)user;
    return true;
}

/* TLS */

bool call_show_keys(const struct call *call, const struct mkt_csb *csb)
{
    uint8_t tek_octets[64], identity_octets[MKT_TLS_MAX_IDENTITY];
    char hex[2 * sizeof tek_octets + 1];
    struct mkt_buf tek = {tek_octets, sizeof tek_octets, 0}, identity = {identity_octets, sizeof identity_octets, 0};

    struct mkt_cs cs;
    if (!call->options->show_keys)
        return true;
    bool good = ok(mkt_csb_session_at(csb, 0, &cs)) && ok(mkt_csb_tek(csb, cs.cs_id, &tek)) &&
                ok(mkt_csb_psk_identity(csb, cs.cs_id, &identity));
    if (good && text_put_hex(hex, sizeof hex, mkt_buf_span(&tek)))
        fprintf(stderr, "tek: %s\npsk-identity: %.*s\n", hex, (int)identity.n, (const char *)identity_octets);
    mbedtls_platform_zeroize(hex, sizeof hex);
    mbedtls_platform_zeroize(tek_octets, sizeof tek_octets);
    return good;
}

bool call_connect(struct call *call, const struct mkt_csb *csb)
{
    struct mkt_cs cs;
    if (!ok(mkt_csb_session_at(csb, 0, &cs)))
        return false;

    begin_step(call);
    if (call->roles.tcp == MKT_END_SERVER ? !accept_tcp(call) : !connect_tcp(call))
        return false;

    struct mkt_tls_settings settings = {.size = sizeof settings,
                                        .end = call->roles.tls,
                                        .profile = call->options->legacy ? MKT_TLS_LEGACY : MKT_TLS_MODERN};
    int code = mbedtls_ctr_drbg_seed(&call->drbg, mbedtls_entropy_func, &call->entropy, NULL, 0);
    if (code != 0)
        return fail_tls(code);
    mbedtls_ssl_conf_rng(&call->conf, mbedtls_ctr_drbg_random, &call->drbg);
    if (!ok(mkt_tls_choose(&call->tls, &settings)) || !ok(mkt_tls_setup(&call->conf, &call->tls, csb, cs.cs_id, &code)))
        return false;
    code = mbedtls_ssl_setup(&call->ssl, &call->conf);
    if (code != 0)
        return fail_tls(code);
    mbedtls_ssl_set_bio(&call->ssl, call, tcp_send, tcp_receive, NULL);

    begin_step(call);
    code = mbedtls_ssl_handshake(&call->ssl);
    if (code != 0)
        return fail_tls(code);
    fprintf(stderr, "tls: %s %s\n", mbedtls_ssl_get_version(&call->ssl), mbedtls_ssl_get_ciphersuite(&call->ssl));
    return true;
}

static bool tls_write(struct call *call, const void *octets, size_t n)
{
    const unsigned char *p = octets;
    while (n > 0) {
        int sent = mbedtls_ssl_write(&call->ssl, p, n);
        if (sent <= 0)
            return fail_tls(sent);
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* Appends what comes next to a buffer. */
static bool tls_read(struct call *call, void *octets, size_t cap, size_t *n)
{
    if (*n == cap)
        return fail(MKT_E_TRAILING, "more octets than the message should have");
    int got = mbedtls_ssl_read(&call->ssl, (unsigned char *)octets + *n, cap - *n);
    if (got <= 0)
        return fail_tls(got);
    *n += (size_t)got;
    return true;
}

/* Whoever sent the 200 OK or the HelloAck closes at once after it: TLS, then TCP. */
static bool hang_up(struct call *call)
{
    int code = mbedtls_ssl_close_notify(&call->ssl);
    close_tcp(&call->tcp);
    return code == 0 || fail_tls(code);
}

/* The other end waits for that. */
static bool wait_for_hang_up(struct call *call)
{
    unsigned char octet;
    int code = mbedtls_ssl_read(&call->ssl, &octet, 1);
    if (code != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        return code > 0 ? fail(MKT_E_TRAILING, "more octets than the message should have") : fail_tls(code);
    close_tcp(&call->tcp);
    return true;
}

/* MSRP */

/* Reads a request or response up to its end-line, "-------" transaction ID "$", which it cuts off. `start` is then what
   follows the transaction ID in its first line. */
static bool msrp_read(struct call *call, char id[33], const char **start)
{
    char end_line[48], *text = call->msrp, *end;
    size_t n = 0;
    for (;;) {
        if (!tls_read(call, text, sizeof call->msrp - 1, &n))
            return false;
        text[n] = '\0';
        if (strstr(text, "\r\n") == NULL)
            continue;
        if (sscanf(text, "MSRP %32[A-Za-z0-9.+%=-]", id) != 1 || text[5 + strlen(id)] != ' ')
            return fail(MKT_E_BAD_VALUE, "not MSRP");
        *start = text + 5 + strlen(id) + 1;
        snprintf(end_line, sizeof end_line, "\r\n-------%s$\r\n", id);
        end = strstr(text, end_line);
        if (end == NULL)
            continue;
        if (end[strlen(end_line)] != '\0')
            return fail(MKT_E_TRAILING, "octets after the end-line");
        *end = '\0';
        return true;
    }
}

/* Whether a message has a header line as it should be. */
static bool has_line(const char *text, const char *name, const char *value)
{
    const char *at = strstr(text, name);
    size_t n = strlen(name), m = strlen(value);
    return at != NULL && strncmp(at + n, value, m) == 0 &&
           memchr("\r;", at[n + m], 3) != NULL; /* or NUL, or ;charset= */
}

/* RFC 4975 7.1: a message in one chunk. Its transaction ID is drawn when the text is there already, so that the
   end-line can't be in it. */
static bool msrp_send(struct call *call, const char *said)
{
    char id[17], message_id[17], reply_id[33], *text = call->msrp;
    const char *start;
    size_t n = strlen(said);

    if (!text_draw_id(id) || !text_draw_id(message_id))
        return fail(MKT_E_RANDOM, "no random octets");
    int length = snprintf(text, sizeof call->msrp,
                          "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %s\r\nByte-Range: 1-%zu/%zu\r\n"
                          "Content-Type: text/plain\r\n\r\n%s\r\n-------%s$\r\n",
                          id, call->peer_path, call->path, message_id, n, n, said, id);
    if (!tls_write(call, text, (size_t)length) || !msrp_read(call, reply_id, &start))
        return false;
    if (strcmp(reply_id, id) != 0 || strncmp(start, "200", 3) != 0 || !has_line(text, "\r\nTo-Path: ", call->path))
        return fail(MKT_E_BAD_VALUE, "the other end did not answer 200 OK");
    fprintf(stderr, "media: MSRP 200 OK\n");
    return wait_for_hang_up(call);
}

/* RFC 4975 7.2 */
static bool msrp_receive(struct call *call)
{
    char id[33], *text = call->msrp, response[2 * MAX_PATH + 256];
    const char *start;

    if (!msrp_read(call, id, &start))
        return false;
    if (strncmp(start, "SEND\r\n", 6) != 0)
        return fail(MKT_E_BAD_VALUE, "no MSRP SEND");
    /* RFC 4975 5.4: an active end that has nothing to say sends a SEND without content */
    char *body = strstr(text, "\r\n\r\n");
    if (body != NULL) {
        *body = '\0';
        body += 4;
    }
    if (!has_line(text, "\r\nTo-Path: ", call->path) || !has_line(text, "\r\nFrom-Path: ", call->peer_path) ||
        (body != NULL && !has_line(text, "\r\nContent-Type: ", "text/plain")))
        return fail(MKT_E_BAD_VALUE, "the MSRP SEND is not for this session");
    int length = snprintf(response, sizeof response, "MSRP %s 200 OK\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n",
                          id, call->peer_path, call->path, id);
    if (!tls_write(call, response, (size_t)length))
        return false;
    for (char *c = body; c != NULL && *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?'; /* a terminal gets no control characters from the network */
    }
    fprintf(stderr, "media: MSRP SEND %s\n", body != NULL ? body : "without content");
    return hang_up(call);
}

/* BFCP */

enum { HELLO = 11, HELLO_ACK = 12, SUPPORTED_ATTRIBUTES = 10, SUPPORTED_PRIMITIVES = 11, HEADER = 12 };

/* RFC 8855 5.1: version 1, and the length of what follows in units of 4 octets */
static void bfcp_header(const struct call *call, uint8_t *p, uint8_t primitive, uint8_t units, const uint8_t id[2])
{
    const uint8_t header[HEADER] = {1 << 5,
                                    primitive,
                                    0,
                                    units,
                                    (uint8_t)(call->conference >> 24),
                                    (uint8_t)(call->conference >> 16),
                                    (uint8_t)(call->conference >> 8),
                                    (uint8_t)call->conference,
                                    id[0],
                                    id[1],
                                    (uint8_t)(call->user >> 8),
                                    (uint8_t)call->user};
    memcpy(p, header, HEADER);
}

/* Reads a message and checks its header; the flags of the first octet have no meaning over TCP. `n` is its length. */
static bool bfcp_read(struct call *call, uint8_t *p, size_t cap, uint8_t primitive, size_t *n)
{
    uint8_t want[HEADER];
    size_t whole = HEADER;
    *n = 0;
    while (*n < whole) {
        if (!tls_read(call, p, cap < whole ? cap : whole, n))
            return false;
        if (*n >= HEADER)
            whole = HEADER + 4 * ((size_t)p[2] << 8 | p[3]);
    }
    bfcp_header(call, want, primitive, 0, p + 8);
    if (p[0] >> 5 != 1 || p[1] != primitive || memcmp(p + 4, want + 4, HEADER - 4) != 0)
        return fail(MKT_E_BAD_VALUE,
                    primitive == HELLO ? "no BFCP Hello for this conference" : "no BFCP HelloAck for this conference");
    return true;
}

/* RFC 8855 5.2: whether an attribute is a list with that entry; answers where the next attribute begins, 0 if not */
static size_t bfcp_list(const uint8_t *p, size_t n, size_t at, uint8_t type, uint8_t entry)
{
    if (n - at < 4 || p[at] >> 1 != type || p[at + 1] < 2 || p[at + 1] > n - at)
        return 0;
    size_t length = p[at + 1];
    if (memchr(p + at + 2, entry, length - 2) == NULL)
        return 0;
    return at + (length + 3) / 4 * 4;
}

/* RFC 8855 5.3.11 */
static bool bfcp_hello(struct call *call)
{
    uint8_t id[2] = {0}, p[512];
    size_t n;

    while (id[0] == 0 && id[1] == 0) { /* section 8: a transaction ID is not 0 */
        if (getentropy(id, sizeof id) != 0)
            return fail(MKT_E_RANDOM, "no random octets");
    }
    bfcp_header(call, p, HELLO, 0, id);
    if (!tls_write(call, p, HEADER) || !bfcp_read(call, p, sizeof p, HELLO_ACK, &n))
        return false;
    if (memcmp(p + 8, id, sizeof id) != 0)
        return fail(MKT_E_BAD_VALUE, "the BFCP HelloAck is for another transaction");
    size_t next = bfcp_list(p, n, HEADER, SUPPORTED_PRIMITIVES, HELLO);
    if (next == 0 || bfcp_list(p, n, next, SUPPORTED_ATTRIBUTES, SUPPORTED_ATTRIBUTES << 1) == 0)
        return fail(MKT_E_MISSING, "the BFCP HelloAck lacks its lists");
    fprintf(stderr, "media: BFCP HelloAck\n");
    return wait_for_hang_up(call);
}

/* RFC 8855 5.3.12: the lists say what this server knows, which is not much */
static bool bfcp_hello_ack(struct call *call)
{
    static const uint8_t lists[] = {
        SUPPORTED_PRIMITIVES << 1, 4, HELLO, HELLO_ACK, SUPPORTED_ATTRIBUTES << 1, 4, SUPPORTED_ATTRIBUTES << 1,
        SUPPORTED_PRIMITIVES << 1,
    };
    uint8_t p[512];
    size_t n;

    if (!bfcp_read(call, p, sizeof p, HELLO, &n))
        return false;
    bfcp_header(call, p, HELLO_ACK, sizeof lists / 4, p + 8);
    memcpy(p + HEADER, lists, sizeof lists);
    if (!tls_write(call, p, HEADER + sizeof lists))
        return false;
    fprintf(stderr, "media: BFCP Hello\n");
    return hang_up(call);
}

bool call_talk(struct call *call)
{
    begin_step(call);
    if (call->options->stream == MKT_STREAM_BFCP)
        return call->floor_client ? bfcp_hello(call) : bfcp_hello_ack(call);
    /* RFC 6135 4.2.2: the active party sends at once */
    bool active = call->roles.tcp == MKT_END_CLIENT;
    return active ? msrp_send(call, call->options->text) : msrp_receive(call);
}
