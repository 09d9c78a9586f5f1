/* Figures of a passport; see passport_measure.h. */
#include "passport_measure.h"
#include "ar_error.h"
#include "place.h"
#include "tokenizer.h"
#include "utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file may say any number. */
static int32_t window_of(const ar_passport *p, const ar_open_model *m) {
    double T = p->window >= 2.0 ? p->window : AR_PASSPORT_WINDOW;
    return T < m->model.max_tokens ? (int32_t)T : m->model.max_tokens;
}

static int32_t windows_of(const ar_passport *p) {
    double count = p->windows >= 1.0 ? p->windows : AR_PASSPORT_WINDOWS;
    return count < INT32_MAX ? (int32_t)count : INT32_MAX;
}

ar_status ar__passport_text(ar_passport *p, const char *text_path, const ar_open_model *m) {
    ar_file text = {0};
    int32_t *ids = NULL;
    int64_t count = 0;
    ar_status status;
    AR_TRY(ar_file_open(&text, text_path));
    snprintf(p->text, sizeof p->text, "%s", ar__path_name(text_path));
    snprintf(p->text_hash, sizeof p->text_hash, "%016llx",
             (unsigned long long)ar_hash64(0xcbf29ce484222325u, text.data, (size_t)text.bytes));
    AR_GO(ar__utf8_check((const char *)text.data, (size_t)text.bytes, text_path));
    if (!m->tokenizer)
        AR_GO(ar__fail(AR_ERR_UNSUPPORTED, "%s: has no tokenizer, expected one beside it", m->path));
    AR_GO(
        ar_tokenizer_encode(m->tokenizer, &ids, &count, (const char *)text.data, (size_t)text.bytes, false));
    if (count < window_of(p, m))
        AR_GO(ar__fail(AR_ERR_USAGE, "%s: found %lld tokens, expected at least one window of %d", text_path,
                       (long long)count, (int)window_of(p, m)));
done:
    free(ids);
    ar_file_close(&text);
    return status;
}

ar_status ar__passport_measure(ar_passport *p, const char *path, const ar_open_model *ref, ar_device *device,
                               const char *text_path, const ar_observer *observer) {
    ar_open_model *m = NULL;
    ar_file text = {0};
    ar_eval_result r;
    ar_eval_desc desc = {.max_windows = windows_of(p)};
    ar_status status;
    AR_TRY(ar_file_open(&text, text_path));
    AR_GO(ar_model_open(&m, path));
    desc.window = window_of(p, m);
    AR_GO(ar_eval_text(&r, m, ref, device, (const char *)text.data, (size_t)text.bytes, &desc, observer));
    p->is_measured = true;
    p->window = desc.window;
    p->windows = r.windows;
    p->kl = r.kl;
    p->top1 = r.top1;
    p->ppl = r.ppl;
    p->ref_ppl = r.ref_ppl;
done:
    ar_model_close(m);
    ar_file_close(&text);
    return status;
}

int32_t ar__passport_compare(char *names, size_t bytes, const ar_passport *recorded,
                             const ar_passport *found) {
    const struct {
        const char *name;
        double recorded, found, relative, absolute;
    } rows[] = {{"kl", recorded->kl, found->kl, 0.01, 1e-5},
                {"top1", recorded->top1, found->top1, 0.0, 0.005},
                {"ppl", recorded->ppl, found->ppl, 0.01, 0.0},
                {"ref_ppl", recorded->ref_ppl, found->ref_ppl, 0.01, 0.0}};
    int32_t count = 0;
    *names = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double far = fabs(rows[i].found - rows[i].recorded);
        if (far <= rows[i].relative * fabs(rows[i].recorded) + rows[i].absolute) continue;
        size_t used = strlen(names);
        snprintf(names + used, bytes - used, "%s%s", used ? ", " : "", rows[i].name);
        count++;
    }
    return count;
}
