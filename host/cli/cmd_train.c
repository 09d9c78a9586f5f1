/* anyround train: its options. */
#include "cmd_train.h"
#include <string.h>

#define MOST_OPTIONS 64

/* What is trained, and where it begins. */
static int32_t list_model(ar_option *list, train_options *p) {
    const ar_option rows[] = {
        {"--out|-o", AR_OPT_STRING, &p->out, "OUT", "the folder to write", 0, 0, NULL},
        {"--text", AR_OPT_TEXT, &p->text, "FILE", "the text to train on (UTF-8), - = stdin", 0, 0, NULL},
        {"--arch", AR_OPT_STRING, &p->arch, "A",
         "begin with an untrained llama, gpt2, cnn, mlp or byte-mlp instead of MODEL", 0, 0, NULL},
        {"--tokenizer", AR_OPT_STRING, &p->tokenizer, "PATH", "its tokenizer: a model's folder or a .json", 0,
         0, NULL},
        {"--layers", AR_OPT_INT, &p->layers, "N", "its layers (4)", 1, 1000, NULL},
        {"--hidden", AR_OPT_INT, &p->hidden, "N", "its width (256)", 4, 1 << 16, NULL},
        {"--heads", AR_OPT_INT, &p->heads, "N", "its heads (8)", 1, 1024, NULL},
        {"--kv-heads", AR_OPT_INT, &p->kv_heads, "N", "llama: its heads of keys (as many)", 1, 1024, NULL},
        {"--intermediate", AR_OPT_INT, &p->intermediate, "N", "its MLP's width (llama 3, gpt2 4 widths)", 1,
         1 << 20, NULL},
        {"--context", AR_OPT_INT, &p->context, "N", "its longest text in tokens (512)", 2, 1 << 20, NULL},
        {"--untied", AR_OPT_FLAG, &p->untied, NULL, "llama: a head of its own beside the embedding", 0, 0,
         NULL},
    };
    memcpy(list, rows, sizeof rows);
    return (int32_t)(sizeof rows / sizeof *rows);
}

/* Nets for images. */
static int32_t list_images(ar_option *list, train_options *p) {
    const ar_option rows[] = {
        {"--images", AR_OPT_STRING, &p->images, "FILE",
         "train --arch cnn or mlp on images: IDX, or CIFAR-10's binary form", 0, 0, NULL},
        {"--labels", AR_OPT_STRING, &p->labels, "FILE", "their classes, where images are IDX", 0, 0, NULL},
        {"--test-images", AR_OPT_STRING, &p->test_images, "FILE", "say the accuracy on these at the end", 0,
         0, NULL},
        {"--test-labels", AR_OPT_STRING, &p->test_labels, "FILE", "their classes", 0, 0, NULL},
        {"--classes", AR_OPT_INT, &p->classes, "N", "classes of the images (10)", 2, 256, NULL},
        {"--channels", AR_OPT_STRING, &p->channels, "N,...", "cnn: what each convolution gives (16,32)", 0, 0,
         NULL},
        {"--widths", AR_OPT_STRING, &p->widths, "N,...",
         "products before the last (cnn 64, mlp 128,128, byte-mlp 256,256,256)", 0, 0, NULL},
    };
    memcpy(list, rows, sizeof rows);
    return (int32_t)(sizeof rows / sizeof *rows);
}

/* Its examples. */
static int32_t list_examples(ar_option *list, train_options *p) {
    const ar_option rows[] = {
        {"--seqlen", AR_OPT_INT, &p->T, "N", "tokens of an example (256, at most the context)", 2, 1 << 20,
         NULL},
        {"--starts", AR_OPT_REAL, &p->starts, "P",
         "share of examples that open a paragraph, as prompts do (0)", 0, 1, NULL},
        {"--held-out", AR_OPT_REAL, &p->held, "P", "share of the text that is only looked at (0.05)", 0, 0.9,
         NULL},
        {"--steps", AR_OPT_INT, &p->steps, "N", "steps of training (1000)", 1, 1 << 24, NULL},
        {"--batch", AR_OPT_INT, &p->batch, "N", "examples of a step (8)", 1, 1 << 16, NULL},
        {"--accumulate", AR_OPT_INT, &p->accumulate, "N", "passes of a step, to save memory (1)", 1, 1 << 16,
         NULL},
        {"--recompute", AR_OPT_FLAG, &p->recompute, NULL,
         "compute blocks twice instead of keeping their values", 0, 0, NULL},
    };
    memcpy(list, rows, sizeof rows);
    return (int32_t)(sizeof rows / sizeof *rows);
}

