/* Nets of few states, trained, as folders (docs/maqd.md): config.json with every constant, params.safetensors
 * with what was trained (F32), and where the net is whole numbers, model.safetensors with those. */
#ifndef AR_STATES_FOLDER_H
#define AR_STATES_FOLDER_H
#include "ar_error.h"
#include "ar_host.h"

#define AR__STATES_PARAMS  "params.safetensors"
#define AR__STATES_NUMBERS "model.safetensors"
#define AR__STATES_LM      "anyround-states-llama" /* model_type of a language model */

/* Is there a folder at path with such a net? */
bool ar__states_is(const char *path);
/* Writes the folder as `made`, which is then put at path. values: of net's parameters, on the host; whole:
 * NULL where there are none. Errors: IO, MEMORY. */
ar_status ar__states_write(const char *path, const char *made, const ar_states_desc *desc, const ar_net *net,
                           float *const *values, const ar_states_model *whole);
/* params.safetensors in dir: values of net's parameters. Errors: IO, MEMORY. */
ar_status ar__states_params_write(const char *dir, const ar_net *net, float *const *values);
/* The same into net's parameters. Errors: FORMAT names the tensor; IO, MEMORY, the device's. */
ar_status ar__states_params_read(ar_net *net, const char *dir);
/* net_bytes.c: layers that a config.json asks for: 3 x 3 convolutions over I channels of (H, W), each halving
 * both, hidden layers, classes; and `others`, numbers beside them. */
typedef struct ar__net_shape {
    int64_t H, W, I, others, classes;
    const int32_t *conv, *hidden;
    int32_t conv_count, hidden_count;
} ar__net_shape;
/* A few words may ask for more memory than there is: the file of their weights in F32 has to hold it too.
 * Errors: FORMAT, IO. */
ar_status ar__net_file_check(const char *path, const ar__net_shape *n);
/* states_lm.c: the folder of a language model, which began as the one in folder `start`. T: tokens of its
 * examples. Errors: IO, FORMAT, MEMORY. */
ar_status ar__states_lm_write(const char *path, const char *made, const char *start,
                              const ar_lm_states_desc *desc, int32_t T, const ar_net *net,
                              float *const *values);
/* states_lm_read.c: is there such a folder? What it says: of the Llama, of its states, and tokens of an
 * example. Errors: FORMAT names the key; IO, MEMORY. */
bool ar__states_lm_is(const char *path);
ar_status ar__states_lm_config(ar_config *c, ar_lm_states_desc *desc, int32_t *T, const char *path);
/* What was trained under the names that the family of c has for it, in blocks whose norms, which such a model
 * has none of, are 1. Errors: FORMAT, IO, MEMORY. */
ar_status ar__states_lm_weights(ar_weights *w, const ar_config *c, const char *path);
/* *net on the device, with what was trained; borrows m, which ar__model_open_states opened, and desc. T:
 * tokens of an example. Errors: FORMAT names the tensor; ARG; IO, MEMORY, the device's. */
ar_status ar__states_lm_net(ar_net **net, const ar_open_model *m, const ar_lm_states_desc *desc, int32_t T,
                            ar_device *device);
/* states_numbers.c: the file of whole numbers in dir; read by ar_states_open. */
ar_status ar__states_numbers_write(const char *dir, const ar_states_model *m);
/* Values that a code of the layer takes, and bytes of all its codes in the file. */
int32_t ar__states_of_codes(const ar_states_layer *l);
int64_t ar__states_codes_bytes(const ar_states_layer *l);
/* What config.json says. Errors: FORMAT names the key; IO, MEMORY. */
ar_status ar__states_desc_open(ar_states_desc *desc, const char *path);
/* As config.json names statistics: "layer-batch", "sample", "batch" or "layer". */
const char *ar__states_stats_name(ar_stats stats);
ar_status ar__states_stats_read(ar_stats *stats, const ar_json *root, const char *what); /* FORMAT */
/* *net on the device, with what was trained. Errors: FORMAT names key or tensor; IO, MEMORY, the device's. */
ar_status ar__states_net_open(ar_states_desc *desc, ar_net **net, const char *path, ar_device *device);
#endif
