#!/usr/bin/env python3
"""gptq_lorc.py PROGRAM [DEVICE [gptq,lorc]]: gptq between search and signround at 3 and 2 bits
(docs/methods.md), and what factors of rank 8 give rtn and gptq back with a scale for every row
(docs/lorc.md). Two small models, the first windows of 512 tokens of a text to calibrate on and those behind
that to measure on; signround takes 200 steps of 8, plain loss. Prints tables of Markdown and fails (exit 1)
where signround < gptq < search < rtn in KL does not hold or factors do not lower it. Exit 77 = no
material."""
import sys
import tempfile

from small_models import Small, need_data

# Windows to calibrate and to measure on.
MODELS = {"stories260K-hf": (128, 68), "tinystories-656K-hf": (64, 33)}
PLAIN = ["--method", "gptq"]
METHODS = [
    ("rtn", ["--method", "rtn"]),
    ("search", ["--method", "search"]),
    ("gptq --grid range", [*PLAIN, "--grid", "range"]),
    ("gptq --grid range --act-order", [*PLAIN, "--grid", "range", "--act-order"]),
    ("gptq", PLAIN),
    ("gptq --act-order", [*PLAIN, "--act-order"]),
    ("signround", ["--method", "signround", "--iters", "200", "--batch", "8", "--loss", "plain"]),
]
ORDER = ["signround", "gptq", "search", "rtn"]  # of rising KL


def figures(small, windows, bits, group, options, lorc=()):
    """KL and perplexity of one run."""
    samples = [] if "rtn" in options else ["--calib", small.head, "--samples", str(windows[0]), "--seqlen",
                                           "512"]
    with tempfile.TemporaryDirectory(dir=small.folder) as folder:
        out, factors = folder + "/o", folder + "/factors.safetensors"
        small.run("quantize", small.model, "-o", out, "--format", "fake", "--bits", str(bits), "--group",
                  str(group), "--asym", *options, *samples, *(["--lorc", factors, *lorc] if lorc else []))
        return small.compare(out, ["--window", "512", "--max-windows", str(windows[1])],
                             *(["--lora", factors] if lorc else []))


def gptq(small, windows):
    """What does not hold."""
    wrong = []
    for bits in (3, 2):
        kl = {}
        for name, options in METHODS:
            f = figures(small, windows, bits, 32, options)
            kl[name] = f["kl"]
            print(f"| {small.name} | {bits} bits, groups of 32 | {name} | {f['kl']:.4f} | {f['ppl']:.2f} |",
                  flush=True)
        wrong += [f"{small.name}, {bits} bits: {a} {kl[a]:.4f}, {b} {kl[b]:.4f}"
                  for a, b in zip(ORDER, ORDER[1:]) if kl[a] >= kl[b]]
    return wrong


def lorc(small, windows):
    wrong = []
    for bits in (3, 2):
        for name, options in (METHODS[0], METHODS[4]):
            with_8, without = (figures(small, windows, bits, -1, options, rank)["kl"]
                               for rank in (["--lorc-rank", "8"], []))
            print(f"| {small.name} | {bits} bits, a row | {name} | {without:.4f} | {with_8:.4f} |",
                  flush=True)
            if with_8 >= without:
                wrong.append(f"{small.name}, {bits} bits, {name}: {with_8:.4f} with factors, {without:.4f}")
    return wrong


def main():
    need_data()
    program, device = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "cl"
    parts = sys.argv[3].split(",") if len(sys.argv) > 3 else ["gptq", "lorc"]
    wrong = []
    for part, head in (("gptq", "KL | perplexity"), ("lorc", "KL | with rank 8")):
        if part not in parts:
            continue
        print(f"| model | layout | method | {head} |\n|---|---|---|---|---|")
        for name, windows in MODELS.items():
            with tempfile.TemporaryDirectory() as folder:
                small = Small(program, device, name, folder)
                wrong += {"gptq": gptq, "lorc": lorc}[part](small, windows)
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
