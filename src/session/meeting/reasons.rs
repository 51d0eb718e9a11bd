//! Reasons to join a pair of sessions: those that are kept of it, how sure they make together, what they take.

use std::collections::BTreeMap;

use super::{Joint, MOST};

/// Reasons kept of a pair of sessions.
const REASONS: usize = 8;
/// Bytes of the list of a pair with its place, and of a reason without its value.
pub(super) const OF_PAIR: usize = 128;
const OF_JOINT: usize = 224;

impl Joint {
    /// What two ends of one connection show, not the members of a room.
    pub(super) fn is_of_two(&self) -> bool {
        matches!(self.what, "p2p_flow" | "zoom_p2p_key" | "ice_pair" | "peer_address" | "sip_call_id")
    }
}

/// Notes a reason of a pair; gives the bytes that are held more for it.
pub(super) fn push(
    joints: &mut BTreeMap<(usize, usize), Vec<Joint>>,
    (a, b): (usize, usize),
    joint: Joint,
) -> usize {
    let more = bytes_of(&joint);
    let reasons = joints.entry((a.min(b), a.max(b))).or_default();
    let (before, first) = (reasons.len(), if reasons.is_empty() { OF_PAIR } else { 0 });
    note(reasons, joint);
    if reasons.len() > before { more.saturating_add(first) } else { 0 }
}

/// Keeps a reason, or the surer of two that are one.
pub(super) fn note(reasons: &mut Vec<Joint>, joint: Joint) {
    // Two ways to see that two streams are one are no two reasons.
    let alike = |held: &&mut Joint| {
        let one_stream = held.packets == joint.packets && !held.is_of_two() && !joint.is_of_two();
        one_stream || (held.what == joint.what && held.value == joint.value)
    };
    if let Some(held) = reasons.iter_mut().find(alike) {
        if held.confidence < joint.confidence {
            *held = joint;
        }
    } else if reasons.len() < REASONS {
        reasons.push(joint);
    }
}

/// Bytes of a reason.
pub(super) fn bytes_of(joint: &Joint) -> usize {
    OF_JOINT.saturating_add(joint.value.len())
}

/// Independent reasons together.
pub(super) fn combined(reasons: &[Joint]) -> f32 {
    let doubt: f32 = reasons.iter().map(|reason| 1.0 - reason.confidence).product();
    (1.0 - doubt).min(MOST)
}
