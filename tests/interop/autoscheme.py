#!/usr/bin/env python3
"""autoscheme.py PROGRAM [DEVICE]: what --bpw makes of a budget, beside other ways to spend as many bits
(docs/findings.md). Asymmetric groups of 32 on searched grids: 3.0 mean bits of 2, 3 and 4 against 3 bits
everywhere, and 3.5 of 3 and 4 against 3 bits in groups of 16, against 4 bits from the first block on, and
against the median of ten random choices; then the same budgets under 50 steps of anneal. Bits count scales
and zero points of the linears. On searched grids linears do not depend on each other, so that other choices
are put together of uniform files; that every linear of --bpw's is one of theirs is checked. Prints a table of
Markdown. Exit 77 = no material."""
import os
import random
import shutil
import statistics
import sys
import tempfile

from small_models import MODELS, Small, need_data, tensors

GROUP = 32
RANDOM = 10


def bits_of(shape, bits, group=GROUP):
    """Of a linear (O, I): codes, a zero point and an fp16 scale a group."""
    groups = -(-shape[1] // group)
    return shape[0] * ((shape[1] + groups) * bits + 16 * groups)


def units_of(names):
    """What folders' loaders fuse together: q, k and v, gate and up. In the order of the blocks."""
    fused = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "gate_up", "up_proj": "gate_up"}
    units = {}
    for name in names:
        last = name.split(".")[-2]
        units.setdefault((int(name.split(".")[2]), fused.get(last, last)), []).append(name)
    return [units[key] for key in sorted(units)]


class Parts:
    """Uniform files, of which others are put together."""

    def __init__(self, small):
        self.small = small
        self.files, self.spans = {}, None
        for bits in (2, 3, 4):
            options = ["--bits", str(bits), "--group", str(GROUP), "--asym"]
            path = small.quantize(f"u{bits}", "search", *options)[0]
            self.spans, self.files[bits] = tensors(path)
            self.base = path
        self.linears = [n for n in self.spans if ".layers." in n and n.endswith("_proj.weight")]
        self.units = units_of(self.linears)
        self.weights = sum(self.spans[n][2][0] * self.spans[n][2][1] for n in self.linears)

    def total(self, widths, group=GROUP):
        return sum(bits_of(self.spans[n][2], widths[n], group) for n in self.linears)

    def kl(self, widths):
        path = os.path.join(self.small.folder, "made")
        data = bytearray(self.files[3])
        for name in self.linears:
            begin, end, _ = self.spans[name]
            data[begin:end] = self.files[widths[name]][begin:end]
        shutil.copytree(self.base, path, dirs_exist_ok=True)
        with open(os.path.join(path, "model.safetensors"), "wb") as f:
            f.write(data)
        return self.small.figures(path)["kl"]

    def widths_of(self, path):
        """The width of each linear of a file."""
        spans, data = tensors(path)
        found = {}
        for name in self.linears:
            begin, end, _ = spans[name]
            same = [b for b in self.files if self.files[b][begin:end] == data[begin:end]]
            if not same:
                sys.exit(f"{path}: {name} is none of the uniform files'")
            found[name] = same[0]
        return found

    def spend(self, units, low, high, budget):
        """`high` for units in this order while the budget holds."""
        widths = {n: low for n in self.linears}
        for unit in units:
            for name in unit:
                widths[name] = high
            if self.total(widths) > budget:
                for name in unit:
                    widths[name] = low
        return widths


def print_row(small, method, what, bits, weights, kl):
    print(f"| {small.name} | {method} | {what} | {bits / weights:.3f} | {kl:.4f} |", flush=True)


def budget_options(parts, types, budget):
    return ["--group", str(GROUP), "--asym", "--types", types, "--bpw",
            f"{budget / parts.weights + 1e-6:.6f}"]


def searched(small, parts, types, budget, others):
    for sensitivity in ("kl", "gradient"):
        options = [*budget_options(parts, types, budget), "--sensitivity", sensitivity]
        path = small.quantize("auto", "search", *options)[0]
        widths = parts.widths_of(path)
        print_row(small, "search", f"--bpw, {sensitivity}", parts.total(widths), parts.weights,
                  small.figures(path)["kl"])
    for what, widths in others:
        print_row(small, "search", what, parts.total(widths), parts.weights, parts.kl(widths))
    low, high = int(types[0]), int(types[-1])
    chosen, drawn = random.Random(1), []
    for _ in range(RANDOM):
        units = parts.units[:]
        chosen.shuffle(units)
        widths = parts.spend(units, low, high, budget)
        drawn.append((parts.kl(widths), parts.total(widths)))
    drawn.sort()
    print_row(small, "search", f"median of {RANDOM} random choices of {low} and {high} bits",
              statistics.median(b for _, b in drawn), parts.weights, statistics.median(k for k, _ in drawn))


def uniform(small, parts, method, group):
    path = small.quantize("uniform", method, "--bits", "3", "--group", str(group), "--asym")[0]
    widths = {n: 3 for n in parts.linears}
    print_row(small, method, f"3 bits, groups of {group}", parts.total(widths, group), parts.weights,
              small.figures(path)["kl"])


def one_model(small):
    parts = Parts(small)
    three, four = ({n: b for n in parts.linears} for b in (3, 4))
    half = (parts.total(three) + parts.total(four)) // 2
    searched(small, parts, "2,3,4", parts.total(three), [("3 bits, groups of 32", three)])
    searched(small, parts, "3,4", half,
             [("4 bits from the first block on", parts.spend(parts.units, 3, 4, half))])
    uniform(small, parts, "search", 16)
    for types, budget in (("2,3,4", parts.total(three)), ("3,4", half)):
        path, said = small.quantize("auto", "anneal", *budget_options(parts, types, budget))
        bits = float(said.split(" bits per weight")[0].split()[-1])
        print_row(small, "anneal", f"--bpw of {types}", bits, 1, small.figures(path)["kl"])
        uniform(small, parts, "anneal", 32 if types == "2,3,4" else 16)


def main():
    need_data()
    program, device = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "cl"
    print("| model | method | bits by | bits a weight | KL |")
    print("|---|---|---|---|---|")
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            one_model(Small(program, device, name, folder))


main()
