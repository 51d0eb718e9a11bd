//! Zoom's own media transport on UDP: the server (SFU) encapsulation and the media encapsulation in it.
//!
//! In: one UDP payload. Out: [`Sfu`] for traffic with a Zoom server, [`Inner`] for what a data packet
//! carries (and for peer-to-peer traffic, which has no SFU header). There is no public specification; the
//! layout follows published measurement papers and recorded packets. Two generations exist and are told
//! apart by [`Generation`]. Sealed units are cut out (`unit`) and not opened. STUN-like reachability tests and DTLS of
//! the browser client belong to their own modules and must be tried first.

mod assembly;
mod inner;
mod probe;
mod unit;

pub use assembly::Assembler;
pub use inner::{
    Bind, Control, ControlKind, FrameMark, HolePunch, Inner, Media, MediaKind, Reliable, Rtcp, parse_inner,
};
pub use probe::{probe_p2p, probe_sfu};
pub use unit::{Fragment, LengthField, Shape, Unit, parse_fragment, parse_unit};

use crate::bytes::{ParseError, Reader};

/// Which of the two SFU encapsulations is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "a third generation would need new code everywhere")]
pub enum Generation {
    /// Hello version 2 (seen until 2020): the data header is the type byte alone.
    V2,
    /// Hello version 3 (seen since 2022): the data header has sequence, flow id and direction, 8 bytes in all.
    V3,
}

impl Generation {
    /// The generation that a hello of this version opens. Servers of generation 2 answer with version 1.
    pub const fn from_version(version: u16) -> Self {
        if version >= 3 { Self::V3 } else { Self::V2 }
    }

    /// Length of the SFU header of a data packet, in bytes.
    #[inline]
    pub const fn data_header_length(self) -> usize {
        match self {
            Self::V2 => 1,
            Self::V3 => 8,
        }
    }
}

/// Which way a data packet says that it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a wire value beyond the two is reported as absent")]
pub enum Direction {
    /// Wire value 0.
    ToServer,
    /// Wire value 4.
    FromServer,
}

/// A packet between a client and a Zoom media server, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sfu<'a> {
    /// Type 1: a client opens a flow.
    ClientHello {
        /// Encapsulation version, 2 or 3 so far.
        version: u16,
        /// Chosen by the client, echoed by the server.
        connection_id: [u8; 16],
    },
    /// Type 2: the server's answer.
    ServerHello {
        /// Encapsulation version; 1 in answers to version 2.
        version: u16,
        /// Echo of the client's id.
        connection_id: [u8; 16],
        /// Given by the server; the flows of one client get neighbouring numbers.
        flow_id: u32,
    },
    /// Type 3: either side asks for a sign of life; with [`Sfu::Pong`] it gives the round-trip time.
    Ping {
        /// Counts up per flow.
        counter: u32,
        /// The sender's clock in milliseconds.
        clock_ms: u32,
        /// The flow that it belongs to.
        flow_id: u32,
    },
    /// Type 4: the echo of a ping.
    Pong {
        /// Counter of the ping.
        counter: u32,
        /// Clock of the ping, in milliseconds of the asker's clock.
        clock_ms: u32,
        /// The flow that it belongs to.
        flow_id: u32,
    },
    /// Type 5: media, control and binding.
    Data {
        /// The generation whose layout fitted.
        generation: Generation,
        /// Counts up per direction; absent in generation 2.
        sequence: Option<u16>,
        /// The flow that it belongs to; absent in generation 2.
        flow_id: Option<u32>,
        /// Absent in generation 2, and where the byte is neither 0 nor 4.
        direction: Option<Direction>,
        /// What it carries.
        inner: Inner<'a>,
    },
    /// Type 7: the flow ends.
    Close,
    /// A type that is not known.
    Unknown(u8),
}

impl Sfu<'_> {
    /// The generation that this packet shows, where it does; pass it as the hint for later packets.
    pub const fn generation(&self) -> Option<Generation> {
        match self {
            Self::ClientHello { version, .. } | Self::ServerHello { version, .. } => {
                Some(Generation::from_version(*version))
            }
            Self::Data { generation, .. } => Some(*generation),
            Self::Ping { .. } | Self::Pong { .. } | Self::Close | Self::Unknown(_) => None,
        }
    }
}

