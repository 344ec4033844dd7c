/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A SIP user agent on Sofia-SIP with calls that MIKEY-TICKET protects: MSRP over TLS, by the keys of a KMS or of tickets
 * that it makes itself. One thread, and nothing that waits: SIP, HTTP, TLS and standard input are in one event loop.
 *
 * It plays all users of its file, each with the devices that --device names. A line of standard input is a command,
 * and "@3 bye" is one for call 3. A line of standard output is an event. What is here: the command line, and what is
 * not about one call. call.c has the calls, kms.c asks the KMS, media.c has TLS and MSRP.
 */
#define _GNU_SOURCE

#include "agent.h"

#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { REPLAY_MESSAGES = 20000 };

struct options {
    const char *users, *device[MAX_CONTACTS];
    size_t n_devices;
    bool registers;
    unsigned udp_mtu, t1x64;
};

static const char usage[] =
    "agent --users FILE [--device NAME]... [--kms URL] [--kms-id URI] [--proxy SIP-URI] [--register] [--member URI]... "
    "[--setup actpass|active|passive] [--accept] [--early] [--talk TEXT] [--udp-mtu N] [--t1x64 MS] [--show-keys]";

static bool setup_get(enum mkt_setup *setup, const char *name)
{
    for (*setup = MKT_SETUP_ACTIVE; *setup <= MKT_SETUP_ACTPASS; *setup = (enum mkt_setup)(*setup + 1)) {
        if (strcmp(name, mkt_setup_name(*setup)) == 0)
            return true;
    }
    return false;
}

static bool options_get(struct agent *agent, struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"users", required_argument, NULL, 'u'},
        {"device", required_argument, NULL, 'd'},
        {"kms", required_argument, NULL, 'k'},
        {"kms-id", required_argument, NULL, 'i'},
        {"proxy", required_argument, NULL, 'p'},
        {"register", no_argument, NULL, 'r'},
        {"member", required_argument, NULL, 'm'},
        {"setup", required_argument, NULL, 's'},
        {"accept", no_argument, NULL, 'a'},
        {"early", no_argument, NULL, 'e'},
        {"talk", required_argument, NULL, 't'},
        {"udp-mtu", required_argument, NULL, 'n'},
        {"t1x64", required_argument, NULL, 'x'},
        {"show-keys", no_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    bool good = true;
    int c;
    opterr = 0;
    while (good && (c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'u':
            options->users = optarg;
            break;
        case 'd':
            good = options->n_devices < MAX_CONTACTS;
            if (good)
                options->device[options->n_devices++] = optarg;
            break;
        case 'k':
            agent->kms = optarg;
            break;
        case 'i':
            agent->kms_id = optarg;
            break;
        case 'p':
            agent->proxy = optarg;
            break;
        case 'r':
            options->registers = true;
            break;
        case 'm':
            good = agent->n_members < MAX_MEMBERS;
            if (good)
                agent->member[agent->n_members++] = optarg;
            break;
        case 's':
            good = setup_get(&agent->setup, optarg);
            break;
        case 'a':
            agent->accept = true;
            break;
        case 'e':
            agent->early = true;
            break;
        case 't':
            agent->talk = optarg;
            break;
        case 'n':
            options->udp_mtu = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'x':
            options->t1x64 = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'w':
            agent->show_keys = true;
            break;
        default:
            good = false;
            break;
        }
    }
    good = good && optind == argc && options->users != NULL && (agent->proxy != NULL || !options->registers);
    if (!good)
        fprintf(stderr, "usage: %s\n", usage);
    return good;
}

/* ---- users ---- */

/* Makes the agent's location table: each user at each device. */
static bool contacts_make(struct agent *agent, const struct options *options)
{
    for (const struct entry *user = agent->users.first; user != NULL; user = user->next) {
        for (size_t i = 0; !user->tpk && i < options->n_devices; i++) {
            if (agent->n_contacts == MAX_CONTACTS)
                return false;
            struct contact *contact = &agent->contact[agent->n_contacts++];
            struct mkt_buf psk = {contact->psk, sizeof contact->psk, 0};
            const char *name = strchr(user->identity, ':');
            if (name == NULL || users_key(user, &psk) != MKT_OK)
                return false;
            contact->agent = agent;
            contact->user = user;
            contact->device = options->device[i];
            contact->credential = (struct mkt_credential){
                .kms = mkt_id_uri(agent->kms_id), .name = mkt_id_bytes(user->id), .psk = mkt_buf_span(&psk)};
            snprintf(contact->name, sizeof contact->name, "%.*s-%s", (int)strcspn(name + 1, "@"), name + 1,
                     contact->device);
        }
    }
    return agent->n_contacts > 0;
}

static void register_as(struct agent *agent, const struct contact *contact, const char *uri)
{
    nua_handle_t *nh = nua_handle(contact->nua, NULL, SIPTAG_TO_STR(uri), SIPTAG_FROM_STR(uri),
                                  NUTAG_M_USERNAME(contact->name), TAG_END());
    nua_register(nh, NUTAG_REGISTRAR(agent->proxy), NUTAG_OUTBOUND("no-validate no-options-keepalive"), TAG_END());
}

/* Registers each device under the user's identity and under those of its groups. */
static void register_all(struct agent *agent)
{
    for (size_t i = 0; i < agent->n_contacts; i++) {
        const struct contact *contact = &agent->contact[i];
        register_as(agent, contact, contact->user->identity);
        for (size_t j = 0; j < contact->user->n_groups; j++)
            register_as(agent, contact, contact->user->group[j]);
    }
}

/* ---- commands ---- */

