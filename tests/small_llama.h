/* What the small Llamas of the tuning tests have in common; T is the file's tokens per sample. */
#ifndef SMALL_LLAMA_H
#define SMALL_LLAMA_H

#define SMALL_LLAMA                                                                                          \
    .family = "llama", .vocab = 50, .kv_heads = 2, .max_tokens = T, .rms_eps = 1e-5f,                        \
    .rope_theta = 10000.0f, .tied = true, .bos = -1, .eos = -1

#endif
