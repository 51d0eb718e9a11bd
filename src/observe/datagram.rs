//! Datagrams of one flow: STUN, DTLS, QUIC, RTP, Zoom, DNS, SIP, and what is wrapped in one another.
//!
//! The first byte gives candidates (RFC 7983, RFC 9443, RFC 5761), the parser decides. Once a stream of media is
//! known, its packets take a short path: a header of twelve bytes and a few counters.

use super::PacketRef;
use super::datagram_tls::{DtlsWork, QuicWork};
use super::facts::{Facts, Protocol, Sampling, Wrapping};
use super::media::MediaTable;
use super::traversal::{self, Pending};
use super::zoom::ZoomWork;
use crate::bytes::Probe;
use crate::fetch::fetch;
use crate::flow::{Direction, Wait};
use crate::proto::stun::{self, ChannelData, ms_mux};
use crate::proto::tls::ProtocolVersion;
use crate::proto::tls::keylog::KeyLog;
use crate::proto::{demux, dtls, quic, sip};
use crate::time::Timestamp;
use std::sync::Arc;

/// Datagrams in a row that nothing recognised, after which a flow is only counted.
const BORED_AFTER: u32 = 48;
/// STUN inside TURN inside a frame: no deeper.
const MAX_DEPTH: u8 = 3;

/// What is known of a datagram beside its payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    pub(super) direction: Direction,
    /// Ports of originator and responder.
    pub(super) ports: [u16; 2],
    pub(super) packet: PacketRef,
    /// Of the packet, in the run.
    pub(super) number: u64,
    pub(super) timestamp: Timestamp,
    pub(super) wrapping: Wrapping,
    /// Bytes of the payload that a snap length cut off.
    pub(super) cut: u16,
    /// How much of media is kept.
    pub(super) sampling: Sampling,
}

impl Meta {
    /// Bytes that what ends with the payload had on the wire.
    #[inline]
    pub(super) fn wire_length(&self, packet: &[u8]) -> usize {
        packet.len().saturating_add(self.cut.into())
    }
}

/// Reads the datagrams of one flow.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    /// Of flows with packets that could be media.
    media: Option<Box<MediaTable>>,
    stun: Option<Box<Pending>>,
    dtls: Option<Box<DtlsWork>>,
    quic: Option<(Box<QuicWork>, PacketRef)>,
    zoom: Option<Box<ZoomWork>>,
    unrecognised: u32,
    quic_done: bool,
    key_log: Option<Arc<KeyLog>>,
}

impl Datagrams {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Takes over the secrets that are known by now.
    #[inline]
    pub(super) fn know(&mut self, key_log: &Arc<KeyLog>) {
        if self.key_log.as_ref().is_none_or(|known| !Arc::ptr_eq(known, key_log)) {
            self.key_log = Some(Arc::clone(key_log));
        }
    }

    /// True when so much went by unrecognised that counting is enough.
    pub(super) const fn is_bored(&self) -> bool {
        self.unrecognised >= BORED_AFTER
    }

    /// True when the flow carries media, STUN or anything else of a call.
    pub(super) fn is_call(&self) -> bool {
        self.stun.is_some() || self.dtls.is_some() || self.zoom.is_some() || self.has_media()
    }

    /// True when RTP streams are being counted.
    #[inline]
    pub(super) fn has_media(&self) -> bool {
        self.media.as_ref().is_some_and(|media| media.is_accepted())
    }

    /// What pictures hold that are not complete, and bodies of what was opened; `None` where none does.
    #[inline]
    pub(super) fn waiting(&self) -> Option<Wait> {
        let pictures = self.media.as_ref().and_then(|media| media.waiting());
        let Some((work, _)) = &self.quic else { return pictures };
        [pictures, work.waiting()].into_iter().flatten().reduce(Wait::and)
    }

    /// Gives up the oldest of the pictures that are not complete, or all bodies where there are none: how many pictures that are.
    pub(super) fn give_up(&mut self) -> u64 {
        if let Some(media) = self.media.as_mut().filter(|media| media.waiting().is_some()) {
            return media.give_up();
        }
        if let Some((work, _)) = &mut self.quic {
            work.give_up();
        }
        0
    }

