//! RTP and RTCP of one flow: candidates until they have proven themselves, then counters.

mod cipher;
mod pictures;
mod repair;
mod reports;
mod sampler;
mod track;

use super::PacketRef;
use super::datagram::Meta;
use super::facts::{Facts, LIST_CAP, Media, MediaKind, RtpStream, Wrapping, grow, tally};
use crate::bytes::Probe;
use crate::flow::{Direction, Wait};
use crate::proto::rtcp;
use crate::proto::rtp::{self, Peek};
use pictures::Pictures;
use reports::Reports;
use track::Track;

/// Streams of one flow that are followed; a conference of many senders has some dozens.
const STREAM_CAP: usize = 64;
/// Streams that a young one is compared with for each of its packets.
const COMPARED: usize = 4;
/// Streams that are not yet accepted: the oldest makes room.
const CANDIDATE_CAP: usize = 32;
/// Packets with advancing sequence numbers that make a stream, where STUN, DTLS or a framing supports it.
const SUPPORTED_RUN: u16 = 3;
/// The same where nothing supports it.
const BARE_RUN: u16 = 8;

/// The streams of one flow. What each packet asks comes first.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct MediaTable {
    tracks: Vec<Track>,
    /// Index of the track that the latest packet belonged to; media comes in bursts.
    latest: usize,
    accepted: u32,
    /// A DTLS handshake was seen: keys do not come from elsewhere.
    handshake: bool,
    rtcp: Vec<(u8, u32)>,
    rtcp_packets: u32,
    rtcp_clear: u32,
    reports: Reports,
    cnames: Vec<String>,
    rtcp_first: Option<PacketRef>,
    srtcp_waiting: u32,
    left_out: u32,
    pictures: Pictures,
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
        let Some(peek) = rtp::peek_known(payload) else { return false };
        let Some(index) = self.find(peek.ssrc, meta.direction) else { return false };
        match self.tracks.get_mut(index) {
            Some(track) if track.accepted => {
                track.count(&peek, payload, meta);
                if meta.sampling.keyed || !(self.handshake || meta.wrapping == Wrapping::Zoom) {
                    track.sample(&peek, payload, meta);
                }
                self.picture(index, &peek, meta);
                self.compare(index, &peek, payload, meta);
                self.repair(index, &peek, payload, meta);
                true
            }
            _ => false,
        }
    }

    /// Notes what a stream holds behind a packet that began in Zoom's framing, however this one came.
    #[inline]
    fn picture(&mut self, index: usize, peek: &Peek, meta: &Meta) {
        if let Some(track) = self.tracks.get(index)
            && track.is_zoom()
        {
            let stream = (track.ssrc, track.direction);
            self.pictures.note(stream, peek.timestamp, track.held(), meta.number);
        }
    }

    /// What pictures hold that are not complete; `None` where none is.
    #[inline]
    pub(super) fn waiting(&self) -> Option<Wait> {
        self.pictures.waiting()
    }

    /// Gives up the oldest of the pictures that are not complete: how many that are.
    pub(super) fn give_up(&mut self) -> u64 {
        let Some((ssrc, direction)) = self.pictures.take_oldest() else { return 0 };
        if let Some(track) = self.find(ssrc, direction).and_then(|index| self.tracks.get_mut(index)) {
            track.abandon();
        }
        1
    }

    /// Notes that the flow showed a DTLS handshake.
    pub(super) const fn handshake_seen(&mut self) {
        self.handshake = true;
    }

    /// Looks whether a young stream repeats another of its direction.
    #[inline]
    fn compare(&mut self, index: usize, peek: &Peek, payload: &[u8], meta: &Meta) {
        let Some(track) = self.tracks.get(index) else { return };
        let Some((length, looks)) = track.suspect(peek, payload, meta) else { return };
        let mut matches = [None; COMPARED];
        let others = self.tracks.iter().filter(|other| {
            other.ssrc != track.ssrc
                && other.direction == track.direction
                // RFC 4588 section 8: what repairs has a payload type of its own.
                && !other.has_type(peek.payload_type)
        });
        let found = others
            .filter_map(|other| Some((other.ssrc, other.detail.sent.likeness(peek.timestamp, length)?)));
        for (slot, found) in matches.iter_mut().zip(found) {
            *slot = Some(found);
        }
        if let Some(track) = self.tracks.get_mut(index) {
            track.detail.echo.book(looks, matches.into_iter().flatten());
        }
    }

    /// What comes again by RTX completes the frame of the stream that it repairs.
    #[inline]
    fn repair(&mut self, index: usize, peek: &Peek, payload: &[u8], meta: &Meta) {
        let Some(ssrc) = self.tracks.get(index).and_then(|track| track.resends(payload)) else { return };
        let direction = meta.direction;
        let repaired =
            self.tracks.iter_mut().find(|track| track.ssrc == ssrc && track.direction == direction);
        if let Some(repaired) = repaired {
            repaired.repaired(peek, meta.timestamp);
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
                    track.count(peek, payload, meta);
                    if meta.sampling.keyed {
                        track.sample(peek, payload, meta);
                    }
                }
                index
            }
            None => match self.begin(peek, payload, meta, kind) {
                Some(index) => index,
                None => return false,
            },
        };
        self.picture(index, peek, meta);
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
        grow(&mut self.tracks);
        self.tracks.push(Track::begin(peek, payload, meta, kind));
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
        let readable =
            if compound.looks_encrypted() || !self.is_of_this_flow(&compound) { 1 } else { usize::MAX };
        for packet in compound.take(readable) {
            tally(&mut self.rtcp, packet.packet_type.0);
            self.rtcp_packets = self.rtcp_packets.saturating_add(1);
            if readable > 1
                && let Ok(body) = packet.body()
            {
                self.rtcp_clear = self.rtcp_clear.saturating_add(1);
                self.reports.body(&body, meta.direction, meta.timestamp, meta.packet);
                if let rtcp::Body::Sdes(sdes) = body {
                    self.names(&sdes);
                }
            }
        }
        true
    }

    /// True when clear RTCP says something that fits: a source description, as every compound must have (RFC 3550 section
    /// 6.1), or a report on a source of this flow. Ciphertext whose end was cut, or of a vendor's own, does not.
    fn is_of_this_flow(&self, compound: &rtcp::Compound<'_>) -> bool {
        let known = |ssrc: u32| self.tracks.iter().any(|track| track.ssrc == ssrc);
        compound.clone().any(|packet| match packet.body() {
            Ok(rtcp::Body::Sdes(_) | rtcp::Body::Bye(_)) => true,
            Ok(rtcp::Body::SenderReport(report)) => {
                known(report.ssrc) || report.blocks.clone().any(|block| known(block.ssrc))
            }
            Ok(rtcp::Body::ReceiverReport(report)) => report.blocks.clone().any(|block| known(block.ssrc)),
            Ok(_) | Err(_) => false,
        })
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
    pub(super) fn finish(&self, facts: &mut Facts) {
        let sizes: Vec<_> =
            self.tracks.iter().map(|track| (track.ssrc, track.direction, track.packets())).collect();
        // In doubt what repairs a stream is the smaller of the two.
        let may_repair = |track: &Track, ssrc: u32| {
            sizes.iter().any(|(other, direction, packets)| {
                *other == ssrc && *direction == track.direction && *packets >= track.packets()
            })
        };
        let accepted = || self.tracks.iter().filter(|track| track.accepted);
        // Collected, a list of one would have room for four, and these are large.
        let mut streams: Vec<RtpStream> = Vec::with_capacity(accepted().count());
        streams.extend(accepted().map(|track| track.finish(may_repair)));
        let rtcp_first = self.rtcp_first.filter(|_| self.rtcp_packets > 0);
        let Some(packet) = streams.iter().map(|stream| stream.packet).chain(rtcp_first).min() else { return };
        let mut media = Media {
            streams,
            rtcp: self.rtcp.clone(),
            rtcp_packets: self.rtcp_packets,
            rtcp_clear: self.rtcp_clear,
            cnames: self.cnames.clone(),
            streams_left_out: self.left_out,
            packet,
            ..Media::default()
        };
        self.reports.finish(&mut media);
        facts.media = Some(Box::new(media));
    }
}
