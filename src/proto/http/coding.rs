//! Content codings, RFC 9110 section 8.4.1: pieces of a coded body in, pieces of the body out, bounded.

use std::io::Write;

use brotli_decompressor::{
    BrotliDecompressStream, BrotliResult, BrotliState, SliceWrapper as _, StandardAlloc,
};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use zeroize::Zeroizing;

/// Most bytes that a body may come to; what follows is passed over.
pub const BODY_CAP: usize = 1 << 22;
/// Most bytes that are handed out at once.
const PIECE: usize = 1 << 14;
/// Largest window of a zstd body: 2 MiB, which libzstd takes where it is not told how long a body will be, up to its level 8. RFC 8878 section
/// 3.1.1.1.2 asks decoders to take 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 21;
/// What libzstd says of a larger one.
const ZSTD_WINDOW_FAULT: &str = "Frame requires too much memory for decoding";

/// About what a decoder of deflate holds, in bytes: its window, its tables and 32 KiB of output.
const DEFLATE_BYTES: usize = 80 << 10;
/// About what a decoder of zstd holds beside its window.
const ZSTD_BYTES: usize = 160 << 10;
/// A code of brotli's tables.
const BROTLI_CODE: usize = size_of::<brotli_decompressor::HuffmanCode>();

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Coding {
    /// Nothing says so: the first bytes decide.
    Unknown,
    /// Not at all.
    Identity,
    /// gzip, RFC 1952.
    Gzip,
    /// zlib, RFC 1950.
    Zlib,
    /// Bare deflate, RFC 1951, as WebSocket has it (RFC 7692).
    Deflate,
    /// Brotli, RFC 7932.
    Brotli,
    /// Zstandard, RFC 8878.
    Zstd,
    /// A coding that is not read.
    Other,
}

impl Coding {
    /// The coding of a Content-Encoding field.
    pub fn named(value: &str) -> Self {
        match value.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Zlib,
            "br" => Self::Brotli,
            "zstd" => Self::Zstd,
            "identity" | "" => Self::Identity,
            _ => Self::Other,
        }
    }

    /// The coding that the first bytes of a body show. Brotli has no mark.
    pub fn recognise(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Self::Zlib,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Identity,
        }
    }
}

/// Takes the coding off a body as its pieces come.
pub struct Decoder {
    state: State,
    out: usize,
}

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

enum State {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
    Deflate(Box<DeflateDecoder<Vec<u8>>>),
    Brotli(Box<Brotli>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Vec<u8>>>),
    /// Not readable, or broken, or over the cap.
    Closed,
}

/// Takes what comes out, piece by piece; false when no more is wanted.
pub type Out<'a> = dyn FnMut(&[u8]) -> bool + 'a;

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("out", &self.out).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder of a body; `Unknown` is told by `first`, its first bytes.
    pub fn new(coding: Coding, first: &[u8]) -> Self {
        let coding = if coding == Coding::Unknown { Coding::recognise(first) } else { coding };
        let state = match coding {
            Coding::Unknown | Coding::Identity => State::Plain,
            Coding::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Coding::Zlib => State::Zlib(Box::new(ZlibDecoder::new(Vec::new()))),
            Coding::Deflate => State::Deflate(Box::new(DeflateDecoder::new(Vec::new()))),
            Coding::Brotli => State::Brotli(Box::new(brotli())),
            Coding::Zstd => zstandard().map_or(State::Closed, |inner| State::Zstd(Box::new(inner))),
            Coding::Other => State::Closed,
        };
        Self { state, out: 0 }
    }

    /// Begins the next message of a connection whose messages share a window (RFC 7692 section 7.2): the cap counts anew.
    pub const fn next_message(&mut self) {
        self.out = 0;
    }

    /// Reads no more.
    pub fn close(&mut self) {
        self.state = State::Closed;
    }

    /// True while a coding is being taken off.
    pub const fn is_unfolding(&self) -> bool {
        !matches!(self.state, State::Plain | State::Closed)
    }

    /// About how many bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        match &self.state {
            State::Plain | State::Closed => 0,
            State::Gzip(_) | State::Zlib(_) | State::Deflate(_) => DEFLATE_BYTES,
            State::Brotli(inner) => {
                let groups = [&inner.literal_hgroup, &inner.insert_copy_hgroup, &inner.distance_hgroup];
                let codes: usize = groups.iter().map(|group| group.codes.slice().len()).sum();
                let window = inner.ringbuffer.slice().len();
                size_of::<Brotli>().saturating_add(window).saturating_add(codes.saturating_mul(BROTLI_CODE))
            }
            // Of a window, what has not been written takes no memory.
            State::Zstd(_) => ZSTD_BYTES.saturating_add(self.out.min(1 << ZSTD_WINDOW_LOG)),
        }
    }

    /// Takes a piece and hands out what it comes to. A fault ends the body; what came before it stands. False when it is this piece with which the
    /// body became too large, or its window is, or no more was wanted.
    pub fn feed(&mut self, piece: &[u8], sink: &mut Out<'_>) -> bool {
        let Self { state, out } = self;
        let mut is_within = true;
        let mut give = |bytes: &[u8]| {
            for part in bytes.chunks(PIECE) {
                let kept = part.get(..BODY_CAP.saturating_sub(*out)).unwrap_or(part);
                *out = out.saturating_add(kept.len());
                is_within = sink(kept) && kept.len() == part.len();
                if !is_within {
                    break;
                }
            }
            is_within
        };
        let done = match state {
            State::Plain => give(piece).then_some(()).ok_or_else(refused),
            State::Gzip(inner) => unfold(&mut **inner, MultiGzDecoder::get_mut, piece, &mut give),
            State::Zlib(inner) => unfold(&mut **inner, ZlibDecoder::get_mut, piece, &mut give),
            State::Deflate(inner) => unfold(&mut **inner, DeflateDecoder::get_mut, piece, &mut give),
            State::Zstd(inner) => {
                unfold(&mut **inner, zstd::stream::write::Decoder::get_mut, piece, &mut give)
            }
            State::Brotli(inner) => unfold_brotli(inner, piece, &mut give),
            State::Closed => return true,
        };
        let Err(fault) = done else { return true };
        self.state = State::Closed;
        is_within && fault.to_string() != ZSTD_WINDOW_FAULT
    }
}

