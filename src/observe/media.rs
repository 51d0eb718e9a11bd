//! RTP and RTCP of one flow: candidates until they have proven themselves, then counters.

use super::PacketRef;
use super::datagram::Meta;
use super::facts::{Facts, LIST_CAP, Media, MediaKind, RtpStream, Wrapping, tally};
use crate::bytes::Probe;
use crate::flow::Direction;
use crate::proto::rtcp;
use crate::proto::rtp::stats::Stream;
use crate::proto::rtp::{self, Peek};
use crate::time::Timestamp;

/// Streams of one flow that are followed; a conference of many senders has some dozens.
const STREAM_CAP: usize = 64;
/// Streams that are not yet accepted: the oldest makes room.
const CANDIDATE_CAP: usize = 12;
/// Packets with advancing sequence numbers that make a stream, where STUN, DTLS or a framing supports it.
const SUPPORTED_RUN: u16 = 3;
/// The same where nothing supports it.
const BARE_RUN: u16 = 8;
/// How far a sequence number may jump and still advance.
const MAX_JUMP: u16 = 64;

#[derive(Debug)]
struct Track {
    ssrc: u32,
    direction: Direction,
    wrapping: Wrapping,
    accepted: bool,
    run: u16,
    last_sequence: u16,
    kind: Option<MediaKind>,
    extension_profile: Option<u16>,
    payload_types: Vec<(u8, u64)>,
    stats: Stream,
    packet: PacketRef,
    start: Timestamp,
    last: Timestamp,
}

/// The streams of one flow.
#[derive(Debug, Default)]
pub(super) struct MediaTable {
    tracks: Vec<Track>,
    /// Index of the track that the latest packet belonged to; media comes in bursts.
    latest: usize,
    rtcp: Vec<(u8, u32)>,
    rtcp_packets: u32,
    cnames: Vec<String>,
    rtcp_first: Option<PacketRef>,
    srtcp_waiting: u32,
    left_out: u32,
    accepted: u32,
}

impl MediaTable {
    /// True when at least one stream is accepted.
    pub(super) const fn is_accepted(&self) -> bool {
        self.accepted > 0
    }

    /// Counts a packet of a stream that is accepted already. False when it is none.
    #[inline]
    pub(super) fn known(&mut self, meta: &Meta, payload: &[u8]) -> bool {
        if self.accepted == 0 {
            return false;
        }
        let Some(peek) = rtp::peek(payload) else { return false };
        let Some(index) = self.find(peek.ssrc, meta.direction) else { return false };
        match self.tracks.get_mut(index) {
            Some(track) if track.accepted => {
                track.count(&peek, payload.len(), meta);
                true
            }
            _ => false,
        }
    }

    #[inline]
    fn find(&mut self, ssrc: u32, direction: Direction) -> Option<usize> {
        let fits = |track: &Track| track.ssrc == ssrc && track.direction == direction;
        if self.tracks.get(self.latest).is_some_and(fits) {
            return Some(self.latest);
        }
        let index = self.tracks.iter().position(fits)?;
        self.latest = index;
        Some(index)
    }

    /// Counts a packet that could be RTP. True when its stream is accepted or could become so.
    pub(super) fn candidate(&mut self, meta: &Meta, payload: &[u8], supported: bool) -> bool {
        let Some(peek) = rtp::peek(payload) else { return false };
        if rtp::probe(payload) == Probe::No {
            return false;
        }
        self.add(&peek, payload, meta, None, if supported { SUPPORTED_RUN } else { BARE_RUN })
    }

    /// Counts a packet that a framing says is RTP of this kind.
    pub(super) fn framed(&mut self, meta: &Meta, rtp_packet: &[u8], kind: Option<MediaKind>) -> bool {
        let Some(peek) = rtp::peek(rtp_packet) else { return false };
        self.add(&peek, rtp_packet, meta, kind, 1)
    }

    fn add(&mut self, peek: &Peek, payload: &[u8], meta: &Meta, kind: Option<MediaKind>, run: u16) -> bool {
        let index = match self.find(peek.ssrc, meta.direction) {
            Some(index) => {
                if let Some(track) = self.tracks.get_mut(index) {
                    track.count(peek, payload.len(), meta);
                }
                index
            }
            None => match self.begin(peek, payload, meta, kind) {
                Some(index) => index,
                None => return false,
            },
        };
        let Some(track) = self.tracks.get_mut(index) else { return false };
        if !track.accepted && track.run >= run {
            track.accepted = true;
            self.accepted = self.accepted.saturating_add(1);
        }
        track.accepted
    }

