#!/usr/bin/env python3
"""Writes vectors.json: what the formulas of the ring give, worked out here from the formulas and not by the Rust code.

Run it in any directory: `python3 src/ring/golden/make.py`. Needs Python 3.8 and, for XXH3-64, the package xxhash
(`pip install xxhash`); everything else is the standard library. The naive way is taken wherever there is one.
It also asserts that the shares agree with those that the assignment's group published for 10,000 random ids.
"""

import hashlib
import json
import math
import struct
from collections import Counter
from fractions import Fraction
from pathlib import Path

import xxhash

ALL_IDS = range(100_000, 1_000_000)
IDS = [132574, 999999, 100000, 0, 1, 2, 511, 512, 2**32, 2**63 - 1] + [100_000 + 29_989 * n % 900_000 for n in range(1, 31)]

# Requests of each server among 10,000 random ids, as published, for N = 2 to 6; linear probing.
PUBLISHED = {
    "quadratic": [[9531, 469], [8341, 468, 1191], [8000, 447, 1137, 416], [7623, 496, 888, 438, 555],
                  [7311, 448, 924, 362, 554, 401]],
    "prime": [[4566, 5434], [2522, 4354, 3124], [2164, 3662, 2212, 1962], [1461, 2645, 1963, 1705, 2226],
              [1177, 1823, 1259, 1678, 1927, 2136]],
    "sha256": [[3315, 6685], [2646, 3235, 4119], [1293, 3170, 2197, 3340], [1222, 2181, 2180, 2675, 1742],
               [1157, 2150, 2009, 2655, 1570, 459]],
}


def digest(value):
    """SHA-256 of the shortest big-endian byte string, read as one big-endian integer."""
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return int.from_bytes(hashlib.sha256(data).digest(), "big")


def xxh3(fmt, *values):
    return xxhash.xxh3_64_intdigest(struct.pack(fmt, *values))


HASHES = {  # name: (H(i), Φ(i, j))
    "quadratic": (lambda i: i * i + 2 * i + 17, lambda i, j: i * i + j * j + 2 * j + 25),
    "prime": (lambda i: 1427 * i * i + 2503 * i + 2003, lambda i, j: 1249 * i * i + 2287 * j * j + 1663 * j + 2287),
    "sha256": (lambda i: digest(i * i + 2 * i + 17), lambda i, j: digest(i * i + j * j + 2 * j + 25)),
    "xxh3": (lambda i: xxh3("<Q", i), lambda i, j: xxh3("<II", i, j)),
    "polynomial:0,4294967295,3/7,0,4294967295,1": (lambda i: (2**32 - 1) * i + 3, lambda i, j: 7 * i * i + (2**32 - 1) * j + 1),
}

# ---- virtual servers ----


def occupied(members, spec):
    """{slot: number}: servers by number, j ascending, each at the first free slot that probing finds."""
    slots, phi, taken = spec["slots"], HASHES[spec["hash"]][1], {}
    for number, weight in sorted(members):
        for j in range(1, weight * spec["virtual"] + 1):
            first = phi(number, j) % slots
            linear = [first + step for step in range(slots)]
            squares = [first + step**2 for step in range(slots + 1)]
            tries = squares + linear if spec["probing"] == "quadratic" else linear
            slot = next(t % slots for t in tries if t % slots not in taken)
            taken[slot] = number
    return taken


def clockwise(taken, slots, start):
    """The servers in the order of a walk from `start`, each once."""
    walk = (taken.get((start + step) % slots) for step in range(slots))
    return list(dict.fromkeys(number for number in walk if number is not None))


HISTOGRAMS = {}


def histogram(hash_name, slots):
    """How many of all six-digit ids have each slot."""
    if (hash_name, slots) not in HISTOGRAMS:
        h = HASHES[hash_name][0]
        HISTOGRAMS[hash_name, slots] = Counter(h(i) % slots for i in ALL_IDS)
    return HISTOGRAMS[hash_name, slots]


def virtual_table(members, **spec):
    slots, h = spec["slots"], HASHES[spec["hash"]][0]
    taken = occupied(members, spec)
    counts = Counter()
    for slot, count in histogram(spec["hash"], slots).items():
        counts[clockwise(taken, slots, slot)[0]] += count
    return {
        **spec,
        "members": members,
        "occupied": sorted(taken.items()),
        "counts": sorted(counts.items()),
        "routes": [[h(i) % slots] + clockwise(taken, slots, h(i) % slots) for i in IDS],
    }


# ---- full ----


def rank(number, weight, slot):
    """What the slot and the member rank each other by."""
    return max(xxh3("<III", number, k, slot) for k in range(1, weight + 1))


def quotas(members, slots, slack):
    total = sum(weight for _, weight in members)
    shares = {number: Fraction(slots * weight, total) for number, weight in members}
    if slack:
        return {number: math.ceil(share * (1 + slack)) for number, share in shares.items()}
    quota = {number: math.floor(share) for number, share in shares.items()}
    by_remainder = sorted(shares, key=lambda number: (quota[number] - shares[number], number))
    for number in by_remainder[: slots - sum(quota.values())]:
        quota[number] += 1
    return quota


