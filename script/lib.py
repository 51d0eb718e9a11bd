"""What the comparing scripts share: where things lie, running meetscope, naming flows."""
import json, os, subprocess, sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get("MEETSCOPE_SHARED") or os.path.join(ROOT, "..", "shared")
CORPUS = os.path.join(SHARED, "corpus")
BINARY = os.environ.get("MEETSCOPE_BIN") or os.path.join(ROOT, "target", "release", "meetscope")
SKIPPED = 77


def skip(why):
    """ends the script as one that could not run here; script/test shows the reason"""
    print(why)
    sys.exit(SKIPPED)


def with_package(name, wanted):
    """makes `import name` work, where needed by running the script again from target/test-venv, into which pip installs `wanted`"""
    try:
        __import__(name)
        return
    except ImportError:
        pass
    venv = os.path.join(ROOT, "target", "test-venv")
    python = os.path.join(venv, "bin", "python")
    missing = f"the Python package {name} is not there and could not be installed"
    if os.environ.get("MEETSCOPE_TEST_VENV"):
        skip(missing)
    try:
        if not os.path.exists(python):
            subprocess.run([sys.executable, "-m", "venv", venv], check=True, capture_output=True)
        if subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode:
            subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True, capture_output=True, timeout=600)
    except (OSError, subprocess.SubprocessError):
        skip(missing)
    os.execve(python, [python, *sys.argv], {**os.environ, "MEETSCOPE_TEST_VENV": "1"})


def pcap_head(path, most):
    """the first packets of a little-endian pcap file, each as its header and its bytes, after the header of the file"""
    with open(path, "rb") as source:
        parts = [source.read(24)]
        while len(parts) <= most and len(header := source.read(16)) == 16:
            parts.append((header, source.read(int.from_bytes(header[8:12], "little"))))
    return parts[0], parts[1:]


def captures():
    """paths of the corpus, each below CORPUS"""
    if not os.path.isdir(CORPUS):
        skip(f"no corpus at {os.path.normpath(CORPUS)}")
    found = []
    for folder, _, names in os.walk(CORPUS):
        found += [os.path.relpath(os.path.join(folder, n), CORPUS) for n in names if ".pcap" in n or n.endswith(".cap")]
    return sorted(found)


def need_binary():
    if not os.path.exists(BINARY):
        sys.exit(f"{BINARY} is not there; run cargo build --release first, or set MEETSCOPE_BIN")


def replay(path, *arguments, timeout=60, binary=None):
    """(exit status, standard output as bytes, standard error as text) of a replay"""
    done = subprocess.run([binary or BINARY, "replay", path, "--format", "ndjson", *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")


def records(output):
    return [json.loads(line) for line in output.splitlines() if line]


def flow_key(proto, a, a_port, b, b_port):
    """a flow without direction: two captures of it may disagree on who began"""
    ends = sorted(((a, int(a_port or 0)), (b, int(b_port or 0))))
    return f"{proto.lower()} " + " ".join(f"{ip},{port}" for ip, port in ends)


def key_of(record):
    return flow_key(record["proto"], record["src_ip"], record.get("src_port"), record["dest_ip"], record.get("dest_port"))
