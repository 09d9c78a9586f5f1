#!/usr/bin/env python3
"""loaders.py PROGRAM [DEVICE] [CASE,…]: packed folders of anyround in the libraries that are to read them, on
CPU.

The demo model is quantized to every packed format at every width; transformers loads each folder with the
library its config.json asks for (auto-round, gptqmodel, compressed-tensors). Every quantized linear of the
loaded model, fed with the identity, must give the W' that the `fake` folder of the same run holds, within
fp16's rounding; and its logits must be those of anyround, no further off than twice what rounding W' itself
to fp16 changes. Codes of -2^(bits-1) and negative scales must occur among what was compared. The case
"mixed", 2, 3 and 4 bits in one folder, is written by the program that AR_TEST_MIXED names, test_mixed.
Folders with quantized inputs (ACTS) must give the logits of anyround with those. How to run it:
docs/formats.md. Exit status 77 = skipped. """
import importlib.util
import logging
import os
import subprocess
import sys
import warnings

import peer
import numpy as np

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1") # gptqmodel compiles a kernel per shape, for minutes
WINDOW = 256
# What quantizes once: name, options, formats.
RUNS = [
    ("sym4", ["--bits", "4", "--group", "64"],
     ["auto_round", "auto_round_awq", "gptq", "gptq_v2", "awq", "compressed_tensors"]),
    ("asym4", ["--bits", "4", "--group", "32", "--asym"],
     ["auto_round", "auto_round_awq", "gptq_v2", "awq", "compressed_tensors"]),
    ("asym4-row", ["--bits", "4", "--group", "-1", "--asym"], ["auto_round_awq", "compressed_tensors"]),
    ("asym4-v1", ["--bits", "4", "--group", "128", "--asym"], ["gptq", "auto_round"]),
    ("sym8", ["--bits", "8", "--group", "128"], ["auto_round", "gptq", "gptq_v2", "compressed_tensors"]),
    ("asym8", ["--bits", "8", "--group", "32", "--asym"], ["auto_round", "gptq_v2", "compressed_tensors"]),
    ("sym3", ["--bits", "3", "--group", "32"], ["auto_round", "gptq", "gptq_v2"]),
    ("asym3", ["--bits", "3", "--group", "64", "--asym"], ["auto_round", "gptq_v2"]),
    ("sym2", ["--bits", "2", "--group", "32"], ["auto_round", "gptq", "gptq_v2"]),
    ("asym2", ["--bits", "2", "--group", "32", "--asym"], ["auto_round", "gptq_v2"]),
    ("signround", ["--bits", "4", "--group", "32", "--method", "signround", "--iters", "8", "--samples", "8",
                   "--seqlen",
                   "64"], ["auto_round", "auto_round_awq", "gptq", "awq", "compressed_tensors"]),
]
# compressed_tensors with quantized inputs: name, options.
ACTS = [
    ("w8a8", ["--bits", "8", "--group", "-1", "--acts", "8"]),
    ("w8a8-static", ["--bits", "8", "--group", "-1", "--acts", "8:static:asym", "--calib", peer.HELDOUT]),
    ("w8a8-tensor", ["--bits", "8", "--group", "32", "--asym", "--acts", "8:tensor"]),
    ("w4a8", ["--bits", "4", "--group", "32", "--acts", "8:token:asym"]),
    ("w16a8", None),
    ("w4a4", ["--bits", "4", "--group", "-1", "--acts", "4:token:asym"]),
]
NEEDS = {"auto_round": ["auto_round"], "auto_round_awq": ["auto_round", "gptqmodel"],
         "gptq": ["gptqmodel", "optimum"],
         "gptq_v2": ["gptqmodel", "optimum"], "awq": ["gptqmodel"],
         "compressed_tensors": ["compressed_tensors"]}
LINEARS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
           "mlp.up_proj",
           "mlp.down_proj"]
failed = checked = 0


def missing(names):
    return [n for n in names if importlib.util.find_spec(n) is None]


