//! What is kept of sessions for their meetings is let go of when it is old, or more than memory has room for.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::{KEPT, Lengths, Meetings, OF_CONTRADICTION, OF_LENGTHS, OF_PAIR, TRACES, Trace, bytes_of};
use crate::session::trace::KEPT_BYTES;
use crate::time::Timestamp;

/// One part in so many is old before anything is let go of, and that much less is kept than there is room for: each time all tables are
/// gone through.
const SHARE: usize = 8;

impl Meetings {
    /// Bytes that are held, where they are limited, and the most there may be; sessions and their cap else.
    fn filled(&self) -> (usize, usize) {
        match self.most {
            Some(most) => (self.held, most.saturating_mul(KEPT_BYTES)),
            None => (self.traces.len(), TRACES),
        }
    }

    /// True where more is held than there is room for.
    pub(super) fn is_full(&self) -> bool {
        let (held, most) = self.filled();
        held > most
    }

    /// Drops what ended too long before `now`, the latest packet time that is known, and what there is no room for: what ended first.
    pub(super) fn forget(&mut self, now: Option<Timestamp>) {
        let is_old = |trace: &Trace| now.is_some_and(|now| now.since(trace.end) > KEPT);
        let old = self.traces.iter().filter(|trace| is_old(trace)).count();
        if old.saturating_mul(SHARE) < self.traces.len().max(1) && !self.is_full() {
            return;
        }
        let mut kept: Vec<bool> = self.traces.iter().map(|trace| !is_old(trace)).collect();
        self.let_go(&kept);
        if self.is_full() {
            kept = self.newest();
            self.let_go(&kept);
        }
    }

    /// Those that there is room for, and some to spare: those that ended last.
    fn newest(&self) -> Vec<bool> {
        let (held, most) = self.filled();
        let mut excess = held.saturating_sub(most.saturating_sub(most / SHARE));
        let mut places: Vec<usize> = (0..self.traces.len()).collect();
        places.sort_by_key(|place| self.traces.get(*place).map(|trace| (trace.end, trace.id)));
        let mut kept = vec![true; self.traces.len()];
        for place in places {
            if excess == 0 {
                break;
            }
            if let Some(kept) = kept.get_mut(place) {
                *kept = false;
            }
            excess = excess.saturating_sub(match self.most {
                Some(_) => self.taken_by(place, &kept),
                None => 1,
            });
        }
        kept
    }

    /// Bytes of a session and of what ties it to those that are kept.
    fn taken_by(&self, place: usize, kept: &[bool]) -> usize {
        let own = self.traces.get(place).map_or(0, Trace::bytes);
        let beside = self.beside.range((place, 0)..=(place, usize::MAX)).map(|(_, other)| *other);
        let pairs = beside.filter(|other| kept.get(*other) == Some(&true));
        let pairs = pairs.map(|other| self.tied_by((place.min(other), place.max(other))));
        pairs.fold(own, usize::saturating_add)
    }

    /// Bytes of what ties a pair of sessions.
    fn tied_by(&self, pair: (usize, usize)) -> usize {
        let reasons = self.joints.get(&pair).map_or(0, |reasons| {
            reasons.iter().fold(OF_PAIR, |sum, joint| sum.saturating_add(bytes_of(joint)))
        });
        let lengths = self.lengths.get(&pair.1).map_or(0, |found| {
            found.iter().filter(|one| one.streams.iter().any(|(place, _)| *place == pair.0)).count()
        });
        reasons.saturating_add(lengths.saturating_mul(OF_LENGTHS))
    }

    /// Bytes that all of it takes, counted anew.
    fn weigh(&self) -> usize {
        let joints = self.joints.values().flatten().map(bytes_of).fold(0, usize::saturating_add);
        let lengths = self.lengths.values().map(Vec::len).fold(0, usize::saturating_add);
        let traces = self.traces.iter().map(Trace::bytes).fold(0, usize::saturating_add);
        traces
            .saturating_add(joints)
            .saturating_add(self.joints.len().saturating_mul(OF_PAIR))
            .saturating_add(lengths.saturating_mul(OF_LENGTHS))
            .saturating_add(self.contradicted.len().saturating_mul(OF_CONTRADICTION))
    }

    /// Keeps these of the sessions, in their order.
    fn let_go(&mut self, kept: &[bool]) {
        if kept.iter().all(|kept| *kept) {
            return;
        }
        let mut places = HashMap::new();
        for (place, _) in kept.iter().enumerate().filter(|(_, kept)| **kept) {
            places.insert(place, places.len());
        }
        let moved = |place: usize| places.get(&place).copied();
        let both = |(a, b): (usize, usize)| Some((moved(a)?, moved(b)?));
        let mut place = 0_usize;
        let mut gone = Vec::new();
        self.traces.retain(|trace| {
            let is_kept = kept.get(place).copied().unwrap_or(false);
            place = place.saturating_add(1);
            if !is_kept {
                gone.push(trace.id);
            }
            is_kept
        });
        for id in gone {
            self.named.remove(&id);
        }
        // Those that came while a list was full are in it now.
        (self.by_mark, self.by_source, self.by_row) = (HashMap::new(), HashMap::new(), HashMap::new());
        (0..self.traces.len()).for_each(|place| self.list(place));
        let joints = std::mem::take(&mut self.joints);
        self.joints = joints.into_iter().filter_map(|(pair, reasons)| Some((both(pair)?, reasons))).collect();
        let mut lengths = BTreeMap::new();
        for (place, found) in std::mem::take(&mut self.lengths) {
            let Some(new) = moved(place) else { continue };
            let found = found.into_iter().filter_map(|one| {
                let [a, b] = one.streams;
                Some(Lengths { streams: [(moved(a.0)?, a.1), (moved(b.0)?, b.1)], copied: one.copied })
            });
            lengths.insert(new, found.collect());
        }
        self.lengths = lengths;
        self.contradicted = std::mem::take(&mut self.contradicted).into_iter().filter_map(both).collect();
        self.beside = std::mem::take(&mut self.beside).into_iter().filter_map(both).collect();
        self.held = self.weigh();
    }
}