def full_table(members, slots, slack):
    """Deferred acceptance to the letter: free slots propose in turn, members keep the best up to their quota."""
    members = sorted(members)
    quota = quotas(members, slots, Fraction(slack))
    ranks = {(n, slot): rank(n, w, slot) for n, w in members for slot in range(slots)}
    choices = [sorted((n for n, _ in members), key=lambda n: (-ranks[n, slot], n)) for slot in range(slots)]
    proposed = [0] * slots
    kept = {n: [] for n, _ in members}
    free = list(range(slots))
    while free:
        slot = free.pop()
        number = choices[slot][proposed[slot]]
        proposed[slot] += 1
        kept[number].append(slot)
        if len(kept[number]) > quota[number]:
            worst = min(kept[number], key=lambda s: (ranks[number, s], -s))
            kept[number].remove(worst)
            free.append(worst)
    owners = {slot: number for number, held in kept.items() for slot in held}
    h = HASHES["xxh3"][0]
    return {
        "slots": slots, "virtual": "full", "hash": "xxh3", "slack": slack, "members": members,
        "owners": [owners[slot] for slot in range(slots)],
        "routes": [[s, owners[s]] + [n for n in choices[s] if n != owners[s]] for s in (h(i) % slots for i in IDS)],
    }


# ---- all of it ----


def check_published():
    """Every published count is within 4 standard deviations of what the share of all six-digit ids makes likely."""
    for name, n in ((name, n) for name in PUBLISHED for n in range(2, 7)):
        table = virtual_table(ones(n), hash=name, probing="linear", slots=512, virtual=9)
        assert [number for number, _ in table["counts"]] == list(range(1, n + 1))
        for published, (number, count) in zip(PUBLISHED[name][n - 2], table["counts"]):
            share = count / len(ALL_IDS)
            off = abs(published - 10_000 * share) / math.sqrt(10_000 * share * (1 - share))
            assert off <= 4, f"{name}, N={n}, server {number}: {published} is {off:.1f} deviations off {share}"


def ones(n):
    return [[number, 1] for number in range(1, n + 1)]


def main():
    assert struct.calcsize("<III") == 12 and struct.calcsize("<II") == 8
    mixed = [[2, 3], [3, 1], [7, 10], [40, 2], [65535, 1]]
    names = ["quadratic", "prime", "sha256"]
    tables = [virtual_table(ones(n), hash=name, probing=probing, slots=512, virtual=9)
              for name in names for probing in ["linear", "quadratic"] for n in range(1, 7)]
    tables += [virtual_table(ones(56), hash="quadratic", probing=probing, slots=512, virtual=9)
               for probing in ["linear", "quadratic"]]
    tables += [virtual_table(mixed, hash=name, probing=probing, slots=499, virtual=20)
               for name in list(HASHES)[2:] for probing in ["linear", "quadratic"]]
    check_published()
    full = [full_table(members, 1009, slack) for members in (ones(5), mixed) for slack in ("0", "0.01")]
    full.append(full_table([[1, 100], [2, 1], [3, 1]], 7, "0"))
    keys = ["0", "132574", "007", "999999999999999999", "1000000000000000000", "", "alice", "a" * 8, "a" * 16,
            "a" * 200, "a" * 300, "12a", "-1", "١٢"]
    digits = set("0123456789")
    of_key = lambda key: (int(key) if 1 <= len(key) <= 18 and set(key) <= digits
                          else xxhash.xxh3_64_intdigest(key.encode()) >> 1)
    parts = {
        "ids": IDS,
        "keys": [[key, of_key(key)] for key in keys],
        "requests": [[name, slots, [h(i) % slots for i in IDS]]
                     for name, (h, _) in HASHES.items() for slots in (1, 512, 262_147, 2**24)],
        "servers": [[name, slots, [[i, j, phi(i, j) % slots] for i in (1, 2, 300, 65535) for j in (1, 9, 2**24)]]
                    for name, (_, phi) in HASHES.items() for slots in (1, 512, 262_147, 2**24)],
        "ranks": [[n, k, s, xxh3("<III", n, k, s)] for n in (1, 2, 65535) for k in (1, 100) for s in (0, 1, 2**24 - 1)],
        "virtual": tables,
        "full": full,
    }
    line = lambda value: json.dumps(value, separators=(",", ":"))
    rows = lambda value: "[\n" + ",\n".join(line(row) for row in value) + "\n]" if isinstance(value[0], (list, dict)) else line(value)
    text = "{\n" + ",\n".join(f'"{name}": {rows(value)}' for name, value in parts.items()) + "\n}\n"
    Path(__file__).with_name("vectors.json").write_text(text)


if __name__ == "__main__":
    main()
