"""Writes families/<name>/: a tiny random model of each family as transformers' own save_pretrained stores it,
and golden.safetensors with token ids and the logits that transformers computes for them in float64; and those
of the first SHORT tokens alone where they differ from theirs among all: with longrope.

    python3 make_families.py            needs torch, transformers 5, safetensors

Weights are random (seeded), rounded to float16; widths are as small as every part of a family allows, so that
the folders can be kept here: groups of heads, a head width that is not hidden / heads, a partial rotation,
windows smaller than the tested length, in all layers or in some. """
import copy
import os

import torch
import transformers as tf
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "families")
TOKENS = 24
SHORT = 16 # longrope's original context
COMMON = dict(vocab_size=64, bos_token_id=1, eos_token_id=2, pad_token_id=None)
SIZES = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2,
             max_position_embeddings=40, **COMMON)
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
MODELS = {
    "llama": tf.LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True, rms_norm_eps=1e-5, rope_parameters={
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16}),
    "mistral": tf.MistralConfig(**SIZES, sliding_window=7, head_dim=12, rope_parameters=ROPE),
    "qwen2": tf.Qwen2Config(**SIZES, tie_word_embeddings=True, use_sliding_window=True, sliding_window=5,
                            max_window_layers=1, rope_parameters=dict(ROPE, rope_theta=1e6)),
    "qwen3": tf.Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True, use_sliding_window=True,
                            sliding_window=3,
                            layer_types=["sliding_attention", "full_attention"],
                            rope_parameters=dict(ROPE, rope_theta=1e6)),
    "phi3": tf.Phi3Config(**SIZES, sliding_window=16, rope_parameters=dict(ROPE, partial_rotary_factor=0.5)),
    "gpt2": tf.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=40, **COMMON),
    "opt": tf.OPTConfig(hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
                        word_embed_proj_dim=32,
                        max_position_embeddings=40, **COMMON),
    "phi3_longrope": tf.Phi3Config(**SIZES, sliding_window=None, original_max_position_embeddings=SHORT,
                                   rope_parameters=dict(
        rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75, short_factor=[1.0, 1.25, 1.75],
        long_factor=[1.5, 4.0, 9.5])),
}


def randomize(model, seed):
    """Every parameter from its own generator; sizes that keep activations and logits of the order of 1."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            r = torch.randn(p.shape, generator=g, dtype=torch.float64)
            if p.dim() == 2:
                p.copy_(r if "embed" in name or "wte" in name else
                        0.5 * r if "wpe" in name else r / p.shape[-1] ** 0.5)
            else:
                p.copy_(0.2 * r if name.endswith("bias") else 1 + 0.2 * r)
            p.copy_(p.half())


def main():
    for seed, (name, config) in enumerate(MODELS.items()):
        config._attn_implementation = "eager"
        model = tf.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        randomize(model, seed)
        folder = os.path.join(HERE, name)
        # half() would round the rotary frequencies as well
        copy.deepcopy(model).half().save_pretrained(folder)
        generation = os.path.join(folder, "generation_config.json")
        if os.path.exists(generation):
            os.remove(generation)
        ids = torch.randint(0, 64, (1, TOKENS), generator=torch.Generator().manual_seed(100 + seed))
        with torch.no_grad():
            logits = model.double()(ids).logits[0]
            tensors = {"ids": ids[0].to(torch.int32), "logits": logits.float().contiguous()}
            if name == "phi3_longrope":
                tensors["short_logits"] = model(ids[:, :SHORT]).logits[0].float().contiguous()
        save_file(tensors, os.path.join(folder, "golden.safetensors"))
        print(name, os.path.getsize(os.path.join(folder, "model.safetensors")), "bytes, logits",
              float(logits.std()))


main()
