//! Options of a packet socket that no safe crate sets: filters of the socket itself and groups of sockets. Linux only.
//!
//! socket(7) and packet(7); constants from `linux/if_packet.h` by way of the `libc` crate.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// One instruction of classic BPF.
pub(super) type Instruction = libc::sock_filter;

/// Makes the kernel take only what a program accepts. libpcap's own setting of a filter would apply it to what lies in its
/// buffer too.
pub(super) fn attach_filter(socket: BorrowedFd<'_>, program: &mut [Instruction]) -> io::Result<()> {
    let program = described(program)?;
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Makes the kernel take `bytes` of each packet: 0 for no packet at all, [`u32::MAX`] for all of all.
pub(super) fn pass(socket: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    // ret #bytes
    attach_filter(socket, &mut [Instruction { code: 0x06, jt: 0, jf: 0, k: bytes }])
}

/// Joins a group of sockets.
pub(super) fn join(socket: BorrowedFd<'_>, group: libc::c_int) -> io::Result<()> {
    set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &group)
}

/// The group that the socket is in.
pub(super) fn group(socket: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    #[expect(unsafe_code, reason = "no safe crate reads this option")]
    // SAFETY: the descriptor is open while it is borrowed; `value` and `length` live on this stack, and `length` is the size of
    // `value`, beyond which the kernel does not write.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_FANOUT,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if status == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Gives the group the program that deals.
pub(super) fn deal_by(socket: BorrowedFd<'_>, program: &mut [Instruction]) -> io::Result<()> {
    let program = described(program)?;
    set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, &program)
}

/// The kernel's description of a program, which is only valid while the program lives.
fn described(program: &mut [Instruction]) -> io::Result<libc::sock_fprog> {
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    Ok(libc::sock_fprog { len, filter: program.as_mut_ptr() })
}

/// `T` is a number or a description of a program; nothing else is given by this module.
fn set<T>(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    #[expect(unsafe_code, reason = "no safe crate sets these options")]
    // SAFETY: the descriptor is open while it is borrowed; the kernel copies `length` bytes of `value`, and the instructions that
    // a description points to, which the callers keep alive, during the call and keeps no pointer.
    let status = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
