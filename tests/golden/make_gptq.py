#!/usr/bin/env python3
"""Writes gptq.bin: a weight and the Gram matrix of inputs for it.

Needs numpy (pip). Deterministic: the same bytes every time. Little-endian: u32 O, u32 I, u32 positions, the
weight (O, I) as f32, the Gram matrix (I, I) as f32: X^T X of inputs that are correlated, of very different
sizes, one of them dead (always 0).
"""
import os
import struct

import numpy as np

O, I, N, DEAD = 12, 80, 300, 17


def main():
    rng = np.random.default_rng(2210)
    mixed = rng.standard_normal((N, 24)) @ rng.standard_normal((24, I)) + 0.5 * rng.standard_normal((N, I))
    x = mixed * np.exp2(rng.integers(-3, 4, I))
    x[:, DEAD] = 0
    weight = (rng.standard_normal((O, I)) * 0.05).astype("<f4")
    gram = (x.T @ x).astype("<f4")
    gram = np.triu(gram) + np.triu(gram, 1).T
    with open(os.path.join(os.path.dirname(__file__), "gptq.bin"), "wb") as f:
        f.write(struct.pack("<III", O, I, N) + weight.tobytes() + gram.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
