//! What bodies hold that are not whole: decoders, and messages that are kept to be read as one. In: the streams of one way. Out: those that
//! are read no further, because there are too many or they hold too much.

use std::collections::BTreeMap;

use super::Sink;

/// Most decoders at work in one way of a connection; of QUIC's, in both together.
const DECODERS_CAP: usize = 8;
/// Most bytes that the bodies of one way hold, or of QUIC's both ways.
const BODIES_CAP: usize = 2 << 20;

/// A body, or what carries one.
pub(super) trait Hold {
    /// About how many bytes of memory it holds.
    fn bytes(&self) -> usize;
    /// True while a coding is being taken off.
    fn is_unfolding(&self) -> bool;
    /// Ends what it holds, so that it holds nothing. What was read of it stands.
    fn give_up(&mut self, sink: &mut Sink<'_>);
}

/// Bytes that all hold together.
pub(super) fn bytes<K, H: Hold>(open: &BTreeMap<K, H>) -> usize {
    open.values().fold(0, |sum, one| sum.saturating_add(one.bytes()))
}

/// To be called after each piece: where there is a decoder too many the oldest gives up, which has the lowest number, and where they hold too
/// much the largest.
pub(super) fn limit<K: Ord, H: Hold>(open: &mut BTreeMap<K, H>, sink: &mut Sink<'_>) {
    if open.values().filter(|one| one.is_unfolding()).count() > DECODERS_CAP
        && let Some(oldest) = open.values_mut().find(|one| one.is_unfolding())
    {
        oldest.give_up(sink);
    }
    if bytes(open) > BODIES_CAP
        && let Some(largest) = open.values_mut().max_by_key(|one| one.bytes())
    {
        largest.give_up(sink);
    }
}

/// The same for what stands alone.
pub(super) fn limit_one(one: &mut impl Hold, sink: &mut Sink<'_>) {
    if one.bytes() > BODIES_CAP {
        one.give_up(sink);
    }
}
