"""Checks that only some scenarios have."""
import collections

from . import compare
from .reading import Figures, ends_of

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
            jitter = [one["info"]["webrtc"]["media"][mid]["rtcp"]["main"]["jitter-local"] for one in told if one["what"] == "talking"]
            results.near(f"{what}: jitter", ours.mean("jitter_ms"), compare.average(jitter[1:]), compare.PART,
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
        if "tls" not in truth.expect.get("over", ""):
            results.check(f"{name}: peers told to the relay", behind in peers, f"meetscope {compare.shown(peers)}, truth {behind}")
        results.check(f"{name}: session knows who is behind", any(behind in ends_of(s) for s in own),
                      f"meetscope {compare.shown(set().union(*map(ends_of, own)))}, truth {behind}")
        roles = {role for s in own for one in s["servers"] if one["ip"] == server for role in one["roles"]}
        results.check(f"{name}: the relay is one", "relay" in roles, f"meetscope {compare.shown(roles)}, truth relay")
