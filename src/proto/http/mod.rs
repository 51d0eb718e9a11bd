//! HTTP as it stands in opened connections: where messages begin and end, and how their bodies are coded.
//!
//! In: bytes of one direction. Out: heads and frames with their lengths; a message that is not complete is no error.
//! Header fields of HTTP/2 and HTTP/3 are not read: what is looked for stands in bodies, and content codings are
//! recognised by their first bytes.

pub mod coding;
pub mod one;
pub mod three;
pub mod two;
pub mod websocket;

#[cfg(test)]
mod tests;
