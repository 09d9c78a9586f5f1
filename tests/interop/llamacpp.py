#!/usr/bin/env python3
"""llamacpp.py PROGRAM [DEVICE [TYPE,… [MODEL,…]]]: GGUF files between anyround and llama.cpp, both ways.

Every type we write loads in llama.cpp. Teacher-forced over 256 positions, our inference agrees within 1 % of
the logits' standard deviation with its decoding of the file computed in f32, and with its Vulkan backend (no
cooperative matrix, no f16 arithmetic) where that is right: where it is itself more than 1 % from that
decoding (its products with BF16 weights, for one, round activations to bf16) its figures are printed only.
Its CPU backend, which rounds activations to 8 bits, is within 1e-3 nats; perplexities under its protocol
agree within 0.2 %; on trained models 64 greedy tokens are equal. The same for files that llama-quantize made.
An adapter of what q4_0 leaves over gives both programs the same logits.
Every figure that eval gives of a trained model's q2_k against its f16 (perplexities and their ratio, KL, its
quantiles, top-1, standard errors) is within 1 % of llama-perplexity's. How to run it: docs/formats.md. """
import os
import sys

import peer

TYPES = ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m",
         "q2_k"]
PROMPT = "First Citizen:\nBefore we proceed"
failed = 0


def check(what, ok, text):
    global failed
    failed += not ok
    print("%s %-34s %s" % ("ok   " if ok else "WRONG", what, text), flush=True)


def agree(program, name, model, text, work):
    """One file in both programs."""
    ours, decoded, log = (os.path.join(work, name.replace(" ", "-") +
                                       end) for end in (".ours.kld", ".f32.gguf", ".theirs.kld"))
    mine = program.eval(model, text, "--protocol", "llamacpp", "--max-windows", "1", "--save-logits", ours)
    a = peer.Logits(ours)
    peer.llama("llama-quantize", "--allow-requantize", model, decoded, "F32", "2")
    exact = peer.llama_logits(decoded, text, log, peer.PLAIN)
    os.unlink(decoded)
    vulkan = peer.llama_logits(model, text, log, peer.VULKAN)
    own = peer.compare(vulkan, exact)[0]
    for backend, b in (("f32", exact), ("vulkan", vulkan),
                       ("cpu", peer.llama_logits(model, text, log, peer.CPU))):
        delta, flips, kl = peer.compare(a, b)
        ppl = a.ppl() if b.cuts_labels() else mine["ppl"]
        figures = "max |d| %.4f std, %d clear flips, KL %.2e, ppl %.4f against %.4f" % (
            delta, flips, kl, ppl, b.ppl())
        close = flips == 0 and delta <= 0.01 and abs(ppl / b.ppl() - 1) < 0.002
        if backend == "cpu":
            check(name + " cpu", kl <= 1e-3, figures)
        elif backend == "f32" or own <= 0.01:
            check(name + " " + backend, close, figures)
        else:
            print("note  %-34s %s; it is %.4f from its own f32" % (name + " vulkan", figures, own),
                  flush=True)


def adapter(program, name, source, text, work):
    """A q4_0 file and what it leaves over at rank 8, added by both programs; without, logits lie apart."""
    file, factors, decoded, ours, log = (os.path.join(work, name + end) for end in (
        "-left.gguf", "-lorc.gguf", "-left-f32.gguf", ".ours.kld", ".theirs.kld"))
    program("quantize", source, "-o", file, "--type", "q4_0", "--method", "rtn", "--lorc", factors, "-q")
    program.eval(file, text, "--lora", factors, "--protocol", "llamacpp", "--max-windows", "1",
                 "--save-logits", ours)
    peer.llama("llama-quantize", "--allow-requantize", file, decoded, "F32", "2")
    a, exact, bare = peer.Logits(ours), *(peer.llama_logits(decoded, text, log, [*peer.PLAIN, *more])
                                          for more in (["--lora", factors], []))
    os.unlink(decoded)
    delta, flips, _ = peer.compare(a, exact)
    check(name + " adapter", delta <= 0.01 and flips == 0 and peer.compare(a, bare)[0] > 0.01,
          "max |d| %.5f std, %d clear flips; without it %.3f" % (delta, flips, peer.compare(a, bare)[0]))


def greedy(program, name, model):
    ours = program("run", model, "-p", PROMPT, "-n", "64", "--greedy", "-q")
    theirs = peer.llama("llama-completion", "-m", model, "-p", PROMPT, "-n", "64", "--temp", "0", "-no-cnv",
                        "--no-display-prompt", "--no-warmup", *peer.VULKAN)[0]
    tail = ours[ours.find(PROMPT) + len(PROMPT):] if PROMPT in ours else ours
    tail, theirs = tail.strip(), theirs.replace("[end of text]", "").strip()
    same = os.path.commonprefix([tail, theirs])
    check(name + " greedy", len(same) >= min(len(tail), len(theirs)) and len(same) > 32, repr(same[-40:]))


def divergence(program, name, model, ref, text, work, chunks=16):
    theirs = peer.llama_divergence(model, ref, text, work, chunks)
    ours = program.eval(model, text, "--ref", ref, "--protocol", "llamacpp", "--max-windows", str(chunks))
    off, figure = peer.furthest(ours, theirs)
    check(name + " KL", off <= 0.01, "99.9 %% quantile %.4f against %.4f; furthest %s: %.4g against %.4g" % (
        ours["kl_p999"], theirs["kl_p999"], figure, ours[figure], theirs[figure]))


def main():
    program = peer.Program(os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "auto")
    only, models = (sys.argv[i].split(",") if len(sys.argv) > i and sys.argv[i] else None for i in (3, 4))
    peer.need_llama()
    work = peer.work_dir()
    sources = [("demo", peer.DEMO, peer.HELDOUT, True)]
    story = os.path.join(peer.SHARED, "data", "stories260K-hf")
    if os.path.isdir(story):
        text = os.path.join(peer.SHARED, "data", "text", "tinystories", "tinystories_v1_sample.txt")
        sources.append(("stories260K", story, text, True))
    for family in ("llama", "qwen2"):
        sources.append(("random-" + family, peer.random_model(os.path.join(work, "random-" + family), family),
                        peer.HELDOUT, False))
    for name, source, text, trained in sources:
        if models and name not in models:
            continue
        here = os.path.join(work, os.path.basename(text)) # where the other side sees it
        with open(text, "rb") as f, open(here, "wb") as g:
            g.write(f.read())
        program.write(source, os.path.join(work, name + "-f16.gguf"), "f16")
        adapter(program, name, source, here, work)
        for t in only or TYPES:
            file = os.path.join(work, "%s-%s.gguf" % (name, t))
            program.write(source, file, t)
            agree(program, "%s %s" % (name, t), file, here, work)
            if trained and t in ("f16", "q4_0", "q4_k_m", "q8_0"):
                greedy(program, "%s %s" % (name, t), file)
            if trained and t == "q2_k":
                divergence(program, "%s %s" % (name, t), file,
                           os.path.join(work, name + "-f16.gguf"), here, work)
        for t in [t for t in only or TYPES if t not in ("f32", "f16", "bf16")]:
            file = os.path.join(work, "%s-%s-theirs.gguf" % (name, t))
            peer.llama("llama-quantize", os.path.join(work, name + "-f16.gguf"), file, t.upper(), "2")
            agree(program, "%s %s theirs" % (name, t), file, here, work)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
