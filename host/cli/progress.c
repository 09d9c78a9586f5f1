/* Progress on stderr: a bar over the whole job, or a line of JSON for every event. */
#include "program.h"
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR 20

const char *ar_program_bytes(char *out, size_t out_bytes, uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t u = 0;
    while (v >= 1024.0 && u < 4) {
        v /= 1024.0;
        u++;
    }
    snprintf(out, out_bytes, u == 0 ? "%.0f %s" : "%.2f %s", v, units[u]);
    return out;
}

const char *ar_program_time(char *out, size_t out_bytes, double seconds) {
    if (!(seconds < 1e9)) seconds = 1e9;
    long s = (long)(seconds + 0.5), minutes = (long)(seconds / 60.0 + 0.5);
    if (s < 120)
        snprintf(out, out_bytes, "%ld s", s);
    else if (minutes < 60)
        snprintf(out, out_bytes, "%ld min", minutes);
    else if (minutes < 48 * 60)
        snprintf(out, out_bytes, "%ld h %02ld min", minutes / 60, minutes % 60);
    else
        snprintf(out, out_bytes, "%ld d %ld h", minutes / 1440, minutes / 60 % 24);
    return out;
}

/* ---- JSON ---- */

/* A number, or null where JSON has no word for it. */
static void print_number(const char *name, double value) {
    if (isfinite(value))
        fprintf(stderr, ",\"%s\":%.9g", name, value);
    else
        fprintf(stderr, ",\"%s\":null", name);
}

static void print_json_event(void *ctx, const ar_progress_event *e) {
    (void)ctx;
    fprintf(stderr, "{\"stage\":\"%s\",\"block\":%d,\"blocks\":%d,\"step\":%d,\"steps\":%d", e->stage,
            (int)e->block, (int)e->block_count, (int)e->step, (int)e->step_count);
    if (e->window_count > 0)
        fprintf(stderr, ",\"window\":%d,\"windows\":%d,\"window_blocks\":%d", (int)e->window,
                (int)e->window_count, (int)e->tuned_count);
    print_number("loss_first", e->loss_first);
    print_number("loss_best", e->loss_best);
    print_number("loss", e->loss_last);
    print_number("tokens_per_s", e->tokens_per_s);
    print_number("seconds", e->seconds);
    print_number("job", e->job_share);
    print_number("seconds_left", e->job_seconds_left);
    fprintf(stderr, ",\"device_bytes\":%llu}\n", (unsigned long long)e->device_bytes);
}

/* ---- the bar ---- */

/* Of the whole job, or of the stage where that is all that is known. */
static double share_of(const ar_progress_event *e) {
    if (e->job_share > 0.0) return e->job_share;
    if (e->step_count > 0 && e->window_count > 0)
        return (e->window + (double)e->step / e->step_count) / e->window_count;
    if (e->step_count > 0 && e->block_count > 0)
        return (e->block + (double)e->step / e->step_count) / e->block_count;
    if (e->step_count > 0) return (double)e->step / e->step_count;
    return e->block_count > 0 ? (double)e->block / e->block_count : 0.0;
}

static void draw_bar(char bar[BAR + 1], double share) {
    int filled = (int)(share * BAR);
    memset(bar, '-', BAR);
    memset(bar, '#', (size_t)(filled < 0 ? 0 : filled > BAR ? BAR : filled));
    bar[BAR] = '\0';
}

/* A line that grows; what does not fit is cut. */
typedef struct line {
    char text[256];
    size_t used;
} line;

static void add(line *l, const char *format, ...) AR__PRINTF(2, 3);
static void add(line *l, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->text + l->used, sizeof l->text - l->used, format, args);
    va_end(args);
    l->used += n < 0 ? 0 : (size_t)n;
    if (l->used >= sizeof l->text) l->used = sizeof l->text - 1;
}

