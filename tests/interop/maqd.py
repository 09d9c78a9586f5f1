#!/usr/bin/env python3
"""maqd.py PROGRAM DEVICE MNIST_DIR CIFAR_DIR [--text FILE...] [--work DIR] [--rows REGEX] [--quick] [--list]:
tables of nets of few states (docs/maqd.md), as Markdown: MNIST by states, norm and batch; an ablation on
images in CIFAR-10's binary form (*train*.bin, *test*.bin); the byte-mlp's held-out perplexity, with the
inequalities that are expected of it; a small Llama's, by running statistics and by those of batches. Every
row is a run of `train`, whose answer stays in DIR: a row that is there is not run again, one that was cut off
goes on, and --rows runs only those whose names match. --quick: an eighth of the steps. Exit 1 = an inequality
does not hold, 77 = nothing to run on."""
import argparse
import glob
import gzip
import json
import math
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile

NORMS = ["layer-batch", "batch", "layer"]


class Row:
    def __init__(self, table, name, what, options, is_few=True):
        self.table, self.name, self.what = table, name, what
        self.options = (["--recipe", "maqd"] if is_few else []) + [str(o) for o in options]


def mnist_rows(data):
    rows = []
    common = ["--arch", "cnn", "--images", data["train-images"], "--labels", data["train-labels"],
              "--test-images", data["t10k-images"], "--test-labels", data["t10k-labels"],
              "--decay", 0.01, "--held-out", 0.02]
    for batch, steps, rate in ((64, 1200, 0.005), (4, 2400, 0.002)):
        for states in (0, 15, 7, 4, 3):
            for norm in NORMS:
                options = common + ["--mw", states, "--ma", states, "--norm", norm, "--batch", batch,
                                    "--steps", steps, "--lr", rate, "--eval-every", steps // 2]
                rows.append(Row("mnist", f"mnist-{states or 'float'}-{norm}-{batch}",
                                (states or "float", norm, batch, steps), options))
    return rows


ABLATION = [
    ("all four parts, 3 states", []),
    ("7 states", ["--mw", 7, "--ma", 7]),
    ("floats", ["--mw", 0, "--ma", 0]),
    ("weights in floats", ["--mw", 0]),
    ("activations in floats", ["--ma", 0]),
    ("batch norm for layer-batch norm", ["--norm", "batch"]),
    ("layer norm for layer-batch norm", ["--norm", "layer"]),
    ("variance of each sample", ["--lbn-stats", "sample"]),
    ("weights not standardized", ["--raw-weights"]),
    ("no surrogate gradients", ["--plain-gradients"]),
]


def cifar_rows(train, test):
    rows = []
    for i, (what, changes) in enumerate(ABLATION):
        states = [] if "--mw" in changes else ["--mw", 3]
        states += [] if "--ma" in changes else ["--ma", 3]
        options = ["--arch", "cnn", "--images", train, "--test-images", test, "--batch", 16,
                   "--steps", 1600, "--lr", 0.003, "--decay", 0.01, "--eval-every", 400] + states + changes
        rows.append(Row("cifar", f"cifar-{i}", (what,), options))
    return rows


def byte_rows(text):
    rows = []

    def add(name, what, batch, steps, rate, *options):
        rows.append(Row("bytes", "bytes-" + name, what + (batch, steps),
                        ["--arch", "byte-mlp", "--text", text, "--batch", batch, "--steps", steps, "--lr",
                         rate, "--eval-every", steps, "--lr-end", 0, "--decay", 0, "--held-out", 0.1,
                         "--keep", "last", *options]))
    for batch, steps, rate in ((128, 2500, 0.004), (4, 6000, 0.002)):
        for norm in NORMS:
            add(f"float-{norm}-{batch}", ("float", norm), batch, steps, rate, "--mw", 0, "--ma", 0,
                "--norm", norm)
    for mw, ma in ((15, 15), (7, 7), (3, 15), (15, 3), (3, 3), (3, 2)):
        add(f"{mw}-{ma}", (f"{mw}/{ma}", NORMS[0]), 128, 2500, 0.004, "--mw", mw, "--ma", ma)
    return rows


def llama_rows(text):
    rows = []
    tokenizer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "demo-model")
    for states, norm, batch in ((None, "rms", 8), ((0, 0), NORMS[0], 8), ((15, 15), NORMS[0], 8),
                                ((7, 7), NORMS[0], 8), ((3, 7), NORMS[0], 8), ((3, 7), NORMS[0], 1)):
        what = f"{states[0]}/{states[1]}" if states else "plain"
        options = ["--arch", "llama", "--tokenizer", tokenizer, "--text", text, "--layers", 2, "--hidden", 64,
                   "--heads", 4, "--kv-heads", 2, "--context", 64, "--seqlen", 64, "--batch", batch,
                   "--steps", 320, "--lr", 0.01, "--held-out", 0.02, "--eval-every", 320, "--keep", "last"]
        few = ["--mw", states[0], "--ma", states[1], "--norm", norm] if states else []
        rows.append(Row("llama", f"llama-{what.replace('/', '-')}-{batch}", (what, norm, batch, 320),
                        options + few, bool(states)))
    return rows


