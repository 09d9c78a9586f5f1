/* The program around the library: commands, options, output. Included by main.c, args.c, cmd_*.c and bench/.
 */
#ifndef AR_PROGRAM_H
#define AR_PROGRAM_H
#include "ar_error.h"
#include "ar_host.h"
#include <stdio.h>

typedef enum ar_option_kind {
    AR_OPT_FLAG,   /* bool *: set to true */
    AR_OPT_STRING, /* const char ** */
    AR_OPT_INT,    /* int64_t *, within [lo, hi] */
    AR_OPT_REAL,   /* double *, within [lo, hi] */
    AR_OPT_SIZE,   /* uint64_t *: bytes with K, M, G (powers of 1024) */
    AR_OPT_LIST,   /* ar_option_list *: every value, in order */
    AR_OPT_TEXT,   /* const char **, a file of text; - becomes /dev/stdin, made a regular file */
    AR_OPT_TEXTS,  /* ar_option_list * of such */
    AR_OPT_HEADING /* no option: name and value stand in the manual above those that follow */
} ar_option_kind;

/* The values of an option that may be given several times. */
#define AR_OPTION_REPEATS 32
typedef struct ar_option_list {
    const char *text[AR_OPTION_REPEATS];
    int32_t count;
} ar_option_list;

typedef struct ar_option {
    const char *name; /* "--bits"; two names as "--group|-g" */
    ar_option_kind kind;
    void *out;
    const char *value, *help; /* "N", "what it does"; help NULL = not in the manual */
    double lo, hi;            /* AR_OPT_INT, AR_OPT_REAL; both 0 = unbounded */
    bool *given;              /* set when the option was used; may be NULL */
} ar_option;

/* Options of every command. */
typedef struct ar_common {
    const char *device;
    uint64_t vram;
    double submit_ms;     /* 0 = the plan's */
    const char *variants; /* NULL = the plan's */
    const char *precision;
    char wishes[512];   /* both, as ar_device_desc.variants */
    const char *tuning; /* a file of measured tiles; NULL = the cache folder's where there is one */
    int64_t seed;
    bool json, quiet, verbose, no_cache, help;
    const char *progress; /* "bar", "json", "none"; NULL = bar on a terminal */
} ar_common;

typedef struct ar_command ar_command;
struct ar_command {
    const char *name, *help;
    const char *usage; /* what follows the name: "MODEL -o OUT [options]" */
    ar_status (*run)(const ar_command *self, int argc, char **argv);
};

/* given[i] will tell whether options[i] was used, unless its own place is told already. */
void ar_args_notice(ar_option *options, bool *given, int32_t count);
/* Parses argv[1..] by options + the common ones; positional arguments are left in argv[1..*positional], whose
 * number must be in [min_positional, max_positional]. With --help prints the manual and sets common->help.
 * Errors: USAGE, naming the option and what was expected. */
ar_status ar_args_parse(const ar_command *command, ar_common *common, const ar_option *options,
                        int32_t option_count, int argc, char **argv, int *positional, int min_positional,
                        int max_positional);

/* Opens a model and says what was remarked on the way, unless that is not wanted. */
ar_status ar_program_model(ar_open_model **m, const char *path, const ar_common *common);
/* The same for what reads weights and not what corrects them. Errors: also UNSUPPORTED where there is such.
 */
ar_status ar_program_float_model(ar_open_model **m, const char *path, const ar_common *common);
/* m gets the adapter at path, the value of --lora; NULL = none. Errors: USAGE where it has one; those of
 * ar_adapter_open. */
ar_status ar_program_lora(ar_open_model *m, const char *path);
/* How its inputs are quantized, by --acts (NULL = as the model says) and --int-products. */
ar_status ar_program_acts(ar_open_model *m, const char *acts, bool int_products);
/* Prints what the outputs would do otherwise than the model, unless that is not wanted. Errors: CHECK with
 * the first of it, where that is not allowed (strict). */
ar_status ar_program_remarks(const ar_output_plan *plan, const ar_open_model *m, bool strict,
                             const ar_common *common);
/* Opens the device the common options name, with the user's cache folder. believed: what it computes is used,
 * so it is checked (ar_device_check), and the null device is refused. */
ar_status ar_program_device(ar_device **device, const ar_common *common, bool believed);
/* Progress bar, JSON lines or nothing on stderr, and Ctrl-C as cancelling. */
void ar_program_observer(ar_observer *observer, const ar_common *common);
/* progress.c: the first of these alone. */
void ar_program_progress(ar_observer *observer, const ar_common *common);
/* Ends a half-drawn progress bar's line. */
void ar_program_progress_end(const ar_common *common);
/* Whether there is one; a signal's handler may ask. */
bool ar_program_bar_stands(void);
/* "42 s", "7 min", "1 h 05 min", "3 d 4 h" into a buffer of at least 24 bytes; returns it. */
const char *ar_program_time(char *out, size_t out_bytes, double seconds);
/* true after Ctrl-C (SIGINT or SIGTERM). */
bool ar_program_interrupted(void);
/* Prints the tree, over lines or on one. Errors: MEMORY, also where something could not be added to it. */
ar_status ar_program_json(const ar_json *root, bool indented);
/* Writes out what stdout holds. Errors: IO, also where nobody reads the pipe that stdout is any more, and
 * then ar_program_reader_gone says so: the program has been told enough, and ends quietly with exit 0. */
ar_status ar_program_flush(void);
bool ar_program_reader_gone(void);
/* Ctrl-C, writes that fail, and a mapped file that shrinks while it is read: that ends the program as an
 * error of reading does, with one line that names the file, and exit 1. */
void ar_program_catch_signals(void);
/* Ctrl-C ends the program again, and one that was caught is forgotten. */
void ar_program_release_signals(void);
/* The line that follows the error's, however the program ends from here on without success; "" = none. */
void ar_program_afterword(const char *format, ...) AR__PRINTF(1, 2);
/* Whether --vram bounds what may be used: failures for want of device memory then name it. */
void ar_program_bounds_memory(bool bounded);
/* Text of a file as a part of one line, which does not steer a terminal: a space for a line break or tab, ?
 * for other control characters. */
void ar_program_one_line(char *text);
/* The program's last lines: what failed, and the afterword. */
void ar_program_print_failure(ar_status status);
/* What a command tells about its results goes to stderr from here on where the file it wrote (NULL = none) is
 * stdout itself. */
void ar_program_results_beside(const char *file);
int ar_program_exit_code(ar_status status);
/* The library's error with the options it is about: "... (--format, --bits)". status, which is no success. */
ar_status ar_program_blame(ar_status status, const char *options);
/* The library's error "text: …" under the text's name. status, whichever it is. */
ar_status ar_program_name_text(ar_status status, const char *name);
/* "12.3 MiB" into a buffer of at least 16 bytes; returns it. */
const char *ar_program_bytes(char *out, size_t out_bytes, uint64_t bytes);

#define AR_COMMAND(name) extern const ar_command ar__command_##name;
#include "commands.def"
#undef AR_COMMAND
#endif
