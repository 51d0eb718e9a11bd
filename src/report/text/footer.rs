//! The end of a report: what was not understood, which databases were asked, what cannot be seen.

use std::fmt::Write as _;
use std::io;

use super::super::record::{FileRecord, KeyLogRecord, MemoryRecord, StatsRecord};
use super::page::{Page, Tone, dim, plain};
use crate::geo::DatabaseInfo;

/// What no sniffer can see.
pub(in super::super) const BLIND: &str = "what is said end to end, names inside Encrypted ClientHello, media inside TLS, and \
    servers behind the servers that are seen; an address database is an opinion with a date";
/// Width of the labels at the left.
const LABEL: usize = 11;

/// Counts of the decoder that say that something is missing or odd, with words for people.
const ODD: &[(&str, &str)] = &[
    ("truncated", "packets cut short by the capture"),
    ("datagrams_timed_out", "datagrams of which fragments are missing"),
    ("datagrams_evicted", "datagrams given up for want of memory"),
    ("datagrams_pending", "datagrams still waiting for a fragment"),
    ("fragments_overlapping", "overlapping fragments"),
    ("fragments_conflicting", "fragments that contradict each other"),
    ("duplicates_suspected", "possible second copies, kept"),
];

pub(super) fn write(page: &mut Page<'_>, stats: &StatsRecord) -> io::Result<()> {
    page.blank()?;
    page.line(0, &[(Tone::Title, "About this run".to_owned())])?;
    page.rule()?;
    if !stats.command.is_empty() {
        let words: Vec<String> = stats.command.iter().map(|word| quoted(word)).collect();
        label(page, "command", words.join(" "))?;
    }
    label(page, "packets", packets(stats))?;
    let odd = oddities(stats);
    if !odd.is_empty() {
        label(page, "not seen", odd.join("; "))?;
    }
    files(page, &stats.files)?;
    for log in &stats.key_logs {
        let tone = if log.flows == 0 { Tone::Warn } else { Tone::Plain };
        page.labelled(2, &dim("key log"), LABEL, &(tone, key_log_words(log)))?;
    }
    for policy in &stats.policies {
        let (rules, exceptions) = (counted(policy.rules, "rule"), counted(policy.exceptions, "exception"));
        let text = format!("{}: {rules}, {exceptions}; SHA-256 {}", policy.name, policy.sha256);
        label(page, "policy", text)?;
    }
    let many = stats.files.len() > 1;
    for database in &stats.databases {
        let text = format!(
            "{} of {}{} ({}, {}): {}",
            database.name,
            database.build_date,
            age(database, many).map(|age| format!(", {age}")).unwrap_or_default(),
            database.source,
            database.licence,
            database.attribution
        );
        label(page, "database", text)?;
    }
    if stats.databases.is_empty() {
        label(page, "database", "none: no server is placed".to_owned())?;
    }
    if let Some(memory) = &stats.memory {
        label(page, "memory", memory_words(memory))?;
    }
    label(page, "blind to", BLIND.to_owned())?;
    label(page, "made by", format!("meetscope {}", stats.version))
}

fn files(page: &mut Page<'_>, files: &[FileRecord]) -> io::Result<()> {
    for (number, file) in files.iter().enumerate() {
        let is_odd = file.error.is_some() || file.changed_while_read;
        let tone = if is_odd { Tone::Warn } else { Tone::Plain };
        let name = if files.len() > 1 { format!("file {number}") } else { "file".to_owned() };
        page.labelled(2, &dim(&name), LABEL, &(tone, file_words(file)))?;
    }
    Ok(())
}

/// A word of the command line as a shell would take it.
pub(in super::super) fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn label(page: &mut Page<'_>, label: &str, text: String) -> io::Result<()> {
    page.labelled(2, &dim(label), LABEL, &plain(text))
}

/// How far a database is in time from the capture, or from the nearest and the farthest of `many`.
pub(in super::super) fn age(database: &DatabaseInfo, many: bool) -> Option<String> {
    if let (true, Some(least), Some(most)) = (many, database.days_from_nearest, database.days_from_farthest) {
        return Some(format!("{least} to {most} days from the captures"));
    }
    let capture = if many { "the latest packet" } else { "the capture" };
    Some(match database.days_from_capture? {
        0 => format!("of {capture}'s day"),
        1 => format!("1 day from {capture}"),
        days => format!("{days} days from {capture}"),
    })
}

