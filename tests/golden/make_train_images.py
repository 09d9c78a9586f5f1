#!/usr/bin/env python3
"""Writes train_images.safetensors: 20 steps of training a small convolutional net in PyTorch, in float64.

Needs torch and safetensors (pip). Deterministic. 8 x 6 images of 2 channels and 5 classes; convolutions of 4
and 6 channels (3 x 3, padding 1, bias, ReLU, pool 2 x 2), a product of 12 with ReLU, one of 5; places are
read row by row, (h, w, c). Tensors: images (20, 8, 8, 6, 2) as (step, batch, h, w, c), labels (20, 8), losses
(20), norms (20), and what the net begins with.
"""
import math
import os

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS, BATCH, H, W, C, CLASSES, LR, WARMUP, END, CLIP = 20, 8, 8, 6, 2, 5, 0.02, 4, 0.1, 1.0


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.ModuleList([nn.Conv2d(C, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)])
        self.fc = nn.ModuleList([nn.Linear(6 * 2 * 1, 12), nn.Linear(12, CLASSES)])

    def forward(self, x):
        for conv in self.conv:
            x = F.max_pool2d(F.relu(conv(x)), 2)
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.fc[1](F.relu(self.fc[0](x)))


def main():
    torch.manual_seed(11)
    net = Net()
    start = {name: p.detach().clone() for name, p in net.named_parameters()}
    net.double()
    labels = torch.randint(CLASSES, (STEPS, BATCH))
    patterns = torch.randn(CLASSES, H, W, C)
    images = (patterns[labels] + 0.5 * torch.randn(STEPS, BATCH, H, W, C)).float()
    groups = [{"params": [p for p in net.parameters() if p.dim() >= 2], "weight_decay": 0.1},
              {"params": [p for p in net.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    losses, norms = [], []
    for step in range(STEPS):
        for group in opt.param_groups:
            group["lr"] = LR * min(1.0, (step + 1) / WARMUP) * \
                (END + (1 - END) * (1 + math.cos(math.pi * step / STEPS)) / 2)
        loss = F.cross_entropy(net(images[step].double().permute(0, 3, 1, 2)), labels[step])
        opt.zero_grad(set_to_none=True)
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(net.parameters(), CLIP)))
        opt.step()
        losses.append(float(loss.detach()))
    start.update(images=images, labels=labels.int(), losses=torch.tensor(losses), norms=torch.tensor(norms))
    save_file(start, os.path.join(HERE, "train_images.safetensors"))
    print(losses[0], losses[-1])


if __name__ == "__main__":
    main()
