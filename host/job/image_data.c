/* Images as training data; see images.h. */
#include "images.h"
#include <math.h>

static const ar_image_data *images_of(const ar_data *d) { return d->impl; }

static void put(float *x, int32_t *label, const ar_image_data *d, int64_t index) {
    const ar_images *im = d->images;
    int64_t places = (int64_t)im->H * im->W;
    const uint8_t *from = im->pixels + index * places * im->C;
    for (int64_t p = 0; p < places; p++)
        for (int32_t c = 0; c < im->C; c++)
            x[p * im->C + c] = ((float)from[p * im->C + c] / 255.0f - d->model->mean[c]) / d->model->std[c];
    *label = im->labels[index];
}

/* Where place `at` of pass `epoch` is after shuffling n: a Feistel network over the next even power of two,
 * walked until it lands below n, so that any place is found without the others. */
static int64_t shuffled(int64_t at, int64_t n, int64_t epoch, uint64_t seed) {
    uint32_t half = 1;
    while ((int64_t)1 << (2 * half) < n) half++;
    uint64_t mask = ((uint64_t)1 << half) - 1, x = (uint64_t)at;
    do {
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t left = x >> half, right = x & mask;
            uint32_t f = ar_random_u32(seed, (uint64_t)epoch * 4 + round + 1, right);
            x = right << half | ((left ^ f) & mask);
        }
    } while ((int64_t)x >= n);
    return (int64_t)x;
}

static ar_status draw(const ar_data *data, void *input, int32_t *labels, int64_t step, int32_t first,
                      int32_t count) {
    const ar_image_data *d = images_of(data);
    int64_t each = data->rows * data->width;
    for (int32_t i = 0; i < count; i++) {
        int64_t at = step * d->batch + first + i, n = d->train_count;
        put((float *)input + i * each, &labels[i], d, shuffled(at % n, n, at / n, d->seed));
    }
    return AR_OK;
}

static ar_status held(const ar_data *data, void *input, int32_t *labels, int64_t first, int32_t count) {
    const ar_image_data *d = images_of(data);
    int64_t each = data->rows * data->width;
    for (int32_t i = 0; i < count; i++)
        put((float *)input + i * each, &labels[i], d, d->train_count + first + i);
    return AR_OK;
}

ar_status ar__image_data_init(ar_image_data *d, const ar_images *images, const ar_image_model *m,
                              int64_t train_count, int32_t batch, uint64_t seed) {
    const ar_image_desc *s = &m->desc;
    if (images->H != s->H || images->W != s->W || images->C != s->C)
        return ar__fail(AR_ERR_FORMAT, "images: found %d x %d x %d, expected the net's %d x %d x %d",
                        (int)images->H, (int)images->W, (int)images->C, (int)s->H, (int)s->W, (int)s->C);
    *d = (ar_image_data){
        .images = images, .model = m, .train_count = train_count, .batch = batch, .seed = seed};
    d->data = (ar_data){.dtype = AR_F32,
                        .rows = (int64_t)s->H * s->W,
                        .width = s->C,
                        .labels = 1,
                        .held_count = images->count - train_count,
                        .draw = draw,
                        .held = held,
                        .impl = d};
    return AR_OK;
}

void ar__image_statistics(ar_image_model *m, const ar_images *im, int64_t count) {
    int64_t places = count * im->H * im->W;
    for (int32_t c = 0; c < im->C; c++) {
        double sum = 0, squares = 0;
        for (int64_t p = 0; p < places; p++) {
            double x = im->pixels[p * im->C + c] / 255.0;
            sum += x;
            squares += x * x;
        }
        double mean = sum / (double)places, variance = squares / (double)places - mean * mean;
        m->mean[c] = (float)mean;
        m->std[c] = variance > 1e-8 ? (float)sqrt(variance) : 1.0f;
    }
}
