//! Which talk with a vendor's servers belongs to a call: that which lies beside the call's own flows.
//!
//! A messenger is spoken to all day, and a meeting client fetches settings at every start. Such a flow is call
//! signalling only within [`CALL_REACH`] of a flow that only a call has, of the same endpoint and app.

use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;

use super::provider::{HostRole, Purpose};
use super::rules::Rules;
use super::verdict::{Evidence, Judged, Role, Verdict};
use crate::observe::{PacketRef, Summary};
use crate::time::Timestamp;

/// How far a flow may lie from a call to count as the call's.
const CALL_REACH: Duration = Duration::from_secs(300);

/// When an endpoint was in a call of an app, and the first packet of each flow that says so.
type Calls = HashMap<(u16, IpAddr), Vec<(Timestamp, Timestamp, PacketRef)>>;

/// Takes the role of signalling from a messenger's traffic that has no call beside it, and gives it to what the
/// vendor's own program does beside one.
pub(super) fn settle(rules: &Rules, flows: &mut [Judged]) {
    let calls = calls(flows);
    for Judged { flow, verdict, .. } in flows {
        let Some(provider) = verdict.provider else { continue };
        let messenger = rules.provider(provider).is_some_and(|known| known.purpose == Purpose::Messenger);
        match verdict.role {
            Some(Role::Signalling) if messenger && beside(&calls, provider, flow).is_none() => {
                verdict.role = Some(Role::Web);
            }
            Some(Role::Web) if !messenger && is_of_the_program(rules, provider, verdict) => {
                let Some(packet) = beside(&calls, provider, flow) else { continue };
                verdict.role = Some(Role::Signalling);
                verdict.evidence.push(Evidence {
                    provider,
                    what: "tie_call",
                    value: format!(
                        "{} was in a call within {} s",
                        flow.tuple.source.ip(),
                        CALL_REACH.as_secs()
                    )
                    .into(),
                    weight: 0.0,
                    packet,
                    checked: true,
                    role: Some(Role::Signalling),
                });
            }
            _ => {}
        }
    }
}

fn calls(flows: &[Judged]) -> Calls {
    let mut calls = Calls::new();
    for Judged { flow, verdict, .. } in flows {
        if let Some(provider) = verdict.provider.filter(|_| verdict.role.is_some_and(Role::is_call)) {
            for end in [flow.tuple.source.ip(), flow.tuple.destination.ip()] {
                calls.entry((provider, end)).or_default().push((flow.start, flow.end, flow.first_packet));
            }
        }
    }
    calls
}

/// The first packet of a call flow that this flow lies beside.
fn beside(calls: &Calls, provider: u16, flow: &Summary) -> Option<PacketRef> {
    let spans = calls.get(&(provider, flow.tuple.source.ip()))?;
    spans
        .iter()
        .find(|(from, to, _)| from.since(flow.end) <= CALL_REACH && flow.start.since(*to) <= CALL_REACH)
        .map(|(.., packet)| *packet)
}

/// True when the name that the flow was opened with is of a host that only the vendor's program calls.
fn is_of_the_program(rules: &Rules, provider: u16, verdict: &Verdict) -> bool {
    let named = verdict.evidence.iter().filter(|item| matches!(item.what, "sni" | "certificate_name"));
    named
        .filter_map(|item| item.value.text())
        .flat_map(|name| rules.host(name))
        .any(|rule| rule.provider == provider && rule.role == HostRole::Client)
}
