/* Before outputs are written: do the codes of a state stand for the model's weights? */
#ifndef AR_RECHECK_H
#define AR_RECHECK_H
#include "ar_host.h"

/* Computes two rows of every linear of src again, from its codes and from the model's weights rounded to
 * nearest on the host, and compares: a tuned row points where its weights do, and is about as long. What
 * points half as well or is four times as long, or short, was not made from these weights by a device that
 * computes. Linears with extra tensors are left out: codes alone are not their values. Errors: CHECK names
 * block, linear and row; those of reading. */
ar_status ar__recheck_rows(const ar_write_source *src);
#endif
