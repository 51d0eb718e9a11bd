"""A capture read without meetscope: enough of pcapng, Ethernet, IPv4, UDP, SIP and RTCP to know what peers reported."""
import collections, struct

Datagram = collections.namedtuple("Datagram", "time source sport target dport payload")
Report = collections.namedtuple("Report", "time sender about lost highest jitter")


def datagrams(path):
    """UDP of a little-endian pcapng, as dumpcap writes it here"""
    with open(path, "rb") as f:
        data = f.read()
    at, ticks = 0, 10 ** 6
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        body = data[at + 8:at + length - 4]
        if kind == 1:  # interface description; option 9 is the resolution of its clock
            option = 8
            while option + 4 <= len(body):
                code, size = struct.unpack_from("<HH", body, option)
                if code == 9:
                    ticks = 10 ** body[option + 4]
                option += 4 + (size + 3) // 4 * 4
        elif kind == 6:
            _, high, low, captured, _ = struct.unpack_from("<IIIII", body)
            frame = body[20:20 + captured]
            if frame[12:14] == b"\x08\x00" and frame[23] == 17:
                ip = 14 + 4 * (frame[14] & 15)
                sport, dport, size = struct.unpack_from(">HHH", frame, ip)
                yield Datagram(((high << 32) | low) / ticks, *(
                    ".".join(map(str, frame[26:30])), sport, ".".join(map(str, frame[30:34])), dport, frame[ip + 8:ip + size]))
        at += length


def is_rtp(payload):
    return len(payload) > 12 and payload[0] >> 6 == 2 and not 192 <= payload[1] <= 223


def reports(path):
    """report blocks of clear sender and receiver reports (RFC 3550 section 6.4)"""
    for one in datagrams(path):
        rest = one.payload
        while len(rest) >= 8 and rest[0] >> 6 == 2 and 200 <= rest[1] <= 207:
            length = 4 * (struct.unpack_from(">H", rest, 2)[0] + 1)
            if rest[1] in (200, 201):
                sender, blocks = struct.unpack_from(">I", rest, 4)[0], 28 if rest[1] == 200 else 8
                for number in range(rest[0] & 31):
                    about, lost, highest, jitter = struct.unpack_from(">IIII", rest, blocks + 24 * number)
                    lost &= 0xffffff
                    yield Report(one.time, sender, about, lost - (1 << 24 if lost >> 23 else 0), highest, jitter)
            rest = rest[length:]
