"""A peer in calls, made of aiortc; driven by lines of JSON, as page.html is by the DevTools protocol (lib/aiortc.py)."""
import asyncio, fractions, json, math, random, struct, sys, time, traceback

from aiortc import (MediaStreamTrack, RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription)
from aiortc.contrib.media import MediaBlackhole
from av import AudioFrame, VideoFrame

RATE, FPS, WIDTH, HEIGHT = 48000, 15, 320, 240


class Track(MediaStreamTrack):
    """a source with the clock of its kind, which waits until it may speak"""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.number, self.begun, self.speak, self.mute = kind, 0, None, asyncio.Event(), False
        self.pitch, self.loud = 200.0, 8000.0

    async def recv(self):
        await self.speak.wait()
        if self.begun is None:
            self.begun = time.monotonic()
        step = 0.02 if self.kind == "audio" else 1 / FPS
        await asyncio.sleep(max(0.0, self.begun + self.number * step - time.monotonic()))
        while self.mute:
            await asyncio.sleep(60)
        frame = self.sound() if self.kind == "audio" else self.picture()
        self.number += 1
        return frame

    def sound(self):
        """a voice that nobody else has: its pitch and loudness wander"""
        count = RATE // 50
        first = self.number * count
        if self.number % 5 == 0:
            self.pitch, self.loud = random.uniform(100, 900), random.choice((0, 500, 3000, 9000))
        frame = AudioFrame("s16", "mono", count)
        step, hiss = 2 * math.pi * self.pitch / RATE, self.loud / 6
        frame.planes[0].update(struct.pack(f"{count}h", *(
            int(self.loud * math.sin(step * i) + hiss * random.random()) for i in range(count))))
        frame.pts, frame.sample_rate, frame.time_base = first, RATE, fractions.Fraction(1, RATE)
        return frame

    def picture(self):
        """shades that move, and a patch of noise whose size changes"""
        frame = VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane, shade in zip(frame.planes, (0, 90, 160)):
            rows = [bytes([(shade + self.number * 3 + row) % 256]) * plane.line_size for row in range(plane.height)]
            for row in range(random.randrange(4, 24)):
                rows[row] = random.randbytes(32) + rows[row][32:]
            plane.update(b"".join(rows)[:plane.buffer_size])
        frame.pts, frame.time_base = self.number * 90000 // FPS, fractions.Fraction(1, 90000)
        return frame


class Peer:
    def __init__(self):
        self.calls = {}

    async def make(self, call, send=("audio", "video"), ice=(), receive=(), **_):
        servers = [RTCIceServer(urls=one["urls"], username=one.get("username"), credential=one.get("credential")) for one in ice]
        pc = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        sink, tracks = MediaBlackhole(), [Track(kind) for kind in send]
        pc.on("track", sink.addTrack)
        for track in tracks:
            pc.addTrack(track)
        for kind in receive:
            pc.addTransceiver(kind, direction="recvonly")
        self.calls[call] = (pc, sink, tracks)

    async def offer(self, call, restart=False):
        pc, _, _ = self.calls[call]
        await pc.setLocalDescription(await pc.createOffer())
        return pc.localDescription.sdp

    async def answer(self, call, sdp):
        pc, sink, _ = self.calls[call]
        await pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        await sink.start()
        return pc.localDescription.sdp

    async def accept(self, call, sdp):
        pc, sink, _ = self.calls[call]
        await pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await sink.start()

    async def state(self, call):
        return self.calls[call][0].connectionState

    async def speak(self, call):
        for track in self.calls[call][2]:
            track.speak.set()

    async def silence(self):
        for _, _, tracks in self.calls.values():
            for track in tracks:
                track.mute = True

    async def stats(self):
        found = []
        for call, (pc, _, _) in self.calls.items():
            if pc.connectionState == "closed":
                continue
            for receiver in pc.getReceivers():
                clock = {"audio": 48000, "video": 90000}
                for one in (await receiver.getStats()).values():
                    if one.type == "inbound-rtp":
                        found.append({"call": call, "type": one.type, "id": one.id, "ssrc": one.ssrc, "kind": one.kind,
                                      "packetsReceived": one.packetsReceived, "packetsLost": one.packetsLost,
                                      "jitter": one.jitter / clock[one.kind]})
            for sender in pc.getSenders():
                for one in (await sender.getStats()).values():
                    if one.type == "outbound-rtp":
                        found.append({"call": call, "type": one.type, "id": one.id, "ssrc": one.ssrc, "kind": one.kind,
                                      "packetsSent": one.packetsSent, "bytesSent": one.bytesSent})
            transports = {t.sender.transport for t in pc.getTransceivers() if t.sender.transport}
            for number, dtls in enumerate(transports):
                found += self.transport(call, number, dtls)
        return found

    @staticmethod
    def transport(call, number, dtls):
        """aiortc tells little of its transports in getStats; the same is read from its objects"""
        told = {"call": call, "type": "transport", "id": f"T{number}", "dtlsState": dtls.state, "dtlsRole": dtls._role}
        parts = [told]
        if dtls.state == "connected":
            told["tlsVersion"] = {"DTLSv1.2": "FEFD", "DTLSv1": "FEFF"}.get(dtls._ssl.get_protocol_version_name())
            profile = dtls._ssl.get_selected_srtp_profile().decode()
            told["srtpCipher"] = {"SRTP_AES128_CM_SHA1_80": "SRTP_AES128_CM_HMAC_SHA1_80"}.get(profile, profile)
        pair = dtls.transport._connection._nominated.get(1)
        if pair:
            told["selectedCandidatePairId"] = f"P{number}"
            parts.append({"call": call, "type": "candidate-pair", "id": f"P{number}", "localCandidateId": f"L{number}",
                          "remoteCandidateId": f"R{number}"})
            for side, one in (("L", pair.local_candidate), ("R", pair.remote_candidate)):
                parts.append({"call": call, "type": {"L": "local", "R": "remote"}[side] + "-candidate", "id": f"{side}{number}",
                              "address": one.host, "port": one.port, "candidateType": one.type,
                              "relatedPort": one.related_port})
        return parts

    async def close_all(self):
        for pc, sink, _ in self.calls.values():
            await sink.stop()
            await pc.close()


async def main():
    peer, reader = Peer(), asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"id": 0, "result": "ready"}), flush=True)
    while line := await reader.readline():
        message = json.loads(line)
        answer = {"id": message["id"]}
        try:
            answer["result"] = await asyncio.wait_for(
                getattr(peer, message["do"])(*message["arguments"], **message["options"]), 25)
        except Exception:  # noqa: BLE001: told to the one who asked
            answer["error"] = traceback.format_exc()
        print(json.dumps(answer), flush=True)


asyncio.run(main())
