/* SPDX-License-Identifier: Apache-2.0 */
#include "gate.h"

#include "futex.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* Bits of the word. Alone it is all that a thread without company touches. */
enum { INSIDE = 1, QUEUED = 2 };

enum signal { WAIT, TRY, GRANTED };

struct waiter {
    struct waiter *next;
    int64_t since_ns;
    _Atomic uint32_t signal; /* futex; written under the lock */
};

struct xm_gate {
    _Atomic uint32_t word;
    _Atomic uintptr_t holder; /* 0: nobody */
    pthread_mutex_t lock;     /* of the queue, and of the word while QUEUED is set */
    struct waiter *first;
    unsigned refs;
};

struct xm_gate *xm_gate_create(void)
{
    struct xm_gate *gate = calloc(1, sizeof(*gate));

    if (gate == NULL)
        return NULL;
    gate->refs = 1;
    pthread_mutex_init(&gate->lock, NULL);
    return gate;
}

void xm_gate_hold(struct xm_gate *gate)
{
    gate->refs++;
}

void xm_gate_drop(struct xm_gate *gate)
{
    if (--gate->refs > 0)
        return;
    pthread_mutex_destroy(&gate->lock);
    free(gate);
}

static uintptr_t myself(void)
{
    return (uintptr_t)pthread_self();
}

/* Relaxed throughout: a thread can only ever find itself here where it wrote itself. */
static int is_mine(const struct xm_gate *gate)
{
    return atomic_load_explicit(&gate->holder, memory_order_relaxed) == myself();
}

static void set_holder(struct xm_gate *gate, uintptr_t holder)
{
    atomic_store_explicit(&gate->holder, holder, memory_order_relaxed);
}

int xm_gate_try(struct xm_gate *gate)
{
    uint32_t nobody = 0;

    /* Pairs with the releases in xm_gate_leave: what the one before did inside is visible. */
    if (atomic_compare_exchange_strong_explicit(&gate->word, &nobody, INSIDE, memory_order_acquire,
                                                memory_order_relaxed)) {
        set_holder(gate, myself());
        return 0;
    }
    return is_mine(gate) ? -EDEADLK : -EBUSY;
}

static void append(struct xm_gate *gate, struct waiter *waiter)
{
    struct waiter **end = &gate->first;

    while (*end != NULL)
        end = &(*end)->next;
    *end = waiter;
}

static void detach(struct xm_gate *gate, const struct waiter *waiter)
{
    struct waiter **at = &gate->first;

    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
}

/* The lock is held, and with QUEUED nobody but its holder writes the word. */
static void set_word(struct xm_gate *gate, uint32_t inside)
{
    /* Pairs with the acquire in xm_gate_try, and with those in queue and take_turn. */
    atomic_store_explicit(&gate->word, inside | (gate->first != NULL ? QUEUED : 0),
                          memory_order_release);
}

static void signal_first(struct xm_gate *gate, enum signal signal)
{
    /* Pairs with the acquire in await: read again under the lock, it orders nothing else. */
    atomic_store_explicit(&gate->first->signal, signal, memory_order_release);
    xm_futex_wake(&gate->first->signal);
}

/* Enter, or stand in the queue: 1 where inside. The lock is held. */
static int enter_or_queue(struct xm_gate *gate, struct waiter *waiter)
{
    uint32_t word = atomic_load_explicit(&gate->word, memory_order_relaxed);

    for (;;) {
        uint32_t next = word & INSIDE ? INSIDE | QUEUED : word | INSIDE;

        /* Who leaves without having seen QUEUED needs no lock. Pairs with its release. */
        if (atomic_compare_exchange_weak_explicit(&gate->word, &word, next, memory_order_acquire,
                                                  memory_order_relaxed))
            break;
    }
    if (!(word & INSIDE))
        return 1;
    append(gate, waiter);
    return 0;
}

