//! Packets on their way to the thread that works on them.

use std::sync::Arc;

use super::partition::Partition;
use crate::capture::Block;
use crate::decode::{Decoded, Path, TcpFlags, Transport};
use crate::fetch::{fetch, fetch_start, fetch_to_write};
use crate::flow::Packet;
use crate::observe::PacketRef;
use crate::observe::pattern::PatternSet;
use crate::proto::tls::keylog::KeyLog;

/// Packets of a batch.
const BATCH_PACKETS: usize = 128;
/// Payload bytes of a batch that are copied.
const BATCH_BYTES: usize = 1 << 20;
/// Blocks of a capture that a batch holds: a partition that gets few packets must not hold them all.
const BATCH_BLOCKS: usize = 16;

/// The place of an item is asked for this many items before it is written: the core that works on batches has read it last. From core to
/// core a line of the cache takes as long as working on one packet, or on four where they lie far apart.
const WRITTEN_AHEAD: usize = 3;
/// An item is asked for this many items before it is worked on.
const ITEMS_AHEAD: usize = 8;
/// The beginning of a payload is asked for this many items before it is worked on: its item, which names its place, has come by then.
const PAYLOADS_AHEAD: usize = 4;

/// One packet; its payload lies in the batch, or in a block that the batch holds.
#[derive(Debug)]
struct Item {
    packet: Packet,
    reference: PacketRef,
    path: Option<Box<Path>>,
    head: Head,
    payload: Place,
}

/// A transport header without its payload. How long that is said to be, [`Packet`] has.
#[derive(Debug, Clone, Copy)]
enum Head {
    Udp,
    Tcp { sequence: u32, acknowledgment: u32, flags: TcpFlags, window: u16 },
    Other { protocol: u8 },
}

impl Head {
    const fn of(transport: &Transport<'_>) -> Self {
        match *transport {
            Transport::Udp { .. } => Self::Udp,
            Transport::Tcp { sequence, acknowledgment, flags, window, .. } => {
                Self::Tcp { sequence, acknowledgment, flags, window }
            }
            Transport::Other { protocol, .. } => Self::Other { protocol },
        }
    }

    fn with<'a>(&self, payload: &'a [u8], declared_len: u32) -> Transport<'a> {
        let declared_len = usize::try_from(declared_len).unwrap_or(usize::MAX);
        match *self {
            Self::Udp => Transport::Udp { payload, declared_len },
            Self::Tcp { sequence, acknowledgment, flags, window } => {
                Transport::Tcp { sequence, acknowledgment, flags, window, payload, declared_len }
            }
            Self::Other { protocol } => Transport::Other { protocol, payload },
        }
    }
}

/// Where a payload lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u32,
    length: u32,
    /// Index of the block; none where it is copied.
    block: Option<u8>,
}

const _: () = assert!(size_of::<Item>() <= 128 && BATCH_BLOCKS <= 256);

/// Packets of one partition, in the order of the capture.
#[derive(Debug, Default)]
pub(super) struct Batch {
    items: Vec<Item>,
    blocks: Vec<Block>,
    bytes: Vec<u8>,
    /// Secrets that were known when its first packet was read; a batch ends where more become known.
    pub(super) key_log: Option<Arc<KeyLog>>,
}

impl Batch {
    pub(super) fn push(
        &mut self,
        packet: &Packet,
        reference: PacketRef,
        decoded: &Decoded<'_>,
        block: Option<&Block>,
    ) {
        if let Some(later) = self.items.spare_capacity_mut().get_mut(WRITTEN_AHEAD) {
            fetch_to_write(later);
        }
        let payload = self.keep(decoded.transport.payload(), block);
        self.items.push(Item {
            packet: *packet,
            reference,
            path: (!decoded.path.is_empty()).then(|| Box::new(*decoded.path)),
            head: Head::of(&decoded.transport),
            payload,
        });
    }

    /// Hands its packets to their partition, and is empty then.
    pub(super) fn work(&mut self, partition: &mut Partition, patterns: &PatternSet) {
        self.items.iter().take(ITEMS_AHEAD).for_each(fetch);
        for (index, item) in self.items.iter().enumerate() {
            self.fetch_later(index);
            let transport = item.head.with(self.payload(item.payload), item.packet.payload_len);
            let (path, key_log) = (item.path.as_deref(), self.key_log.as_ref());
            partition.packet(patterns, &item.packet, item.reference, transport, path, key_log);
        }
        self.items.clear();
        self.blocks.clear();
        self.bytes.clear();
        self.key_log = None;
    }

    /// Asks for what another core has written of the packets that come after this one.
    #[inline]
    fn fetch_later(&self, index: usize) {
        if let Some(item) = self.items.get(index.saturating_add(ITEMS_AHEAD)) {
            fetch(item);
        }
        if let Some(next) = self.items.get(index.saturating_add(PAYLOADS_AHEAD)) {
            fetch_start(self.payload(next.payload));
        }
    }

    /// Keeps a payload: by its place where the block it lies in can be held.
    fn keep(&mut self, payload: &[u8], block: Option<&Block>) -> Place {
        let length = u32::try_from(payload.len()).unwrap_or(0);
        if let Some(block) = block
            && let Some(range) = block.range_of(payload)
            && let Ok(start) = u32::try_from(range.start)
        {
            // Packets come from one file after the other, or in turns from few.
            let held = self.blocks.iter().rposition(|held| held.is(block));
            let index = held.unwrap_or(self.blocks.len());
            if let Ok(index) = u8::try_from(index) {
                if held.is_none() {
                    self.blocks.push(block.clone());
                }
                return Place { start, length, block: Some(index) };
            }
        }
        let start = u32::try_from(self.bytes.len()).unwrap_or(0);
        self.bytes.extend_from_slice(payload);
        Place { start, length, block: None }
    }

    fn payload(&self, place: Place) -> &[u8] {
        let (Ok(start), Ok(length)) = (usize::try_from(place.start), usize::try_from(place.length)) else {
            return &[];
        };
        let range = start..start.saturating_add(length);
        match place.block {
            Some(index) => self.blocks.get(usize::from(index)).map(|block| block.bytes(range)),
            None => self.bytes.get(range),
        }
        .unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// As long as one is to be.
    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= BATCH_PACKETS
            || self.bytes.len() >= BATCH_BYTES
            || self.blocks.len() >= BATCH_BLOCKS
    }
}