static void status(const struct agent *agent)
{
    size_t calls = 0;
    for (unsigned i = 1; i <= agent->last; i++)
        calls += call_find(agent, i) != NULL;
    printf("status: %zu calls, %zu streams, %zu connections, %zu octets\n", calls, media_streams(agent->media),
           media_connections(agent->media), mallinfo2().uordblks);
}

static void command(struct agent *agent, char *line)
{
    unsigned number = 0;
    if (line[0] == '@') {
        number = (unsigned)strtoul(line + 1, &line, 10);
        line += line[0] == ' ';
    }
    char *words = line + strcspn(line, " ");
    if (*words != '\0')
        *words++ = '\0';
    struct call *call = call_find(agent, number);
    if (strcmp(line, "call") == 0)
        call_invite(agent, words);
    else if (strcmp(line, "status") == 0)
        status(agent);
    else if (strcmp(line, "refuse") == 0)
        agent->refuse = (unsigned)strtoul(words, NULL, 10);
    else if (strcmp(line, "quit") == 0)
        call_quit(agent);
    else if (call == NULL || !call_command(call, line, words))
        printf("not done: %s\n", line);
}

/* Reads what standard input has. Its end ends the agent. */
static int read_commands(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *arg)
{
    struct agent *agent = arg;
    char *const text = agent->input, *end;
    (void)magic;
    (void)wait;
    const ssize_t got = read(STDIN_FILENO, text + agent->input_n, MAX_COMMAND - agent->input_n);
    if (got < 0)
        return 0;
    agent->input_n += (size_t)got;
    if (got == 0 || agent->input_n == MAX_COMMAND) {
        call_quit(agent);
        return 0;
    }
    while ((end = memchr(text, '\n', agent->input_n)) != NULL) {
        const size_t used = (size_t)(end - text) + 1;
        *end = '\0';
        command(agent, text);
        agent->input_n -= used;
        memmove(text, end + 1, agent->input_n);
    }
    return 0;
}

/* ---- the program ---- */

static bool listen_as(struct agent *agent, struct contact *contact, const struct options *options)
{
    contact->nua = nua_create(agent->root, call_event, contact, NUTAG_URL("sip:127.0.0.1:*"), NUTAG_MEDIA_ENABLE(0),
                              NUTAG_AUTOACK(0), NUTAG_AUTOANSWER(0), NUTAG_AUTOALERT(0),
                              SIPTAG_SUPPORTED_STR("timer"),    /* 100rel of nua knows one early dialog, not several */
                              NTATAG_UDP_MTU(options->udp_mtu), /* RFC 3261 18.1.1: more goes by TCP */
                              TAG_IF(agent->proxy != NULL, NUTAG_PROXY(agent->proxy)),
                              TAG_IF(options->t1x64 != 0, NTATAG_SIP_T1X64(options->t1x64)),
                              TAG_IF(options->t1x64 != 0, NTATAG_SIP_T4(options->t1x64)), TAG_END());
    if (contact->nua == NULL)
        return false;
    agent->n_running++;
    nua_get_params(contact->nua, TAG_ANY(), TAG_END()); /* the answer has the port */
    return true;
}

static bool start(struct agent *agent, const struct options *options)
{
    su_wait_t wait[1] = {SU_WAIT_INIT};
    const size_t n = mkt_replay_size(REPLAY_MESSAGES);
    agent->cache_memory = malloc(n);
    if (mkt_replay_new(&agent->cache, agent->cache_memory, n) != MKT_OK)
        return false;
    call_host(&agent->host, agent);
    su_root_threading(agent->root, 0);
    agent->media = media_new(agent->root, call_media);
    /* of two requests on one connection, nth can confuse the answers */
    agent->http = nth_engine_create(agent->root, TPTAG_REUSE(0), TAG_END());
    if (agent->media == NULL || agent->http == NULL || su_wait_create(wait, STDIN_FILENO, SU_WAIT_IN) != 0)
        return false;
    for (size_t i = 0; i < agent->n_contacts; i++) {
        if (!listen_as(agent, &agent->contact[i], options))
            return false;
    }
    if (options->registers)
        register_all(agent);
    agent->wait = su_root_register(agent->root, wait, read_commands, agent, 0); /* nua_create() runs the event loop */
    return agent->wait >= 0;
}

/* Runs the event loop until the agent has quit; false if it could not start. */
static bool run(struct agent *agent, const struct options *options)
{
    if (su_init() != 0)
        return false;
    agent->root = su_root_create(NULL);
    const bool started = agent->root != NULL && start(agent, options);
    if (started)
        su_root_run(agent->root);
    while (agent->calls != NULL)
        call_free(agent->calls);
    for (size_t i = 0; i < agent->n_contacts; i++)
        nua_destroy(agent->contact[i].nua);
    nth_engine_destroy(agent->http);
    media_free(agent->media);
    if (agent->wait > 0)
        su_root_deregister(agent->root, agent->wait);
    su_root_destroy(agent->root);
    su_deinit();
    free(agent->cache_memory);
    return started;
}

int main(int argc, char **argv)
{
    static struct agent agent = {.kms_id = "http://kms.example.com", .setup = MKT_SETUP_ACTPASS};
    struct options options = {.udp_mtu = 1300};
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    if (!options_get(&agent, &options, argc, argv))
        return 2;
    if (options.n_devices == 0)
        options.device[options.n_devices++] = "phone";
    const bool good = users_read(&agent.users, options.users) && contacts_make(&agent, &options);
    const bool started = good && run(&agent, &options);
    explicit_bzero(agent.contact, sizeof agent.contact);
    users_free(&agent.users);
    return started ? 0 : 1;
}
