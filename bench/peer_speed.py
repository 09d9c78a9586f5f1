#!/usr/bin/env python3
"""peer_speed.py PROGRAM [ROUNDS]: anyround beside llama.cpp on one device, in one run.

Both programs run behind AR_LLAMA_RUN (tests/interop/peer.py), so that both use the same driver; the two
alternate, best of the rounds (2; 0 leaves the products out). Products y = W x with W (m, k) of a type and n
columns, then prompt and generation of a random Llama of about 100 M parameters. The CPU columns are
llama.cpp's own CPU code and our OpenCL device: what a laptop without a GPU would use. AR_LLAMA_OPS is
llama.cpp's test-backend-ops. """
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "interop"))
import peer

MUL_MAT = int(os.environ.get("AR_LLAMA_MUL_MAT", "29"))  # the op's number in this build of llama.cpp
TYPES = {"q4_0": (2, 32, 18), "q8_0": (8, 32, 34), "q4_k": (12, 256, 144)}
SHAPES = [(4096, 1), (4096, 512), (1024, 1), (1024, 512)]
REPS = "5" # of prompt and generation; the mean counts, as in llama-bench

# test-backend-ops repeats an op until it has moved 32 GB by the sizes of its sources, for n = 512 an hour.
# Sources that the op does not read, 128 MB each, make that 32 repetitions.
UNREAD, UNREAD_COUNT = 1 << 25, {1: 0, 512: 8}


def op_line(kind, m, n):
    """A line of test-backend-ops' --test-file: op, type and sizes of the result, parameters, sources with
    strides."""
    number, elems, size = TYPES[kind]
    k, row = m, m // elems * size
    result = "%d 0 %d %d 1 1 0" % (MUL_MAT, m, n)
    weight = "%d %d %d 1 1 %d %d %d %d" % (number, k, m, size, row, row * m, row * m)
    x = "0 %d %d 1 1 4 %d %d %d" % (k, n, 4 * k, 4 * k * n, 4 * k * n)
    unread = " 0 %d 1 1 1 4 %d %d %d" % (UNREAD, 4 * UNREAD, 4 * UNREAD, 4 * UNREAD) * UNREAD_COUNT[n]
    return "%s %d %s %s%s %s_%d_%d\n" % (result, 2 + UNREAD_COUNT[n], weight, x, unread, kind, m, n)


def their_products(work, backend):
    """{(type, m, n): GFLOP/s}"""
    rows = {}
    for kind in TYPES:
        for m, n in SHAPES:
            file = os.path.join(work, "op.txt")
            with open(file, "w") as f:
                f.write(op_line(kind, m, n))
            out = peer.llama(os.environ.get("AR_LLAMA_OPS", "test-backend-ops"), "perf", "-b", backend,
                             "--test-file", file,
                             env=peer.DEVICE)[0]
            us = re.search(r"([0-9.]+) us/run", re.sub(r"\x1b\[[0-9;]*m", "", out))
            if us:
                rows[kind, m, n] = 2e-3 * m * m * n / float(us.group(1))
    return rows


def our_products(program, device):
    rows = []
    for size in sorted({m for m, n in SHAPES}):
        done = json.loads(peer.run(peer.PREFIX + [program, "bench", "--ops", "product", "--size", str(size),
                                                  "--n", ",".join(str(n) for m, n in SHAPES if m == size),
                                                  "--types", ",".join(TYPES).upper(), "--json", "-q",
                                                  "--device", device])[0])
        rows += done["rows"]
    # by the wall clock, as test-backend-ops counts: "gflops" is by the device's timestamps where there are
    # any
    return {(r["dtype"].lower(), r["m"], r["n"]): 2e-3 * r["m"] * r["n"] * r["k"] / r["wall_us"]
            for r in rows if r["status"] == "ok"}


def their_model(file, device):
    out = peer.llama("llama-bench", "-m", file, "-t", "2", "-p", "128", "-n", "16", "-r", REPS, "-o", "json",
                     *device, env=peer.DEVICE)[0]
    rows = json.loads(out[out.index("["):])
    return {("pp" if r["n_prompt"] else "tg"): r["avg_ts"] for r in rows}


def our_model(program, file, device):
    out = peer.run(peer.PREFIX + [program, "bench", "--model", file, "--pp", "128", "--tg", "16", "--reps",
                                  REPS, "--json", "-q",
                                  "--device", device])[0]
    done = json.loads(out)
    return {k: done[k]["tps"] for k in ("pp", "tg")}


def best(rounds):
    """The best of each row over several rounds."""
    return {k: max(r[k] for r in rounds if k in r) for k in set().union(*rounds)}


def main():
    program, work = os.path.abspath(sys.argv[1]), peer.work_dir()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    peer.need_llama()
    rounds = {k: [] for k in ("vk", "cl", "llama vk", "llama cpu")}
    if count > 0:
        for _ in range(count):
            rounds["vk"].append(our_products(program, "vk"))
            rounds["llama vk"].append(their_products(work, "Vulkan0"))
            rounds["cl"].append(our_products(program, "cl"))
            rounds["llama cpu"].append(their_products(work, "CPU"))
        r = {k: best(v) for k, v in rounds.items()}
        print("| type | m = k | n | ours Vulkan | llama.cpp Vulkan | ratio | ours OpenCL | llama.cpp CPU |\n"
              "|---|---:|---:|---:|---:|---:|---:|---:|")
        for kind in TYPES:
            for m, n in SHAPES:
                a = [r[k].get((kind, m, n), float("nan")) for k in ("vk", "llama vk", "cl", "llama cpu")]
                print("| %s | %d | %d | %.2f | %.2f | %.2f | %.2f | %.2f |" %
                      (kind, m, n, a[0], a[1], a[0] / a[1], a[2], a[3]), flush=True)
    source, files = peer.random_model(os.path.join(work, "random-llama"), "llama"), {}
    for kind in ("q4_0", "q8_0"):
        files[kind] = os.path.join(work, "random-llama-%s.gguf" % kind)
        peer.run(peer.PREFIX + [program, "quantize", source, "-o", files[kind], "--type", kind, "--method",
                                "rtn", "-q", "--device", "cl"])
    print("\n| model | test | ours Vulkan t/s | llama.cpp Vulkan t/s | ratio | ours OpenCL t/s "
          "| llama.cpp CPU t/s |\n|---|---|---:|---:|---:|---:|---:|")
    for kind, file in files.items():
        a = [our_model(program, file, "vk"), their_model(file, peer.VULKAN[:4]),
             our_model(program, file, "cl"),
             their_model(file, ["-dev", "none"])]
        for test, name in (("pp", "pp128"), ("tg", "tg16")):
            v = [x[test] for x in a]
            print("| random Llama %s | %s | %.1f | %.1f | %.2f | %.1f | %.1f |" %
                  (kind, name, v[0], v[1], v[0] / v[1], v[2], v[3]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
