"""What meetscope says of a recording, found again by SSRC and by who receives."""
import json, subprocess


class Reading:
    def __init__(self, binary, capture):
        done = subprocess.run([binary, "replay", capture, "--format", "ndjson"], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=120)
        self.status, self.errors = done.returncode, done.stderr.decode("utf-8", "replace")
        records = [json.loads(line) for line in done.stdout.splitlines() if line]
        self.flows = {r["flow_id"]: r for r in records if r["event_type"] == "flow"}
        self.sessions = [r for r in records if r["event_type"] == "session"]
        self.meetings = [r for r in records if r["event_type"] == "meeting"]
        self.stats = next((r for r in records if r["event_type"] == "stats"), {})

    def streams(self, ssrc, to, since=None):
        """(flow, rtp record) of an SSRC on its way to one of the addresses `to`"""
        found = []
        for flow in self.flows.values():
            for rtp in flow.get("rtp") or []:
                if int(rtp["ssrc"], 16) == ssrc and receiver(flow, rtp["direction"]) in to:
                    found.append((flow, rtp))
        return found

    def with_media(self):
        return [flow for flow in self.flows.values() if flow.get("rtp")]

    def between(self, a, b, part=None):
        """flows between an address of `a` and one of `b`, in which there is `part`"""
        return [flow for flow in self.flows.values()
                if ((flow["src_ip"] in a and flow["dest_ip"] in b) or (flow["src_ip"] in b and flow["dest_ip"] in a))
                and (part is None or flow.get(part))]

    def of(self, addresses, part):
        return [flow for flow in self.flows.values()
                if flow.get(part) and (flow["src_ip"] in addresses or flow["dest_ip"] in addresses)]


def receiver(flow, direction):
    return flow["dest_ip"] if direction == "to_server" else flow["src_ip"]


def ends_of(session):
    """all addresses that a session knows: its endpoint and whom it spoke to"""
    return {session["endpoint"]["ip"]} | {server["ip"] for server in session["servers"]}


class Figures:
    """an SSRC's records of all flows as one: counts added, means weighed by packets"""

    def __init__(self, streams):
        self.rtp = [rtp for _, rtp in streams]
        self.packets = sum(rtp["packets"] for rtp in self.rtp)
        self.duplicates = sum(rtp.get("duplicates", 0) for rtp in self.rtp)
        self.lost = sum(rtp["lost"] for rtp in self.rtp)
        expected = self.packets - self.duplicates + self.lost
        self.loss = 100 * self.lost / expected if expected else None
        self.kinds = {rtp.get("kind") for rtp in self.rtp}

    def mean(self, field):
        got = [(rtp[field], rtp["packets"]) for rtp in self.rtp if rtp.get(field) is not None]
        return sum(value * packets for value, packets in got) / sum(packets for _, packets in got) if got else None

    def settled_jitter(self, seconds):
        """mean of the jitter over time, without the first seconds, in which it still rises from nothing"""
        got = []
        for rtp in self.rtp:
            series = rtp.get("series") or {}
            if series.get("interval_s") == 1:
                got += [jitter for jitter in series.get("jitter_ms", [])[seconds:-1] if jitter is not None]
        return sum(got) / len(got) if got else None

    def mos(self):
        got = [(rtp["mos"]["value"], rtp["packets"]) for rtp in self.rtp if (rtp.get("mos") or {}).get("value") is not None]
        return sum(value * packets for value, packets in got) / sum(packets for _, packets in got) if got else None
