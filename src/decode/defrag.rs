//! IP reassembly (RFC 791 §3.2, RFC 8200 §4.5) with bounds on memory and on time.
//!
//! etherparse has a pool for this, but its own documentation calls it unsafe against exhaustion, and there a
//! later fragment overwrites an earlier one. Here the bytes that came first stay; what overlaps is counted.
//! When memory is full, the datagram that was begun first is given up, so that a replay always gives up the same.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;

use super::counters::{Counters, Reason, bump};
use super::ip::IpHeader;
use super::path::Path;
use super::walk::{Fragment, is_v4};
use crate::time::Timestamp;

/// Largest IP payload that the 13-bit fragment offset can describe, in bytes.
const MAX_DATAGRAM: usize = 65_535;
/// Bytes set aside for all unfinished datagrams of one decoder.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Unfinished datagrams of one decoder.
pub(super) const MAX_PENDING: usize = 4096;
/// Separate pieces of one datagram; a datagram of 64 KiB in Ethernet frames has 45.
const MAX_PIECES: usize = 128;
/// How long the rest may take, counted from the first to come; Linux waits as long.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// How many finished datagrams are remembered, to know late second copies of their fragments.
const REMEMBERED: usize = 64;

/// What makes fragments siblings. The path is part of it: two VLANs may use one address range twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    /// 0 for IPv6, where it does not count.
    protocol: u8,
    id: u32,
    path: Path,
}

/// An unfinished datagram.
struct Pending {
    /// The header of the first fragment, or of the earliest until that has come.
    ip: IpHeader,
    protocol: u8,
    has_first: bool,
    /// Known when the last fragment has come.
    total: Option<usize>,
    data: Vec<u8>,
    /// What is there, sorted, apart from one another, not empty.
    pieces: Vec<(usize, usize)>,
    begun: Timestamp,
    serial: u64,
    wire_len: u32,
}

/// A datagram that is whole.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) ip: IpHeader,
    pub(super) protocol: u8,
    pub(super) payload: Vec<u8>,
    /// Bytes of all its frames.
    pub(super) wire_len: u32,
    /// Its number among the datagrams of the decoder.
    pub(super) serial: u64,
}

/// What became of a fragment.
pub(super) enum Added {
    /// Kept with the other fragments of the datagram of this number.
    Held(u64),
    /// A second copy, of a datagram that was passed on.
    Late,
    Whole(Datagram),
    Refused(Reason),
}

#[derive(Default)]
pub(super) struct Defragmenter {
    pending: HashMap<Key, Pending>,
    /// Oldest first.
    order: BTreeMap<u64, Key>,
    next_serial: u64,
    bytes: usize,
    finished: VecDeque<(Key, Timestamp)>,
}

impl Defragmenter {
    /// Adds a fragment that came at `now` in a frame of `wire_len` bytes. Fragments of a datagram that was
    /// finished less than `late` ago are second copies.
    pub(super) fn add(
        &mut self,
        fragment: &Fragment<'_>,
        path: &Path,
        now: Timestamp,
        wire_len: u32,
        late: Duration,
        counters: &mut Counters,
    ) -> Added {
        if let Err(reason) = check(fragment) {
            return Added::Refused(reason);
        }
        let key = Key {
            source: fragment.ip.source,
            destination: fragment.ip.destination,
            protocol: if is_v4(fragment.ip.source) { fragment.protocol } else { 0 },
            id: fragment.id,
            path: *path,
        };
        self.expire(now, counters);
        if !self.pending.contains_key(&key) && self.is_late(&key, now, late) {
            return Added::Late;
        }
        let serial = self.next_serial;
        let pending = self.pending.entry(key).or_insert_with(|| Pending::new(fragment, now, serial));
        if pending.serial == serial {
            self.order.insert(serial, key);
            self.next_serial = self.next_serial.wrapping_add(1);
        }
        let before = pending.data.len();
        pending.add(fragment, wire_len, counters);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(pending.data.len());
        let own = pending.serial;
        let added = if pending.is_whole() { self.finish(&key, now, own) } else { Added::Held(own) };
        while self.bytes > MAX_BYTES || self.pending.len() > MAX_PENDING {
            bump(&mut counters.datagrams_evicted);
            self.drop_oldest(counters);
        }
        counters.datagrams_pending = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
        added
    }

    fn finish(&mut self, key: &Key, now: Timestamp, serial: u64) -> Added {
        let Some(whole) = self.pending.remove(key) else {
            return Added::Held(serial);
        };
        self.order.remove(&whole.serial);
        self.bytes = self.bytes.saturating_sub(whole.data.len());
        if self.finished.len() >= REMEMBERED {
            self.finished.pop_front();
        }
        self.finished.push_back((*key, now));
        let mut payload = whole.data;
        payload.truncate(whole.total.unwrap_or(usize::MAX));
        let ip = IpHeader { payload_len: payload.len(), ..whole.ip };
        Added::Whole(Datagram { ip, protocol: whole.protocol, payload, wire_len: whole.wire_len, serial })
    }

