/* SPDX-License-Identifier: BSD-3-Clause */
/* Asks the KMS over HTTP, by Sofia-SIP's nth: nothing waits. */
#ifndef EXAMPLES_SIP_KMS_H
#define EXAMPLES_SIP_KMS_H

#include <mikeyticket.h>

struct nth_engine_s;

/* A question to the KMS. Zeros: none was asked. */
struct question {
    void *request;
    void (*answered)(void *user, struct mkt_span answer);
    void *user;
};

/* Posts a message to the URL of a KMS; `type` is what HTTP calls the exchange. `answered` is called once, from the
   event loop, with the MIKEY message that came. It is empty if none came within 5 s. Returns false if the question
   can't be asked. */
bool kms_ask(struct question *question, struct nth_engine_s *http, const char *kms, const char *type,
             struct mkt_span message);

/* Forgets a question: `answered` is not called any more. */
void kms_forget(struct question *question);

#endif
