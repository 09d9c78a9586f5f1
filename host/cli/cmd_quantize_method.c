/* anyround quantize: the options of methods. They are what the methods' rows say; no name of one stands here.
 */
#include "quantize_job.h"
#include <stdlib.h>
#include <string.h>

/* ---- the list ---- */

/* The method that argv names, for the manual; NULL = none, or none that there is. */
static const ar_method *named(int argc, char **argv) {
    static const char option[] = "--method";
    const size_t bytes = sizeof option - 1;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], option, bytes) != 0) continue;
        if (argv[i][bytes] == '=') return ar_method_find(argv[i] + bytes + 1);
        if (!argv[i][bytes] && i + 1 < argc) return ar_method_find(argv[i + 1]);
    }
    return NULL;
}

/* "light (50 steps), default (200) or best (1000)" */
static void describe_recipes(char *help, size_t bytes, const ar_method *m) {
    size_t used = 0;
    for (int32_t i = 0; i < m->recipe_count && used < bytes; i++)
        used += (size_t)snprintf(help + used, bytes - used, "%s%s (%s)",
                                 i == 0                     ? ""
                                 : i + 1 == m->recipe_count ? " or "
                                                            : ", ",
                                 m->recipes[i].name, m->recipes[i].help);
}

static void add_offer(ar_offers *o, const ar_method *m, const ar_option_row *row, bool shown) {
    ar_offer *offer = &o->list[o->count];
    *offer = (ar_offer){.method = m, .row = row, .first = o->count};
    if (row) {
        ar_option_row_spell(offer->spelled, sizeof offer->spelled, row);
        snprintf(offer->help, sizeof offer->help, "%s", row->help);
    } else {
        snprintf(offer->spelled, sizeof offer->spelled, "--recipe");
        describe_recipes(offer->help, sizeof offer->help, m);
    }
    for (int32_t i = o->count - 1; i >= 0; i--)
        if (strcmp(o->list[i].spelled, offer->spelled) == 0) offer->first = o->list[i].first;
    ar_offer *first = &o->list[offer->first];
    bool flag = row && row->kind == AR_VALUE_FLAG;
    o->options[o->option_count++] = (ar_option){.name = offer->spelled,
                                                .kind = flag ? AR_OPT_FLAG : AR_OPT_STRING,
                                                .out = flag ? (void *)&first->on : (void *)&first->text,
                                                .value = row ? row->value : "R",
                                                .help = shown ? offer->help : NULL,
                                                .given = &first->given};
    o->count++;
}

ar_status ar__offers_make(ar_offers *o, const ar_option *own, int32_t own_count, int argc, char **argv) {
    const ar_method *only = named(argc, argv);
    size_t most = 0, methods = 0;
    for (; ar_method_at((int32_t)methods); methods++)
        most += (size_t)ar_method_at((int32_t)methods)->option_count + 1;
    *o = (ar_offers){.list = ar__alloc(most, sizeof *o->list),
                     .options = ar__alloc((size_t)own_count + most + methods, sizeof *o->options)};
    if (!o->list || !o->options) return AR_ERR_MEMORY;
    memcpy(o->options, own, (size_t)own_count * sizeof *own);
    o->option_count = own_count;
    for (int32_t k = 0; k < (int32_t)methods; k++) {
        const ar_method *m = ar_method_at(k);
        bool shown = !only || only == m;
        if (shown && m->option_count > 0)
            o->options[o->option_count++] =
                (ar_option){.name = "Options of --method", .value = m->name, .kind = AR_OPT_HEADING};
        if (m->recipe_count > 0) add_offer(o, m, NULL, shown);
        for (int32_t i = 0; i < m->option_count; i++)
            if (m->options[i].help) add_offer(o, m, &m->options[i], shown);
    }
    return AR_OK;
}

void ar__offers_free(ar_offers *o) {
    free(o->list);
    free(o->options);
    *o = (ar_offers){0};
}

/* ---- what was given ---- */

const char *ar__offers_given(const ar_offers *o) {
    for (int32_t i = 0; i < o->count; i++)
        if (o->list[i].given) return o->list[i].spelled;
    return NULL;
}

/* Does the method have what offer `first` stands for? */
static const ar_offer *of_method(const ar_offers *o, int32_t first, const ar_method *method) {
    for (int32_t i = first; i < o->count; i++)
        if (o->list[i].first == first && o->list[i].method == method) return &o->list[i];
    return NULL;
}

ar_status ar__offers_take(ar_method_options *options, const ar_offers *o, const ar_method *method) {
    ar_method_options_init(options, method);
    for (int32_t i = 0; i < o->count; i++) {
        if (!o->list[i].given) continue;
        const ar_offer *offer = of_method(o, i, method);
        if (!offer)
            return ar__fail(AR_ERR_USAGE, "%s has no effect with --method %s", o->list[i].spelled,
                            method->name);
        bool flag = offer->row && offer->row->kind == AR_VALUE_FLAG;
        const char *on = offer->row && offer->row->preset != 0.0 ? "0" : "1";
        AR_TRY(ar_method_options_set(options, offer->row ? offer->row->name : "recipe",
                                     flag ? on : o->list[i].text));
    }
    return AR_OK;
}
