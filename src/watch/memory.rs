//! The memory of a run. In: what it may use, and what the process has in use. Out: how many flows may be held.
//!
//! Tables are sized beforehand so that what is usual fits. What is not usual (streams take more than other flows) is met by holding
//! fewer flows when little is left: the tables let the least valuable go first, those of which nothing is known and then those that
//! are only counted, and count them.

use std::path::{Path, PathBuf};

use crate::flow::WAITING_BYTES;
use crate::observe::facts::Sampling;
use crate::session::KEPT_BYTES;

/// Bytes of a flow of which little is known, with its place in the tables; a one-packet flow of UDP takes some 1100.
const FLOW: u64 = 2048;
/// Bytes of the program, its libraries and data, and of what it has in use when nothing has come yet.
const PROGRAM: u64 = 28 << 20;
/// Bytes of a flow that has ended.
const ENDED: u64 = 1024;
/// Bytes of the secrets of a session of a key log.
const SECRETS: u64 = 768;
/// Bytes of a session that goes on, as it was told last.
const GOING: u64 = 32 << 10;
/// Bytes of a flow of a call as it is copied to be told of while it goes on.
const CALL: u64 = 8 << 10;
/// Bounds of the ended flows that wait for the judge: what a flood ends in a tenth of a second, and in one.
const WAITING: (usize, usize) = (1 << 13, 1 << 17);
/// Bounds of the flows of calls that are copied: some thousand calls at most.
const CALLS: (usize, usize) = (1 << 8, 1 << 13);
/// Bounds of the bytes of packets that a worker holds: at most 200 ms at 2.5 Gbit/s, and 16 MiB on their way.
const PACKETS: (usize, usize) = (4 << 20, 80 << 20);
/// Bounds of the bytes that wait in flows, of all workers and of each: at least a picture of the greatest length in each partition of one,
/// with a quarter of it to grow.
const UNFINISHED: (usize, usize) = (12 << 20, WAITING_BYTES);
/// Bounds of the bytes that are kept of a stream for secrets to be tried on.
const SAMPLES: (usize, usize) = (1 << 14, 1 << 18);
/// Share of the budget from which on fewer flows are held while what is in use grows, in percent. What is let go takes memory
/// until it is judged.
const HIGH: u64 = 75;
/// Share of it from which on they become fewer in any case, in percent.
const FULL: u64 = 85;
/// Shares of it below which more are held again, by and by and at once, in percent.
const LOW: u64 = 65;
const EASY: u64 = 50;
/// Share of it that judging keeps to, in percent.
const ALL: u64 = 95;
/// Flows that end together, whatever they take.
const TOGETHER: usize = 1 << 10;
/// Flows that are held however little memory there is.
const FEWEST: usize = 1 << 4;
/// Sessions that are kept for their meetings likewise.
const FEWEST_SESSIONS: usize = 1 << 8;
/// A budget below this has no room for the program itself.
pub const LEAST_MIB: u64 = 128;

/// How much memory a run may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    bytes: u64,
    /// What is left of it for tables.
    tables: u64,
}

impl Budget {
    /// So many MiB; or a quarter of the machine's memory or three quarters of what the control group allows, whichever is less.
    pub fn new(mib: Option<u64>) -> Self {
        let chosen = mib.map(|mib| mib.saturating_mul(1 << 20));
        let quarter = machine().map(|bytes| bytes.saturating_div(4));
        let group = group().map(|bytes| bytes.saturating_div(4).saturating_mul(3));
        let own = [quarter, group].into_iter().flatten().min();
        let bytes = chosen.or(own).unwrap_or(1 << 30).max(LEAST_MIB << 20);
        Self { bytes, tables: bytes.saturating_sub(PROGRAM) }
    }

    /// With so many MiB that are in use whatever comes, as the kernel's buffers are; tables have at least a quarter of the whole.
    #[must_use]
    pub fn beside(self, mib: u64) -> Self {
        let left = self.tables.saturating_sub(mib.saturating_mul(1 << 20));
        Self { tables: left.max(self.bytes.saturating_div(4)), ..self }
    }

