//! Stage: link -> tunnels -> IP -> defragment -> TCP/UDP.
//!
//! In: one captured frame with its link type, its length on the wire and its time. Out: an [`Outcome`], at best
//! a [`Decoded`]: the *innermost* addresses and ports, the transport header and payload, and the [`Path`] of
//! tags and tunnels around it.
//!
//! Link types: Ethernet, Linux cooked (both), raw IP, loopback, PPP, `PPPoE`, Cisco HDLC, 802.11 with and without
//! radiotap. Tunnels: VLAN (stacked), MPLS, `PPPoE`, GRE (also PPTP), ERSPAN I to III, VXLAN, Geneve, GTP-U, IP in
//! IP, 6in4, Teredo, TZSP, Ethernet in IP. Fragments are put together at every level, within bounds on memory
//! and time. Second copies of a packet, as mirror ports give them, are dropped; `duplicate.rs` has the rule.
//!
//! Deliberately not handled: decryption (802.11, `MACsec`, `IPsec`), 802.11 fragments, L2TP, ICMP errors' inner
//! packets (they are a quotation, not traffic), checksums (on the sending machine they are often not yet filled
//! in). Port numbers prove no tunnel: what does not fit stays plain UDP.
//!
//! This is the only module that names `etherparse`. The fixed headers of the common case are read by hand, as
//! this runs for every packet; `etherparse` reads TCP and extension headers, and is the oracle in the tests.

mod counters;
mod counts;
mod defrag;
mod duplicate;
mod fast;
mod ip;
mod link;
mod packet;
mod path;
mod share;
mod span;
mod tunnel;
mod walk;
mod wifi;

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "small files; a skipped test says so"
)]
mod corpus_tests;
#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests count on small known numbers"
)]
mod tests;

use std::time::Duration;

pub use self::counters::{Counters, Reason};
pub use self::packet::{Decoded, Duplicate, Outcome, TcpFlags, Transport};
pub use self::path::{Layer, MAX_LAYERS, Path};
pub use self::share::{Deal, Parcel, Share};
pub use counts::Counts;

use self::counters::bump;
use self::defrag::{Added, Datagram, Defragmenter};
use self::duplicate::DuplicateFilter;
use self::span::Span;
use self::walk::{End, Found, Fragment, Next, walk};
use crate::time::Timestamp;

/// How often a datagram may itself turn out to be a fragment.
const MAX_NESTED_FRAGMENTS: usize = 4;

/// What the decoder is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Drop second copies of a packet.
    pub drop_duplicates: bool,
    /// Look into tunnels over IP and UDP; without it the outer packet is the result.
    pub open_tunnels: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { drop_duplicates: true, open_tunnels: true }
    }
}

/// Turns frames into packets; one per thread.
pub struct Decoder {
    config: Config,
    state: State,
    /// The tags and tunnels of the last packet, which its result borrows.
    path: Path,
    /// The datagram that the last result borrows from, if it came in fragments.
    buffer: Vec<u8>,
    share: Option<Share>,
    /// The datagram that is another decoder's.
    parcel: Option<Parcel>,
}

