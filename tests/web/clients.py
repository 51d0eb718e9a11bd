#!/usr/bin/env python3
"""clients.py HOST PORT COUNT SECONDS: so many browsers' worth of readers of events; says when all are there and what they got."""
import resource
import selectors
import socket
import sys
import time

host, port, count, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 64, max(count + 64, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
ready = selectors.DefaultSelector()
ask = f"GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
for _ in range(count):
    made = socket.create_connection((host, port), timeout=10)
    made.sendall(ask)
    made.setblocking(False)
    ready.register(made, selectors.EVENT_READ)
print(f"{count} are connected", flush=True)
end, alive, events, size = time.time() + seconds, count, 0, 0
while time.time() < end and alive:
    for key, _ in ready.select(0.2):
        try:
            got = key.fileobj.recv(1 << 18)
        except OSError:
            got = b""
        if not got:
            ready.unregister(key.fileobj)
            key.fileobj.close()
            alive -= 1
            continue
        events += got.count(b"\nevent: ") + got.startswith(b"event: ")
        size += len(got)
print(f"{alive} of {count} are still there; {events} events, {size / 1e6:.1f} MB", flush=True)
sys.exit(alive != count)
