#!/usr/bin/env python3
"""zeroquant_v2.py PROGRAM [DEVICE [weights,acts]]: ZeroQuant-V2's findings (arXiv 2303.08302) on two small
models (docs/findings.md): groups and a method at 4 bits, 5 bits a row against 4 bits in small groups of the
same size, symmetric against asymmetric, 8 bits a row; and where `eval` knows --acts, 8-bit activations by
token and by tensor, alone and with 4-bit weights, on the models and on copies of them whose norms give three
channels sixty times their size and whose next weights take it back (that part needs numpy). Bits count scales
and zero points of the linears; classes are the paper's, by the rise of perplexity. Prints tables of Markdown.
Exit 77 = no material."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

from small_models import MODELS, Small, need_data, tensors

# bits, group (-1 = a row), asymmetric, method
WEIGHTS = [
    (8, -1, False, "rtn"), (8, -1, True, "rtn"),
    (4, -1, False, "rtn"), (4, -1, True, "rtn"), (4, 32, False, "rtn"), (4, 32, True, "rtn"),
    (4, -1, False, "gptq"), (4, 32, False, "gptq"), (4, -1, False, "anneal"), (4, 32, False, "anneal"),
    (5, -1, False, "rtn"), (4, 16, False, "rtn"), (5, -1, False, "gptq"), (4, 16, False, "gptq"),
]
ACTS = ["8:token:sym", "8:token:asym", "8:tensor:sym", "8:tensor:asym"]
W4A8 = ["rtn", "gptq", "anneal"]
PLANTED = [3, 17, 40]  # channels of every norm


def bits_a_weight(path, bits, group, asym):
    total = weights = 0
    for name, (_, _, shape) in tensors(path)[0].items():
        if ".layers." not in name or not name.endswith("_proj.weight"):
            continue
        groups = 1 if group < 0 else -(-shape[1] // group)
        total += shape[0] * (shape[1] * bits + groups * (16 + (bits if asym else 0)))
        weights += shape[0] * shape[1]
    return total / weights


def print_row(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def class_of(f):
    rise = f["ppl"] - f["ref_ppl"]
    return "1" if rise <= 0.1 else "2" if rise <= 0.5 else "3"


def figures_of(f):
    return f"{f['kl']:.5f}", f"{f['ppl'] - f['ref_ppl']:+.3f}", class_of(f)


def quantized(small, bits, group, asym, method):
    return small.quantize("q", method, "--bits", str(bits), "--group", str(group),
                          "--asym" if asym else "--sym")[0]


def weight_rows(small):
    for bits, group, asym, method in WEIGHTS:
        path = quantized(small, bits, group, asym, method)
        layout = f"{bits} bits, {'a row' if group < 0 else f'groups of {group}'}, {'asym' if asym else 'sym'}"
        print_row(small.name, layout, method, f"{bits_a_weight(path, bits, group, asym):.3f}",
                  *figures_of(small.figures(path)))


def act_rows(small, name):
    for acts in ACTS:
        print_row(name, "float", acts, *figures_of(small.figures(small.model, "--acts", acts)))
    for method in W4A8:
        path = quantized(small, 4, 32, False, method)
        for acts in ("16", "8:token:sym", "8:tensor:asym"):
            print_row(name, f"4 bits g32 {method}", acts, *figures_of(small.figures(path, "--acts", acts)))


def floats(data, begin, end, dtype):
    import numpy
    raw = bytes(data[begin:end])
    if dtype == "BF16":
        return (numpy.frombuffer(raw, numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)
    return numpy.frombuffer(raw, {"F32": numpy.float32, "F16": numpy.float16}[dtype]).astype(numpy.float32)


def plant(model, out):
    """A copy in F32 that computes the same, with outliers in the inputs of q, k, v, gate and up."""
    import numpy
    shutil.copytree(model, out)
    spans, data = tensors(model)
    header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    values = {}
    for name, (begin, end, shape) in spans.items():
        values[name] = floats(data, begin, end, header[name]["dtype"]).reshape(shape).copy()
        if name.endswith(("input_layernorm.weight", "post_attention_layernorm.weight")):
            values[name][PLANTED] *= 60
        if name.split(".")[-2] in ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"):
            values[name][:, PLANTED] /= 60
    at, header = 0, {"__metadata__": {"format": "pt"}}
    for name, v in values.items():
        header[name] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [at, at + v.nbytes]}
        at += v.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(out, "model.safetensors"), "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for v in values.values():
            f.write(numpy.ascontiguousarray(v).tobytes())


def knows_acts(program):
    return "--acts" in subprocess.run([program, "eval", "--help"], capture_output=True, text=True).stdout


def each_model(program, device, rows):
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            rows(Small(program, device, name, folder))


def all_act_rows(small):
    act_rows(small, small.name)
    planted = os.path.join(small.folder, "planted")
    plant(small.model, planted)
    reference, small.model = small.model, planted
    f = json.loads(small.run("eval", planted, "--ref", reference, "--text", small.tail, "--max-windows", "2",
                             "--json", "-q")[0])
    if f["kl"] > 1e-6:
        sys.exit(f"the planted model computes something else: KL {f['kl']}")
    act_rows(small, small.name + ", planted")


def main():
    need_data()
    program, device = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "cl"
    parts = sys.argv[3].split(",") if len(sys.argv) > 3 else ["weights", "acts"]
    if "weights" in parts:
        print("| model | layout | method | bits a weight | KL | perplexity | class |")
        print("|---|---|---|---|---|---|---|")
        each_model(program, device, weight_rows)
    if "acts" in parts and not knows_acts(program):
        print("\nno rows of activations: eval knows no --acts")
    elif "acts" in parts:
        print("\n| model | weights | activations | KL | perplexity | class |")
        print("|---|---|---|---|---|---|")
        each_model(program, device, all_act_rows)


main()
