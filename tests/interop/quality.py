#!/usr/bin/env python3
"""quality.py PROGRAM [DEVICE] [MODEL...]: our files against llama-quantize's at equal size, in one table.

Both sides start from the same f16 GGUF file and see the same calibration text (llama-quantize through
llama-imatrix). The tensors' types and bytes must be equal one by one; both files are then measured by our
eval on text that neither saw. Ours must have the lower KL divergence everywhere, and at 2 and 3 bits the
lower perplexity. MODEL: demo, tinystories. """
import json
import os
import sys

import peer


TRAINED = 0.95 # of this text went into the demo model (examples/train_demo_model.py), the rest is held out


def shape(program, file):
    """{tensor: (type, bytes)} of a GGUF file."""
    tensors = json.loads(program("info", file, "--json", device=False))[0]["tensors"]
    return {t["name"]: (t["type"], t["bytes"]) for t in tensors}


def in_vocabulary(text, size):
    """The text without the characters outside ASCII, on which llama.cpp aborts for a model without byte
    tokens."""
    return "".join(c for c in text if ord(c) < 128)[:size]


def sources(work):
    with open(peer.HELDOUT) as f:
        heldout = f.read()
    shakespeare = os.path.join(peer.SHARED, "data", "text", "tinyshakespeare", "input.txt")
    stories = os.path.join(peer.SHARED, "data", "text", "tinystories", "tinystories_v1_sample.txt")
    if not os.path.exists(shakespeare):
        print("skipped: no shared data")
        sys.exit(77)
    with open(shakespeare) as f:
        play = f.read()
    heldout = play[int(len(play) * TRAINED):] + heldout
    with open(stories) as f:
        story = in_vocabulary(f.read(), 1 << 20)
    half = int(len(story) * 0.65)
    return {"demo": (peer.DEMO, play[:400000], heldout, ["q4_0", "q4_1", "q4_k_m", "q3_k_m", "q2_k"], 256),
            "tinystories": (os.path.join(peer.SHARED, "data", "tinystories-656K-hf"), story[:half],
                            story[half:],
                            ["q4_0", "q4_1", "q5_0", "q8_0"], 512)}


def main():
    program = peer.Program(os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "auto")
    peer.need_llama()
    work, rows, failed = peer.work_dir(), [], 0
    for name, (source, calib, heldout, types, T) in sources(work).items():
        if len(sys.argv) > 3 and name not in sys.argv[3:]:
            continue
        path = {k: os.path.join(work, "%s-%s" % (name, k)) for k in ("calib.txt", "heldout.txt", "f16.gguf",
                                                                     "imatrix.gguf")}
        for k, text in (("calib.txt", calib), ("heldout.txt", heldout)):
            with open(path[k], "w") as f:
                f.write(text)
        program.write(source, path["f16.gguf"], "f16")
        peer.llama("llama-imatrix", "-m", path["f16.gguf"], "-f", path["calib.txt"], "-o",
                   path["imatrix.gguf"], "-c", str(T), *peer.CPU)
        for t in types:
            theirs, ours = (os.path.join(work, "%s-%s-%s.gguf" %
                                         (name, t, side)) for side in ("theirs", "ours"))
            peer.llama("llama-quantize", "--imatrix", path["imatrix.gguf"], path["f16.gguf"], theirs,
                       t.upper(), "2")
            program("quantize", source, "-o", ours, "--type", t, "--calib",
                    path["calib.txt"], "--samples", "128", "--seqlen", str(T), "-q")
            a, b = shape(program, ours), shape(program, theirs)
            same = a == b
            for tensor in sorted(set(a) | set(b)):
                if a.get(tensor) != b.get(tensor):
                    print("      %s %s: ours %s, theirs %s" % (t, tensor, a.get(tensor), b.get(tensor)))
            x, y = (program.eval(f, path["heldout.txt"], "--ref", path["f16.gguf"], "--window",
                                 str(T)) for f in (ours, theirs))
            low = t.startswith(("q2", "q3"))
            ok = same and x["kl"] < y["kl"] and (not low or x["ppl"] < y["ppl"])
            failed += not ok
            rows.append((name, t, sum(n for _, n in a.values()), x["ppl"], y["ppl"], x["ref_ppl"], x["kl"],
                         y["kl"], x["top1"], y["top1"], ok))
            print("%s %s %s: KL %.5f against %.5f, ppl %.4f against %.4f" %
                  ("ok   " if ok else "WRONG", name, t, x["kl"], y["kl"], x["ppl"],
                  y["ppl"]), flush=True)
    print("\n| model | type | tensor bytes | ppl f16 | ppl ours | ppl llama-quantize | KL ours "
          "| KL llama-quantize | KL ratio | top-1 ours | top-1 theirs |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, t, size, p, q, r, k, l, u, v, _ in rows:
        print("| %s | %s | %d | %.4f | %.4f | %.4f | %.5f | %.5f | %.2f | %.4f | %.4f |" %
              (name, t, size, r, p, q, k, l, k / l, u, v))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
