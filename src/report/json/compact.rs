//! JSON without spaces, appended to a buffer: what a replay of many flows writes most of its bytes with.
//!
//! Text that needs no escape, whole numbers and names of fields are written here in one piece each; all else is handed to `serde_json`, so
//! that the bytes are its bytes.

use std::fmt::Display;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::Error;

use super::Visible;

/// Bytes of a name with what stands around it; longer ones are written in pieces.
const NAME: usize = 48;

type Result<T = ()> = std::result::Result<T, Error>;

/// Appends values to a buffer.
#[derive(Debug)]
pub(super) struct Compact<'b> {
    out: &'b mut Vec<u8>,
}

impl<'b> Compact<'b> {
    pub(super) const fn new(out: &'b mut Vec<u8>) -> Self {
        Self { out }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn number(&mut self, number: impl itoa::Integer) {
        self.put(itoa::Buffer::new().format(number).as_bytes());
    }

    fn by_library<T: ?Sized + Serialize>(&mut self, value: &T) -> Result {
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut *self.out, Visible))
    }

    /// What stands before a field. Its name is one of this program's, and needs no escape. Names are known where this is called, so that
    /// what is written comes to a constant.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "some forty names are written of each of hundreds of thousands of flows"
    )]
    fn name(&mut self, name: &'static str, before: [u8; 2]) {
        debug_assert!(is_plain(name.as_bytes()), "{name:?}");
        let mut text = [0; NAME];
        if let Some(whole) = text.get_mut(..name.len().saturating_add(4))
            && let Some((start, rest)) = whole.split_first_chunk_mut()
            && let Some((middle, end)) = rest.split_last_chunk_mut()
        {
            *start = before;
            middle.copy_from_slice(name.as_bytes());
            *end = *b"\":";
            self.out.extend_from_slice(whole);
        } else {
            self.put(&before);
            self.put(name.as_bytes());
            self.put(b"\":");
        }
    }

    /// What stands before the value of a variant that holds something.
    fn variant(&mut self, name: &'static str, begin: &'static [u8]) {
        self.name(name, *b"{\"");
        self.put(begin);
    }
}

