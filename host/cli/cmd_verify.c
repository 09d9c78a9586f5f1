/* anyround verify: what a quantized file says of its own quality, measured again. */
#include "ar_error.h"
#include "passport_measure.h"
#include "program.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

typedef struct verify_options {
    const char *ref, *text;
} verify_options;

static ar_status read_passport(ar_passport *p, const char *path) {
    bool found;
    AR_TRY(ar_passport_read(p, &found, path));
    ar_program_one_line(p->method);
    ar_program_one_line(p->text);
    if (found && p->is_measured) return AR_OK;
    return ar__fail(AR_ERR_UNSUPPORTED, "%s: holds no measured figures, expected those of quantize --eval",
                    path);
}

/* The recorded text, so that figures can be the same at all. */
static ar_status check_text(const ar_passport *recorded, const verify_options *o, const ar_open_model *m) {
    ar_passport own = {.window = recorded->window};
    AR_TRY(ar__passport_text(&own, o->text, m));
    if (strcmp(own.text_hash, recorded->text_hash) == 0) return AR_OK;
    return ar__fail(AR_ERR_USAGE, "--text %s: found another text, expected %s with the hash %s", o->text,
                    recorded->text, recorded->text_hash);
}

static ar_status print(const ar_passport *recorded, const ar_passport *found, const char *differing,
                       const ar_common *common) {
    const struct {
        const char *name;
        double recorded, found;
    } rows[] = {{"kl", recorded->kl, found->kl},
                {"top1", recorded->top1, found->top1},
                {"ppl", recorded->ppl, found->ppl},
                {"ref_ppl", recorded->ref_ppl, found->ref_ppl}};
    if (!common->json) {
        printf("%s on %s, %d windows of %d tokens\n", recorded->method, recorded->text, (int)found->windows,
               (int)found->window);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            printf("%-8s recorded %-12.6g found %.6g\n", rows[i].name, rows[i].recorded, rows[i].found);
        return AR_OK;
    }
    cJSON *o = cJSON_CreateObject();
    ar_json_add_string(o, "method", recorded->method);
    ar_json_add_bool(o, "holds", differing[0] == '\0');
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cJSON *row = ar_json_add_object(o, rows[i].name);
        ar_json_add_number(row, "recorded", rows[i].recorded);
        ar_json_add_number(row, "found", rows[i].found);
    }
    ar_status status = ar_program_json(o, false);
    cJSON_Delete(o);
    return status;
}

static ar_status verify(const char *path, const verify_options *o, const ar_common *common) {
    ar_status status = AR_OK;
    ar_open_model *ref = NULL;
    ar_device *device = NULL;
    ar_observer observer;
    ar_passport recorded;
    char differing[64];
    AR_GO(read_passport(&recorded, path));
    AR_GO(ar_program_model(&ref, o->ref, common));
    AR_GO(check_text(&recorded, o, ref));
    AR_GO(ar_program_device(&device, common, true));
    ar_program_observer(&observer, common);
    ar_passport found = recorded;
    status = ar__passport_measure(&found, path, ref, device, o->text, &observer);
    ar_program_progress_end(common);
    AR_GO(status);
    int32_t count = ar__passport_compare(differing, sizeof differing, &recorded, &found);
    AR_GO(print(&recorded, &found, differing, common));
    if (count > 0)
        AR_GO(ar__fail(AR_ERR_CHECK, "%s: %s: found other figures than the file records", path, differing));
done:
    ar_device_close(device);
    ar_model_close(ref);
    return status;
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    verify_options o = {0};
    const ar_option options[] = {
        {"--ref", AR_OPT_STRING, &o.ref, "MODEL", "the float model it was made from", 0, 0, NULL},
        {"--text", AR_OPT_TEXT, &o.text, "FILE", "the text it was measured on, - = stdin", 0, 0, NULL},
    };
    int positional;
    AR_TRY(ar_args_parse(self, &common, options, 2, argc, argv, &positional, 1, 1));
    if (common.help) return AR_OK;
    if (!o.ref || !o.text)
        return ar__fail(AR_ERR_USAGE, "anyround verify: --ref MODEL and --text FILE are needed");
    return verify(argv[1], &o, &common);
}

const ar_command ar__command_verify = {"verify", "measure again what a quantized file says of its quality",
                                       "MODEL --ref MODEL --text FILE [options]", run};
