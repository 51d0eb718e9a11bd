//! One stream while it lives: counters, and what they say of frames, losses and levels.

use crate::flow::Direction;
use crate::observe::PacketRef;
use crate::observe::datagram::Meta;
use crate::observe::facts::{KindSource, LIST_CAP, MediaKind, RtpStream, Wrapping};
use crate::proto::rtp::frame_jitter::FrameJitter;
use crate::proto::rtp::frames::Frames;
use crate::proto::rtp::level::Levels;
use crate::proto::rtp::runs::Runs;
use crate::proto::rtp::series::{Sample, Series};
use crate::proto::rtp::sketch::Sketch;
use crate::proto::rtp::stats::Stream;
use crate::proto::rtp::{self, Kind, Peek};
use crate::time::Timestamp;

use super::cipher::{Collector, Sealed};
use super::repair::{Echo, Looks, Sent};
use super::sampler::Sampler;

/// How far a sequence number may jump and still advance.
const MAX_JUMP: u16 = 64;
/// The clock of all video formats, in Hz.
const VIDEO_CLOCK_HZ: u32 = 90_000;
/// Number of the level among Zoom's extensions.
const ZOOM_LEVEL: u8 = 5;
/// Bit of the first byte that says that padding follows.
const PADDING: u8 = 0x20;

/// What each packet asks comes first: in the memory of thousands of streams each line of a cache is waited for.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Track {
    pub(super) ssrc: u32,
    pub(super) run: u16,
    last_sequence: u16,
    pub(super) direction: Direction,
    pub(super) accepted: bool,
    kind: Option<MediaKind>,
    wrapping: Wrapping,
    extension_profile: Option<u16>,
    pub(super) detail: Box<Detail>,
    last: Timestamp,
    /// Payloads that the collector of cipher evidence wants no more of. They are counted here, because its memory is cold.
    settled: Option<u32>,
    /// The first payload type with its packets; of most streams the only one, which is counted without another step through memory.
    first_type: (u8, u64),
    stats: Stream,
    pub(super) packet: PacketRef,
    start: Timestamp,
    other_types: Vec<(u8, u64)>,
}

/// What is asked with each packet lies in three lines of the cache.
const _: () = assert!(size_of::<Track>() <= 224 && std::mem::offset_of!(Track, packet) <= 192);

/// What is kept beside the counters. It is cold when a packet comes of one of many streams, so that what each packet asks stands
/// together at the front.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Detail {
    /// Which stream this one seems to repeat.
    pub(super) echo: Echo,
    /// Packets with the marker.
    marked: u32,
    sketch: Sketch,
    series: Series,
    frame_jitter: FrameJitter,
    /// What it sent lately, for others to repeat.
    pub(super) sent: Sent,
    sampler: Sampler,
    /// Of sound with a header extension.
    levels: Option<Box<Levels>>,
    runs: Runs,
    frames: Option<Frames>,
    /// Most streams have settled it after their first packets.
    cipher: Collector,
}

/// Each stream that is followed, and each candidate, has one: not beyond a size that an allocator hands out.
const _: () = assert!(size_of::<Detail>() <= 1280);

impl Detail {
    /// Books a packet that may belong to a picture, also one that came again by RTX. A clock that was inferred may be
    /// corrected yet, so that only what is sure to be sound has no frames.
    #[inline]
    fn picture(&mut self, peek: &Peek, time: Timestamp) {
        if let Some(frames) = &mut self.frames {
            let done = frames.packet(peek.timestamp, peek.marker, time);
            done.into_iter().flatten().for_each(|time| self.series.frame(time));
        }
    }
}

/// The counters of a stream before a packet, to see what the packet changed.
struct Before {
    expected: u32,
    highest: u32,
    duplicates: u32,
    reordered: u32,
    restarts: u16,
}

impl Before {
    const fn of(stats: &Stream) -> Self {
        Self {
            expected: stats.expected(),
            highest: stats.extended_highest(),
            duplicates: stats.duplicates(),
            reordered: stats.reordered(),
            restarts: stats.restarts(),
        }
    }
}

