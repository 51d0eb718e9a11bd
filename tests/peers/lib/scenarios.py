"""The scenarios: who calls whom over what network. Each leaves a capture and what the peers said of it."""

import time

from . import mumble as voice
from .aiortc import Aiortc
from .baresip import Baresip
from .chromium import Chromium
from .coturn import Coturn
from .janus import Janus

ALL = {}
USUAL = {"delay": 20}


def scenario(function):
    ALL[function.__name__.replace("_", "-")] = function
    return function


def pair(r, call="call", a="10.1.0.2", b="10.2.0.2", **impair):
    """two Chromiums and a call between them; `impair` is what happens to what each sends"""
    names = [call[-1] + "a", call[-1] + "b"] if call != "call" else ["a", "b"]
    impair = {**USUAL, **impair}
    peers = r.start(**{names[0]: (Chromium, a, impair), names[1]: (Chromium, b, impair)})
    r.capture()
    r.p2p(call, *peers)
    r.connected((call, peers[0]), (call, peers[1]))
    r.truth["meetings"].append(names)
    return peers


def plain(r, seconds=12, **impair):
    pair(r, **impair)
    r.talk(seconds)
    r.finish()


@scenario
def p2p(r):
    """Chromium and Chromium, no impairment but 20 ms each way"""
    plain(r)


@scenario
def p2p_loss_1(r):
    """1 percent of what each sends is lost"""
    plain(r, seconds=15, loss=1)


@scenario
def p2p_loss_5(r):
    """5 percent lost"""
    plain(r, loss=5)


@scenario
def p2p_loss_10(r):
    """10 percent lost"""
    plain(r, loss=10)


@scenario
def p2p_jitter(r):
    """delay of 80 ms with a deviation of 30"""
    # Peers and capture point measure different packets; a dozen of such round trips have no common mean.
    r.truth["expect"] = {"round_trip": False}
    plain(r, delay=80, jitter=30)


@scenario
def p2p_reorder(r):
    """2 percent of the packets overtake those of the last 30 ms"""
    plain(r, delay=30, reorder=2)


def meet(r, janus, clients):
    """all of one room watch each other"""
    for client in clients:
        client.watch([other for other in clients if other is not client])
    r.truth["meetings"].append([client.peer.name for client in clients])


def rooms(r, *rooms, seconds=12, options=None, also=None, **impair):
    """one Janus and a meeting in each room, {name: (class, address)}; a name may be in several"""
    # The delay is the server's: one that never asks (ICE lite) lets its own half of a round trip be measured only.
    janus = Janus(r, delay=40)
    people = {name: one for room in rooms for name, one in room.items()}
    peers = dict(zip(people, r.start(**{name: (kind, address, impair) for name, (kind, address) in people.items()})))
    r.capture()
    clients = []
    for number, room in enumerate(rooms, 1):
        id = janus.room()
        clients.append([janus.join(peers[name], r.spaces[name], id, f"room{number}", (options or {}).get(name, {}))
                        for name in room])
    # Only who is connected can be watched.
    r.connected(*(call for group in clients for client in group for call in client.calls()), speak=False)
    for group in clients:
        meet(r, janus, group)
    r.connected(*(call for group in clients for client in group for call in client.calls()))
    r.pollers.append(janus.poll)
    r.truth["expect"] = {"also": ["janus"], **(also or {})}
    r.talk(seconds)
    r.finish()


@scenario
def p2p_address_change(r):
    """one peer's address is replaced in mid-call (Wi-Fi to LTE), and ICE restarted"""
    a, b = pair(r)
    r.truth["expect"] = {"interrupted": ["a", "b"]}
    r.talk(6)
    r.net.address("a", "10.1.0.2", "10.9.0.7")
    r.event("address", peer="a", new="10.9.0.7")
    r.truth["peers"]["a"]["addresses"].append("10.9.0.7")
    time.sleep(1)
    r.connect("call", a, b, restart=True)
    r.talk(8)
    r.finish()


@scenario
def p2p_nat_rebinding(r):
    """a NAT in between gives one peer's flow another port in mid-call"""
    r.spaces["a"] = r.net.behind_nat("a", "192.168.1.2", "192.0.2.1", "40000-40999", **USUAL)
    a = r.peer(Chromium(r.processes, "a", r.spaces["a"], ["192.0.2.1"]))
    b, = r.start(b=(Chromium, "10.2.0.2", USUAL))
    r.capture()
    r.p2p("call", a, b)
    r.connected(("call", a), ("call", b))
    r.truth["meetings"].append(["a", "b"])
    r.truth["expect"] = {"interrupted": ["a", "b"]}
    r.talk(6)
    r.net.map_ports("a", "50000-50999")
    r.event("rebinding", peer="a")
    r.talk(8)
    r.finish()


@scenario
def p2p_recover(r):
    """5 percent lost in the middle third"""
    pair(r)
    r.truth["expect"] = {"also": ["recover"]}
    for loss in (0, 5, 0):
        for name in "ab":
            r.net.impair(name, **USUAL, loss=loss)
        r.event("third", loss=loss)
        r.talk(8)
    r.event("third over")
    r.finish()


