"""baresip as a peer: G.711 over plain RTP or SRTP (SDES), signalled by SIP in the clear."""
import math, os, re, signal, struct, wave

from .net import inside
from .shell import wait_for

MODULES = next((p for p in ("/usr/lib/baresip/modules", "/usr/lib64/baresip/modules") if os.path.isdir(p)), "")


class Baresip:
    """not asked while it talks; it tells its counters when the call ends"""
    engine = "baresip"

    def __init__(self, recording, name, address, media="", codec="PCMU/8000/1", **impair):
        self.name, self.address, self.recording = name, address, recording
        self.space = recording.net.host(name, address, **impair)
        recording.truth["peers"][name] = {"engine": self.engine, "addresses": [address]}
        self.folder = os.path.join(recording.folder, "baresip-" + name)
        os.makedirs(self.folder, exist_ok=True)
        modules = ["account", "g711", "aufile", "srtp", "menu", "rtcpsummary"]
        sound = os.path.join(self.folder, "said.wav")
        with wave.open(sound, "wb") as f:
            f.setparams((1, 2, 8000, 0, "NONE", ""))
            f.writeframes(b"".join(struct.pack("<h", int(8000 * math.sin(2 * math.pi * 440 * i / 8000))) for i in range(8000 * 60)))
        with open(os.path.join(self.folder, "config"), "w") as f:
            f.write("\n".join([
                f"sip_listen {address}:5060", f"audio_player aufile,{self.folder}/heard.wav", f"audio_source aufile,{sound}",
                f"audio_alert aufile,{self.folder}/alert.wav", "ausrc_srate 8000", "auplay_srate 8000",
                "rtp_ports 30000-30100", "rtp_stats yes", "rtcp_mux no", "audio_buffer 20-160", f"module_path {MODULES}",
                *(f"module{'_app' if m in ('account', 'menu') else ''} {m}.so" for m in modules)]) + "\n")
        with open(os.path.join(self.folder, "accounts"), "w") as f:
            f.write(f"<sip:{name}@{address}>;regint=0;answermode=auto;audio_codecs={codec}{media}\n")
        open(os.path.join(self.folder, "contacts"), "w").close()
        self.process = None

    def start(self, *commands):
        words = [word for command in commands for word in ("-e", command)]
        self.process = self.recording.processes.start(f"baresip-{self.name}", inside(
            self.space, "baresip", "-v", "-f", self.folder, *words))

    def log(self):
        with open(os.path.join(self.recording.folder, f"baresip-{self.name}.log"), errors="replace") as f:
            return f.read()

    def established(self):
        wait_for(f"{self.name}'s call", 15, lambda: "Call established" in self.log())

    def hang_up(self):
        """ends the call, and keeps what it told of it"""
        self.recording.processes.stop(self.process, signal.SIGINT)
        told = {}
        for name in ("packets", "lost", "jitter"):
            found = re.search(rf"^{name}:\s+([-\d.]+)\s+([-\d.]+)", self.log(), re.MULTILINE)
            if found:
                told[name] = {"sent": float(found[1]), "received": float(found[2])}
        summary = re.search(r"^EX=BareSip;.*?DL=([\d.]+)", self.log(), re.MULTILINE)
        told["round_trip_ms"] = float(summary[1]) if summary else None
        self.recording.truth.setdefault("sip", {})[self.name] = told
