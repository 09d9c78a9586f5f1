#!/usr/bin/env python3
"""windows.py PROGRAM [DEVICE [SEEDS [MODEL CALIB TEST]]]: what --window-blocks, --stride and --lookahead are
worth (docs/windows.md). Two bits, groups of 32, integer zero points; 32 x 128 tokens of
the beginning of a text to tune on, 50 steps of 8 samples, KL on 12 windows of 256 behind that. A setting that
costs more than block by block has block by block with as many more steps beside it; costs are processor
seconds. MODEL, a folder of Hugging Face's, and texts for it: only its first six blocks, the others float.
Prints a table of Markdown, row by row. Exit 77 = no material."""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(os.environ.get("AR_SHARED", os.path.join(ROOT, "..", "shared")), "data")
TEXT = os.path.join(DATA, "text", "tinystories", "tinystories_v1_sample.txt")
STEPS = 50
FIRST = 6  # blocks of a model that is given
HEAD = 132166  # bytes of the text to tune on
# What it is called, its options, and the steps of block by block that cost as much.
ROWS = [
    ("block by block", [], None),
    ("MB-2", ["--window-blocks", "2"], None),
    ("MB-n", ["--window-blocks", "99"], None),
    ("2 by 1, overlapping", ["--window-blocks", "2", "--stride", "1"], 100),
    ("LA-1", ["--lookahead", "1"], 83),
    ("LA-2", ["--lookahead", "2"], 117),
]


def run(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def spent():
    times = os.times()
    return times.children_user + times.children_system


def texts(folder, given):
    """The files to tune on and to measure on."""
    if given:
        return given
    head, tail = (os.path.join(folder, name) for name in ("head.txt", "tail.txt"))
    with open(TEXT, "rb") as f, open(head, "wb") as h, open(tail, "wb") as t:
        h.write(f.read(HEAD))
        t.write(f.read())
    return head, tail


def restore(folder, model, blocks):
    """The float weights again behind the first blocks of a folder."""
    from safetensors.torch import load_file, save_file
    path = os.path.join(folder, "model.safetensors")
    tensors, source = load_file(path), load_file(os.path.join(model, "model.safetensors"))
    for name, tensor in tensors.items():
        if ".layers." in name and int(name.split(".layers.")[1].split(".")[0]) >= blocks:
            tensors[name] = source[name].to(tensor.dtype)
    save_file(tensors, path, {"format": "pt"})


def measure(program, model, method, steps, options, seed, device, given=()):
    """KL of one run, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "o")
        head, tail = texts(folder, given)
        before = spent()
        run(program, "quantize", model, "-o", out, "--format", "fake", "--bits", "2", "--group", "32",
            "--asym", "--method", method, "--iters", str(steps), "--batch", "8", "--calib", head,
            "--samples", "32", "--seqlen", "128", "--seed", str(seed), "--device", device, "-q", *options)
        took = spent() - before
        if given:
            restore(out, model, FIRST)
        figures = json.loads(run(program, "eval", out, "--ref", model, "--text", tail, "--max-windows", "12",
                                 "--window", "256", "--device", device, "--json", "-q"))
        return figures["kl"], took


def mean(program, model, method, steps, options, seeds, device, given=()):
    runs = [measure(program, model, method, steps, options, seed, device, given) for seed in seeds]
    return [sum(r[k] for r in runs) / len(runs) for k in range(2)]


def main():
    program, device = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "cl"
    seeds = range(42, 42 + (int(sys.argv[3]) if len(sys.argv) > 3 else 2))
    if not os.path.exists(TEXT):
        print("skipped: no shared data")
        sys.exit(77)
    if len(sys.argv) > 4:
        print(f"| {sys.argv[4]}, first {FIRST} blocks | windows | KL | s |\n|---|---|---|---|")
        for method in ["signround", "anneal"]:
            for row, options, _ in (r for r in ROWS if r[0] in ("block by block", "MB-2", "LA-1")):
                first = [*options, "--blocks", str(FIRST)]
                kl, took = mean(program, sys.argv[4], method, STEPS, first, seeds, device, sys.argv[5:7])
                print(f"| {method} | {row} | {kl:.4f} | {took:.0f} |", flush=True)
        return
    print("| model, method | windows | KL | s | block by block, at that cost: KL | s |")
    print("|---|---|---|---|---|---|")
    for name in ["stories260K-hf", "tinystories-656K-hf"]:
        model = os.path.join(DATA, name)
        with open(os.path.join(model, "config.json"), encoding="utf-8") as f:
            blocks = json.load(f)["num_hidden_layers"]
        for method in ["signround", "anneal"]:
            for row, options, control in ROWS:
                if blocks <= 2 and row in ("MB-n", "LA-2"):
                    continue  # the row before it, cut at the model's end
                kl, took = mean(program, model, method, STEPS, options, seeds, device)
                line = f"| {name}, {method} | {row} | {kl:.4f} | {took:.0f} |"
                if control:
                    kl, took = mean(program, model, method, control, [], seeds, device)
                    line += f" {control} steps: {kl:.4f} | {took:.0f} |"
                else:
                    line += " | |"
                print(line, flush=True)


if __name__ == "__main__":
    main()
