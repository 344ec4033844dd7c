/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* strcasecmp */
#define NTH_CLIENT_MAGIC_T struct question

#include "kms.h"

#include <sofia-sip/http_header.h>
#include <sofia-sip/http_tag.h>
#include <sofia-sip/nth.h>

#include <stdio.h>
#include <strings.h>

enum { TIMEOUT_MS = 5000 };

static int take_answer(struct question *question, nth_client_t *request, const http_t *http)
{
    struct mkt_span answer = {NULL, 0};
    const int status = nth_client_status(request);
    if (status < 200)
        return 0;
    /* 403 has a MIKEY Error message */
    if ((status == 200 || status == 403) && http != NULL && http->http_payload != NULL &&
        http->http_content_type != NULL && strcasecmp(http->http_content_type->c_type, "application/mikey") == 0)
        answer = (struct mkt_span){(const uint8_t *)http->http_payload->pl_data, http->http_payload->pl_len};
    question->request = NULL;
    question->answered(question->user, answer); /* it may free the question */
    nth_client_destroy(request);
    return 0;
}

bool kms_ask(struct question *question, nth_engine_t *http, const char *kms, const char *type, struct mkt_span message)
{
    char whole[512];
    const int n = snprintf(whole, sizeof whole, "%s/?requesttype=%s", kms, type);
    if (n < 0 || (size_t)n >= sizeof whole)
        return false;
    const url_string_t *url = (const void *)whole; /* nth takes a URL as text, too */
    http_payload_t payload;
    http_payload_init(&payload);
    payload.pl_data = (char *)(uintptr_t)message.p; /* nth copies it */
    payload.pl_len = (usize_t)message.n;
    question->request = nth_client_tcreate(
        http, take_answer, question, HTTP_METHOD_POST, url, HTTPTAG_CONTENT_TYPE_STR("application/mikey"),
        HTTPTAG_CONNECTION_STR("close"), HTTPTAG_PAYLOAD(&payload), NTHTAG_EXPIRES(TIMEOUT_MS), TAG_END());
    return question->request != NULL;
}

void kms_forget(struct question *question)
{
    if (question->request != NULL)
        nth_client_destroy(question->request);
    question->request = NULL;
}
