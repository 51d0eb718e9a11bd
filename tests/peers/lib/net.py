"""The network of a run: a namespace for each peer and server, all on one bridge, on which each frame is seen once.

    peer --veth-- [impairment] -- bridge -- server, peer, ...
                                    |
                                 dumpcap

What leaves a peer is impaired before the bridge, so what the bridge lacks is what the receiver lacks. Where the kernel has
it, `tc netem` impairs; else `netem.py`, which does the same in user space between the veth and a TAP on the bridge. Every
namespace has a default route that is its link, so any address can be given to anybody and nothing leaves the machine.
"""
import functools, glob, json, os, re, shutil, subprocess, sys, tempfile, time

from .shell import Failure, sh, wait_for

PREFIX = "mspeer"
HERE = os.path.dirname(os.path.abspath(__file__))


def inside(space, *words):
    return ["ip", "netns", "exec", space, *words]


def leftovers():
    """removes what a run left that was killed: the namespaces of a process that is no more, what runs in them, its folder"""
    for line in sh("ip", "netns", "list", check=False).splitlines():
        space = line.split()[0] if line.split() else ""
        found = re.fullmatch(PREFIX + r"(\d+)-\w+", space)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            remove(space)
    for folder in glob.glob(scratch("*")):
        pid = folder.rsplit("-", 1)[1]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            shutil.rmtree(folder, ignore_errors=True)


def scratch(pid):
    """where a run keeps what it does not leave"""
    return os.path.join(tempfile.gettempdir(), f"meetscope-peers-{pid}")


def remove(space):
    """ends what runs in a namespace of ours, by its ids, and deletes it"""
    for _ in range(3):
        pids = sh("ip", "netns", "pids", space, check=False).split()
        if not pids:
            break
        for pid in pids:
            try:
                os.kill(int(pid), 9)
            except (ProcessLookupError, ValueError):
                pass
        time.sleep(0.1)
    sh("ip", "netns", "del", space, check=False)


