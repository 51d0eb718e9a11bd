"""coturn, a relay, over UDP, TCP and TLS."""
import os

from .http import socket_inside
from .janus import certificate
from .net import inside
from .shell import wait_for

NAME, USER, WORD = "turn.example", "peer", "word"


class Coturn:
    def __init__(self, recording, address="198.51.100.20", **impair):
        self.space, self.address = recording.server("turn", address, **impair), address
        folder = os.path.join(recording.folder, "turn")
        os.makedirs(folder, exist_ok=True)
        cert, key = certificate(folder, NAME)
        recording.processes.start("turnserver", inside(
            self.space, "turnserver", "-n", f"--listening-ip={address}", f"--relay-ip={address}", "--listening-port=3478",
            "--tls-listening-port=443", f"--cert={cert}", f"--pkey={key}", "--lt-cred-mech", f"--user={USER}:{WORD}",
            f"--realm={NAME}", "--no-cli", "--log-file=stdout", "--simple-log", f"--pidfile={folder}/pid",
            f"--userdb={folder}/users", "--min-port=49000", "--max-port=49999"))
        wait_for("coturn", 15, lambda: all(map(self.listens, (3478, 443))), 0.2)

    def listens(self, port):
        try:
            socket_inside(self.space, (self.address, port)).close()
            return True
        except OSError:
            return False

    def ice(self, over):
        url = {"udp": f"turn:{self.address}:3478?transport=udp", "tcp": f"turn:{self.address}:3478?transport=tcp",
               "tls": f"turns:{self.address}:443?transport=tcp"}[over]
        return [{"urls": url, "username": USER, "credential": WORD}]
