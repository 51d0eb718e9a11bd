//! Which protocol a datagram could be, from its first bytes.
//!
//! In: a UDP payload. Out: a small set of [`Kind`]s in the order in which their parsers should be asked.
//! Follows RFC 7983 (first byte), RFC 9443 (QUIC beside them) and RFC 5761 (RTP beside RTCP), but looser: a
//! candidate is only what the bytes do not contradict, and the parser decides. Nothing here knows ports.
//!
//! ZRTP (RFC 6189) is recognised here, because nothing more is read of it.

use super::{rtcp, rtp, stun};
use crate::bytes::Probe;

/// A protocol that shares UDP flows with media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// STUN or TURN, with the magic cookie or in the style of RFC 3489.
    Stun,
    /// Microsoft's multiplexed TURN frame.
    MsMux,
    /// ZRTP key agreement.
    Zrtp,
    /// DTLS record.
    Dtls,
    /// TURN channel data.
    ChannelData,
    /// RTCP or SRTCP.
    Rtcp,
    /// RTP or SRTP.
    Rtp,
    /// QUIC, long or short header.
    Quic,
}

/// All kinds, in the order in which they are to be asked: those with magic values first.
const ORDER: [Kind; 8] =
    [Kind::Stun, Kind::MsMux, Kind::Zrtp, Kind::Dtls, Kind::ChannelData, Kind::Rtcp, Kind::Rtp, Kind::Quic];

/// A set of candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Candidates(u8);

impl Candidates {
    const fn bit(kind: Kind) -> u8 {
        match kind {
            Kind::Stun => 1,
            Kind::MsMux => 1 << 1,
            Kind::Zrtp => 1 << 2,
            Kind::Dtls => 1 << 3,
            Kind::ChannelData => 1 << 4,
            Kind::Rtcp => 1 << 5,
            Kind::Rtp => 1 << 6,
            Kind::Quic => 1 << 7,
        }
    }

    /// Whether `kind` is among them.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The candidates, the surest first.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        ORDER.into_iter().filter(move |kind| self.contains(*kind))
    }

    const fn only(kind: Kind) -> Self {
        Self(Self::bit(kind))
    }

    const fn with(self, kind: Kind, present: bool) -> Self {
        if present { Self(self.0 | Self::bit(kind)) } else { self }
    }
}

/// What `datagram` could be. A magic value excludes all else; an empty set means none of these.
#[inline]
pub fn candidates(datagram: &[u8]) -> Candidates {
    let none = Candidates::default();
    match datagram {
        // RFC 7983: 0 to 3 STUN, 16 to 19 ZRTP, 20 to 63 DTLS, 64 to 79 ChannelData, 128 to 191 media.
        [0..=63, ..] => below_64(datagram),
        // RFC 9443 §3: 64 to 127 and 192 to 255 are QUIC where the peers do not speak TURN.
        [64..=127, ..] => none
            .with(Kind::ChannelData, stun::ChannelData::fits(datagram))
            .with(Kind::Quic, datagram.len() >= MIN_QUIC_SHORT),
        // RFC 9287 lets QUIC clear its fixed bit, hence 128 to 191 as well; beside media only with a version
        // that is known.
        [128..=191, ..] => none
            .with(Kind::Rtcp, rtcp::probe(datagram) != Probe::No)
            .with(Kind::Rtp, rtp::probe(datagram) != Probe::No)
            .with(Kind::Quic, has_known_version(datagram) && may_be_long_quic(datagram)),
        [0xff, 0x10, rest @ ..] if is_ms_mux(rest) => {
            Candidates::only(Kind::MsMux).with(Kind::Quic, may_be_long_quic(datagram))
        }
        [192..=255, ..] => none.with(Kind::Quic, may_be_long_quic(datagram)),
        [] => none,
    }
}

#[inline]
fn below_64(datagram: &[u8]) -> Candidates {
    let stun = stun::probe(datagram);
    if stun == Probe::Yes {
        Candidates::only(Kind::Stun)
    } else if is_zrtp(datagram) {
        Candidates::only(Kind::Zrtp)
    } else {
        Candidates::default()
            .with(Kind::Stun, stun == Probe::Maybe)
            .with(Kind::Dtls, may_be_dtls(datagram))
            .with(Kind::Quic, may_be_old_google_quic(datagram))
    }
}

/// Header byte, packet number and tag of the shortest 1-RTT packet (RFC 9001 §5.4.2).
const MIN_QUIC_SHORT: usize = 21;

/// DTLS record header: content type, `fe ff` or `fe fd`, epoch, number, length; or the unified header of
/// DTLS 1.3 (RFC 9147 §4), which begins with the bits 001 and has no version.
fn may_be_dtls(datagram: &[u8]) -> bool {
    match datagram {
        // 0100 is what OpenSSL before 1.0 called DTLS, still spoken by one VPN.
        [20..=26, 0xfe, 0xff | 0xfd | 0xfc, ..] | [20..=26, 0x01, 0x00, ..] => datagram.len() >= 13,
        [0x20..=0x3f, ..] => datagram.len() >= 17,
        _ => false,
    }
}

