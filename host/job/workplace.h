/* OUT.part as a place to work: one process at a time, and nothing of anybody else in it. */
#ifndef AR_WORKPLACE_H
#define AR_WORKPLACE_H
#include "ar_host.h"

typedef struct ar_workplace {
    char *dir;
    int lock; /* the descriptor that holds it; -1 = the file system knows no locks */
} ar_workplace;
/* Whether everything in dir has a name that we give. dir may be absent. Errors: USAGE, to be told before any
 * work. */
ar_status ar__workplace_check(const char *dir);
/* Creates dir if it is not there, and locks it. The lock ends with the process, however it ends. Errors: IO
 * when another process works there, naming its id. */
ar_status ar__workplace_open(ar_workplace *w, const char *dir);
/* Removes what is in dir, but the lock. */
ar_status ar__workplace_clear(const char *dir);
/* Unlocks, and removes dir if nothing is left in it. All zero is fine. */
void ar__workplace_close(ar_workplace *w);
#endif
