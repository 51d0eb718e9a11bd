//! QUIC version numbers: their names, and what each changes on the wire that an observer must know.
//!
//! In: the 32-bit Version field. Out: a name and, inside this module's parent, the header layout, the
//! packet-type bits, the Initial salts to try and the Retry key. RFC 9000 §15, RFC 9369, the drafts
//! and the two families that never became drafts: Google's (`Q`/`T` and three digits in ASCII) and
//! Facebook's mvfst (`0xfaceb0xx`).

use std::fmt;

/// A QUIC Version field (RFC 8999 §5.1). Unknown values are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

/// Where a version comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// Version 1, version 2 and the IETF drafts that led to them.
    Ietf,
    /// Google QUIC: `Q` with Google's own handshake, `T` with TLS.
    Google,
    /// Facebook's mvfst.
    Mvfst,
    /// A version of the form `0x?a?a?a?a`, reserved to exercise negotiation (RFC 9000 §15).
    Reserved,
    /// Anything else.
    Unknown,
}

/// How the bytes after the Version field are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Connection ID lengths in a byte each, then what RFC 9000 §17.2 says.
    Rfc,
    /// Both connection ID lengths in one byte's nibbles; drafts before 22.
    NibbleIds,
    /// As [`Layout::NibbleIds`], then packet number, hash and clear frames: Google's Q044 to Q048.
    GoogleClear,
    /// Only the invariants (RFC 8999) are known; the rest may look like RFC 9000.
    Invariant,
}

/// The value that separates one family of Initial keys from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Salt {
    /// Drafts 21 and 22.
    Draft22,
    /// Drafts 23 to 28.
    Draft23,
    /// Drafts 29 to 32.
    Draft29,
    /// Drafts 33, 34 and version 1.
    V1,
    /// Version 2; its labels differ too.
    V2,
    /// Google Q050.
    Q050,
    /// Google T050.
    T050,
    /// Google T051. The only value here that no capture at hand has proven.
    T051,
}

impl Version {
    /// The value that marks a Version Negotiation packet; not a version.
    pub const NEGOTIATION: Self = Self(0);
    /// RFC 9000.
    pub const V1: Self = Self(1);
    /// RFC 9369.
    pub const V2: Self = Self(0x6b33_43cf);
    /// The number that drafts of version 2 used.
    pub const V2_DRAFT: Self = Self(0x709a_50c4);
    /// Google Q050: its own handshake in CRYPTO frames of protected Initial packets.
    pub const Q050: Self = Self(0x5130_3530);
    /// Google T050: TLS.
    pub const T050: Self = Self(0x5430_3530);
    /// Google T051: TLS.
    pub const T051: Self = Self(0x5430_3531);
    /// Google Q046: IETF invariants, clear handshake.
    pub const Q046: Self = Self(0x5130_3436);
    /// Facebook's take on draft 22.
    pub const MVFST_22: Self = Self(0xface_b001);
    /// Facebook's take on draft 27.
    pub const MVFST_27: Self = Self(0xface_b002);
    /// Facebook's experimental version.
    pub const MVFST_EXP: Self = Self(0xface_b00e);

    /// Which family the version belongs to.
    pub const fn family(self) -> Family {
        match self.0 {
            1 | 0x6b33_43cf | 0x709a_50c4 | 0xff00_0001..=0xff00_0022 => Family::Ietf,
            0xface_b000..=0xface_b0ff => Family::Mvfst,
            value if value & 0x0f0f_0f0f == 0x0a0a_0a0a => Family::Reserved,
            _ if self.google().is_some() => Family::Google,
            _ => Family::Unknown,
        }
    }

    /// The number of the IETF draft, for a version that names one.
    pub const fn draft(self) -> Option<u8> {
        match self.0.to_be_bytes() {
            [0xff, 0, 0, draft @ 1..=34] => Some(draft),
            _ => None,
        }
    }

