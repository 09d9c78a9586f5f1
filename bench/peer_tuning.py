#!/usr/bin/env python3
"""peer_tuning.py PROGRAM [DEVICE] [MODEL[:BLOCKS] ...]: anyround beside auto-round (PyTorch, on the CPU).

Both quantize MODEL, a Hugging Face folder (of BLOCKS its first so many blocks), by SignRound at the same
settings: 4 bits, symmetric groups of 32, 50 steps of 8 samples of 128 tokens, 32 samples of one text, 2
threads, folder written. auto-round runs twice: as it is, and with oneDNN kept from bf16 units. Whole
processes: wall seconds and the most resident memory. Without MODELs: the demo model, and a random Llama of
about 30 M parameters. One after the other on an idle machine; a table of Markdown. Needs auto-round; exit
77 = skipped. """
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "interop"))
import peer

STEPS, BATCH, SAMPLES, TOKENS, BITS, GROUP = 50, 8, 32, 128, 4, 32
NO_BF16 = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "DNNL_MAX_CPU_ISA": "AVX512_CORE"}


def theirs(source, out):
    """In a process of its own: `peer_tuning.py --theirs SOURCE OUT`."""
    import torch
    from auto_round import AutoRound
    from transformers import AutoModelForCausalLM, AutoTokenizer
    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(source)
    with open(peer.HELDOUT) as f:
        ids = tokenizer(f.read())["input_ids"]
    while len(ids) < SAMPLES * TOKENS:
        ids += ids
    data = [{"input_ids": torch.tensor([ids[i * TOKENS:(i + 1) * TOKENS]]),
             "attention_mask": torch.ones(1, TOKENS, dtype=torch.long)} for i in range(SAMPLES)]
    AutoRound(model, tokenizer, bits=BITS, group_size=GROUP, sym=True, iters=STEPS, nsamples=SAMPLES,
              seqlen=TOKENS, batch_size=BATCH, dataset=data, device_map="cpu",
              enable_torch_compile=False).quantize_and_save(out, format="auto_round")


def first_blocks(source, count, work):
    """The folder of a model's first blocks, which both sides read."""
    from transformers import AutoModelForCausalLM
    out = os.path.join(work, "%s-%d" % (os.path.basename(source.rstrip("/")), count))
    if os.path.exists(os.path.join(out, "model.safetensors")):
        return out
    model = AutoModelForCausalLM.from_pretrained(source)
    model.model.layers = model.model.layers[:count]
    model.config.num_hidden_layers = count
    model.save_pretrained(out)
    with open(os.path.join(out, "config.json")) as f:
        config = json.load(f)
    config.pop("layer_types", None) # one a layer, of all layers
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(config, f)
    for name in os.listdir(source):
        if name.startswith("tokenizer") or name == "special_tokens_map.json":
            shutil.copy(os.path.join(source, name), out)
    return out


# A process's peak counts what its parent held when it was started, so that a small one starts it.
STARTER = """import resource, subprocess, sys, time
start = time.time()
status = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
print(time.time() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
sys.exit(status)
"""


def measure(command, env=None):
    """Seconds and MiB of one process."""
    return [float(n) for n in peer.run([sys.executable, "-S", "-c", STARTER, *command],
                                       env={"OMP_NUM_THREADS": "2", **(env or {})})[0].split()]


def row(program, device, source, work):
    out = os.path.join(work, "tuned")
    ours = [program, "quantize", source, "-o", out, "--format", "auto_round", "--bits", str(BITS),
            "--group", str(GROUP), "--sym", "--method", "signround", "--loss", "plain", "--select", "batch",
            "--iters", str(STEPS), "--batch", str(BATCH), "--samples", str(SAMPLES), "--seqlen", str(TOKENS),
            "--calib", peer.HELDOUT, "--device", device, "-q"]
    them = [sys.executable, os.path.abspath(__file__), "--theirs", source, out]
    figures = []
    for command, env in [(ours, None), (them, NO_BF16), (them, None)]:
        shutil.rmtree(out, ignore_errors=True)
        figures += measure(command, env)
    print("| %s | %.1f | %.1f | %.1f | %.2f | %.2f | %.0f | %.0f | %.2f |" %
          (os.path.basename(source), figures[0], figures[2], figures[4], figures[2] / figures[0],
           figures[4] / figures[0], figures[1], figures[3], figures[1] / figures[3]), flush=True)


def main():
    program, work = os.path.abspath(sys.argv[1]), peer.work_dir()
    device = sys.argv[2] if len(sys.argv) > 2 else "cl"
    try:
        import auto_round  # noqa: F401
    except ImportError:
        print("skipped: no auto_round")
        return 77
    sources = []
    for text in sys.argv[3:]:
        path, _, count = text.partition(":")
        sources.append(first_blocks(path, int(count), work) if count else path)
    if not sources:
        large = os.path.join(work, "random-30m")
        sources = [peer.DEMO, peer.random_model(large, "llama", 640, 1728, 6, 10, 10)]
    print("| model | ours, s | auto-round without bf16 units, s | auto-round, s | x | x | ours, MiB "
          "| auto-round, MiB | share |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    for source in sources:
        row(program, device, source, work)
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "--theirs":
        sys.exit(theirs(sys.argv[2], sys.argv[3]))
    sys.exit(main())
