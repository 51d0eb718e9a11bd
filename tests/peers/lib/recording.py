"""One recording: a network, peers in calls, a capture, and what the peers say of it, in truth.json."""
import json, os, time

from . import net, shell

CAPTURE, TRUTH = "capture.pcapng", "truth.json"


class Recording:
    """what a scenario is given; it makes peers and calls, and leaves `folder` with both files"""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        os.makedirs(folder, exist_ok=True)
        for old in os.listdir(folder):
            if old.endswith((".log", ".pcapng", ".json")):
                os.remove(os.path.join(folder, old))
        self.processes = shell.Processes(folder)
        self.peers, self.spaces, self.started = {}, {}, time.time()
        self.pollers = []
        self.truth = {"scenario": name, "peers": {}, "calls": [], "servers": {}, "events": [], "polls": [], "meetings": []}
        self.net = net.Net(self.processes)

    def begin(self):
        self.net.begin()
        self.truth["netem"] = "kernel" if self.net.kernel else "user space"

    # --- who
    def server(self, name, address, **impair):
        self.truth["servers"][name] = address
        return self.net.host(name, address, **impair)

    def peer(self, peer):
        self.peers[peer.name] = peer
        self.truth["peers"][peer.name] = {"engine": peer.engine, "addresses": peer.addresses}
        return peer

    def start(self, **peers):
        """peers by name, each (class, address, impairment), in the order given"""
        for name, (kind, address, impair) in peers.items():
            self.spaces[name] = self.net.host(name, address, **impair)
        return [self.peer(kind(self.processes, name, self.spaces[name], [address]))
                for name, (kind, address, _) in peers.items()]

    def capture(self):
        self.net.capture(os.path.join(self.folder, CAPTURE))

    # --- what happens
    def event(self, what, **more):
        self.truth["events"].append({"time": time.time(), "what": what, **more})

    def connect(self, call, a, b, restart=False):
        """a call between two peers; what is signalled does not cross the wire"""
        a.accept(call, b.answer(call, a.offer(call, restart)))

    def p2p(self, call, a, b, options=None):
        """a call; `options` are those of make() by a peer's name"""
        for peer in (a, b):
            peer.make(call, **(options or {}).get(peer.name, {}))
        self.connect(call, a, b)
        self.truth["calls"].append({"call": call, "ends": [a.name, b.name]})

    def connected(self, *calls, speak=True):
        """waits until each (call, peer) is connected, then lets them speak"""
        for call, peer in calls:
            shell.wait_for(f"{call} of {peer.name}", 20, lambda: peer.state(call) == "connected")
        if speak:
            self.event("connected")
            for call, peer in calls:
                peer.speak(call)

    def poll(self, what="talking", kinds=None):
        """asks every peer for its statistics, or for those of some kinds only"""
        for peer in self.peers.values():
            stats = [one for one in peer.stats() if not kinds or one["type"] in kinds]
            self.truth["polls"].append({"time": time.time(), "peer": peer.name, "what": what, "stats": stats})

    def talk(self, seconds):
        """lets them talk. Everything is asked once a second; jitter, which moves with every packet, four times"""
        begun = time.monotonic()
        for quarter in range(1, 4 * seconds + 1):
            time.sleep(max(0.0, begun + quarter / 4 - time.monotonic()))
            self.poll(kinds=None if quarter % 4 == 0 else ("inbound-rtp",))
            for more in self.pollers:
                more("talking")

    def finish(self):
        """the senders fall silent first, so that nothing is under way when the counters are read"""
        self.event("silence")
        for peer in self.peers.values():
            peer.silence()
        time.sleep(1.2)
        self.poll("silent")
        for more in self.pollers:
            more("silent")
        self.event("closing")
        for peer in self.peers.values():
            peer.close()

    # --- the end
    def end(self, complete):
        try:
            for peer in self.peers.values():
                peer.end()
            if self.net.capturing:
                self.net.stop_capture()
        finally:
            self.net.end()
            self.processes.end()
        if complete:
            self.truth["seconds"] = round(time.time() - self.started, 1)
            with open(os.path.join(self.folder, TRUTH), "w") as f:
                json.dump(self.truth, f, indent=1)
