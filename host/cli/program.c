/* What all commands share: the reader of stdout, opening models and the device, what a run tells. */
#include "program.h"
#include "output.h"
#include "place.h"
#include "tokenizer.h"
#include "tuning_file.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the reader of stdout ---- */

static bool reader_gone;

static ar_status stdout_failed(int code) {
    reader_gone = code == EPIPE;
    return ar__fail(AR_ERR_IO, "stdout: cannot write: %s", strerror(code));
}

ar_status ar_program_flush(void) {
    struct pollfd reader = {.fd = STDOUT_FILENO};
    if (fflush(stdout) != 0 || ferror(stdout)) return stdout_failed(errno);
    /* also where nothing is written yet: a pipe without a reader is an error at once */
    if (poll(&reader, 1, 0) == 1 && (reader.revents & POLLERR)) return stdout_failed(EPIPE);
    return AR_OK;
}

ar_status ar_program_json(const ar_json *root, bool indented) {
    char *text, *valid = NULL;
    AR_TRY(ar_json_print(&text, root, indented, "the result"));
    ar_status status = ar__utf8_repair(&valid, text, strlen(text)); /* paths are of any bytes */
    if (status == AR_OK) puts(valid);
    free(valid);
    free(text);
    return status;
}

bool ar_program_reader_gone(void) { return reader_gone; }

/* $XDG_CACHE_HOME/anyround, else ~/.cache/anyround; NULL when neither is known. free(). */
static char *cache_folder(void) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *dir = NULL, *base = NULL;
    if (xdg && xdg[0] == '/') {
        if (ar_path_join(&dir, xdg, "anyround") != AR_OK) return NULL;
    } else if (home && home[0] == '/') {
        if (ar_path_join(&base, home, ".cache/anyround") != AR_OK) return NULL;
        dir = base;
    }
    if (dir && ar_dir_create(dir) != AR_OK) { /* no cache is not an error */
        free(dir);
        dir = NULL;
    }
    return dir;
}

char *ar_tuning_default_path(void) {
    char *folder = cache_folder(), *path = NULL;
    if (folder && ar_path_join(&path, folder, "tuning.jsonl") != AR_OK) path = NULL;
    free(folder);
    return path;
}

/* A file may stand in it with whatever it says. */
static void print_note(const char *what, const char *text) {
    char line[2048];
    snprintf(line, sizeof line, "%s", text);
    ar_program_one_line(line);
    fprintf(stderr, "note: %s%s\n", what, line);
}

ar_status ar_program_tuning(ar_tuning_file *t, const ar_common *common) {
    *t = (ar_tuning_file){0};
    if (common->tuning) return ar_tuning_read(t, common->tuning);
    char *path = common->no_cache ? NULL : ar_tuning_default_path();
    if (path && ar_path_exists(path) && ar_tuning_read(t, path) != AR_OK && !common->quiet)
        print_note("tiles are not read: ", ar_error());
    free(path);
    return AR_OK;
}

static void print_notes(const ar_notes *notes, const ar_common *common) {
    for (int32_t i = 0; !common->quiet && i < notes->count; i++) print_note("", notes->lines[i]);
}

ar_status ar_program_acts(ar_open_model *m, const char *acts, bool int_products) {
    ar_status status = ar_model_acts(m, acts, int_products);
    return status == AR_ERR_USAGE ? ar_program_blame(status, acts ? "--acts" : "--int-products") : status;
}

ar_status ar_program_remarks(const ar_output_plan *plan, const ar_open_model *m, bool strict,
                             const ar_common *common) {
    ar_notes notes = {0};
    ar_status status = ar__output_remarks(&notes, plan, m);
    if (status == AR_OK && strict && notes.count > 0)
        status = ar__fail(AR_ERR_CHECK, "%s (--strict)", notes.lines[0]);
    else if (status == AR_OK)
        print_notes(&notes, common);
    ar_notes_deinit(&notes);
    return status;
}

ar_status ar_program_model(ar_open_model **m, const char *path, const ar_common *common) {
    AR_TRY(ar_model_open(m, path));
    print_notes(&(*m)->notes, common);
    return AR_OK;
}

ar_status ar_program_float_model(ar_open_model **m, const char *path, const ar_common *common) {
    AR_TRY(ar_program_model(m, path, common));
    if (!(*m)->adapter) return AR_OK;
    return ar__fail(AR_ERR_UNSUPPORTED,
                    "%s: found weights with corrections beside them (lorc.safetensors), "
                    "which only eval, verify, run and bench add; expected a model without",
                    path);
}

ar_status ar_program_lora(ar_open_model *m, const char *path) {
    if (!path) return AR_OK;
    if (m->adapter)
        return ar__fail(AR_ERR_USAGE, "--lora: found corrections beside %s already (lorc.safetensors)",
                        m->path);
    return ar_adapter_open(&m->adapter, path, m);
}

ar_status ar_program_device(ar_device **device, const ar_common *common, bool believed) {
    if (believed && strcmp(common->device, "null") == 0)
        return ar__fail(AR_ERR_USAGE,
                        "--device: found null, which computes nothing and is for tests, expected "
                        "auto, vk, vk:N, cl or cl:N");
    ar_tuning_file tuning;
    ar_program_bounds_memory(common->vram > 0);
    AR_TRY(ar_program_tuning(&tuning, common));
    char *cache = common->no_cache ? NULL : cache_folder();
    ar_device_desc desc = {.select = common->device,
                           .memory_budget = common->vram,
                           .submit_ms = common->submit_ms,
                           .variants = common->variants,
                           .cache_dir = cache,
                           .tuning = tuning.rows,
                           .tuning_count = tuning.count};
    ar_status status = ar_device_open(device, &desc);
    ar_tuning_free(&tuning);
    if (status == AR_OK && believed) status = ar_device_check(*device, cache);
    free(cache);
    if (status == AR_OK && !common->quiet) {
        const ar_device_facts *f = ar_device_get_facts(*device);
        fprintf(stderr, "device: %s:%d %s (%s)\n", f->api, (int)f->index, f->name, f->driver);
    }
    return status;
}

void ar_program_results_beside(const char *file) {
    if (!file || !ar__path_is_through(file) || !ar__path_is_same(file, "/dev/fd/1")) return;
    fflush(stdout);
    (void)dup2(STDERR_FILENO, STDOUT_FILENO);
}

/* ---- what a run tells ---- */

static bool poll_interrupt(void *ctx) {
    (void)ctx;
    return ar_program_interrupted();
}

static void print_warning(void *ctx, const char *line) {
    (void)ctx;
    print_note("", line);
}

void ar_program_observer(ar_observer *o, const ar_common *common) {
    *o = (ar_observer){.cancelled = poll_interrupt};
    if (!common->quiet) o->warn = print_warning;
    ar_program_progress(o, common);
}

ar_status ar_program_blame(ar_status status, const char *options) {
    char reason[1024];
    snprintf(reason, sizeof reason, "%s", ar_error());
    return ar__fail(status, "%s (%s)", reason, options);
}

ar_status ar_program_name_text(ar_status status, const char *name) {
    char reason[1024];
    if (status == AR_OK || strncmp(ar_error(), "text: ", 6) != 0) return status;
    snprintf(reason, sizeof reason, "%s", ar_error() + 6);
    return ar__fail(status, "%s: %s", name, reason);
}
