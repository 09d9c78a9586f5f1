#!/usr/bin/env python3
"""Writes regex.json: where regular expressions cut texts, by Hugging Face's tokenizers library (Oniguruma).

    python3 make_regex.py                       needs tokenizers (0.23.3); the same bytes every time

Patterns are those by which published tokenizers cut words, and small ones for every piece of syntax. For
each a list of texts and the byte offsets where pieces end; texts null: a pattern that is to be refused.
tests/interop/patterns.py compares far more texts.
"""
import json
import pathlib
import random

from tokenizers import Regex, pre_tokenizers

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER, LOWER = "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}", "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
REST = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
CL100K = ("'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|%s| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*"
          "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+")
O200K = ("[^\\r\\n\\p{L}\\p{N}]?[%(u)s]*[%(l)s]+" + CONTRACTIONS + "?|[^\\r\\n\\p{L}\\p{N}]?[%(u)s]+[%(l)s]*"
         + CONTRACTIONS + "?|%(d)s| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
PUBLISHED = [
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    CONTRACTIONS + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" + REST,
    CONTRACTIONS + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" + REST,
    CONTRACTIONS + "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}" + REST,
    CONTRACTIONS + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}"
    "| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    CL100K % "\\p{N}{1,3}", CL100K % "\\p{N}{1,3}+", CL100K % "\\p{N}",
    O200K % dict(u=UPPER, l=LOWER, d="\\p{N}{1,3}"), O200K % dict(u=UPPER, l=LOWER, d="\\p{N}"),
    "[\\p{Han}]+|" + O200K % dict(u=UPPER + "&&[^\\p{Han}]", l=LOWER + "&&[^\\p{Han}]", d="\\p{N}{1,3}"),
    "\\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}", "\\s+$",
    "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", "[0-9][0-9][0-9]", " ?[^(\\s|[.,!?…。，、।۔،])]+",
    " ?[^(\\s|.,!?…。，、।۔،)]+", "(?=(\\d{3})+(?!\\d))", "\\d{1,3}(?=(?:\\d{3})*\\b)", "\\w+|[^\\w\\s]+", " ",
    "\\s+|\\d+|[^\\s\\d]+",
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++|\\s++(?!\\S)|\\s++$",
    "(?:\\r?\\n)+|[^\\S\\r\\n]+|\\S+", "\\p{P}+|\\p{S}+", "\\n+|[^\\n]+", "[^\\p{L}\\p{N}\\s]",
    "[a-zA-Z]+|[^a-zA-Z]",
]
SMALL = [
    "a{2}?", "(a{2}?)b", "xa{2}?b", "a{1,3}+", "a{1,3}?", "a{,2}", "a{,2}b", "a{2,}+", "a{2,}?", "a{,}",
    "a{", "a{x}",
    "a{1,2}{2}", "(?:ab){2,3}+c", "a**", "a+*", "a??", "a?+", "a+?+", "a*+a", "a++b", "(?i)a|b",
    "a(?i)b|c", "(?:a(?i)b|c)d",
    "(?i:a(?-i)b|c)d", "(?m:.)+", ".+", "(?m).+|x", "(?im-i:A.)", "(?#c)a", "\\h+", "\\H+", "[\\h]+",
    "[^\\h]+", "\\p{^L}+",
    "\\P{^L}+", "\\p{Han}+", "\\P{Han}+", "\\p{Hiragana}+|\\p{katakana}+", "\\p{Letter}+", "\\p{lu}+",
    "\\p{Upper case Letter}",
    "\\p{LC}+", "\\p{Any}+", "\\p{Alnum}+", "\\p{Alpha}+", "\\p{Punct}+", "\\p{Space}+", "\\p{Word}+",
    "\\p{Digit}+", "\\v+", "\\t|\\f|\\a|\\e",
    "$", "^", "\\Z", "\\z", "\\A.", "^a|b$", "[]a]+", "[a&&b]", "[a-z&&[^aeiou]]+", "[^a-z&&[^aeiou]]+",
    "[a-z&&[^aeiou]&&[^b]]+",
    "[a[bc]]+", "[^a[bc]]+", "[a[^b-z]]+", "[^a[^b-z]]+", "[[:space:]]+", "[[:^space:]]+",
    "[[:digit:][:blank:]]+", "[[:punct:]]+",
    "[[:alpha:]]+", "[[:alnum:]_]+", "[[:xdigit:]]+", "[[:upper:]]+|[[:lower:]]+", "[\\w&&\\D]+",
    "[^\\w&&\\D]+", "\\x41|\\x{e9}|\\u00e9", "\\R+", "\\N+",
    "\\O", "a\\Kb", "\\b", "\\B", "\\bc", "(?i:ss|ffi)", "(?i:st)", "(?i:[k])+", "(?i)[^k]+", "(?<=a)b",
    "(?<!a)b", "(?<=a|bc)d", "(?>a|ab)c",
    "[a-]+", "[-a]+", "[a\\-z]+", "[a-c-e]+", "[\\n-\\r]+", "[\\]\\[^]+", "[\\b]",
    "\\.\\*\\+\\?\\(\\)\\|\\{\\}\\^\\$", "]", "}", "a|", "|a", "(a|)b",
    "()", "\\d+|\\D", "\\s+|\\S", "\\w+|\\W", "[\\s\\d]+", "[^\\s\\d]+", "[\\S\\d]+", "[\\D1]+",
    "[\\W_]+", "[^\\W_]+", "\\-\\/\\#\\ ", "é+", "[é-ü]+", "[😀-😂]+",
]
WRONG = ["*a", "a(", "a)", "[a", "[^]", "[a-\\d]", "[\\d-a]", "(?<n>a)\\k<n>", "(a)\\1",
    "\\p{Nothing_Such}", "\\p{L", "\\xe9", "\\q", "\\X", "\\G",
         "\\pL", "(?~a)", "(?x) a", "(?s:.)", "(?=a)*", "^*", "a{3,1}", "a{70000}", "\\", "[[:nope:]]",
         "\\07", "\\cA", "(?", "(?i", "(?=a", "(?#a", "a\\",
         "(?(1)a)", "\\g<0>", "\\y", "\\Qa\\E"]
