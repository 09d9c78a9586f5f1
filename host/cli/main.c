/* The program: finds the command, runs it, turns a status into one error line and an exit code. */
#include "program.h"
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static const ar_command *const commands[] = {
#define AR_COMMAND(name) &ar__command_##name,
#include "commands.def"
#undef AR_COMMAND
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static void print_help(FILE *out) {
    fprintf(out,
            "anyround %s: quantize language models and run them in few bits on any GPU (Vulkan, OpenCL)\n\n"
            "usage: anyround COMMAND … (anyround COMMAND --help)\n\n",
            ar_version());
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->help);
    fprintf(out,
            "\nMODEL is a Hugging Face folder (config.json, *.safetensors, tokenizer.json) or a .gguf file.\n"
            "Exit codes: 0 ok, 1 failed at run time, 2 wrong usage, 3 bad input file, 4 no usable device, "
            "5 a check failed, 130 interrupted.\n");
}

/* Large blocks go back to the system when they are freed, instead of lying about in the heap by chance: with
 * glibc's threshold, which grows, one run took a quarter more memory than the next. */
static void give_memory_back(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

/* Ctrl-C reaches a driver's compiler too: LLVM then removes the files it was writing, and fails, and with it
 * the device, or what was to be checked on it. */
static ar_status judge(ar_status status) {
    if ((status != AR_ERR_DEVICE && status != AR_ERR_CHECK) || !ar_program_interrupted()) return status;
    return ar__fail(AR_ERR_INTERRUPTED, "interrupted while the device was at work");
}

int main(int argc, char **argv) {
    give_memory_back();
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("anyround %s\n", ar_version());
        return 0;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], commands[i]->name) != 0) continue;
        ar_program_catch_signals();
        ar_status status = judge(commands[i]->run(commands[i], argc - 1, argv + 1));
        if (status == AR_OK) status = ar_program_flush();
        if (status == AR_ERR_IO && ar_program_reader_gone()) return 0;
        if (status != AR_OK) ar_program_print_failure(status);
        return ar_program_exit_code(status);
    }
    fprintf(stderr, "anyround: wrong usage: unknown command '%s' (try anyround --help)\n", argv[1]);
    return 2;
}
