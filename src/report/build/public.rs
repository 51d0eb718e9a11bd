//! The address of an endpoint outside of a NAT. In: a session's flows. Out: what servers told the endpoint by STUN.

use std::net::IpAddr;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::session::flows;
use crate::classify::Role;
use crate::geo;
use crate::keys::Analysis;
use crate::session::Session;

/// The endpoint's address outside of a NAT, as a server told it by STUN.
///
/// A mapped address is taken only from flows that the endpoint began, to servers, and never when it is a server's
/// own: in ICE both ends ask, and each is told its own.
pub(super) fn told_address(analysis: &Analysis, session: &Session) -> Option<IpAddr> {
    let servers = servers(session);
    told(analysis, session, &servers).next().map(|(address, _)| address)
}

/// The address outside of a NAT in which two servers agree. One alone could tell what it likes, so that it seats nobody.
pub(super) fn public_address(analysis: &Analysis, session: &Session) -> Option<IpAddr> {
    let servers = servers(session);
    agreed(told(analysis, session, &servers))
}

/// The first address that another server told, too: addresses with who told them.
fn agreed(told: impl Iterator<Item = (IpAddr, IpAddr)>) -> Option<IpAddr> {
    // In the order in which they were first told: each address, and whether two told it.
    let mut addresses: Vec<(IpAddr, bool)> = Vec::new();
    let mut first: HashMap<IpAddr, (usize, IpAddr)> = HashMap::new();
    for (address, by) in told {
        match first.entry(address) {
            Entry::Vacant(free) => {
                free.insert((addresses.len(), by));
                addresses.push((address, false));
            }
            Entry::Occupied(known) => {
                let (place, other) = *known.get();
                if other == by {
                    continue;
                }
                if place == 0 {
                    return Some(address);
                }
                if let Some((_, by_two)) = addresses.get_mut(place) {
                    *by_two = true;
                }
            }
        }
    }
    addresses.into_iter().find(|(_, by_two)| *by_two).map(|(address, _)| address)
}

/// The addresses of a session's servers, in their order.
fn servers(session: &Session) -> Vec<IpAddr> {
    let mut servers: Vec<IpAddr> = session.servers.iter().map(|server| server.address).collect();
    servers.sort_unstable();
    servers
}

/// Each address that a server told the endpoint, with the server.
fn told<'a>(
    analysis: &'a Analysis,
    session: &'a Session,
    servers: &'a [IpAddr],
) -> impl Iterator<Item = (IpAddr, IpAddr)> + 'a {
    let is_inside = geo::special(session.endpoint).is_some();
    flows(analysis, session)
        .filter(move |judged| is_inside && judged.local_is_source && judged.role() != Role::P2p)
        .filter_map(|judged| {
            Some((judged.flow.tuple.destination.ip(), judged.flow.facts.as_ref()?.stun.as_ref()?))
        })
        .flat_map(|(server, stun)| stun.mapped.iter().map(move |(address, _)| (address.ip(), server)))
        .filter(|(address, _)| geo::special(*address).is_none() && servers.binary_search(address).is_err())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_address_is_the_first_that_any_other_server_tells_too(
            told in prop::collection::vec((0_u8..5, 0_u8..4), 0..12),
        ) {
            let told: Vec<(IpAddr, IpAddr)> = told
                .into_iter()
                .map(|(address, by)| ([203, 0, 113, address].into(), [198, 51, 100, by].into()))
                .collect();
            let expected = told.iter().find(|(address, by)| {
                told.iter().any(|(same, other)| same == address && other != by)
            });
            prop_assert_eq!(agreed(told.iter().copied()), expected.map(|(address, _)| *address));
        }
    }
}