impl<'s, 'b> Serializer for &'s mut Compact<'b> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = List<'s, 'b>;
    type SerializeTuple = List<'s, 'b>;
    type SerializeTupleStruct = List<'s, 'b>;
    type SerializeTupleVariant = List<'s, 'b>;
    type SerializeMap = Object<'s, 'b>;
    type SerializeStruct = Object<'s, 'b>;
    type SerializeStructVariant = Object<'s, 'b>;

    fn serialize_bool(self, value: bool) -> Result {
        self.put(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result {
        self.number(value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result {
        self.number(value);
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result {
        self.number(value);
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result {
        self.number(value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result {
        self.by_library(&value)
    }

    fn serialize_f64(self, value: f64) -> Result {
        self.by_library(&value)
    }

    fn serialize_char(self, value: char) -> Result {
        self.by_library(&value)
    }

    fn serialize_str(self, text: &str) -> Result {
        if !is_plain(text.as_bytes()) {
            return self.by_library(text);
        }
        self.put(b"\"");
        self.put(text.as_bytes());
        self.put(b"\"");
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result {
        self.collect_seq(bytes)
    }

    fn serialize_none(self) -> Result {
        self.serialize_unit()
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result {
        self.put(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _name: &'static str, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result {
        self.variant(variant, b"");
        value.serialize(&mut *self)?;
        self.put(b"}");
        Ok(())
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<List<'s, 'b>> {
        self.put(b"[");
        Ok(List { to: self, is_first: true, end: b"]" })
    }

    fn serialize_tuple(self, length: usize) -> Result<List<'s, 'b>> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<List<'s, 'b>> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<List<'s, 'b>> {
        self.variant(variant, b"[");
        Ok(List { to: self, is_first: true, end: b"]}" })
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Object<'s, 'b>> {
        Ok(Object { to: self, is_first: true, end: b"}" })
    }

    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<Object<'s, 'b>> {
        self.serialize_map(Some(length))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Object<'s, 'b>> {
        self.variant(variant, b"");
        Ok(Object { to: self, is_first: true, end: b"}}" })
    }

    fn collect_str<T: ?Sized + Display>(self, value: &T) -> Result {
        self.by_library(&format_args!("{value}"))
    }
}

/// A list that is being written.
#[derive(Debug)]
pub(super) struct List<'s, 'b> {
    to: &'s mut Compact<'b>,
    is_first: bool,
    end: &'static [u8],
}

impl List<'_, '_> {
    fn item<T: ?Sized + Serialize>(&mut self, item: &T) -> Result {
        if !self.is_first {
            self.to.put(b",");
        }
        self.is_first = false;
        item.serialize(&mut *self.to)
    }

    fn close(self) {
        self.to.put(self.end);
    }
}

/// An object that is being written. What opens it is written with its first key.
#[derive(Debug)]
pub(super) struct Object<'s, 'b> {
    to: &'s mut Compact<'b>,
    is_first: bool,
    end: &'static [u8],
}

impl Object<'_, '_> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as `Compact::name`")]
    fn field<T: ?Sized + Serialize>(&mut self, name: &'static str, value: &T) -> Result {
        self.to.name(name, [if self.is_first { b'{' } else { b',' }, b'"']);
        self.is_first = false;
        value.serialize(&mut *self.to)
    }

    fn close(self) {
        if self.is_first {
            self.to.put(b"{");
        }
        self.to.put(self.end);
    }
}

/// The traits of lists and of objects differ by the names of their methods.
macro_rules! closes {
    ($trait:ident for $kind:ident, $method:ident as $own:ident ( $($name:ident : $type:ty)? )) => {
        impl $trait for $kind<'_, '_> {
            type Ok = ();
            type Error = Error;

            #[inline(always)]
            fn $method<T: ?Sized + Serialize>(&mut self, $($name: $type,)? value: &T) -> Result {
                self.$own($($name,)? value)
            }

            fn end(self) -> Result {
                self.close();
                Ok(())
            }
        }
    };
}

closes!(SerializeSeq for List, serialize_element as item());
closes!(SerializeTuple for List, serialize_element as item());
closes!(SerializeTupleStruct for List, serialize_field as item());
closes!(SerializeTupleVariant for List, serialize_field as item());
closes!(SerializeStruct for Object, serialize_field as field(name: &'static str));
closes!(SerializeStructVariant for Object, serialize_field as field(name: &'static str));

impl SerializeMap for Object<'_, '_> {
    type Ok = ();
    type Error = Error;

    /// A key can be a number or not be one at all: the library begins an object with it, which is this one or goes on with it.
    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result {
        let begin = self.to.out.len();
        let mut library = serde_json::Serializer::with_formatter(&mut *self.to.out, Visible);
        library.serialize_map(None)?.serialize_key(key)?;
        if !self.is_first
            && let Some(opened) = self.to.out.get_mut(begin)
        {
            *opened = b',';
        }
        self.is_first = false;
        Ok(())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result {
        self.to.put(b":");
        value.serialize(&mut *self.to)
    }

    fn end(self) -> Result {
        self.close();
        Ok(())
    }
}

/// True for printable ASCII alone without quotes and escapes: of what is written nearly all is that. The last bytes are looked at twice
/// where they fill no word.
fn is_plain(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk::<16>() {
        let (chunks, _) = bytes.as_chunks::<16>();
        return chunks
            .iter()
            .chain([last])
            .all(|chunk| !chunk.iter().fold(false, |odd, byte| odd | is_odd(*byte)));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return any_odd(u64::from_le_bytes(*first)) | any_odd(u64::from_le_bytes(*last)) == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return any_odd(u64::from(first) << 32 | u64::from(last)) == 0;
    }
    !bytes.iter().any(|byte| is_odd(*byte))
}

const fn is_odd(byte: u8) -> bool {
    byte < b' ' || byte > b'~' || byte == b'"' || byte == b'\\'
}

/// [`is_odd`] of eight bytes at a time: not 0 when it is true of one of them.
#[inline]
const fn any_odd(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The high bit of a byte is set by a byte from 0x80 on, by 1 more than 0x7f, by 32 less than 0x20 to 0x00, by 1 less than 0.
    let (quotes, escapes) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
    let told_apart = (quotes.wrapping_sub(ONES) & !quotes) | (escapes.wrapping_sub(ONES) & !escapes);
    (word | word.wrapping_add(ONES) | word.wrapping_sub(ONES << 5) | told_apart) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::{Value, json};

    use super::*;

    /// What the library writes.
    fn expected<T: ?Sized + Serialize>(value: &T) -> std::result::Result<String, String> {
        let mut out = Vec::new();
        let mut library = serde_json::Serializer::with_formatter(&mut out, Visible);
        value.serialize(&mut library).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn written<T: ?Sized + Serialize>(value: &T) -> std::result::Result<String, String> {
        let mut out = Vec::new();
        value.serialize(&mut Compact::new(&mut out)).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn same<T: ?Sized + Serialize>(value: &T) {
        assert_eq!(written(value), expected(value));
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Newtype(f32);

    #[derive(Serialize)]
    struct Pair(u8, &'static str);

    #[derive(Serialize)]
    struct Empty {}

    /// Names around the longest that are written in one piece.
    #[derive(Serialize)]
    struct Long {
        #[serde(rename = "a_name_of_forty_four_letters_and_low_lines__")]
        in_one_piece: u8,
        #[serde(rename = "a_name_of_forty_five_letters_and_low_lines__x")]
        in_pieces: u8,
        #[serde(rename = "a_name_that_is_longer_than_any_that_somebody_would_want_to_read_twice")]
        most: u8,
    }

    #[derive(Serialize)]
    struct Flat {
        first: Option<u8>,
        #[serde(flatten)]
        rest: BTreeMap<u16, char>,
    }

    #[derive(Serialize)]
    enum Each {
        Unit,
        Newtype(i8),
        Tuple(i16, bool),
        Struct { a: Option<()>, b: [u8; 2] },
        Empty {},
    }

    #[derive(Serialize)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    enum Tagged {
        One { value: u8 },
        Other(BTreeMap<String, u8>),
    }

    #[test]
    fn each_form_is_written_as_the_library_writes_it() {
        same(&(Unit, Newtype(0.1), Pair(7, "x"), Empty {}, (), ((),)));
        same(&[Each::Unit, Each::Newtype(-8), Each::Tuple(-300, true), Each::Empty {}]);
        same(&Each::Struct { a: None, b: [1, 2] });
        same(&Long { in_one_piece: 1, in_pieces: 2, most: 3 });
        same(&Flat { first: Some(1), rest: BTreeMap::from([(3, 'c'), (4, '"'), (5, '\u{202e}')]) });
        same(&Flat { first: None, rest: BTreeMap::new() });
        same(&[Tagged::One { value: 3 }, Tagged::Other(BTreeMap::from([("b\"".to_owned(), 1)]))]);
        same(&(i64::MIN, u64::MAX, i128::MIN, u128::MAX, i32::MIN, u32::MAX));
        same(&[f64::NAN, f64::INFINITY, 0.0, -0.0, 1e300, 1e-300, 0.1, 123_456_789.5]);
        same(&[f32::NAN, f32::NEG_INFINITY, 16_777_216.0, 0.998, 1e-30]);
        same(&format_args!("{}\n{}", 1, "\""));
        same(&(vec![Vec::<u8>::new(); 2], BTreeMap::<u8, u8>::new(), None::<u8>));
        same(&std::net::IpAddr::from([192, 0, 2, 1]));
    }

    #[test]
    fn keys_are_what_the_library_makes_of_them() {
        same(&BTreeMap::from([(-1_i64, 1), (2, 2)]));
        same(&BTreeMap::from([(true, 1), (false, 2)]));
        same(&BTreeMap::from([('\u{7f}', 1), ('b', 2)]));
        same(&BTreeMap::from([(Some("a"), 1)]));
        same(&BTreeMap::from([((1, 2), 1)]));
        same(&BTreeMap::from([([0_u8; 0], 1)]));
    }

    #[test]
    fn text_is_plain_where_all_its_bytes_are_printable_and_need_no_escape() {
        for byte in 0..=u8::MAX {
            let lengths = [
                (1, 0),
                (3, 2),
                (4, 0),
                (4, 3),
                (7, 3),
                (7, 6),
                (8, 0),
                (8, 7),
                (9, 8),
                (15, 7),
                (16, 8),
                (19, 5),
                (19, 18),
            ];
            for (length, place) in lengths.into_iter().chain([(32, 31), (33, 32), (40, 0)]) {
                for around in [b' ', b'a', b'~', b'!', b'#', b'[', b']'] {
                    let mut text = vec![around; length];
                    text[place] = byte;
                    let expected = matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
                    assert_eq!(is_plain(&text), expected, "{byte:#x} at {place} of {length}");
                }
            }
        }
        assert!(is_plain(b""));
    }

    /// Values in which all there is of JSON can be met, in strings the characters that are written out more often than not.
    fn values() -> impl Strategy<Value = Value> {
        let texts = prop_oneof![
            "[ -~]{0,20}",
            "[a-z.]{0,40}",
            "[\\x00-\\x22\\x5c\\x7f-\\xa0é\\u{202e}😀]{0,9}",
            ".*"
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            texts.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((texts.clone(), inner), 0..6)
                    .prop_map(|all| Value::Object(all.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_are_written_as_the_library_writes_them(value in values()) {
            let text = written(&value).unwrap();
            prop_assert_eq!(&text, &expected(&value).unwrap());
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
        }
    }

    #[test]
    fn what_cannot_be_serialised_is_the_same_error() {
        struct Refuses;
        impl Serialize for Refuses {
            fn serialize<S: Serializer>(&self, _serializer: S) -> std::result::Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("no"))
            }
        }
        assert_eq!(written(&json!([1])), Ok("[1]".to_owned()));
        same(&[Refuses]);
        same(&BTreeMap::from([("a", Some(Refuses))]));
    }
}
