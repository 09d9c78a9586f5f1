#!/usr/bin/env python3
"""Writes train.json: the losses of 20 steps of training the tiny models of families/ in PyTorch, in float64.

Needs torch and transformers (pip). Deterministic: the same losses every time, to their last digits. Each case
has the model, the optimizer and its schedule, every batch's token ids (steps, batch, T + 1), the loss of
every step, which is that of its batch before the step, and the norm of its gradients before they are
clipped.
"""
import json
import math
import os

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS, BATCH, T, WARMUP, END, CLIP = 20, 4, 16, 4, 0.1, 1.0


def batches(seed):
    """Sequences that can be learnt: most tokens follow from the one before."""
    rng = torch.Generator().manual_seed(seed)
    ids = torch.randint(64, (STEPS, BATCH, T + 1), generator=rng)
    noise = torch.rand((STEPS, BATCH, T + 1), generator=rng) < 0.3
    for t in range(1, T + 1):
        ids[:, :, t] = torch.where(noise[:, :, t], ids[:, :, t], (5 * ids[:, :, t - 1] + 3) % 64)
    return ids


def share(schedule, step):
    warm = min(1.0, (step + 1) / WARMUP)
    left = {"cosine": (1 + math.cos(math.pi * step / STEPS)) / 2, "linear": 1 - step / STEPS}[schedule]
    return warm * (END + (1 - END) * left)


def train(family, optimizer, schedule, lr):
    model = AutoModelForCausalLM.from_pretrained(os.path.join(HERE, "families", family)).double().eval()
    groups = [{"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
              {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, betas=(0.9, 0.98)) if optimizer == "adamw" else \
        torch.optim.SGD(groups, momentum=0.9, lr=lr)
    ids, losses, norms = batches(7), [], []
    for step in range(STEPS):
        for group in opt.param_groups:
            group["lr"] = lr * share(schedule, step)
        logits = model(input_ids=ids[step, :, :-1]).logits
        loss = F.cross_entropy(logits.flatten(0, 1), ids[step, :, 1:].flatten())
        opt.zero_grad(set_to_none=True)
        loss.backward()
        norms.append(round(float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)), 7))
        opt.step()
        losses.append(round(float(loss.detach()), 7))
    return {"family": family, "optimizer": optimizer, "schedule": schedule, "lr": lr,
            "ids": ids.flatten().tolist(),
            "losses": losses, "norms": norms}


def main():
    torch.manual_seed(0)
    cases = [train("llama", "adamw", "cosine", 0.01), train("llama", "sgd", "linear", 0.05),
             train("gpt2", "adamw", "linear", 0.01), train("gpt2", "sgd", "cosine", 0.05)]
    root = {"steps": STEPS, "batch": BATCH, "T": T, "warmup": WARMUP, "end": END, "clip": CLIP, "decay": 0.1,
            "beta1": 0.9, "beta2": 0.98, "momentum": 0.9, "cases": cases}
    with open(os.path.join(HERE, "train.json"), "w") as f:
        json.dump(root, f, separators=(",", ":"))
        f.write("\n")
    for c in cases:
        print(c["family"], c["optimizer"], c["losses"][0], c["losses"][-1])


if __name__ == "__main__":
    main()
