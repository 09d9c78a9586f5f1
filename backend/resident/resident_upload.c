/* Resident weights on their way to the device: worker threads repack chunks of panels while the owner of the
 * device uploads the finished ones in order, and repacks too when none is ready. Only the owner touches the
 * device, and workers neither allocate nor fail. Where no thread can be had, the owner does it all. */
#include "resident_weight.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES                                                                                          \
    (UINT64_C(256) << 10) /* of panels: a weight of a small model should be several chunks                   \
                           */
#define WORKERS_MAX 7
#define SLOTS_MAX   (2 * (WORKERS_MAX + 1))

/* A weight that is no number; found NULL = none. */
typedef struct bad {
    const char *found;
    int64_t row, column; /* row of the whole */
} bad;

typedef struct upload {
    const ar_resident_weight *w;
    const ar_resident_weight_desc *parts;
    uint32_t *panels; /* `slots` chunks; chunk i lies in slot i % slots */
    int64_t chunk_panels, chunks, slots;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    int64_t next, uploaded; /* the next chunk to be repacked; chunks before this one are on the device */
    bool ready[SLOTS_MAX], stopped;
    bad bad; /* in the lowest row */
} upload;

/* ---- repacking ---- */

/* Where row `at` of the whole comes from. */
static const ar_resident_weight_desc *find_row(const ar_resident_weight *w,
                                               const ar_resident_weight_desc *parts, int64_t at, int64_t *o) {
    if (w->is_interleaved) {
        *o = at / 2;
        return &parts[at % 2];
    }
    while (at >= parts->O) at -= parts++->O;
    *o = at;
    return parts;
}

static void make_panel(uint32_t *panel, bad *lowest, const ar_resident_weight *w,
                       const ar_resident_weight_desc *parts, int64_t index) {
    int64_t height = (int64_t)w->lp * w->vw, top = index * height;
    int64_t rows = w->O - top < height ? w->O - top : height;
    if (rows < height || w->I % AR__BLOCK) /* words that no row writes */
        memset(panel, 0, (size_t)w->pw * (size_t)height * sizeof *panel);
    for (uint32_t first = 0; first < w->nb; first += AR__SPAN)
        for (int64_t r = 0; r < rows; r++) {
            int64_t o;
            const char *found;
            const ar_resident_weight_desc *part = find_row(w, parts, top + r, &o);
            ar__resident_span(panel + r, (size_t)height, w, part, o, first);
            if (part->name && (!lowest->found || top + r < lowest->row)) {
                int64_t column = ar__resident_find_bad(&found, part, o, first);
                if (column >= 0) *lowest = (bad){found, top + r, column};
            }
        }
}

static size_t panel_words(const ar_resident_weight *w) { return (size_t)w->pw * w->lp * w->vw; }

static uint32_t *slot_of(const upload *u, int64_t chunk) {
    return u->panels + (size_t)(chunk % u->slots * u->chunk_panels) * panel_words(u->w);
}

static int64_t panels_in(const upload *u, int64_t chunk) {
    int64_t left = u->w->panels - chunk * u->chunk_panels;
    return left < u->chunk_panels ? left : u->chunk_panels;
}

static bool has_work(const upload *u) { return u->next < u->chunks && u->next < u->uploaded + u->slots; }

/* Repacks the next chunk; called and left with the lock held. */
static void repack_next(upload *u) {
    int64_t chunk = u->next++;
    bad lowest = {0};
    pthread_mutex_unlock(&u->lock);
    for (int64_t i = 0; i < panels_in(u, chunk); i++)
        make_panel(slot_of(u, chunk) + (size_t)i * panel_words(u->w), &lowest, u->w, u->parts,
                   chunk * u->chunk_panels + i);
    pthread_mutex_lock(&u->lock);
    if (lowest.found && (!u->bad.found || lowest.row < u->bad.row)) u->bad = lowest;
    u->ready[chunk % u->slots] = true;
    pthread_cond_broadcast(&u->changed);
}

static void *work(void *arg) {
    upload *u = arg;
    pthread_mutex_lock(&u->lock);
    while (!u->stopped && u->next < u->chunks)
        if (has_work(u))
            repack_next(u);
        else
            pthread_cond_wait(&u->changed, &u->lock);
    pthread_mutex_unlock(&u->lock);
    return NULL;
}

/* ---- uploading ---- */

/* The owner's part; called and left with the lock held. */
static ar_status upload_chunks(upload *u) {
    while (u->uploaded < u->chunks) {
        int64_t chunk = u->uploaded, slot = chunk % u->slots;
        if (u->ready[slot]) {
            int64_t words = (int64_t)panel_words(u->w);
            pthread_mutex_unlock(&u->lock);
            ar_status status = ar_tensor_write(u->w->words, slot_of(u, chunk),
                                               chunk * u->chunk_panels * words, panels_in(u, chunk) * words);
            pthread_mutex_lock(&u->lock);
            if (status != AR_OK) return status;
            u->ready[slot] = false;
            u->uploaded++;
            pthread_cond_broadcast(&u->changed);
        } else if (has_work(u)) {
            repack_next(u);
        } else {
            pthread_cond_wait(&u->changed, &u->lock);
        }
    }
    return AR_OK;
}

static int64_t worker_count(int64_t chunks) {
    int64_t wanted = (int64_t)sysconf(_SC_NPROCESSORS_ONLN) - 1;
    if (wanted > WORKERS_MAX) wanted = WORKERS_MAX;
    if (wanted > chunks - 1) wanted = chunks - 1;
    return wanted > 0 ? wanted : 0;
}

static ar_status run_threads(upload *u, int64_t wanted) {
    pthread_t threads[WORKERS_MAX];
    int64_t started = 0;
    while (started < wanted && pthread_create(&threads[started], NULL, work, u) == 0) started++;
    pthread_mutex_lock(&u->lock);
    ar_status status = upload_chunks(u);
    u->stopped = true;
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
    while (started > 0) pthread_join(threads[--started], NULL);
    return status;
}

static ar_status check_finite(const upload *u) {
    int64_t o;
    if (!u->bad.found) return AR_OK;
    const ar_resident_weight_desc *part = find_row(u->w, u->parts, u->bad.row, &o);
    return ar__fail(AR_ERR_FORMAT, "%s: found %s at row %lld, column %lld, expected finite weights",
                    part->name, u->bad.found, (long long)o, (long long)u->bad.column);
}

ar_status ar__resident_upload(ar_resident_weight *w, const ar_resident_weight_desc *parts) {
    upload u = {.w = w, .parts = parts};
    size_t bytes = panel_words(w) * sizeof *u.panels;
    u.chunk_panels = (int64_t)(CHUNK_BYTES / bytes) + 1;
    u.chunks = (w->panels + u.chunk_panels - 1) / u.chunk_panels;
    int64_t workers = worker_count(u.chunks);
    u.slots = 2 * (workers + 1) < u.chunks ? 2 * (workers + 1) : u.chunks;
    u.panels = ar__alloc((size_t)(u.slots * u.chunk_panels), bytes);
    if (!u.panels) return AR_ERR_MEMORY;
    pthread_mutex_init(&u.lock, NULL);
    pthread_cond_init(&u.changed, NULL);
    ar_status status = run_threads(&u, workers);
    if (status == AR_OK) status = check_finite(&u);
    pthread_cond_destroy(&u.changed);
    pthread_mutex_destroy(&u.lock);
    free(u.panels);
    return status;
}
