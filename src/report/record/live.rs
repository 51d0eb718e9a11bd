//! What a run on interfaces counts beside what every run does: interfaces with their workers, destinations of records, memory.

use serde::Serialize;

/// One watched interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::exhaustive_structs, reason = "filled in by the watching stage")]
pub struct InterfaceRecord {
    /// Its name.
    pub name: String,
    /// Link type, as libpcap names it.
    pub link_type: String,
    /// Packets that the kernel took for us, over all workers.
    pub received: u64,
    /// Packets that found the kernel's buffer full, over all workers.
    pub dropped_by_kernel: u64,
    /// Packets that the interface or its driver dropped.
    pub dropped_by_interface: u64,
    /// Each worker's share.
    pub workers: Vec<WorkerRecord>,
    /// Settings that distort what is captured (GRO, LRO, VLAN stripping), in a sentence each with the command that turns it off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub distortions: Vec<String>,
    /// Why it is not read from any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One worker on one interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::exhaustive_structs, reason = "filled in by the watching stage")]
pub struct WorkerRecord {
    /// Its number, from 0.
    pub worker: u64,
    /// Packets that the kernel took for it.
    pub received: u64,
    /// Of those: found its buffer full.
    pub dropped_by_kernel: u64,
    /// Packets that it has looked at.
    pub analysed: u64,
    /// Packets that were lost on the way from one worker to another.
    pub dropped_by_us: u64,
}

/// One destination of records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::exhaustive_structs, reason = "filled in by the sinks")]
pub struct SinkRecord {
    /// Where to, as it was given.
    pub name: String,
    /// Records meant for it: `offered = written + lost + queued`.
    pub offered: u64,
    /// Records handed over: to the file, or to the system on the way to a peer.
    pub written: u64,
    /// Of `written`: nobody knows whether the peer took them. What buffers may have held when a connection broke, and all that was
    /// sent over UDP. `written - in_doubt` were taken.
    pub in_doubt: u64,
    /// Records that were lost because it was slow or away.
    pub lost: u64,
    /// Records that wait for it.
    pub queued: u64,
    /// How often it was connected to again.
    pub reconnects: u64,
    /// What is wrong with it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a run holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::exhaustive_structs, reason = "filled in by the watching stage")]
pub struct LiveRecord {
    /// Seconds since the watching began.
    pub uptime_s: u64,
    /// Flows alive.
    pub flows_alive: u64,
    /// Ended flows that wait for their endpoint to fall silent.
    pub flows_held: u64,
    /// Sessions that go on.
    pub sessions_alive: u64,
    /// Memory that the process has in use, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// What `--memory-mib` allows, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_budget_bytes: Option<u64>,
    /// Ended flows that were lost because the judging fell behind.
    pub flows_lost: u64,
    /// Flows of calls that are alive and are told of only when they have ended, because too many are alive.
    pub flows_left_out: u64,
    /// Sessions that go on and are told of only when they have ended, because there is no room for more.
    pub sessions_left_out: u64,
    /// How often the clock that stamps packets was set, by more than a minute.
    pub clock_steps: u64,
}
