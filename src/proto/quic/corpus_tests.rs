//! Our reading of real captures against tshark's, flow by flow. Skips where either is absent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

fn corpus() -> Option<PathBuf> {
    let shared = std::env::var_os("MEETSCOPE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let corpus = shared.join("corpus");
    let tshark = Command::new("tshark").arg("--version").output().is_ok();
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    if !corpus.is_dir() || !tshark {
        eprintln!("skipped: needs the shared corpus and tshark");
        return None;
    }
    Some(corpus)
}

struct Row {
    stream: u32,
    source: String,
    payload: Vec<u8>,
    names: Vec<String>,
    agents: Vec<String>,
}

fn rows(file: &Path) -> Vec<Row> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-Y", "udp && !icmp && !icmpv6", "-T", "fields", "-E", "separator=|"]);
    for field in [
        "udp.stream",
        "ip.src",
        "ipv6.src",
        "udp.srcport",
        "udp.payload",
        "tls.handshake.extensions_server_name",
        "gquic.tag.sni",
        "gquic.tag.uaid",
    ] {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let list = |field: &str| field.split(',').filter(|v| !v.is_empty()).map(String::from).collect::<Vec<_>>();
    text.lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split('|').collect();
            let payload = keys::tests::hex(fields[4].split(',').next()?);
            let mut names = list(fields[5]);
            names.extend(list(fields[6]));
            let agents = if fields[7].is_empty() { vec![] } else { vec![fields[7].into()] };
            let stream = fields[0].split(',').next()?.parse().ok()?;
            let source = fields[1..4].join(" ");
            Some(Row { stream, source, payload, names, agents })
        })
        .collect()
}

/// Server name of a ClientHello; a plain reader for tests, apart from the crate's own.
fn server_name(hello: &[u8]) -> Option<String> {
    let mut at = 4 + 2 + 32;
    at += 1 + usize::from(*hello.get(at)?);
    at += 2 + usize::from(u16::from_be_bytes(hello.get(at..at + 2)?.try_into().ok()?));
    at += 1 + usize::from(*hello.get(at)?);
    at += 2;
    while let Some(head) = hello.get(at..at + 4) {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if head[..2] == [0, 0] {
            let body = hello.get(at + 4..at + 4 + length)?;
            return Some(String::from_utf8_lossy(body.get(5..)?).into_owned());
        }
        at += 4 + length;
    }
    None
}

#[derive(Default, Debug)]
struct Seen {
    versions: BTreeSet<String>,
    verified: u32,
    failed: u32,
    names: BTreeSet<String>,
    /// Retry tags that were checked, and whether they fit.
    retries: Vec<bool>,
    offered: usize,
    /// Source Connection IDs of clients.
    scids: BTreeSet<String>,
}

/// Replays a file; panics where tshark reads a name that we do not.
fn replay(file: &Path) -> Seen {
    let mut flows: BTreeMap<u32, (String, Connection)> = BTreeMap::new();
    let mut truth: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    let mut agents: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for row in rows(file) {
        let (originator, connection) =
            flows.entry(row.stream).or_insert_with(|| (row.source.clone(), Connection::new()));
        let known = connection.version().is_some();
        if known || probe(&row.payload) != Probe::No {
            let _ = connection.datagram(*originator == row.source, &row.payload);
        }
        truth.entry(row.stream).or_default().extend(row.names);
        agents.entry(row.stream).or_default().extend(row.agents);
    }
    let mut seen = Seen::default();
    for (stream, (_, connection)) in &flows {
        let mut ours = BTreeSet::new();
        ours.extend(server_name(connection.client_crypto()));
        if let Some(hello) = connection.google_hello() {
            let text = |value: &Option<Box<[u8]>>| {
                value.iter().map(|v| String::from_utf8_lossy(v).into_owned()).collect::<BTreeSet<_>>()
            };
            ours.extend(text(&hello.server_name));
            let theirs = &agents[stream];
            assert!(theirs.is_subset(&text(&hello.user_agent)), "{file:?} stream {stream}: {theirs:?}");
        }
        let theirs = &truth[stream];
        if connection.version().is_some() {
            assert!(theirs.is_subset(&ours), "{file:?} stream {stream}: {theirs:?} {ours:?} {connection:?}");
        }
        seen.names.extend(ours);
        seen.versions.extend(connection.version().map(|version| version.to_string()));
        seen.verified += connection.facts().initials_verified;
        seen.failed += connection.facts().initials_failed;
        seen.retries.extend(connection.facts().retry.and_then(|retry| retry.genuine));
        seen.offered += connection.facts().offered.len();
        seen.scids.extend(connection.client_scid().map(crate::bytes::hex));
    }
    seen
}

