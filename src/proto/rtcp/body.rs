//! What each packet type says.

use std::iter::FusedIterator;

use super::{Packet, PacketType, Sdes};
use crate::bytes::{ParseError, Reader};

/// The content of one packet, by its type.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Body<'a> {
    /// Sender report.
    SenderReport(SenderReport<'a>),
    /// Receiver report.
    ReceiverReport(ReceiverReport<'a>),
    /// Source description.
    Sdes(Sdes<'a>),
    /// Goodbye.
    Bye(Bye<'a>),
    /// Application-defined.
    App(App<'a>),
    /// Transport layer feedback: 1 NACK, 3 TMMBR, 15 transport-wide congestion control.
    TransportFeedback(Feedback<'a>),
    /// Payload-specific feedback: 1 PLI, 2 SLI, 4 FIR, 15 application layer (REMB).
    PayloadFeedback(Feedback<'a>),
    /// Extended report (RFC 3611): sender and its blocks as sent.
    ExtendedReport {
        /// Who sends.
        ssrc: u32,
        /// Report blocks, undecoded.
        blocks: &'a [u8],
    },
    /// A type that is not read here, as sent.
    Unknown(&'a [u8]),
}

impl<'a> Body<'a> {
    pub(super) fn parse(packet: &Packet<'a>) -> Result<Self, ParseError> {
        let mut reader = Reader::new(packet.payload);
        Ok(match packet.packet_type {
            PacketType::SR => Self::SenderReport(SenderReport {
                ssrc: reader.u32("SR SSRC")?,
                info: SenderInfo::parse(&mut reader)?,
                blocks: ReportBlocks::parse(&mut reader, packet.count)?,
            }),
            PacketType::RR => Self::ReceiverReport(ReceiverReport {
                ssrc: reader.u32("RR SSRC")?,
                blocks: ReportBlocks::parse(&mut reader, packet.count)?,
            }),
            PacketType::SDES => Self::Sdes(Sdes::new(packet.payload)),
            PacketType::BYE => Self::Bye(Bye::parse(&mut reader, packet.count)?),
            PacketType::APP => Self::App(App {
                ssrc: reader.u32("APP SSRC")?,
                name: reader.array("APP name")?,
                data: reader.rest(),
            }),
            PacketType::RTPFB => Self::TransportFeedback(Feedback::parse(&mut reader, packet.count)?),
            PacketType::PSFB => Self::PayloadFeedback(Feedback::parse(&mut reader, packet.count)?),
            PacketType::XR => Self::ExtendedReport { ssrc: reader.u32("XR SSRC")?, blocks: reader.rest() },
            _ => Self::Unknown(packet.payload),
        })
    }
}

/// A sender report (RFC 3550 §6.4.1).
#[derive(Debug, Clone)]
pub struct SenderReport<'a> {
    /// Who sends.
    pub ssrc: u32,
    /// What it sent so far.
    pub info: SenderInfo,
    /// What it received from others.
    pub blocks: ReportBlocks<'a>,
}

/// The sender's own counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// NTP time of the report: seconds since 1900 and 2^-32 fractions.
    pub ntp: u64,
    /// The same instant on the media clock.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub bytes: u32,
}

impl SenderInfo {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            ntp: reader.u64("SR NTP timestamp")?,
            rtp_timestamp: reader.u32("SR RTP timestamp")?,
            packets: reader.u32("SR packet count")?,
            bytes: reader.u32("SR octet count")?,
        })
    }

    /// Middle 32 bits of the NTP time, which a receiver echoes as LSR.
    pub fn ntp_middle(&self) -> u32 {
        u32::try_from(self.ntp >> 16 & 0xffff_ffff).unwrap_or(0)
    }
}

/// A receiver report (RFC 3550 §6.4.2).
#[derive(Debug, Clone)]
pub struct ReceiverReport<'a> {
    /// Who sends the report.
    pub ssrc: u32,
    /// What it received.
    pub blocks: ReportBlocks<'a>,
}

/// What one receiver says of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: u32,
    /// Loss since the previous report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost so far; negative when duplicates outweigh loss.
    pub cumulative_lost: i32,
    /// Highest number received, cycles in the upper half.
    pub extended_highest: u32,
    /// Interarrival jitter in units of the media clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; 0 when none came.
    pub last_sr: u32,
    /// Delay since that report, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    const LENGTH: usize = 24;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let ssrc = reader.u32("report block SSRC")?;
        let fraction_lost = reader.u8("fraction lost")?;
        let lost = reader.u24("cumulative lost")?;
        Ok(Self {
            ssrc,
            fraction_lost,
            // Sign extension from 24 to 32 bits.
            cumulative_lost: (lost << 8).cast_signed() >> 8,
            extended_highest: reader.u32("extended highest sequence number")?,
            jitter: reader.u32("interarrival jitter")?,
            last_sr: reader.u32("last SR")?,
            delay_since_last_sr: reader.u32("delay since last SR")?,
        })
    }
}