/* "7 min left" of the job, else of the stage. */
static void add_left(line *l, const ar_progress_event *e) {
    char time[24];
    double left = e->job_seconds_left;
    bool known = e->job_share > 0.0 || left > 0.0;
    if (!known && e->step > 0 && e->seconds > 0.0) {
        left = e->seconds / e->step * (e->step_count - e->step);
        known = e->block_count <= 1; /* the time of one block is not the job's */
    }
    if (known) add(l, ", %s left", ar_program_time(time, sizeof time, left));
}

static void describe(line *l, const ar_progress_event *e) {
    char bar[BAR + 1], memory[16];
    if (strcmp(e->stage, "measure") == 0) {
        add(l, "measuring a few steps");
        return;
    }
    draw_bar(bar, share_of(e));
    add(l, "%s [%s] ", e->stage, bar);
    if (strcmp(e->stage, "tune") == 0 && e->tuned_count > 1)
        add(l, "blocks %d-%d of %d, step %d/%d", (int)e->block + 1, (int)(e->block + e->tuned_count),
            (int)e->block_count, (int)e->step, (int)e->step_count);
    else if (strcmp(e->stage, "tune") == 0)
        add(l, "block %d of %d, step %d/%d", (int)e->block + 1, (int)e->block_count, (int)e->step,
            (int)e->step_count);
    else if (strcmp(e->stage, "calibrate") == 0)
        add(l, "token %d/%d", (int)e->step, (int)e->step_count);
    else if (strcmp(e->stage, "write") == 0)
        add(l, "%d %%", (int)e->step);
    else if (e->step_count > 0)
        add(l, "%d/%d", (int)e->step, (int)e->step_count);
    else
        add(l, "block %d of %d", (int)e->block, (int)e->block_count);
    add_left(l, e);
    if (strcmp(e->stage, "tune") == 0) add(l, ", loss %.4g -> %.4g", e->loss_first, e->loss_best);
    if (strcmp(e->stage, "eval") == 0 && e->loss_last > 0) add(l, ", ppl %.4f so far", exp(e->loss_last));
    if (strncmp(e->stage, "train", 5) == 0 && e->loss_last > 0) add(l, ", loss %.4g", e->loss_last);
    bool is_images = strcmp(e->stage, "train images") == 0;
    if (e->tokens_per_s > 0.0) add(l, is_images ? ", %.0f images/s" : ", %.0f tok/s", e->tokens_per_s);
    if (e->device_bytes) add(l, ", %s", ar_program_bytes(memory, sizeof memory, e->device_bytes));
}

/* Asked for every line: terminals change. A bar that is wrapped is not drawn over but left standing. What is
 * no terminal has room for all. */
static int width_left(void) {
    struct winsize size;
    bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0;
    return !is_known ? (int)sizeof(line) : size.ws_col > 0 ? size.ws_col - 1 : 79;
}

static volatile sig_atomic_t bar_stands; /* in the cursor's line */

bool ar_program_bar_stands(void) { return bar_stands; }

static void print_bar(void *ctx, const ar_progress_event *e) {
    (void)ctx;
    line l = {.used = 0};
    describe(&l, e);
    bar_stands = true;
    fprintf(stderr, "\r\033[K%.*s", width_left(), l.text);
    fflush(stderr);
}

/* ---- which ---- */

static const char *progress_kind(const ar_common *c) {
    if (c->progress) return c->progress; /* asked for */
    return !c->quiet && isatty(2) ? "bar" : "none";
}

void ar_program_progress(ar_observer *o, const ar_common *common) {
    const char *kind = progress_kind(common);
    if (strcmp(kind, "bar") == 0) o->progress = print_bar;
    if (strcmp(kind, "json") == 0) o->progress = print_json_event;
}

void ar_program_progress_end(const ar_common *common) {
    if (strcmp(progress_kind(common), "bar") == 0) fprintf(stderr, "\r\033[K");
    bar_stands = false;
}
