"""meetscope's reading of a recording beside what the peers said."""
import collections, json, os, re, statistics

from . import extra
from .reading import Figures, Reading
from .recording import CAPTURE, TRUTH

# What is asked of meetscope. A check is never widened to let a reading pass.
LOSS_POINTS = 0.2
PART = 0.10  # jitter, round trip
FPS = 1.0
# Chromium reads its clock in user space and tells jitter in whole milliseconds.
JITTER_FLOOR_MS = 1.5
# Both begin at nothing and rise, but Chromium's first polls come before meetscope's first second ends.
SETTLING_SECONDS = 3
POLLS_A_SECOND = 4
RTT_FLOOR_MS = 1.0
# With this many packets sent again it is to be known what a repair stream repairs.
RESENT_PACKETS = 25


class Results:
    def __init__(self):
        self.passed, self.failed, self.scenario = 0, 0, ""
        self.mos, self.failures = {}, []  # failures: (kind of the check, line)

    def begin(self, scenario, note=""):
        self.scenario = scenario
        print(f"== {scenario}{note}", flush=True)

    def forgive(self, always):
        """drops failures of checks that held in another call of the same kind"""
        kept = [(kind, line) for kind, line in self.failures if kind in always]
        self.passed, self.failed = self.passed + self.failed - len(kept), len(kept)
        self.failures = kept

    def add(self, other):
        """takes over what another counted"""
        self.passed, self.failed = self.passed + other.passed, self.failed + other.failed
        self.failures += other.failures
        self.mos.update(other.mos)

    def check(self, what, good, figures):
        good = bool(good)
        self.passed += good
        self.failed += not good
        line = f"{self.scenario:28} {what:46} {figures}"
        if not good:
            self.failures.append((kind_of(what), line))
        print("ok   " + line if good else "FAIL " + line, flush=True)

    def equal(self, what, ours, truth):
        self.check(what, ours == truth, f"meetscope {shown(ours)}, peers {shown(truth)}")

    def near(self, what, ours, truth, part=0.0, floor=0.0, unit=""):
        """ours within a part of the truth, or within the floor; a missing figure fails"""
        good = ours is not None and truth is not None and abs(ours - truth) <= max(floor, part * abs(truth))
        self.check(what, good, f"meetscope {shown(ours)}{unit}, peers {shown(truth)}{unit}")


def kind_of(what):
    """a check by its name without what each call chooses anew"""
    return re.sub(r"\b[0-9a-f]{8}\b", "*", what)


def shown(value):
    if value is None:
        return "says nothing"
    if isinstance(value, float):
        return f"{value:.2f}"
    return ", ".join(map(str, sorted(value, key=str))) if isinstance(value, (set, list, tuple)) else str(value)


def average(values):
    values = [v for v in values if v is not None]
    return sum(values) / len(values) if values else None


class Truth:
    """truth.json, by peer and stream"""

    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, TRUTH)) as f:
            self.all = json.load(f)
        self.peers, self.polls = self.all["peers"], self.all["polls"]
        self.expect = self.all.get("expect", {})

    def stats(self, peer, kind, what=None):
        """(time, object) of all polls, in order"""
        return [(poll["time"], one) for poll in self.polls if poll["peer"] == peer and what in (None, poll["what"])
                for one in poll["stats"] if one["type"] == kind]

    def inbound(self, peer):
        """{(call, ssrc): [objects in the order of time]} of what a peer received"""
        streams = collections.defaultdict(list)
        for poll in self.polls:
            for one in poll["stats"]:
                if poll["peer"] == peer and one["type"] == "inbound-rtp":
                    streams[one["call"], one["ssrc"]].append({**one, "what": poll["what"], "time": poll["time"]})
        return streams

    def resent(self, ssrc):
        """packets of a stream that its sender says it sent again"""
        return max((one.get("retransmittedPacketsSent", 0) for poll in self.polls for one in poll["stats"]
                    if one["type"] == "outbound-rtp" and one["ssrc"] == ssrc), default=0)

    def last(self, peer, kind, call):
        got = [one for _, one in self.stats(peer, kind) if one["call"] == call]
        return got[-1] if got else None