/// Walks report blocks.
#[derive(Debug, Clone)]
pub struct ReportBlocks<'a> {
    reader: Reader<'a>,
}

impl<'a> ReportBlocks<'a> {
    fn parse(reader: &mut Reader<'a>, count: u8) -> Result<Self, ParseError> {
        let length = usize::from(count).saturating_mul(ReportBlock::LENGTH);
        Ok(Self { reader: reader.sub(length, "report blocks")? })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<Self::Item> {
        ReportBlock::parse(&mut self.reader).ok()
    }
}

impl FusedIterator for ReportBlocks<'_> {}

/// Goodbye (RFC 3550 §6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bye<'a> {
    sources: &'a [u8],
    /// Reason as sent; empty when none is given.
    pub reason: &'a [u8],
}

impl<'a> Bye<'a> {
    fn parse(reader: &mut Reader<'a>, count: u8) -> Result<Self, ParseError> {
        let sources = reader.take(usize::from(count).saturating_mul(4), "BYE sources")?;
        let reason = match reader.u8("BYE reason length") {
            Ok(length) => reader.take(usize::from(length), "BYE reason")?,
            Err(_) => &[],
        };
        Ok(Self { sources, reason })
    }

    /// The sources that leave.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.sources.as_chunks::<4>().0.iter().map(|bytes| u32::from_be_bytes(*bytes))
    }
}

/// An application-defined packet (RFC 3550 §6.7); its subtype is [`Packet::count`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct App<'a> {
    /// Who sends.
    pub ssrc: u32,
    /// Four ASCII characters.
    pub name: [u8; 4],
    /// Its data.
    pub data: &'a [u8],
}

/// A feedback packet (RFC 4585 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feedback<'a> {
    /// Feedback message type.
    pub format: u8,
    /// Who sends the feedback.
    pub sender_ssrc: u32,
    /// The source it concerns; 0 where the control information names it.
    pub media_ssrc: u32,
    /// Feedback control information, undecoded.
    pub control: &'a [u8],
}

impl<'a> Feedback<'a> {
    fn parse(reader: &mut Reader<'a>, format: u8) -> Result<Self, ParseError> {
        Ok(Self {
            format,
            sender_ssrc: reader.u32("feedback sender SSRC")?,
            media_ssrc: reader.u32("feedback media SSRC")?,
            control: reader.rest(),
        })
    }

    /// Customary name of a format of [`PacketType::RTPFB`].
    pub const fn transport_name(&self) -> Option<&'static str> {
        Some(match self.format {
            1 => "NACK",
            3 => "TMMBR",
            4 => "TMMBN",
            5 => "RTCP-SR-REQ",
            8 => "ECN",
            11 => "CCFB",
            15 => "transport-cc",
            _ => return None,
        })
    }

    /// Customary name of a format of [`PacketType::PSFB`].
    pub fn payload_name(&self) -> Option<&'static str> {
        Some(match self.format {
            1 => "PLI",
            2 => "SLI",
            3 => "RPSI",
            4 => "FIR",
            5 => "TSTR",
            6 => "TSTN",
            7 => "VBCM",
            10 => "LRR",
            15 if self.remb().is_some() => "REMB",
            15 => "AFB",
            _ => return None,
        })
    }

    /// The bit rate that a REMB grants in bit/s (mantissa times a power of two); `None` for anything else.
    pub fn remb(&self) -> Option<u64> {
        let mut reader = Reader::new(self.control);
        if self.format != 15 || reader.take(4, "REMB identifier").ok()? != b"REMB" {
            return None;
        }
        reader.u8("REMB SSRC count").ok()?;
        let bits = reader.u24("REMB bit rate").ok()?;
        let mantissa = u64::from(bits & 0x3_ffff);
        // Six bits of exponent over 18 of mantissa can exceed 64 bits; such a grant is no limit at all.
        Some(u64::try_from(u128::from(mantissa) << (bits >> 18)).unwrap_or(u64::MAX))
    }
}
