/* Threads of llvmpipe, Mesa's processor as a Vulkan device: one to a processor. It cuts every launch into as
 * many parts as it has threads before it wakes them, so two that the scheduler leaves on one processor take
 * twice as long; between launches of some 100 us they are too short to be moved. */
#include "driver_vk.h"
#ifdef __linux__
#include <ctype.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 256 /* of the process; one with more is left alone */

typedef struct thread {
    long id;
    char name[20];
} thread;

static int by_id(const void *a, const void *b) {
    const thread *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Those of this process in the order they were made in; 0 where that cannot be told. */
static int list_threads(thread *out) {
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    if (!folder) return 0;
    for (const struct dirent *e = readdir(folder); e && count < MAX_THREADS; e = readdir(folder)) {
        if (!isdigit((unsigned char)e->d_name[0])) continue;
        thread *t = &out[count];
        char path[64];
        t->id = strtol(e->d_name, NULL, 10);
        snprintf(path, sizeof path, "/proc/self/task/%ld/comm", t->id);
        FILE *file = fopen(path, "r");
        if (!file) continue; /* it has ended */
        bool named = fgets(t->name, sizeof t->name, file) != NULL;
        fclose(file);
        count += named;
    }
    closedir(folder);
    if (count == MAX_THREADS) return 0;
    qsort(out, (size_t)count, sizeof *out, by_id);
    return count;
}

static bool is_drawing(const thread *t, int number) {
    char name[32];
    snprintf(name, sizeof name, "llvmpipe-%d\n", number);
    return strcmp(t->name, name) == 0;
}

/* The threads from t on, as many as there are processors, get one each, but for those that somebody placed.
 */
static void place(const thread *t, const cpu_set_t *all) {
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        cpu_set_t one, now;
        if (!CPU_ISSET(cpu, all)) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_getaffinity((pid_t)t->id, sizeof now, &now) == 0 && CPU_EQUAL(&now, all))
            (void)sched_setaffinity((pid_t)t->id, sizeof one, &one);
        t++;
    }
}

/* A screen makes its threads at once: those that draw, which number themselves, and as many that compute,
 * which keep the name of the thread that made them. */
bool ar__vk_threads_place(void) {
    cpu_set_t all;
    thread threads[MAX_THREADS];
    if (sched_getaffinity(0, sizeof all, &all) != 0) return false;
    bool found = false;
    int count = list_threads(threads), want = CPU_COUNT(&all);
    for (int i = 0; i + 2 * want <= count; i++) {
        const thread *computing = &threads[i + want];
        int drawing = 0, alike = 0;
        while (drawing < want && is_drawing(&threads[i + drawing], drawing)) drawing++;
        while (alike < want && strcmp(computing[alike].name, computing[0].name) == 0) alike++;
        if (drawing < want || alike < want) continue;
        place(computing, &all);
        found = true;
    }
    return found;
}
#else
bool ar__vk_threads_place(void) { return false; }
#endif