    /// What is left of it for tables, in bytes. The shares of it that follow are together more than the whole: not all is usual at
    /// once, and flows make room where it is.
    pub const fn tables(self) -> u64 {
        self.tables
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// Bytes of packets after which memory is looked at, in each of so many workers: what is read of one may take some times its bytes.
    pub fn step(self, workers: usize) -> u64 {
        let workers = u64::try_from(workers).unwrap_or(u64::MAX);
        self.bytes.saturating_div(256).checked_div(workers).unwrap_or(self.bytes)
    }

    /// True where little is left of it.
    pub(super) const fn is_short(self, used: u64) -> bool {
        used >= self.share(HIGH)
    }

    const fn share(self, percent: u64) -> u64 {
        self.bytes.saturating_div(100).saturating_mul(percent)
    }

    /// Flows that are alive, at most: half of the tables.
    pub fn flows(self) -> usize {
        of(self.tables.saturating_div(2), FLOW).max(FEWEST)
    }

    /// Ended flows that wait for their endpoint to fall silent, at most: a sixteenth of the tables.
    pub fn held(self) -> usize {
        of(self.tables.saturating_div(16), ENDED).max(FEWEST)
    }

    /// Sessions that are kept for their meetings, at most: an eighth of the tables.
    pub fn sessions(self) -> usize {
        (of(self.tables.saturating_div(8), 1) / KEPT_BYTES).max(FEWEST_SESSIONS)
    }

    /// Bytes of names of addresses that are remembered, at most: a thirty-second of the tables.
    pub const fn names(self) -> u64 {
        self.tables.saturating_div(32)
    }

    /// Sessions of which a key log's secrets are kept, at most: a sixteenth of the tables.
    pub fn key_sessions(self) -> usize {
        of(self.tables.saturating_div(16), SECRETS)
    }

    /// Bytes that wait in the flows of a worker until more has come, at most: together an eighth of the tables.
    pub fn unfinished(self, workers: usize) -> usize {
        let all = of(self.tables.saturating_div(8), 1).max(UNFINISHED.0);
        all.checked_div(workers).unwrap_or(all).min(UNFINISHED.1)
    }

    /// How much of a stream is kept once there are secrets to be tried on it: a flow may have 64 streams.
    pub fn sampling_with_secrets(self) -> Sampling {
        let bytes = of(self.tables.saturating_div(4096), 1).clamp(SAMPLES.0, SAMPLES.1);
        Sampling { bytes: u32::try_from(bytes).unwrap_or(u32::MAX), ..Sampling::SOME }
    }

    /// Sessions that are told of while they go on, at most: an eighth of the tables.
    pub fn going(self) -> usize {
        of(self.tables.saturating_div(8), GOING).max(FEWEST_SESSIONS)
    }

    /// Ended flows on their way to the judge, at most, over all workers: an eighth of the tables.
    pub fn waiting(self) -> usize {
        of(self.tables.saturating_div(8), ENDED).clamp(WAITING.0, WAITING.1)
    }

    /// Flows of calls that a worker copies in a look, at most, and as many others of their endpoints: together an eighth of the tables.
    pub fn calls(self, workers: usize) -> usize {
        let all = of(self.tables.saturating_div(16), CALL);
        all.checked_div(workers).unwrap_or(all).clamp(CALLS.0, CALLS.1)
    }

    /// Bytes of packets that a worker holds for their order or has on their way from others, at most: together an eighth of the tables.
    pub fn packets(self, workers: usize) -> usize {
        let all = of(self.tables.saturating_div(8), 1);
        all.checked_div(workers).unwrap_or(all).clamp(PACKETS.0, PACKETS.1)
    }
}

fn of(bytes: u64, each: u64) -> usize {
    usize::try_from(bytes.checked_div(each).unwrap_or(0)).unwrap_or(usize::MAX)
}

/// Keeps to a budget.
#[derive(Debug)]
pub(super) struct Keeper {
    budget: Budget,
    /// Flows that may be held now.
    flows: usize,
    /// What was in use when it was lowered last.
    lowered_at: u64,
    used: Option<u64>,
}

impl Keeper {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, flows: budget.flows(), lowered_at: 0, used: None }
    }

    /// Memory in use at the last look.
    pub(super) const fn used(&self) -> Option<u64> {
        self.used
    }

    pub(super) const fn budget(&self) -> Budget {
        self.budget
    }

    /// True where little is left, and so much less than at the last look that the next should not be waited for. Not for every growth:
    /// what was let go takes a while to be free.
    pub(super) fn is_outgrown(&self, used: Option<u64>) -> bool {
        let before = self.used.unwrap_or(0).saturating_add(self.budget.bytes.saturating_div(64));
        used.is_some_and(|used| self.budget.is_short(used) && used >= before)
    }

    /// Bytes that flows may weigh which are judged together, now that so many are in use: as much as is left, and a thirty-second at least. What was
    /// let go is used again, though the system may not get it back.
    pub(super) fn room(&self, used: Option<u64>) -> usize {
        let left = self.budget.share(ALL).saturating_sub(used.unwrap_or(0));
        of(left.max(self.budget.bytes().saturating_div(32)), 1)
    }

    /// How many of so many flows may end together, where there is no room for all: what is left of a flow that has ended may take half
    /// as much again as it did.
    pub(super) fn portion(&self, used: Option<u64>, flows: usize) -> Option<usize> {
        let used = used?;
        let left = self.budget.share(ALL).saturating_sub(used);
        let own = used.saturating_sub(PROGRAM);
        let each = own.checked_div(u64::try_from(flows).unwrap_or(u64::MAX)).unwrap_or(0).max(1);
        (left.saturating_mul(2) < own).then(|| of(left, each).max(TOGETHER))
    }

    /// As much of what is usual as there may be of flows; few flows are as many of these too.
    pub(super) fn scaled(&self, usual: usize) -> usize {
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let share = of(wide(usual).saturating_mul(wide(self.flows)), wide(self.budget.flows()));
        share.max(FEWEST_SESSIONS.min(self.flows))
    }

    /// How many flows may be held, now that so many bytes are in use and so many flows are held.
    pub(super) fn look(&mut self, used: Option<u64>, held: usize) -> usize {
        self.used = used;
        let Some(used) = used else { return self.flows };
        // What was let go is used again, though the system may not get it back: without growth there is no reason for more. What
        // was in use is forgotten by and by, so that slow growth is met as fast growth is.
        let grows = used > self.lowered_at;
        self.lowered_at = self.lowered_at.saturating_sub(self.lowered_at.saturating_sub(used).div_ceil(32));
        // Down to what an eighth of the usual is: were it not flows that fill the memory, fewer would not help.
        let is_full = used >= self.budget.share(FULL) && self.flows > self.budget.flows().div_ceil(8);
        if is_full || (used >= self.budget.share(HIGH) && grows) {
            // Little by little below that, or one call too many would cost many flows.
            let fewer =
                held.saturating_sub(held.div_ceil(if used >= self.budget.share(FULL) { 8 } else { 32 }));
            self.flows = self.flows.min(fewer).max(FEWEST);
            self.lowered_at = used;
        } else if used < self.budget.share(LOW) && self.flows < self.budget.flows() {
            // Fast, or a burst would cost what comes behind it for minutes.
            let more = if used < self.budget.share(EASY) { self.flows } else { self.flows.div_ceil(8) };
            self.flows = self.flows.saturating_add(more).min(self.budget.flows());
            self.lowered_at = 0;
        }
        self.flows
    }
}

