/* SPDX-License-Identifier: BSD-3-Clause */
/* MIKEY messages to a KMS over HTTP, with libcurl. */
#ifndef EXAMPLES_HTTP_H
#define EXAMPLES_HTTP_H

#include <mikeyticket/span.h>

#include <curl/curl.h>

struct http {
    CURL *curl;
    struct curl_slist *headers;
    char error[CURL_ERROR_SIZE]; /* what went wrong */
    long status;                 /* of the answer */
    bool mikey;                  /* whether it is of type application/mikey */
};

/* Whether a URL is of a scheme that is used here. */
bool http_is_url(const char *url);

/* Makes ready for one KMS after another; false where there is no memory. The caller closes it whatever this answers. */
bool http_open(struct http *http);
void http_close(struct http *http);

/*
 * Posts a message to URL?requesttype=TYPE and appends the body of the answer to a buffer, whatever the status. Whatever
 * does not come within that many milliseconds is a failure: then it answers false, and http->error says why. The
 * connection is kept for the next message.
 */
bool http_post(struct http *http, const char *url, const char *type, struct mkt_span message, long timeout_ms,
               struct mkt_buf *answer);

#endif
