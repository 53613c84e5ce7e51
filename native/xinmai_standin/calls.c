/* SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct xs_call_slot *slots;
static int file = -1;
/* Whether xs_calls_open has looked; guarded by the lock. */
static int is_decided;
/* Stands for "not counted": of a site without a slot, or where there is no file. */
static struct xs_call_slot nowhere;

static void map_file(void)
{
    const char *path = getenv("XINMAI_STANDIN_CALLS");
    size_t bytes = XS_CALL_SLOTS * sizeof(*slots);
    void *mapped;

    if (path == NULL || *path == '\0')
        return;
    file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0 || ftruncate(file, (off_t)bytes) != 0) {
        fprintf(stderr, "stand-in: XINMAI_STANDIN_CALLS=%s: cannot open it: %m\n", path);
        return;
    }
    mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED)
        slots = mapped;
}

void xs_calls_open(void)
{
    pthread_mutex_lock(&lock);
    if (!is_decided)
        map_file();
    is_decided = 1;
    pthread_mutex_unlock(&lock);
}

/* The slot of that name, made where there is none. Other processes are kept out by the lock. */
static struct xs_call_slot *slot_of(const char *function)
{
    struct xs_call_slot *slot = slots;

    while (flock(file, LOCK_EX) != 0)
        ;
    while (slot < slots + XS_CALL_SLOTS && *slot->function != '\0' &&
           strncmp(slot->function, function, sizeof(slot->function) - 1) != 0)
        slot++;
    if (slot == slots + XS_CALL_SLOTS)
        slot = &nowhere;
    else
        snprintf(slot->function, sizeof(slot->function), "%s", function);
    flock(file, LOCK_UN);
    return slot;
}

void xs_called(struct xs_site *site)
{
    /* Pairs with the release below: whoever sees the slot sees its name written. */
    struct xs_call_slot *slot = atomic_load_explicit(&site->counter, memory_order_acquire);

    if (slot == NULL) {
        pthread_mutex_lock(&lock);
        slot = slots == NULL ? &nowhere : slot_of(site->function);
        /* A site that is called before xs_init looks again the next time. */
        if (is_decided)
            atomic_store_explicit(&site->counter, slot, memory_order_release);
        pthread_mutex_unlock(&lock);
    }
    /* Relaxed: a count that orders nothing. */
    if (slot != &nowhere)
        atomic_fetch_add_explicit(&slot->calls, 1, memory_order_relaxed);
}

void xs_forbidden(const char *function)
{
    const char *path = getenv("XINMAI_STANDIN_VIOLATIONS");
    char text[128];
    int to = -1, bytes = snprintf(text, sizeof(text), "%s\n", function);

    fprintf(stderr, "stand-in: %s would change something; a stand-in only reads\n", function);
    if (path != NULL && *path != '\0')
        to = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (to < 0)
        return;
    if (bytes < (int)sizeof(text) && write(to, text, (size_t)bytes) != bytes)
        fprintf(stderr, "stand-in: XINMAI_STANDIN_VIOLATIONS=%s: cannot write: %m\n", path);
    close(to);
}
