//! One question to the kernel and its answer, over a generic netlink socket. It reads settings, changes none, and sends nothing
//! on any interface.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

use super::features;

/// The longest answer that is taken, in bytes: all 64 features by name are a twentieth of it.
const LONGEST: usize = 64 << 10;
/// The kernel answers at once, or not at all.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Names of the features of an interface that are on; none where the kernel does not tell (before 5.6, or without the right).
pub(super) fn features(interface: &str) -> Option<BTreeSet<String>> {
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(GENERIC)).ok()?;
    bind(&socket, &SocketAddrNetlink::new(0, 0)).ok()?;
    let family = features::family(&ask(&socket, &features::ask_family())?).ok()??;
    features::active(&ask(&socket, &features::ask_features(family, interface))?).ok()?
}

fn ask(socket: &OwnedFd, question: &[u8]) -> Option<Vec<u8>> {
    sendto(socket, question, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).ok()?;
    let mut waiting = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    if poll(&mut waiting, Some(&PATIENCE)).ok()? == 0 {
        return None;
    }
    let mut answer = vec![0_u8; LONGEST];
    let (length, _) = recv(socket, answer.as_mut_slice(), RecvFlags::empty()).ok()?;
    answer.truncate(length);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_tells_its_features_where_the_kernel_knows_how() {
        let Some(on) = features("lo") else { return };
        // Documentation/networking/netdev-features.rst: the loopback always has it.
        assert!(on.contains("loopback"), "{on:?}");
        assert_eq!(features("nosuchif0"), None);
    }
}