    fn begin(&mut self, peek: &Peek, payload: &[u8], meta: &Meta, kind: Option<MediaKind>) -> Option<usize> {
        let waiting = self.tracks.iter().filter(|track| !track.accepted).count();
        if waiting >= CANDIDATE_CAP
            && let Some(oldest) = self.tracks.iter().position(|track| !track.accepted)
        {
            self.tracks.remove(oldest);
        }
        if self.tracks.len() >= STREAM_CAP {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        let header = rtp::Header::parse(payload).ok();
        let clock = rtp::static_type(peek.payload_type).map(|known| known.clock_hz);
        self.tracks.push(Track {
            ssrc: peek.ssrc,
            direction: meta.direction,
            wrapping: meta.wrapping,
            accepted: false,
            run: 1,
            last_sequence: peek.sequence,
            kind,
            extension_profile: header.and_then(|header| header.extension).map(|extension| extension.profile),
            payload_types: vec![(peek.payload_type, 1)],
            stats: Stream::new(peek, payload.len(), meta.timestamp, clock),
            packet: meta.packet,
            start: meta.timestamp,
            last: meta.timestamp,
        });
        self.latest = self.tracks.len().saturating_sub(1);
        Some(self.latest)
    }

    /// Counts RTCP. True when it was.
    pub(super) fn rtcp(&mut self, meta: &Meta, payload: &[u8]) -> bool {
        // RFC 5761 section 4: the second byte decides, the length must fit.
        if !payload.get(1).is_some_and(|second| (192..=223).contains(second)) {
            return false;
        }
        match rtcp::probe(payload) {
            Probe::No => return false,
            Probe::Maybe | Probe::Yes => {}
        }
        let Ok(compound) = rtcp::Compound::parse(payload) else { return false };
        if rtcp::probe(payload) == Probe::Maybe && self.rtcp_packets == 0 && self.tracks.is_empty() {
            // SRTCP alone proves itself like a stream does: by its shape, again and again.
            self.srtcp_waiting =
                if compound.looks_encrypted() { self.srtcp_waiting.saturating_add(1) } else { 0 };
            if self.srtcp_waiting < u32::from(SUPPORTED_RUN) {
                return false;
            }
            let kind = compound.clone().next().map_or(0, |packet| packet.packet_type.0);
            (1..self.srtcp_waiting).for_each(|_| tally(&mut self.rtcp, kind));
            self.rtcp_packets = self.srtcp_waiting.saturating_sub(1);
        }
        self.rtcp_first.get_or_insert(meta.packet);
        // In SRTCP what follows the first header is ciphertext.
        let readable = if compound.looks_encrypted() { 1 } else { usize::MAX };
        for packet in compound.take(readable) {
            tally(&mut self.rtcp, packet.packet_type.0);
            self.rtcp_packets = self.rtcp_packets.saturating_add(1);
            if readable > 1
                && let Ok(rtcp::Body::Sdes(sdes)) = packet.body()
            {
                self.names(&sdes);
            }
        }
        true
    }

    fn names(&mut self, sdes: &rtcp::Sdes<'_>) {
        for item in sdes.items().filter(|item| item.kind == rtcp::SdesKind::CNAME) {
            let cname = super::handshake::text(item.value);
            if !cname.is_empty() && self.cnames.len() < LIST_CAP && !self.cnames.contains(&cname) {
                self.cnames.push(cname);
            }
        }
    }

    /// Writes down the accepted streams.
    pub(super) fn finish(self, facts: &mut Facts) {
        let streams: Vec<RtpStream> =
            self.tracks.into_iter().filter(|track| track.accepted).map(Track::finish).collect();
        let rtcp_first = self.rtcp_first.filter(|_| self.rtcp_packets > 0);
        let Some(packet) = streams.iter().map(|stream| stream.packet).chain(rtcp_first).min() else { return };
        facts.media = Some(Box::new(Media {
            streams,
            rtcp: self.rtcp,
            rtcp_packets: self.rtcp_packets,
            cnames: self.cnames,
            streams_left_out: self.left_out,
            packet,
        }));
    }
}

impl Track {
    #[inline]
    fn count(&mut self, peek: &Peek, length: usize, meta: &Meta) {
        self.stats.update(peek, length, meta.timestamp);
        if meta.timestamp > self.last {
            self.last = meta.timestamp;
        }
        if !self.accepted {
            let jump = peek.sequence.wrapping_sub(self.last_sequence);
            self.run = if (1..=MAX_JUMP).contains(&jump) { self.run.saturating_add(1) } else { 1 };
        }
        self.last_sequence = peek.sequence;
        if let Some((_, count)) = self.payload_types.iter_mut().find(|(known, _)| *known == peek.payload_type)
        {
            *count = count.saturating_add(1);
        } else if self.payload_types.len() < LIST_CAP {
            self.payload_types.push((peek.payload_type, 1));
        }
    }

    fn finish(self) -> RtpStream {
        RtpStream {
            direction: self.direction,
            ssrc: self.ssrc,
            wrapping: self.wrapping,
            kind: self.kind,
            payload_types: self.payload_types,
            extension_profile: self.extension_profile,
            stats: self.stats,
            packet: self.packet,
            start: self.start,
            last: self.last,
        }
    }
}
