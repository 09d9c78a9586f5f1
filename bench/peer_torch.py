#!/usr/bin/env python3
"""peer_torch.py DIM HIDDEN HEADS KV_HEADS SEQ BATCH: what PyTorch makes of this machine, as JSON.

Copying, products in f32 and f16, and steps of SignRound on a Llama block of that shape, 4 bits in groups of
32 (as `bench --tune` has it), in f32 and, on a card, under f16 autocast; on the first card that PyTorch
finds, else on the processors. Best of several. Exit 77 = no PyTorch. """
import json
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit(77)

GROUP, BITS = 32, 4


def seconds(work, device, times=5):
    """The best of so many runs, after one that compiles and fills caches."""
    best = float("inf")
    for i in range(times + 1):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if i:
            best = min(best, time.perf_counter() - start)
    return best


class Linear:
    """W' = s (clamp(round(W / s + v) + z) - z), the rounding straight through."""

    def __init__(self, outs, ins, device):
        self.w = torch.randn(outs, ins, device=device) * ins ** -0.5
        self.v = torch.zeros_like(self.w, requires_grad=True)
        self.lo = torch.ones(outs, ins // GROUP, 1, device=device, requires_grad=True)
        self.hi = torch.ones(outs, ins // GROUP, 1, device=device, requires_grad=True)

    def __call__(self, x):
        w = self.w.view(self.w.shape[0], -1, GROUP)
        low = w.amin(-1, keepdim=True) * self.lo
        s = ((w.amax(-1, keepdim=True) * self.hi - low) / (2 ** BITS - 1)).clamp(min=1e-8)
        z = torch.round(-low / s)
        q = w / s + self.v.view_as(w)
        q = q + (torch.round(q) - q).detach()
        return F.linear(x, ((torch.clamp(q + z, 0, 2 ** BITS - 1) - z) * s).view_as(self.w))

    def parameters(self):
        return self.v, self.lo, self.hi


def norm(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


class Block:
    def __init__(self, dim, hidden, heads, kv, device):
        self.heads, self.kv, self.d = heads, kv, dim // heads
        rows = {"q": heads * self.d, "k": kv * self.d, "v": kv * self.d, "gate": hidden, "up": hidden}
        self.linears = {name: Linear(count, dim, device) for name, count in rows.items()}
        self.linears["o"] = Linear(dim, dim, device)
        self.linears["down"] = Linear(dim, hidden, device)

    def __call__(self, x):
        n, t, _ = x.shape
        at = self.linears
        h = norm(x)
        q = at["q"](h).view(n, t, self.heads, self.d).transpose(1, 2)
        k, v = (at[name](h).view(n, t, self.kv, self.d).transpose(1, 2)
                .repeat_interleave(self.heads // self.kv, 1) for name in ("k", "v"))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + at["o"](y.transpose(1, 2).reshape(n, t, -1))
        h = norm(x)
        return x + at["down"](F.silu(at["gate"](h)) * at["up"](h))


def step_seconds(sizes, device, half):
    dim, hidden, heads, kv, seq, batch = sizes
    block = Block(dim, hidden, heads, kv, device)
    x = torch.randn(batch, seq, dim, device=device)
    target = torch.randn_like(x)
    parameters = [p for linear in block.linears.values() for p in linear.parameters()]

    def step():
        with torch.autocast(device, dtype=torch.float16, enabled=half):
            y = block(x)
        F.mse_loss(y.float(), target).backward()
        with torch.no_grad():
            for p in parameters:
                p -= 0.005 * p.grad.sign()
                p.grad = None

    return seconds(step, device, 3)


def main():
    sizes = [int(a) for a in sys.argv[1:]]
    if len(sizes) != 6:
        sys.exit(__doc__)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    out = {"format_version": 1, "torch": torch.__version__,
           "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
           "threads": torch.get_num_threads()}
    side = 4096 if device == "cuda" else 1024
    a = torch.randn(1 << 25, device=device)
    b = torch.empty_like(a)
    out["copy_gbs"] = 2 * 4e-9 * a.numel() / seconds(lambda: b.copy_(a), device)
    for name, dtype in (("f32", torch.float32), ("f16", torch.float16)):
        if device == "cpu" and name == "f16":
            continue
        p = torch.randn(side, side, device=device).to(dtype)
        out["product_%s_gflops" % name] = 2e-9 * side ** 3 / seconds(lambda: p @ p, device)
    for name in ("f32", "f16") if device == "cuda" else ("f32",):
        try:
            out["step_%s_ms" % name] = 1e3 * step_seconds(sizes, device, name == "f16")
        except torch.OutOfMemoryError as error:
            out["step_%s_error" % name] = str(error).splitlines()[0]
    print(json.dumps(out, indent=1))


main()