/// Header byte, a version of any value, and two connection ids that fit (RFC 8999 §5.1).
fn may_be_long_quic(datagram: &[u8]) -> bool {
    let Some(([_, version, _, _, _, dcid_length], rest)) = datagram.split_first_chunk::<6>() else {
        return false;
    };
    let scid = rest.get(usize::from(*dcid_length)..).and_then(|rest| rest.split_first());
    // Google's Q046 and Q050 put both lengths in one byte: their version letter has to do.
    matches!(version, b'Q' | b'T') || scid.is_some_and(|(length, rest)| usize::from(*length) <= rest.len())
}

/// Versions 1 and 2, drafts, negotiation and greasing (RFC 9000 §15).
fn has_known_version(datagram: &[u8]) -> bool {
    let version = datagram.get(1..5).and_then(|bytes| bytes.first_chunk::<4>());
    version.is_some_and(|bytes| match u32::from_be_bytes(*bytes) {
        0 | 1 | 0x6b33_43cf | 0xff00_0000..=0xff00_00ff => true,
        other => other & 0x0f0f_0f0f == 0x0a0a_0a0a,
    })
}

/// Google QUIC up to Q043: public flags with the version bit and an eight-byte connection id, then "Q0".
fn may_be_old_google_quic(datagram: &[u8]) -> bool {
    matches!(datagram, [flags, _, _, _, _, _, _, _, _, b'Q', b'0', ..] if flags & 0x09 == 0x09)
}

/// Length, then a session id and something inside.
fn is_ms_mux(rest: &[u8]) -> bool {
    rest.split_first_chunk::<2>().is_some_and(|(length, payload)| {
        let length = usize::from(u16::from_be_bytes(*length));
        length >= 8 && length <= payload.len()
    })
}

/// Whether `datagram` is a ZRTP packet (RFC 6189 §5): 0001, the cookie "ZRTP" at offset 4, and a message
/// that begins with 505a, or at least room for one.
pub fn is_zrtp(datagram: &[u8]) -> bool {
    let Some((head, message)) = datagram.split_first_chunk::<12>() else { return false };
    let [first, _, _, _, cookie @ .., _, _, _, _] = head;
    first >> 4 == 1 && cookie == b"ZRTP" && message.starts_with(&[0x50, 0x5a])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::near::near;

    fn kinds(datagram: &[u8]) -> Vec<Kind> {
        candidates(datagram).iter().collect()
    }

    #[test]
    fn first_byte_ranges_follow_rfc_7983() {
        let stun = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        assert_eq!(kinds(&stun), [Kind::Stun]);
        let dtls = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(kinds(&dtls), [Kind::Dtls]);
        assert_eq!(kinds(&[0x40, 0, 0, 4, 1, 2, 3, 4]), [Kind::ChannelData]);
        let rtp = [0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 9, 9];
        assert_eq!(kinds(&rtp), [Kind::Rtp]);
        let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
        assert_eq!(kinds(&report), [Kind::Rtcp]);
        assert_eq!(kinds(&[]), []);
        assert_eq!(kinds(&[70]), []);
    }

    #[test]
    fn channel_data_and_quic_share_a_first_byte() {
        let mut both = vec![0x45, 0x01, 0x00, 0x20];
        both.resize(36, 7);
        assert_eq!(kinds(&both), [Kind::ChannelData, Kind::Quic]);
    }

    #[test]
    fn zrtp_hello_is_known_by_its_cookie() {
        // RFC 6189 §5, Figure 2, and §5.2: preamble 505a, length 29 words, type "Hello   ".
        let hello = b"\x10\x00\x12\x34ZRTP\x00\x00\x00\x01\x50\x5a\x00\x1dHello   1.10";
        assert!(is_zrtp(hello));
        assert_eq!(kinds(hello), [Kind::Zrtp]);
        for cut in 0..14 {
            assert!(!is_zrtp(&hello[..cut]));
        }
    }

    #[test]
    fn quic_initial_and_microsoft_frames_are_candidates() {
        // RFC 9001 §A.2: header of the client's Initial.
        let mut initial = vec![0xc3, 0, 0, 0, 1, 8, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0, 0];
        initial.resize(1200, 0);
        assert_eq!(kinds(&initial), [Kind::Quic]);
        let google = b"\x0d\x01\x02\x03\x04\x05\x06\x07\x08Q043\x01";
        assert_eq!(kinds(google), [Kind::Quic]);
        let mux = [0xff, 0x10, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0x80];
        assert!(candidates(&mux).contains(Kind::MsMux));
    }

    proptest! {
        #[test]
        fn any_datagram_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(candidates(&bytes).iter().count() <= 3);
        }
    }

    proptest! {
        /// RFC 9443 section 3 knows datagrams by their first byte; ZRTP (RFC 6189 section 5) by its cookie.
        #[test]
        fn near_zrtp_the_cookie_decides(datagram in near([[0x10, 0, 0, 1, b'Z', b'R', b'T', b'P', 0, 0, 0, 7, 0x50, 0x5a, 0, 29]])) {
            let has_cookie = datagram.get(4..8) == Some(b"ZRTP");
            prop_assert!(!is_zrtp(&datagram) || has_cookie);
            prop_assert!(candidates(&datagram).iter().count() <= 3);
        }
    }
}
