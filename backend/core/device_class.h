/* Kinds of devices that policy tells apart. */
#ifndef AR_DEVICE_CLASS_H
#define AR_DEVICE_CLASS_H
#include "ar_backend.h"

typedef enum ar__device_class_id {
    AR_CLASS_DESKTOP,    /* a card with its own memory */
    AR_CLASS_INTEGRATED, /* a desktop processor's GPU */
    AR_CLASS_MOBILE,     /* a phone's or a small board's GPU */
    AR_CLASS_CPU,
    AR_CLASS_OTHER
} ar__device_class_id;

ar__device_class_id ar__device_class(const ar_device_facts *facts);
#endif
