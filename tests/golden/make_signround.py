#!/usr/bin/env python3
"""Writes signround/: vectors of SignRound's arithmetic, from the implementation in signround_reference.py.

    python3 make_signround.py            needs torch, numpy, safetensors

  linear.safetensors    one weight, four quantizers, one sign step                     tests/test_golden.c
  model/                a tiny random Llama of two blocks                              all below
  block.safetensors     its block 0: forward, gradients, one step short of the update  test_block.c,
                                                                                       test_golden.c
  windows.safetensors   token ids to tune that model with                              test_oracle_small.c
  model-SETTING-SEED.safetensors  tuning runs, as make_oracle_dump.py writes them      test_oracle_small.c

Everything is random by seed: on one machine and with one version of torch, a rerun writes the same bytes. No
code lies within 1e-3 of where it changes, except in row 3 of the linear, where ties are deliberate and exact.
"""
import json
import os

import numpy as np
import torch
from safetensors.torch import save_file

from signround_reference import LINEARS, Llama, Quantizer, Scheme, loss_of, rounding_errors, tune

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "signround")
UNITS = 40000  # T^2: 200 iterations at a rate of 1/200
APART = 1e-3
SETTINGS = ("W4g32s", "W3g32", "W2g32", "W2g128")
WINDOWS, LENGTH, BATCH, ITERS, SEED = 16, 24, 4, 40, 42
HIDDEN, INNER, HEADS, KV_HEADS, HEAD, VOCAB, BLOCKS = 64, 48, 4, 2, 8, 64, 2


def i16(t):
    return t.to(torch.int16).contiguous()


def f32(t):
    return t.detach().float().contiguous()


# ---- linear.safetensors ----

LINEAR = {"asym2.": "W2g32", "asym4.": "W4g32", "sym2.": "W2g32s", "sym4.": "W4g32s"}
TIES = 3  # the row of exact ties


def linear_weight(g):
    """Eight rows of two groups, each after something that may go wrong; and the tuned numbers of each."""
    W = 0.05 * torch.randn(8, 64, generator=g)
    v = torch.randint(-18000, 18001, (8, 64), generator=g)
    low, high = (torch.randint(26000, 40001, (8, 2), generator=g) for _ in range(2))
    W[1, :32], W[1, 32:] = W[1, :32].abs(), -W[1, 32:].abs()  # ranges of one sign
    W[2, :32] = 0
    # scales: a subnormal fp16 at 2 bits, the floor at 4
    W[2, 32:] = 1e-5 * torch.empty(32).uniform_(-3, 3, generator=g)
    W[2, 32], W[2, 33], low[2, 1], high[2, 1] = -3.2e-5, 3.6e-5, 39000, 38000
    W[3] = torch.randint(-13, 14, (64,), generator=g) / 16  # steps of 1/8 at 4 bits: every second one a tie
    W[3, 0], W[3, 1], W[3, 32], W[3, 33] = -0.875, 1.0, 0.9375, -0.9375  # in group 1 min and max are equal
    v[3] = torch.where(torch.rand(64, generator=g) < 0.25, 20000, 0)  # one half: a tie where w/s is whole
    low[3], high[3] = UNITS, UNITS
    W[4, ::7] *= 4
    low[4], high[4] = 24000, 24000  # outliers beyond the range
    low[5] = torch.tensor([0, 33333])
    high[5] = torch.tensor([35000, 0])
    low[6], high[6] = 40200, 40200  # above 1, to be held at 1
    v[7] = torch.where(torch.rand(64, generator=g) < 0.5, 20100, -20100)  # the ends of V's schedule
    return W, v, low, high


def keep_apart(W, v, low, high, schemes, g, exact_rows=()):
    """Draws the numbers again that bring a code or a zero point near where it changes."""
    for _ in range(200):
        near, near_zp = torch.zeros(W.shape, dtype=torch.bool), torch.zeros(low.shape, dtype=torch.bool)
        for scheme in schemes:
            code, zp = Quantizer(W, scheme, UNITS, v, low, high).tie_distance()
            near |= code < APART
            near_zp |= (zp < APART) & (not scheme.sym)
        for row in exact_rows:
            near[row], near_zp[row] = False, False
        if not near.any() and not near_zp.any():
            return
        v += near * torch.randint(-900, 901, v.shape, generator=g)
        low -= near_zp * torch.randint(1, 400, low.shape, generator=g)
    raise SystemExit("no place apart from ties found")


