"""aiortc as a peer: `aiortc_peer.py` in an environment of its own, which `script/bootstrap --peers` makes."""
import json, os, select, subprocess, time

from .net import inside
from .peer import Peer
from .shell import Failure

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = os.path.join(os.path.dirname(os.path.dirname(HERE)), "target", "peers", "venv", "bin", "python")


class Aiortc(Peer):
    engine = "aiortc"

    def __init__(self, processes, name, space, addresses):
        self.name, self.addresses, self.processes, self.number = name, list(addresses), processes, 0
        self.process = processes.start(f"aiortc-{name}", inside(space, PYTHON, "-B", os.path.join(HERE, "aiortc_peer.py")),
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.rest = b""
        self.read(0, 30)

    def read(self, number, seconds):
        until = time.monotonic() + seconds
        while True:
            line, found, rest = self.rest.partition(b"\n")
            if found:
                self.rest = rest
                answer = json.loads(line)
                if answer["id"] == number:
                    break
                continue
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, until - time.monotonic()))
            got = os.read(self.process.stdout.fileno(), 1 << 20) if ready else b""
            if not got:
                raise Failure(f"{self.name}: no answer")
            self.rest += got
        if "error" in answer:
            raise Failure(f"{self.name}: {answer['error']}")
        return answer["result"]

    def do(self, function, *arguments, **options):
        self.number += 1
        message = {"id": self.number, "do": function, "arguments": arguments, "options": options}
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()
        return self.read(self.number, 30)

    def make(self, call, **options):
        return self.do("make", call, **options)

    def end(self):
        self.process.stdin.close()
        self.processes.stop(self.process, seconds=3)
