//! Header extension elements (RFC 8285): one-byte form under 0xbede, two-byte form under 0x1000 to 0x100f.

use std::iter::FusedIterator;

use crate::bytes::Reader;

/// One element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// Local identifier, 1 to 14 or 1 to 255; what it means is negotiated in signalling.
    pub id: u8,
    /// Its data.
    pub data: &'a [u8],
}

impl std::fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Element({}, {} bytes)", self.id, self.data.len())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    OneByte,
    TwoByte,
}

/// Walks the elements; padding is skipped, and the first element that does not fit ends the walk.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    reader: Reader<'a>,
    form: Form,
}

impl<'a> Elements<'a> {
    pub(super) const fn empty() -> Self {
        Self { reader: Reader::new(&[]), form: Form::OneByte }
    }

    /// A walk over `data` in the form that `profile` names; empty when it names none.
    pub const fn new(profile: u16, data: &'a [u8]) -> Self {
        match profile {
            0xbede => Self { reader: Reader::new(data), form: Form::OneByte },
            0x1000..=0x100f => Self { reader: Reader::new(data), form: Form::TwoByte },
            _ => Self::empty(),
        }
    }

    fn one_byte(&mut self) -> Option<Element<'a>> {
        loop {
            let head = self.reader.u8("extension element").ok()?;
            // RFC 8285 §4.2: a whole byte of zero is padding; id 15, or id 0 with a length, ends the list.
            if head == 0 {
                continue;
            }
            let id = head >> 4;
            if id == 0 || id == 15 {
                return None;
            }
            let length = usize::from(head & 0x0f).saturating_add(1);
            let data = self.reader.take(length, "extension element").ok()?;
            return Some(Element { id, data });
        }
    }

    fn two_byte(&mut self) -> Option<Element<'a>> {
        loop {
            let id = self.reader.u8("extension element").ok()?;
            if id == 0 {
                continue;
            }
            let length = usize::from(self.reader.u8("extension element length").ok()?);
            let data = self.reader.take(length, "extension element").ok()?;
            return Some(Element { id, data });
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = match self.form {
            Form::OneByte => self.one_byte(),
            Form::TwoByte => self.two_byte(),
        };
        if found.is_none() {
            self.reader.rest();
        }
        found
    }
}

impl FusedIterator for Elements<'_> {}