#[test]
fn names_agree_with_tshark_over_every_version() {
    let Some(corpus) = corpus() else { return };
    // File, version, least number of verified Initials, one server name that must be there.
    let files: [(&str, &str, u32, &str); 31] = [
        ("protocols/quic-mvfst-22.pcap", "mvfst-22", 2, "graph.facebook.com"),
        ("protocols/quic-23.pcap", "draft-23", 2, "quic.aiortc.org"),
        ("protocols/quic-24.pcap", "draft-24", 2, "localhost"),
        ("protocols/quic-27.pcap", "draft-27", 2, "play.google.com"),
        ("protocols/quic-28.pcap", "draft-27", 2, "www.wireshark.org"),
        ("protocols/quic-29.pcap", "draft-29", 2, "localhost"),
        ("protocols/quic-mvfst-27.pcapng", "mvfst-27", 2, "graph.facebook.com"),
        ("protocols/quic-mvfst-exp.pcap", "mvfst-exp", 2, "video.fmct2-3.fna.fbcdn.net"),
        ("protocols/quic-33.pcapng", "v1", 2, ""),
        ("protocols/quic-34.pcap", "draft-34", 1, ""),
        ("protocols/quic-v2.pcapng", "v2", 1, "test"),
        ("protocols/quic-forcing-vn-with-data.pcapng", "v1", 2, ""),
        ("protocols/quic_cc_ack.pcapng", "draft-29", 0, ""),
        ("protocols/quic_crypto_aes_auth_size.pcap", "v1", 2, "gcp.api.snapchat.com"),
        ("protocols/quic_frags_ch_in_multiple_packets.pcapng", "v1", 3, ""),
        ("protocols/quic_frags_ch_out_of_order_same_packet_craziness.pcapng", "draft-29", 170, "dns.google"),
        ("protocols/quic_frags_different_dcid.pcapng", "v1", 2, "cdnjs.cloudflare.com"),
        ("protocols/quic_interop_V.pcapng", "0x0a0a0a0a", 100, "quic.rocks"),
        ("protocols/gquic.pcap", "Q050", 1, "www.gstatic.com"),
        ("protocols/quic_q50.pcap", "Q050", 2, "www.googletagmanager.com"),
        ("protocols/quic_t50.pcap", "T050", 2, "fonts.googleapis.com"),
        ("protocols/quic_q39.pcap", "Q039", 0, "s.youtube.com"),
        ("protocols/quic_q43.pcap", "Q043", 0, "dns.google.com"),
        ("protocols/quic_q46.pcap", "Q046", 0, "play.google.com"),
        ("protocols/quic_q46_b.pcap", "Q046", 0, "upload.youtube.com"),
        ("protocols/quic046.pcap", "Q046", 0, "i.ytimg.com"),
        ("protocols/quic.pcap", "Q025", 0, "s.ytimg.com"),
        ("protocols/doq_adguard.pcapng", "draft-29", 2, "dns.adguard.com"),
        ("background/doq.pcapng", "draft-32", 2, ""),
        ("background/quic_0RTT.pcap", "v1", 2, ""),
        ("calls/google_meet.pcapng", "v1", 2, ""),
    ];
    for (file, version, verified, name) in files {
        let seen = replay(&corpus.join(file));
        assert!(seen.versions.contains(version), "{file}: {seen:?}");
        assert!(seen.verified >= verified, "{file}: {seen:?}");
        assert_eq!(seen.failed, 0, "{file}: {seen:?}");
        assert!(name.is_empty() || seen.names.contains(name), "{file}: {seen:?}");
    }
}

#[test]
fn source_ids_of_clients_are_those_of_their_first_initials() {
    let Some(corpus) = corpus() else { return };
    // `tshark -Y quic.long.packet_type==0 -T fields -e udp.srcport -e quic.scid`: of the client's first packet.
    let files = [
        ("background/quic_0RTT.pcap", "b0ecb0f544630dfb"),
        ("protocols/quic-33.pcapng", "a307bd979311dda1"),
        ("protocols/quic-24.pcap", "f5c352569b8ef8f7d84c478f6f0afcbcd6"),
        ("protocols/quic-28.pcap", "40c4ba672f4517d5e7ec820fd54b107875fda8cc"),
        // Empty; the server's is not taken for it.
        ("protocols/quic-27.pcap", ""),
        ("calls/google_meet.pcapng", ""),
    ];
    for (file, scid) in files {
        let seen = replay(&corpus.join(file));
        assert!(seen.scids.iter().eq([scid].iter().filter(|scid| !scid.is_empty())), "{file}: {seen:?}");
    }
}

#[test]
fn retry_and_negotiation_are_read() {
    let Some(corpus) = corpus() else { return };
    // tshark lists a Retry in each, and the versions of the Version Negotiation in the last.
    for (file, offered) in [("quic-29.pcap", 0), ("quic-forcing-vn-with-data.pcapng", 4)] {
        let seen = replay(&corpus.join("protocols").join(file));
        assert_eq!((seen.retries.as_slice(), seen.offered), (&[true][..], offered), "{file}: {seen:?}");
    }
}

#[test]
fn odd_captures_are_survived() {
    let Some(corpus) = corpus() else { return };
    for file in ["quic-mvfst-22_decryption_error.pcap", "quic-fuzz-overflow.pcapng", "quic_sh.pcap"] {
        let seen = replay(&corpus.join("protocols").join(file));
        assert_eq!(seen.verified, 0, "{file}: {seen:?}");
    }
    for file in ["ssh2", "tls-handshake", "tls-sni", "quic-tls-handshake", "quic-with-several-tls-frames"] {
        let seen = replay(&corpus.join("ja4").join(format!("{file}.pcapng")));
        assert!(seen.verified > 0, "{file}: {seen:?}");
    }
}

#[test]
fn other_protocols_are_not_taken_for_quic() {
    let Some(corpus) = corpus() else { return };
    let (mut all, mut wrong) = (0, 0);
    for file in ["calls/zoom.pcap", "calls/wa_voice.pcap", "background/dtls.pcap", "calls/discord.pcap"] {
        for row in rows(&corpus.join(file)) {
            all += 1;
            wrong += usize::from(probe(&row.payload) == Probe::Yes);
        }
    }
    assert!(all > 1000, "{all}");
    assert_eq!(wrong, 0, "of {all}");
}