/// All that changes from packet to packet, apart from what results borrow from.
struct State {
    defragmenter: Defragmenter,
    duplicates: Option<DuplicateFilter>,
    counters: Counters,
    /// Numbers of the datagrams that the last packet was a part of, the outermost first.
    datagrams: Vec<u64>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Decoder {
    /// A decoder that has seen nothing.
    pub fn new(config: Config) -> Self {
        let duplicates = config.drop_duplicates.then(DuplicateFilter::new);
        let state = State {
            defragmenter: Defragmenter::default(),
            duplicates,
            counters: Counters::default(),
            datagrams: Vec::new(),
        };
        Self { config, state, path: Path::EMPTY, buffer: Vec::new(), share: None, parcel: None }
    }

    /// Leaves the packets of others alone from now on; none takes all.
    pub const fn share(&mut self, share: Option<Share>) {
        self.share = share;
    }

    /// True where what belongs to `owner` is to be decoded here.
    pub fn is_own(&self, owner: u32) -> bool {
        self.share.is_none_or(|share| share.own == owner)
    }

    /// The datagram that [`Outcome::Elsewhere`] is about, where the last packet completed one: to be given to its owner's
    /// [`Decoder::resume`] in place of that packet.
    pub const fn take_parcel(&mut self) -> Option<Parcel> {
        self.parcel.take()
    }

    /// What became of the packets so far.
    pub const fn counters(&self) -> &Counters {
        &self.state.counters
    }

    /// Goes on counting where another decoder had come to, which has seen the same.
    pub fn count_from(&mut self, counters: Counters) {
        self.state.counters = counters;
    }

    /// Numbers of the fragmented datagrams that the last packet was a part of, the outermost first; none for a packet that
    /// came whole. Fragments of one datagram give the same number, and other datagrams other ones.
    pub fn datagrams(&self) -> &[u64] {
        &self.state.datagrams
    }

    /// Decodes one frame: `link_type` as in the LINKTYPE registry, `data` what was captured of `original_len`
    /// bytes. The result borrows from `data`, or from the decoder when it came in fragments.
    #[inline]
    pub fn decode<'a>(
        &'a mut self,
        link_type: u16,
        timestamp: Timestamp,
        data: &'a [u8],
        original_len: u32,
    ) -> Outcome<'a> {
        bump(&mut self.state.counters.packets);
        self.state.datagrams.clear();
        self.path.clear();
        let wire = usize::try_from(original_len).unwrap_or(usize::MAX);
        let span = Span::new(data, wire);
        let wire_len = original_len.max(u32::try_from(data.len()).unwrap_or(u32::MAX));
        if link_type == link::ETHERNET
            && let Some(found) = fast::ethernet(span, &mut self.path, self.config.open_tunnels)
        {
            if let Some(share) = &self.share
                && let Some(owner) = share.elsewhere(found.ip.source, found.ip.destination)
            {
                return self.state.elsewhere(owner);
            }
            return self.state.found(&found, &self.path, timestamp, wire_len);
        }
        self.decode_slowly(link_type, timestamp, span, wire_len)
    }

    /// Any frame but the common one.
    #[inline(never)]
    fn decode_slowly<'a>(
        &'a mut self,
        link_type: u16,
        timestamp: Timestamp,
        span: Span<'a>,
        wire_len: u32,
    ) -> Outcome<'a> {
        self.path.clear();
        let end = walk(Next::Link(link_type, span), &mut self.path, self.config.open_tunnels);
        if let Some(owner) = self.share.and_then(|share| share.end_elsewhere(&end)) {
            return self.state.elsewhere(owner);
        }
        match end {
            End::Found(found) => self.state.found(&found, &self.path, timestamp, wire_len),
            End::Fragment(fragment) => self.reassemble(&fragment, self.path, timestamp, wire_len),
            End::NotIp => self.state.not_ip(),
            End::Undecodable(reason) => self.state.undecodable(reason),
        }
    }

    /// Adds a fragment, and goes on with the datagram if that is whole now.
    #[cold]
    fn reassemble<'a>(
        &'a mut self,
        fragment: &Fragment<'_>,
        path: Path,
        now: Timestamp,
        wire_len: u32,
    ) -> Outcome<'a> {
        match self.state.add(fragment, &path, now, wire_len) {
            Ok(datagram) => self.go_on(datagram, path, now),
            Err(outcome) => outcome,
        }
    }

    /// Finds out whose a packet is before it is decoded, for packets that are to be put in order first. What is whole is not counted;
    /// a fragment is kept, and the datagram that it completes comes back to be [resumed](Self::resume) in its place, here or
    /// elsewhere.
    pub fn deal(&mut self, link_type: u16, now: Timestamp, data: &[u8], original_len: u32) -> Deal {
        let Some(share) = self.share else { return Deal::Own };
        let wire = usize::try_from(original_len).unwrap_or(usize::MAX);
        let span = Span::new(data, wire);
        let mut path = Path::EMPTY;
        let tunnels = self.config.open_tunnels;
        if link_type == link::ETHERNET
            && let Some(found) = fast::ethernet(span, &mut path, tunnels)
        {
            return share.elsewhere(found.ip.source, found.ip.destination).map_or(Deal::Own, Deal::Elsewhere);
        }
        path = Path::EMPTY;
        let end = walk(Next::Link(link_type, span), &mut path, tunnels);
        if let Some(owner) = share.end_elsewhere(&end) {
            return Deal::Elsewhere(owner);
        }
        let End::Fragment(fragment) = end else { return Deal::Own };
        let wire_len = original_len.max(u32::try_from(data.len()).unwrap_or(u32::MAX));
        bump(&mut self.state.counters.packets);
        self.state.datagrams.clear();
        let Ok(datagram) = self.state.add(&fragment, &path, now, wire_len) else { return Deal::Taken };
        // Who resumes it counts it.
        self.state.counters.packets = self.state.counters.packets.wrapping_sub(1);
        let mut inner_path = path;
        let inner = walk(resume(&datagram, &datagram.payload), &mut inner_path, tunnels);
        let owner = share.end_elsewhere(&inner).unwrap_or(share.own);
        Deal::Datagram(owner, Parcel { datagram, path })
    }

    /// Goes on with a datagram that another decoder has put together, in place of the packet that completed it.
    pub fn resume(&mut self, parcel: Parcel, now: Timestamp) -> Outcome<'_> {
        bump(&mut self.state.counters.packets);
        self.state.datagrams.clear();
        self.go_on(parcel.datagram, parcel.path, now)
    }

    fn go_on(&mut self, mut datagram: Datagram, mut path: Path, now: Timestamp) -> Outcome<'_> {
        let Self { config, state, path: whole_path, buffer, share, parcel } = self;
        for _ in 0..MAX_NESTED_FRAGMENTS {
            let mut inner_path = path;
            let end = walk(resume(&datagram, &datagram.payload), &mut inner_path, config.open_tunnels);
            if let Some(owner) = share.and_then(|share| share.end_elsewhere(&end)) {
                *parcel = Some(Parcel { datagram, path });
                return state.elsewhere(owner);
            }
            let End::Fragment(inner) = end else { break };
            match state.add(&inner, &inner_path, now, datagram.wire_len) {
                Ok(whole) => datagram = whole,
                Err(outcome) => return outcome,
            }
            path = inner_path;
        }
        // Walked once more, now from where the result may borrow.
        *buffer = std::mem::take(&mut datagram.payload);
        *whole_path = path;
        match walk(resume(&datagram, buffer), whole_path, config.open_tunnels) {
            End::Found(found) => state.found(&found, whole_path, now, datagram.wire_len),
            End::Fragment(_) => state.undecodable(Reason::TooDeep),
            End::NotIp => state.not_ip(),
            End::Undecodable(reason) => state.undecodable(reason),
        }
    }
}