PIECES = ["a", "b", "ab", "abc", "aab", "aaa", "aaaaaab", "xaab", "A", "B", "Zz", "s", "ss", "ß",
    "ẞ", "ſ", "st", "ﬆ", "ffi", "ﬁ", "k", "\u212a", "K", "cd", "d", "bcd", "c",
          "_", "-", "--", "]", "[", "^", "}", "{", "a{,}", "a{x}", ".*+?()|{}^$", "-/# ", " ", "  ",
          "   ", "\n", "\r\n", "\r", "\t", "\f", "\a", "\x1b", "\x08", "\v",
          "\u00a0", "\u0085", "\u2028", "\u2029", "\u3000", "\u180e", "\u200b", "1", "12", "123",
          "1234567", "٣", "½", "²", "Ⅷ", "①", "ⓐ", "🄰", "é", "e\u0301", "ü", "Å",
          "Привет", "漢字", "々", "〆", "ー", "ひら", "カタ", "。", "、", "한국",
          "हिन्दी", "ไทย", "שלום", "عربي", "ǅ", "ʰ", "'s", "'S", "'ll",
          "'LL", "'re", "it's", "don't", "'ſ",
          "...", "!?", "$", "+", "=", "€", "😀", "👩‍👩‍👧", "\u200d", "‿", "…",
          "“q”", "CamelCase", "HTTPServer", "x1y2", "a.b/c", "//", "\n\n  x", "the", " quick",
          " fox"]


def ends(pattern, text):
    """Where pieces end, in bytes; None for a pattern that is not taken."""
    try:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
    except Exception:  # noqa: BLE001 - the library raises Exception itself
        return None
    out, at = [], 0
    for piece, _ in split.pre_tokenize_str(text):
        at += len(piece.encode())
        out.append(at)
    return out


def random_text(rng):
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 14)))


def main():
    rng, rows = random.Random(5), []
    for pattern in PUBLISHED + SMALL:
        count = 14 if pattern in PUBLISHED else 6
        texts = [random_text(rng) for _ in range(count)]
        if pattern in SMALL:  # those that it is about
            rest = sorted((random_text(rng) for _ in range(300)),
                          key=lambda t: -len(ends(pattern, t)) / len(t))
            texts += rest[:4]
        rows.append(json.dumps({"pattern": pattern, "texts": [[t, ends(pattern, t)] for t in texts]},
                               separators=(",", ":"), ensure_ascii=False))
    rows += [json.dumps({"pattern": p, "texts": None}) for p in WRONG]
    out = pathlib.Path(__file__).resolve().parent / "regex.json"
    out.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    print(len(rows), "patterns,", out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
