#!/usr/bin/env python3
"""Writes vocabularies/: five vocabularies of the kinds that published models have, and what Hugging Face's
tokenizers library (0.23.3) makes of tricky lines and of a whole text with them.

    python3 make_vocabularies.py      needs tokenizers, sentencepiece; ten seconds; the same bytes every time

  NAME.json          the tokenizer, about 800 tokens
  NAME.cases.json    lines: text, special (are added tokens looked for in it), ids, and what the ids decode
                     to, with special tokens and without;
                     whole: of the repository's LICENSE, the number of ids, how many are unk, their FNV-1a
  spm.model          llama2's tokens as SentencePiece keeps them
  spm.cases.json     the ids that SentencePiece (0.2.3) itself gives for the lines, and of LICENSE as above
A merge is the most frequent pair, the first in order of text among equals, over the words of LICENSE and
SAMPLE. make_tokenizers.py makes smaller ones with more odd settings.
"""
import collections
import json
import pathlib

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = pathlib.Path(__file__).resolve().parent / "vocabularies"
LICENSE = (ROOT / "LICENSE").read_text()
SAMPLE = (
    "The children couldn't wait; they'd been told it's 12345 steps, and we'll see 2024-06-30 at 17:45. "
    "Größe, café, naïve, Ærø, œuvre, Łódź, İstanbul. int main(void) { return x[i] >= 0 ? 1 : -1; }\n\n"
    "Быстрая лиса прыгает через собаку. 吾輩は猫である。名前はまだ無い。 天地玄黃宇宙洪荒 한글은 쉽다 "
    "नमस्ते दुनिया สวัสดีชาวโลก שלום עולם مرحبا بالعالم ½ ² Ⅷ ٣٤ 🙂👩‍👩‍👧 e\u0301\u0323 \u1100\u1161\u11a8\n"
) * 3
WORDS = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|%s"
         "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
LINES = [
    "", " ", "  ", "\n", "\r\n", "\t\t x", "a", " a", "a ", "Hello, world!",
    "hello  world   again    .", "I'm you're HE'LL they'd'v can't' 'S 'ſ ’s",
    "x1 12 123 1234 12345 1234567890 3.14159 1,000,000",
    "½ ² Ⅷ ٣٤ ๓ 一二三", "\u00a0nbsp\u3000wide\u2003em\u2028ls\u2029ps\u0085nel\u200bzw\u180emvs\ufeff",
    "e\u0301 é ẹ\u0301 e\u0301\u0323 か\u3099 が \u1100\u1161\u11a8 각 \u212b Å ﬁ", "Привет, мир! Ёжик",
    "東京は日本の首都です。漢字カタカナ", "한국어 텍스트", "हिन्दी में नमस्ते",
    "ภาษาไทย", "שָׁלוֹם العربية",
    "👩‍👩‍👧‍👦🏳️‍🌈🙂", "\U0001f1e9\U0001f1ea \U0001d54f \U000e0001 \U0010ffff \u0001\u007f",
    "for (int i = 0; i < 10; i++) {\n\tsum += w[i] * x[i];\n}\n",
    "{{ a }}  {% b %}\\n \\\\ // /* */ <!-- -->",
    "user@example.com https://a.b/c?d=e&f=g#h", "\n\n\n  \n x\n\n", "line\r\nline\rline\n\r",
    "...!!!???---___***",
    "Ġ Ċ ▁ ▁▁ <0x0A> <0x41>", "<|begin|>text<|end|>", " <|begin|> text <|end|> ", "<|begin|><|begin|>",
    "<|be<|begin|>gin|>", "<tool>a<tool> b", "<s>a</s>", "<s> a </s>\n<unk>", "Licensed under the License",
    "LICENSED UNDER THE LICENSE", "licensedunderthelicense", "a" * 70, "ab" * 40, " " * 40 + "x", "\n" * 20,
    "aA1 Bb2\u0300c\u0301", "ǅ ǆ İ ı ß ẞ ſ", "\u0300leading mark", "x\u200d y\u200cz",
    "— – ‐ “q” ‘r’ … • €",
]


def train(words, merge_count):
    """The merges, [left, right] each. words: {tuple of symbols: how often}"""
    merges = []
    while len(merges) < merge_count:
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(list(best))
        joined = collections.Counter()
        for word, count in words.items():
            out, i = [], 0
            while i < len(word):
                step = 2 if word[i:i + 2] == best else 1
                out.append("".join(word[i:i + step]))
                i += step
            joined[tuple(out)] += count
        words = joined
    return merges


def words_of(pre_tokenizer, normalizer=None):
    text = LICENSE + SAMPLE
    if normalizer:
        text = normalizer.normalize_str(text)
    return collections.Counter(tuple(word) for word, _ in pre_tokenizer.pre_tokenize_str(text))


