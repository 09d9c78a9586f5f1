#!/usr/bin/env python3
"""real_quality.py PROGRAM FLOAT.gguf CALIB TEST RUN...: a public model's files beside llama-quantize's.

FLOAT.gguf is an f16 file, CALIB and TEST are texts. Both sides calibrate on CALIB, llama-quantize through
llama-imatrix. Each RUN is METHOD:TYPE:SEED[:OPTIONS], METHOD one of ours or llama; TYPE a GGUF type, or w2g32
for a folder of 2 bits in groups of 32; OPTIONS more of ours, as "--blocks 6". One line a run: perplexity and
KL divergence to FLOAT, its 99.9 % quantile and the mean at positions 0-7, on 20 windows of TEST, --protocol
window (all positions) and llamacpp. Files stay in AR_INTEROP_DIR; AR_RECIPE is samples,tokens,steps,batch
(64,128,60,8). Takes minutes a run: by hand, not in any tier. """
import os
import sys
import time

import peer

SAMPLES, TOKENS, STEPS, BATCH = (int(n) for n in os.environ.get("AR_RECIPE", "64,128,60,8").split(","))
WINDOWS = 20


def theirs(model, calib, kind, out, work):
    imatrix = os.path.join(work, "imatrix.gguf")
    if not os.path.exists(imatrix):
        peer.llama("llama-imatrix", *peer.CPU, "-m", model, "-f", calib, "-o", imatrix, "-c", "512",
                   "--chunks", "16")
    peer.llama("llama-quantize", "--imatrix", imatrix, model, out, kind.upper(), "2")


def ours(program, model, calib, method, kind, seed, options, out):
    shape = (["--format", "fake" if "--blocks" in options else "auto_round", "--bits", "2", "--group", "32",
              "--asym"] if kind == "w2g32" else ["--type", kind])
    program("quantize", model, "-o", out, *shape, "--method", method, "--calib", calib, "--samples",
            str(SAMPLES), "--seqlen", str(TOKENS), "--seed", seed, *options,
            *([] if method == "search" else ["--iters", str(STEPS), "--batch", str(BATCH)]))


def main():
    program, model, calib, test = peer.Program(sys.argv[1], os.environ.get("AR_DEVICE", "cl")), *sys.argv[2:5]
    work = peer.work_dir()
    for text in sys.argv[5:]:
        method, kind, seed, *more = text.split(":")
        options = " ".join(more).split()
        out = os.path.join(work, "".join([f"{method}-{kind}-{seed}", *options]) +
                           ("" if kind == "w2g32" else ".gguf"))
        start = time.time()
        if not os.path.exists(out):
            if method == "llama":
                theirs(model, calib, kind, out, work)
            else:
                ours(program, model, calib, method, kind, seed, options, out)
        took = time.time() - start
        line = [text, f"{took:.0f} s"]
        for protocol in ["window", "llamacpp"]:
            f = program.eval(out, test, "--ref", model, "--protocol", protocol, "--window", "512",
                             "--max-windows", str(WINDOWS))
            line += [protocol, f"ppl {f['ppl']:.3f} ({f['ref_ppl']:.3f})", f"KL {f['kl']:.4f}",
                     f"99.9 % {f['kl_p999']:.3f}"]
            if protocol == "window":
                line.append(f"0-7 {f['kl_first']:.3f}")
        print(" · ".join(line), flush=True)


main()
