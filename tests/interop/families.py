#!/usr/bin/env python3
"""families.py PROGRAM [DEVICE]: every model family in the programs that are to read it.

For a random model of each family, as transformers' save_pretrained writes it: the `fake` folder has in
transformers the perplexity that `eval` gives it; converted to GGUF and back it has there the very logits it
had; a GGUF in F32 gives in llama.cpp the logits of our own inference within 1 % of their standard deviation,
one in Q4_0 1e-3 nats (its CPU backend rounds activations to 8 bits), and so does a Q5_1 that llama-quantize
makes of ours. Needs torch and transformers; without llama.cpp (see peer.py) only the folders are tried. """
import math
import os
import shutil
import sys

import peer

try:
    import torch
    import transformers as tf
except ImportError as e:
    print("skipped: no %s" % e.name)
    sys.exit(77)

WINDOW = 256
failed = 0


def check(what, ok, text):
    global failed
    failed += not ok
    print("%s %-20s %s" % ("ok   " if ok else "WRONG", what, text), flush=True)


def configs():
    base = tf.AutoConfig.from_pretrained(peer.DEMO)
    common = dict(vocab_size=base.vocab_size, bos_token_id=base.bos_token_id, eos_token_id=base.eos_token_id,
                  pad_token_id=None)
    sizes = dict(hidden_size=128, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
                 num_key_value_heads=2,
                 max_position_embeddings=512, **common)
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    return {"llama": tf.LlamaConfig(**sizes, rope_parameters=rope),
            "mistral": tf.MistralConfig(**sizes, sliding_window=None, rope_parameters=rope),
            "qwen2": tf.Qwen2Config(**sizes, rope_parameters=rope),
            "qwen3": tf.Qwen3Config(**sizes, head_dim=64, rope_parameters=rope),
            "phi3": tf.Phi3Config(**sizes, sliding_window=None,
                                  rope_parameters=dict(rope, partial_rotary_factor=0.5)),
            "longrope": tf.Phi3Config(**sizes, sliding_window=None,
                                      original_max_position_embeddings=WINDOW // 2,
                                      rope_parameters=dict(rope, rope_type="longrope",
                                                           partial_rotary_factor=0.75,
                                                           short_factor=[1 + i / 8 for i in range(12)],
                                                           long_factor=[1.5 + i for i in range(12)])),
            "gpt2": tf.GPT2Config(n_embd=128, n_layer=3, n_head=4, n_positions=512, **common),
            "opt": tf.OPTConfig(hidden_size=128, ffn_dim=256, num_hidden_layers=3, num_attention_heads=4,
                                word_embed_proj_dim=128, max_position_embeddings=512, **common)}


def make(folder, config, seed):
    model = tf.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            r = torch.randn(p.shape, generator=g)
            if p.dim() == 2:
                p.copy_(0.3 * r if "embed" in name or "wte" in name or "wpe" in name else
                        r / p.shape[-1] ** 0.5)
            else:
                p.copy_(0.2 * r if name.endswith("bias") else 1 + 0.2 * r)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(peer.DEMO, name), folder)


def in_transformers(program, name, source, text, work):
    out = os.path.join(work, name + "-fake")
    program("quantize", source, "-o", out, "--format", "fake", "--bits", "4", "--group", "32", "--method",
            "rtn", "-q")
    ours = program.eval(out, text, "--protocol", "window", "--window", str(WINDOW), "--max-windows",
                        "1")["ppl"]
    model = tf.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_file=os.path.join(out, "tokenizer.json"))
    with open(text) as f:
        ids = torch.tensor([tokenizer(f.read(), add_special_tokens=False).input_ids[:WINDOW]])
    with torch.no_grad():
        theirs = math.exp(model(ids, labels=ids).loss.item())
    check(name + " fake", abs(ours / theirs - 1) < 1e-4, "ppl %.4f against %.4f" % (ours, theirs))


def there_and_back(program, name, source, text, work):
    file, back = os.path.join(work, name + "-float.gguf"), os.path.join(work, name + "-back")
    program("convert", source, "-o", file, "-q", device=False)
    program("convert", file, "-o", back, "-q", device=False)
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_file=os.path.join(back, "tokenizer.json"))
    with open(text) as f:
        ids = torch.tensor([tokenizer(f.read(), add_special_tokens=False).input_ids[:WINDOW]])
    logits = []
    for folder in (source, back):
        model, info = tf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                              output_loading_info=True)
        with torch.no_grad():
            logits.append(model.eval()(ids).logits)
    odd = [k for k in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[k]]
    check(name + " there and back", torch.equal(*logits) and not odd,
          "max |d| %g %s" % ((logits[0] - logits[1]).abs().max(), " ".join(odd)))


def compare(program, what, file, text, bound, nats):
    program.eval(file, text, "--protocol", "llamacpp", "--window", str(WINDOW), "--max-windows", "1",
                 "--save-logits", file + ".ours")
    peer.llama("llama-perplexity", "-m", file, "-f", text, "-c", str(WINDOW), "--chunks", "1",
               "--kl-divergence-base",
               file + ".theirs", *peer.CPU)
    delta, flips, kl = peer.compare(peer.Logits(file + ".ours"), peer.Logits(file + ".theirs"))
    check(what, kl <= nats and (bound is None or (delta <= bound and flips == 0)),
          "max |d| %.4f std, %d clear flips, KL %.2e" % (delta, flips, kl))


def in_llama(program, name, source, text, work):
    file = {t: os.path.join(work, "%s-%s.gguf" % (name, t)) for t in ("f32", "q4_0", "q5_1")}
    program("quantize", source, "-o", file["f32"], "--type", "f32", "-q")
    program("quantize", source, "-o", file["q4_0"], "--type", "q4_0", "--method", "rtn", "-q")
    peer.llama("llama-quantize", file["f32"], file["q5_1"], "Q5_1", "2")
    compare(program, name + " f32", file["f32"], text, 0.01, 1e-5)
    compare(program, name + " q4_0", file["q4_0"], text, None, 1e-3)
    compare(program, name + " q5_1 theirs", file["q5_1"], text, None, 1e-3)


def main():
    program = peer.Program(os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "auto")
    work = peer.work_dir()
    text = os.path.join(work, "text.txt")
    with open(peer.HELDOUT, "rb") as f, open(text, "wb") as g:
        g.write(f.read())
    try:
        peer.llama("llama-perplexity", "--version")
        has_llama = True
    except (OSError, RuntimeError):
        has_llama = False
        print("no llama-perplexity: only transformers", flush=True)
    for seed, (name, config) in enumerate(configs().items()):
        source = os.path.join(work, name)
        make(source, config, seed)
        in_transformers(program, name, source, text, work)
        if name != "opt": # which GGUF has no architecture for
            there_and_back(program, name, source, text, work)
        if has_llama and name != "opt":  # GGUF has no architecture for OPT
            in_llama(program, name, source, text, work)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
