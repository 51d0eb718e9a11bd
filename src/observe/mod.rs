//! Between the parsers and the judgement: the first packets of each flow are dissected, and what they show is
//! written down as [`facts::Facts`]. Media packets after that take a short path of a few counters.
//!
//! In: decoded packets of one flow. Out: facts, with the packet behind each. No provider is known here; byte
//! patterns come in compiled ([`pattern`]).

mod alpn;
mod call;
mod certificates;
mod datagram;
mod datagram_tls;
pub mod facts;
mod handshake;
mod media;
mod memo;
mod names;
pub mod opened;
mod pace;
mod packet_ref;
pub mod pattern;
mod sealed;
mod shake;
mod state;
mod stream;
mod summary;
mod traversal;
mod weight;
mod zoom;

pub use crate::bytes::hex;
pub use names::are_ports_of_names;
pub use packet_ref::PacketRef;
pub use state::{
    CALL, Doubt, SLOT_BYTES, Seen, State, approach, approach_further, doubt, give_up, has_facts, observe,
    snapshot, summarise, waiting,
};
pub use summary::{Beginning, Ending, Outline, Summary};
pub use weight::weight;
