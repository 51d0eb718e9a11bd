"""Janus, an SFU: its server, a room's client (signalled over TLS from the peer's own address), and its admin API."""
import glob, os, time

from .http import Connection
from .net import inside
from .shell import Failure, sh, wait_for

NAME = "meet.example"
SECRET = "of the peers"


def certificate(folder, name):
    paths = [os.path.join(folder, name + end) for end in (".crt", ".key")]
    sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}",
       "-addext", f"subjectAltName=DNS:{name}", "-out", paths[0], "-keyout", paths[1])
    return paths


class Janus:
    def __init__(self, recording, address="203.0.113.10", name="janus", **impair):
        self.space, self.address = recording.server(name, address, **impair), address
        folder = os.path.join(recording.folder, name)
        os.makedirs(folder, exist_ok=True)
        cert, key = certificate(folder, NAME)
        base = os.path.dirname((glob.glob("/usr/lib/*/janus/plugins") + glob.glob("/usr/lib/janus/plugins"))[0])
        configs = {
            "janus.jcfg": f'''general: {{ plugins_folder = "{base}/plugins" transports_folder = "{base}/transports"
                admin_secret = "{SECRET}" session_timeout = 0 debug_level = 4 }}
                media: {{ rtp_port_range = "20000-20999" }}
                nat: {{ ice_lite = true }}
                plugins: {{ disable = "libjanus_duktape.so,libjanus_lua.so,libjanus_sip.so,libjanus_streaming.so" }}
                transports: {{ disable = "libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_websockets.so" }}''',
            "janus.transport.http.jcfg": f'''general: {{ json = "compact" http = false https = true secure_port = 443 }}
                admin: {{ admin_http = true admin_port = 7088 admin_ip = "127.0.0.1" }}
                certificates: {{ cert_pem = "{cert}" cert_key = "{key}" }}''',
            "janus.plugin.videoroom.jcfg": "general: { }"}
        for file, text in configs.items():
            with open(os.path.join(folder, file), "w") as f:
                f.write(text)
        recording.processes.start(name, inside(self.space, "janus", "--disable-colors", "--configs-folder", folder,
                                                  "--interface", address))
        self.admin = Connection(self.space, ("127.0.0.1", 7088))
        wait_for("Janus", 20, self.ready, 0.3)
        self.rooms, self.recording, self.clients = 0, recording, []

    def ready(self):
        try:
            return self.admin.ask("GET", "/admin/info")
        except OSError:
            self.admin.close()
            return False

    def room(self):
        """a room, made by the server's own operator: not on the wire"""
        self.rooms += 1
        asking = Session(Connection(self.space, (self.address, 443), NAME))
        handle = asking.attach()
        asking.message(handle, {"request": "create", "room": 1000 + self.rooms, "publishers": 6, "bitrate": 250000,
                                "bitrate_cap": True, "audiocodec": "opus", "videocodec": "vp8", "notify_joining": False})
        return 1000 + self.rooms

    def join(self, peer, space, room, call="room", options=None):
        """a peer in a room: one connection up, silent as yet"""
        client = Client(self, peer, space, room, call, options or {})
        self.clients.append(client)
        return client

    def poll(self, what):
        """what the admin API says of every handle"""
        for client in self.clients:
            for call, handle in client.handles.items():
                path = f"/admin/{client.session.id}/{handle}"
                told = self.admin.ask("POST", path, {"janus": "handle_info", "transaction": "x", "admin_secret": SECRET})
                self.recording.truth.setdefault("janus", []).append(
                    {"time": time.time(), "what": what, "peer": client.peer.name, "call": call,
                     "info": {"webrtc": told["info"]["webrtc"]}})


class Session:
    def __init__(self, connection):
        self.connection, self.number = connection, 0
        self.id = self.ask("/janus", {"janus": "create"})["data"]["id"]

    def ask(self, path, message):
        self.number += 1
        answer = self.connection.ask("POST", path, {"transaction": f"t{self.number}", **message})
        if answer.get("janus") == "error":
            raise Failure(f"Janus: {answer['error']}")
        return answer

    def attach(self):
        return self.ask(f"/janus/{self.id}", {"janus": "attach", "plugin": "janus.plugin.videoroom"})["data"]["id"]

    def message(self, handle, body, jsep=None):
        """sends to the plugin; (its answer, the description that came with it)"""
        message = {"janus": "message", "body": body, **({"jsep": jsep} if jsep else {})}
        answer = self.ask(f"/janus/{self.id}/{handle}", message)
        transaction = f"t{self.number}"
        until = time.monotonic() + 15
        while answer["janus"] == "ack" or answer.get("transaction") != transaction:
            if time.monotonic() > until:
                raise Failure(f"Janus: no answer to {body['request']}")
            answer = self.connection.ask("GET", f"/janus/{self.id}?maxev=1")
        data = answer["plugindata"]["data"]
        if "error" in data:
            raise Failure(f"Janus: {data['error']}")
        return data, answer.get("jsep")


class Client:
    def __init__(self, janus, peer, space, room, call, options):
        self.options, self.peer, self.room, self.call, self.handles = options, peer, room, call, {}
        self.session = Session(Connection(space, (janus.address, 443), NAME))
        up = self.handles[call + "-up"] = self.session.attach()
        joined, _ = self.session.message(up, {"request": "join", "ptype": "publisher", "room": room, "display": peer.name})
        self.feed = joined["id"]
        peer.make(call + "-up", **options)
        _, jsep = self.session.message(up, {"request": "publish"}, {"type": "offer", "sdp": peer.offer(call + "-up")})
        peer.accept(call + "-up", jsep["sdp"])

    def watch(self, others):
        """one connection down with everything that the others send"""
        down = self.handles[self.call + "-down"] = self.session.attach()
        _, jsep = self.session.message(down, {"request": "join", "ptype": "subscriber", "room": self.room,
                                              "streams": [{"feed": other.feed} for other in others]})
        self.peer.make(self.call + "-down", **self.options, send=[])
        sdp = self.peer.answer(self.call + "-down", jsep["sdp"])
        self.session.message(down, {"request": "start"}, {"type": "answer", "sdp": sdp})

    def calls(self):
        return [(call, self.peer) for call in self.handles]
