//! Ciphers, key derivations and tags, each behind one function. In: keys and bytes. Out: bytes, or a verdict.
//!
//! Nothing here knows a protocol's messages; the packages that do the arithmetic are named here alone. Keys are wiped when
//! they are dropped, and nothing here prints.

pub mod aead;
pub mod block;
pub mod gcm;
pub mod header;
pub mod kdf;
pub mod mac;
pub mod sframe;
pub mod srtp;

#[cfg(test)]
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