def compare(binary, folder, results):
    truth = Truth(folder)
    try:
        reading = Reading(binary, os.path.join(folder, CAPTURE))
    except (OSError, ValueError) as error:
        return results.check("replay", False, f"{error}")
    results.check("replay", reading.status == 0, f"exit {reading.status} {reading.errors.strip()[-200:]}")
    for peer in truth.peers:
        streams(truth, reading, peer, results)
        transport(truth, reading, peer, results)
    if truth.expect.get("round_trip", True):
        round_trips(truth, reading, results)
    sessions(truth, reading, results)
    places(reading, results)
    for name in truth.expect.get("also", []):
        getattr(extra, name)(truth, reading, results)


def places(reading, results):
    """nobody is anywhere but here: no answer may contradict a place"""
    bounds = [server["distance"] for session in reading.sessions for server in session["servers"] if "distance" in server]
    told = [finding["text"] for session in reading.sessions for finding in session["findings"]
            if finding["id"] in ("place_contradicted", "places_incompatible")]
    wrong = [bound for bound in bounds if bound.get("contradicts") or bound.get("incompatible")]
    results.check("places contradicted by timing", not told and not wrong, f"{told or wrong or 'none'}, {len(bounds)} bounds")


def streams(truth, reading, peer, results):
    """what a peer says that it received, by SSRC"""
    # What comes out of a relay's TLS is seen on the relay's other side only.
    addresses = truth.peers[peer].get("heard_at") or truth.peers[peer]["addresses"]
    for (call, ssrc), told in truth.inbound(peer).items():
        last = told[-1]
        name = f"{peer} {call} {last['kind']} {ssrc:08x}"
        if last["packetsReceived"] < 20:
            continue  # a probe, or a stream that hardly began
        found = reading.streams(ssrc, addresses)
        if not found:
            results.check(f"{name}: stream", False, f"not found; peer received {last['packetsReceived']} packets")
            continue
        ours = Figures(found)
        repair = Figures(reading.streams(last["rtxSsrc"], addresses)) if last.get("rtxSsrc") else None
        received = last["packetsReceived"]
        # Chromium counts what came by RTX in packetsReceived; it is another SSRC on the wire.
        if repair and truth.peers[peer]["engine"] == "chromium":
            received -= last.get("retransmittedPacketsReceived", 0)
        if repair and repair.rtp:
            # Much of a repair stream is probes for bandwidth, which share nothing with what they would repair.
            resent = truth.resent(ssrc)
            named = {rtp.get("repairs") for rtp in repair.rtp} - {None}
            good = named <= {f"0x{ssrc:08x}"} and (named or resent < RESENT_PACKETS)
            results.check(f"{name}: repair named", good, f"meetscope {shown(named) or 'says nothing'}, peers 0x{ssrc:08x}, "
                          f"of which {resent} sent again")
            kinds = {rtp.get("kind") for rtp in repair.rtp} - {None}
            results.check(f"{name}: repair is no media", kinds <= {"rtx"}, f"meetscope {shown(kinds) or 'says nothing'}, peers rtx")
        if peer in truth.expect.get("interrupted", []):
            # What was under way to a dead address crossed the wire and was not received: the peer's counters say
            # nothing of the wire. No loss was injected.
            worst = max((rtp.get("loss_percent") or 0 for rtp in ours.rtp), default=None)
            results.near(f"{name}: loss of each part", worst, 0.0, floor=LOSS_POINTS, unit=" %")
            results.equal(f"{name}: kind", ours.kinds, {last["kind"]})
            continue
        results.near(f"{name}: packets", ours.packets - ours.duplicates, received, floor=1)
        expected = received + last["packetsLost"]
        results.near(f"{name}: loss", ours.loss, 100 * max(0, last["packetsLost"]) / expected if expected else None,
                     floor=LOSS_POINTS, unit=" %")
        results.equal(f"{name}: kind", ours.kinds, {last["kind"]})
        if truth.peers[peer]["engine"] != "aiortc":
            # aiortc reads its clock when Python's event loop gets to it: that says nothing of the wire.
            jitter = [one["jitter"] * 1000 for one in told if one["what"] == "talking" and "jitter" in one]
            results.near(f"{name}: jitter", ours.settled_jitter(SETTLING_SECONDS), average(jitter[POLLS_A_SECOND * SETTLING_SECONDS:]),
                         PART, JITTER_FLOOR_MS, " ms")
        if last["kind"] == "video" and "framesReceived" in last:
            frames = [one.get("framesPerSecond") for one in told if one["what"] == "talking"]
            results.near(f"{name}: frames a second", ours.mean("fps"), average(frames[8:]), floor=FPS)
        if last["kind"] == "audio":
            mos = ours.mos()
            results.check(f"{name}: MOS", mos is not None and 1 <= mos <= 5, f"meetscope {shown(mos)}")
            results.mos.setdefault(truth.all["scenario"], []).append(mos)


