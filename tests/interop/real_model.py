#!/usr/bin/env python3
"""real_model.py PROGRAM [DEVICE [MODEL...]]: models that others made, here and in transformers.

MODEL is a Hugging Face folder or a GGUF file (default: the demo model as both). The ids of 1,000 random lines
are the same; the logits of a text agree within 1e-3 of their standard deviation; 64 greedy ids behind three
raw prompts are the same, given the same special tokens before them. A GGUF file's weights are read by
transformers itself, its tokenizer from the folder that `convert` makes of it; where llama.cpp is at hand (see
peer.py), its ids of the lines are the same as well. Needs torch, transformers and, for GGUF, gguf. """
import os
import random
import subprocess
import sys

import peer

try:
    import torch
    import transformers as tf
except ImportError as e:
    print("skipped: no %s" % e.name)
    sys.exit(77)

LINES, GREEDY, POSITIONS = 1000, 64, 256
PROMPTS = ["The capital of France is", "def fibonacci(n):\n    ", "Once upon a time, in 1897, there"]
POOLS = [ # what pre-tokenizers and normalizers tell apart, all assigned long ago
    "the quick Brown foxes JUMPED over HTTPServer2 naïve façade Straße".split(),
    "don't we'll I'M THEY'VE it's o'clock ' 's 't ''".split(),
    ["0", "7", "42", "1234567", "3.14159", "1,000,000", "0x1F", "²", "½", "٣", "१२३", "Ⅷ"],
    [" ", "  ", "    ", "\t", "\t\t", "\u00a0", "\u3000", "\u2009", " \t ", "\r"],
    list(".,;:!?-_/\\|()[]{}<>#@$%^&*+=~`\"") + ["...", "--", "—", "…", "«»", "“”", "://", "();", "!="],
    ["e\u0301", "é", "Å", "ﬁ", "Ω", "ÿ", "İ", "ǅ", "a\u0308\u0323", "\u200d", "\ufeff", "\u00ad", "\x7f"],
    ["Ελλάδα", "Привет", "мир", "שלום", "مرحبا", "नमस्ते", "ไทย", "한국어", "日本語", "中文字符", "カタカナ"],
    ["😀", "👩‍👩‍👧", "🇫🇷", "👍🏽", "𝔘𝔫𝔦", "𠀀", "☃", "→", "∑", "™"],
]
failed = 0


def check(what, ok, text):
    global failed
    failed += not ok
    print("%s %-40s %s" % ("ok   " if ok else "WRONG", what, text), flush=True)


def random_lines(seed=1):
    r = random.Random(seed)
    lines = []
    while len(lines) < LINES:
        line = "".join(r.choice(r.choice(POOLS)) + r.choice(["", "", " "]) for _ in range(r.randint(1, 40)))
        lines.append(line)
    return lines


def probe(program, *args, data):
    """model_probe stands in the build beside the program."""
    path = os.environ.get("AR_MODEL_PROBE") or os.path.join(os.path.dirname(program.path), "tests", "interop",
                                                            "model_probe")
    done = subprocess.run([path, *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise RuntimeError("%s: exit %d: %s" % (" ".join([path, *args]), done.returncode,
                                                done.stderr.decode()))
    return done.stdout


def tokens(program, name, model, tokenizer, lines):
    out = probe(program, model, "encode", data="\n".join(lines).encode() + b"\n").decode().split("\n")
    ours = [[int(i) for i in row.split()] for row in out[:len(lines)]]
    theirs = [tokenizer(line, add_special_tokens=False).input_ids for line in lines]
    wrong = [i for i in range(len(lines)) if ours[i] != theirs[i]]
    text = "%d ids" % sum(map(len, theirs))
    if wrong:
        i = min(wrong, key=lambda k: len(lines[k]))
        text += "; %d lines differ, %r: %s, expected %s" % (len(wrong), lines[i], ours[i], theirs[i])
    check(name + " ids of %d lines" % len(lines), not wrong, text)
    return ours


def llama_tokens(name, model, lines, ours, work):
    """One process for all lines would join them, so the first 20 do."""
    wrong = []
    for i, line in enumerate(lines[:20]):
        path = os.path.join(work, "line.txt")
        with open(path, "w", newline="") as f:
            f.write(line)
        out = peer.llama("llama-tokenize", "-m", model, "-f", path, "--ids", "--no-bos", "--no-escape",
                         "--no-parse-special", "--log-disable")[0]
        found = [int(t) for t in out[out.rindex("[") + 1:out.rindex("]")].split(",") if t.strip()]
        if found != ours[i]:
            wrong.append("%r: %s, expected %s" % (line, ours[i], found))
    check(name + " ids in llama.cpp", not wrong, wrong[0] if wrong else "20 lines")


def positions(net, ids):
    with torch.no_grad():
        return net(torch.tensor([ids])).logits[0]


def logits(program, name, model, net, ids):
    ids = ids[:POSITIONS]
    raw = probe(program, model, "logits", program.device, data=" ".join(map(str, ids)).encode())
    ours = torch.frombuffer(bytearray(raw), dtype=torch.float32).view(len(ids), -1).double()
    theirs = positions(net, ids).double()
    off = ((ours - theirs).abs().max() / theirs.std()).item()
    check(name + " logits", off <= 1e-3, "furthest %.2e of their standard deviation" % off)


def greedy(program, name, model, net, tokenizer):
    """All at once: ours are the greedy ids if behind each of them transformers' most likely is the next."""
    ends = net.config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    for prompt in PROMPTS:
        asked = tokenizer(prompt, add_special_tokens=False).input_ids
        ours = [int(i) for i in program("run", model, "-p", prompt, "-n", str(GREEDY), "--greedy", "--ids",
                                        "-q").split()]
        before = next((k for k in (0, 1) if ours[k:k + len(asked)] == asked), None)
        if before is None:
            check(name + " greedy", False, "prompt %s, expected %s" % (ours[:len(asked) + 1], asked))
            continue
        first, best = before + len(asked), positions(net, ours).argmax(1).tolist()
        chosen = best[first - 1:]
        wrong = [i for i, token in enumerate(ours[first:]) if token != chosen[i]]
        ended = len(ours) - first == GREEDY or chosen[-1] in ends or ours[-1] in ends
        check(name + " greedy", ended and not wrong, "%d ids behind %r and %d special; %s" % (
            len(ours) - first, prompt, before, "from %d on others" % wrong[0] if wrong else "equal"))


def compare(program, model, work, with_llama):
    name, is_file = os.path.basename(model.rstrip("/")), os.path.isfile(model)
    folder = model
    if is_file:
        folder = os.path.join(work, name + "-folder")
        program("convert", model, "-o", folder, "-q", device=False)
        net = tf.AutoModelForCausalLM.from_pretrained(os.path.dirname(model), gguf_file=name,
                                                      dtype=torch.float32).eval()
    else:
        net = tf.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json"))
    lines = random_lines()
    ours = tokens(program, name, model, tokenizer, lines)
    if is_file and with_llama:
        llama_tokens(name, model, lines, ours, work)
    logits(program, name, model, net, [i for row in ours for i in row])
    greedy(program, name, model, net, tokenizer)


def main():
    program = peer.Program(os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "auto")
    work, models = peer.work_dir(), [os.path.abspath(m) for m in sys.argv[3:]]
    if not models:
        models = [peer.DEMO, os.path.join(work, "demo-f16.gguf")]
        program.write(peer.DEMO, models[1], "f16")
    try:
        peer.llama("llama-tokenize", "--version")
        with_llama = True
    except (OSError, RuntimeError):
        with_llama = False
    for model in models:
        compare(program, model, work, with_llama)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