# ---- running ----

class Runs:
    def __init__(self, program, device, work, quick):
        self.program, self.device, self.work, self.quick = os.path.abspath(program), device, work, quick

    def path(self, row, suffix):
        return os.path.join(self.work, row.name + ("-quick" if self.quick else "") + suffix)

    def answer(self, row):
        if not os.path.exists(self.path(row, ".json")):
            return None
        with open(self.path(row, ".json"), encoding="utf-8") as f:
            return json.load(f)

    def steps_of(self, options):
        if not self.quick:
            return options
        at = options.index("--steps") + 1
        every = options.index("--eval-every") + 1
        shorter = list(options)
        shorter[at] = str(max(1, int(options[at]) // 8))
        shorter[every] = str(max(1, int(options[every]) // 8))
        return shorter

    def take(self, row):
        out = self.path(row, "")
        command = [self.program, "train", *self.steps_of(row.options), "--device",
                   self.device, "-o", out, "--json", "-q"]
        if os.path.isdir(out + ".part"):
            command.append("--resume")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run(command, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if run.returncode:
            sys.exit(f"{row.name}: exit {run.returncode}: {run.stderr.strip()}")
        answer = json.loads(run.stdout)
        answer["cpu_seconds"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        answer["bytes"] = self.bytes_of(out) if row.table in ("mnist", "cifar") else None
        with open(out + ".json.new", "w", encoding="utf-8") as f:
            json.dump(answer, f)
        os.replace(out + ".json.new", out + ".json")

    def bytes_of(self, net):
        told = subprocess.run([self.program, "info", net, "--json"], capture_output=True, text=True,
                              check=True).stdout
        whole = json.loads(told)[0].get("whole_numbers")
        return [whole["bytes"], whole["float_bytes"]] if whole else None


# ---- tables ----

HEADS = {"mnist": ("states", "norm", "batch", "steps", "test accuracy", "s", "CPU s", "bytes (floats)"),
         "cifar": ("what", "test accuracy", "s", "CPU s", "bytes (floats)"),
         "bytes": ("states", "norm", "batch", "steps", "perplexity a byte", "s", "CPU s"),
         "llama": ("states", "norm", "batch", "steps", "perplexity a token", "in whole batches", "by batches",
                   "s", "CPU s")}


def cells(row, answer):
    if row.table in ("bytes", "llama"):
        figures = [f"{math.exp(answer['held_loss']):.3f}"]
    else:
        figures = [f"{100 * answer['test_accuracy']:.2f} %"]
    if row.table == "llama":
        for key in ("held_loss_running", "held_loss_batches"):
            figures.append(f"{math.exp(answer[key]):.3f}" if key in answer else "-")
    figures += [f"{answer['seconds']:.0f}", f"{answer['cpu_seconds']:.0f}"]
    if row.table in ("mnist", "cifar"):
        figures.append("{} ({})".format(*answer["bytes"]) if answer["bytes"] else "-")
    what = list(row.what)
    if len(what) > 1:
        what[-1] = answer["steps"]
    return [str(w) for w in what] + figures


def print_table(table, rows, runs):
    print(f"\n| {' | '.join(HEADS[table])} |\n|{' --- |' * len(HEADS[table])}")
    for row in rows:
        answer = runs.answer(row)
        if row.table == table and answer:
            print(f"| {' | '.join(cells(row, answer))} |", flush=True)


# name, a, b, factor: perplexity of a <= factor x that of b
EXPECTED = [
    ("layer-batch norm is within 3 % of layer norm at batch 4", "float-layer-batch-4", "float-layer-4", 1.03),
    ("batch norm is at least 25 % worse at batch 4", "float-layer-batch-4", "float-batch-4", 1 / 1.25),
    ("layer-batch norm is within 3 % of batch norm at 128", "float-layer-batch-128", "float-batch-128", 1.03),
    ("15/15 is within 4 % of floats", "15-15", "float-layer-batch-128", 1.04),
    ("3/2 is within 20 % of floats", "3-2", "float-layer-batch-128", 1.20),
    ("15/15 is no worse than 7/7, within 1 %", "15-15", "7-7", 1.01),
    ("7/7 is no worse than 3/3, within 1 %", "7-7", "3-3", 1.01),
    ("3/3 is no worse than 3/2, within 1 %", "3-3", "3-2", 1.01),
]


def check(rows, runs):
    """True unless one does not hold."""
    losses = {}
    for row in rows:
        answer = runs.answer(row)
        if row.table == "bytes" and answer:
            losses[row.name] = answer["held_loss"]
    good = True
    for what, a, b, factor in EXPECTED:
        a, b = losses.get("bytes-" + a), losses.get("bytes-" + b)
        if a is None or b is None:
            continue
        holds = math.exp(a - b) <= factor
        good = good and holds
        said = "holds" if holds else "DOES NOT HOLD"
        print(f"- {said}: {what} ({math.exp(a - b):.3f}, at most {factor:.3f})")
    return good


# ---- data ----

def unpack(folder, work):
    data = {}
    for part in ("train", "t10k"):
        for kind, dims in (("images", 3), ("labels", 1)):
            packed = os.path.join(folder, f"{part}-{kind}-idx{dims}-ubyte.gz")
            target = os.path.join(work, f"{part}-{kind}")
            if not os.path.exists(packed):
                return None
            if not os.path.exists(target):
                with gzip.open(packed) as f, open(target + ".new", "wb") as g:
                    shutil.copyfileobj(f, g)
                os.replace(target + ".new", target)
            data[f"{part}-{kind}"] = target
    return data


def joined(files, work):
    target = os.path.join(work, "text")
    with open(target, "wb") as g:
        for name in files:
            with open(name, "rb") as f:
                shutil.copyfileobj(f, g)
    return target


def all_rows(args, work):
    rows = []
    mnist = unpack(args.mnist, work)
    if mnist:
        rows += mnist_rows(mnist)
    train, test = (glob.glob(os.path.join(args.cifar, f"*{part}*.bin")) for part in ("train", "test"))
    if train and test:
        rows += cifar_rows(train[0], test[0])
    if args.text:
        text = joined(args.text, work)
        rows += byte_rows(text) + llama_rows(text)
    for found, what in ((mnist, "MNIST"), (train and test, "images in CIFAR-10's form"), (args.text, "text")):
        if not found:
            print(f"left out: no {what}", file=sys.stderr)
    if not rows:
        sys.exit(77)
    return rows


def main():
    p = argparse.ArgumentParser(description=__doc__)
    for name in ("program", "device", "mnist", "cifar"):
        p.add_argument(name)
    p.add_argument("--text", nargs="+")
    p.add_argument("--work")
    p.add_argument("--rows", default="")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--list", action="store_true")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        work = os.path.abspath(args.work or passing)
        os.makedirs(work, exist_ok=True)
        rows = all_rows(args, work)
        runs = Runs(args.program, args.device, work, args.quick)
        wanted = [row for row in rows if re.search(args.rows, row.name)]
        for row in wanted:
            if args.list:
                print(row.name, "" if runs.answer(row) is None else "(done)")
            elif runs.answer(row) is None:
                runs.take(row)
        if args.list:
            return 0
        for table in HEADS:
            if any(row.table == table and runs.answer(row) for row in rows):
                print_table(table, rows, runs)
        return 0 if check(rows, runs) else 1


if __name__ == "__main__":
    sys.exit(main())
