//! Fingerprints: who speaks, without asking what is said.
//!
//! In: a parsed hello, or a flow's addresses. Out: JA3 and JA3S (MD5 of a list, by Salesforce), JA4 of TLS
//! clients (`FoxIO`, BSD licence) and the Community ID of a flow (Corelight, version 1), as fixed-size text
//! without heap. Not handled, because of their licence: the other members of the JA4 family.

mod community_id;
mod ja3;
mod ja4;
mod pieces;

pub use community_id::{CommunityId, community_id};
pub use ja3::{Ja3, ja3, ja3_string, ja3s, ja3s_string};
pub use ja4::{Ja4, Transport, ja4, ja4_raw};