    fn is_late(&self, key: &Key, now: Timestamp, late: Duration) -> bool {
        !late.is_zero() && self.finished.iter().any(|(done, at)| now.since(*at) <= late && done == key)
    }

    fn expire(&mut self, now: Timestamp, counters: &mut Counters) {
        while let Some(key) = self.order.first_entry()
            && self.pending.get(key.get()).is_none_or(|oldest| now.since(oldest.begun) > TIMEOUT)
        {
            bump(&mut counters.datagrams_timed_out);
            self.drop_oldest(counters);
        }
    }

    fn drop_oldest(&mut self, counters: &mut Counters) {
        if let Some((_, key)) = self.order.pop_first()
            && let Some(lost) = self.pending.remove(&key)
        {
            self.bytes = self.bytes.saturating_sub(lost.data.len());
            if lost.has_first {
                bump(&mut counters.first_fragments_lost);
            }
        }
    }
}

/// What no host would accept is not kept; what the capture cut cannot be made whole.
fn check(fragment: &Fragment<'_>) -> Result<(), Reason> {
    let length = fragment.span.wire();
    if fragment.span.is_cut() {
        return Err(Reason::FragmentTruncated);
    }
    let aligned = !fragment.more || length.is_multiple_of(8);
    if length == 0 || !aligned || fragment.offset.saturating_add(length) > MAX_DATAGRAM {
        return Err(Reason::FragmentInvalid);
    }
    Ok(())
}

impl Pending {
    fn new(fragment: &Fragment<'_>, begun: Timestamp, serial: u64) -> Self {
        Self {
            ip: fragment.ip,
            protocol: fragment.protocol,
            has_first: false,
            total: None,
            data: Vec::new(),
            pieces: Vec::new(),
            begun,
            serial,
            wire_len: 0,
        }
    }

    fn add(&mut self, fragment: &Fragment<'_>, wire_len: u32, counters: &mut Counters) {
        let (start, end) = (fragment.offset, fragment.offset.saturating_add(fragment.span.data().len()));
        if start == 0 && !self.has_first {
            (self.has_first, self.ip, self.protocol) = (true, fragment.ip, fragment.protocol);
        }
        let reaches = self.pieces.last().map_or(0, |(_, end)| *end);
        match self.total {
            Some(total) if end > total || (!fragment.more && end != total) => {
                bump(&mut counters.fragments_conflicting);
                return;
            }
            None if !fragment.more && end < reaches => {
                bump(&mut counters.fragments_conflicting);
                return;
            }
            None if !fragment.more => self.total = Some(end),
            _ => {}
        }
        if self.pieces.iter().any(|(from, to)| *from <= start && end <= *to) {
            bump(&mut counters.fragments_repeated);
            return;
        }
        if self.pieces.len() >= MAX_PIECES {
            bump(&mut counters.fragments_conflicting);
            return;
        }
        if self.pieces.iter().any(|(from, to)| *from < end && start < *to) {
            bump(&mut counters.fragments_overlapping);
        }
        self.wire_len = self.wire_len.saturating_add(wire_len);
        self.fill(start, end, fragment.span.data());
    }

    /// Copies what is not there yet and joins the pieces.
    fn fill(&mut self, start: usize, end: usize, bytes: &[u8]) {
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        let mut joined = (start, end);
        let mut from = start;
        let mut kept = Vec::with_capacity(self.pieces.len().saturating_add(1));
        for &(piece_start, piece_end) in &self.pieces {
            if piece_end < start || piece_start > end {
                kept.push((piece_start, piece_end));
                continue;
            }
            copy(&mut self.data, bytes, start, (from, piece_start));
            from = from.max(piece_end);
            joined = (joined.0.min(piece_start), joined.1.max(piece_end));
        }
        copy(&mut self.data, bytes, start, (from, end));
        let place = kept.partition_point(|piece| *piece < joined);
        kept.insert(place, joined);
        self.pieces = kept;
    }

    fn is_whole(&self) -> bool {
        self.total.is_some_and(|total| self.pieces.as_slice() == [(0, total)])
    }
}

/// Copies the part `from..to` of the datagram out of `bytes`, which begin at `start`; an empty part is fine.
fn copy(data: &mut [u8], bytes: &[u8], start: usize, (from, to): (usize, usize)) {
    let source = from.checked_sub(start).zip(to.checked_sub(start)).and_then(|(a, b)| bytes.get(a..b));
    if let (Some(source), Some(target)) = (source, data.get_mut(from..to)) {
        target.copy_from_slice(source);
    }
}
