//! Places for connections. In: who comes to one listener. Out: a seat while there is one for all, and one for this peer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::is_loopback;

/// One peer has a quarter of the seats at most: it can be a proxy, and is not to lock out all others.
const PEER_SHARE: usize = 4;
/// The half of an IPv6 address that names the network. Who has one address in it has them all.
const NETWORK: u128 = u128::MAX << 64;

/// The seats of one listener.
pub(super) struct Seats {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Peers beyond loopback that have a seat.
    by_peer: BTreeMap<IpAddr, usize>,
}

impl Seats {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// A seat, if there is one.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let mut taken = self.taken();
        if taken.all >= self.most {
            return None;
        }
        let peer = (!is_loopback(address)).then(|| peer(address));
        if let Some(peer) = peer {
            let has = taken.by_peer.get(&peer).copied().unwrap_or_default();
            if has >= self.most.div_ceil(PEER_SHARE) {
                return None;
            }
            taken.by_peer.insert(peer, has.saturating_add(1));
        }
        taken.all = taken.all.saturating_add(1);
        Some(Seat { seats: Arc::clone(self), peer })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address without what its owner can choose at will.
fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & NETWORK).into()),
        address @ IpAddr::V4(_) => address,
    }
}

/// Held as long as its connection.
pub(super) struct Seat {
    seats: Arc<Seats>,
    peer: Option<IpAddr>,
}

impl Seat {
    /// Whether more than half of the seats are taken: nobody is to sit for long then.
    pub(super) fn is_crowded(&self) -> bool {
        self.seats.taken().all > self.seats.most / 2
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.all = taken.all.saturating_sub(1);
        let Some(peer) = self.peer else { return };
        let left = taken.by_peer.get(&peer).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            taken.by_peer.remove(&peer);
        } else {
            taken.by_peer.insert(peer, left);
        }
    }
}
