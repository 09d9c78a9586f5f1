/* Llama under other names, of tensors, of config.json's keys and in GGUF. */
#include "ar_error.h"
#include "family.h"
#include <cjson/cJSON.h>

static const char *const linears[] = {"attention.q_part", "attention.k_part", "attention.v_part",
                                      "attention.o_part", "ffn.gate_part",    "ffn.up_part",
                                      "ffn.down_part"};

static void block(ar__layout *layout, const ar_config *c, int32_t index) {
    ar__llama_block(layout, c, index);
    for (int32_t i = 0; i < layout->linear_count; i++) layout->linears[i].name = linears[i];
    layout->norms[0].name = "first_layernorm";
    layout->norms[1].name = "last_attention_layernorm";
}

/* ---- config.json ---- */

static ar_status config(ar_config *c, const ar_json *root, const char *what) {
    const ar__config_rules rules = {.hidden = "width",
                                    .intermediate = "inner_width",
                                    .layers = "floors",
                                    .heads = "windows",
                                    .max_tokens = "longest",
                                    .act = "gate_by",
                                    .eps = "epsilon",
                                    .default_eps = 1e-5,
                                    .default_act = "silu",
                                    .is_rotary = true};
    return ar__config_decoder(c, root, &rules, what);
}

static void rename_key(ar_json *root, const char *from, const char *to) {
    cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(root, from);
    if (item) cJSON_AddItemToObject(root, to, item);
}

static void write_config(ar_json *root, const ar_open_model *m) {
    ar__config_add_decoder(root, m);
    rename_key(root, "hidden_size", "width");
    rename_key(root, "intermediate_size", "inner_width");
    rename_key(root, "num_hidden_layers", "floors");
    rename_key(root, "num_attention_heads", "windows");
    rename_key(root, "max_position_embeddings", "longest");
    rename_key(root, "hidden_act", "gate_by");
    rename_key(root, "rms_norm_eps", "epsilon");
}

/* ---- names ---- */

static const char *const prefixes[] = {"grown.", NULL};
static const ar__names names = {.prefixes = prefixes,
                                .embedding = "token_vector",
                                .head = "last_part",
                                .layers = "floors",
                                .final_norm = {.name = "last"}};

static const ar__gguf_pair globals[] = {{"token_embd", "grown.token_vector"},
                                        {"output_norm", "grown.last"},
                                        {"output", "last_part"},
                                        {NULL, NULL}};
static const ar__gguf_pair blocks[] = {{"norm_1", "first_layernorm"},  {"part_q", "attention.q_part"},
                                       {"part_k", "attention.k_part"}, {"part_v", "attention.v_part"},
                                       {"part_o", "attention.o_part"}, {"norm_2", "last_attention_layernorm"},
                                       {"part_gate", "ffn.gate_part"}, {"part_up", "ffn.up_part"},
                                       {"part_down", "ffn.down_part"}, {NULL, NULL}};
static const ar__gguf_arch gguf = {
    .name = "grown", .layers = "grown.floors", .globals = globals, .blocks = blocks, .is_rotary = true};

const ar_family ar__family_grown = {.name = "grown",
                                    .model_types = "grown",
                                    .architecture = "GrownForCausalLM",
                                    .names = &names,
                                    .gguf = &gguf,
                                    .config = config,
                                    .write_config = write_config,
                                    .block = block};