fn resume<'a>(datagram: &Datagram, payload: &'a [u8]) -> Next<'a> {
    ip::resume(datagram.ip, datagram.protocol, Span::new(payload, payload.len()))
}

impl State {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "measured: the result is large, and a call would copy it")]
    fn found<'a>(&mut self, found: &Found<'a>, path: &'a Path, now: Timestamp, wire_len: u32) -> Outcome<'a> {
        if let Some(filter) = &mut self.duplicates
            && let Some(duplicate) = filter.check(found, path, now, &mut self.counters)
        {
            return self.duplicate(duplicate);
        }
        bump(&mut self.counters.decoded);
        if found.truncated {
            bump(&mut self.counters.truncated);
        }
        Outcome::Packet(Decoded {
            source: found.source,
            destination: found.destination,
            transport: found.transport,
            path,
            wire_len,
            truncated: found.truncated,
            ttl: found.ip.ttl,
        })
    }

    /// The whole datagram, or what else came of the fragment.
    fn add(
        &mut self,
        fragment: &Fragment<'_>,
        path: &Path,
        now: Timestamp,
        wire_len: u32,
    ) -> Result<Datagram, Outcome<'static>> {
        let late = if self.duplicates.is_some() { duplicate::WINDOW } else { Duration::ZERO };
        match self.defragmenter.add(fragment, path, now, wire_len, late, &mut self.counters) {
            Added::Whole(datagram) => {
                bump(&mut self.counters.datagrams_reassembled);
                self.datagrams.push(datagram.serial);
                Ok(datagram)
            }
            Added::Held(serial) => {
                self.datagrams.push(serial);
                bump(&mut self.counters.fragments_held);
                Err(Outcome::Fragment)
            }
            Added::Late => Err(self.duplicate(Duplicate::Fragment)),
            Added::Refused(reason) => Err(self.undecodable(reason)),
        }
    }

    #[cold]
    fn duplicate<'a>(&mut self, duplicate: Duplicate) -> Outcome<'a> {
        let counters = &mut self.counters;
        bump(&mut counters.duplicates);
        bump(match duplicate {
            Duplicate::Identical => &mut counters.duplicates_identical,
            Duplicate::Routed => &mut counters.duplicates_routed,
            Duplicate::OtherPath => &mut counters.duplicates_other_path,
            Duplicate::Fragment => &mut counters.duplicates_fragment,
        });
        Outcome::Duplicate(duplicate)
    }

    #[cold]
    fn undecodable<'a>(&mut self, reason: Reason) -> Outcome<'a> {
        self.counters.count_undecodable(reason);
        Outcome::Undecodable(reason)
    }

    /// Its owner counts it.
    #[cold]
    const fn elsewhere<'a>(&mut self, owner: u32) -> Outcome<'a> {
        self.counters.packets = self.counters.packets.wrapping_sub(1);
        Outcome::Elsewhere(owner)
    }

    fn not_ip<'a>(&mut self) -> Outcome<'a> {
        bump(&mut self.counters.not_ip);
        Outcome::NotIp
    }
}
