#!/usr/bin/env python3
"""Makes tests/golden/tokenizers/: small tokenizers of our own, and the ids that Hugging Face's tokenizers
library (0.23.3, `pip install tokenizers`) gives for a few texts. Run from the repository root. Training
breaks ties at random: a rerun makes other, equally good files."""
import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

OUT = pathlib.Path("tests/golden/tokenizers")
TEXT = (
    "The quick brown fox jumps over the lazy dog. A weight is rounded up or down, and the rounding is "
    "learned. "
    "We've read 1234567 numbers, they'll say; it isn't WE'RE or I'M. Größe, naïve café, über, Ærø. "
    "for (int i = 0; i < 10; i++) { sum += w[i] * x[i]; }\r\n\r\n\tquantize   the   weights\n\n"
    "Привет, мир! 東京は日本の首都です。 हिन्दी 한국어 🙂🙃\n"
) * 8
WORDS = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|%s"
         "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
PIECES = [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\u0085", "\u180e", "\u200b", "▁",
          "▁▁", "'s", "'S", "'LL",
          "can't", "123", "4567", "½", "é", "e\u0301", "が", "か\u3099", "Å", "\u212b", "ß", "漢字", "Привет",
          "🙂", "\u007f",
          "<s>", "</s>", "<unk>", "<0x41>", "<|begin|>", "<|end|>", "<tool>", "fox", "the", " weights",
          "rounding", "Over",
          "{", "}\n", "+=", "...", "_", "Ġ", "[L]", "[R]", "[W]"]


def byte_level(name, splits, use_regex=False, prefix=False, normalizer=None, ignore_merges=False, added=()):
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    last = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=use_regex)
    t.pre_tokenizer = pre_tokenizers.Sequence(splits + [last]) if splits else last
    t.decoder = decoders.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    t.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=420,
                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                      special_tokens=["<|begin|>", "<|end|>"],
                                                      show_progress=False))
    t.add_tokens(list(added))
    return name, t


def sentencepiece(name, pre=None, normalizer=None, decoder=None, byte_tokens=256, fuse_unk=True, added=()):
    specials = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(byte_tokens)]
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=fuse_unk))
    if pre:
        t.pre_tokenizer = pre
    if normalizer:
        t.normalizer = normalizer
    lines = [TEXT[i:i + 40] for i in range(0, len(TEXT) // 8, 40)]
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=byte_tokens + 150, special_tokens=specials,
                                                     limit_alphabet=45,
                                                     show_progress=False))
    data = json.loads(t.to_str())
    data["added_tokens"] = [a for a in data["added_tokens"] if not a["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(data))
    if decoder:
        t.decoder = decoder
    t.add_tokens(list(added))
    return name, t


def tokenizers():
    split = lambda digits: [pre_tokenizers.Split(Regex(WORDS % digits), "isolated")]
    legacy = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    spaces = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                decoders.Strip(" ", 1, 0)])
    yield byte_level("llama3", split("\\p{N}{1,3}"), ignore_merges=True)
    yield byte_level("qwen2", split("\\p{N}"), normalizer=normalizers.NFC(),
                     added=[AddedToken("<tool>", normalized=False), AddedToken("[W]", single_word=True)])
    yield byte_level("gpt2", [], use_regex=True, prefix=True)
    yield byte_level("smollm", [pre_tokenizers.Digits(individual_digits=True)], use_regex=True)
    yield sentencepiece("legacy", normalizer=legacy, decoder=spaces,
                        added=[AddedToken("[L]", lstrip=True, normalized=False),
                               AddedToken("[R]", rstrip=True, normalized=False),
                               AddedToken("fox", normalized=True)])
    yield sentencepiece("metaspace", pre=pre_tokenizers.Metaspace(prepend_scheme="first"),
                        decoder=decoders.Metaspace(prepend_scheme="first"),
                        added=[AddedToken("<tool>", rstrip=True, normalized=False)])
    yield sentencepiece("nobytes", normalizer=legacy, decoder=spaces, byte_tokens=0, fuse_unk=False)
    yield sentencepiece("halfbytes", normalizer=legacy, decoder=spaces, byte_tokens=0xa0)


def texts(rng):
    yield from ["", " ", "a", "Hello, world!", "The quick brown fox", "  two  spaces ", "\n\n\n x\n",
                "I'll've 12345 'S", "aaaaaaaaaaa"]
    for _ in range(40):
        i = rng.randrange(len(TEXT))
        yield "".join(rng.choice(PIECES) if rng.random() <
                      0.7 else TEXT[i:i + rng.randrange(12)] for _ in range(rng.randrange(1, 12)))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, t in tokenizers():
        rng = random.Random(name)
        data = json.loads(t.to_str())
        if name in ("gpt2", "nobytes"):  # the older spelling
            data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
        (OUT / f"{name}.json").write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n")
        cases = []
        for i, text in enumerate(texts(rng)):
            t.encode_special_tokens = i % 2 == 0
            cases.append({"text": text, "special": i % 2 == 1,
                          "ids": t.encode(text, add_special_tokens=False).ids})
        lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
        (OUT / f"{name}.cases.json").write_text("[\n" + lines + "\n]\n")


main()
