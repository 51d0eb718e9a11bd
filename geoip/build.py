#!/usr/bin/env python3
"""Builds country.mmdb and asn.mmdb from the two published copies of IPFire Location.

In:  the data/ and doc/ directories of the crate tor-geoip-db (country), and location.db of Debian's
     libloc-database (AS numbers and names).
Out: two MaxMind DB files (format 2.0). Same input, same bytes: no clock, no randomness, and node and
     record order follow from the data alone.

Only the standard library is used.
"""

import argparse
import array
import bisect
import datetime
import email.utils
import pathlib
import re
import struct
import sys

V4_BITS = 96  # IPv4 addresses live in ::/96 of an IPv6 tree


# ---------------------------------------------------------------- the two sources

class Steps:
    """A function of the address that changes value at known points: (starts, values), sorted."""

    def __init__(self):
        self.starts, self.values = [], []

    def add(self, start, value):
        if self.starts and self.starts[-1] == start:
            self.values[-1] = value
        elif not self.values or self.values[-1] != value:
            self.starts.append(start)
            self.values.append(value)


def read_country_crate(root):
    """tor-geoip-db: range starts and, in step with them, two letters (two zero bytes: no answer)."""
    header = (root / "doc/export-info-v4.txt").read_text()
    if "CC BY-SA 4.0" not in header:
        sys.exit(f"{root}: the export header does not name CC BY-SA 4.0; check the licence by hand")
    stamp = re.search(r"^Generated: (.*)$", header, re.M).group(1)
    epoch = int(email.utils.parsedate_to_datetime(stamp).timestamp())
    out = {}
    for version, width in (("4", 4), ("6", 16)):
        starts = (root / f"data/geoip_data_v{version}s").read_bytes()
        codes = (root / f"data/geoip_data_v{version}c").read_bytes()
        if len(starts) // width != len(codes) // 2 or len(starts) % width:
            sys.exit(f"{root}: IPv{version} starts and codes differ in number")
        steps = Steps()
        steps.add(0, None)
        previous = -1
        for index in range(len(codes) // 2):
            start = int.from_bytes(starts[index * width:(index + 1) * width], "little")
            if start <= previous:
                sys.exit(f"{root}: IPv{version} ranges are not in order at entry {index}")
            previous = start
            code = codes[2 * index:2 * index + 2]
            steps.add(start, None if code == b"\0\0" else code.decode("ascii"))
        out[version] = steps
    return epoch, out["4"], out["6"]


def read_location_db(path):
    """IPFire's own format, version 1: all integers big-endian, nodes {zero, one, network} of 12 bytes."""
    raw = path.read_bytes()
    if raw[:8] != b"LOCDBXX\x01":
        sys.exit(f"{path}: not a location database of version 1")
    epoch, _vendor, _description, licence = struct.unpack_from(">QIII", raw, 8)
    as_at, as_len, data_at, data_len, tree_at, tree_len, _, _, pool_at, pool_len = struct.unpack_from(">10I", raw, 28)
    pool = raw[pool_at:pool_at + pool_len]

    def text(offset):
        return pool[offset:pool.index(b"\0", offset)].decode("utf-8")

    if text(licence) != "CC BY-SA 4.0":
        sys.exit(f"{path}: licence is {text(licence)!r}, not CC BY-SA 4.0; check it by hand")
    names = {number: text(name) for number, name in struct.iter_unpack(">II", raw[as_at:as_at + as_len])}
    numbers = [asn for _, asn, _ in struct.iter_unpack(">4sI4s", raw[data_at:data_at + data_len])]
    tree = array.array("I", raw[tree_at:tree_at + tree_len])
    if sys.byteorder == "little":
        tree.byteswap()

    # Flatten: the deepest network on the path answers, also where it has no AS number (then nobody does).
    # IPv4 is kept under ::ffff:0:0/96.
    v4, v6 = Steps(), Steps()
    mapped = 0xFFFF << 32

    def walk(node, prefix, bits, inherited):
        stack = [(node, prefix, bits, inherited)]
        while stack:
            node, prefix, bits, inherited = stack.pop()
            if node is None:
                emit(prefix, inherited)
                continue
            zero, one, network = tree[3 * node:3 * node + 3]
            if network != 0xFFFFFFFF:
                inherited = numbers[network] or None
            if not zero and not one:
                emit(prefix, inherited)
                continue
            half = 1 << (127 - bits)
            stack.append((one or None, prefix + half, bits + 1, inherited))
            stack.append((zero or None, prefix, bits + 1, inherited))

    def emit(prefix, asn):
        if prefix >> 32 == 0xFFFF:
            v4.add(prefix - mapped, asn)
        else:
            v6.add(prefix, asn)

    v4.add(0, None)
    walk(0, 0, 0, None)
    return epoch, names, v4, v6


# ---------------------------------------------------------------- MaxMind DB, format 2.0

MAP, UTF8, UINT16, UINT32, ARRAY, UINT64 = 7, 2, 5, 6, 11, 9


def control(kind, size):
    if size < 29:
        extra, low = b"", size
    elif size < 285:
        extra, low = bytes([size - 29]), 29
    else:
        extra, low = struct.pack(">H", size - 285), 30
    if kind > 7:
        return bytes([low, kind - 7]) + extra
    return bytes([kind << 5 | low]) + extra


def pointer(at):
    if at < 2048:
        return bytes([0x20 | at >> 8, at & 0xFF])
    at -= 2048
    if at < 1 << 19:
        return bytes([0x28 | at >> 16, at >> 8 & 0xFF, at & 0xFF])
    at -= 1 << 19
    return bytes([0x30 | at >> 24]) + (at & 0xFFFFFF).to_bytes(3, "big")


def text(value):
    encoded = value.encode("utf-8")
    return control(UTF8, len(encoded)) + encoded


def uint(kind, value):
    encoded = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return control(kind, len(encoded)) + encoded


def encode(value):
    if isinstance(value, dict):
        return control(MAP, len(value)) + b"".join(text(k) + encode(v) for k, v in value.items())
    if isinstance(value, list):
        return control(ARRAY, len(value)) + b"".join(map(encode, value))
    if isinstance(value, str):
        return text(value)
    kind, number = value
    return uint(kind, number)


class Data:
    """The data section: each text once, later uses point at it."""

    def __init__(self):
        self.bytes, self.texts = bytearray(), {}

    def text(self, value):
        at = self.texts.get(value)
        if at is not None:
            short = pointer(at)
            if len(short) < len(text(value)):
                return short
        return None

    def record(self, parts):
        """Writes one record and returns its offset. A part is bytes or a str to be shared."""
        at = len(self.bytes)
        for part in parts:
            if isinstance(part, str):
                shared = self.text(part)
                if shared is None:
                    self.texts.setdefault(part, len(self.bytes))
                    shared = text(part)
                part = shared
            self.bytes += part
        return at


class Tree:
    """A binary trie in which equal subtrees are stored once; a leaf is a value, None is no answer."""

    def __init__(self):
        self.ids, self.nodes = {}, []

    def node(self, left, right):
        if left == right and not (isinstance(left, tuple)):
            return left
        key = (left, right)
        found = self.ids.get(key)
        if found is None:
            found = ("node", len(self.nodes))
            self.ids[key] = found
            self.nodes.append(key)
        return found

    def build(self, steps, bits):
        starts, values = steps.starts, steps.values

        def part(prefix, left_bits, low, high):
            # values[low] holds at `prefix`; starts[low + 1 .. high] lie inside
            if low + 1 == high:
                return values[low]
            middle = prefix + (1 << left_bits - 1)
            cut = bisect.bisect_left(starts, middle, low + 1, high)
            right_low = cut if cut < high and starts[cut] == middle else cut - 1
            return self.node(part(prefix, left_bits - 1, low, cut), part(middle, left_bits - 1, right_low, high))

        return part(0, bits, 0, len(starts))


def write_mmdb(v4, v6, record_of, data, metadata):
    """`record_of` turns a value into an offset in `data`; values are visited in sorted order."""
    values = sorted({v for steps in (v4, v6) for v in steps.values if v is not None})
    offsets = {value: record_of(value) for value in values}

    tree = Tree()
    four = tree.build(v4, 32)
    # Cut ::/96 out of the IPv6 steps and hang the IPv4 tree there.
    if any(start < 1 << 32 and value is not None for start, value in zip(v6.starts, v6.values)):
        sys.exit("the IPv6 data answers inside ::/96, where IPv4 lives")
    root = tree.build(v6, 128)

    def graft(node, depth):
        if depth == V4_BITS:
            if node is not None:
                sys.exit("::/96 is not empty")
            return four
        left, right = tree.nodes[node[1]] if isinstance(node, tuple) else (node, node)
        return tree.node(graft(left, depth + 1), right)

    root = graft(root, 0)

    order, stack = {}, [root]
    while stack:
        node = stack.pop()
        if node in order:
            continue
        order[node] = len(order)
        left, right = tree.nodes[node[1]]
        stack += [child for child in (right, left) if isinstance(child, tuple)]
    count = len(order)
    highest = count + 16 + len(data.bytes)
    size = 24 if highest < 1 << 24 else 28 if highest < 1 << 28 else 32

    def number(child):
        if child is None:
            return count
        if isinstance(child, tuple):
            return order[child]
        return count + 16 + offsets[child]

    out = bytearray()
    for node in order:
        left, right = map(number, tree.nodes[node[1]])
        if size == 24:
            out += left.to_bytes(3, "big") + right.to_bytes(3, "big")
        elif size == 28:
            out += (left & 0xFFFFFF).to_bytes(3, "big") + bytes([left >> 24 << 4 | right >> 24])
            out += (right & 0xFFFFFF).to_bytes(3, "big")
        else:
            out += left.to_bytes(4, "big") + right.to_bytes(4, "big")
    out += bytes(16) + data.bytes + b"\xab\xcd\xefMaxMind.com"
    out += encode({
        "binary_format_major_version": (UINT16, 2),
        "binary_format_minor_version": (UINT16, 0),
        "build_epoch": (UINT64, metadata["epoch"]),
        "database_type": metadata["type"],
        "description": {"en": metadata["description"]},
        "ip_version": (UINT16, 6),
        "languages": ["en"],
        "node_count": (UINT32, count),
        "record_size": (UINT16, size),
    })
    return bytes(out), count, len(values)


def day(epoch):
    return datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%d")


def build_country(root):
    epoch, v4, v6 = read_country_crate(root)
    data = Data()

    def record(code):
        return data.record([control(MAP, 1), "country", control(MAP, 1), "iso_code", code])

    return write_mmdb(v4, v6, record, data, {
        "epoch": epoch,
        "type": "IPFire-Location-Country",
        "description": f"Country by network. IPFire Location (IPFire Project), CC BY-SA 4.0, exported {day(epoch)}; "
                       "from the crate tor-geoip-db 0.1.1, repacked as MaxMind DB.",
    })


def build_asn(path):
    epoch, names, v4, v6 = read_location_db(path)
    data = Data()

    def record(asn):
        number = uint(UINT32, asn)
        name = names.get(asn)
        if name is None:
            return data.record([control(MAP, 1), "autonomous_system_number", number])
        return data.record([
            control(MAP, 2), "autonomous_system_number", number, "autonomous_system_organization", name,
        ])

    return write_mmdb(v4, v6, record, data, {
        "epoch": epoch,
        "type": "IPFire-Location-ASN",
        "description": f"AS number and name by network. IPFire Location (IPFire Project), CC BY-SA 4.0, of {day(epoch)}; "
                       "from Debian libloc-database 0~20221029-1, repacked as MaxMind DB.",
    })


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--country-crate", type=pathlib.Path, required=True, help="unpacked crate tor-geoip-db")
    parser.add_argument("--location-db", type=pathlib.Path, required=True, help="location.db of libloc-database")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    sys.setrecursionlimit(10_000)
    for name, built in (("country.mmdb", build_country(args.country_crate)), ("asn.mmdb", build_asn(args.location_db))):
        raw, nodes, records = built
        (args.out / name).write_bytes(raw)
        print(f"{name}: {len(raw)} bytes, {nodes} nodes, {records} records")


if __name__ == "__main__":
    main()
