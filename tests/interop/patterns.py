#!/usr/bin/env python3
"""Cuts random texts by the patterns of published tokenizers, and by random ones, with this project's splitter
and with Hugging Face's tokenizers library, and compares where the pieces end.

    python3 tests/interop/patterns.py TEST_REGEX [SEED]  TEST_REGEX: build/tests/test_regex; needs tokenizers

Exit 1 for a difference. Texts hold no characters that are newer than the older of the two Unicode tables.
"""
import json
import pathlib
import random
import subprocess
import sys
import unicodedata

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
try:
    import make_regex as golden
except ImportError:
    print("skipped: no tokenizers")
    sys.exit(77)

TEXTS = 300  # of a published pattern
MADE = 4000  # random patterns
CHARS = [c for c in map(chr, range(1, 0x3100)) if unicodedata.category(c)[0] not in "CM"]
ATOMS = ["a", "b", " ", "\\n", ".", "\\w", "\\W", "\\s", "\\S", "\\d", "\\D", "\\h", "\\p{L}", "\\P{L}",
    "\\p{^N}", "\\p{Han}",
         "[ab]", "[^ab]", "[\\w ]", "[^\\s\\p{L}]", "[a-z&&[^aeiou]]", "[^a[b-d]]", "[[:punct:]a]",
         "[\\W\\d]", "é", "\\x41", "\\b", "^", "$",
         "(?=a)", "(?!\\s)", "(?<=b)", "(?<!\\n)", "\\p{Lu}", "[\\p{M}\\p{P}]", "\\R", "'s", "x1",
         "[^\\S\\n]", "\\p{Alnum}", "\\N"]
REPEATS = ["", "", "", "?", "*", "+", "??", "*?", "+?", "?+", "*+", "++", "{2}", "{1,2}", "{,2}",
    "{2,}", "{1,3}+", "{2}?", "{1,2}?", "{1,2}+?"]


def made(rng, depth=0):
    branches = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        branch = ""
        for _ in range(rng.randrange(1, 4)):
            if depth < 2 and rng.random() < 0.25:  # repeated nothing in a repetition is its own affair
                branch += rng.choice(("(", "(?:", "(?>", "(?i:", "(?m:")) + made(rng, depth + 1) + ")"
                continue
            atom = rng.choice(ATOMS)
            anchor = atom in ("\\b", "^", "$") or atom.startswith(("(?=", "(?!", "(?<"))
            branch += atom + ("" if anchor else rng.choice(REPEATS))
        branches.append(branch)
    return ("(?i)" if depth == 0 and rng.random() < 0.1 else "") + "|".join(branches)


def texts(rng, count):
    for _ in range(count):
        if rng.random() < 0.15:
            yield "".join(rng.choice(CHARS) for _ in range(rng.randrange(1, 30)))
        else:
            yield golden.random_text(rng)


def known(pattern, text):
    """Oniguruma gives up on, or is wrong about, some repetitions of nothing; such patterns are no test."""
    try:
        return golden.ends(pattern, text)
    except BaseException:  # noqa: BLE001 - a panic of the library
        return None


def main():
    program, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rng = random.Random(seed)
    cases = [(p, t) for p in golden.PUBLISHED for t in texts(rng, TEXTS)]
    cases += [(p, t) for p in golden.SMALL for t in texts(rng, TEXTS // 10)]
    cases += [(p, t) for p in (made(rng) for _ in range(MADE)) for t in texts(rng, 3)]
    lines = "".join(json.dumps({"pattern": p, "text": t}) + "\n" for p, t in cases)
    out = subprocess.run([program, "print"], input=lines.encode(), capture_output=True, check=True).stdout
    answers = out.decode().split("\n")[:-1]
    assert len(answers) == len(cases), (len(answers), len(cases))
    compared = refused = different = 0
    for (pattern, text), answer in zip(cases, answers):
        expected = known(pattern, text)
        if answer and not answer[0].isdigit():
            refused += expected is not None
            if expected is not None and pattern in golden.PUBLISHED:
                print("refused:", answer)
                different += 1
            continue
        if expected is None:
            continue
        compared += 1
        if [int(n) for n in answer.split()] != expected:
            different += 1
            if different <= 20:
                print(f"{pattern!r} cuts {text!r} at {answer}, expected {expected}")
    print(f"{compared} texts compared, {refused} refused here alone, {different} different")
    return different > 0


if __name__ == "__main__":
    sys.exit(main())