    /// Reads one payload.
    #[inline]
    pub(super) fn payload(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8]) {
        if let Some(media) = &mut self.media
            && media.known(meta, payload)
        {
            self.unrecognised = 0;
            return;
        }
        if let Some(zoom) = &mut self.zoom
            && zoom.media(self.media.get_or_insert_default(), meta, payload)
        {
            self.unrecognised = 0;
            return;
        }
        if self.recognise(facts, meta, payload, 0) {
            self.unrecognised = 0;
        } else {
            self.unrecognised = self.unrecognised.saturating_add(1);
        }
    }

    /// Reads TURN ChannelData and what is in it.
    pub(super) fn channel_data(&mut self, facts: &mut Facts, meta: &Meta, message: &ChannelData<'_>) {
        let stun = facts
            .stun
            .get_or_insert_with(|| Box::new(super::facts::Stun::begun(meta.packet, meta.timestamp)));
        stun.channel_data = stun.channel_data.saturating_add(1);
        stun.relays = true;
        if let Some(peer) = self.stun.as_ref().and_then(|pending| pending.peer_of(message.channel)) {
            traversal::relayed(stun, meta, peer, message.data);
        }
        self.payload(facts, &wrapped(meta, Wrapping::Turn), message.data);
    }

    fn recognise(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8], depth: u8) -> bool {
        let Some(first) = payload.first() else { return false };
        if depth >= MAX_DEPTH {
            return false;
        }
        if meta.wrapping == Wrapping::None && super::names::are_ports_of_names(meta.ports) {
            return super::names::message(facts, payload, meta.packet);
        }
        match first {
            0x80..=0xbf => self.unfixed(facts, meta, payload) || self.rtp(facts, meta, payload),
            0xc0..=0xff => self.mux(facts, meta, payload, depth) || self.quic(facts, meta, payload),
            0x40..=0x7f => self.channel_or_text(facts, meta, payload, depth),
            _ => {
                self.stun(facts, meta, payload, depth)
                    || self.dtls(facts, meta, payload)
                    || self.zoom(facts, meta, payload)
                    || zrtp(facts, payload)
                    || self.quic(facts, meta, payload)
            }
        }
    }

    fn rtp(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8]) -> bool {
        let media = self.media.get_or_insert_default();
        if media.rtcp(meta, payload) {
            return true;
        }
        // A provider's own bytes on the flow support it as a handshake does.
        let supported = self.stun.is_some()
            || self.dtls.is_some()
            || facts.sip.is_some()
            || !facts.marks.is_empty()
            || meta.wrapping != Wrapping::None;
        media.candidate(meta, payload, supported)
    }

    fn stun(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8], depth: u8) -> bool {
        match stun::probe(payload) {
            Probe::No => return false,
            // Without the magic cookie the port, or an earlier message, must support it.
            Probe::Maybe if self.stun.is_none() && !meta.ports.iter().any(|port| is_stun_port(*port)) => {
                return false;
            }
            Probe::Maybe | Probe::Yes => {}
        }
        let Ok(message) = stun::Message::parse(payload) else { return false };
        traversal::message(facts, self.stun.get_or_insert_with(Box::default), meta, &message);
        if let Some(inner) = message.data() {
            self.inner(facts, &wrapped(meta, Wrapping::Turn), inner, depth.saturating_add(1));
        }
        true
    }

    fn inner(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8], depth: u8) {
        if !self.media.as_mut().is_some_and(|media| media.known(meta, payload)) {
            self.recognise(facts, meta, payload, depth);
        }
    }

    fn dtls(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8]) -> bool {
        let likely = match dtls::probe(payload) {
            Probe::Yes => true,
            Probe::Maybe => self.dtls.is_some(),
            Probe::No => self.dtls.is_some() && dtls::goes_on(payload) && may_be_1_3(facts),
        };
        if likely {
            self.media.get_or_insert_default().handshake_seen();
            let work = self.dtls.get_or_insert_with(|| Box::new(DtlsWork::new()));
            work.datagram(facts, meta, payload, self.key_log.as_deref());
        }
        likely
    }

    fn quic(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8]) -> bool {
        if self.quic_done {
            // Short headers of a connection whose handshake was read.
            return facts.quic.is_some() && payload.first().is_some_and(|first| first & 0x40 != 0);
        }
        if self.quic.is_none() && (quic::probe(payload) == Probe::No || meta.wrapping != Wrapping::None) {
            return false;
        }
        let (work, packet) = self.quic.get_or_insert_with(|| (Box::new(QuicWork::new()), meta.packet));
        if !work.datagram(facts, meta, payload, self.key_log.as_deref()) {
            let packet = *packet;
            if let Some((work, _)) = self.quic.take() {
                work.finish(facts, packet);
            }
            self.quic_done = true;
        }
        if let Some((work, _)) = &mut self.quic {
            work.seen(meta.number);
        }
        true
    }

    /// QUIC's long header without the fixed bit, which looks like RTP: only of a connection that is being read.
    fn unfixed(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8]) -> bool {
        let is_claimed = |(work, _): &(Box<QuicWork>, PacketRef)| work.claims(meta.direction, payload);
        self.quic.as_ref().is_some_and(is_claimed) && self.quic(facts, meta, payload)
    }

    fn zoom(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8]) -> bool {
        if let Some(zoom) = &mut self.zoom {
            return zoom.datagram(facts, self.media.get_or_insert_default(), meta, payload);
        }
        let Some(mut zoom) = ZoomWork::recognise(meta, payload) else { return false };
        let taken = zoom.datagram(facts, self.media.get_or_insert_default(), meta, payload);
        if taken {
            self.zoom = Some(Box::new(zoom));
        }
        taken
    }

    fn mux(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8], depth: u8) -> bool {
        let Ok(frame) = ms_mux::parse(payload) else { return false };
        self.inner(facts, &wrapped(meta, Wrapping::MsMux), frame.payload, depth.saturating_add(1));
        true
    }

    fn channel_or_text(&mut self, facts: &mut Facts, meta: &Meta, payload: &[u8], depth: u8) -> bool {
        let relayed = self.stun.is_some() || meta.ports.iter().any(|port| is_stun_port(*port));
        if relayed
            && ChannelData::fits(payload)
            && let Ok(channel) = ChannelData::parse(payload)
        {
            if self.stun.is_some() || depth == 0 {
                self.channel_data(facts, meta, &channel);
            }
            return true;
        }
        if sip::probe(payload) == Probe::Yes {
            return super::call::message(facts, payload, meta.packet);
        }
        self.quic(facts, meta, payload)
    }

    /// Asks for what [`Datagrams::finish`] reads.
    pub(super) fn approach(&self) {
        if let Some((work, _)) = &self.quic {
            fetch(&**work);
        }
        if let Some(media) = self.media.as_deref() {
            fetch(media);
        }
    }

    /// Writes down the media streams and what was left open.
    pub(super) fn finish(self, facts: &mut Facts) {
        if let Some((work, packet)) = self.quic {
            work.finish(facts, packet);
        }
        if let Some(zoom) = self.zoom {
            zoom.finish(facts);
        }
        if let Some(media) = &self.media {
            media.finish(facts);
        }
    }

    /// Writes down what is known by now of a flow that goes on, but for what was opened.
    pub(super) fn tell(&self, facts: &mut Facts) {
        if let Some((work, packet)) = &self.quic {
            work.tell(facts, *packet);
        }
        if let Some(zoom) = &self.zoom {
            zoom.finish(facts);
        }
        if let Some(media) = &self.media {
            media.finish(facts);
        }
    }
}

fn zrtp(facts: &mut Facts, payload: &[u8]) -> bool {
    let found = demux::is_zrtp(payload);
    if found {
        facts.other = Some(Protocol::Zrtp);
    }
    found
}

/// True unless the server has chosen a version without unified headers.
fn may_be_1_3(facts: &Facts) -> bool {
    let chosen = facts.dtls.as_ref().filter(|dtls| dtls.version_chosen).and_then(|dtls| dtls.version);
    chosen.is_none_or(|version| ProtocolVersion(version).is_1_3())
}

const fn wrapped(meta: &Meta, wrapping: Wrapping) -> Meta {
    Meta { wrapping, ..*meta }
}

/// Ports of STUN and TURN (RFC 8489, RFC 8656) and those that vendors document beside them.
pub(super) const fn is_stun_port(port: u16) -> bool {
    matches!(port, 3478..=3481 | 5349 | 19302..=19309)
}

#[cfg(test)]
mod tests;
