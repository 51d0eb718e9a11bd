//! Content codings, RFC 9110 section 8.4.1: pieces of a coded body in, pieces of the body out, bounded.

use std::io::Write as _;

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Most bytes that a body may come to; what follows is passed over.
pub const BODY_CAP: usize = 1 << 22;
/// Window of a brotli decoder's output, in bytes.
const BROTLI_BUFFER: usize = 1 << 12;

/// Largest window of a zstd body: 8 MiB, as RFC 8878 section 3.1.1.1.2 asks decoders to take.
const ZSTD_WINDOW_LOG: u32 = 23;

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

enum State {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
    Deflate(Box<DeflateDecoder<Vec<u8>>>),
    Brotli(Box<DecompressorWriter<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Vec<u8>>>),
    /// Not readable, or broken, or over the cap.
    Closed,
}

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
            Coding::Brotli => State::Brotli(Box::new(DecompressorWriter::new(Vec::new(), BROTLI_BUFFER))),
            Coding::Zstd => zstandard().map_or(State::Closed, |inner| State::Zstd(Box::new(inner))),
            Coding::Other => State::Closed,
        };
        Self { state, out: 0 }
    }

    /// Begins the next message of a connection whose messages share a window (RFC 7692 section 7.2): the cap counts anew.
    pub const fn next_message(&mut self) {
        self.out = 0;
    }

    /// Takes a piece and gives what it comes to. A fault ends the body; what came before it stands.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        // In slices, so that a small piece which unfolds into a large one is stopped in time.
        for slice in piece.chunks(1 << 10) {
            let before = out.len();
            let whole = match &mut self.state {
                State::Plain => {
                    out.extend_from_slice(slice);
                    true
                }
                State::Gzip(inner) => {
                    step(&inner.write_all(slice).and_then(|()| inner.flush()), inner.get_mut(), out)
                }
                State::Zlib(inner) => {
                    step(&inner.write_all(slice).and_then(|()| inner.flush()), inner.get_mut(), out)
                }
                State::Deflate(inner) => {
                    step(&inner.write_all(slice).and_then(|()| inner.flush()), inner.get_mut(), out)
                }
                State::Brotli(inner) => step(&inner.write_all(slice), inner.get_mut(), out),
                State::Zstd(inner) => {
                    step(&inner.write_all(slice).and_then(|()| inner.flush()), inner.get_mut(), out)
                }
                State::Closed => return,
            };
            self.out = self.out.saturating_add(out.len().saturating_sub(before));
            if !whole || self.out > BODY_CAP {
                self.state = State::Closed;
                return;
            }
        }
    }
}

fn zstandard() -> std::io::Result<zstd::stream::write::Decoder<'static, Vec<u8>>> {
    let mut inner = zstd::stream::write::Decoder::new(Vec::new())?;
    inner.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(inner)
}

fn step(done: &std::io::Result<()>, inner: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
    out.append(inner);
    done.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"{\"encryptKey\":\"AAECAwQFBgcICQoLDA0ODw\"}";

    fn decoded(coding: Coding, coded: &[u8], piece: usize) -> Vec<u8> {
        let mut decoder = Decoder::new(coding, coded);
        let mut out = Vec::new();
        coded.chunks(piece).for_each(|piece| decoder.feed(piece, &mut out));
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
        let bomb = bomb.finish().expect("memory");
        let out = decoded(Coding::Gzip, &bomb, bomb.len());
        assert!(out.len() >= BODY_CAP && out.len() < BODY_CAP + (1 << 21), "{}", out.len());
    }

    #[test]
    fn a_fault_ends_the_body_and_keeps_what_came_before() {
        assert_eq!(decoded(Coding::Gzip, b"no gzip at all", 4), b"");
        assert_eq!(decoded(Coding::Other, b"anything", 4), b"");
    }
}
