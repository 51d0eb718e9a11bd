"""Mumble: the server, and its own client without a screen, which hears and says a tone of PulseAudio's."""
import hashlib, os, shutil, signal, sqlite3, ssl, time

from .janus import certificate
from .net import inside
from .shell import sh, wait_for

PORT = 64738
# Everything that would ask a person something is answered beforehand.
CONFIG = """[General]
lastupdate=2
[audio]
input=PulseAudio
output=PulseAudio
transmit=0
quality=40000
[ui]
disablepubliclist=true
checkforupdates=false
usage=false
[shortcuts]
enable=false
"""


class Server:
    def __init__(self, recording, address="198.51.100.40", **impair):
        self.address, self.recording = address, recording
        self.space = recording.server("mumble", address, **impair)
        folder = os.path.join(recording.folder, "murmur")
        os.makedirs(folder, exist_ok=True)
        cert, key = certificate(folder, "voice.example")
        with open(cert) as f:
            self.digest = hashlib.sha1(ssl.PEM_cert_to_DER_cert(f.read())).hexdigest()
        with open(os.path.join(folder, "ini"), "w") as f:
            f.write(f"database={folder}/db\nlogfile=\npidfile={folder}/pid\nhost={address}\nport={PORT}\nbonjour=false\nice=\n"
                    f"uname=root\nsslCert={cert}\nsslKey={key}\n")
        program = next(filter(None, map(shutil.which, ("murmurd", "mumble-server"))))
        recording.processes.start("murmur", inside(self.space, program, "-fg", "-v", "-ini", os.path.join(folder, "ini")))
        self.wait("Server listening")

    def log(self):
        with open(os.path.join(self.recording.folder, "murmur.log"), errors="replace") as f:
            return f.read()

    def wait(self, words, seconds=25):
        wait_for(f"Mumble: {words}", seconds, lambda: words in self.log())


class Client:
    def __init__(self, server, name, address, **impair):
        recording = server.recording
        space = recording.net.host(name, address, **impair)
        recording.truth["peers"][name] = {"engine": "mumble", "addresses": [address]}
        home = os.path.join(recording.folder, "home-" + name)
        shutil.rmtree(home, ignore_errors=True)
        data = os.path.join(home, ".local", "share", "Mumble", "Mumble")
        for folder in (os.path.join(home, ".config", "Mumble"), os.path.join(home, "Documents"), data):
            os.makedirs(folder)
        with open(os.path.join(home, ".config", "Mumble", "Mumble.conf"), "w") as f:
            f.write(CONFIG)
        cert, key = certificate(home, name)
        sh("openssl", "pkcs12", "-export", "-passout", "pass:", "-in", cert, "-inkey", key,
           "-out", os.path.join(home, "Documents", "MumbleAutomaticCertificateBackup.p12"))
        known = sqlite3.connect(os.path.join(data, "mumble.sqlite"))
        known.execute("CREATE TABLE cert (id INTEGER PRIMARY KEY AUTOINCREMENT, hostname TEXT, port INTEGER, digest TEXT)")
        known.execute("INSERT INTO cert (hostname, port, digest) VALUES (?, ?, ?)", (server.address, PORT, server.digest))
        known.commit()
        known.close()
        # Asked for SRV records first; a name server that refuses at once saves the wait for one that is not there.
        names, sound = os.path.join(home, "resolv.conf"), os.path.join(home, "sound")
        with open(names, "w") as f:
            f.write("nameserver 127.0.0.1\n")
        environment = {**os.environ, "HOME": home, "XDG_RUNTIME_DIR": home, "QT_QPA_PLATFORM": "offscreen",
                       "PULSE_SERVER": "unix:" + sound}
        for unwanted in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "DISPLAY"):
            environment.pop(unwanted, None)
        start = recording.processes.start
        start(f"sound-{name}", inside(
            space, "pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes",
            "-L", "module-null-sink", "-L", "module-sine-source frequency=440",
            "-L", f"module-native-protocol-unix auth-anonymous=1 socket={sound}"), env=environment)
        wait_for("PulseAudio", 10, lambda: os.path.exists(sound))
        self.processes = recording.processes
        self.process = start(f"mumble-{name}", inside(
            space, "sh", "-c", 'mount --bind "$0" /etc/resolv.conf; exec mumble "$1"', names,
            f"mumble://{name}@{server.address}:{PORT}/?version=1.2.0"), env=environment)
        server.wait(f":{name}(-1)> Authenticated")
        time.sleep(0.5)

    def leave(self):
        self.processes.stop(self.process, signal.SIGTERM)