impl Track {
    pub(super) fn begin(peek: &Peek, packet: &[u8], meta: &Meta, kind: Option<MediaKind>) -> Self {
        let header = rtp::Header::parse(packet).ok();
        let length = meta.wire_length(packet);
        let fixed = rtp::static_type(peek.payload_type);
        let mut series = Series::new(meta.timestamp);
        series.packet(meta.timestamp, &Sample { bytes: length, expected: 1, is_new: true, jitter_ms: None });
        let is_audio = kind == Some(MediaKind::Audio) || fixed.is_some_and(|fixed| fixed.kind == Kind::Audio);
        let frames = (!is_audio).then(|| {
            let (frames, done) = Frames::new(peek.timestamp, peek.marker, meta.timestamp);
            if let Some(time) = done {
                series.frame(time);
            }
            frames
        });
        let mut detail = Detail {
            echo: Echo::default(),
            sent: Sent::default(),
            series,
            runs: Runs::new(),
            frames,
            frame_jitter: FrameJitter::new(peek.timestamp, meta.timestamp),
            marked: u32::from(peek.marker),
            levels: None,
            sketch: Sketch::default(),
            sampler: Sampler::default(),
            cipher: Collector::new(
                meta.timestamp,
                (meta.wrapping == Wrapping::Zoom).then(|| is_zoom_sound(kind, peek.ssrc)),
            ),
        };
        if meta.sampling.keyed {
            detail.sampler.packet(peek, packet, meta, u32::from(peek.sequence));
        }
        detail.sent.note(peek.timestamp, body_length(peek, length));
        detail.sketch.packet(peek.sequence, body_length(peek, length), meta.timestamp);
        detail.cipher.packet(&sealed(peek, packet, meta, true));
        Self {
            ssrc: peek.ssrc,
            direction: meta.direction,
            accepted: false,
            run: 1,
            detail: Box::new(detail),
            packet: meta.packet,
            wrapping: meta.wrapping,
            last_sequence: peek.sequence,
            kind,
            extension_profile: header.and_then(|header| header.extension).map(|extension| extension.profile),
            first_type: (peek.payload_type, 1),
            other_types: Vec::new(),
            stats: Stream::new(peek, length, meta.timestamp, None),
            start: meta.timestamp,
            last: meta.timestamp,
            settled: None,
        }
    }

    #[inline]
    pub(super) fn count(&mut self, peek: &Peek, packet: &[u8], meta: &Meta) {
        let before = Before::of(&self.stats);
        let length = meta.wire_length(packet);
        self.stats.update(peek, length, meta.timestamp);
        if meta.timestamp > self.last {
            self.last = meta.timestamp;
        }
        if !self.accepted {
            let ahead = peek.sequence.wrapping_sub(self.last_sequence);
            let behind = self.last_sequence.wrapping_sub(peek.sequence);
            if (1..=MAX_JUMP).contains(&ahead) {
                self.run = self.run.saturating_add(1);
            } else if behind > MAX_JUMP {
                self.run = 1;
            }
            // One that comes late neither proves nor disproves.
            if behind > MAX_JUMP {
                self.last_sequence = peek.sequence;
            }
        }
        self.count_type(peek.payload_type);
        let is_new = self.detail(&before, peek, (packet, length), meta.timestamp);
        self.cipher(&sealed(peek, packet, meta, is_new));
    }

    /// Most packets are of streams whose lengths have settled it.
    #[inline]
    fn cipher(&mut self, sealed: &Sealed<'_>) {
        if let Some(count) = &mut self.settled
            && sealed.is_new
            && !sealed.is_unfit
        {
            *count = count.saturating_add(1);
            return;
        }
        self.detail.cipher.packet(sealed);
        if self.settled.is_none() && self.detail.cipher.is_settled() {
            self.settled = Some(0);
        }
    }

    /// True of a stream that began in Zoom's framing.
    #[inline]
    pub(super) fn is_zoom(&self) -> bool {
        self.wrapping == Wrapping::Zoom
    }

    /// Bytes that are held for a picture of Zoom's that is not complete.
    pub(super) fn held(&self) -> usize {
        self.detail.cipher.held()
    }

    /// Gives up the picture that is being put together.
    pub(super) fn abandon(&mut self) {
        self.detail.cipher.abandon();
    }

    /// Keeps the packet, which was counted, for keys to be tried on.
    #[inline]
    pub(super) fn sample(&mut self, peek: &Peek, packet: &[u8], meta: &Meta) {
        self.detail.sampler.packet(peek, packet, meta, self.stats.extended_highest());
    }

