"""script/sink-test.py MEETSCOPE: the runs of script/sink-test, which says what it is about and what it needs."""
import json, os, re, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time

MEETSCOPE = sys.argv[1]
SPACE = f"meetscope-sink-{os.getpid()}"
FLOWS = 6000
FAULTS = []


def check(holds, words):
    if not holds:
        FAULTS.append(words)
        print(f"FAULT: {words}")


def sh(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def inside(*words):
    return ["ip", "netns", "exec", SPACE, *words]


def many_flows(path):
    """A capture of FLOWS connections that nobody answers: as many flow records at the end of a run."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(FLOWS):
            tcp = struct.pack(">HHIIBBHHH", 1024 + number, 9, number, 0, 0x50, 2, 1024, 0, 0)
            ip = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, number, 0, 64, 6, 0, bytes([10, 9, 0, 1]), bytes([10, 9, 0, 2])))
            total = sum(struct.unpack(">10H", ip))
            total = (total & 0xFFFF) + (total >> 16)
            struct.pack_into(">H", ip, 10, ~(total + (total >> 16)) & 0xFFFF)
            frame = bytes([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]) + bytes(ip) + tcp
            out.write(struct.pack("<IIII", 1_700_000_000 + number // 1000, number % 1000, len(frame), len(frame)) + frame)


CONSUMER = """
import socket, sys
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
peer, _ = listening.accept()
listening.close()
out = open(sys.argv[2], "ab", buffering=0)
while True:
    data = peer.recv(512)
    if not data:
        break
    out.write(data)
"""


def consumer(port, path):
    return subprocess.Popen(inside(sys.executable, "-c", CONSUMER, str(port), path))


class Watch:
    def __init__(self, folder, *words):
        self.err = open(os.path.join(folder, "err"), "wb")
        command = inside(MEETSCOPE, "watch", "-i", "watched", "--update", "1", "--no-geoip-store", *words)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.err)
        self.path = self.err.name
        for _ in range(200):
            if "Ctrl-C stops" in self.said() or self.process.poll() is not None:
                break
            time.sleep(0.1)
        time.sleep(0.7)

    def said(self):
        return open(self.path, errors="replace").read()

    def until(self, text, seconds=15):
        for _ in range(seconds * 20):
            if text in self.said():
                return
            time.sleep(0.05)
        check(False, f"nobody said {text!r}:\n{self.said()}")

    def signal(self, number):
        # `ip netns exec` becomes the program itself.
        self.process.send_signal(number)

    def end(self, within):
        begun = time.monotonic()
        self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = None
        took = time.monotonic() - begun
        check(status is not None and took <= within, f"SIGTERM took {took:.1f} s, {within} s are allowed")
        return status, took


def play(capture, multiplier):
    sh(*inside("tcpreplay", "--intf1=playing", f"--multiplier={multiplier}", "--quiet", capture))


def lines(path):
    if not os.path.exists(path):
        return []
    return [line for line in open(path, "rb").read().split(b"\n") if line]


def whole(path):
    """Records on whole lines; what follows the last end of line is none."""
    if not os.path.exists(path):
        return []
    data = open(path, "rb").read()
    return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]


def parts(folder, name):
    """Records of a rotated file, the oldest first, read by the tools of the formats."""
    records, count = [], 0
    # Compressed ones end in .zst or .gz; the file itself is the newest. A draft (.part) is of one that an end left uncompressed.
    for entry in sorted(e for e in os.listdir(folder) if e.startswith(name + ".2") and not e.endswith(".part")) + [name]:
        path = os.path.join(folder, entry)
        tool = "zstd" if entry.endswith(".zst") else "gzip" if entry.endswith(".gz") else None
        data = subprocess.run([tool, "-dc", path], check=True, capture_output=True).stdout if tool else open(path, "rb").read()
        check(data.endswith(b"\n") or not data, f"{entry} ends within a record")
        records += [json.loads(line) for line in data.splitlines()]
        count += tool is not None
    return records, count


RSYSLOG = """
module(load="imudp") module(load="imptcp") module(load="imuxsock" SysSock.Use="off")
global(workDirectory="{folder}" maxMessageSize="16k")
template(name="all" type="list") {{
  property(name="inputname") constant(value="\\t") property(name="syslogfacility-text") constant(value="\\t")
  property(name="syslogseverity-text") constant(value="\\t") property(name="hostname") constant(value="\\t")
  property(name="app-name") constant(value="\\t") property(name="procid") constant(value="\\t") property(name="msgid")
  constant(value="\\t") property(name="structured-data") constant(value="\\t") property(name="msg" controlcharacters="escape") constant(value="\\n") }}
input(type="imudp" port="5514" address="127.0.0.1") input(type="imptcp" port="5515" address="127.0.0.1")
input(type="imuxsock" Socket="{folder}/log" useSpecialParser="off" ignoreTimestamp="off")
action(type="omfile" file="{folder}/rsyslog.out" template="all" asyncWriting="off" ioBufferSize="1k" flushOnTXEnd="on")
"""


def syslog_fields(folder, records):
    """What rsyslog's parser made of the messages, held to the records of the file."""
    wanted = [r for r in records if r["event_type"] != "flow"]
    seen = {"imudp": [], "imptcp": [], "imuxsock": []}
    for line in open(f"{folder}/rsyslog.out", errors="replace"):
        name, facility, severity, host, app, process, kind, structured, message = line.rstrip("\n").split("\t")
        if app == "rsyslogd":
            continue
        check(facility == "local0" and app == "meetscope" and process.isdigit() and host == socket.gethostname(), f"odd head: {line[:160]}")
        check(structured.startswith('[origin software="meetscope"') and "[meetscope@32473" in structured, f"odd data: {structured[:160]}")
        value = json.loads(message)
        check(value["event_type"] == kind, f"MSGID {kind}, record {value['event_type']}")
        if kind == "session":
            check(f'session_id="{value["session_id"]}"' in structured, "the structured data names another session")
        seen[name].append((kind, value))
    for name, messages in seen.items():
        check(len(messages) == len(wanted), f"{name}: {len(messages)} messages, {len(wanted)} records")
        for (kind, value), record in zip(messages, wanted):
            identity = {"session": "session_id", "meeting": "meeting_id", "alert": "alert_id"}.get(kind)
            same = kind == record["event_type"] and (identity is None or value[identity] == record[identity])
            check(same and (value.get("shortened") or value == record), f"{name}: a {kind} differs from the file's")
    return {name: len(messages) for name, messages in seen.items()}


def everything_at_once(folder):
    """All kinds of destinations in one run; one consumer is stopped and killed, the file is moved away, the policy broken."""
    with open(f"{folder}/rsyslog.conf", "w") as out:
        out.write(RSYSLOG.format(folder=folder))
    rsyslog = subprocess.Popen(inside("rsyslogd", "-n", "-f", f"{folder}/rsyslog.conf", "-i", f"{folder}/rsyslog.pid"))
    for _ in range(100):
        if os.path.exists(f"{folder}/log"):
            break
        time.sleep(0.1)
    good, policy = open("policies/key-holders.toml").read() if os.path.exists("policies/key-holders.toml") else None, f"{folder}/policy.toml"
    if good is None:
        first = sorted(e for e in os.listdir("policies") if e.endswith(".toml"))[0]
        good = open(f"policies/{first}").read()
    open(policy, "w").write(good)
    first = consumer(7001, f"{folder}/first")
    time.sleep(0.5)
    watch = Watch(folder, "-o", f"{folder}/out", "--rotate", "256k", "--compress", "zstd", "--format", "ndjson",
                  "--policy", policy, "--send", "tcp://127.0.0.1:7001", "--queue-mib", "64", "--dump", f"{folder}/state",
                  "--syslog", "udp://127.0.0.1:5514", "--syslog", "tcp://127.0.0.1:5515", "--syslog", f"unix:{folder}/log")
    play("captures/false-place.pcapng", 50)
    time.sleep(2)
    open(policy, "w").write(good + "\n[[rule]]\nnonsense = 1\n")
    os.rename(f"{folder}/out", f"{folder}/moved")
    watch.signal(signal.SIGHUP)
    watch.until("the policy read before stays in force")
    open(policy, "w").write(good)
    watch.signal(signal.SIGHUP)
    watch.until("policy read anew")
    # The consumer stands still, and is killed with what it has not read.
    os.kill(first.pid, signal.SIGSTOP)
    play("captures/zoom-gov.pcapng", 50)
    time.sleep(2.5)
    first.kill()
    first.wait()
    second = consumer(7001, f"{folder}/second")
    watch.until("tcp://127.0.0.1:7001: takes records again")
    play(f"{folder}/flows.pcap", 10)
    watch.signal(signal.SIGUSR1)
    watch.until("SIGUSR1: the state is in")
    state = json.load(open(f"{folder}/state"))
    check(state["event_type"] == "state" and len(state["sinks"]) == 5, f"state: {state}")
    for sink in state["sinks"]:
        check(sink["offered"] == sink["written"] + sink["lost"] + sink["queued"], f"does not add up: {sink}")
    status, took = watch.end(5.5)
    second.wait(timeout=10)
    time.sleep(1)
    rsyslog.terminate()
    rsyslog.wait()
    said = watch.said()
    moved = whole(f"{folder}/moved")
    rest, packed = parts(folder, "out")
    records = moved + rest
    flows = sum(r["event_type"] == "flow" for r in records)
    check(flows >= FLOWS, f"{flows} flows of {FLOWS} in the file")
    check(records[-1]["event_type"] == "stats" and records[-1]["phase"] == "ended", "the last record is not that of the end")
    check(packed >= 5, f"{packed} compressed parts")
    sent = whole(f"{folder}/first") + whole(f"{folder}/second")
    doubt = re.search(r"tcp://127.0.0.1:7001: of (\d+) of (\d+) records", said)
    doubt = int(doubt[1]) if doubt else 0
    lost = re.search(r"^meetscope: tcp://127.0.0.1:7001: (\d+) of (\d+) records were lost", said, re.M)
    lost = int(lost[1]) if lost else 0
    missing = len(records) - len(sent)
    check(lost <= missing <= lost + doubt, f"consumer: {len(records)} records, {len(sent)} taken, {lost} lost, {doubt} in doubt")
    fields = syslog_fields(folder, records)
    print(f"{len(records)} records; file: all of them in {packed + 2} files; a consumer killed: {len(sent)} taken, {lost} lost, {doubt} in "
          f"doubt; rsyslog: {fields}; SIGTERM took {took:.1f} s")
    return status


def slow_and_full(folder):
    """A disk that is full, and is not; a consumer that never reads; SIGTERM does not wait for it."""
    disk = f"{folder}/disk"
    os.mkdir(disk)
    sh("mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk)
    stopped = None
    try:
        with open(f"{disk}/filler", "wb") as out:
            out.write(bytes(400_000))
        stopped = consumer(7002, f"{folder}/stopped")
        time.sleep(0.5)
        os.kill(stopped.pid, signal.SIGSTOP)
        watch = Watch(folder, "-o", f"{disk}/out", "--format", "ndjson", "--send", "tcp://127.0.0.1:7002", "--queue-mib", "1", "--rotate", "128k", "--compress", "gzip", "--keep", "50")
        play("captures/zoom-servers-73.pcapng", 100)
        for _ in range(40):
            if "No space left" in watch.said():
                break
            play("captures/zoom-gov.pcapng", 200)
            time.sleep(0.5)
        full = "No space left" in watch.said()
        os.remove(f"{disk}/filler")
        if full:
            watch.until("takes records again")
        sh("mount", "-o", "remount,size=64m", disk)
        play(f"{folder}/flows.pcap", 10)
        _, took = watch.end(5.5)
        said = watch.said()
        records, packed = parts(disk, "out")
        lost = re.search(r"^meetscope: tcp://127.0.0.1:7002: (\d+) of (\d+) records were lost", said, re.M)
        check(lost is not None, f"a consumer that reads nothing lost nothing:\n{said}")
        check(f"{disk}/out: 0 were lost" not in said, "")
        of_file = re.search(rf"^meetscope: {re.escape(disk)}/out: (\d+) of (\d+) records were lost", said, re.M)
        file_lost = int(of_file[1]) if of_file else 0
        if lost:
            check(len(records) + file_lost == int(lost[2]), f"file: {len(records)} records and {file_lost} lost, {lost[2]} offered")
        print(f"a full disk {'was told of and' if full else '(not filled)'} waited out: {len(records)} records, {file_lost} lost; a consumer that reads nothing: "
              f"{lost[1] if lost else 0} lost; SIGTERM took {took:.1f} s")
        check(full, "the disk was never full")
    finally:
        if stopped:
            stopped.kill()
        for _ in range(20):
            if subprocess.run(["umount", disk], stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.2)


def main():
    folder = tempfile.mkdtemp(prefix="meetscope-sink-")
    os.environ["MEETSCOPE_GEOIP_DIR"] = ""
    try:
        sh("ip", "netns", "add", SPACE)
        sh("ip", "-n", SPACE, "link", "set", "lo", "up")
        subprocess.run(inside("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"))
        sh("ip", "-n", SPACE, "link", "add", "playing", "mtu", "65535", "type", "veth", "peer", "name", "watched", "mtu", "65535")
        for interface in ("playing", "watched"):
            sh("ip", "-n", SPACE, "link", "set", interface, "arp", "off", "up")
        for run in (everything_at_once, slow_and_full):
            own = f"{folder}/{run.__name__}"
            os.mkdir(own)
            many_flows(f"{own}/flows.pcap")
            run(own)
    finally:
        subprocess.run(["ip", "netns", "del", SPACE], stderr=subprocess.DEVNULL)
        if os.environ.get("KEEP") != "1":
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(folder)
    if FAULTS:
        sys.exit(f"{len(FAULTS)} faults")
    print("destinations: counts agree to the record")


main()
