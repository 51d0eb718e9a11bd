"""What the scripts that send packets have in common: network namespaces, captures in and out, meetscope and tcpdump at work."""
import collections, json, os, re, shutil, signal, struct, subprocess, sys, tempfile, time


def lacking(why):
    """Says in one line what is not there, and ends the script as one that was passed over."""
    print(why)
    sys.exit(77)


def need(*tools):
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        lacking("not root on Linux")
    for tool in tools:
        if not shutil.which(tool):
            lacking(f"{tool} is not there")


def program():
    path = os.environ.get("MEETSCOPE_BIN", "target/release/meetscope")
    if not os.access(path, os.X_OK):
        print(f"{path} is not there; run cargo build --release first")
        sys.exit(1)
    return os.path.abspath(path)


def read_capture(path):
    """Time in ns and bytes of each packet of a classic pcap or a pcapng."""
    data = open(path, "rb").read()
    packets = []
    if data[:4] != b"\x0a\x0d\x0d\x0a":
        order, unit = {b"\xd4\xc3\xb2\xa1": ("<", 1000), b"\xa1\xb2\xc3\xd4": (">", 1000),
                       b"\x4d\x3c\xb2\xa1": ("<", 1), b"\xa1\xb2\x3c\x4d": (">", 1)}[data[:4]]
        at = 24
        while at + 16 <= len(data):
            seconds, part, length, _ = struct.unpack_from(order + "IIII", data, at)
            packets.append((seconds * 10**9 + part * unit, data[at + 16:at + 16 + length]))
            at += 16 + length
        return packets
    order, units, at = "<", [], 0
    while at + 12 <= len(data):
        kind = struct.unpack_from("<I", data, at)[0]
        if kind == 0x0A0D0D0A:
            order, units = ("<" if data[at + 8] == 0x4D else ">"), []
        kind, length = struct.unpack_from(order + "II", data, at)
        if kind == 1:
            unit, option = 10**6, at + 16
            while option + 4 <= at + length - 4:
                code, size = struct.unpack_from(order + "HH", data, option)
                if code == 9:
                    value = data[option + 4]
                    unit = 2 ** (value & 127) if value & 128 else 10**value
                if code == 0:
                    break
                option += 4 + (size + 3 & ~3)
            units.append(unit)
        elif kind == 6:
            interface, high, low, captured, _ = struct.unpack_from(order + "IIIII", data, at + 8)
            packets.append((((high << 32) | low) * 10**9 // units[interface], data[at + 28:at + 28 + captured]))
        at += length
    return packets


def write_capture(path, packets):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
        for at, data in packets:
            out.write(struct.pack("<IIII", at // 10**9, at % 10**9, len(data), len(data)) + data)


def checksum(header):
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source, destination, protocol, body, number=0, fragment=0):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), number & 0xFFFF, fragment, 64, protocol, 0, source, destination)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


class Space:
    """A network namespace with pairs of joined interfaces: what is sent on `send0` comes in on `see0`, and so on."""

    def __init__(self, pairs=1, mtu=65535, sysctls=()):
        self.name = f"meetscope-{os.getpid()}"
        self.folder = tempfile.mkdtemp(prefix="meetscope-")
        self.running = []
        if subprocess.run(["ip", "netns", "add", self.name], capture_output=True).returncode:
            lacking("network namespaces are not allowed here")
        # In a root directory that is no mount they can be made and not entered.
        if subprocess.run(["ip", "netns", "exec", self.name, "true"], capture_output=True).returncode:
            subprocess.run(["ip", "netns", "del", self.name])
            lacking("network namespaces cannot be entered here")
        # The interfaces are to say nothing of their own.
        for setting in ("net.ipv6.conf.default.disable_ipv6=1", *sysctls):
            self.run("sysctl", "-qw", setting, check=False)
        for pair in range(pairs):
            ends = f"send{pair}", f"see{pair}"
            self.ip("link", "add", ends[0], "mtu", str(mtu), "type", "veth", "peer", "name", ends[1], "mtu", str(mtu))
            for end in ends:
                self.ip("link", "set", end, "arp", "off", "up")

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: sys.exit(130))
        return self

    def __exit__(self, *_):
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        subprocess.run(["ip", "netns", "del", self.name])
        shutil.rmtree(self.folder, ignore_errors=True)

    def ip(self, *words):
        subprocess.run(["ip", "-n", self.name, *words], check=True)

    def inside(self, *words):
        return ["ip", "netns", "exec", self.name, *words]

    def run(self, *words, check=True):
        done = subprocess.run(self.inside(*words), capture_output=True, text=True)
        if check and done.returncode:
            sys.exit(f"{' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout + done.stderr

    def start(self, *words, **how):
        process = subprocess.Popen(self.inside(*words), **how)
        self.running.append(process)
        return process

    def counter(self, interface, name):
        return int(self.run("cat", f"/sys/class/net/{interface}/statistics/{name}"))

    def sockets(self):
        return len(self.run("cat", "/proc/net/packet").splitlines()) - 1

    def path(self, name):
        return os.path.join(self.folder, name)

    def replay(self, capture, *how):
        """tcpreplay of a capture; packets sent and seconds."""
        said = self.run("tcpreplay", *how, capture)
        sent = re.search(r"Actual: (\d+) packets \((\d+) bytes\) sent in ([0-9.]+) seconds", said)
        failed = re.search(r"Failed packets:\s+(\d+)", said)
        if not sent:
            sys.exit(f"tcpreplay said: {said}")
        return int(sent[1]) - int(failed[1] if failed else 0), float(sent[3])


class Watch:
    """meetscope at work in a namespace."""

    def __init__(self, space, meetscope, *words, sockets=1, name="watch"):
        self.space, self.out, self.said = space, space.path(name), space.path(name + ".err")
        before = space.sockets()
        self.process = space.start(meetscope, "watch", "--format", "ndjson", "--no-geoip-store", *words,
                                   stdout=open(self.out, "w"), stderr=open(self.said, "w"))
        for _ in range(300):
            if self.process.poll() is not None:
                sys.exit(f"watch ended before a packet came: {open(self.said).read()}")
            if space.sockets() >= before + sockets and "watching" in open(self.said).read():
                break
            time.sleep(0.05)
        else:
            sys.exit(f"watch does not begin: {open(self.said).read()}")
        time.sleep(0.3)

    def pid(self):
        """That of the program: `ip netns exec` becomes it."""
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)

    def memory(self):
        """Resident memory in KiB."""
        with open(f"/proc/{self.pid()}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])

    def stop(self, statuses=(0, 3), whole=True):
        """Ends it; its records, the counters last; those alone when not `whole`: an hour's records may be larger than the memory."""
        begun = time.time()
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=60)
        self.stopping = time.time() - begun
        if status not in statuses:
            sys.exit(f"watch ended with status {status}: {open(self.said).read()}")
        lines = (line for line in open(self.out) if line.strip())
        records = [json.loads(line) for line in (lines if whole else collections.deque(lines, maxlen=1))]
        if not records or records[-1]["event_type"] != "stats":
            sys.exit("the last record of watch is not stats")
        return records


def books(stats):
    """What is wrong with the counters of a run, if anything: each packet must be in one place, in sum and for each worker."""
    wrong = []
    packets = stats["packets"]
    if packets["seen"] != packets["analysed"] + packets["filtered"] + packets["dropped"]:
        wrong.append(f"seen is not the sum of what became of it: {packets}")
    parts = ("dropped_by_kernel", "dropped_by_interface", "dropped_by_us")
    if packets["dropped"] != sum(packets[part] for part in parts):
        wrong.append(f"dropped is not the sum of its parts: {packets}")
    for interface in stats["interfaces"]:
        for worker in interface["workers"]:
            if worker["received"] != worker["dropped_by_kernel"] + worker["analysed"] + worker["dropped_by_us"]:
                wrong.append(f"{interface['name']}: received is not the sum of what became of it: {worker}")
    received = sum(worker["received"] for interface in stats["interfaces"] for worker in interface["workers"])
    if received + packets["dropped_by_interface"] != packets["seen"]:
        wrong.append(f"received ({received}) and dropped by interfaces are not what was seen: {packets}")
    return wrong
