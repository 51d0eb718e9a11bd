//! The records: what a run says, as plain data. Their names are an interface that others script against.
//!
//! NDJSON follows the conventions of Suricata's EVE: `timestamp`, `event_type`, `src_ip`, `src_port`, `dest_ip`,
//! `dest_port`, `proto`, `community_id`, a `flow` object with `pkts_toserver` and its like. `src` is the originator.

mod alert;
mod cipher;
mod finding;
mod flow;
mod jurisdiction;
mod live;
mod media;
mod meeting;
mod phase;
mod place;
mod protocol;
mod session;
mod signalling;
mod software;
mod stats;
mod trend;
mod witness;

use compact_str::CompactString;
use serde::Serialize;

use crate::time::Timestamp;

pub use super::time::EveTime;
pub use alert::{AlertException, AlertParticipant, AlertReason, AlertRecord, EveAlert};
pub use cipher::{CipherRecord, PartsRecord, SessionCipherRecord};
pub use finding::{Finding, Severity};
pub use flow::{FlowCounters, FlowRecord, RunnerUp};
pub use jurisdiction::{GroupRecord, JurisdictionRecord, LawRecord, ReachPart, ReachRecord};
pub use live::{InterfaceRecord, LiveRecord, SinkRecord, WorkerRecord};
pub use media::{
    AudioLevelRecord, CaptureLossRecord, EstimateRecord, EstimateWay, FrozenRecord, LossRecord, MosInputs,
    MosRecord, ReportedRecord, RtcpRecord, RtpRecord, RttHalf, RttRecord, SeriesRecord,
};
pub use meeting::{AddedBy, JointRecord, MeetingEndpoint, MeetingJurisdiction, MeetingRecord};
pub use phase::Phase;
pub use place::{AgainstRecord, ContradictedRecord, DistanceFrom, DistanceRecord, PlaceClaim, PlaceHint};
pub use protocol::{
    CertificateRecord, DnsRecord, DtlsRecord, OpenedRecord, QuicRecord, SipCallRecord, SipRecord, StunRecord,
    TlsRecord, ZoomRecord,
};
pub use session::{
    AddressChangeRecord, AddressRecord, ContactRecord, EndToEndRecord, EndpointRecord, FlowKeyingRecord,
    HandshakeRecord, HolderRecord, KeysRecord, MediaRecord, PlaceRecord, ServerRecord, ServiceOperator,
    SessionRecord, WayRecord,
};
pub use signalling::{ChainRecord, SignallingRecord};
pub use software::{
    AnswerRecord, CertificateCount, InventoryRecord, InventoryServerRecord, NetworkCount, ShownCertificate,
    SoftwareRecord, SpreadRecord, TouchRecord,
};
pub use stats::{
    FileRecord, FlowStats, KeyLogRecord, MemoryRecord, PacketStats, PolicyRecord, ProviderData, StatsRecord,
    StreamRecord,
};
pub use trend::{TrendRecord, TrendWay};
pub use witness::{OpenedStreamRecord, TriedRecord, WitnessRecord};

/// One record of any kind.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event_type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A flow.
    Flow(Box<FlowRecord>),
    /// A session.
    Session(Box<SessionRecord>),
    /// A meeting.
    Meeting(Box<MeetingRecord>),
    /// A rule of a policy that a session breaks, or of which it cannot be determined.
    Alert(Box<AlertRecord>),
    /// Servers whose answers to TLS are equal.
    Software(Box<SoftwareRecord>),
    /// A server of the inventory.
    Server(Box<InventoryServerRecord>),
    /// What an inventory comes to; the last record of one.
    Inventory(Box<InventoryRecord>),
    /// What the run counted; always the last record.
    Stats(Box<StatsRecord>),
}

/// A record that is written where it was made: of flows there are hundreds of thousands, and sessions are large.
#[derive(Debug, Serialize)]
#[serde(tag = "event_type", rename_all = "snake_case")]
pub(super) enum InPlace<'r> {
    /// As [`Record::Flow`].
    Flow(&'r FlowRecord),
    /// As [`Record::Session`].
    Session(&'r SessionRecord),
}

impl Record {
    /// Which kind it is of; an inventory's have none.
    pub const fn kind(&self) -> Option<Kind> {
        match self {
            Self::Flow(_) => Some(Kind::Flow),
            Self::Session(_) => Some(Kind::Session),
            Self::Meeting(_) => Some(Kind::Meeting),
            Self::Alert(_) => Some(Kind::Alert),
            Self::Stats(_) => Some(Kind::Stats),
            Self::Software(_) | Self::Server(_) | Self::Inventory(_) => None,
        }
    }

    /// Says where what it tells of stands in its life, and when that is told; flows are told only when they have ended, and have no phase.
    #[must_use]
    pub fn in_phase(mut self, phase: Phase, now: Timestamp) -> Self {
        let (place, told_at) = match &mut self {
            Self::Session(record) => (&mut record.phase, &mut record.told_at),
            Self::Meeting(record) => (&mut record.phase, &mut record.told_at),
            Self::Alert(record) => (&mut record.phase, &mut record.told_at),
            Self::Stats(record) => (&mut record.phase, &mut record.told_at),
            Self::Flow(_) | Self::Software(_) | Self::Server(_) | Self::Inventory(_) => return self,
        };
        (*place, *told_at) = (Some(phase), Some(super::time::eve(now)));
        self
    }
}

/// Which records to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// `flow`.
    Flow,
    /// `session`.
    Session,
    /// `meeting`.
    Meeting,
    /// `alert`.
    Alert,
    /// `stats`.
    Stats,
}

/// A packet as evidence, in the numbers that Wireshark shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PacketNumber {
    /// Index of the file in `stats.files`, left out when the run had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<u64>,
    /// Frame number within the file, from 1.
    pub frame: u64,
}

impl PacketNumber {
    /// `5`, in a run over several files `5 of file 1`.
    pub fn words(self) -> String {
        match self.file {
            Some(file) => format!("{} of file {file}", self.frame),
            None => self.frame.to_string(),
        }
    }
}

/// One reason.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EvidenceRecord {
    /// Kind of evidence: `sni`, `dns_name`, `prefix`, `stun_realm`, `wire_mark`, `tie_socket` and others.
    pub what: &'static str,
    /// What was seen.
    #[cfg_attr(test, schemars(with = "String"))]
    pub value: CompactString,
    /// What it is worth alone, 0 to 1.
    pub weight: f32,
    /// Packet that shows it; left out for a property of the addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<PacketNumber>,
    /// App that it speaks for, when that is not the flow's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub app: Option<CompactString>,
    /// Present and true when only an unchecked source stands behind it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
}
