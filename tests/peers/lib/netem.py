"""`tc netem` for a kernel that lacks it: what comes out of a veth is delayed, lost and reordered before it reaches a TAP.

One JSON object a line on standard input: {"add": VETH, "tap": TAP} joins two interfaces, {"set": VETH, "delay": ms, "jitter": ms,
"loss": %, "reorder": %} says what happens on the way from VETH to TAP. The way back is left alone. As with netem, jitter is
the deviation of a normal distribution around the delay, and a reordered packet is one that is not delayed. The random
numbers are seeded, so that a run can be repeated. Ends with its standard input.
"""
import fcntl, heapq, json, os, random, select, socket, struct, sys, time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23


class Way:
    def __init__(self, veth, tap, number):
        self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(3))
        self.raw.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.raw.bind((veth, 0))
        # Promiscuous: frames to the other peers' addresses are to be carried too.
        self.raw.setsockopt(SOL_PACKET, 1, struct.pack("iHH8s", socket.if_nametoindex(veth), 1, 0, b""))
        self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tap, TUNSETIFF, struct.pack("16sH22s", tap.encode(), IFF_TAP | IFF_NO_PI, b""))
        self.random = random.Random(number)
        self.delay = self.jitter = self.loss = self.reorder = 0.0
        self.lost = 0

    def set(self, delay=0, jitter=0, loss=0, reorder=0):
        self.delay, self.jitter, self.loss, self.reorder = delay / 1e3, jitter / 1e3, loss / 100, reorder / 100

    def fate(self, now):
        """when a packet of now goes on; None if never"""
        draw = self.random.random
        if self.loss and draw() < self.loss:
            self.lost += 1
            return None
        if self.reorder and draw() < self.reorder:
            return now
        if self.jitter:
            return now + max(0.0, self.random.gauss(self.delay, self.jitter))
        return now + self.delay


def main():
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    except OSError:
        pass  # less exact on a busy machine
    ways, by_fd, waiting, order = {}, {}, [], 0
    poll = select.epoll()
    poll.register(0, select.EPOLLIN)
    typed = b""
    while True:
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, way, frame = heapq.heappop(waiting)
            os.write(way.tap, frame)
        # epoll counts in whole milliseconds, select in microseconds.
        select.select([poll.fileno()], [], [], max(0.0, waiting[0][0] - time.monotonic()) if waiting else None)
        for fd, _ in poll.poll(0):
            if fd == 0:
                got = os.read(0, 65536)
                if not got:
                    return
                *lines, typed = (typed + got).split(b"\n")
                for line in map(json.loads, lines):
                    if "add" in line:
                        way = ways[line["add"]] = Way(line["add"], line["tap"], len(ways))
                        for end in (way.raw.fileno(), way.tap):
                            by_fd[end] = way
                            poll.register(end, select.EPOLLIN)
                    else:
                        ways[line.pop("set")].set(**line)
                    print(json.dumps(line), {name: way.lost for name, way in ways.items()}, flush=True)
                continue
            way = by_fd[fd]
            try:
                if fd == way.tap:
                    way.raw.send(os.read(fd, 65536))
                    continue
                frame = way.raw.recv(65536)
            except OSError:
                continue  # nothing there any more, or an interface that is down
            now = time.monotonic()
            at = way.fate(now)
            if at is not None and at <= now:
                os.write(way.tap, frame)
            elif at is not None:
                order += 1
                heapq.heappush(waiting, (at, order, way, frame))


main()
