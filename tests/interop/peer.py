"""What the interop scripts share: running anyround and llama.cpp's programs, models of our own, logits files.

AR_LLAMA_RUN   command prefix for llama.cpp's programs, e.g. a container's or another root's (default: none)
AR_INTEROP_DIR folder for models and results that both sides see (default: a temporary one)
Needs numpy. Exit status 77 = skipped, with the reason.
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("skipped: no numpy")
    sys.exit(77)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.environ.get("AR_SHARED", os.path.join(ROOT, "..", "shared"))
DEMO = os.path.join(ROOT, "examples", "demo-model")
HELDOUT = os.path.join(ROOT, "examples", "demo-heldout.txt")
PREFIX = shlex.split(os.environ.get("AR_LLAMA_RUN", ""))


def work_dir():
    path = os.environ.get("AR_INTEROP_DIR") or tempfile.mkdtemp(prefix="anyround-interop-")
    os.makedirs(path, exist_ok=True)
    return path


def run(command, env=None, timeout=7200):
    """stdout and stderr of a command that must succeed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, **(env or {})}, timeout=timeout)
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if done.returncode != 0:
        raise RuntimeError("%s: exit %d\n%s" % (" ".join(command), done.returncode, (out + err)[-2000:]))
    return out, err


DEVICE = {"GGML_VK_VISIBLE_DEVICES": "0", "GGML_VK_DISABLE_COOPMAT": "1"}
# Its f16 shaders round activations, which moves the demo model's logits by 4.5 % of their standard deviation.
EXACT = {**DEVICE, "GGML_VK_DISABLE_F16": "1"}


def llama(program, *args, env=EXACT):
    """A llama.cpp program; VULKAN or CPU among args choose where it runs."""
    return run(PREFIX + [program, *args], env=env)


VULKAN = ["-dev", "Vulkan0", "-ngl", "99", "-fit", "off"]
CPU = ["-dev", "none", "-t", "2"]
PLAIN = CPU + ["-fa", "off", "-ctk", "f32", "-ctv", "f32"] # f32 throughout, given a file of f32 weights


def need_llama():
    try:
        llama("llama-perplexity", "--version")
    except (OSError, RuntimeError) as e:
        print("skipped: no llama-perplexity (%s)" % str(e).splitlines()[0])
        sys.exit(77)


class Program:
    """The anyround program on one device."""

    def __init__(self, path, device):
        self.path, self.device = path, device

    def __call__(self, *args, device=True):
        return run([self.path, *args] + (["--device", self.device] if device else []))[0]

    def eval(self, model, text, *args):
        return json.loads(self("eval", model, "--text", text, "--json", "-q", *args).splitlines()[-1])

    def write(self, source, file, kind):
        """A GGUF file of a type: converted, or rounded to nearest."""
        if kind in ("f32", "f16", "bf16"):
            self("convert", source, "-o", file, "--type", kind, "-q", device=False)
        else:
            self("quantize", source, "-o", file, "--type", kind, "--method", "rtn", "-q")


# ---- models of our own ----

def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, a in tensors.items():
        header[name] = {"dtype": "F16", "shape": list(a.shape), "data_offsets": [offset, offset + 2 * a.size]}
        offset += 2 * a.size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(len(head).to_bytes(8, "little") + head)
        for a in tensors.values():
            f.write(a.astype("<f2").tobytes())