/// Without windows of more than 16 MiB, which RFC 7932 does not know.
fn brotli() -> Brotli {
    Brotli::new_strict(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default())
}

fn zstandard() -> std::io::Result<zstd::stream::write::Decoder<'static, Vec<u8>>> {
    let mut inner = zstd::stream::write::Decoder::new(Vec::new())?;
    inner.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(inner)
}

fn refused() -> std::io::Error {
    std::io::ErrorKind::FileTooLarge.into()
}

/// One write comes to 32 KiB at most, whatever it is of, and a flush to a block of 128 KiB.
fn unfold<W: Write>(
    inner: &mut W,
    of: fn(&mut W) -> &mut Vec<u8>,
    piece: &[u8],
    give: &mut Out<'_>,
) -> std::io::Result<()> {
    let mut rest = piece;
    while !rest.is_empty() {
        let taken = inner.write(rest);
        if !give(&Zeroizing::new(std::mem::take(of(inner)))) {
            return Err(refused());
        }
        match taken? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            taken => rest = rest.get(taken..).unwrap_or_default(),
        }
    }
    let flushed = inner.flush();
    if give(&Zeroizing::new(std::mem::take(of(inner)))) { flushed } else { Err(refused()) }
}

fn unfold_brotli(inner: &mut Brotli, piece: &[u8], give: &mut Out<'_>) -> std::io::Result<()> {
    let mut buffer = Zeroizing::new(vec![0_u8; PIECE]);
    let (mut left, mut read, mut total) = (piece.len(), 0, 0);
    loop {
        let (mut room, mut written) = (buffer.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            piece,
            &mut room,
            &mut written,
            &mut buffer,
            &mut total,
            inner,
        );
        if !give(buffer.get(..written).unwrap_or_default()) {
            return Err(refused());
        }
        match result {
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::NeedsMoreInput | BrotliResult::ResultSuccess => return Ok(()),
            BrotliResult::ResultFailure => return Err(std::io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"{\"encryptKey\":\"AAECAwQFBgcICQoLDA0ODw\"}";

    fn decoded(coding: Coding, coded: &[u8], piece: usize) -> Vec<u8> {
        let mut decoder = Decoder::new(coding, coded);
        let mut out = Vec::new();
        for piece in coded.chunks(piece) {
            decoder.feed(piece, &mut |part| {
                out.extend_from_slice(part);
                true
            });
        }
        out
    }

    #[test]
    fn bodies_come_out_whole_however_they_are_cut() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(TEXT).expect("memory");
        let gzip = gzip.finish().expect("memory");
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(TEXT).expect("memory");
        let zlib = zlib.finish().expect("memory");
        let zstd = zstd::bulk::compress(TEXT, 3).expect("memory");
        for piece in [1, 3, 1000] {
            assert_eq!(decoded(Coding::Unknown, &zstd, piece), TEXT);
            assert_eq!(decoded(Coding::Unknown, &gzip, piece.max(3)), TEXT);
            assert_eq!(decoded(Coding::Gzip, &gzip, piece), TEXT);
            assert_eq!(decoded(Coding::Zlib, &zlib, piece), TEXT);
            assert_eq!(decoded(Coding::Unknown, TEXT, piece), TEXT);
        }
    }

    #[test]
    fn brotli_by_another_encoder_comes_out() {
        // Three times the text, by Google's brotli 1.2.0.
        let coded = [
            0x1b, 0x74, 0x00, 0xf8, 0x65, 0x77, 0x5e, 0xff, 0x8e, 0xcb, 0xed, 0x9b, 0x8d, 0x12, 0xa5, 0x1d,
            0xf7, 0x92, 0x0f, 0x49, 0x49, 0x12, 0x20, 0x86, 0x0d, 0x76, 0x1e, 0xd4, 0xae, 0xeb, 0xce, 0x9d,
            0xea, 0x05, 0x0b, 0x88, 0x9e, 0xf0, 0x48, 0x70, 0x4d, 0x23, 0xc9, 0xc8, 0x8c, 0xa6, 0xf0, 0x81,
            0xff, 0x00,
        ];
        assert_eq!(decoded(Coding::Brotli, &coded, 5), TEXT.repeat(3));
    }

    #[test]
    fn a_bomb_is_stopped_at_the_cap() {
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        bomb.write_all(&vec![0; 1 << 25]).expect("memory");
        let gzip = bomb.finish().expect("memory");
        let zstd = zstd::encode_all(&vec![0; 1 << 25][..], 3).expect("memory");
        for (coding, bomb) in [(Coding::Gzip, gzip), (Coding::Zstd, zstd), (Coding::Brotli, brotli_bomb())] {
            let mut decoder = Decoder::new(coding, &bomb);
            let (mut out, mut most) = (0, 0);
            let is_within = decoder.feed(&bomb, &mut |part| {
                out += part.len();
                most = most.max(part.len());
                true
            });
            assert_eq!((is_within, out, decoder.bytes()), (false, BODY_CAP, 0), "{coding:?}");
            assert!(most <= PIECE, "{coding:?}: {most}");
        }
    }

    /// Fourteen bytes that say 16 MiB, by RFC 7932 section 9. Google's brotli 1.2.1 makes as much of them.
    fn brotli_bomb() -> Vec<u8> {
        let (mut bits, mut at) = (vec![0_u8; 14], 0);
        let mut put = |value: u32, count: u32| {
            for bit in 0..count {
                bits[at / 8] |= u8::from(value >> bit & 1 == 1) << (at % 8);
                at += 1;
            }
        };
        // A window of 16 MiB; then one block: 16 MiB, one kind of each, and codes of one symbol each: the letter A, a command that
        // inserts 2118 letters at least and copies as many, the last distance.
        put(15, 4);
        for (value, count) in [
            (0, 1),
            (2, 2),
            ((1 << 24) - 1, 24),
            (0, 1),
            (0, 3),
            (0, 6),
            (0, 2),
            (0, 2),
            (1, 2),
            (0, 2),
            (65, 8),
            (1, 2),
            (0, 2),
            (399, 10),
            (1, 2),
            (0, 2),
            (16, 6),
            ((1 << 24) - 1 - 2118, 24),
            (0, 1),
            (3, 2),
        ] {
            put(value, count);
        }
        bits
    }

    #[test]
    fn no_more_comes_out_than_is_wanted() {
        let zstd = zstd::encode_all(&vec![0; 1 << 20][..], 3).expect("memory");
        let mut out = 0;
        let is_within = Decoder::new(Coding::Zstd, &zstd).feed(&zstd, &mut |part| {
            out += part.len();
            out < 100_000
        });
        assert!(!is_within && (100_000..100_000 + PIECE).contains(&out), "{out}");
    }

    #[test]
    fn a_window_that_is_too_large_is_told() {
        // RFC 8878 section 3.1.1.1.2: exponents 11 and 12, for 2 MiB and 4 MiB; then the letter A 131072 times, as the last block.
        let body = |exponent: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 0x03, 0x00, 0x10, b'A'];
        let fed = |exponent| {
            let (mut decoder, mut out) = (Decoder::new(Coding::Unknown, &body(exponent)), 0);
            let is_within = decoder.feed(&body(exponent), &mut |part| {
                out += part.len();
                true
            });
            (is_within, out)
        };
        assert_eq!((fed(11), fed(12)), ((true, 1 << 17), (false, 0)));
    }

    #[test]
    fn a_fault_ends_the_body_and_keeps_what_came_before() {
        assert_eq!(decoded(Coding::Gzip, b"no gzip at all", 4), b"");
        assert_eq!(decoded(Coding::Other, b"anything", 4), b"");
    }
}
