"""Checks that only some scenarios have."""
import collections, os

from . import compare, wire
from .reading import Figures, ends_of
from .recording import CAPTURE

ROLES = {"active": "client", "passive": "server"}
PROFILES = {"SRTP_AES128_CM_SHA1_80": "SRTP_AES128_CM_HMAC_SHA1_80", "SRTP_AES128_CM_SHA1_32": "SRTP_AES128_CM_HMAC_SHA1_32"}


def janus(truth, reading, results):
    """what the admin API says that Janus received, and how its transports stand"""
    server, polls = truth.all["servers"]["janus"], collections.defaultdict(list)
    for poll in truth.all["janus"]:
        polls[poll["peer"], poll["call"]].append(poll)
    for (peer, call), told in polls.items():
        last, name = told[-1]["info"]["webrtc"], f"janus {peer} {call}"
        port = int(last["ice"]["selected-pair"].split(" ")[0].rsplit(":", 1)[1])
        flows = [flow for flow in reading.of([server], "dtls") if compare.port_of(flow, [server]) == port]
        client = {"client" if compare.client_of(flow) == server else "server" for flow in flows if flow["dtls"].get("client")}
        results.equal(f"{name}: DTLS role", client, {ROLES[last["dtls"]["dtls-role"]]})
        profile = last["dtls"]["srtp-profile"]
        results.equal(f"{name}: SRTP profile", {flow["dtls"].get("srtp_chosen") for flow in flows},
                      {PROFILES.get(profile, profile)})
        for mid, media in last["media"].items():
            ssrc, came = media["ssrc"].get("ssrc-peer"), media["stats"]["in"]
            if not ssrc or not came["packets"]:
                continue
            ours, what = Figures(reading.streams(ssrc, [server])), f"{name} {media['type']}"
            # Janus counts what came again by RTX as the stream's own.
            results.near(f"{what}: packets", ours.packets, came["packets"] - came.get("retransmissions", 0), floor=1)
            rtcp = media["rtcp"]["main"]
            results.near(f"{what}: loss", ours.loss, 100 * rtcp["lost"] / (came["packets"] + rtcp["lost"]),
                         floor=compare.LOSS_POINTS, unit=" %")
            results.equal(f"{what}: kind", ours.kinds, {media["type"]})
            # Janus measures from packet to packet (RFC 3550), also within a frame; Chromium from frame to frame.
            jitter = [one["info"]["webrtc"]["media"][mid]["rtcp"]["main"]["jitter-local"] for one in told if one["what"] == "talking"]
            results.near(f"{what}: jitter", ours.mean("jitter_ms"), compare.average(jitter), compare.PART,
                         compare.JITTER_FLOOR_MS, " ms")


def relay(truth, reading, results):
    """who is behind the relay is found: as the relay's peer in the flow, and in the session"""
    server = truth.all["servers"]["turn"]
    for name, behind in truth.expect["behind"].items():
        addresses = truth.peers[name]["addresses"]
        flows = [flow for flow in reading.between(addresses, [server]) if flow.get("stun") or flow.get("tls")]
        results.check(f"{name}: flow to the relay", flows, f"meetscope {len(flows)}, truth at least 1")
        peers = {peer.rsplit(":", 1)[0] for flow in flows for peer in (flow.get("stun") or {}).get("peers") or []}
        own = [s for s in reading.sessions if s["endpoint"]["ip"] in addresses]
        if name in truth.expect.get("hidden", []):
            continue
        results.check(f"{name}: peers told to the relay", behind in peers, f"meetscope {compare.shown(peers)}, truth {behind}")
        results.check(f"{name}: session knows who is behind", any(behind in ends_of(s) for s in own),
                      f"meetscope {compare.shown(set().union(*map(ends_of, own)))}, truth {behind}")
        roles = {role for s in own for one in s["servers"] if one["ip"] == server for role in one["roles"]}
        results.check(f"{name}: the relay is one", "relay" in roles, f"meetscope {compare.shown(roles)}, truth relay")