    /// The letter (`Q` or `T`) and number of a Google version.
    pub const fn google(self) -> Option<(u8, u16)> {
        let [letter, hundreds, tens, ones] = self.0.to_be_bytes();
        if !matches!(letter, b'Q' | b'T') || hundreds != b'0' {
            return None;
        }
        if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
            return None;
        }
        let digits = [tens & 0x0f, ones & 0x0f];
        #[expect(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "two decimal digits")]
        let number = digits[0] as u16 * 10 + digits[1] as u16;
        Some((letter, number))
    }

    /// True when the version is one that has been deployed, not merely one that could exist.
    pub const fn is_known(self) -> bool {
        matches!(self.family(), Family::Ietf | Family::Google | Family::Mvfst)
    }

    /// True for the two families that carry Google's own handshake instead of TLS.
    pub const fn has_google_handshake(self) -> bool {
        matches!(self.google(), Some((b'Q', _)))
    }

    pub(super) const fn layout(self) -> Layout {
        if let Some((_, number)) = self.google() {
            return match number {
                44..=48 => Layout::GoogleClear,
                49.. => Layout::Rfc,
                _ => Layout::Invariant,
            };
        }
        match (self.draft(), self.family()) {
            (Some(1..=21), _) => Layout::NibbleIds,
            (_, Family::Ietf | Family::Mvfst) => Layout::Rfc,
            (_, Family::Google | Family::Reserved | Family::Unknown) => Layout::Invariant,
        }
    }

    /// True when packets carry Google's frames in the clear under a long header.
    pub(super) const fn has_clear_google_frames(self) -> bool {
        matches!(self.layout(), Layout::GoogleClear)
    }

    /// True when frames inside Initial packets are Google's rather than RFC 9000's.
    pub(super) const fn has_google_frames(self) -> bool {
        self.google().is_some()
    }

    /// Version 2 turned the packet-type bits by one (RFC 9369 §3.2).
    pub(super) const fn has_turned_types(self) -> bool {
        matches!(self, Self::V2 | Self::V2_DRAFT)
    }

    /// Salts worth trying, likeliest first; the authentication tag decides.
    pub(super) const fn salts(self) -> &'static [Salt] {
        match self {
            Self::V1 => &[Salt::V1],
            Self::V2 => &[Salt::V2],
            Self::Q050 => &[Salt::Q050],
            Self::T050 => &[Salt::T050],
            Self::T051 => &[Salt::T051],
            Self::MVFST_22 => &[Salt::Draft22],
            Self::MVFST_27 | Self::MVFST_EXP => &[Salt::Draft23],
            _ => match (self.draft(), self.family()) {
                (Some(21 | 22), _) => &[Salt::Draft22],
                (Some(23..=28), _) => &[Salt::Draft23],
                (Some(29..=32), _) => &[Salt::Draft29],
                (Some(33..), _) => &[Salt::V1],
                (Some(_), _) | (None, Family::Google | Family::Ietf) => &[],
                // Forced negotiation sends a whole draft-29 or version 1 Initial under a reserved number.
                (None, Family::Mvfst | Family::Reserved | Family::Unknown) => {
                    &[Salt::V1, Salt::Draft29, Salt::Draft23]
                }
            },
        }
    }

    /// Key and nonce of the Retry integrity tag (RFC 9001 §5.8); none before draft 25.
    pub(super) const fn retry_secret(self) -> Option<&'static ([u8; 16], [u8; 12])> {
        match self {
            Self::V1 => Some(&RETRY_V1),
            Self::V2 => Some(&RETRY_V2),
            Self::MVFST_27 | Self::MVFST_EXP => Some(&RETRY_DRAFT_25),
            _ => match self.draft() {
                Some(25..=28) => Some(&RETRY_DRAFT_25),
                Some(29..=32) => Some(&RETRY_DRAFT_29),
                Some(33..) => Some(&RETRY_V1),
                _ => None,
            },
        }
    }
}

const RETRY_DRAFT_25: ([u8; 16], [u8; 12]) = (
    0x4d32_ecdb_2a21_33c8_41e4_043d_f27d_4430_u128.to_be_bytes(),
    [0x4d, 0x16, 0x11, 0xd0, 0x55, 0x13, 0xa5, 0x52, 0xc5, 0x87, 0xd5, 0x75],
);
const RETRY_DRAFT_29: ([u8; 16], [u8; 12]) = (
    0xccce_187e_d09a_09d0_5728_155a_6cb9_6be1_u128.to_be_bytes(),
    [0xe5, 0x49, 0x30, 0xf9, 0x7f, 0x21, 0x36, 0xf0, 0x53, 0x0a, 0x8c, 0x1c],
);
const RETRY_V1: ([u8; 16], [u8; 12]) = (
    0xbe0c_690b_9f66_575a_1d76_6b54_e368_c84e_u128.to_be_bytes(),
    [0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb],
);
const RETRY_V2: ([u8; 16], [u8; 12]) = (
    0x8fb4_b01b_56ac_48e2_60fb_cbce_ad7c_cc92_u128.to_be_bytes(),
    [0xd8, 0x69, 0x69, 0xbc, 0x2d, 0x7c, 0x6d, 0x99, 0x90, 0xef, 0xb0, 0x4a],
);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NEGOTIATION => f.write_str("negotiation"),
            Self::V1 => f.write_str("v1"),
            Self::V2 => f.write_str("v2"),
            Self::V2_DRAFT => f.write_str("v2-draft"),
            Self::MVFST_22 => f.write_str("mvfst-22"),
            Self::MVFST_27 => f.write_str("mvfst-27"),
            Self::MVFST_EXP => f.write_str("mvfst-exp"),
            Self(value) => match (self.draft(), self.google(), self.family()) {
                (Some(draft), ..) => write!(f, "draft-{draft:02}"),
                (_, Some((letter, number)), _) => write!(f, "{}{number:03}", char::from(letter)),
                (_, _, Family::Mvfst) => write!(f, "mvfst-{:02x}", value & 0xff),
                _ => write!(f, "{value:#010x}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_names_people_use() {
        let names: [(u32, &str); 11] = [
            (1, "v1"),
            (0x6b33_43cf, "v2"),
            (0xff00_001d, "draft-29"),
            (0xff00_0009, "draft-09"),
            (0x5130_3530, "Q050"),
            (0x5430_3531, "T051"),
            (u32::from_be_bytes(*b"Q039"), "Q039"),
            (0xface_b002, "mvfst-27"),
            (0xface_b010, "mvfst-10"),
            (0x0a0a_0a0a, "0x0a0a0a0a"),
            (0, "negotiation"),
        ];
        for (value, name) in names {
            assert_eq!(Version(value).to_string(), name);
        }
    }

    #[test]
    fn families_are_told_apart() {
        assert_eq!(Version(0xbaba_baba).family(), Family::Reserved);
        assert_eq!(Version(0xff00_0023).family(), Family::Unknown);
        assert_eq!(Version(u32::from_be_bytes(*b"Q1a3")).family(), Family::Unknown);
        assert_eq!(Version(u32::from_be_bytes(*b"Q024")).google(), Some((b'Q', 24)));
        assert!(Version::V1.is_known() && !Version::NEGOTIATION.is_known());
        assert!(Version::Q050.has_google_handshake() && !Version::T051.has_google_handshake());
    }
}