@scenario
def two_pairs(r):
    """two calls at once that have nothing to do with each other: Chromiums, and aiortc"""
    a, b, c, d = r.start(a=(Chromium, "10.1.0.2", USUAL), b=(Chromium, "10.2.0.2", USUAL),
                         c=(Aiortc, "10.3.0.2", USUAL), d=(Aiortc, "10.4.0.2", USUAL))
    r.capture()
    r.p2p("one", a, b)
    r.p2p("two", c, d)
    r.connected(("one", a), ("one", b), ("two", c), ("two", d))
    r.truth["meetings"] += [["a", "b"], ["c", "d"]]
    r.talk(12)
    r.finish()


@scenario
def sfu_2(r):
    """Chromium and aiortc in a room of Janus"""
    rooms(r, {"a": (Chromium, "10.1.0.2"), "b": (Aiortc, "10.2.0.2")})


@scenario
def sfu_3(r):
    """two Chromiums and aiortc in a room"""
    rooms(r, {"a": (Chromium, "10.1.0.2"), "b": (Chromium, "10.2.0.2"), "c": (Aiortc, "10.3.0.2")}, loss=2)


@scenario
def sfu_two_rooms(r):
    """two meetings at once on one Janus, nobody in both"""
    rooms(r, {"a": (Chromium, "10.1.0.2"), "b": (Aiortc, "10.2.0.2")},
          {"c": (Aiortc, "10.3.0.2"), "d": (Aiortc, "10.4.0.2")})


@scenario
def sfu_same_endpoint_two_rooms(r):
    """two meetings at once on one Janus, and one peer in both"""
    rooms(r, {"a": (Chromium, "10.1.0.2"), "b": (Aiortc, "10.2.0.2")},
          {"a": (Chromium, "10.1.0.2"), "c": (Aiortc, "10.3.0.2")})


def relayed(r, over, kind=Chromium, seconds=12):
    """Chromium a, which may use the relay only, and b, which knows of none"""
    turn = Coturn(r, delay=5)
    a, b = r.start(a=(Chromium, "10.1.0.2", {"delay": 10, "loss": 1 if over == "udp" else 0}),
                   b=(kind, "10.2.0.2", {"delay": 10, "loss": 1}))
    r.capture()
    r.p2p("call", a, b, {"a": {"ice": turn.ice(over), "relay": True}})
    r.connected(("call", a), ("call", b))
    r.truth["meetings"].append(["a", "b"])
    r.truth["expect"] = {"also": ["relay"], "over": over, "behind": {"a": "10.2.0.2"}}
    if over == "tls":
        r.truth["peers"]["a"]["heard_at"] = [turn.address]
        r.truth["expect"]["hidden"] = ["a"]
    r.talk(seconds)
    r.finish()


@scenario
def turn_udp(r):
    """Chromium behind coturn over UDP, and aiortc"""
    relayed(r, "udp", Aiortc)


@scenario
def turn_tcp(r):
    """Chromium behind coturn over TCP, and Chromium"""
    relayed(r, "tcp")


@scenario
def turn_tls(r):
    """Chromium behind coturn over TLS, and aiortc: what is in the TLS is seen on the other side only"""
    relayed(r, "tls", Aiortc)


@scenario
def turn_sfu(r):
    """a room of Janus, which one Chromium reaches through coturn only: a server behind a relay"""
    turn = Coturn(r, delay=5)
    rooms(r, {"a": (Chromium, "10.1.0.2"), "b": (Aiortc, "10.2.0.2")}, options={"a": {"ice": turn.ice("udp"), "relay": True}},
          also={"also": ["janus", "relay"], "behind": {"a": "203.0.113.10"}})


def sip(r, media="", method=None):
    """two baresips, G.711; the first hangs up"""
    impair = {**USUAL, "loss": 3}
    a, b = Baresip(r, "a", "10.1.0.2", media, **impair), Baresip(r, "b", "10.2.0.2", media, **impair)
    r.capture()
    b.start()
    time.sleep(1)
    a.start("/dial sip:b@10.2.0.2")
    a.established()
    r.truth["meetings"].append(["a", "b"])
    r.truth["expect"] = {"also": ["sip"], "method": method, "apps": ["sip"]}
    time.sleep(17)
    a.hang_up()
    time.sleep(0.5)
    b.hang_up()


@scenario
def sip_rtp(r):
    """baresip and baresip, SIP and RTP in the clear"""
    sip(r)


@scenario
def sip_srtp(r):
    """baresip and baresip, SRTP with keys in clear SDP (SDES)"""
    sip(r, ";mediaenc=srtp-mand", "sdes")


@scenario
def mumble(r):
    """two Mumble clients on a server, voice over UDP under OCB-AES"""
    server = voice.Server(r, delay=20)
    r.capture()
    clients = [voice.Client(server, "a", "10.1.0.2", loss=2), voice.Client(server, "b", "10.2.0.2", loss=2)]
    r.truth["meetings"].append(["a", "b"])
    r.truth["expect"] = {"apps": ["mumble"], "unjoined": True}
    time.sleep(12)
    for client in clients:
        client.leave()