def recover(truth, reading, results):
    """MOS over time falls in the lossy third and recovers"""
    begun = next(event["time"] for event in truth.all["events"] if event["what"] == "connected")
    marks = [event["time"] - begun for event in truth.all["events"] if event["what"].startswith("third")]
    for peer, one in truth.peers.items():
        for (call, ssrc), told in truth.inbound(peer).items():
            if told[-1]["kind"] != "audio" or told[-1]["packetsReceived"] < 20:
                continue
            series = [rtp.get("series") or {} for _, rtp in reading.streams(ssrc, one["addresses"])]
            step, mos = (series[0].get("interval_s"), series[0].get("mos")) if series else (None, None)
            thirds = [None] * 3
            if step and mos:
                # Bins that lie within a third, a second from its borders.
                thirds = [compare.average([value for number, value in enumerate(mos)
                                           if first + 1 <= number * step and (number + 1) * step <= end - 1])
                          for first, end in zip(marks, marks[1:])]
            good = None not in thirds and thirds[1] < thirds[0] - 0.05 and abs(thirds[2] - thirds[0]) <= 0.05
            results.check(f"{peer} {call} audio {ssrc:08x}: MOS falls and recovers", good,
                          "meetscope " + ", ".join(map(compare.shown, thirds)))


def sip(truth, reading, results):
    """what the peers counted, and what their RTCP says on the wire"""
    path, told = os.path.join(truth.folder, CAPTURE), truth.all["sip"]
    sent = [one for one in wire.datagrams(path)]
    bye = next((one.time for one in sent if one.payload.startswith(b"BYE ")), float("inf"))
    for sender, receiver in (("a", "b"), ("b", "a")):
        source, target = (truth.peers[name]["addresses"][0] for name in (sender, receiver))
        media = [one for one in sent if (one.source, one.target) == (source, target) and wire.is_rtp(one.payload)]
        name = f"{sender} to {receiver}"
        if not media:
            results.check(f"{name}: media on the wire", False, "none")
            continue
        ssrc = int.from_bytes(media[0].payload[8:12], "big")
        ours = Figures(reading.streams(ssrc, [target]))
        # After BYE nobody counts any more.
        late = sum(one.time > bye for one in media)
        results.near(f"{name}: packets", ours.packets - late, told[receiver]["packets"]["received"], floor=1)
        gone = told[sender]["packets"]["sent"] - late - told[receiver]["packets"]["received"]
        results.near(f"{name}: loss", ours.loss, 100 * gone / (told[sender]["packets"]["sent"] - late),
                     floor=compare.LOSS_POINTS, unit=" %")
        results.equal(f"{name}: kind", ours.kinds, {"audio"})
        results.near(f"{name}: jitter", ours.mean("jitter_ms"), told[receiver]["jitter"]["received"], compare.PART,
                     compare.JITTER_FLOOR_MS, " ms")
        results.check(f"{name}: MOS", ours.mos() is not None, f"meetscope {compare.shown(ours.mos())}")
        blocks = [one for one in wire.reports(path) if one.about == ssrc] if not truth.expect["method"] else []
        if blocks:
            said = [one for flow in reading.flows.values() for one in (flow.get("rtcp") or {}).get("reported") or []
                    if int(one["ssrc"], 16) == ssrc]
            results.equal(f"{name}: reported by RTCP", [(one["lost"], one["jitter"], one["extended_highest"]) for one in said],
                          [(blocks[-1].lost, blocks[-1].jitter, blocks[-1].highest)])
    if not truth.expect["method"]:
        trips = [flow["rtcp"].get("rtt_ms") for flow in reading.flows.values() if flow.get("rtcp")]
        results.near("round trip by RTCP", compare.average(trips), told["b"]["round_trip_ms"], compare.PART, compare.RTT_FLOOR_MS, " ms")
    else:
        methods = {s["keys"]["method"] for s in reading.sessions if s.get("keys")}
        results.equal("keys", methods, {truth.expect["method"]})
