#!/usr/bin/env python3
"""Prints figures of the models in this repository, as rows of the tests that know them: examples/demo-model
and signround/model, computed by signround_reference.py in float64; the demo's text is cut by Hugging Face's
tokenizers library.

    python3 make_reference.py            needs torch, numpy, safetensors, tokenizers; a minute

Figures and runs are rows of tests/test_reference.c, CRCs of tests/test_scheme.c; token counts and the greedy
text stand in tests/test_tokenizer_data.c.
"""
import os
import zlib

import torch
from tokenizers import Tokenizer

from signround_reference import LINEARS, Llama, Quantizer, Scheme, first_loss

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DEMO = os.path.join(ROOT, "examples", "demo-model")
TEXT = os.path.join(ROOT, "examples", "demo-heldout.txt")
SETTINGS = ("W4g32s", "W3g32", "W2g32", "W2g128")
CRC_SETTINGS = ("W4g32s", "W2g32", "W3g32", "W4g128", "W2g128", "W4g32", "W3g128", "W2g32s")
WINDOWS, LENGTH, BATCH, SEED = 16, 32, 4, 42
GREEDY, LINES = 40, 100
APART = 0.02  # a smaller distance between the best two logits may turn the order of float32 sums around


def lines_perplexity(model, encode, text):
    """The first LINES lines that are not empty, each behind BOS; the mean over all their tokens."""
    rows = [[1] + encode(line.strip()) for line in text.split("\n") if line.strip()][:LINES]
    T = max(len(row) for row in rows)
    ids = torch.tensor([row + [0] * (T - len(row)) for row in rows])
    real = torch.tensor([[1] * (len(row) - 1) + [0] * (T - len(row)) for row in rows], dtype=torch.bool)
    with torch.no_grad():
        nll = torch.cat([-model.logits(part[:, :-1]).log_softmax(-1).gather(2, part[:, 1:, None])[..., 0]
                         for part in ids.split(64)])
    return float(nll[real].mean().exp()), int(real.sum())


def greedy(model):
    ids, closest = [1], torch.inf
    with torch.no_grad():
        for _ in range(GREEDY):
            best = model.logits(torch.tensor([ids]))[0, -1].topk(2)
            closest = min(closest, float(best.values[0] - best.values[1]))
            ids.append(int(best.indices[0]))
    return ids, closest


def print_figures(model, encode, text):
    ppl, tokens = lines_perplexity(model, encode, text)
    with torch.no_grad():
        logits = model.logits(torch.tensor([[1]]))[0, 0]
    top = logits.topk(5)
    ids, closest = greedy(model)
    print("figures of the demo model:\n%.5f, %d," % (ppl, tokens))
    best = zip(top.indices.tolist(), top.values.tolist())
    print("{%s}," % ", ".join("{%d, %.5f}" % pair for pair in best))
    print("%.5f,\n{%s}" % (float(logits.sum()), ", ".join(map(str, ids))))
    print("(the two best logits are at least %.3f apart)" % closest)
    return ids


def print_runs(model, ids):
    ids = torch.tensor(ids[:WINDOWS * LENGTH]).view(WINDOWS, LENGTH)
    for setting in SETTINGS:
        loss = first_loss(model, ids, Scheme(setting), SEED, BATCH)
        print('{"examples/demo-model", "%s", %d, {%.9g, 0}},' % (setting, SEED, loss))


def print_crcs(model, name):
    for setting in CRC_SETTINGS:
        scheme, crc = Scheme(setting), [0, 0, 0]
        for block in range(model.blocks):
            for linear in LINEARS:
                q = Quantizer(model.linears(block)[linear], scheme, 1)
                parts = q.q.to(torch.uint8), q.s.half(), q.zp.to(torch.uint8)
                crc = [zlib.crc32(part.numpy().tobytes(), c) for part, c in zip(parts, crc)]
        kind = "SYM" if scheme.sym else "INT"
        zeros = "0" if scheme.sym else "0x%08x" % crc[2]
        row = (name, kind, scheme.bits, scheme.group, crc[0], crc[1], zeros)
        print('{"%s", %s(%d, %d), 0x%08x, 0x%08x, %s},' % row)


def main():
    demo, tiny = Llama(DEMO), Llama(os.path.join(HERE, "signround", "model"))
    tokenizer = Tokenizer.from_file(os.path.join(DEMO, "tokenizer.json"))
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    with open(TEXT, encoding="utf-8", newline="") as f:
        text = f.read()
    ids = encode(text)
    print("tokens of the text: %d, unknown %d, first %s" % (len(ids), ids.count(0), ids[:8]))
    said = print_figures(demo, encode, text)
    print("said: %r" % tokenizer.decode(said, skip_special_tokens=True))
    print_runs(demo, ids)
    print_crcs(tiny, "tests/golden/signround/model")
    print_crcs(demo, "examples/demo-model")


main()