/* Look at the signal: 1 where inside. The lock is held. */
static int take_turn(struct xm_gate *gate, struct waiter *waiter)
{
    /* Pairs with the release in set_word. */
    uint32_t word = atomic_load_explicit(&gate->word, memory_order_acquire);

    if (atomic_load_explicit(&waiter->signal, memory_order_relaxed) == GRANTED)
        return 1;
    if (word & INSIDE) {
        atomic_store_explicit(&waiter->signal, WAIT, memory_order_relaxed);
        return 0;
    }
    detach(gate, waiter);
    set_word(gate, INSIDE);
    return 1;
}

/* Leave the queue. The lock is held. */
static void give_up(struct xm_gate *gate, const struct waiter *waiter)
{
    uint32_t inside = atomic_load_explicit(&gate->word, memory_order_relaxed) & INSIDE;

    detach(gate, waiter);
    set_word(gate, inside);
    /* The signal that this one had, or would have had, is the next one's. */
    if (!inside && gate->first != NULL)
        signal_first(gate, TRY);
}

static int is_set(const _Atomic uint32_t *stop)
{
    /* Pairs with the store in xm_lane_request_stop: a request, it orders nothing. */
    return stop != NULL && atomic_load_explicit(stop, memory_order_relaxed);
}

static int await(struct xm_gate *gate, struct waiter *waiter, int64_t until_ns,
                 const _Atomic uint32_t *stop)
{
    int rc = 0;

    for (;;) {
        int64_t now = xm_clock_mono();
        int64_t next = now + XM_GATE_STOP_NS;
        int is_inside;

        /* Pairs with the release in signal_first. */
        if (atomic_load_explicit(&waiter->signal, memory_order_acquire) == WAIT) {
            rc = is_set(stop) ? -ECANCELED : now >= until_ns ? -ETIMEDOUT : 0;
            if (rc == 0)
                xm_futex_wait(&waiter->signal, WAIT, until_ns < next ? until_ns : next);
        }
        pthread_mutex_lock(&gate->lock);
        is_inside = take_turn(gate, waiter);
        if (!is_inside && rc != 0)
            give_up(gate, waiter);
        pthread_mutex_unlock(&gate->lock);
        if (is_inside)
            return 0;
        if (rc != 0)
            return rc;
    }
}

int xm_gate_enter(struct xm_gate *gate, int64_t until_ns, const _Atomic uint32_t *stop)
{
    struct waiter waiter = {.since_ns = xm_clock_mono()};
    int rc = xm_gate_try(gate);
    int is_inside;

    if (rc != -EBUSY)
        return rc;
    pthread_mutex_lock(&gate->lock);
    is_inside = enter_or_queue(gate, &waiter);
    pthread_mutex_unlock(&gate->lock);
    rc = is_inside ? 0 : await(gate, &waiter, until_ns, stop);
    if (rc == 0)
        set_holder(gate, myself());
    return rc;
}

/* Let the first in the queue in, or let it try where it came just now. The lock is held. */
static void pass_on(struct xm_gate *gate)
{
    struct waiter *first = gate->first;

    if (first == NULL) {
        set_word(gate, 0);
    } else if (xm_clock_mono() - first->since_ns < XM_GATE_PATIENCE_NS) {
        /* Free for whoever comes first: a thread that goes on at once need not sleep each time. */
        set_word(gate, 0);
        signal_first(gate, TRY);
    } else {
        gate->first = first->next;
        set_word(gate, INSIDE);
        atomic_store_explicit(&first->signal, GRANTED, memory_order_release);
        xm_futex_wake(&first->signal);
    }
}

int xm_gate_leave(struct xm_gate *gate)
{
    uint32_t alone = INSIDE;

    if (!is_mine(gate))
        return -EPERM;
    set_holder(gate, 0);
    /* Pairs with the acquire in xm_gate_try and enter_or_queue. */
    if (atomic_compare_exchange_strong_explicit(&gate->word, &alone, 0, memory_order_release,
                                                memory_order_relaxed))
        return 0;
    pthread_mutex_lock(&gate->lock);
    pass_on(gate);
    pthread_mutex_unlock(&gate->lock);
    return 0;
}