PROFILES = {"SRTP_AES128_CM_HMAC_SHA1_80", "SRTP_AES128_CM_HMAC_SHA1_32", "SRTP_AEAD_AES_128_GCM", "SRTP_AEAD_AES_256_GCM"}
VERSIONS = {"FEFC": "DTLS 1.3", "FEFD": "DTLS 1.2", "FEFF": "DTLS 1.0"}


def transport(truth, reading, peer, results):
    """DTLS: who is client, which version, which SRTP profile"""
    addresses = truth.peers[peer]["addresses"]
    for call in sorted({one["call"] for _, one in truth.stats(peer, "transport")}):
        told = truth.last(peer, "transport", call)
        ports = local_ports(truth, peer, call)
        flows = reading.of(addresses, "dtls")
        flows = [flow for flow in flows if port_of(flow, addresses) in ports or relayed(flow) & ports] or flows
        flows = [flow for flow in flows if flow["dtls"].get("client")]
        name = f"{peer} {call}"
        if "dtlsRole" not in told or told.get("dtlsState", "connected") == "new" or truth.peers[peer].get("heard_at"):
            continue
        if not flows:
            results.check(f"{name}: DTLS", False, f"not found; peer is {told['dtlsRole']}")
            continue
        roles = {("client" if client_of(flow) in addresses else "server") for flow in flows}
        results.equal(f"{name}: DTLS role", roles, {told["dtlsRole"]})
        version = VERSIONS.get(told.get("tlsVersion"), told.get("tlsVersion"))
        results.equal(f"{name}: DTLS version", {flow["dtls"].get("version") for flow in flows}, {version})
        chosen = {flow["dtls"].get("srtp_chosen") for flow in flows}
        if version == "DTLS 1.3":
            # The choice is encrypted (EncryptedExtensions); what was offered is not.
            offered = set().union(*(flow["dtls"].get("srtp_offered") or [] for flow in flows))
            results.check(f"{name}: SRTP profile", chosen == {None} and told["srtpCipher"] in offered or
                          chosen == {told["srtpCipher"]},
                          f"meetscope chosen {shown(chosen)}, offered {shown(offered)}; peer {told['srtpCipher']}")
        else:
            results.equal(f"{name}: SRTP profile", chosen, {told.get("srtpCipher")})


def port_of(flow, addresses):
    return flow.get("src_port") if flow["src_ip"] in addresses else flow.get("dest_port")


def relayed(flow):
    """ports that a relay gave on this flow"""
    return {int(address.rsplit(":", 1)[1]) for address in (flow.get("stun") or {}).get("relayed") or []}


def client_of(flow):
    return flow["src_ip"] if flow["dtls"]["client"] == "originator" else flow["dest_ip"]


def selected(truth, peer, call):
    """the selected candidate pairs of a call, in order, each the last that was told of it"""
    pairs = {}
    for poll in truth.polls:
        if poll["peer"] != peer:
            continue
        ids = {one.get("selectedCandidatePairId") for one in poll["stats"] if one["type"] == "transport" and one["call"] == call}
        by_id = {one["id"]: one for one in poll["stats"] if one["call"] == call}
        for id in ids - {None}:
            if id in by_id:
                pair = by_id[id]
                told = pairs.get(id, {}).get("told", []) + [pair]
                pairs[id] = {**pair, "told": told, "local": by_id.get(pair["localCandidateId"]), "remote": by_id.get(pair["remoteCandidateId"])}
    return list(pairs.values())