/// Memory that the process has in use, in bytes, where the system tells.
pub(super) fn used() -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// What the kernel counts of the process, in bytes: proc(5), `/proc/pid/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InUse {
    /// What it allocated itself, without pages of files.
    pub anonymous: u64,
    /// The largest resident set so far.
    pub peak: u64,
}

/// Memory that the process has in use, where the system tells.
pub fn in_use() -> Option<InUse> {
    InUse::of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

impl InUse {
    fn of(status: &str) -> Option<Self> {
        Some(Self { anonymous: kibibytes(status, "RssAnon:")?, peak: kibibytes(status, "VmHWM:")? })
    }
}

/// Memory of the machine, in bytes. Asked of the kernel itself: systemd's `ProcSubset=pid` hides `/proc/meminfo`.
#[cfg(target_os = "linux")]
fn machine() -> Option<u64> {
    let info = rustix::system::sysinfo();
    // In units of so many bytes: sysinfo(2).
    u64::try_from(u128::from(info.totalram).checked_mul(u128::from(info.mem_unit))?).ok()
}

/// Memory of the machine, which nothing here asks this system for.
#[cfg(not(target_os = "linux"))]
const fn machine() -> Option<u64> {
    None
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// What the control groups above the process allow: the least, of version 2 and of version 1.
fn group() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut least: Option<u64> = None;
    for file in limits(&text) {
        // `max` is no number.
        let limit = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u64>().ok());
        least = least.into_iter().chain(limit).min();
    }
    least
}

