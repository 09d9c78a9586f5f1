#!/usr/bin/env python3
"""Writes gguf_blocks.bin: random blocks of every GGUF type read here and their values by the `gguf` package.

Needs numpy and gguf (pip). Deterministic: the same bytes every time. Little-endian; for each type
  u32 type number, u32 elements of a block, u32 bytes of a block, u32 blocks, the blocks, their values as f32.
All bytes are random but those of fp16 scales and minima, which are finite.
"""
import os
import struct

import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T

# type: byte offsets of its fp16 numbers
TYPES = {T.BF16: [], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82],
         T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0]}


def main():
    rng = np.random.default_rng(20261122)
    out = b""
    for kind, halves in TYPES.items():
        elems, size = GGML_QUANT_SIZES[kind]
        count = {1: 128, 32: 12, 256: 6}[elems]
        blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
        if kind == T.BF16:
            blocks[:, 1] = rng.integers(0x3B, 0x43, count) | rng.integers(0, 2, count) << 7
        for at in halves:
            numbers = (rng.standard_normal(count) * np.exp2(rng.integers(-12, 3, count))).astype("<f2")
            blocks[:, at:at + 2] = numbers.view(np.uint8).reshape(count, 2)
        values = quants.dequantize(blocks.reshape(1, -1), kind).astype("<f4").reshape(-1)
        assert values.size == count * elems and np.isfinite(values).all()
        out += struct.pack("<4I", kind.value, elems, size, count) + blocks.tobytes() + values.tobytes()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gguf_blocks.bin")
    with open(path, "wb") as f:
        f.write(out)


main()
