/* Nets of few states, trained, as folders (docs/maqd.md): config.json with every constant, params.safetensors
 * with what was trained (F32), and where the net is whole numbers, model.safetensors with those. */
#ifndef AR_STATES_FOLDER_H
#define AR_STATES_FOLDER_H
#include "ar_error.h"
#include "ar_host.h"

#define AR__STATES_PARAMS "params.safetensors"

/* Is there a folder at path with such a net? */
bool ar__states_is(const char *path);
/* Writes the folder as `made`, which is then put at path. values: of net's parameters, on the host; whole:
 * NULL where there are none. Errors: IO, MEMORY. */
ar_status ar__states_write(const char *path, const char *made, const ar_states_desc *desc, const ar_net *net,
                           float *const *values, const ar_states_model *whole);
/* states_numbers.c: the file of whole numbers in dir; read by ar_states_open. */
ar_status ar__states_numbers_write(const char *dir, const ar_states_model *m);
/* *net on the device, with what was trained. Errors: FORMAT names key or tensor; IO, MEMORY, the device's. */
ar_status ar__states_net_open(ar_states_desc *desc, ar_net **net, const char *path, ar_device *device);
#endif