def random_model(path, family, hidden=1024, inter=2816, layers=9, heads=16, kv_heads=8, seed=1):
    """A Hugging Face folder with random weights and the demo model's tokenizer: about 100 M parameters by
    default."""
    if os.path.exists(os.path.join(path, "model.safetensors")):
        return path
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(DEMO, "config.json")) as f:
        base = json.load(f)
    config = {"model_type": family, "hidden_size": hidden, "intermediate_size": inter,
              "num_hidden_layers": layers,
              "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": base["vocab_size"],
              "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "tie_word_embeddings": False,
              "hidden_act": "silu", "bos_token_id": base.get("bos_token_id"),
              "eos_token_id": base.get("eos_token_id"),
              "architectures": [{"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[family]]}
    rng, kv = np.random.default_rng(seed), hidden // heads * kv_heads
    tensors = {"model.embed_tokens.weight": rng.normal(0, 1, (config["vocab_size"], hidden))}

    def matrix(name, rows, width):
        tensors[name + ".weight"] = rng.normal(0, 1 / np.sqrt(width), (rows, width))

    for i in range(layers):
        p = "model.layers.%d." % i
        for name, rows in (("q", hidden), ("k", kv), ("v", kv)):
            matrix(p + "self_attn.%s_proj" % name, rows, hidden)
            if family == "qwen2":
                tensors[p + "self_attn.%s_proj.bias" % name] = rng.normal(0, 0.5, rows)
        matrix(p + "self_attn.o_proj", hidden, hidden)
        matrix(p + "mlp.gate_proj", inter, hidden)
        matrix(p + "mlp.up_proj", inter, hidden)
        matrix(p + "mlp.down_proj", hidden, inter)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[p + name + ".weight"] = rng.uniform(0.5, 1.5, hidden)
    tensors["model.norm.weight"] = rng.uniform(0.5, 1.5, hidden)
    matrix("lm_head", config["vocab_size"], hidden)
    write_safetensors(os.path.join(path, "model.safetensors"), tensors)
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump(config, f)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if os.path.exists(os.path.join(DEMO, name)):
            shutil.copy(os.path.join(DEMO, name), path)
    return path


# ---- logits files: llama-perplexity --kl-divergence-base, anyround eval --save-logits ----

class Logits:
    """ids (windows, T); log-probabilities (positions, V) and, per position, the one below which they are
    cut."""

    def __init__(self, path):
        with open(path, "rb") as f:
            raw = f.read()
        if raw[:8] != b"_logits_":
            raise RuntimeError(path + ": no logits file")
        T, V, windows = (int(x) for x in np.frombuffer(raw, "<i4", 3, 8))
        self.ids = np.frombuffer(raw, "<i4", windows * T, 20).reshape(windows, T)
        words = 4 + 2 * ((V + 1) // 2)
        rows = np.frombuffer(raw, "<u2", -1, 20 + 4 * windows * T).reshape(-1, words)
        if len(rows) != windows * (T - 1 - T // 2):
            raise RuntimeError("%s: %d rows, expected %d" % (path, len(rows), windows * (T - 1 - T // 2)))
        edge = np.ascontiguousarray(rows[:, :4]).view("<f4").astype(np.float64)
        q = rows[:, 4:4 + V]
        self.logp, self.cut = q * edge[:, :1] + edge[:, 1:], q == 0

    def at_labels(self, values):
        labels = self.ids[:, self.ids.shape[1] // 2 + 1:].reshape(-1)
        return values[np.arange(len(labels)), labels]

    def ppl(self):
        return float(np.exp(-self.at_labels(self.logp).mean()))

    def cuts_labels(self):
        """Whether a token of the text lies below the cut, as happens in random models: then ppl() is too
        low."""
        return bool(self.at_labels(self.cut).any())


def compare(a, b):
    """Distance of two runs on the same ids: max |difference| over the standard deviation of the logits,
    tokens whose argmax differs although the gap exceeds 4 % of that deviation, KL(b || a) in nats."""
    if not np.array_equal(a.ids[:, 1:], b.ids[:, 1:]):
        raise RuntimeError("the two programs tokenize the text differently")
    std = b.logp.std()
    seen = ~(a.cut | b.cut)
    delta = np.abs(np.where(seen, a.logp - b.logp, 0)).max() / std
    top = np.sort(b.logp, axis=1)
    clear = top[:, -1] - top[:, -2] > 0.04 * std
    flips = int(((a.logp.argmax(1) != b.logp.argmax(1)) & clear).sum())
    kl = float((np.exp(b.logp) * np.where(seen, b.logp - a.logp, 0)).sum(1).mean())
    return delta, flips, kl


def llama_logits(model, text, out, device, chunks=1, ctx=512):
    """Runs llama-perplexity; its logits. The perplexity is taken from them: the program prints it from a
    thread of its own, which at times loses the last line."""
    if os.path.exists(out):
        os.unlink(out)
    llama("llama-perplexity", "-m", model, "-f", text, "-c", str(ctx), "--chunks", str(chunks), *device,
          "--kl-divergence-base", out)
    return Logits(out)


# ---- llama-perplexity --kl-divergence, anyround eval --ref ----

DIVERGENCE = {"ppl": r"Mean PPL\(Q\) *: *(\S+)", "ppl_error": r"Mean PPL\(Q\) *: *\S+ . *(\S+)",
              "ref_ppl": r"Mean PPL\(base\) *: *(\S+)", "ppl_ratio": r"Mean PPL\(Q\)/PPL\(base\) *: *(\S+)",
              "ppl_ratio_error": r"Mean PPL\(Q\)/PPL\(base\) *: *\S+ . *(\S+)",
              "kl": r"Mean +KLD: *(\S+)", "kl_error": r"Mean +KLD: *\S+ . *(\S+)",
              "kl_median": r"Median +KLD: *(\S+)", "kl_p90": r"90.0% +KLD: *(\S+)",
              "kl_p99": r"99.0% +KLD: *(\S+)", "kl_p999": r"99.9% +KLD: *(\S+)",
              "kl_max": r"Maximum KLD: *(\S+)", "top1": r"Same top p: *(\S+)",
              "top1_error": r"Same top p: *\S+ . *(\S+)"}


def llama_divergence(model, ref, text, work, chunks, ctx=512):
    """What llama-perplexity says of two files, by eval's names. Both are decoded to F32 first, for its CPU
    backend rounds activations for products with quantized weights."""
    files = [os.path.join(work, "divergence-%s.gguf" % side) for side in ("ref", "model")]
    base = os.path.join(work, "divergence.kld")
    for source, file in zip((ref, model), files):
        llama("llama-quantize", "--allow-requantize", source, file, "F32", "2")
    common = ["-c", str(ctx), "--chunks", str(chunks), *PLAIN, "--kl-divergence-base", base]
    llama("llama-perplexity", "-m", files[0], "-f", text, *common)
    for _ in range(3): # as in llama_logits: a last line may be lost
        said = "".join(llama("llama-perplexity", "-m", files[1], *common, "--kl-divergence"))
        found = {k: re.search(pattern, said) for k, pattern in DIVERGENCE.items()}
        if all(found.values()):
            break
    for file in [*files, base]:
        os.unlink(file)
    missing = [k for k in found if not found[k]]
    if missing:
        raise RuntimeError("llama-perplexity says nothing of %s:\n%s" % (missing, said[-2000:]))
    return {k: float(m.group(1)) / (100 if k.startswith("top1") else 1) for k, m in found.items()}


def furthest(ours, theirs):
    """The figure of llama_divergence's in which eval's is furthest off, relatively, and by how much."""
    return max(((abs(ours[k] / v - 1) if v else abs(ours[k])), k) for k, v in theirs.items())