    #[inline]
    fn count_type(&mut self, number: u8) {
        if self.first_type.0 == number {
            self.first_type.1 = self.first_type.1.saturating_add(1);
        } else if let Some((_, count)) = self.other_types.iter_mut().find(|(known, _)| *known == number) {
            *count = count.saturating_add(1);
        } else if self.other_types.len() < LIST_CAP.saturating_sub(1) {
            self.other_types.push((number, 1));
        }
    }

    /// Payload types with their packets, in the order of their first.
    fn payload_types(&self) -> impl Iterator<Item = (u8, u64)> + '_ {
        std::iter::once(self.first_type).chain(self.other_types.iter().copied())
    }

    /// Books a packet beside the counters. True when its sequence number was not seen before.
    #[inline]
    fn detail(
        &mut self,
        before: &Before,
        peek: &Peek,
        (packet, length): (&[u8], usize),
        time: Timestamp,
    ) -> bool {
        let after = Before::of(&self.stats);
        let detail = &mut *self.detail;
        let is_new = after.duplicates == before.duplicates;
        detail.sketch.packet(peek.sequence, body_length(peek, length), time);
        detail.marked = detail.marked.saturating_add(u32::from(peek.marker));
        if after.restarts != before.restarts {
            detail.runs.restart();
        } else if after.highest != before.highest {
            detail.runs.advance(after.highest.wrapping_sub(before.highest));
            detail.frame_jitter.packet(peek.timestamp, time);
        } else if after.reordered != before.reordered {
            let newest = u16::try_from(after.highest & 0xffff).unwrap_or(0);
            detail.runs.late(newest.wrapping_sub(peek.sequence).into());
        }
        let clock_hz = self.stats.clock_hz();
        let is_audio = match self.kind {
            Some(kind) => kind == MediaKind::Audio,
            None => clock_hz.is_some_and(|clock| clock != VIDEO_CLOCK_HZ),
        };
        let is_video = !is_audio && clock_hz == Some(VIDEO_CLOCK_HZ);
        detail.series.packet(
            time,
            &Sample {
                bytes: length,
                expected: after.expected.saturating_sub(before.expected),
                is_new,
                jitter_ms: if is_video { detail.frame_jitter.latest_ms() } else { self.stats.jitter_ms() },
            },
        );
        if is_audio
            && self.extension_profile.is_some()
            && let Ok(header) = rtp::Header::parse(packet)
        {
            detail.levels.get_or_insert_default().packet(&header);
        }
        if is_new && self.kind != Some(MediaKind::Fec) {
            detail.picture(peek, time);
            detail.sent.note(peek.timestamp, body_length(peek, length));
        }
        is_new
    }

    /// What a packet of this stream is compared with others by, while that is worth a look.
    #[inline]
    pub(super) fn suspect(&self, peek: &Peek, packet: &[u8], meta: &Meta) -> Option<(u16, Looks)> {
        let length = meta.wire_length(packet);
        let looks = Looks { is_padded: is_padded(packet), is_marked: peek.marker };
        (self.detail.echo.is_open() && self.detail.frames.is_some())
            .then(|| (body_length(peek, length), looks))
    }

    pub(super) const fn packets(&self) -> u32 {
        self.stats.packets()
    }

    pub(super) fn has_type(&self, number: u8) -> bool {
        self.payload_types().any(|(known, _)| known == number)
    }

    /// The stream that a packet of this one sends again, when this is RTX.
    #[inline]
    pub(super) fn resends(&self, packet: &[u8]) -> Option<u32> {
        if self.detail.echo.is_silent() || is_padded(packet) {
            return None;
        }
        self.detail.echo.verdict().filter(|(_, how)| *how == MediaKind::Rtx).map(|(ssrc, _)| ssrc)
    }

    /// Takes a packet of this stream that came again by RTX.
    pub(super) fn repaired(&mut self, peek: &Peek, time: Timestamp) {
        self.detail.picture(peek, time);
    }

    fn kind(&self, stats: &Stream) -> (Option<MediaKind>, Option<KindSource>) {
        if self.kind.is_some() {
            return (self.kind, Some(KindSource::Framing));
        }
        let fixed = self.payload_types().find_map(|(number, _)| rtp::static_type(number));
        if let Some(fixed) = fixed {
            let kind = match fixed.kind {
                Kind::Audio => MediaKind::Audio,
                Kind::Video | Kind::AudioVideo => MediaKind::Video,
            };
            return (Some(kind), Some(KindSource::PayloadType));
        }
        let clock = stats.clock_hz();
        let kind =
            clock.map(|clock| if clock == VIDEO_CLOCK_HZ { MediaKind::Video } else { MediaKind::Audio });
        (kind, clock.map(|_| KindSource::Clock))
    }

    pub(super) fn finish(&self, may_repair: impl Fn(&Self, u32) -> bool) -> RtpStream {
        let stats = self.stats.concluded();
        let (mut kind, mut kind_source) = self.kind(&stats);
        let echo = &self.detail.echo;
        let paceless = self.stats.clock_hz().is_none();
        let repairs = echo
            .verdict()
            .or_else(|| echo.laggard().filter(|_| paceless))
            .filter(|(ssrc, _)| echo.is_sure() || may_repair(self, *ssrc));
        if let Some((_, how)) = repairs
            && kind_source != Some(KindSource::Framing)
            // Two voices may begin at one timestamp and keep step.
            && kind != Some(MediaKind::Audio)
        {
            (kind, kind_source) = (Some(how), Some(KindSource::Timestamps));
        }
        let known_level = (self.wrapping == Wrapping::Zoom).then_some(ZOOM_LEVEL);
        let levels = self.detail.levels.as_deref();
        let pictures = matches!(kind, None | Some(MediaKind::Video | MediaKind::Screen));
        // In speech a marker begins a talk spurt, before which the sender was silent; where most packets have it, it says nothing.
        let (mean, max) = if pictures || self.detail.marked.saturating_mul(2) > stats.packets() {
            (stats.jitter_all_ms(), stats.jitter_peak_ms())
        } else {
            (stats.jitter_mean_ms(), stats.jitter_max_ms())
        };
        RtpStream {
            direction: self.direction,
            ssrc: self.ssrc,
            wrapping: self.wrapping,
            kind,
            kind_source,
            repairs: repairs.filter(|_| kind_source == Some(KindSource::Timestamps)).map(|(ssrc, _)| ssrc),
            payload_types: self.payload_types().collect(),
            extension_profile: self.extension_profile,
            series: self.detail.series.clone(),
            losses: self.detail.runs.losses(),
            sketch: self.detail.sketch.clone(),
            frames: self.detail.frames.filter(|_| pictures),
            jitter_mean_ms: mean.map(f64::from),
            jitter_max_ms: max.map(f64::from),
            frame_jitter_ms: self
                .detail
                .frame_jitter
                .mean_ms()
                .filter(|_| matches!(kind, Some(MediaKind::Video | MediaKind::Screen))),
            level: levels
                .and_then(|levels| levels.level(known_level))
                .filter(|_| kind == Some(MediaKind::Audio)),
            cipher: Some(Box::new(self.detail.cipher.finish(self.settled.unwrap_or(0)))),
            stats,
            samples: self.detail.sampler.finish(self.wrapping, kind),
            packet: self.packet,
            start: self.start,
            last: self.last,
        }
    }
}

/// Of a stream of Zoom's that begins with FEC the number of the source tells what it protects: its low byte is 2 for sound.
fn is_zoom_sound(kind: Option<MediaKind>, ssrc: u32) -> bool {
    kind == Some(MediaKind::Audio) || (kind == Some(MediaKind::Fec) && ssrc & 0xff == 2)
}

fn sealed<'a>(peek: &'a Peek, packet: &'a [u8], meta: &Meta, is_new: bool) -> Sealed<'a> {
    Sealed {
        peek,
        payload: packet.get(peek.header_length..).unwrap_or_default(),
        is_unfit: is_padded(packet) || meta.cut > 0,
        is_new,
        timestamp: meta.timestamp,
        packet: meta.packet,
    }
}

fn is_padded(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first & PADDING != 0)
}

/// Length of the body behind the header, padding and authentication tag included.
fn body_length(peek: &Peek, length: usize) -> u16 {
    u16::try_from(length.saturating_sub(peek.header_length)).unwrap_or(u16::MAX)
}