def local_ports(truth, peer, call):
    ports = set()
    for pair in selected(truth, peer, call):
        local = pair["local"] or {}
        ports |= {local.get("port"), local.get("relatedPort")}
    return ports - {None}


def round_trips(truth, reading, results):
    """STUN: the wire's two halves, from the capture point to either end, make the peers' round trip"""
    for peer in truth.peers:
        for call in sorted({one["call"] for _, one in truth.stats(peer, "transport")}):
            pairs = [pair for pair in selected(truth, peer, call) if pair.get("responsesReceived")]
            if not pairs or not (pairs[-1]["local"] and pairs[-1]["remote"]):
                continue
            # Chromium's means hold the first checks too, which wait for a peer that is still setting up.
            trips = {one["responsesReceived"]: 1000 * one["currentRoundTripTime"] for one in pairs[-1]["told"]
                     if "currentRoundTripTime" in one}
            told = statistics.median(trips.values()) if trips else None
            local, remote = pairs[-1]["local"], pairs[-1]["remote"]
            if local["candidateType"] == "relay":
                continue  # the pair's checks go through the relay; relay checks are their own
            ends = ({local.get("port"), remote.get("port")}, {remote.get("port")})
            flows = next(filter(None, (
                [flow for flow in reading.of(truth.peers[peer]["addresses"], "stun")
                 if wanted <= {flow.get("src_port"), flow.get("dest_port")}] for wanted in ends)), [])
            both = [both_ways(flow["stun"]) for flow in flows]
            results.near(f"{peer} {call}: round trip", average(both), told, PART, RTT_FLOOR_MS, " ms")


def both_ways(stun):
    """the halves of the round trip that somebody asked for: of an ICE-lite server's side there is one only"""
    halves = [half["median_ms"] for half in (stun.get("rtt") or {}).values() if half]
    return sum(halves) if halves else None


def sessions(truth, reading, results):
    """a session is one endpoint's part in one call, whatever addresses it had; who was in a call together, met"""
    owner = {address: name for name, peer in truth.peers.items() for address in peer["addresses"]}
    strangers = [s["endpoint"]["ip"] for s in reading.sessions if s["endpoint"]["ip"] not in owner]
    results.check("sessions of nobody", not strangers, f"meetscope {shown(strangers) or 'none'}, peers none")
    # Whose media is inside TLS shows no call; sealed voice of one length shows no meeting. Then nothing may be claimed.
    hidden = set(truth.expect.get("hidden", []))
    sought = [[name for name in meeting if name not in hidden] for meeting in truth.all["meetings"]]
    for name in truth.peers:
        own = [s for s in reading.sessions if owner.get(s["endpoint"]["ip"]) == name]
        if name not in hidden:
            results.equal(f"sessions of {name}", len(own), sum(name in meeting for meeting in sought))
    joined = [meeting for meeting in sought if len(meeting) > 1 and not truth.expect.get("unjoined")]
    results.equal("meetings", len(reading.meetings), len(joined))
    by_id = {s["session_id"]: s["endpoint"]["ip"] for s in reading.sessions}
    met = [sorted({owner.get(by_id[id], by_id[id]) for id in meeting["sessions"] if id in by_id}) for meeting in reading.meetings]
    results.equal("who met", sorted(map("+".join, met)), sorted(map("+".join, map(sorted, joined))))
    named = {s.get("app") for s in reading.sessions}
    results.equal("app", named, set(truth.expect.get("apps", [None])))


def across(results):
    """what holds between scenarios"""
    ladder = [name for name in ("p2p", "p2p-loss-1", "p2p-loss-5", "p2p-loss-10") if name in results.mos]
    if len(ladder) > 1:
        results.begin("mos by loss")
        means = [average(results.mos[name]) for name in ladder]
        good = None not in means and all(a > b for a, b in zip(means, means[1:]))
        results.check("MOS falls with loss", good, ", ".join(f"{n} {shown(m)}" for n, m in zip(ladder, means)))