/* Its steps. */
static int32_t list_steps(ar_option *list, train_options *p) {
    const ar_option rows[] = {
        {"--optimizer", AR_OPT_STRING, &p->optimizer, "O", "adamw (default) or sgd", 0, 0, NULL},
        {"--lr", AR_OPT_REAL, &p->lr, "X", "largest rate (adamw 0.001, sgd 0.05)", 1e-12, 100, NULL},
        {"--lr-end", AR_OPT_REAL, &p->lr_end, "P", "share of it at the end (0.02)", 0, 1, NULL},
        {"--schedule", AR_OPT_STRING, &p->schedule, "S", "cosine (default), linear or constant", 0, 0, NULL},
        {"--warmup", AR_OPT_INT, &p->warmup, "N", "steps until the rate is whole (0)", 0, 1 << 24, NULL},
        {"--decay", AR_OPT_REAL, &p->decay, "X", "of matrices (0.1)", 0, 10, NULL},
        {"--beta1", AR_OPT_REAL, &p->beta1, "X", "adamw (0.9)", 0, 0.9999, NULL},
        {"--beta2", AR_OPT_REAL, &p->beta2, "X", "adamw (0.98)", 0, 0.99999, NULL},
        {"--momentum", AR_OPT_REAL, &p->momentum, "X", "sgd (0.9)", 0, 0.9999, NULL},
        {"--clip", AR_OPT_REAL, &p->clip, "X", "largest norm of all gradients (1; 0 = any)", 0, 1e9, NULL},
        {"--dropout", AR_OPT_REAL, &p->dropout, "P", "of the embedding and what branches add (0)", 0, 0.95,
         NULL},
        {"--eval-every", AR_OPT_INT, &p->evaluate_every, "N", "steps between looks at what is held out (100)",
         1, 1 << 24, NULL},
        {"--checkpoint-every", AR_OPT_INT, &p->checkpoint_every, "N", "steps between checkpoints (100)", 1,
         1 << 24, NULL},
        {"--keep", AR_OPT_STRING, &p->keep, "K", "best (on what is held out; default) or last", 0, 0, NULL},
        {"--resume", AR_OPT_FLAG, &p->resume, NULL, "go on from OUT.part's checkpoint, to the same weights",
         0, 0, NULL},
        {"--report", AR_OPT_STRING, &p->report, "FILE", "an HTML page with the curves", 0, 0, NULL},
        {"--curve", AR_OPT_STRING, &p->curve, "FILE", "losses as JSON, a line a step", 0, 0, NULL},
        {"--type", AR_OPT_STRING, &p->type, "T", "f32 (default), f16 or bf16", 0, 0, NULL},
    };
    memcpy(list, rows, sizeof rows);
    return (int32_t)(sizeof rows / sizeof *rows);
}

/* ---- options that say nothing of what is trained ---- */

static bool is_arch(const train_options *o, const char *arch) {
    return !o->model && o->arch && strcmp(o->arch, arch) == 0;
}

/* With MODEL, or an architecture that nobody knows, other messages say so. */
static bool is_begun_text(const train_options *o) {
    return !is_arch(o, "cnn") && !is_arch(o, "mlp") && !is_arch(o, "byte-mlp");
}
static bool is_begun_llama(const train_options *o) { return is_begun_text(o) && !is_arch(o, "gpt2"); }
static bool is_images(const train_options *o) { return o->images; }
static bool is_net(const train_options *o) { return o->images || is_arch(o, "byte-mlp"); }
static bool is_adamw(const train_options *o) { return strcmp(o->optimizer, "sgd") != 0; }
static bool is_sgd(const train_options *o) { return strcmp(o->optimizer, "adamw") != 0; }
static bool falls(const train_options *o) { return strcmp(o->schedule, "constant") != 0; }

