#!/usr/bin/env python3
"""acts.bin: activations that compressed-tensors quantized. A header of int32 (rows, columns, cases), the
values as f32, then for each case int32 bits, per tensor, asymmetric, f32 pairs (scale, zero point), one a row
or one in all, and the values again after quantizing. Needs torch and compressed-tensors."""
import os

import numpy as np
import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import fake_quantize
from compressed_tensors.quantization.utils import calculate_qparams

ROWS, COLUMNS = 7, 41
CASES = [(8, 0, 0), (8, 0, 1), (8, 1, 0), (8, 1, 1), (4, 0, 0), (4, 0, 1), (4, 1, 1)]
rng = np.random.default_rng(11)
x = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
x[0, 3] *= 40
x[1] = np.abs(x[1])
x[2] = -np.abs(x[2])
out = [np.array([ROWS, COLUMNS, len(CASES)], np.int32).tobytes(), x.tobytes()]
for bits, per_tensor, asym in CASES:
    args = QuantizationArgs(num_bits=bits, symmetric=not asym, strategy="tensor" if per_tensor else "token",
                            dynamic=True)
    t = torch.from_numpy(x)
    lo, hi = (t.amin().reshape(1), t.amax().reshape(1)) if per_tensor else (t.amin(1, True), t.amax(1, True))
    scale, zero = calculate_qparams(lo, hi, args)
    y = fake_quantize(t, scale, zero, args)
    pairs = torch.stack([scale.flatten().float(), zero.flatten().float()], 1).numpy()
    out += [np.array([bits, per_tensor, asym], np.int32).tobytes(), pairs.astype(np.float32).tobytes(),
            y.numpy().astype(np.float32).tobytes()]
with open(os.path.join(os.path.dirname(__file__), "acts.bin"), "wb") as f:
    f.write(b"".join(out))
