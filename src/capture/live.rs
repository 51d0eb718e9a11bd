//! Live packets from network interfaces, through libpcap.
//!
//! In: names of interfaces and [`Options`]. Out: packets with the kernel's time, in batches that lie where the kernel put them
//! ([`Live`]); packets of several sources by time ([`Hold`]); [`Counters`] of all that was lost; what distorts a capture
//! ([`distortions`]). On Linux several sockets may share an interface ([`open`]), each with the conversations of its own.
//! Nothing is ever sent on an interface.

mod counters;
mod deal;
mod device;
#[cfg(target_os = "linux")]
mod features;
mod hold;
#[cfg(target_os = "linux")]
mod netlink;
mod offload;
mod shared;
mod socket;
#[cfg(target_os = "linux")]
mod sockopt;
mod system;

pub use counters::Counters;
pub use deal::owner;
pub use device::{InterfaceInfo, interfaces};
pub use hold::{CHUNK, Chunk, Hold};
pub use offload::{distortions, seen_oversized};
pub use shared::{Opened, open};
pub use socket::{Live, Options, wait};