static const struct {
    const char *option, *without;
    bool (*has_effect)(const train_options *o);
} limited[] = {{"--layers", "--arch llama or gpt2", is_begun_text},
               {"--hidden", "--arch llama or gpt2", is_begun_text},
               {"--heads", "--arch llama or gpt2", is_begun_text},
               {"--intermediate", "--arch llama or gpt2", is_begun_text},
               {"--context", "--arch llama or gpt2", is_begun_text},
               {"--kv-heads", "--arch llama", is_begun_llama},
               {"--untied", "--arch llama", is_begun_llama},
               {"--labels", "--images", is_images},
               {"--test-images", "--images", is_images},
               {"--test-labels", "--images", is_images},
               {"--classes", "--images", is_images},
               {"--channels", "--images", is_images},
               {"--widths", "--images or --arch byte-mlp", is_net},
               {"--beta1", "--optimizer adamw", is_adamw},
               {"--beta2", "--optimizer adamw", is_adamw},
               {"--momentum", "--optimizer sgd", is_sgd},
               {"--lr-end", "a schedule that falls", falls}};

static ar_status check_effects(const train_options *o, const ar_option *options, const bool *given,
                               int32_t count) {
    for (int32_t i = 0; i < count; i++)
        for (size_t k = 0; given[i] && k < sizeof limited / sizeof *limited; k++)
            if (strcmp(limited[k].option, options[i].name) == 0 && !limited[k].has_effect(o))
                return ar__fail(AR_ERR_USAGE, "anyround train: %s has no effect without %s",
                                limited[k].option, limited[k].without);
    return AR_OK;
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    train_options o = {.optimizer = "adamw",
                       .schedule = "cosine",
                       .keep = "best",
                       .classes = 10,
                       .mw = 7,
                       .ma = 7,
                       .steps = 1000,
                       .batch = 8,
                       .accumulate = 1,
                       .checkpoint_every = 100,
                       .evaluate_every = 100,
                       .lr_end = 0.02,
                       .decay = 0.1,
                       .beta1 = 0.9,
                       .beta2 = 0.98,
                       .momentum = 0.9,
                       .clip = 1,
                       .held = 0.05};
    ar_option options[MOST_OPTIONS];
    int32_t count = list_model(options, &o);
    count += list_images(options + count, &o);
    count += list_examples(options + count, &o);
    count += list_steps(options + count, &o);
    count += ar__train_states_options(options + count, &o);
    bool given[MOST_OPTIONS] = {0};
    ar_args_notice(options, given, count);
    int positional;
    AR_TRY(ar_args_parse(self, &common, options, count, argc, argv, &positional, 0, 1));
    if (common.help) return AR_OK;
    o.model = positional ? argv[1] : NULL;
    if (!o.out) return ar__fail(AR_ERR_USAGE, "anyround train: -o OUT is needed");
    if (!o.text && !o.images)
        return ar__fail(AR_ERR_USAGE, "anyround train: --text FILE or --images FILE is needed");
    if (strcmp(o.keep, "best") != 0 && strcmp(o.keep, "last") != 0)
        return ar__fail(AR_ERR_USAGE, "--keep: found '%s', expected best or last", o.keep);
    AR_TRY(check_effects(&o, options, given, count));
    bool is_llama = o.arch && strcmp(o.arch, "llama") == 0 && o.text;
    if ((o.recipe && !is_llama) || (o.arch && strcmp(o.arch, "byte-mlp") == 0))
        return ar__train_states_run(&o, &common);
    if (o.states && !o.recipe)
        return ar__fail(AR_ERR_USAGE, "anyround train: --mw, --ma, --norm, --lbn-stats, --raw-weights and "
                                      "--plain-gradients have no effect without --recipe maqd");
    return o.images ? ar__train_images_run(&o, &common) : ar__train_text_run(&o, &common);
}

const ar_command ar__command_train = {"train",
                                      "train a model's weights, its own or new ones, on a text or images",
                                      "[MODEL] --text FILE|--images FILE -o OUT [options]", run};
