//! Which packets of the inputs belong to given flows. In: flows that have ended, and the same packets again. Out: the numbers of
//! those that are theirs.
//!
//! Packets are decoded as before, tunnels and all, and matched by five-tuple and time. A fragment belongs to what its datagram
//! turns out to be, so that the answer is complete only after the last packet. One bit is kept for each packet of the inputs.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::{Config, passes};
use crate::capture::{self, CaptureError, Filter};
use crate::decode::{Decoder, Outcome};
use crate::flow::{FiveTuple, Key};
use crate::observe::Summary;
use crate::time::Timestamp;

/// Unfinished datagrams whose fragments are remembered; the decoder itself holds fewer.
const MAX_DATAGRAMS: usize = 1 << 13;
/// Fragments remembered of one datagram; the decoder takes fewer.
const MAX_FRAGMENTS: usize = 256;
/// How much earlier than its flow's first packet a packet of the flow may be, in nanoseconds: capture clocks jump.
const EARLY_NS: i64 = 1_000_000_000;

/// A packet by its file (from 0) and its number in it (from 1).
type Frame = (usize, u64);

/// Collects the packets of given flows.
#[derive(Debug)]
pub struct Selection {
    decoder: Decoder,
    filter: Option<String>,
    filters: BTreeMap<u16, Filter>,
    /// First and last packet of each flow, by five-tuple.
    flows: HashMap<Key, Vec<(Timestamp, Timestamp)>>,
    /// Fragments that wait for their datagram, by its number.
    waiting: BTreeMap<u64, Vec<Frame>>,
    chosen: Chosen,
}

/// The packets that were chosen: a bit each.
#[derive(Debug, Default)]
pub struct Chosen {
    files: Vec<Vec<u64>>,
    count: u64,
}

impl Chosen {
    /// Adds packet `frame` (from 1) of file `file` (from 0).
    pub fn insert(&mut self, file: usize, frame: u64) {
        if self.contains(file, frame) {
            return;
        }
        let (Some(word), bit) = place(frame) else { return };
        if self.files.len() <= file {
            self.files.resize_with(file.saturating_add(1), Vec::new);
        }
        let Some(words) = self.files.get_mut(file) else { return };
        if words.len() <= word {
            words.resize(word.saturating_add(1), 0);
        }
        if let Some(word) = words.get_mut(word) {
            *word |= bit;
            self.count = self.count.saturating_add(1);
        }
    }

    /// Whether it was chosen.
    pub fn contains(&self, file: usize, frame: u64) -> bool {
        let (Some(word), bit) = place(frame) else { return false };
        self.files.get(file).and_then(|words| words.get(word)).is_some_and(|word| word & bit != 0)
    }

    /// How many were chosen.
    pub const fn count(&self) -> u64 {
        self.count
    }
}

/// Word and bit of a frame; none for what no vector can hold.
fn place(frame: u64) -> (Option<usize>, u64) {
    (usize::try_from(frame >> 6).ok(), 1 << (frame & 63))
}

impl Selection {
    /// Chooses the packets of `flows` among those that `config` lets through. Second copies of them are chosen too.
    pub fn new<'a>(config: &Config, flows: impl IntoIterator<Item = &'a Summary>) -> Self {
        let mut decode = config.decode;
        decode.drop_duplicates = false;
        let mut known: HashMap<Key, Vec<(Timestamp, Timestamp)>> = HashMap::new();
        for flow in flows {
            known.entry(Key::of(&flow.tuple).0).or_default().push((flow.start, flow.end));
        }
        Self {
            decoder: Decoder::new(decode),
            filter: config.filter.clone(),
            filters: BTreeMap::new(),
            flows: known,
            waiting: BTreeMap::new(),
            chosen: Chosen::default(),
        }
    }

    /// Looks at one packet: frame `frame` (from 1) of file `file` (from 0).
    ///
    /// # Errors
    /// When the filter does not compile for the packet's link type.
    pub fn packet(
        &mut self,
        file: usize,
        frame: u64,
        packet: &capture::Packet<'_>,
    ) -> Result<(), CaptureError> {
        if let Some(expression) = &self.filter
            && !passes(&mut self.filters, expression, packet)?
        {
            return Ok(());
        }
        let outcome =
            self.decoder.decode(packet.link_type.0, packet.timestamp, packet.data, packet.original_len);
        let found = match outcome {
            Outcome::Packet(decoded) => {
                let protocol = decoded.transport.protocol();
                Some(FiveTuple { source: decoded.source, destination: decoded.destination, protocol })
            }
            Outcome::Fragment
            | Outcome::Duplicate(_)
            | Outcome::Elsewhere(_)
            | Outcome::NotIp
            | Outcome::Undecodable(_) => None,
        };
        let datagrams = self.decoder.datagrams();
        if datagrams.is_empty() {
            if found.is_some_and(|tuple| is_known(&self.flows, &tuple, packet.timestamp)) {
                self.chosen.insert(file, frame);
            }
            return Ok(());
        }
        let mut parts = vec![(file, frame)];
        for number in datagrams {
            let mut all = self.waiting.remove(number).unwrap_or_default();
            all.append(&mut parts);
            parts = all;
        }
        match (found, datagrams.last()) {
            (Some(tuple), _) if is_known(&self.flows, &tuple, packet.timestamp) => {
                for (file, frame) in parts {
                    self.chosen.insert(file, frame);
                }
            }
            (None, Some(number)) => {
                parts.truncate(MAX_FRAGMENTS);
                self.waiting.insert(*number, parts);
                if self.waiting.len() > MAX_DATAGRAMS {
                    self.waiting.pop_first();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What was chosen, when all packets have been looked at.
    pub fn finish(self) -> Chosen {
        self.chosen
    }
}

fn is_known(flows: &HashMap<Key, Vec<(Timestamp, Timestamp)>>, tuple: &FiveTuple, at: Timestamp) -> bool {
    let early = Timestamp::from_nanos(at.as_nanos().saturating_add(EARLY_NS));
    flows
        .get(&Key::of(tuple).0)
        .is_some_and(|spans| spans.iter().any(|(start, end)| *start <= early && at <= *end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_frames_are_remembered_by_file() {
        let mut chosen = Chosen::default();
        for (file, frame) in [(0, 1), (0, 64), (2, 1_000_000), (0, 1)] {
            chosen.insert(file, frame);
        }
        assert_eq!(chosen.count(), 3);
        assert!(chosen.contains(0, 64) && chosen.contains(2, 1_000_000));
        assert!(!chosen.contains(0, 65) && !chosen.contains(1, 1) && !chosen.contains(3, 1));
    }
}
