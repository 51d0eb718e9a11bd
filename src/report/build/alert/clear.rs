//! Whether a session's media key went in the clear. In: a session with its record. Out: the answer with its reason.

use super::super::super::record::SessionRecord;
use super::super::session::flows;
use crate::keys::Analysis;
use crate::keys::witness::Delivery;
use crate::policy::Answer;
use crate::session::Session;

/// The finding of a key that went in the clear and opens the media.
const KEY_IN_CLEAR: &str = "key_in_clear";

/// Whether the key that opens the media went in the clear. A key in clear SDP that was not shown to open it leaves that open.
pub(super) fn key_in_clear(
    analysis: &Analysis,
    session: &Session,
    record: &SessionRecord,
) -> Option<(Answer, String)> {
    if let Some(found) = record.findings.iter().find(|finding| finding.id == KEY_IN_CLEAR) {
        return Some((Answer::Yes, found.text.clone()));
    }
    if record.keys.witness.iter().any(|witness| witness.delivery != Delivery::Clear) {
        return None;
    }
    let sip = flows(analysis, session).filter_map(|judged| judged.flow.facts.as_deref()?.sip.as_ref());
    let mut offered = sip.flat_map(|sip| &sip.keys);
    offered.next().map(|_| {
        let text = "a key went in the clear in SDP, and whether it opens the media was not shown";
        (Answer::Unknown, text.to_owned())
    })
}
