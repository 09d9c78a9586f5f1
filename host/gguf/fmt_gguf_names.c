/* Tensor names of GGUF files and Hugging Face's, by the tables of the families' architectures, and the order
 * of rows in q and k. Where they are permuted, GGUF rotates neighbouring elements and Hugging Face the two
 * halves of a head, so inside each head of D rows
 *   row r D/2 + i of Hugging Face  =  row 2 i + r of the file,   r in {0, 1}, i < D/2. */
#include "family.h"
#include "fmt_gguf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const parts[] = {"weight", "bias"};

const ar__gguf_arch *ar__gguf_arch_named(const char *name, size_t bytes) {
    for (int32_t i = 0; ar__families[i]; i++) {
        const ar__gguf_arch *arch = ar__families[i]->gguf;
        if (arch && ar__gguf_text_is(name, bytes, arch->name)) return arch;
    }
    return NULL;
}

const ar__gguf_arch *ar__gguf_arch_of(const char *family) {
    const ar_family *f = ar_family_find(family);
    return f ? f->gguf : NULL;
}

const ar_family *ar__gguf_family(const ar__gguf_arch *arch, bool slides) {
    const ar_family *found = NULL;
    for (int32_t i = 0; ar__families[i]; i++)
        if (ar__families[i]->gguf == arch && (!found || ar__families[i]->gguf_slides == slides))
            found = ar__families[i];
    return found;
}

void ar__gguf_arch_list(char *out, size_t bytes) {
    size_t used = 0;
    out[0] = 0;
    for (int32_t i = 0; ar__families[i] && used < bytes; i++) {
        const ar_family *f = ar__families[i];
        if (f->gguf && ar__gguf_family(f->gguf, false) == f) /* once */
            used += (size_t)snprintf(out + used, bytes - used, "%s%s", used ? ", " : "", f->gguf->name);
    }
}

/* The rest of text after prefix, or NULL. */
static const char *after(const char *text, const char *prefix) {
    size_t bytes = strlen(prefix);
    return strncmp(text, prefix, bytes) == 0 ? text + bytes : NULL;
}

/* "attn_q.weight" by a table's row; *part is "weight" or "bias". */
static const ar__gguf_pair *find_pair(const char **part, const ar__gguf_pair *list, const char *text) {
    for (; list->gguf; list++) {
        const char *rest = after(text, list->gguf);
        for (size_t p = 0; rest && *rest == '.' && p < 2; p++) {
            *part = parts[p];
            if (strcmp(rest + 1, parts[p]) == 0) return list;
        }
    }
    return NULL;
}

bool ar__gguf_to_hf(char out[AR__GGUF_HF_NAME], const ar__gguf_arch *arch, const char *name, size_t bytes) {
    char text[AR__GGUF_NAME], canonical[16];
    const char *part;
    if (bytes >= sizeof text || memchr(name, 0, bytes)) return false;
    memcpy(text, name, bytes);
    text[bytes] = 0;
    const ar__gguf_pair *found = find_pair(&part, arch->globals, text);
    if (found) {
        snprintf(out, AR__GGUF_HF_NAME, "%s.%s", found->hf, part);
        return part == parts[0] || (arch->has_layer_norm && strcmp(found->gguf, "output_norm") == 0);
    }
    const char *number = after(text, "blk."), *dot = number ? strchr(number, '.') : NULL;
    if (!dot || dot - number > 4) return false;
    int layer = atoi(number);
    snprintf(canonical, sizeof canonical, "%d", layer);
    if (layer < 0 || layer >= AR__GGUF_MAX_LAYERS || strlen(canonical) != (size_t)(dot - number) ||
        !after(number, canonical))
        return false;
    found = find_pair(&part, arch->blocks, dot + 1);
    if (found) snprintf(out, AR__GGUF_HF_NAME, "%s.%d.%s.%s", arch->layers, layer, found->hf, part);
    return found != NULL;
}

bool ar__gguf_block_name(char gguf[AR__GGUF_NAME], char hf[AR__GGUF_HF_NAME], const ar__gguf_arch *arch,
                         int32_t layer, int32_t i) {
    int32_t count = 0;
    while (arch->blocks[count].gguf) count++;
    if (i < 0 || i >= 2 * count) return false;
    snprintf(gguf, AR__GGUF_NAME, "blk.%d.%s.%s", (int)layer, arch->blocks[i / 2].gguf, parts[i % 2]);
    snprintf(hf, AR__GGUF_HF_NAME, "%s.%d.%s.%s", arch->layers, (int)layer, arch->blocks[i / 2].hf,
             parts[i % 2]);
    return true;
}

bool ar__gguf_global_name(char gguf[AR__GGUF_NAME], char hf[AR__GGUF_HF_NAME], const ar__gguf_arch *arch,
                          const char *name, bool bias) {
    for (const ar__gguf_pair *p = arch->globals; p->gguf; p++) {
        if (strcmp(p->gguf, name) != 0) continue;
        snprintf(gguf, AR__GGUF_NAME, "%s.%s", p->gguf, parts[bias]);
        snprintf(hf, AR__GGUF_HF_NAME, "%s.%s", p->hf, parts[bias]);
        return true;
    }
    return false;
}

int32_t ar__gguf_permuted_heads(const ar_config *c, const char *gguf_name, size_t bytes) {
    const ar__gguf_arch *arch = ar__gguf_arch_of(c->family);
    char name[AR__GGUF_NAME];
    if (!arch || !arch->is_permuted) return 0;
    snprintf(name, sizeof name, "%.*s", (int)bytes, gguf_name);
    if (strstr(name, ".attn_q.")) return c->heads;
    return strstr(name, ".attn_k.") ? c->kv_heads : 0;
}

int64_t ar__gguf_row_in_file(int64_t row, int64_t head_rows) {
    int64_t in_head = row % head_rows, half = head_rows / 2;
    return row - in_head + 2 * (in_head % half) + in_head / half;
}

int64_t ar__gguf_row_in_hf(int64_t row, int64_t head_rows) {
    int64_t in_head = row % head_rows;
    return row - in_head + in_head % 2 * (head_rows / 2) + in_head / 2;
}

bool ar__gguf_linear_name(char name[AR__GGUF_NAME], const ar_config *config, const ar_block *block,
                          int32_t i) {
    char hf[AR__GGUF_HF_NAME], wanted[AR__GGUF_HF_NAME];
    const ar__gguf_arch *arch = ar__gguf_arch_of(config->family);
    if (!arch) return false;
    snprintf(wanted, sizeof wanted, "%s.%d.%s.weight", arch->layers, (int)block->index,
             block->linears[i].name);
    for (int32_t k = 0; ar__gguf_block_name(name, hf, arch, block->index, k); k++)
        if (strcmp(hf, wanted) == 0) return true;
    return false;
}
