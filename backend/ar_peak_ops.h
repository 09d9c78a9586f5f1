/* What measures a device rather than a model, and what the kernels measured are. Included by ar_backend.h. */
#ifndef AR_PEAK_OPS_H
#define AR_PEAK_OPS_H

/* y = sum over eight chains c = 0..7 of f applied `rounds` times to c/8, f(s) = s a + b: 16 rounds operations
 * an element in registers, which measures the device.   y any shape. */
ar_status ar_op_peak(ar_graph *g, ar_tensor *y, uint32_t rounds, float a, float b);
/* The same of matrices: every row of y, ar_peak_matrix_row elements, holds tiles of rounds (A0 + A1) (B0 + B1
 * + B2 + B3), small whole numbers (shaders/peak_matrix.h) of fp16 multiplied eight times and summed in f32:
 * by matrix hardware where ar_device_has_matrices, that is where the plan takes it, else plainly.   y f32,
 * any number of rows. */
ar_status ar_op_peak_matrix(ar_graph *g, ar_tensor *y, uint32_t rounds);
int64_t ar_peak_matrix_row(const ar_device *device);
bool ar_device_has_matrices(const ar_device *device);

/* The first kernel of the family that the kernel of this name is a variant of: one name for what any device
 * takes there. Its own name where it is of none. */
const char *ar_kernel_family(const char *kernel);
/* Whether the kernel of this name is for matrix hardware. */
bool ar_kernel_has_matrices(const char *kernel);

#endif
