"""SignRound (arXiv 2309.05516) and a Llama in PyTorch, written from docs/methods.md alone: what
make_signround.py and make_reference.py make their numbers with. Nothing here knows how the C code does it.

Codes, scales and zero points are decided in float32 and float16, as they are stored; everything else is
float64, and gradients come from autograd through the forward formulas. float64 leaves the error of a float32
implementation as the only one that a comparison sees.
"""
import json
import os
import random

import numpy as np
import torch
from safetensors.torch import load_file

LINEARS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
           "mlp.up_proj", "mlp.down_proj")
FLOOR = float(np.float16(1e-5))


def straight(x, value):
    """value, with the gradient of x: rounding has derivative 1."""
    return value.detach() + (x - x.detach())


class Scheme:
    """Of a name as "W4g32s": bits, group, s = symmetric with a signed scale, else an integer zero point."""

    def __init__(self, name):
        bits, group = name[1:].rstrip("s").split("g")
        self.name, self.bits, self.group, self.sym = name, int(bits), int(group), name.endswith("s")
        self.Q, self.M = 2 ** self.bits - 1, 2 ** (self.bits - 1)


class Quantizer:
    """Equations 1 to 4 of docs/methods.md for one weight (O, I); groups run along I, the last may be short.
    V (O, I), low and high (O, groups) are float64 leaves: whole numbers over `units`, rounded to float32; low
    and high are held in [0, 1]."""

    def __init__(self, W, scheme, units, v=None, low=None, high=None):
        self.scheme, self.W = scheme, W.float()
        O, I = W.shape
        self.of = torch.arange(I) // scheme.group  # the group of every input
        self.groups = int(self.of[-1]) + 1
        v = torch.zeros(O, I) if v is None else v
        low = torch.full((O, self.groups), units) if low is None else low
        high = torch.full((O, self.groups), units) if high is None else high
        part = lambda n: (n.double() / units).float()
        self.V32, self.low32, self.high32 = part(v), part(low.clamp(0, units)), part(high.clamp(0, units))
        leaves = (p.double().requires_grad_() for p in (self.V32, self.low32, self.high32))
        self.V, self.low, self.high = leaves
        zero = torch.zeros(O, self.groups)
        index = self.of.expand(O, I)
        self.wmin = zero.scatter_reduce(1, index, self.W, "amin")
        self.wmax = zero.scatter_reduce(1, index, self.W, "amax")
        self.decide()

    def decide(self):
        """What is stored, in float32: s (O, groups) f16, zp (O, groups) and q (O, I) integers from 0 to Q."""
        c, lo, hi = self.scheme, self.wmin * self.low32, self.wmax * self.high32
        if c.sym:
            top = torch.maximum(-lo, hi) / c.M
            self.s = torch.where(hi < -lo, top, -top).half().float()
            size = torch.maximum(self.s.abs(), torch.tensor(FLOOR))
            self.s = torch.where(self.s < 0, -size, size)
            self.zp_free = torch.full_like(self.s, c.M)
        else:
            self.s = torch.maximum(((hi - lo) / c.Q).half().float(), torch.tensor(FLOOR))
            self.zp_free = -lo / self.s
        self.zp = self.zp_free.round()
        assert bool(((0 <= self.zp) & (self.zp <= c.Q)).all())
        self.lo, self.hi, self.live = lo, hi, self.s.abs() > FLOOR
        self.r_free = self.W / self.s[:, self.of] + self.V32
        free = self.r_free.round() + self.zp[:, self.of]
        self.inside = (0 <= free) & (free <= c.Q)
        self.q = free.clamp(0, c.Q)

    def weight(self):
        """W' (O, I) f64, to be differentiated by V, low and high."""
        c, W = self.scheme, self.W.double()
        lo = straight(self.wmin.double() * self.low, self.lo.double())
        hi = straight(self.wmax.double() * self.high, self.hi.double())
        if c.sym:
            s = torch.sign(self.s.double()) * torch.maximum(-lo, hi) / c.M
        else:
            s = (hi - lo) / c.Q
        s = torch.where(self.live, straight(s, self.s.double()), self.s.double())
        zp = self.zp.double() if c.sym else straight(-lo / s, self.zp.double())
        r = straight(W / s[:, self.of] + self.V, self.r_free.round().double()) + zp[:, self.of]
        q = torch.where(self.inside, r, self.q.double())
        return s[:, self.of] * (q - zp[:, self.of])

    def terms(self, G):
        """The summands of dlow and dhigh by their closed forms, (O, I) each, and dV: a second way."""
        c, G, W = self.scheme, G.double(), self.W.double()
        wide = lambda t: t.double()[:, self.of]
        s, zp, lo, hi = wide(self.s), wide(self.zp), wide(self.lo), wide(self.hi)
        wmin, wmax, live, inside = wide(self.wmin), wide(self.wmax), wide(self.live), self.inside.double()
        outside = torch.zeros_like(s) if c.sym else lo / s
        ds = live * G * ((self.q.double() - zp) - torch.where(self.inside, W / s, outside))
        if c.sym:
            k = 0.5 * (1 + torch.sign(-lo - hi))
            ds = ds * torch.sign(s)
            return k * ds * -wmin / c.M, (1 - k) * ds * wmax / c.M, G * s * inside
        return ds * -wmin / c.Q + G * (1 - inside) * wmin, ds * wmax / c.Q, G * s * inside

    def sums(self, t):
        """The groups' sums (O, groups) of t (O, I)."""
        return torch.zeros(t.shape[0], self.groups, dtype=t.dtype).index_add(1, self.of, t)

    def check_gradients(self, G):
        """Autograd and the closed forms agree; returns the sums of the absolute values of the terms."""
        dlow, dhigh, dV = self.terms(G)
        sizes = []
        for found, terms in ((self.low.grad, dlow), (self.high.grad, dhigh)):
            sizes.append(self.sums(terms.abs()))
            assert bool(((found - self.sums(terms)).abs() <= 1e-12 * sizes[-1]).all())
        assert bool(((self.V.grad - dV).abs() <= 1e-12 * dV.abs()).all())
        return sizes

    def tie_distance(self):
        """How far w/s + V and the zero point are from where their rounding changes: (O, I), (O, groups)."""
        off = lambda x: ((x.double() - x.double().floor()) - 0.5).abs()
        return off(self.W.double() / self.s.double()[:, self.of] + self.V), off(self.zp_free)


