#!/usr/bin/env python3
"""seeds.py OUT: first inputs for the fuzz targets, out of what the project has.

Sources: captures/, tests/vectors/, providers/, policies/, and the corpus of recordings where there is one ($MEETSCOPE_SHARED or
../shared). A datagram goes to the targets whose protocol its port or first byte suggests; a wrong guess costs nothing.
Standard library only; the same files give the same names, so that a second run adds nothing.
"""
import collections, glob, gzip, hashlib, lzma, os, struct, sys, zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SHARED = os.environ.get("MEETSCOPE_SHARED") or os.path.join(ROOT, "..", "shared")
MAX_SEED = 60_000
PER_TARGET = 400
count = collections.Counter()


def put(out, target, data):
    if not data or len(data) > MAX_SEED or count[target] >= PER_TARGET:
        return
    folder = os.path.join(out, target)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "seed-" + hashlib.sha1(data).hexdigest()[:16])
    if not os.path.exists(path):
        count[target] += 1
        with open(path, "wb") as f:
            f.write(data)


def frames(d):
    """(link type, frame) of a pcap or pcapng file; stops at what it does not understand"""
    if d[:4] in (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d"):
        e = "<" if d[0] in (0xD4, 0x4D) else ">"
        link, o = struct.unpack_from(e + "I", d, 20)[0] & 0xFFFF, 24
        while o + 16 <= len(d):
            n = struct.unpack_from(e + "I", d, o + 8)[0]
            yield link, d[o + 16:o + 16 + n]
            o += 16 + n
    elif d[:4] == b"\x0a\x0d\x0d\x0a":
        e = "<" if d[8:12] == b"\x4d\x3c\x2b\x1a" else ">"
        links, o = [], 0
        while o + 12 <= len(d):
            kind, n = struct.unpack_from(e + "II", d, o)
            if n < 12 or o + n > len(d):
                return
            if kind == 1:
                links.append(struct.unpack_from(e + "H", d, o + 8)[0])
            elif kind == 6 and links:
                i, c = struct.unpack_from(e + "I", d, o + 8)[0], struct.unpack_from(e + "I", d, o + 20)[0]
                yield links[min(i, len(links) - 1)], d[o + 28:o + 28 + c]
            o += n


def payload(link, f):
    """(protocol, ports, addresses in order, payload) of a plain Ethernet or raw IP packet, or None"""
    o = {1: 14, 101: 0, 113: 16}.get(link)
    if o is None or len(f) < o + 28:
        return None
    if f[o] >> 4 == 4:
        protocol, addresses, t = f[o + 9], f[o + 12:o + 20], o + (f[o] & 15) * 4
    elif f[o] >> 4 == 6 and len(f) >= o + 48:
        protocol, addresses, t = f[o + 6], f[o + 8:o + 40], o + 40
    else:
        return None
    if protocol == 17 and len(f) >= t + 8:
        length = max(8, struct.unpack_from(">H", f, t + 4)[0])
        return 17, struct.unpack_from(">HH", f, t), addresses, f[t + 8:t + length]
    if protocol == 6 and len(f) >= t + 20:
        return 6, struct.unpack_from(">HH", f, t), addresses, f[t + (f[t + 12] >> 4) * 4:]
    return None


def pieces(items):
    return b"".join(struct.pack(">H", len(i)) + i for i in items)


def datagram_targets(ports, p):
    b = p[0]
    if {53, 5353, 5355} & set(ports):
        yield "dns_message"
    if b < 4 or 64 <= b < 80 or p[:2] == b"\xff\x10":
        yield "stun_turn"
    if {8801, 8802, 3478} & set(ports) or b in (0x05, 0x01, 0x02, 0x1F):
        yield "zoom_datagram"
    if 20 <= b < 64:
        yield "dtls_datagrams"
    if b >= 192 or 443 in ports:
        yield "quic_connection"
    if 128 <= b < 192:
        yield "rtp_rtcp"
    if {5060, 5061} & set(ports) or p[:8].isalpha() or p[:4] == b"SIP/":
        yield "sip_message"


def zstd(data):
    """blocks as they are, behind a head with a window of 2 MiB: RFC 8878"""
    parts = [data[at:at + 20_000] for at in range(0, len(data), 20_000)]
    blocks = ((len(part) << 3 | (part is parts[-1])).to_bytes(3, "little") + part for part in parts)
    return bytes.fromhex("28b52ffd0058") + b"".join(blocks)


def packed(out, data):
    """the beginnings of some captures, in each compression"""
    if count[packed] == 20:
        return
    count[packed] += 1
    for one in (gzip.compress(data, mtime=0), zstd(data), lzma.compress(data, preset=0), lzma.compress(data[:500]) + lzma.compress(data[500:])):
        put(out, "capture_file", one)


def from_capture(out, data):
    packed(out, data[:4000])
    for target in ("capture_file", "whole_pipeline"):
        put(out, target, data)
    for key in (b"00112233445566778899aabbccddeeff", b"inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4"):
        put(out, "key_trial", struct.pack(">H", len(key)) + key + data)
    flows, streams, links = collections.defaultdict(list), collections.defaultdict(bytes), collections.defaultdict(list)
    for n, (link, frame) in enumerate(frames(data)):
        if n > 3000:
            break
        if len(links[link]) < 8:
            links[link].append(b"\x01" + frame)
        got = payload(link, frame)
        if not got or not got[3]:
            continue
        protocol, ports, addresses, p = got
        if protocol == 6:
            key = (ports, addresses)
            if len(streams[key]) < 8000:
                streams[key] += p
        else:
            for target in datagram_targets(ports, p):
                one_way = target in ("dtls_datagrams",)
                key = (target, ports if one_way else tuple(sorted(ports)))
                if len(flows[key]) < 6:
                    flows[key].append((ports[0] > ports[1], p))
    for link, some in links.items():
        put(out, "decoder", struct.pack(">HB", link, 0) + pieces(some))
    for (target, _), some in flows.items():
        if target in ("quic_connection", "rtp_rtcp"):
            both = pieces(bytes([0 if up else 1]) + p for up, p in some)
            put(out, target, both)
            if target == "quic_connection":
                put(out, "record_opening", b"\x00" + both)
        elif target == "dtls_datagrams":
            put(out, target, pieces(p for _, p in some))
        else:
            for _, p in some[:2]:
                put(out, target, p)
    for (ports, _), stream in streams.items():
        if stream[:1] in (b"\x16", b"\x15"):
            put(out, "tls_stream", stream)
            put(out, "record_opening", b"\x05" + pieces([b"\x00" + stream[:8000]]))
        elif 53 in ports:
            put(out, "dns_message", stream)
        elif stream[:1] in (b"\x00", b"\x01", b"\x02", b"\x03", b"\xff"):
            put(out, "stun_turn", stream)
        elif stream[:4].isalpha():
            put(out, "sip_message", stream)
        segments = [struct.pack(">HBB", 0x4000 + i, 1, 0) + stream[i:i + 40] for i in range(0, min(len(stream), 400), 30)]
        put(out, "reassembly", b"\x40" + pieces(segments))


def signalling(out):
    """HTTP in its versions and WebSocket, with a key in them"""
    text = b'{"evt":7938,"body":{"encryptKey":"ABEiM0RVZneImaq7zN3u_w","list":[0,17,34,51,68,85,102,119,136,153,170,187]}}'
    packed, raw = gzip.compress(text, mtime=0), zlib.compressobj(9, zlib.DEFLATED, -15)
    folded = (raw.compress(text) + raw.flush(zlib.Z_SYNC_FLUSH))[:-4]
    ask = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"
    switch = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    frame = lambda kind, flags, stream, p: len(p).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + p
    http = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n" % len(packed) + packed + b"\r\n0\r\n\r\n"
    protobuf = b"\x12\x12\x1a\x10" + bytes(range(16))
    for turns in ([(0, b"GET / HTTP/1.1\r\n\r\n"), (1, http), (1, chunk)],
                  [(0, ask), (1, switch), (1, bytes([0xC1, len(folded)]) + folded), (0, b"\x81\x82abcd\x01\x02")],
                  [(0, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")),
                   (1, frame(4, 0, 0, b"") + frame(0, 0, 1, packed[:20]) + frame(0, 9, 1, b"\x01" + packed[20:] + b"\x00"))],
                  [(3, b"\x01\x01\x00\x00" + bytes([len(packed)]) + packed)],
                  [(1, text), (1, b"\x00\x00\x00\x00\x14" + protobuf), (0, protobuf)]):
        put(out, "opened_signalling", pieces(bytes([way]) + part for way, part in turns))


def main():
    out = sys.argv[1]
    signalling(out)
    for path in sorted(glob.glob(os.path.join(ROOT, "policies", "*.toml"))):
        with open(path, "rb") as f:
            rules = f.read()
        for step in (1, 7, 31):  # with facts behind it
            put(out, "policy", rules + b"\0" + bytes(i * step % 256 for i in range(64)))
    captures = glob.glob(os.path.join(ROOT, "captures", "*.pcap*"))
    captures += glob.glob(os.path.join(SHARED, "corpus", "*", "*.pcap*"))
    for path in sorted(captures, key=os.path.getsize):
        with open(path, "rb") as f:
            from_capture(out, f.read())
    for target, pattern in (("location_database", "tests/vectors/geo/*.mmdb"), ("provider_file", "providers/*.toml"),
                            ("policy", "policies/*.toml"),
                            ("key_log", "captures/*.keylog")):
        for path in sorted(glob.glob(os.path.join(ROOT, pattern))):
            with open(path, "rb") as f:
                put(out, target, f.read())
    # A capture too long for a seed gives its head.
    for path in glob.glob(os.path.join(ROOT, "captures", "*.pcap*")):
        with open(path, "rb") as f:
            put(out, "whole_pipeline", f.read(MAX_SEED))


main()
