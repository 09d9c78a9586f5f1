/* Work of the host on all of its processors: see parallel.h. */
#include "parallel.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#define HELPERS_MAX 15

typedef struct job {
    int64_t count;
    _Atomic int64_t next;
    void (*work)(void *ctx, int64_t i);
    void *ctx;
} job;

static void *run(void *arg) {
    job *j = arg;
    for (int64_t i; (i = atomic_fetch_add(&j->next, 1)) < j->count;) j->work(j->ctx, i);
    return NULL;
}

void ar__parallel(int64_t count, void (*work)(void *ctx, int64_t i), void *ctx) {
    job j = {.count = count, .work = work, .ctx = ctx};
    pthread_t helpers[HELPERS_MAX];
    int64_t wanted = (int64_t)sysconf(_SC_NPROCESSORS_ONLN) - 1, started = 0;
    if (wanted > HELPERS_MAX) wanted = HELPERS_MAX;
    if (wanted > count - 1) wanted = count - 1;
    while (started < wanted && pthread_create(&helpers[started], NULL, run, &j) == 0) started++;
    run(&j);
    while (started > 0) pthread_join(helpers[--started], NULL);
}