class Llama:
    """A Hugging Face Llama folder, float64: no biases, no scaled rotation, a tied head."""

    def __init__(self, folder):
        self.name = os.path.basename(folder)
        with open(os.path.join(folder, "config.json")) as f:
            self.c = c = json.load(f)
        self.t = {k: v.double() for k, v in load_file(os.path.join(folder, "model.safetensors")).items()}
        self.blocks, self.D = c["num_hidden_layers"], c["head_dim"]
        self.H, self.K = c["num_attention_heads"], c["num_key_value_heads"]
        self.embedding = self.t["model.embed_tokens.weight"]
        assert c["tie_word_embeddings"] and c["hidden_act"] == "silu" and c["model_type"] == "llama"

    def linears(self, block):
        return {name: self.t["model.layers.%d.%s.weight" % (block, name)] for name in LINEARS}

    def norm(self, x, name):
        r = (x.square().mean(-1, keepdim=True) + self.c["rms_norm_eps"]).rsqrt()
        return x * r * self.t[name + ".weight"]

    def rotate(self, x):
        """Rotary position: channel i turns with channel i + D/2."""
        T, D = x.shape[-2], self.D
        frequency = self.c["rope_theta"] ** (-torch.arange(0, D, 2).double() / D)
        angle = torch.arange(T).double()[:, None] * frequency
        cos, sin, a, b = angle.cos(), angle.sin(), x[..., :D // 2], x[..., D // 2:]
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def forward(self, block, x, weights=None, middle=None):
        """One block of x (B, T, hidden) with its own linears or others; `middle` takes what lies between."""
        w, at = weights or self.linears(block), "model.layers.%d." % block
        B, T, _ = x.shape
        middle = {} if middle is None else middle
        heads = lambda y, n: y.view(B, T, n, self.D).transpose(1, 2)
        n1 = middle["n1"] = self.norm(x, at + "input_layernorm")
        q, k = heads(n1 @ w[LINEARS[0]].T, self.H), heads(n1 @ w[LINEARS[1]].T, self.K)
        v = middle["v"] = n1 @ w[LINEARS[2]].T
        wide = lambda y: y.repeat_interleave(self.H // self.K, 1)
        score = self.rotate(q) @ wide(self.rotate(k)).transpose(2, 3) / self.D ** 0.5
        score = score + torch.full((T, T), -torch.inf, dtype=x.dtype).triu(1)
        attention = score.softmax(-1) @ wide(heads(v, self.K))
        joined = middle["attn"] = attention.transpose(1, 2).reshape(B, T, -1)
        h = middle["h"] = x + joined @ w[LINEARS[3]].T
        n2 = middle["n2"] = self.norm(h, at + "post_attention_layernorm")
        gate, up = n2 @ w[LINEARS[4]].T, n2 @ w[LINEARS[5]].T
        act = torch.nn.functional.silu(gate) * up
        middle.update(gate=gate, up=up, act=act)
        return h + act @ w[LINEARS[6]].T

    def logits(self, ids):
        """(B, T, vocab) of ids (B, T)."""
        x = self.embedding[ids]
        for b in range(self.blocks):
            x = self.forward(b, x)
        return self.norm(x, "model.norm") @ self.embedding.T


def counted(ids):
    """(B, T): 1 where the loss counts: not a window's last token, nor a trailing run of one token."""
    mask = torch.ones(ids.shape, dtype=torch.float64)
    for row, keep in zip(ids, mask):
        end = len(row) - 1
        while end > 0 and row[end - 1] == row[-1]:
            end -= 1
        keep[end:] = 0
    return mask


def loss_of(y, target, mask):
    """The mean over all elements, of which those of masked positions are 0."""
    return ((y - target) * mask[..., None]).square().mean()


class Order:
    """The windows of every batch: a shuffled list cut into batches, shuffled again when it is used up."""

    def __init__(self, seed, count, batch):
        self.random, self.count, self.batch = random.Random(seed), count, batch

    def start(self):
        """A new block: the generator carries on."""
        self.list, self.at = list(range(self.count)), 0
        self.random.shuffle(self.list)

    def next(self):
        if self.at + self.batch > self.count:
            self.random.shuffle(self.list)
            self.at = 0
        self.at += self.batch
        return self.list[self.at - self.batch:self.at]


class State:
    """V, low and high of one weight as whole numbers; a step moves them against their gradients' signs."""

    def __init__(self, W, scheme, units):
        groups = -(-W.shape[1] // scheme.group)
        self.W, self.scheme, self.units = W, scheme, units
        whole = torch.full((W.shape[0], groups), units)
        self.numbers = [torch.zeros(W.shape, dtype=torch.long), whole, whole]

    def quantizer(self):
        return Quantizer(self.W, self.scheme, self.units, *self.numbers)

    def step(self, q, units):
        leaves = (q.V, q.low, q.high)
        v, low, high = (n - units * torch.sign(p.grad).long() for n, p in zip(self.numbers, leaves))
        self.numbers = [v, low.clamp(0, self.units), high.clamp(0, self.units)]


def tune_block(model, block, scheme, x, target, mask, order, iters):
    """SignRound for one block behind the input x: the best quantizers, and the first loss and batch."""
    state = {name: State(W, scheme, iters * iters) for name, W in model.linears(block).items()}
    best = (torch.inf, None)
    order.start()
    for t in range(iters):
        batch = order.next()
        made = {name: s.quantizer() for name, s in state.items()}
        y = model.forward(block, x[batch], {name: q.weight() for name, q in made.items()})
        loss = loss_of(y, target[batch], mask[batch])
        if t == 0:
            first = (loss.item(), batch)
        if loss.item() < best[0]:
            best = (loss.item(), made)
        loss.backward()
        for name, s in state.items():
            s.step(made[name], iters - t)
    return best[1], first


def tune(model, ids, scheme, seed, batch, iters, limit):
    """The first `limit` blocks one after the other; yields (quantizers, first loss, first batch) of each."""
    x = xq = model.embedding[ids]
    mask, order = counted(ids), Order(seed, len(ids), batch)
    for b in range(limit):
        with torch.no_grad():
            target = model.forward(b, x)
        quantizers, (loss, first) = tune_block(model, b, scheme, xq, target, mask, order, iters)
        yield quantizers, loss, first
        with torch.no_grad():
            xq = model.forward(b, xq, {name: q.weight() for name, q in quantizers.items()})
        x = target


def first_loss(model, ids, scheme, seed, batch):
    """Of block 0, before anything is tuned."""
    order = Order(seed, len(ids), batch)
    order.start()
    with torch.no_grad():
        ids = ids[order.next()]
        x = model.embedding[ids]
        weights = {name: Quantizer(W, scheme, 1).weight() for name, W in model.linears(0).items()}
        return float(loss_of(model.forward(0, x, weights), model.forward(0, x), counted(ids)))


def rounding_errors(model, ids, scheme):
    """The loss at every block's end where all before are rounded to nearest, over all windows."""
    x = xq = model.embedding[ids]
    mask, errors = counted(ids), []
    with torch.no_grad():
        for b in range(model.blocks):
            weights = {name: Quantizer(W, scheme, 1).weight() for name, W in model.linears(b).items()}
            x, xq = model.forward(b, x), model.forward(b, xq, weights)
            errors.append(float(loss_of(xq, x, mask)))
    return errors
