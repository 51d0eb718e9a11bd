//! The static payload types (RFC 3551 §6, Tables 4 and 5).

/// What a payload type carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Both in one stream (MP2T).
    AudioVideo,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadType {
    /// Encoding name as registered.
    pub name: &'static str,
    /// RTP clock in Hz.
    pub clock_hz: u32,
    /// What it carries.
    pub kind: Kind,
}

const fn audio(name: &'static str, clock_hz: u32) -> PayloadType {
    PayloadType { name, clock_hz, kind: Kind::Audio }
}

const fn video(name: &'static str) -> PayloadType {
    PayloadType { name, clock_hz: 90_000, kind: Kind::Video }
}

/// The row of a static payload type; `None` for dynamic, reserved and unassigned numbers.
pub const fn static_type(number: u8) -> Option<PayloadType> {
    Some(match number {
        0 => audio("PCMU", 8_000),
        3 => audio("GSM", 8_000),
        4 => audio("G723", 8_000),
        5 => audio("DVI4", 8_000),
        6 => audio("DVI4", 16_000),
        7 => audio("LPC", 8_000),
        8 => audio("PCMA", 8_000),
        // Its sampling rate is 16 kHz, its clock is not: RFC 3551 §4.5.2 keeps an old error.
        9 => audio("G722", 8_000),
        10 | 11 => audio("L16", 44_100),
        12 => audio("QCELP", 8_000),
        // 19 was comfort noise in drafts and is still sent by old gateways.
        13 | 19 => audio("CN", 8_000),
        14 => audio("MPA", 90_000),
        15 => audio("G728", 8_000),
        16 => audio("DVI4", 11_025),
        17 => audio("DVI4", 22_050),
        18 => audio("G729", 8_000),
        25 => video("CelB"),
        26 => video("JPEG"),
        28 => video("nv"),
        31 => video("H261"),
        32 => video("MPV"),
        33 => PayloadType { name: "MP2T", clock_hz: 90_000, kind: Kind::AudioVideo },
        34 => video("H263"),
        _ => return None,
    })
}

/// Clock of a static payload type in Hz, 0 when it has none.
#[inline]
pub(super) const fn static_clock_hz(number: u8) -> u32 {
    match static_type(number) {
        Some(row) => row.clock_hz,
        None => 0,
    }
}

/// True for comfort noise, whose packets keep no regular interval.
pub(super) const fn is_comfort_noise(number: u8) -> bool {
    matches!(number, 13 | 19)
}