@functools.cache
def has_netem():
    """does this kernel have `tc netem`? Asked in a namespace of its own"""
    space = f"{PREFIX}{os.getpid()}-ask"
    sh("ip", "netns", "add", space)
    try:
        done = subprocess.run(inside(space, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"),
                              capture_output=True)
        return done.returncode == 0
    finally:
        sh("ip", "netns", "del", space, check=False)


class Net:
    def __init__(self, processes, name="n"):
        self.processes = processes
        self.tag = f"{PREFIX}{os.getpid()}-{name}"
        self.hub = self.tag + "hub"
        self.spaces, self.links, self.capturing, self.relay = [], {}, None, None
        self.kernel = has_netem()

    def begin(self):
        self.space(self.hub)
        # A bridge that is told later to listen to no multicast groups leaves the one it joined, and says so to everybody.
        sh("ip", "-n", self.hub, "link", "add", "name", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0",
           "mcast_snooping", "0")
        sh("ip", "-n", self.hub, "link", "set", "br0", "up")

    def space(self, space):
        sh("ip", "netns", "add", space)
        self.spaces.append(space)
        sh(*inside(space, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"),
           check=False)
        sh("ip", "-n", space, "link", "set", "lo", "up")

    def host(self, name, address, **impair):
        """a namespace `name` with `address` on the bridge; returns its full name"""
        space = f"{self.tag}{name}"
        self.space(space)
        port = f"w{len(self.links)}"
        sh("ip", "link", "add", "name", "eth0", "netns", space, "type", "veth", "peer", "name", port, "netns", self.hub)
        for where, interface in ((space, "eth0"), (self.hub, port)):
            self.plain(where, interface)
        sh("ip", "-n", space, "addr", "add", address + "/24", "dev", "eth0")
        sh("ip", "-n", space, "route", "add", "default", "dev", "eth0", "src", address)
        self.links[name] = (space, port)
        if self.kernel:
            sh("ip", "-n", self.hub, "link", "set", port, "master", "br0")
        else:
            self.tell({"add": port, "tap": "t" + port[1:]})
            wait_for("the TAP device", 5, lambda: "t" + port[1:] in sh("ip", "-n", self.hub, "-o", "link"), 0.02)
            sh("ip", "-n", self.hub, "link", "set", "t" + port[1:], "master", "br0", "up")
        if impair:
            self.impair(name, **impair)
        return space

    def behind_nat(self, name, address, outer, ports, **impair):
        """a peer behind a NAT of its own: `outer` is what the bridge sees, with source ports out of `ports`"""
        gate = self.host(name + "nat", outer, **impair)
        space = f"{self.tag}{name}"
        self.space(space)
        sh("ip", "link", "add", "name", "eth0", "netns", space, "type", "veth", "peer", "name", "in0", "netns", gate)
        for where, interface, own in ((space, "eth0", address), (gate, "in0", address.rsplit(".", 1)[0] + ".1")):
            self.plain(where, interface)
            sh("ip", "-n", where, "addr", "add", own + "/24", "dev", interface)
        sh("ip", "-n", space, "route", "add", "default", "via", address.rsplit(".", 1)[0] + ".1")
        sh(*inside(gate, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
        self.map_ports(name, ports)
        return space

    def map_ports(self, name, ports):
        """the NAT forgets all it knew and gives ports out of a range from now on"""
        gate, _ = self.links[name + "nat"]
        sh(*inside(gate, "nft", "-f", "-"), input=f"""
            table ip nat
            delete table ip nat
            table ip nat {{
                chain out {{
                    type nat hook postrouting priority 100
                    oifname eth0 udp sport 1-65535 masquerade to :{ports}
                    oifname eth0 masquerade
                }}
            }}
            """)
        sh(*inside(gate, "conntrack", "-F"))

    @staticmethod
    def plain(space, interface):
        """up, and each frame as it is on a wire: no offloading"""
        sh(*inside(space, "ethtool", "-K", interface, "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off",
                   "sg", "off"), check=False)
        sh("ip", "-n", space, "link", "set", interface, "up")

    def tell(self, message):
        if self.relay is None:
            self.relay = self.processes.start("netem", inside(self.hub, sys.executable, os.path.join(HERE, "netem.py")),
                                              stdin=subprocess.PIPE, text=True)
        self.relay.stdin.write(json.dumps(message) + "\n")
        self.relay.stdin.flush()

    def impair(self, name, delay=0, jitter=0, loss=0, reorder=0):
        """what leaves `name`: delay and jitter (deviation of a normal distribution) in ms, loss and reorder in percent"""
        space, port = self.links[name]
        if not self.kernel:
            return self.tell({"set": port, "delay": delay, "jitter": jitter, "loss": loss, "reorder": reorder})
        words = ["delay", f"{delay}ms", *([f"{jitter}ms", "distribution", "normal"] if jitter else [])]
        words += ["loss", f"{loss}%"] if loss else []
        words += ["reorder", f"{reorder}%"] if reorder else []
        sh(*inside(space, "tc", "qdisc", "replace", "dev", "eth0", "root", "netem", "limit", "10000", *words))

    def address(self, name, old, new):
        """takes `old` from `name` and gives it `new`: another network"""
        space, _ = self.links[name]
        sh("ip", "-n", space, "addr", "add", new + "/24", "dev", "eth0")
        sh("ip", "-n", space, "route", "replace", "default", "dev", "eth0", "src", new)
        sh("ip", "-n", space, "addr", "del", old + "/24", "dev", "eth0")

    def capture(self, path):
        self.capturing = self.processes.start(
            "dumpcap", inside(self.hub, "dumpcap", "-q", "-i", "br0", "-B", "16", "-w", path))
        wait_for("dumpcap", 10, lambda: os.path.exists(path) and os.path.getsize(path) > 0)
        time.sleep(0.3)

    def mirror(self):
        """an interface, alone in a namespace, to which the bridge sends each frame once; (the namespace, its name)"""
        space = f"{self.tag}watch"
        self.space(space)
        sh("ip", "link", "add", "name", "mirror", "netns", space, "type", "veth", "peer", "name", "m0", "netns", self.hub)
        for where, interface in ((space, "mirror"), (self.hub, "m0")):
            sh("ip", "-n", where, "link", "set", interface, "arp", "off")
            self.plain(where, interface)
        # A bridge that remembers nobody sends everything to everybody: a hub.
        sh("ip", "-n", self.hub, "link", "set", "br0", "type", "bridge", "ageing_time", "0")
        sh("ip", "-n", self.hub, "link", "set", "m0", "master", "br0")
        return space, "mirror"

    def stop_capture(self):
        time.sleep(0.5)
        self.processes.stop(self.capturing, 2)
        self.capturing = None

    def end(self):
        for space in reversed(self.spaces):
            remove(space)
