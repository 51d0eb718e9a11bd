//! `replay --export-pcap` as an analyst meets it: what tshark reads in the file, and what meetscope says of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "tests count on small known numbers; a skipped test says so"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sha2::Digest as _;

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name)
}

fn meetscope(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meetscope"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn records(folder: &Path, inputs: &[&str]) -> Vec<Value> {
    let arguments: Vec<&str> = ["replay", "--format", "ndjson"].iter().chain(inputs).copied().collect();
    let output = meetscope(folder, &arguments);
    std::str::from_utf8(&output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn sessions(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| record["event_type"] == "session").collect()
}

/// Lines of fields that tshark prints; none where there is no tshark.
fn tshark(file: &Path, arguments: &[&str]) -> Option<Vec<String>> {
    let Ok(output) = Command::new("tshark").arg("-n").arg("-r").arg(file).args(arguments).output() else {
        println!("skipped: tshark is not there");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

/// What a session's verdicts are, apart from names that count packets.
fn verdict(session: &Value) -> Value {
    let holders: BTreeSet<String> = session["keys"]["holders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|holder| format!("{} {} {}", holder["ip"], holder["could_hold"], holder["name"]))
        .collect();
    serde_json::json!({
        "app": session["app"],
        "endpoint": session["endpoint"]["ip"],
        "method": session["keys"]["method"],
        "holders": holders,
        "cipher": session["cipher"]["verdict"],
        "repeats": session["cipher"]["repeats"],
        "sent": session["media"]["sent"]["packets"],
        "received": session["media"]["received"]["packets"],
        "start": session["start"],
        "end": session["end"],
    })
}

#[test]
fn a_session_alone_gives_the_verdicts_that_it_gave_among_others() {
    for name in ["zoom-beijing-2020", "dtls-srtp", "sip-sdes-clear", "plain-rtp", "zoom-ecb-pkcs7"] {
        let input = capture(&format!("{name}.pcapng"));
        let input = input.to_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let all = records(folder.path(), &[input]);
        for session in sessions(&all) {
            let id = session["session_id"].as_str().unwrap();
            let output = meetscope(folder.path(), &["replay", input, "--export-pcap", id, "-o", "report"]);
            assert!(output.status.success(), "{output:?}");
            let alone = records(folder.path(), &[&format!("{id}.pcapng")]);
            let found: Vec<Value> = sessions(&alone).into_iter().map(verdict).collect();
            assert!(
                found.contains(&verdict(session)),
                "{name} {id}: {found:#?} lacks {:#?}",
                verdict(session)
            );
        }
    }
}

#[test]
fn tshark_reads_the_packets_of_the_flows_and_the_comments() {
    let folder = tempfile::tempdir().unwrap();
    let input = capture("zoom-beijing-2020.pcapng");
    let all = records(folder.path(), &[input.to_str().unwrap()]);
    let session = sessions(&all)[0];
    let id = session["session_id"].as_str().unwrap();
    let output = meetscope(
        folder.path(),
        &["replay", input.to_str().unwrap(), "--export-pcap", &format!("{id}=out.pcapng"), "-o", "report"],
    );
    let said = String::from_utf8(output.stderr).unwrap();
    let numbers: Vec<usize> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let exported = folder.path().join("out.pcapng");
    let Some(commented) = tshark(&exported, &["-Y", "frame.comment", "-T", "fields", "-e", "frame.comment"])
    else {
        return;
    };
    let ids: BTreeSet<u64> = session["flows"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|flows| flows.as_array().unwrap())
        .map(|id| id.as_u64().unwrap())
        .collect();
    let filters: Vec<String> = all
        .iter()
        .filter(|record| record["event_type"] == "flow" && ids.contains(&record["flow_id"].as_u64().unwrap()))
        .map(|flow| {
            let proto = flow["proto"].as_str().unwrap().to_lowercase();
            format!(
                "(ip.addr == {} && ip.addr == {} && {proto}.port == {} && {proto}.port == {})",
                flow["src_ip"].as_str().unwrap(),
                flow["dest_ip"].as_str().unwrap(),
                flow["src_port"],
                flow["dest_port"]
            )
        })
        .collect();
    let shown = ["-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "ip.id"];
    let filter = filters.join(" || ");
    let expected = tshark(&input, &[&["-Y", filter.as_str()][..], &shown[..]].concat()).unwrap();
    let found = tshark(&exported, &shown).unwrap();
    assert_eq!(found, expected, "the same packets at the same times");
    assert_eq!(numbers, [found.len(), commented.len()], "{said}");

    // The packet that shows the key server abroad, by the report; Wireshark shows it where it now stands.
    let finding = &session["findings"][0];
    let frame = finding["packets"][0]["frame"].as_u64().unwrap();
    let wanted = format!("packet {frame} of ");
    let comment = commented.iter().find(|comment| comment.starts_with(&wanted)).unwrap();
    assert!(comment.contains("finding key_holder_abroad (high)"), "{comment}");
    assert!(comment.contains("could hold the media key"), "{comment}");
}

/// Classic pcap, nanoseconds, Ethernet.
fn pcap(frames: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_3c4d_u32.to_le_bytes());
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(65_535_u32.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for (nanos, frame) in frames {
        let length = u32::try_from(frame.len()).unwrap();
        let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        for field in [u32::try_from(seconds).unwrap(), u32::try_from(rest).unwrap(), length, length] {
            file.extend(field.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

fn frames(path: &Path) -> Vec<(i64, Vec<u8>)> {
    let mut reader = meetscope::capture::open(path).unwrap();
    let mut frames = Vec::new();
    while let Some(packet) = reader.next().unwrap() {
        frames.push((packet.timestamp.as_nanos(), packet.data.to_vec()));
    }
    frames
}

/// An Ethernet frame with an IPv4 packet, as two fragments.
fn fragments(frame: &[u8]) -> [Vec<u8>; 2] {
    let (link, packet) = frame.split_at(14);
    let (header, body) = packet.split_at(20);
    let cut = body.len() / 2 / 8 * 8;
    [(0, &body[..cut], 0x20_u8), (cut, &body[cut..], 0)].map(|(offset, part, more)| {
        let mut out = link.to_vec();
        out.extend(header);
        out.extend(part);
        let total = u16::try_from(20 + part.len()).unwrap().to_be_bytes();
        out[16..18].copy_from_slice(&total);
        let place = u16::try_from(offset / 8).unwrap().to_be_bytes();
        out[20] = more | place[0];
        out[21] = place[1];
        out
    })
}

/// The IPv4 packet of a frame inside GRE (RFC 2784).
fn in_gre(frame: &[u8]) -> Vec<u8> {
    let (link, packet) = frame.split_at(14);
    let mut out = link.to_vec();
    let total = u16::try_from(24 + packet.len()).unwrap().to_be_bytes();
    out.extend([
        0x45, 0, total[0], total[1], 0, 1, 0, 0, 64, 47, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0, 0, 8, 0,
    ]);
    out.extend(packet);
    out
}

#[test]
fn fragments_and_tunnels_come_along_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let plain = frames(&capture("plain-rtp.pcapng"));
    let mut packed = Vec::new();
    for (place, (at, frame)) in plain.iter().enumerate() {
        match place % 4 {
            // A stranger's datagram, whole only after the call's own fragment.
            1 if frame.len() > 100 => {
                let [first, second] = fragments(frame);
                let mut stranger = [first.clone(), second.clone()];
                for part in &mut stranger {
                    part[29] ^= 1; // another sender
                }
                packed.push((*at, second));
                packed.push((*at, stranger[0].clone()));
                packed.push((*at + 1, first));
                packed.push((*at + 2, stranger[1].clone()));
            }
            2 => packed.push((*at, in_gre(frame))),
            _ => packed.push((*at, frame.clone())),
        }
    }
    fs::write(folder.path().join("packed.pcap"), pcap(&packed)).unwrap();
    let all = records(folder.path(), &["packed.pcap"]);
    let whole = records(folder.path(), &[capture("plain-rtp.pcapng").to_str().unwrap()]);
    let session = sessions(&all)
        .into_iter()
        .find(|session| session["endpoint"]["ip"] == sessions(&whole)[0]["endpoint"]["ip"])
        .unwrap();
    let id = session["session_id"].as_str().unwrap();
    let output = meetscope(folder.path(), &["replay", "packed.pcap", "--export-pcap", id, "-o", "report"]);
    assert!(output.status.success(), "{output:?}");
    let exported = frames(&folder.path().join(format!("{id}.pcapng")));
    let alone = records(folder.path(), &[&format!("{id}.pcapng")]);
    assert!(sessions(&alone).into_iter().any(|other| verdict(other) == verdict(session)));
    // Every packet is one of the input's, in its order; strangers' fragments are not among them.
    let mut input = packed.iter();
    for frame in &exported {
        assert!(input.any(|other| other == frame), "a packet that the input lacks");
    }
    let flows: u64 = all
        .iter()
        .filter(|record| record["session_id"] == *id && record["event_type"] == "flow")
        .map(|flow| {
            flow["flow"]["pkts_toserver"].as_u64().unwrap() + flow["flow"]["pkts_toclient"].as_u64().unwrap()
        })
        .sum();
    let halves = exported.iter().filter(|(_, frame)| frame[20] & 0x3f != 0 || frame[21] != 0).count();
    assert!(halves > 100 && halves % 2 == 0, "{halves} fragments");
    let datagrams = u64::try_from(exported.len() - halves / 2).unwrap();
    assert_eq!(datagrams, flows, "as many datagrams as the flows count");
}

#[test]
fn secrets_are_not_copied_and_the_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = fs::read(capture("sip-sdes.pcapng")).unwrap();
    let secret = fs::read(capture("sip-sdes.keylog")).unwrap();
    let mut block = 0x544c_534b_u32.to_le_bytes().to_vec();
    block.extend(u32::try_from(secret.len()).unwrap().to_le_bytes());
    block.extend(&secret);
    block.resize(block.len().next_multiple_of(4), 0);
    let total = u32::try_from(block.len() + 12).unwrap().to_le_bytes();
    let head = usize::try_from(u32::from_le_bytes(file[4..8].try_into().unwrap())).unwrap();
    let dsb = [&10_u32.to_le_bytes()[..], &total, &block, &total].concat();
    file.splice(head..head, dsb);
    fs::write(folder.path().join("a.pcapng"), &file).unwrap();
    let all = records(folder.path(), &["a.pcapng"]);
    let id = sessions(&all)[0]["session_id"].as_str().unwrap().to_owned();
    let output = meetscope(folder.path(), &["replay", "a.pcapng", "--export-pcap", &id, "-o", "report"]);
    assert!(output.status.success(), "{output:?}");
    let exported = fs::read(folder.path().join(format!("{id}.pcapng"))).unwrap();
    let line = secret.split(|byte| *byte == b'\n').find(|line| line.len() > 100).unwrap();
    assert!(file.windows(line.len()).any(|window| window == line));
    assert!(!exported.windows(line.len()).any(|window| window == line));
    let sum: Vec<String> = sha2::Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    for words in [
        "hold decryption secrets; they were not copied",
        "Command: ",
        &format!("a.pcapng, SHA-256 {}", sum.concat()),
    ] {
        assert!(exported.windows(words.len()).any(|window| window == words.as_bytes()), "{words}");
    }
}

#[test]
fn packets_of_several_files_keep_their_interfaces() {
    let folder = tempfile::tempdir().unwrap();
    let all = frames(&capture("plain-rtp.pcapng"));
    let (even, odd): (Vec<_>, Vec<_>) =
        all.iter().cloned().enumerate().partition(|(place, _)| place % 2 == 0);
    let strip =
        |frames: Vec<(usize, (i64, Vec<u8>))>| frames.into_iter().map(|(_, frame)| frame).collect::<Vec<_>>();
    fs::write(folder.path().join("even.pcap"), pcap(&strip(even))).unwrap();
    // Without a link layer: LINKTYPE_RAW.
    let raw: Vec<_> = strip(odd).into_iter().map(|(at, frame)| (at, frame[14..].to_vec())).collect();
    let mut file = pcap(&raw);
    file[20] = 101;
    fs::write(folder.path().join("odd.pcap"), file).unwrap();
    let id = sessions(&records(folder.path(), &["even.pcap", "odd.pcap"]))[0]["session_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let output =
        meetscope(folder.path(), &["replay", "even.pcap", "odd.pcap", "--export-pcap", &id, "-o", "report"]);
    assert!(output.status.success(), "{output:?}");
    let mut reader = meetscope::capture::open(&folder.path().join(format!("{id}.pcapng"))).unwrap();
    let mut lengths = Vec::new();
    while let Some(packet) = reader.next().unwrap() {
        lengths.push((packet.link_type.0, packet.timestamp.as_nanos(), packet.data.len()));
    }
    assert!(lengths.is_sorted_by_key(|(_, at, _)| *at));
    let found: BTreeSet<u16> = lengths.iter().map(|(link, ..)| *link).collect();
    assert_eq!(found, BTreeSet::from([1, 101]));
}

#[test]
fn what_cannot_be_exported_is_told_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let input = capture("plain-rtp.pcapng");
    fs::copy(&input, folder.path().join("s1.pcapng")).unwrap();
    let before = fs::read(folder.path().join("s1.pcapng")).unwrap();
    let input = input.to_str().unwrap();
    for (arguments, words) in [
        (["replay", "-", "--export-pcap", "s1=new"], "standard input"),
        (["replay", "s1.pcapng", "--export-pcap", "s1"], "exists already"),
        (["replay", "s1.pcapng", "--export-pcap=s1=new", "-onew"], "expected two files"),
        (["replay", input, "--export-pcap", "first=new"], "name of a session"),
        (["replay", input, "--export-pcap", "s193="], "expected the name of a file behind `=`"),
        (["replay", input, "--export-pcap", "s999999=new"], "the sessions are s"),
    ] {
        let output = meetscope(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words), "{said}");
        assert!(output.stdout.is_empty());
        assert!(!folder.path().join("new").exists());
    }
    assert_eq!(fs::read(folder.path().join("s1.pcapng")).unwrap(), before);
}

/// A limit on the size of files stands for a disk that is full.
#[test]
#[cfg(unix)]
fn what_could_not_be_written_whole_does_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    let input = capture("plain-rtp.pcapng");
    let records = records(folder.path(), &[input.to_str().unwrap()]);
    let id = sessions(&records)[0]["session_id"].as_str().unwrap().to_owned();
    let wanted = format!("--export-pcap={id}=out");
    let export = |limit: &str| {
        Command::new("sh")
            .args(["-c", &format!("trap '' XFSZ; {limit} exec \"$0\" \"$@\"")])
            .args([env!("CARGO_BIN_EXE_meetscope"), "replay", input.to_str().unwrap(), &wanted])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let full = export("ulimit -f 8;");
    let said = String::from_utf8(full.stderr).unwrap();
    assert_eq!(full.status.code(), Some(1), "{said}");
    assert!(said.contains("out: File too large"), "{said}");
    assert!(!folder.path().join("out").exists());
    assert_eq!(export("").status.code(), Some(0), "the same command again");
    assert!(folder.path().join("out").metadata().unwrap().len() > 8 * 1024);
}