if missing(["torch", "transformers", "accelerate"]):
    print("skipped: no %s" % ", ".join(missing(["torch", "transformers", "accelerate"])))
    sys.exit(77)
import torch
import transformers


def check(what, ok, text):
    global failed, checked
    checked += 1
    failed += not ok
    print("%s %-28s %s" % ("ok   " if ok else "WRONG", what, text), flush=True)


def load(path, fmt, name):
    """compressed-tensors is decompressed while loading: otherwise transformers expects asymmetric zero points
    unpacked (llm-compressor issue 1618). transformers gives all linears of a GPTQ folder one scheme: a mixed
    one is opened by gptqmodel itself."""
    if name == "mixed" and fmt == "gptq":
        from gptqmodel import BACKEND, GPTQModel
        return GPTQModel.load(path, device="cpu", backend=BACKEND.TORCH, dtype=torch.float16).model.eval()
    extra = {}
    if fmt == "compressed_tensors":
        extra["quantization_config"] = transformers.CompressedTensorsConfig(dequantize=True)
    return transformers.AutoModelForCausalLM.from_pretrained(path, device_map="cpu", **extra).eval()


def plain(path, dtype):
    return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype).eval()


def linears(model):
    for i, layer in enumerate(model.model.layers):
        for name in LINEARS:
            yield "%d.%s" % (i, name), layer.get_submodule(name)


@torch.no_grad()
def matrix(module, inputs):
    """(O, I) of a loaded linear."""
    for dtype in (torch.float32, torch.float16):
        try:
            return module(torch.eye(inputs, dtype=dtype)).float().T
        except RuntimeError: # a kernel for halves only
            if dtype == torch.float16:
                raise


