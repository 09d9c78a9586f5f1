/* The table of methods that methods.def makes. */
#ifndef AR_QUANT_METHODS_H
#define AR_QUANT_METHODS_H
#include "engine.h"

#define AR_METHOD(name) extern const ar_method ar__method_##name;
#include "methods.def"
#undef AR_METHOD
#endif