/// The files with limits, by what `/proc/self/cgroup` says.
fn limits(text: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            other if other.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        files.extend(path.ancestors().map(|above| Path::new(root).join(above).join(name)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let status = "Name:\tmeetscope\nVmHWM:\t   99 kB\nVmRSS:\t   12345 kB\nRssAnon:\t1 kB\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(12345 * 1024));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
        assert_eq!(InUse::of(status), Some(InUse { anonymous: 1024, peak: 99 * 1024 }));
        assert_eq!(kibibytes("VmRSS:\t many kB\n", "VmRSS:"), None);
        if cfg!(target_os = "linux") {
            assert!(used().unwrap() > 1 << 20);
            let block = vec![1_u8; 64 << 20];
            let with = in_use().unwrap();
            assert!(with.anonymous >= 64 << 20 && with.peak >= with.anonymous);
            drop(block);
            assert!(in_use().unwrap().peak >= 64 << 20, "it is the largest there was");
            let told = kibibytes(&std::fs::read_to_string("/proc/meminfo").unwrap(), "MemTotal:").unwrap();
            assert_eq!(machine(), Some(told));
        }
    }

    /// Lines as cgroups(7) shows them.
    #[test]
    fn limits_of_groups_above_count_too() {
        let two = limits("0::/user.slice/session-2.scope\n");
        let names: Vec<&str> = two.iter().map(|file| file.to_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "/sys/fs/cgroup/user.slice/session-2.scope/memory.max",
                "/sys/fs/cgroup/user.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        let one = limits("5:cpuacct,cpu:/daemons\n4:memory:/daemons\n");
        assert_eq!(
            one.first().unwrap().to_str(),
            Some("/sys/fs/cgroup/memory/daemons/memory.limit_in_bytes")
        );
    }

    #[test]
    fn with_little_memory_everything_that_waits_is_less() {
        let parts = |mib, buffers| {
            let budget = Budget::new(Some(mib)).beside(buffers);
            let bytes = |number: usize, each: u64| u64::try_from(number).unwrap() * each;
            [
                bytes(budget.flows(), FLOW),
                bytes(budget.held() + budget.waiting(), ENDED),
                bytes(budget.sessions(), u64::try_from(KEPT_BYTES).unwrap()),
                bytes(2 * budget.calls(1), CALL),
                bytes(budget.packets(1), 1),
                budget.tables() / 8,
            ]
        };
        let little: u64 = parts(128, 64).into_iter().sum();
        assert!(little < (128 - 64) << 20, "{} MiB", little >> 20);
        for (more, less) in parts(1024, 64).into_iter().zip(parts(256, 64)) {
            assert!(more > less, "{more} {less}");
        }
        // Where buffers take all of it there are tables nevertheless.
        assert_eq!(Budget::new(Some(128)).beside(2047).tables(), 32 << 20);
    }

    #[test]
    fn growth_that_cannot_wait_for_the_next_look_is_a_64th_of_the_budget() {
        let mut keeper = Keeper::new(Budget::new(Some(128)));
        let mib = |mib: u64| Some(mib << 20);
        assert!(!keeper.is_outgrown(None) && !keeper.is_outgrown(mib(95)) && keeper.is_outgrown(mib(97)));
        keeper.look(mib(97), 1000);
        assert!(!keeper.is_outgrown(mib(98)) && keeper.is_outgrown(mib(99)));
        keeper.look(mib(110), 1000);
        assert!(!keeper.is_outgrown(mib(109)));
        assert_eq!((Budget::new(Some(128)).step(1), Budget::new(Some(128)).step(4)), (1 << 19, 1 << 17));
    }

    #[test]
    fn what_a_flow_may_hold_follows_the_budget_between_its_bounds() {
        let (little, much) = (Budget::new(Some(128)), Budget::new(Some(4096)));
        assert_eq!([1, 4].map(|workers| little.unfinished(workers)), [100 << 17, 25 << 17]);
        assert_eq!([1, 16].map(|workers| much.unfinished(workers)), [64 << 20, 4068 << 13]);
        assert_eq!(little.sampling_with_secrets(), Sampling { bytes: 25_600, ..Sampling::SOME });
        assert_eq!(much.sampling_with_secrets(), Sampling::SOME);
    }

    #[test]
    fn what_ends_and_is_judged_together_has_room() {
        let keeper = Keeper::new(Budget::new(Some(1024)));
        let mib = |mib: u64| Some(mib << 20);
        // Of 972 MiB 372 are left, and 572 are those of flows.
        assert_eq!((keeper.portion(mib(600), 10_000), keeper.room(mib(600)) >> 20), (None, 372));
        // 172, and 772.
        assert_eq!((keeper.portion(mib(800), 10_000), keeper.room(mib(800)) >> 20), (Some(2238), 172));
        for used in [1000, 5000] {
            assert_eq!(
                (keeper.portion(mib(used), 10_000), keeper.room(mib(used)) >> 20),
                (Some(TOGETHER), 32)
            );
        }
        assert_eq!((keeper.portion(None, 7), keeper.room(None) >> 20), (None, 972));
    }

    #[test]
    fn few_flows_are_as_few_of_what_is_held_beside_them() {
        let mut keeper = Keeper::new(Budget::new(Some(128)));
        assert_eq!(keeper.scaled(6400), 6400);
        keeper.flows = 1280;
        assert_eq!((keeper.scaled(6400), keeper.scaled(10)), (320, FEWEST_SESSIONS));
        keeper.flows = 20;
        assert_eq!(keeper.scaled(6400), 20);
    }

    #[test]
    fn fewer_flows_are_held_while_memory_grows_and_more_again_when_it_is_there() {
        let budget = Budget::new(Some(1024));
        let mut keeper = Keeper::new(budget);
        let all = budget.flows();
        let percent = |percent: u64| Some(budget.bytes() / 100 * percent);
        assert_eq!(keeper.look(percent(50), 1000), all);
        let fewer = keeper.look(percent(80), 100_000);
        assert_eq!(fewer, 96_875);
        assert_eq!(keeper.look(percent(80), fewer), fewer, "what was freed is not given back at once");
        assert!(keeper.look(percent(82), fewer) < fewer);
        let low = keeper.look(percent(70), 70_000);
        assert!(keeper.look(percent(60), 70_000) > low);
        for _ in 0..1000 {
            keeper.look(percent(60), 70_000);
        }
        assert_eq!(keeper.look(percent(60), 70_000), all);
        let full = keeper.look(percent(91), 80_000);
        assert!(keeper.look(percent(91), full) < full, "fuller than this it need not grow");
        let mut held = full;
        for _ in 0..100 {
            held = keeper.look(percent(91), held);
        }
        assert!(
            (all / 10..=all / 8).contains(&held),
            "something else than flows fills the memory: {held} of {all}"
        );
        for used in 0..200_000_u64 {
            keeper.look(percent(95).map(|bytes| bytes + used), 2000);
        }
        assert_eq!(keeper.look(percent(99), 18), FEWEST);
    }
}
