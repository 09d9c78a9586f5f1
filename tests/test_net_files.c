/* Folders of nets, host/folder/states_folder.c and host/job/image_model.c, that say more than they hold.
 * Includes host's internal headers. */
#include "temp_files.h"
#include "images.h"
#include "states_folder.h"

#define CONFIG                                                                                               \
    "{\"model_type\":\"anyround-states\",\"image_height\":%d,\"image_width\":%d,\"num_channels\":1,"         \
    "\"num_labels\":2,\"context\":0,\"embedding\":0,\"conv_channels\":[%s],\"hidden_sizes\":[%s],"           \
    "\"weight_states\":0,\"activation_states\":0,\"statistics\":\"batch\"}"

static ar_status open_folder(const char *folder, int side, const char *conv, const char *hidden) {
    ar_states_desc d;
    ar_net *net;
    char config[1024];
    snprintf(config, sizeof config, CONFIG, side, side, conv, hidden);
    put_text(in_folder(folder, "config.json"), config);
    ar_status status = ar__states_net_open(&d, &net, folder, NULL);
    assert_null(net);
    return status;
}

/* Before any memory is asked for, and without a device. */
static void a_net_larger_than_its_file_is_refused(void **state) {
    (void)state;
    char *folder = temp_folder(), file[199] = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    put_file(in_folder(folder, AR__STATES_PARAMS), file, sizeof file);
    assert_error(open_folder(folder, 4096, "", "65536,65536"), AR_ERR_FORMAT,
                 "found 199 bytes, expected at least the 4415226904576 ");
    assert_error(open_folder(folder, 4096, "65536", "65536"), AR_ERR_FORMAT, "expected at least");
    assert_error(open_folder(folder, 5, "", ""), AR_ERR_FORMAT, "expected at least the 200 ");
    temp_remove(folder);
}

static void an_image_net_larger_than_its_file_is_refused(void **state) {
    (void)state;
    char *folder = temp_folder(), file[100] = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    ar_image_model m = {0};
    ar_net *net;
    put_file(in_folder(folder, AR_IMAGE_TENSORS), file, sizeof file);
    put_text(in_folder(folder, "config.json"),
             "{\"model_type\":\"anyround-image\",\"image_height\":4,\"image_width\":4,\"num_channels\":1,"
             "\"num_labels\":2,\"conv_channels\":[3],\"hidden_sizes\":[65536,65536],\"image_mean\":[0],"
             "\"image_std\":[1]}");
    assert_error(ar__image_model_open(&m, &net, folder, NULL), AR_ERR_FORMAT,
                 "found 100 bytes, expected at least the 17183539308 ");
    assert_null(net);
    temp_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_net_larger_than_its_file_is_refused),
                                       cmocka_unit_test(an_image_net_larger_than_its_file_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
