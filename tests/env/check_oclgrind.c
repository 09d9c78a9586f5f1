/* check_oclgrind written|unwritten: a check of the checker. Copies a tensor on the device that the host has
 * written in two parts, or only the first of them; a write to another tensor of the same buffer follows.
 * oclgrind must be silent about the first and report the second from the second part on. Without
 * oclgrind_icd.c, 21.10 reports both, from where the other tensor's bytes would end. Fails if the copy is
 * wrong or there is no OpenCL device. */
#include "ar_backend.h"
#include <stdio.h>
#include <string.h>

enum { COUNT = 515, PART = 257, OTHERS = 750 }; /* as many bytes as to the middle of the second tensor */

static ar_status copy(ar_device *device, float *got, const float *values, bool is_whole) {
    const int64_t count = COUNT, others = OTHERS;
    ar_tensor *y = NULL, *x = NULL, *other = NULL;
    ar_graph *g = NULL;
    ar_status status = ar_tensor_create(&y, device, AR_F32, 1, &count);
    if (status == AR_OK) status = ar_tensor_create(&x, device, AR_F32, 1, &count);
    if (status == AR_OK) status = ar_tensor_create(&other, device, AR_F32, 1, &others);
    if (status == AR_OK) status = ar_tensor_write(x, values, 0, PART);
    if (status == AR_OK && is_whole) status = ar_tensor_write(x, values + PART, PART, COUNT - PART);
    if (status == AR_OK) status = ar_tensor_write(other, values, 0, OTHERS);
    if (status == AR_OK) status = ar_graph_create(&g, device);
    if (status == AR_OK) status = ar_op_copy(g, y, x);
    if (status == AR_OK) status = ar_graph_build(g);
    if (status == AR_OK) status = ar_graph_run(g);
    if (status == AR_OK) status = ar_tensor_read(y, got, 0, count);
    ar_graph_destroy(g);
    ar_tensor_destroy(y);
    ar_tensor_destroy(x);
    ar_tensor_destroy(other);
    return status;
}

int main(int argc, char **argv) {
    float values[OTHERS], got[COUNT] = {0};
    bool is_whole = argc == 2 && strcmp(argv[1], "written") == 0;
    ar_device *device = NULL;
    for (int i = 0; i < OTHERS; i++) values[i] = (float)i + 0.5f;
    ar_status status = ar_device_open(&device, &(ar_device_desc){.select = "cl:0"});
    if (status == AR_OK) status = copy(device, got, values, is_whole);
    if (status != AR_OK) fprintf(stderr, "check_oclgrind: %s\n", ar_error());
    ar_device_close(device);
    return status != AR_OK || memcmp(got, values, (is_whole ? COUNT : PART) * sizeof *got) != 0;
}
