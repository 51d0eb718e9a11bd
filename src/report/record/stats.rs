//! The record of what a run counted.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{InterfaceRecord, LiveRecord, Phase, SinkRecord};
use crate::geo::{DatabaseInfo, TableInfo};

/// What a run counted. `packets.seen = packets.analysed + packets.filtered + packets.dropped`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StatsRecord {
    /// Time of the latest packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Where the run stood when this was written; left out by `replay`, which writes what is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// When this was written, by the clock of the machine; left out by `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_at: Option<String>,
    /// The run on interfaces that wrote it, by when it began: ids are unique within a run. Left out by `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Version of the program.
    pub version: &'static str,
    /// Packets.
    pub packets: PacketStats,
    /// Bytes captured of all packets seen.
    pub bytes_captured: u64,
    /// What the decoder met, by name: undecodable by reason, fragments, duplicates.
    pub decode: BTreeMap<String, u64>,
    /// Flows.
    pub flows: FlowStats,
    /// Sessions.
    pub sessions: u64,
    /// The inputs.
    pub files: Vec<FileRecord>,
    /// The watched interfaces, with their workers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceRecord>,
    /// Where records go to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<SinkRecord>,
    /// What a run on interfaces holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveRecord>,
    /// What memory the run took; with `--measure`. It differs from run to run, as nothing else here does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryRecord>,
    /// What a replay with `--stream` let go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamRecord>,
    /// The command line, word by word; with `--hash` or `--export-pcap`, and in HTML.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// What is known of providers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub providers: Option<ProviderData>,
    /// The key logs: files of `--keylog`, then captures with secrets of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key_logs: Vec<KeyLogRecord>,
    /// The policy files that sessions were judged by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyRecord>,
    /// The location databases.
    pub databases: Vec<DatabaseInfo>,
    /// The tables inside the program that places and jurisdictions rest on.
    pub tables: Vec<TableInfo>,
    /// False when an input ended before its time.
    pub complete: bool,
}

/// What a replay in one pass (`--stream`) let go. Flows that were pushed out of a full table are counted in `flows.evicted`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::exhaustive_structs, reason = "filled in by whoever reads captures in one pass")]
pub struct StreamRecord {
    /// How often an endpoint's flows were judged before it had fallen silent, because too many were held.
    pub endpoints_released_early: u64,
    /// Flows that had not been written when a run was interrupted, and were not found again.
    pub flows_lost: u64,
}

/// Packets of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PacketStats {
    /// Read from files, or told by the interface.
    pub seen: u64,
    /// Looked at (also those that could not be decoded, which `decode` names).
    pub analysed: u64,
    /// Left out by `--bpf`.
    pub filtered: u64,
    /// Lost by the kernel, the interface, or us.
    pub dropped: u64,
    /// Of `dropped`: by the kernel.
    pub dropped_by_kernel: u64,
    /// Of `dropped`: by the interface.
    pub dropped_by_interface: u64,
    /// Of `dropped`: by this program.
    pub dropped_by_us: u64,
    /// Of `analysed`: could not be decoded.
    pub undecodable: u64,
    /// Of `analysed`: mirror-port duplicates, counted once.
    pub duplicates: u64,
}

/// Flows of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FlowStats {
    /// All.
    pub total: u64,
    /// With an app.
    pub named: u64,
    /// Pushed out of a full table.
    pub evicted: u64,
    /// Directions of TCP that were read no further because too many bytes waited behind holes in all connections together.
    #[serde(skip_serializing_if = "is_zero")]
    pub holes_given_up: u64,
    /// Pictures that were given up, and not looked at, because too many bytes waited for fragments of pictures in all flows together.
    #[serde(skip_serializing_if = "is_zero")]
    pub pictures_given_up: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Memory of a replay, measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::exhaustive_structs, reason = "measured by the command line")]
pub struct MemoryRecord {
    /// Largest resident set of the process until the report was written, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// By how much the memory that the process allocated grew from before the first packet to behind the last, in bytes; flows that
    /// have ended are held until then too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flows_bytes: Option<u64>,
    /// The same for each flow; left out where flows are fewer than a thousand, which what is there anyway would outweigh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_flow: Option<u64>,
    /// Bytes of these that a flow takes in its table: what each of its packets touches.
    pub flow_slot_bytes: u64,
}

/// The provider files that a run was judged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProviderData {
    /// How many providers.
    pub count: u64,
    /// When their sources were retrieved, as `sources.toml` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrieved: Option<String>,
}

/// One input.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FileRecord {
    /// Its name as given.
    pub name: String,
    /// Packets read.
    pub packets: u64,
    /// Bytes of the file as it is stored; with `--hash` or `--export-pcap`, and in HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// SHA-256 of these bytes, hex; with `--hash` or `--export-pcap`, and in HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Why there is no `sha256` although one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_hashed: Option<String>,
    /// The file's size or time of change differed after it was read: the sum may be of other bytes than the report.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub changed_while_read: bool,
    /// Why reading stopped before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Named oddities with their counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub anomalies: BTreeMap<String, u64>,
}

/// One policy file.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PolicyRecord {
    /// Its name as given.
    pub name: String,
    /// SHA-256 of it, hex.
    pub sha256: String,
    /// Rules in it.
    pub rules: u64,
    /// Exceptions in it.
    pub exceptions: u64,
}

/// One TLS key log.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeyLogRecord {
    /// Name of the file as given; of a capture, where it holds secrets of its own.
    pub name: String,
    /// Lines in all.
    pub lines: u64,
    /// Lines with a secret that was taken.
    pub secrets: u64,
    /// Different sessions.
    pub sessions: u64,
    /// Lines with a label that nothing makes use of, such as `RSA`.
    pub unused: u64,
    /// Lines that repeat one before them.
    pub repeated: u64,
    /// Lines with another secret for what a line before them gave; the first is used.
    pub conflicting: u64,
    /// Lines that are no line of a key log.
    pub malformed: u64,
    /// The first of these, and what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_malformed: Option<String>,
    /// Lines beyond the cap on sessions.
    pub left_out: u64,
    /// Flows whose handshake has secrets in it.
    pub flows: u64,
}