pub(in super::super) fn packets(stats: &StatsRecord) -> String {
    let packets = &stats.packets;
    let mut text = format!(
        "{} seen = {} analysed + {} filtered + {} dropped",
        packets.seen, packets.analysed, packets.filtered, packets.dropped
    );
    if packets.duplicates > 0 {
        let _ = write!(text, "; {} second copies left out", packets.duplicates);
    }
    if stats.flows.evicted > 0 {
        let _ = write!(text, "; {} flows pushed out of a full table", stats.flows.evicted);
    }
    text
}

pub(in super::super) fn oddities(stats: &StatsRecord) -> Vec<String> {
    let mut odd = Vec::new();
    let packets = &stats.packets;
    if packets.undecodable > 0 {
        let reasons: Vec<String> = crate::decode::Reason::ALL
            .iter()
            .filter_map(|reason| stats.decode.get(reason.name()).map(|count| format!("{count} {reason}")))
            .collect();
        odd.push(format!("{} packets could not be decoded ({})", packets.undecodable, reasons.join(", ")));
    }
    for (name, words) in ODD {
        odd.extend(stats.decode.get(*name).map(|count| format!("{count} {words}")));
    }
    if stats.flows.holes_given_up > 0 {
        let words = "TCP streams read no further, because too much waited behind holes in all of them";
        odd.push(format!("{} {words}", stats.flows.holes_given_up));
    }
    if stats.flows.pictures_given_up > 0 {
        let words = "pictures given up, because too much waited for fragments of pictures in all flows";
        odd.push(format!("{} {words}", stats.flows.pictures_given_up));
    }
    if packets.dropped > 0 {
        let (kernel, interface) = (packets.dropped_by_kernel, packets.dropped_by_interface);
        odd.push(format!(
            "dropped: {kernel} by the kernel, {interface} by the interface, the rest by this program"
        ));
    }
    odd
}

pub(in super::super) fn memory_words(memory: &MemoryRecord) -> String {
    let mut parts = Vec::new();
    if let Some(peak) = memory.peak_bytes {
        parts.push(format!("{} MiB at most", peak.div_ceil(1 << 20)));
    }
    if let Some(flows) = memory.flows_bytes {
        parts.push(format!("{} MiB for packets and flows", flows.div_ceil(1 << 20)));
    }
    if let Some(each) = memory.bytes_per_flow {
        parts.push(format!("{each} bytes a flow"));
    }
    parts.push(format!("{} bytes of each flow in its table", memory.flow_slot_bytes));
    parts.join(", ")
}

pub(in super::super) fn key_log_words(log: &KeyLogRecord) -> String {
    let mut text = format!("{}: ", log.name);
    if log.secrets == 0 {
        text.push_str("no secret in it, so that it opens nothing");
    } else {
        let sessions = counted(log.sessions, "session");
        let _ = write!(text, "{} of {sessions}, which fit ", counted(log.secrets, "secret"));
        let _ = match log.flows {
            0 => write!(text, "none of the TLS, QUIC and DTLS sessions of this capture"),
            flows => write!(text, "{} of this capture", counted(flows, "TLS, QUIC or DTLS session")),
        };
    }
    if log.malformed > 0 {
        let _ = write!(text, "; {} not understood", counted(log.malformed, "line"));
    }
    if let Some(first) = &log.first_malformed {
        let _ = write!(text, ", the first is {first}");
    }
    let beside = [
        (log.unused, "with a label of no use"),
        (log.conflicting, "contradicting one before"),
        (log.left_out, "left out: too many sessions"),
    ];
    for (count, words) in beside.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, "; {} {words}", counted(count, "line"));
    }
    text
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn file_words(file: &FileRecord) -> String {
    let mut text = format!("{}: {}", file.name, counted(file.packets, "packet"));
    if let Some(error) = &file.error {
        let _ = write!(text, ", then {error}");
    }
    for (name, count) in &file.anomalies {
        let _ = write!(text, ", {count} {name}");
    }
    if let Some(size) = file.bytes {
        let _ = write!(text, "; {}", counted(size, "byte"));
    }
    if let Some(sum) = &file.sha256 {
        let _ = write!(text, "; SHA-256 {sum}");
    }
    if let Some(why) = &file.not_hashed {
        let _ = write!(text, "; no SHA-256: {why}");
    }
    if file.changed_while_read {
        text.push_str("; changed while it was read: the sum may be of other bytes than the report");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_of_the_command_line_are_quoted_as_a_shell_takes_them() {
        assert_eq!(quoted("captures/a.pcapng"), "captures/a.pcapng");
        assert_eq!(quoted("udp port 53"), "'udp port 53'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
