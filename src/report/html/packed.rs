//! Text in few bytes: raw DEFLATE (RFC 1951) in base64, which a browser unpacks by itself.

use std::io::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Packs a text.
///
/// # Errors
/// Never in practice: memory takes what is written.
pub(super) fn pack(text: &str) -> io::Result<String> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    Ok(STANDARD.encode(encoder.finish()?))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_packed_is_deflate_and_comes_back() {
        let text = "s193 zürich ".repeat(500);
        let packed = pack(&text).unwrap();
        assert!(packed.len() < text.len() / 20);
        assert!(packed.chars().all(|letter| letter.is_ascii_alphanumeric() || "+/=".contains(letter)));
        let bytes = STANDARD.decode(packed).unwrap();
        let mut back = String::new();
        flate2::read::DeflateDecoder::new(bytes.as_slice()).read_to_string(&mut back).unwrap();
        assert_eq!(back, text);
    }
}