@torch.no_grad()
def log_softmax(model, logits):
    """Log-probabilities at the positions that a logits file holds."""
    ids = torch.tensor(logits.ids[0][None].astype(np.int64))
    return torch.log_softmax(model(ids).logits[0, WINDOW // 2:WINDOW - 1].double(), -1).numpy()


def distance(a, logits):
    return np.abs(np.where(logits.cut, 0, a - logits.logp)).max()


def compare_weights(model, fake):
    """Largest |loaded - W'| in units of fp16's rounding of W' (2^-11 of it, or half the smallest step)."""
    worst = 0.0
    for (name, got), (_, want) in zip(linears(model), linears(fake)):
        w = want.weight.detach()
        unit = torch.maximum(w.abs() * 2.0**-11, torch.tensor(2.0**-25))
        worst = max(worst, float(((matrix(got, w.shape[1]) - w).abs() / unit).max()))
    return worst


def check_corners(what, path, fake, bits):
    """What the symmetric scheme is known to give occurs in the auto_round folder at path."""
    from safetensors.numpy import load_file
    tensors = load_file(os.path.join(path, "model.safetensors"))
    middle, lowest, negative, count = 2**(bits - 1), 0, 0, 0
    for name, module in linears(fake):
        layer, rest = name.split(".", 1)
        s = tensors["model.layers.%s.%s.scales" % (layer, rest)].T.astype(np.float32)
        w = module.weight.detach().numpy().reshape(*s.shape, -1)
        lowest += (w == -middle * s[:, :, None]).any(2).sum()
        negative += (s < 0).sum()
        count += s.size
    check(what + " scheme", negative > count // 4 and lowest > count // 2,
          "%d groups: %d negative scales, code %d in %d"
          % (count, negative, -middle, lowest))


def compare(program, what, path, fmt, fake):
    """One folder in its library against the `fake` folder beside it and against anyround."""
    file = path + ".logits"
    program.eval(path, peer.HELDOUT, "--protocol", "llamacpp", "--window", str(WINDOW), "--max-windows", "1",
                 "--save-logits", file)
    ours = peer.Logits(file)
    half = distance(log_softmax(plain(os.path.join(os.path.dirname(path), "fake"), torch.float16), ours),
                    ours)
    exact = distance(log_softmax(fake, ours), ours)
    model = load(path, fmt, what.split()[0])
    module = type(next(linears(model))[1]).__name__
    weights, delta = compare_weights(model, fake), distance(log_softmax(model, ours), ours)
    check(what, weights <= 1 and delta <= 2 * half and exact <= 2e-3,
          "%s: weights off by %.2f roundings, logits by %.1e; W' in f32 %.1e, in fp16 %.1e"
          % (module, weights, delta, exact, half))


def run_case(program, work, name, options, formats):
    out = os.path.join(work, name)
    method = [] if "--method" in options else ["--method", "rtn"]
    program("quantize", peer.DEMO, "-o", out, *method, *options, "--format", ",".join(formats + ["fake"]),
            "-q")
    fake = plain(os.path.join(out, "fake"), torch.float32)
    if "--asym" not in options:
        check_corners(name, os.path.join(out, "auto_round"), fake, int(options[1]))
    compare_all(program, name, out, formats, fake)


def run_mixed(program, work):
    """Bits and groups that differ from linear to linear; one linear stays float."""
    out = os.path.join(work, "mixed")
    if not os.environ.get("AR_TEST_MIXED"):
        print("skip  mixed: AR_TEST_MIXED names no program")
        return
    os.makedirs(out, exist_ok=True)
    subprocess.run([os.path.abspath(os.environ["AR_TEST_MIXED"]), out], cwd=peer.ROOT, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    compare_all(program, "mixed", out, ["auto_round", "gptq"],
                plain(os.path.join(out, "fake"), torch.float32))


def run_acts(program, work, name, options):
    """What quantized inputs change of the logits is the same in both: the divergence between the two programs
    is a small part of that which they cause. Codes at ties differ, since sums do: so they do between two
    devices of ours, by as much (6.6e-5 for w8a8, 3.2e-5 for w4a8, of which 5.0e-4 and 2.5e-4 are caused)."""
    path = os.path.join(work, name)
    if options is None:
        program("convert", peer.DEMO, "-o", path, "--acts", "8", "-q", device=False)
    else:
        program("quantize", peer.DEMO, "-o", path, "--method", "rtn", "--format", "compressed_tensors",
                *options, "-q")
    window = ("--protocol", "llamacpp", "--window", str(WINDOW), "--max-windows", "1", "--batch", "1")
    for how, extra in (("seen", ()), ("free", ("--acts", "16"))):
        program.eval(path, peer.HELDOUT, *window, "--save-logits", path + "." + how, *extra)
    seen, free = peer.Logits(path + ".seen"), peer.Logits(path + ".free")
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(path, device_map="cpu",
                                                                  dtype=torch.float32).eval()
        theirs = log_softmax(model, seen)
    except Exception as e:
        check(name, False, "%s: %s" % (type(e).__name__, str(e).splitlines()[:1]))
        return
    kl = lambda a, b: float((np.exp(a) * (a - b)).sum(-1).mean())
    between, effect = kl(theirs, seen.logp), kl(seen.logp, free.logp)
    check(name, between <= 0.25 * effect, "KL to anyround %.2e, of quantized inputs %.2e" % (between, effect))


def compare_all(program, name, out, formats, fake):
    for fmt in formats:
        what, path = "%s %s" % (name, fmt), os.path.join(out, fmt)
        if missing(NEEDS[fmt]):
            print("skip  %-28s no %s" % (what, ", ".join(missing(NEEDS[fmt]))), flush=True)
            continue
        try:
            compare(program, what, path, fmt, fake)
        except Exception as e: # a loader that refuses the folder
            check(what, False, "%s: %s" % (type(e).__name__, str(e).splitlines()[:1]))


def main():
    program = peer.Program(os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "auto")
    only = sys.argv[3].split(",") if len(sys.argv) > 3 else None
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    work = peer.work_dir()
    for name, options, formats in RUNS:
        if not only or name in only:
            run_case(program, work, name, options, formats)
    if not only or "mixed" in only:
        run_mixed(program, work)
    if not missing(NEEDS["compressed_tensors"]):
        for name, options in ACTS:
            if not only or name in only:
                run_acts(program, work, name, options)
    if not checked:
        print("skipped: none of the libraries is installed")
        return 77
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
