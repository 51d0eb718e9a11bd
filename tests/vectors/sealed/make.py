#!/usr/bin/env python3
"""Makes the vectors of this folder: SRTP packets sealed by libsrtp (pylibsrtp), units in Zoom's framing sealed by OpenSSL
(cryptography). All chance comes from a seed.

    pip install pylibsrtp cryptography && python3 make.py
"""

import hashlib
import hmac
import random
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pylibsrtp import Policy, Session

chance = random.Random(2020)


def srtp():
    """One line each: suite, master key and salt, header length, packet. Numbers run over their end."""
    profiles = [
        ("AES_CM_128_HMAC_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
        ("AES_CM_128_HMAC_SHA1_32", Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
        ("AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
        ("AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
    ]
    for name, profile, length in profiles:
        key = chance.randbytes(length)
        policy = Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
        session = Session(policy=policy)
        for place in range(8):
            number = (0xFFFC + place) & 0xFFFF
            # Every other packet has a contributing source and a header extension.
            odd = place % 2
            header = struct.pack("!BBHII", 0x91 if odd else 0x80, 111, number, 960 * place, 0x11223344)
            if odd:
                header += struct.pack("!IHHI", 0x55667788, 0xBEDE, 1, 0x10AA0000)
            packet = header + b"\xfc" + chance.randbytes(60 + place)
            yield f"{name} {key.hex()} {len(header)} {session.protect(packet).hex()}"


def plain(place):
    """A frame whose first byte is that of its codec, as of Opus."""
    return b"\x78" + chance.randbytes(20 + chance.randrange(60))


def units():
    """One line each: name, key, nonce or -, length, what follows the length in the unit."""
    for bits in (128, 192, 256):
        key = chance.randbytes(bits // 8)
        for padding in ("zero", "pkcs7"):
            for mode in ("ecb", "cbc"):
                for place in range(24):
                    text = plain(place)
                    pad = -len(text) % 16
                    if padding == "pkcs7":
                        pad = 16 - len(text) % 16
                    whole = text + (bytes(pad) if padding == "zero" else bytes([pad]) * pad)
                    how = modes.ECB() if mode == "ecb" else modes.CBC(bytes(16))
                    sealer = Cipher(algorithms.AES(key), how).encryptor()
                    sealed = sealer.update(whole) + sealer.finalize()
                    yield f"{mode}-{bits}-{padding} {key.hex()} - {len(text)} {sealed.hex()}"
        for place in range(24):
            text, nonce = plain(place), struct.pack("!I", place) + bytes(8)
            sealed = AESGCM(key).encrypt(nonce, text, None)
            yield f"gcm-{bits} {key.hex()} - {len(text)} {(b'%c' % 12 + nonce + bytes(1) + sealed).hex()}"
        for place in range(24):
            text, nonce = plain(place), struct.pack("!I", place) + bytes(8)
            sealer = Cipher(algorithms.AES(key), modes.CTR(nonce + bytes(4))).encryptor()
            sealed = sealer.update(text) + chance.randbytes(16)
            yield f"ctr-{bits} {key.hex()} - {len(text)} {(b'%c' % 12 + nonce + bytes(1) + sealed).hex()}"
    meeting, sender = chance.randbytes(32), chance.randbytes(21)
    stream = hmac.new(meeting, sender + b"\x02", hashlib.sha256).digest()
    for place in range(24):
        text, nonce = plain(place), struct.pack("!I", place) + bytes(8)
        sealed = AESGCM(stream).encrypt(nonce, text, None)
        yield f"meeting {meeting.hex()} {sender.hex()} {len(text)} {(b'%c' % 12 + nonce + bytes(1) + sealed).hex()}"


for file, lines in (("srtp.txt", srtp()), ("zoom_units.txt", units())):
    with open(file, "w", encoding="ascii") as out:
        out.writelines(f"{line}\n" for line in lines)
