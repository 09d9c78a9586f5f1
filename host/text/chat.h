/* Shared by what renders chat templates and what writes them into other files. */
#ifndef AR_CHAT_H
#define AR_CHAT_H
#include "ar_host.h"

/* The template's text as the model's files hold it; NULL where there is none. free(). */
ar_status ar__chat_template(char **text, const ar_open_model *m);
#endif
