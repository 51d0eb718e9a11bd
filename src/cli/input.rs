//! What became of each input: its record, and what people should be told of it.

use std::collections::BTreeMap;

use meetscope::capture::{Anomalies, CaptureError, Fault, FileInfo, Merge};
use meetscope::report::record::FileRecord;
use meetscope::watch::Budget;

use super::messages::say;

/// Bytes that captures may hold that are open at the same time, where nothing is asked for: a quarter of the machine's memory, or what its
/// control group leaves.
pub(super) fn memory() -> u64 {
    Budget::new(None).bytes()
}

/// Records of all files, in the order given; faults and oddities are told.
pub(super) fn records(merge: &Merge) -> Vec<FileRecord> {
    (0..merge.files()).map(|file| record(merge, file)).collect()
}

/// The record of a file that is at its end; faults and oddities are told.
pub(super) fn record(merge: &Merge, file: usize) -> FileRecord {
    let name = merge.path(file).map_or_else(String::new, |path| path.display().to_string());
    let info = merge.info(file);
    let anomalies = info.map(|info| anomalies(&info.anomalies)).unwrap_or_default();
    if let Some(info) = info {
        warn(&name, info);
    }
    let error = merge.error(file).map(|error| {
        let read = info.map_or(0, |info| info.packets);
        let lacks_room = matches!(error.fault, Fault::NoRoomToUnpack { .. } | Fault::NoRoomToRead { .. });
        let hint = if lacks_room { " (half of --memory-mib with --stream)" } else { "" };
        say(format_args!("{error}{hint}{}", before(read)));
        without_name(error)
    });
    FileRecord {
        name,
        packets: info.map_or(0, |info| info.packets),
        error,
        anomalies,
        ..FileRecord::default()
    }
}

/// What becomes of the packets that were read before a fault; nothing where there are none.
pub(super) fn before(packets: u64) -> String {
    match packets {
        0 => String::new(),
        1 => "; the packet before it is reported, incomplete".to_owned(),
        many => format!("; the {many} packets before it are reported, incomplete"),
    }
}

/// A fault's words without the file's name, which stands beside it.
pub(super) fn without_name(error: &CaptureError) -> String {
    let text = error.to_string();
    text.strip_prefix(&format!("{}: ", error.name)).unwrap_or(&text).to_owned()
}

/// The oddities that people are told of although the file was read to its end.
fn warn(name: &str, info: &FileInfo) {
    let odd = &info.anomalies;
    if let Some(first) = odd.first_time_backwards {
        let at = match odd.time_backwards {
            1 => format!("packet {first}"),
            count => format!("{count} packets, first at packet {first}"),
        };
        say(format_args!("{name}: time runs backwards at {at}; expected rising times"));
    }
    let told = [
        (
            odd.longer_than_snaplen,
            "packet is longer than its interface's snapshot length",
            "packets are longer than their interface's snapshot length",
        ),
        (
            odd.captured_longer_than_original,
            "packet is captured longer than it was on the wire",
            "packets are captured longer than they were on the wire",
        ),
        (
            odd.unknown_interface,
            "packet belongs to an interface that the file does not describe; it is left out",
            "packets belong to an interface that the file does not describe; they are left out",
        ),
    ];
    for (count, one, many) in told.into_iter().filter(|(count, ..)| *count > 0) {
        say(format_args!("{name}: {count} {}", if count == 1 { one } else { many }));
    }
}

fn anomalies(odd: &Anomalies) -> BTreeMap<String, u64> {
    let named = [
        ("longer_than_snaplen", odd.longer_than_snaplen),
        ("captured_longer_than_original", odd.captured_longer_than_original),
        ("time_backwards", odd.time_backwards),
        ("fraction_out_of_range", odd.fraction_out_of_range),
        ("without_time", odd.without_time),
        ("unknown_interface", odd.unknown_interface),
        ("blocks_skipped", odd.blocks_skipped),
        ("blocks_malformed", odd.blocks_malformed),
        ("interfaces_left_out", odd.interfaces_left_out),
        ("names_left_out", odd.names_left_out),
        ("secrets_left_out", odd.secrets_left_out),
    ];
    let found = named.into_iter().filter(|(_, count)| *count > 0);
    found.map(|(name, count)| (name.to_owned(), count)).collect()
}
