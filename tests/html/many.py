#!/usr/bin/env python3
"""tests/html/many.py OUT COUNT: a capture of many calls, for the size and the speed of the HTML report.

Takes the first seconds of the two Zoom participants, the Webex-like and the Teams-like caller of captures/zoom-beijing-2020.pcapng
and writes them COUNT times, each time with another address of the caller, other media sources and another time. Everything
else of the packets stays, checksums too (the decoder does not ask for them). Standard library only; same input, same bytes.
"""

import ipaddress
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent / "captures/zoom-beijing-2020.pcapng"
CALLERS = ["142.1.217.44", "128.59.105.24", "142.1.38.91", "128.59.40.130"]
# Packets kept of a call, beginning with its first, and seconds between calls.
PACKETS = 260
APART_NS = 700_000_000


def packets_of(path):
    """(interface, nanoseconds, frame) of a little-endian pcapng with enhanced packet blocks."""
    data = path.read_bytes()
    at, resolutions = 0, []
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        body = data[at + 8 : at + length - 4]
        if kind == 1:
            resolution, option = 6, 8
            while option + 4 <= len(body):
                code, size = struct.unpack_from("<HH", body, option)
                if code == 9:
                    resolution = body[option + 4]
                if code == 0:
                    break
                option += 4 + (size + 3) // 4 * 4
            resolutions.append(10 ** (9 - resolution))
        elif kind == 6:
            interface, high, low, captured, _ = struct.unpack_from("<IIIII", body)
            yield (high << 32 | low) * resolutions[interface], body[20 : 20 + captured]
        at += length


def ends(frame):
    """Addresses of an IPv4 frame without tags; None for all else."""
    if frame[12:14] != b"\x08\x00":
        return None
    return frame[26:30], frame[30:34]


# What tells one call from another: connection and bind ids of Zoom, ICE fragments, media sources.
IDS = [bytes.fromhex(text) for text in (
    "76cef6f07e3fdf7e4fce650b331813ed 19a511b57ad61e21ea931e8a180e588e e7142543f18c2980b118ebec6c346cd3 "
    "5845835d9ef28b71d385abe7b088690c 79f45b4963a6fce6dfbe858a418b89d4 e65713697592d88a746d6ed74538f89b "
    "e74489de62d580efd4fb42faaaae27fb 3bbc8998ea1fef207b82157f576cbb7d").split()]
FRAGMENTS = [b"wbxm", b"cli7", b"ms7Q", b"nY3k"]
SOURCES = [bytes.fromhex(text) for text in (
    "01000401 01000402 01000801 01000802 46c5c244 7e871f31 6f04bc1f c20c0117 361db07b").split()]
LETTERS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def places(frame):
    """Where a frame holds one of these, and of which sort it is."""
    found = []
    for sort, names in enumerate((IDS, FRAGMENTS, SOURCES)):
        for name in names:
            at = frame.find(name)
            while at >= 0:
                found.append((at, sort))
                at = frame.find(name, at + 1)
    return found


def main():
    out, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    every = list(packets_of(SOURCE))
    calls = []
    for caller in CALLERS:
        address = ipaddress.IPv4Address(caller).packed
        own = [(time, frame) for time, frame in every if address in (ends(frame) or ())][:PACKETS]
        calls.append((address, [(time, frame, places(frame)) for time, frame in own]))
    first = min(own[0][0] for _, own in calls)
    written = []
    for number in range(count):
        address, own = calls[number % len(calls)]
        caller = struct.pack(">I", 0x0C000000 + 0x0102 + number * 7)
        shift = first - own[0][0] + number * APART_NS
        letters = bytes(LETTERS[number // 36**place % 36] for place in range(3))
        for time, frame, marks in own:
            changed = bytearray(frame)
            for at in (26, 30):
                if frame[at : at + 4] == address:
                    changed[at : at + 4] = caller
            for at, sort in marks:
                if sort == 0:
                    changed[at : at + 4] = struct.pack(">I", number)
                elif sort == 1:
                    changed[at : at + 3] = letters
                else:
                    # Zoom's sources count in steps of 0x400 a participant; the last byte says of which kind they are.
                    changed[at + 1 : at + 3] = struct.pack(">H", (number * 4 + 4) & 0xFFFC)
            written.append((time + shift, bytes(changed)))
    written.sort(key=lambda item: item[0])
    with out.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
        for time, frame in written:
            file.write(struct.pack("<IIII", time // 10**9, time % 10**9, len(frame), len(frame)) + frame)
    print(f"{count} calls, {len(written)} packets, {out.stat().st_size} bytes")


main()
