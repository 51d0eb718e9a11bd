//! One way of a WebSocket: frames, and messages that may be compressed.

use zeroize::Zeroizing;

use super::Sink;
use super::connection::Step;
use super::hold::Hold;
use super::scan::{Scan, unfold};
use crate::observe::PacketRef;
use crate::proto::http::coding::{Coding, Decoder};
use crate::proto::http::websocket;

/// What a sender leaves out at the end of a compressed message. RFC 7692 section 7.2.1.
const DEFLATE_TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// One way of a WebSocket.
pub(super) struct WebSocket {
    /// Shared by all messages, where compression was agreed on.
    decoder: Option<Decoder>,
    /// The frame that is being read: its header, and how much of its payload has been read.
    frame: Option<(websocket::Header, u64)>,
    /// The message that is being read is compressed.
    compressed: bool,
    scan: Scan,
}

impl WebSocket {
    pub(super) fn new(compressed: bool) -> Self {
        let decoder = compressed.then(|| Decoder::new(Coding::Deflate, &[]));
        Self { decoder, frame: None, compressed: false, scan: Scan::default() }
    }

    pub(super) fn step(&mut self, bytes: &[u8], packet: PacketRef, sink: &mut Sink<'_>) -> Step {
        let Some((header, read)) = self.frame else {
            return match websocket::Header::parse(bytes) {
                Ok(Some((header, taken))) => {
                    if matches!(header.opcode, 1 | 2) {
                        self.compressed = header.compressed;
                    }
                    self.frame = Some((header, 0));
                    self.close(packet, sink);
                    Step::Took(taken)
                }
                Ok(None) => Step::Wait,
                Err(_) => Step::Broken,
            };
        };
        let left = header.length.saturating_sub(read);
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let mut piece = Zeroizing::new(bytes.get(..taken).unwrap_or_default().to_vec());
        if let Some(mask) = header.mask {
            websocket::unmask(mask, read, &mut piece);
        }
        self.payload(header.opcode, &piece, packet, sink);
        self.frame = Some((header, read.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX))));
        self.close(packet, sink);
        Step::Took(taken)
    }

    fn payload(&mut self, opcode: u8, piece: &[u8], packet: PacketRef, sink: &mut Sink<'_>) {
        if opcode >= 8 {
            return;
        }
        match &mut self.decoder {
            Some(decoder) if self.compressed => unfold(decoder, &mut self.scan, piece, packet, sink),
            _ => self.scan.feed(piece, packet, sink),
        }
    }

    /// Ends the frame when its payload is whole, and the message with its last frame.
    fn close(&mut self, packet: PacketRef, sink: &mut Sink<'_>) {
        let Some((header, read)) = self.frame else { return };
        if read < header.length {
            return;
        }
        self.frame = None;
        if header.fin && header.opcode < 8 {
            if self.compressed {
                self.payload(0, &DEFLATE_TAIL, packet, sink);
                if let Some(decoder) = &mut self.decoder {
                    decoder.next_message();
                }
            }
            self.scan.end(false, sink);
        }
    }
}

impl Hold for WebSocket {
    fn bytes(&self) -> usize {
        self.decoder.as_ref().map_or(0, Decoder::bytes).saturating_add(self.scan.bytes())
    }

    fn is_unfolding(&self) -> bool {
        self.decoder.as_ref().is_some_and(Decoder::is_unfolding)
    }

    fn give_up(&mut self, sink: &mut Sink<'_>) {
        if self.bytes() > 0 {
            sink.cut(self.scan.last());
        }
        self.decoder.iter_mut().for_each(Decoder::close);
        self.scan.give_up(sink);
    }
}