/// Reads one packet between a client and a Zoom media server.
///
/// `hint` is the generation learnt from the flow's hello. Without it the 8-byte data header is tried
/// first and taken if its direction byte and what follows it are sound, else the 1-byte header.
///
/// # Errors
/// [`ParseError`] when the packet ends before the fields of its type do.
pub fn parse_sfu(payload: &[u8], hint: Option<Generation>) -> Result<Sfu<'_>, ParseError> {
    let mut reader = Reader::new(payload);
    match reader.u8("zoom packet type")? {
        1 => Ok(Sfu::ClientHello {
            version: reader.u16("zoom hello version")?,
            connection_id: reader.array("zoom connection id")?,
        }),
        2 => Ok(Sfu::ServerHello {
            version: reader.u16("zoom hello version")?,
            connection_id: reader.array("zoom connection id")?,
            flow_id: reader.u32("zoom flow id")?,
        }),
        3 => Ok(Sfu::Ping {
            counter: reader.u32("zoom ping counter")?,
            clock_ms: reader.u32("zoom ping clock")?,
            flow_id: reader.u32("zoom flow id")?,
        }),
        4 => Ok(Sfu::Pong {
            counter: reader.u32("zoom ping counter")?,
            clock_ms: reader.u32("zoom ping clock")?,
            flow_id: reader.u32("zoom flow id")?,
        }),
        5 => parse_data(payload, hint.unwrap_or_else(|| guess_generation(payload))),
        7 => Ok(Sfu::Close),
        other => Ok(Sfu::Unknown(other)),
    }
}

fn parse_data(payload: &[u8], generation: Generation) -> Result<Sfu<'_>, ParseError> {
    let mut reader = Reader::new(payload);
    reader.u8("zoom packet type")?;
    let (sequence, flow_id, direction) = match generation {
        Generation::V2 => (None, None, None),
        Generation::V3 => {
            let sequence = reader.u16("zoom data sequence")?;
            let flow_id = reader.u32("zoom flow id")?;
            let direction = match reader.u8("zoom data direction")? {
                0 => Some(Direction::ToServer),
                4 => Some(Direction::FromServer),
                _ => None,
            };
            (Some(sequence), Some(flow_id), direction)
        }
    };
    let base = reader.position();
    let inner = inner::parse(reader.rest(), generation).map_err(|error| error.shifted(base))?;
    Ok(Sfu::Data { generation, sequence, flow_id, direction, inner })
}

/// Without a hello: the longer header if its direction byte is sound and a known encapsulation follows it.
fn guess_generation(payload: &[u8]) -> Generation {
    let sound_direction = matches!(payload.get(7), Some(0 | 4));
    let long = payload.get(8..).is_some_and(inner::is_known_head);
    let short = payload.get(1..).is_some_and(inner::is_known_head);
    if sound_direction && long && !(short && payload.get(1..).is_some_and(probe::has_media)) {
        Generation::V3
    } else if short {
        Generation::V2
    } else {
        Generation::V3
    }
}

/// Where the RTP header of a data packet begins, counted from the start of the UDP payload.
///
/// This is the per-packet path: `None` for everything that is not audio, video or screen sharing in a
/// data packet of this generation. That the header is RTP version 2 has been checked.
#[inline]
pub fn media_offset(payload: &[u8], generation: Generation) -> Option<usize> {
    let header = generation.data_header_length();
    match payload.first() {
        Some(5) => inner_media_offset(payload.get(header..)?, generation)?.checked_add(header),
        _ => None,
    }
}

/// The same for bytes without an SFU header, as in peer-to-peer traffic.
#[inline]
pub fn inner_media_offset(bytes: &[u8], generation: Generation) -> Option<usize> {
    match bytes.first()? {
        15 | 16 | 30 => inner::rtp_offset(bytes),
        13 => {
            let nested_at = inner::nested_offset(bytes, generation)?;
            inner::rtp_offset(bytes.get(nested_at..)?)?.checked_add(nested_at)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
