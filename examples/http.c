/* SPDX-License-Identifier: BSD-3-Clause */
#include "http.h"

#include <stdio.h>
#include <string.h>

bool http_is_url(const char *url)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

/* libcurl hands over a part of the body; an answer other than n stops it. */
static size_t take_part(char *part, size_t size, size_t n, void *user)
{
    struct mkt_buf *answer = user;
    n *= size;
    if (n > answer->cap - answer->n)
        return 0;
    memcpy(answer->p + answer->n, part, n);
    answer->n += n;
    return n;
}

bool http_open(struct http *http)
{
    *http = (struct http){.curl = NULL};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return false;
    http->curl = curl_easy_init();
    http->headers = curl_slist_append(NULL, "Content-Type: application/mikey");
    return http->curl != NULL && http->headers != NULL;
}

void http_close(struct http *http)
{
    curl_easy_cleanup(http->curl);
    curl_slist_free_all(http->headers);
    curl_global_cleanup();
}

bool http_post(struct http *http, const char *url, const char *type, struct mkt_span message, long timeout_ms,
               struct mkt_buf *answer)
{
    CURL *curl = http->curl;
    char whole[1024];
    const char *got_type = NULL;
    size_t before = answer->n;

    http->status = 0;
    http->mikey = false;
    http->error[0] = '\0';
    int n = snprintf(whole, sizeof whole, "%s%crequesttype=%s", url, strchr(url, '?') == NULL ? '?' : '&', type);
    if (n < 0 || (size_t)n >= sizeof whole) {
        snprintf(http->error, sizeof http->error, "the URL is too long");
        return false;
    }
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->error);
    curl_easy_setopt(curl, CURLOPT_URL, whole);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, message.p);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)message.n);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_part);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L); /* who redirects is not the KMS that was named */
    CURLcode code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http->status);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &got_type);
    if (code != CURLE_OK) {
        answer->n = before;
        if (code == CURLE_WRITE_ERROR || http->error[0] == '\0')
            snprintf(http->error, sizeof http->error, "%s",
                     code == CURLE_WRITE_ERROR ? "the answer is too long" : curl_easy_strerror(code));
        return false;
    }
    http->mikey = got_type != NULL && strcmp(got_type, "application/mikey") == 0;
    return true;
}
