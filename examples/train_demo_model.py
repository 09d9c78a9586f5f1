#!/usr/bin/env python3
"""Train the demo model of examples/demo-model from a plain text file.

A development tool: anyround itself never needs Python. It wants torch, transformers and tokenizers:

    python3 examples/train_demo_model.py --text input.txt [--out examples/demo-model] [--steps 3600]

The model is a small Llama (about 2.6 million parameters, every matrix's input a multiple of 256, so that each
GGUF and GPTQ-family type fits). The tokenizer is a SentencePiece-style BPE: spaces become U+2581, one is put
in front of the text, line feeds and everything else outside the vocabulary are byte tokens, and a merge's
rank depends only on the piece it makes, so that score-driven readers (tokenizer.ggml.model "llama") cut text
in the same way.

The last 5 % of the text are held out. The weights with the lowest held-out loss are written, as fp16. They
are also kept in OUT.ckpt.pt while training runs, and `--export-only` turns that file into the folder after an
early stop. """
import argparse
import json
import math
import os
import time

import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

CONTEXT = 256
VOCAB = 1024
SPACE = "\u2581"
SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{b:02X}>" for b in range(256)]


def spm_normalizer():
    return normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])


def learn_pieces(text):
    """The merged pieces in rank order and the single characters, learned on words that no line feed or script
    change crosses (what SentencePiece's own splitting does)."""
    words = Tokenizer(models.BPE())
    words.normalizer = normalizers.Replace(" ", SPACE)
    words.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("\n", "removed"),
        pre_tokenizers.Split(Regex(SPACE + r"?\p{L}+|" + SPACE + r"?[^\p{L}" + SPACE + "]+|" + SPACE),
                             "isolated"),
    ])
    room = VOCAB - len(SPECIAL) - len(BYTES)
    words.train_from_iterator(text.splitlines(True),
                              trainers.BpeTrainer(vocab_size=room, show_progress=False))
    rank = sorted(words.get_vocab().items(), key=lambda item: item[1])
    return [p for p, _ in rank if len(p) > 1], [p for p, _ in rank if len(p) == 1]


def build_tokenizer(text):
    pieces, letters = learn_pieces(text)
    vocab = {piece: i for i, piece in enumerate(SPECIAL + BYTES + pieces + letters)}
    merges = []
    for piece in pieces:  # every way to make the piece, as a score-driven merge would allow
        cuts = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        merges += sorted((c for c in cuts if c[0] in vocab and c[1] in vocab),
                         key=lambda c: (vocab[c[0]], vocab[c[1]]))
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True,
                               byte_fallback=True))
    tok.normalizer = spm_normalizer()
    tok.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    tok.add_special_tokens(SPECIAL)
    assert tok.get_vocab_size() == VOCAB, tok.get_vocab_size()
    return tok


def build_model(dropout):
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=256, intermediate_size=768, num_hidden_layers=3, num_attention_heads=8,
        num_key_value_heads=4, head_dim=32, max_position_embeddings=512, rms_norm_eps=1e-5,
        rope_theta=10000.0,
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, attention_dropout=0.0)
    model = LlamaForCausalLM(config)

    def drop(module, _inputs, output):
        return F.dropout(output, dropout, module.training)

    model.model.embed_tokens.register_forward_hook(drop)
    for layer in model.model.layers:
        with torch.no_grad():  # residual writers start smaller: the stream's variance then stays near one
            layer.self_attn.o_proj.weight /= math.sqrt(6.0)
            layer.mlp.down_proj.weight /= math.sqrt(6.0)
        layer.self_attn.o_proj.register_forward_hook(drop)
        layer.mlp.down_proj.register_forward_hook(drop)
    return model


def batch_of(rng, tok, text, ids, starts, batch):
    """Half of the rows begin anywhere, half are <s> and the start of a speech, as a prompt would be."""
    rows = []
    for i in range(batch):
        if i % 2 == 0:
            at = int(torch.randint(len(ids) - CONTEXT - 1, (1,), generator=rng))
            rows.append(ids[at:at + CONTEXT + 1])
        else:
            at = starts[int(torch.randint(len(starts), (1,), generator=rng))]
            row = tok.encode(text[at:at + 6 * CONTEXT]).ids[:CONTEXT + 1]
            rows.append(torch.tensor(row))
    rows = torch.stack(rows)
    return rows[:, :-1], rows[:, 1:]


