/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a call leaves on the stack: it is made on one of its own, which can be searched then. All of it in the header:
 * for one file of a program, which defines _DEFAULT_SOURCE or _GNU_SOURCE for sigaltstack() first.
 */
#ifndef TESTS_STACK_H
#define TESTS_STACK_H

#include "vector.h"

#include <signal.h>
#include <string.h>

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif
#endif
#ifndef VALGRIND_MAKE_MEM_DEFINED
#define VALGRIND_MAKE_MEM_DEFINED(p, n) ((void)(p), (void)(n))
#define VALGRIND_MAKE_MEM_UNDEFINED(p, n) ((void)(p), (void)(n))
#define VALGRIND_GET_VBITS(p, bits, n) ((void)(p), (void)(bits), (void)(n), 0)
#define RUNNING_ON_VALGRIND 0
#define NO_VALGRIND 1
#else
#define NO_VALGRIND 0
#endif

/* A stack that nobody uses any more is none to read, as sanitizers see it. */
#ifdef __has_attribute
#if __has_attribute(no_sanitize_address)
#define NOT_SANITIZED __attribute__((no_sanitize_address))
#endif
#endif
#ifndef NOT_SANITIZED
#define NOT_SANITIZED
#endif

/* With gcc 13 and later ASan keeps variables elsewhere by default, where they are not looked for. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_stack_use_after_return=0";
}

enum { STACK = 1 << 18 };

static _Alignas(64) uint8_t own_stack[STACK];
static struct {
    void (*act)(void *);
    void *arg;
    const uint8_t *top; /* what was used ends here */
} on_stack;

static inline void handle_on_own_stack(int signal)
{
    (void)signal;
    on_stack.top = __builtin_frame_address(0);
    on_stack.act(on_stack.arg);
    on_stack.act = NULL; /* so that this frame is still there until then */
}

/* A signal that this process sends itself is handled where it says: all that is called from there uses that stack. */
static inline void once_on_own_stack(void (*act)(void *), void *arg)
{
    const stack_t ours = {.ss_sp = own_stack, .ss_size = sizeof own_stack};
    struct sigaction action = {.sa_handler = handle_on_own_stack, .sa_flags = SA_ONSTACK};
    stack_t before;
    on_stack.act = act;
    on_stack.arg = arg;
    memset(own_stack, 0, sizeof own_stack);
    ck_assert_int_eq(sigaltstack(&ours, &before), 0);
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    ck_assert_int_eq(raise(SIGUSR1), 0);
    ck_assert_int_eq(sigaltstack(&before, NULL), 0);
    (void)VALGRIND_MAKE_MEM_DEFINED(own_stack, sizeof own_stack);
    ck_assert(on_stack.top > own_stack && on_stack.top < own_stack + sizeof own_stack);
}

/* What a compiler does not see through. */
static void *(*volatile copy_octets)(void *to, const void *from, size_t n) = memcpy;

/* For a test of the search itself. */
static inline void leave_a_key(void *arg)
{
    uint8_t copy[32];
    copy_octets(copy, arg, sizeof copy);
}

#endif