def linear_case(W, G, v, low, high, scheme):
    q = Quantizer(W, scheme, UNITS, v, low, high)
    made = q.weight()
    (made * G.double()).sum().backward()
    sizes = q.check_gradients(G)
    for d, size in zip((q.low.grad, q.high.grad), sizes):
        if bool(((d != 0) & (d.abs() < APART * size)).any()):
            return None  # a sign that rounding may turn: other G
    held = [n.clamp(0, UNITS) for n in (low, high)]
    step = lambda n, d: n - 197 * torch.sign(d).long()
    return {"q": q.q.to(torch.uint8), "in_range": q.inside.to(torch.uint8), "scale": q.s.half(),
            "zp": q.zp.to(torch.int32), "W_q": f32(made), "dV": q.V.grad, "dmin": q.low.grad,
            "dmax": q.high.grad, "dmin_abs": sizes[0], "dmax_abs": sizes[1],
            "V_n_next": i16(step(v, q.V.grad)),
            "min_n_next": step(held[0], q.low.grad).clamp(0, UNITS).to(torch.int32),
            "max_n_next": step(held[1], q.high.grad).clamp(0, UNITS).to(torch.int32)}


def make_linear():
    g = torch.Generator().manual_seed(1)
    W, v, low, high = linear_weight(g)
    schemes = {name: Scheme(setting) for name, setting in LINEAR.items()}
    keep_apart(W, v, low, high, schemes.values(), g, exact_rows=(TIES,))
    while True:
        G = torch.randn(8, 64, generator=g) * (torch.rand(8, 64, generator=g) > 0.05)
        cases = {name: linear_case(W, G, v, low, high, scheme) for name, scheme in schemes.items()}
        if all(cases.values()):
            break
    out = {"W": W, "G": G, "V_n": i16(v), "min_n": low.to(torch.int32), "max_n": high.to(torch.int32)}
    for name, case in cases.items():
        clamped, negative = int((case["in_range"] == 0).sum()), int((case["scale"] < 0).sum())
        print("linear %s %d codes clamped, %d negative scales" % (name, clamped, negative))
        out.update({name + key: t for key, t in case.items()})
    save_file(out, os.path.join(HERE, "linear.safetensors"))


# ---- model/ ----

