#!/usr/bin/env python3
"""methods.py PROGRAM [DEVICE] [ROWS] [SEEDS]: what the methods of tuning are worth at equal steps
(docs/frozen.md). TinyStories-656K, 64 x 512 tokens of the beginning of a text to tune on, 200 steps of 4,
plain loss, the best batch (signround) or the last step, KL on the 33 windows of 512 behind that; shares are
of signround's, costs processor seconds.
ROWS: settings by commas (all); SEEDS: how many (2). Prints a table of Markdown, row by row, and fails (exit
1) where a share is above its bound. Exit 77 = no material."""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(os.environ.get("AR_SHARED", os.path.join(ROOT, "..", "shared")), "data")
MODEL = os.path.join(DATA, "tinystories-656K-hf")
TEXT = os.path.join(DATA, "text", "tinystories", "tinystories_v1_sample.txt")
HEAD = 132166  # bytes of the text to tune on: 64 windows
STEPS, BATCH = 200, 4
SETTINGS = {
    "W2g32": ["--bits", "2", "--group", "32", "--asym"],
    "W2g128": ["--bits", "2", "--group", "128", "--asym"],
    "W3g32": ["--bits", "3", "--group", "32", "--asym"],
    "W4g32s": ["--bits", "4", "--group", "32", "--sym"],
}
# What it is called, its options, and the largest share of signround's KL, by settings (None: any other).
METHODS = [
    ("signround", ["--method", "signround", "--select", "batch"], {}),
    ("frozen", ["--method", "frozen", "--select", "last"], {None: 0.76}),
    ("anneal", ["--method", "anneal", "--select", "last"], {None: 0.66, "W4g32s": 0.72}),
    ("anneal, scales at the end", ["--method", "anneal", "--select", "last", "--finish", "scales"],
     {"W2g32": 0.62}),
]


def run(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def spent():
    times = os.times()
    return times.children_user + times.children_system


def measure(program, setting, options, seed, device):
    """KL of one run, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        out, head, tail = (os.path.join(folder, name) for name in ("o", "head.txt", "tail.txt"))
        with open(TEXT, "rb") as f, open(head, "wb") as h, open(tail, "wb") as t:
            h.write(f.read(HEAD))
            t.write(f.read())
        before = spent()
        run(program, "quantize", MODEL, "-o", out, "--format", "fake", *SETTINGS[setting], *options,
            "--iters", str(STEPS), "--batch", str(BATCH), "--loss", "plain",
            "--calib", head, "--samples", "64", "--seqlen", "512", "--seed", str(seed), "--device", device,
            "-q")
        took = spent() - before
        figures = json.loads(run(program, "eval", out, "--ref", MODEL, "--text", tail, "--max-windows", "33",
                                 "--window", "512", "--device", device, "--json", "-q"))
        return figures["kl"], took


def main():
    program, device = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "cl"
    settings = sys.argv[3].split(",") if len(sys.argv) > 3 else list(SETTINGS)
    seeds = range(42, 42 + (int(sys.argv[4]) if len(sys.argv) > 4 else 2))
    if not os.path.exists(TEXT):
        print("skipped: no shared data")
        sys.exit(77)
    above = []
    print("| setting | method | KL | of signround's | s |")
    print("|---|---|---|---|---|")
    for setting in settings:
        plain = None
        for name, options, bounds in METHODS:
            runs = [measure(program, setting, options, seed, device) for seed in seeds]
            kl, took = (sum(r[k] for r in runs) / len(runs) for k in range(2))
            plain = plain or kl
            bound = bounds.get(setting, bounds.get(None))
            if bound and kl / plain > bound:
                above.append(f"{setting}, {name}: {kl / plain:.3f}, expected at most {bound}")
            print(f"| {setting} | {name} | {kl:.4f} | {kl / plain:.3f} | {took:.0f} |", flush=True)
    for line in above:
        print(line)
    sys.exit(1 if above else 0)


if __name__ == "__main__":
    main()
