//! Ciphers, key derivations and tags, each behind one function. In: keys and bytes. Out: bytes, or a verdict.
//!
//! Nothing here knows a protocol's messages; the packages that do the arithmetic are named here alone. Keys are wiped when
//! they are dropped, and nothing here prints.

pub mod aead;
pub mod header;
pub mod kdf;
