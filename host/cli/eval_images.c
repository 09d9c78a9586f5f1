/* anyround eval of a net for images: accuracy and the confusion matrix. */
#include "eval_images.h"
#include "images.h"
#include <cjson/cJSON.h>
#include <stdlib.h>

static void count_pairs(int64_t *matrix, const ar_images *im, const int32_t *said, int32_t classes) {
    for (int64_t i = 0; i < im->count; i++) matrix[im->labels[i] * classes + said[i]]++;
}

static ar_status print_json(const ar_train_score *s, const int64_t *matrix, int32_t classes) {
    cJSON *o = cJSON_CreateObject();
    ar_json_add_number(o, "accuracy", s->accuracy);
    ar_json_add_number(o, "nll", s->loss);
    ar_json_add_number(o, "images", (double)s->labels);
    cJSON *rows = ar_json_add_list(o, "confusion");
    for (int32_t k = 0; k < classes; k++) {
        cJSON *row = cJSON_CreateArray();
        ar_json_push(rows, row);
        for (int32_t c = 0; row && c < classes; c++)
            ar_json_push(row, cJSON_CreateNumber((double)matrix[k * classes + c]));
    }
    ar_status status = ar_program_json(o, false);
    cJSON_Delete(o);
    return status;
}

static void print_text(const ar_train_score *s, const int64_t *matrix, int32_t classes) {
    printf("accuracy %.4f  nll %.6f  (%lld images)\n", s->accuracy, s->loss, (long long)s->labels);
    printf("class");
    for (int32_t c = 0; c < classes; c++) printf(" %5d", (int)c);
    printf("  said\n");
    for (int32_t k = 0; k < classes; k++) {
        printf("%5d", (int)k);
        for (int32_t c = 0; c < classes; c++) printf(" %5lld", (long long)matrix[k * classes + c]);
        putchar('\n');
    }
}

ar_status ar__eval_images_run(const char *path, const char *images, const char *labels, int32_t batch,
                              const ar_common *common) {
    ar_status status;
    ar_device *device = NULL;
    ar_net *net = NULL;
    ar_image_model m = {0};
    ar_images im = {0};
    ar_image_data data;
    ar_train_score score;
    int32_t *said = NULL;
    int64_t *matrix = NULL;
    AR_GO(ar_program_device(&device, common, true));
    AR_GO(ar__image_model_open(&m, &net, path, device));
    AR_GO(ar__images_open(&im, images, labels, m.desc.classes));
    AR_GO(ar__image_data_init(&data, &im, &m, 0, 1, 0));
    said = ar__alloc((size_t)im.count, sizeof *said);
    matrix = ar__alloc((size_t)(m.desc.classes * m.desc.classes), sizeof *matrix);
    AR_GO(said && matrix ? AR_OK : AR_ERR_MEMORY);
    AR_GO(ar_net_score(&score, said, net, &data.data, device, batch));
    count_pairs(matrix, &im, said, m.desc.classes);
    if (common->json)
        AR_GO(print_json(&score, matrix, m.desc.classes));
    else
        print_text(&score, matrix, m.desc.classes);
done:
    free(said);
    free(matrix);
    ar__images_deinit(&im);
    ar_net_destroy(net);
    ar_device_close(device);
    return status;
}
