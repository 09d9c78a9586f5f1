/* anyround eval of a net of few states: its whole numbers against what training's own graph says. */
#include "eval_images.h"
#include <stdlib.h>

ar_status ar__eval_states_run(eval_whole *w, const char *path, const ar_images *im, const int32_t *said,
                              ar_device *device, int32_t batch) {
    ar_states_model m;
    ar_states_runner *r = NULL;
    ar_status status;
    int64_t each = (int64_t)im->H * im->W * im->C;
    double seconds = 0;
    AR_TRY(ar_states_open(&m, path));
    int32_t *labels = ar__alloc((size_t)batch, sizeof *labels);
    AR_GO(labels ? AR_OK : AR_ERR_MEMORY);
    if (m.H != im->H || m.W != im->W || m.C != im->C)
        AR_GO(ar__fail(AR_ERR_FORMAT, "images: found %d x %d x %d, expected the net's %d x %d x %d",
                       (int)im->H, (int)im->W, (int)im->C, (int)m.H, (int)m.W, (int)m.C));
    w->bytes = ar_states_bytes(&m);
    AR_GO(ar_states_runner_create(&r, &m, device, batch, false));
    for (int64_t first = 0; first < im->count; first += batch) {
        int64_t count = im->count - first < batch ? im->count - first : batch;
        double started = ar__now_s();
        AR_GO(ar_states_runner_run(labels, NULL, NULL, r, im->pixels + first * each, count));
        seconds += ar__now_s() - started;
        for (int64_t i = 0; i < count; i++) w->same += labels[i] == said[first + i];
    }
    w->images_per_s = seconds > 0 ? (double)im->count / seconds : 0;
    w->is_whole = true;
done:
    free(labels);
    ar_states_runner_destroy(r);
    ar_states_model_deinit(&m);
    return status;
}