def held_out_loss(model, ids):
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for at in range(0, len(ids) - CONTEXT, CONTEXT):
            row = ids[at:at + CONTEXT].unsqueeze(0)
            logits = model(input_ids=row).logits[0, :-1]
            total += float(F.cross_entropy(logits, row[0, 1:], reduction="sum"))
            count += CONTEXT - 1
    model.train()
    return total / count


def train(model, tok, text, args):
    cut = int(len(text) * 0.95)
    cut = text.rindex("\n\n", 0, cut) + 2
    head, tail = text[:cut], text[cut:]
    ids = torch.tensor(tok.encode(head, add_special_tokens=False).ids)
    held = torch.tensor(tok.encode(tail, add_special_tokens=False).ids)
    starts, at = [0], head.find("\n\n")
    while at >= 0 and at + 2 < len(head) - 6 * CONTEXT:
        starts.append(at + 2)
        at = head.find("\n\n", at + 2)
    print(f"{len(ids)} training tokens, {len(held)} held out, "
          f"{len(head) / len(ids):.3f} characters per token", flush=True)

    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1},
                                   {"params": vectors, "weight_decay": 0.0}],
                                  lr=args.lr, betas=(0.9, 0.98), fused=True)
    rng = torch.Generator().manual_seed(args.seed)
    best, clock, mean = math.inf, time.time(), 0.0
    for step in range(args.steps):
        warm = min(1.0, (step + 1) / 100)
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / args.steps))
        for group in optimizer.param_groups:
            group["lr"] = args.lr * warm * (0.02 + 0.98 * cosine)
        x, y = batch_of(rng, tok, head, ids, starts, args.batch)
        loss = F.cross_entropy(model(input_ids=x).logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        mean += float(loss.detach())
        if (step + 1) % args.eval_every == 0 or step + 1 == args.steps:
            now = held_out_loss(model, held)
            print(f"step {step + 1}/{args.steps} train {mean / args.eval_every:.4f} held out {now:.4f} "
                  f"{time.time() - clock:.0f} s", flush=True)
            mean = 0.0
            if now < best:
                best = now
                torch.save({"step": step + 1, "loss": now, "model": model.state_dict()},
                           args.out + ".ckpt.pt")
    print(f"best held-out loss {best:.4f}")


def export(model, tok, args):
    best = torch.load(args.out + ".ckpt.pt")
    model.load_state_dict(best["model"])
    model.half().eval()
    os.makedirs(args.out, exist_ok=True)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2)
    model.save_pretrained(args.out)
    tok.save(os.path.join(args.out, "tokenizer.json"))
    path = os.path.join(args.out, "config.json")
    with open(path) as file:
        config = json.load(file)
    config["torch_dtype"] = config.pop("dtype", "float16")  # the name that readers of every age know
    config["rope_theta"] = 10000.0
    config.pop("transformers_version", None)
    with open(path, "w") as file:
        json.dump(config, file, indent=2, sort_keys=True)
        file.write("\n")
    with open(os.path.join(args.out, "generation_config.json"), "w") as file:
        json.dump({"bos_token_id": 1, "eos_token_id": 2}, file, indent=2)
        file.write("\n")
    with open(os.path.join(args.out, "tokenizer_config.json"), "w") as file:
        json.dump({"add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>",
                   "unk_token": "<unk>", "clean_up_tokenization_spaces": False, "model_max_length": 512,
                   "tokenizer_class": "PreTrainedTokenizerFast"}, file, indent=2)
        file.write("\n")
    print(f"wrote {args.out}: step {best['step']}, held-out loss {best['loss']:.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", required=True, help="the training text")
    parser.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                      "demo-model"))
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--eval-every", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--export-only", action="store_true", help="write the folder from OUT.ckpt.pt")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    with open(args.text, encoding="utf-8", newline="") as file:
        text = file.read()
    tok = build_tokenizer(text)
    model = build_model(args.dropout)
    if not args.export_only:
        train(model, tok, text, args)
    export(model, tok, args)


if __name__ == "__main__":
    main()
