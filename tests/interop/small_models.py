"""What scripts on the two small models share: where they are, their text in two parts (calibration and what
is measured on), runs of the program and their figures."""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(os.environ.get("AR_SHARED", os.path.join(ROOT, "..", "shared")), "data")
TEXT = os.path.join(DATA, "text", "tinystories", "tinystories_v1_sample.txt")
MODELS = ["stories260K-hf", "tinystories-656K-hf"]
HEAD = 132166  # bytes of the text to calibrate on
CALIB = ["--samples", "32", "--seqlen", "128"]
WINDOWS = ["--window", "256", "--max-windows", "12"]


class Small:
    """One small model, its parts of the text in `folder`, and the program that is run."""

    def __init__(self, program, device, name, folder):
        self.program, self.device, self.name, self.folder = program, device, name, folder
        self.model = os.path.join(DATA, name)
        self.head, self.tail = (os.path.join(folder, part) for part in ("head.txt", "tail.txt"))
        with open(TEXT, "rb") as f, open(self.head, "wb") as h, open(self.tail, "wb") as t:
            h.write(f.read(HEAD))
            t.write(f.read())

    def run(self, *arguments):
        """stdout and stderr."""
        done = subprocess.run([self.program, *arguments, "--device", self.device], capture_output=True,
                              text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
        return done.stdout, done.stderr

    def quantize(self, out, method, *options):
        """Values, not codes: any bits and groups. A method that tunes takes 50 steps of 8."""
        samples = [] if method == "rtn" else ["--calib", self.head, *CALIB]
        steps = ["--iters", "50", "--batch", "8"] if method in ("signround", "anneal") else []
        path = os.path.join(self.folder, out)
        return path, self.run("quantize", self.model, "-o", path, "--format", "fake", "--method", method,
                              *samples, *steps, *options)[1]

    def compare(self, path, windows, *options):
        return json.loads(self.run("eval", path, "--ref", self.model, "--text", self.tail, *windows, "--json",
                                   "-q", *options)[0])

    def figures(self, path, *options):
        return self.compare(path, WINDOWS, *options)


def need_data():
    if not os.path.exists(TEXT):
        print("skipped: no shared data")
        sys.exit(77)


def tensors(path):
    """{name: (begin, end, shape)} of a model.safetensors, in bytes of the file, and the file's bytes."""
    with open(os.path.join(path, "model.safetensors"), "rb") as f:
        data = bytearray(f.read())
    bytes_ = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + bytes_])
    header.pop("__metadata__", None)
    return {name: (8 + bytes_ + t["data_offsets"][0], 8 + bytes_ + t["data_offsets"][1], t["shape"])
            for name, t in header.items()}, data