def byte_level(split, normalizer=None, ignore_merges=False, added=()):
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)
    pre = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), last]) if split else last
    merges = train(words_of(pre, normalizer), 560)
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet()) + [left + right for left, right in merges]
    if ignore_merges:
        tokens += ["Ġlicensing", "Ġzzz"]  # whole words that no merge makes
    t = Tokenizer(models.BPE({token: i for i, token in enumerate(dict.fromkeys(tokens))},
                             [tuple(m) for m in merges], ignore_merges=ignore_merges))
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    t.add_special_tokens(["<|begin|>", "<|end|>"])
    t.add_tokens(list(added))
    return t


def metaspace(legacy):
    """With byte fallback; as Llama 2's folder has it, a mark before every stretch of text (legacy), or before
    the first word alone."""
    words = collections.Counter()
    for word, count in words_of(pre_tokenizers.Metaspace(prepend_scheme="always")).items():
        words[word] += count
    letters = collections.Counter(c for word, count in words.items() for c in word * count)
    kept = [c for c, n in sorted(letters.items(), key=lambda item: (-item[1], item[0])) if n > 3][:110]
    merges = train({word: n for word, n in words.items() if set(word) <= set(kept)}, 420)
    tokens = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]
    tokens += ["".join(m) for m in merges] + kept
    t = Tokenizer(models.BPE({token: i for i, token in enumerate(dict.fromkeys(tokens))},
                             [tuple(m) for m in merges], unk_token="<unk>", byte_fallback=True,
                             fuse_unk=True))
    if legacy:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    t.add_special_tokens(["<unk>", "<s>", "</s>"])
    return t


def fnv(ids):
    h = 0xcbf29ce484222325
    for i in ids:
        for byte in i.to_bytes(4, "little"):
            h = (h ^ byte) * 0x100000001b3 & (1 << 64) - 1
    return "%016x" % h


def write(name, t):
    (OUT / f"{name}.json").write_text(
        json.dumps(json.loads(t.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")
    rows = []
    for text in LINES:
        for special in (False, True):
            t.encode_special_tokens = not special
            ids = t.encode(text, add_special_tokens=False).ids
            rows.append(json.dumps({"text": text, "special": special, "ids": ids, "decoded": t.decode(
                ids, skip_special_tokens=False), "plain": t.decode(ids)}, separators=(",", ":")))
    unk = t.token_to_id("<unk>")
    ids = t.encode(LICENSE, add_special_tokens=False).ids
    whole = json.dumps({"count": len(ids), "unk": ids.count(unk), "fnv": fnv(ids)})
    (OUT / f"{name}.cases.json").write_text(
        '{"whole":' + whole + ',\n"lines":[\n' + ",\n".join(rows) + "\n]}\n")


def write_sentencepiece(t):
    """The vocabulary of a Tokenizer as tokenizer.model: a score for every token, that of its first merge."""
    data = json.loads(t.to_str())["model"]
    ranks = {}
    for rank, (left, right) in enumerate(data["merges"]):
        ranks.setdefault(left + right, rank)
    kinds = {"<unk>": 2, "<s>": 3, "</s>": 3}
    m = pb.ModelProto()
    for token, i in sorted(data["vocab"].items(), key=lambda item: item[1]):
        kind = kinds.get(token, 6 if 3 <= i < 259 else 1)
        score = 0 if kind > 1 else -float(ranks.get(token, len(ranks) + i))
        m.pieces.add(piece=token, score=score, type=kind)
    m.trainer_spec.model_type = 2
    m.trainer_spec.vocab_size = len(m.pieces)
    m.trainer_spec.byte_fallback = True
    m.normalizer_spec.name = "identity"
    m.normalizer_spec.add_dummy_prefix = True
    m.normalizer_spec.remove_extra_whitespaces = False
    (OUT / "spm.model").write_bytes(m.SerializeToString(deterministic=True))
    s = sentencepiece.SentencePieceProcessor(model_file=str(OUT / "spm.model"))
    rows = [json.dumps({"text": text, "ids": s.encode(text)}, separators=(",", ":")) for text in LINES]
    ids = s.encode(LICENSE)
    whole = json.dumps({"count": len(ids), "unk": ids.count(0), "fnv": fnv(ids)})
    text = '{"whole":' + whole + ',\n"lines":[\n' + ",\n".join(rows) + "\n]}\n"
    (OUT / "spm.cases.json").write_text(text)


def main():
    OUT.mkdir(exist_ok=True)
    write("gpt2", byte_level(None))
    write("llama3", byte_level(WORDS % "\\p{N}{1,3}", ignore_merges=True))
    write("qwen2", byte_level(WORDS % "\\p{N}", normalizers.NFC(),
                              added=[AddedToken("<tool>", normalized=False)]))
    write("llama2", metaspace(legacy=True))
    write("metaspace", metaspace(legacy=False))
    write_sentencepiece(metaspace(legacy=True))


main()
