//! Addresses that session descriptions in the clear announced for plain RTP. In: all flows. Out: a word in the verdicts of those that
//! ran there.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Judged;
use crate::observe::Summary;

/// Addresses that a session description in the clear announced for plain RTP: profile RTP/AVP or RTP/AVPF (RFC 3551, RFC 4585),
/// with neither `a=crypto` nor `a=fingerprint` beside it.
pub fn announced_clear<'a>(flows: impl Iterator<Item = &'a Summary>) -> BTreeSet<SocketAddr> {
    let mut clear = BTreeSet::new();
    let mut keyed = BTreeSet::new();
    for sip in flows.filter_map(|flow| flow.facts.as_ref()?.sip.as_ref()) {
        for announced in &sip.media {
            let plain = !announced.crypto && !announced.fingerprint;
            if plain && matches!(announced.profile.as_str(), "RTP/AVP" | "RTP/AVPF") {
                clear.insert(announced.address);
            } else {
                keyed.insert(announced.address);
            }
        }
    }
    clear.retain(|address| !keyed.contains(address));
    clear
}

/// Tells it to the flows that ran at such an address.
pub(super) fn settle(flows: &mut [Judged]) {
    let clear = announced_clear(
        Summary::each_ahead(0, flows, |judged| Some(&judged.flow)).map(|(_, judged)| &judged.flow),
    );
    if clear.is_empty() {
        return;
    }
    for judged in flows {
        let tuple = &judged.flow.tuple;
        judged.verdict.announced_clear = clear.contains(&tuple.source) || clear.contains(&tuple.destination);
    }
}
