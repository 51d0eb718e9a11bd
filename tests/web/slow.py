#!/usr/bin/env python3
"""slow.py HOST PORT TOKEN: a reader that takes nothing is let go, one that asks nothing too, and others get an event every second."""
import json
import socket
import sys
import threading
import time
import urllib.request

host, port, token = sys.argv[1], int(sys.argv[2]), sys.argv[3]
bearer = {"Authorization": f"Bearer {token}"} if token else {}


def get(path):
    request = urllib.request.Request(f"http://{host}:{port}{path}", headers=bearer)
    return urllib.request.urlopen(request, timeout=10)


def connect(buffer):
    made = socket.socket()
    # A small buffer, so that what is not taken is soon felt by who sends.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.connect((host, port))
    return made


taken, web = [], {}


def good():
    with get("/api/v1/events") as events:
        end = time.time() + 50
        while time.time() < end:
            line = events.readline()
            if not line:
                return
            if line.startswith(b"event:"):
                taken.append(time.time())
            if line.startswith(b"data:"):
                web.update(json.loads(line[5:]).get("counters", {}).get("web", {}))


reader = threading.Thread(target=good, daemon=True)
reader.start()
ask = f"GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\n".encode()
ask += b"".join(f"{name}: {value}\r\n".encode() for name, value in bearer.items()) + b"\r\n"
slow = [connect(2048) for _ in range(20)]
for one in slow:
    one.sendall(ask)
silent = [connect(2048) for _ in range(20)]
for number, one in enumerate(silent):
    one.sendall(b"GET / HTTP/1.1\r\nHost: "[: number + 1])

begun = time.time()
gone_silent = 0
while time.time() - begun < 45:
    time.sleep(1)
    gone_silent = 0
    for one in silent:
        one.setblocking(False)
        try:
            gone_silent += one.recv(1) == b""
        except BlockingIOError:
            pass
        except OSError:
            gone_silent += 1
    # All that took nothing are away from who takes events; the reader beside them, and browsers, are still there.
    gone_slow = web.get("connections_cut", 0) - len(silent)
    if len(taken) > 12 and gone_silent == len(silent) and gone_slow >= len(slow):
        break
print(f"after {time.time() - begun:.0f} s: {gone_silent} of {len(silent)} silent connections are gone; the run counts {web}")
gaps = [b - a for a, b in zip(taken, taken[1:])]
print(f"a reader beside them had {len(taken)} events, the longest gap {max(gaps, default=99):.1f} s")
stats = json.load(get("/api/v1/stats"))
assert stats["event_type"] == "stats"
assert gone_silent == len(silent), "those that ask nothing are cut"
assert len(taken) >= 10 and max(gaps) < 3.5, "others do not notice"
if "--all" in sys.argv:
    assert gone_slow >= len(slow), "those that take nothing are let go"
