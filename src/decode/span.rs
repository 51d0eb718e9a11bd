//! A slice of the capture together with the length that it had on the wire.
//!
//! A capture may keep only the first bytes of a frame (snap length). Every layer therefore carries two
//! lengths, what is here and what was there, and the difference is what tells "cut" from "malformed".

/// Captured bytes, and how many there were on the wire (never fewer).
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    data: &'a [u8],
    wire: usize,
}

impl<'a> Span<'a> {
    /// Bytes whose length on the wire was `wire`; a smaller value than what is here is put right.
    #[inline]
    pub(super) fn new(data: &'a [u8], wire: usize) -> Self {
        Self { data, wire: wire.max(data.len()) }
    }

    /// What was captured.
    #[inline]
    pub(super) const fn data(self) -> &'a [u8] {
        self.data
    }

    /// How many bytes there were.
    #[inline]
    pub(super) const fn wire(self) -> usize {
        self.wire
    }

    /// True when the capture holds less than the wire did.
    #[inline]
    pub(super) const fn is_cut(self) -> bool {
        self.data.len() < self.wire
    }

    /// The first `N` bytes and what follows.
    #[inline]
    pub(super) fn head<const N: usize>(self) -> Option<(&'a [u8; N], Self)> {
        let (head, data) = self.data.split_first_chunk::<N>()?;
        Some((head, Self { data, wire: self.wire.saturating_sub(N) }))
    }

    /// What follows the first `length` bytes.
    #[inline]
    pub(super) fn skip(self, length: usize) -> Option<Self> {
        let (_, data) = self.data.split_at_checked(length)?;
        Some(Self { data, wire: self.wire.saturating_sub(length) })
    }

    /// At most `length` bytes: a length field that is a bound and no promise.
    #[inline]
    pub(super) fn limit(self, length: usize) -> Self {
        Self { data: self.data.get(..length).unwrap_or(self.data), wire: self.wire.min(length) }
    }

    /// Exactly `length` bytes on the wire, as a header that is to be trusted says (IP total length).
    #[inline]
    pub(super) fn declare(self, length: usize) -> Self {
        Self { data: self.data.get(..length).unwrap_or(self.data), wire: length }
    }

    /// The big-endian integer at `offset`.
    #[inline]
    pub(super) fn u16_at(self, offset: usize) -> Option<u16> {
        Some(u16::from_be_bytes(*self.data.get(offset..)?.first_chunk()?))
    }
}
