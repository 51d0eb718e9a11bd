//! Reasons to join two sessions. In: what both show. Out: a [`Joint`] with its confidence.

use super::marks::Mark;
use super::trace::{Shared, StreamTrace};
use super::{Joint, order};
use crate::observe::PacketRef;
use crate::observe::facts::Copied;

/// One endpoint, captured at two points of the network.
pub(super) const SEEN_TWICE: &str = "seen_twice";

fn joint(
    [a, b]: [u64; 2],
    what: &'static str,
    value: String,
    confidence: f32,
    [one, two]: [PacketRef; 2],
) -> Joint {
    let (sessions, mut packets) =
        if order(a) <= order(b) { ([a, b], vec![one, two]) } else { ([b, a], vec![two, one]) };
    packets.dedup();
    Joint { sessions, what, value, confidence, packets }
}

pub(super) fn by_mark(mark: &Shared, ids: [u64; 2], packets: [PacketRef; 2]) -> Joint {
    let (what, value, confidence) = match mark {
        Shared::Flow(id) => ("p2p_flow", format!("flow {id} runs straight between them"), 0.95),
        Shared::Mark(Mark::ZoomPeers(key)) => ("zoom_p2p_key", key.clone(), 0.95),
        Shared::Mark(Mark::Ufrags(pair)) => ("ice_pair", pair.clone(), 0.9),
        Shared::Mark(Mark::Call(id)) => ("sip_call_id", id.clone(), 0.9),
        Shared::Own(address) | Shared::Spoken(address) => ("peer_address", address.to_string(), 0.85),
        Shared::Mark(_) => ("mark", String::new(), 0.0),
    };
    joint(ids, what, value, confidence, packets)
}

/// The same source with the same numbers at the same time.
pub(super) fn by_source(ids: [u64; 2], one: &StreamTrace, two: &StreamTrace, plain: bool) -> Joint {
    let (what, confidence) = match (one.sent, two.sent) {
        (true, true) => (SEEN_TWICE, 0.9),
        (false, false) => ("same_stream", 0.85),
        _ => ("stream_copy", 0.97),
    };
    let value = format!("source {:#010x} with the same numbers and timestamps", one.ssrc);
    joint(ids, what, value, if plain { confidence * 0.5 } else { confidence }, [one.packet, two.packet])
}

/// Another source with the same lengths, later than the sender's.
pub(super) fn by_lengths(
    ids: [u64; 2],
    one: &StreamTrace,
    two: &StreamTrace,
    copied: Copied,
) -> Option<Joint> {
    // A mirror port may hand out packets a little out of order.
    const EARLY_NS: i64 = 50_000_000;
    let later = match (one.sent, two.sent) {
        (true, false) => copied.lag_ns >= -EARLY_NS,
        (false, true) => copied.lag_ns <= EARLY_NS,
        (false, false) => true,
        (true, true) => false,
    };
    let rows = f32::from(u16::try_from(copied.rows).unwrap_or(u16::MAX));
    let sure = 1.0 - 0.5_f32.powf(rows / 2.0);
    let (what, confidence) =
        if one.sent == two.sent { ("same_lengths", sure * 0.8) } else { ("copied_lengths", sure * 0.95) };
    let value = format!(
        "{:#010x} and {:#010x}: {} of {} rows of packet lengths are the same, {} ms apart",
        one.ssrc,
        two.ssrc,
        copied.rows,
        copied.compared,
        copied.lag().as_millis()
    );
    later.then(|| joint(ids, what, value, confidence, [one.packet, two.packet]))
}