def make_model():
    g = torch.Generator().manual_seed(2)
    folder = os.path.join(HERE, "model")
    os.makedirs(folder, exist_ok=True)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
              "intermediate_size": INNER, "num_hidden_layers": BLOCKS, "num_attention_heads": HEADS,
              "num_key_value_heads": KV_HEADS, "head_dim": HEAD, "vocab_size": VOCAB, "hidden_act": "silu",
              "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True,
              "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float16"}
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f, indent=1)
        f.write("\n")
    q, kv = HEADS * HEAD, KV_HEADS * HEAD
    shapes = [(q, HIDDEN), (kv, HIDDEN), (kv, HIDDEN), (HIDDEN, q), (INNER, HIDDEN), (INNER, HIDDEN),
              (HIDDEN, INNER)]
    matrix = lambda O, I: torch.randn(O, I, generator=g) / I ** 0.5
    norm = lambda: 1 + 0.2 * torch.randn(HIDDEN, generator=g)
    tensors = {"model.embed_tokens.weight": torch.randn(VOCAB, HIDDEN, generator=g)}
    tensors["model.norm.weight"] = norm()
    for b in range(BLOCKS):
        at = "model.layers.%d." % b
        tensors.update({at + name + ".weight": matrix(*shape) for name, shape in zip(LINEARS, shapes)})
        tensors.update({at + n + ".weight": norm() for n in ("input_layernorm", "post_attention_layernorm")})
    save_file({k: t.half().contiguous() for k, t in tensors.items()},
              os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    return Llama(folder)


# ---- block.safetensors ----

def float_part(model, x, g, out):
    """A: the float block against a target, and all gradients."""
    weights = {name: W.clone().requires_grad_() for name, W in model.linears(0).items()}
    middle, x = {}, x.clone().requires_grad_()
    y = model.forward(0, x, weights, middle)
    target = (y + 0.5 * torch.randn(y.shape, generator=g)).detach().float().double()
    loss = (y - target).square().mean()
    loss.backward()
    out.update({"x": f32(x), "y": f32(y), "A.target": f32(target), "A.dx": f32(x.grad)})
    out["A.loss"] = loss.detach()[None]
    out.update({"mid." + key: f32(t) for key, t in middle.items()})
    out.update({"A.dW." + name.split(".")[1]: f32(W.grad) for name, W in weights.items()})


def quantized_part(model, xq, target, setting, g, out, prefix):
    """B: one step with quantized weights, short of the update."""
    scheme, made, weights = Scheme(setting), {}, {}
    for name, W in model.linears(0).items():
        groups = -(-W.shape[1] // scheme.group)
        v = torch.randint(-18000, 18001, W.shape, generator=g)
        low, high = (torch.randint(28000, 40001, (W.shape[0], groups), generator=g) for _ in range(2))
        keep_apart(W, v, low, high, (scheme,), g)
        q = made[name] = Quantizer(W, scheme, UNITS, v, low, high)
        weights[name] = q.weight()
        weights[name].retain_grad()
        short = prefix + name.split(".")[1] + "."
        parts = dict(V_n=i16(v), min_n=low.to(torch.int32), max_n=high.to(torch.int32), q=q.q.to(torch.uint8),
                     scale=q.s.half(), zp=q.zp.to(torch.uint8))
        out.update({short + key: t for key, t in parts.items()})
    y = model.forward(0, xq, weights)
    mask = torch.ones(xq.shape[:2], dtype=torch.float64)
    mask[:, -1] = 0
    loss = loss_of(y, target, mask)
    loss.backward()
    out.update({prefix + "y_q": f32(y), prefix + "loss": loss.detach()[None]})
    for name, q in made.items():
        sizes = q.check_gradients(weights[name].grad)
        parts = dict(dW=weights[name].grad, dmin=q.low.grad, dmax=q.high.grad, dmin_abs=sizes[0],
                     dmax_abs=sizes[1])
        out.update({prefix + name.split(".")[1] + "." + key: f32(t) for key, t in parts.items()})


def make_block(model):
    g, out = torch.Generator().manual_seed(3), {}
    ids = torch.randint(0, VOCAB, (2, 12), generator=g)
    x = model.embedding[ids]
    float_part(model, x, g, out)
    xq = (x + 0.1 * torch.randn(x.shape, generator=g)).float().double()
    target = out["y"].double()
    out["B.x_q"] = f32(xq)
    quantized_part(model, xq, target, "W2g32", g, out, "B.w2g32asym.")
    quantized_part(model, xq, target, "W4g32s", g, out, "B.w4g32sym.")
    save_file(out, os.path.join(HERE, "block.safetensors"))


# ---- tuning runs ----

def stored(quantizers, prefix):
    """Codes, scales and zero points of one tuned block."""
    out = {}
    for name, q in quantizers.items():
        at = prefix + name.split(".")[1] + "."
        out.update({at + "codes": q.q.to(torch.uint8), at + "scales": q.s.half()})
        out[at + "zeros"] = q.zp.to(torch.uint8)
    return out


def make_runs(model):
    ids = torch.randint(0, VOCAB, (WINDOWS, LENGTH), generator=torch.Generator().manual_seed(4))
    ids[3, -4:] = ids[3, -1]  # a trailing run, which the loss leaves out
    save_file({"ids": ids.to(torch.int32)}, os.path.join(HERE, "windows.safetensors"))
    for setting in SETTINGS:
        out, first, order = {}, [], []
        runs = tune(model, ids, Scheme(setting), SEED, BATCH, ITERS, BLOCKS)
        for b, (quantizers, loss, batch) in enumerate(runs):
            first.append(loss)
            order.append(batch)
            if b + 1 < BLOCKS:
                out.update(stored(quantizers, "%d." % b))
        out["rtn"] = torch.tensor(rounding_errors(model, ids, Scheme(setting)), dtype=torch.float64)
        out["first"] = torch.tensor(first, dtype=torch.float64)
        out["order"] = torch.tensor(order, dtype=torch.int32)
        save_file(out, os.path.join(HERE, "model-%s-%d.safetensors" % (setting, SEED)))
        print("tuned %s: first losses %s" % (setting, ", ".join("%.9g" % x for x in first)))


def main():
    torch.set_num_threads(1)
    os.makedirs(HERE, exist_ok=True)
    make_linear()
    model = make_model()
    make_block(model)
    make_runs(model)


main()
