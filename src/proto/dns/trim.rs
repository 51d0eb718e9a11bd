//! What stands between hostile bytes and `simple-dns`.
//!
//! `simple-dns` 0.13 neither panics nor loops on the inputs tried here, but it sizes its vectors by the
//! counts in the header (a 12-byte datagram can ask for tens of megabytes), follows chains of thousands of
//! pointers, and gives up a whole message for one record that is cut or odd. So the records are walked
//! first, and only whole questions and answers, within the caps, are handed on under a corrected header.

use simple_dns::Packet;

use super::{HEADER_LENGTH, Header, MAX_ANSWERS, MAX_QUESTIONS};
use crate::bytes::{ParseError, Reader};

/// Longest stretch of a message that is handed on. It bounds the chains of pointers too: each hop must go
/// backwards by two bytes or more.
const MAX_LENGTH: usize = 8192;

/// The part of a message that is handed on.
pub(super) struct Trimmed {
    bytes: Vec<u8>,
    /// Less was taken than announced.
    pub(super) partial: bool,
}

impl Trimmed {
    /// `None` when `simple-dns` refuses even the questions (a name longer than 255 bytes, say).
    pub(super) fn packet(&self) -> Option<Packet<'_>> {
        Packet::parse(&self.bytes).ok()
    }

    /// The same without its answers, for when one of them is refused that the walk let pass.
    pub(super) fn without_answers(mut self) -> Self {
        if let Some(count) = self.bytes.get_mut(6..8) {
            count.fill(0);
        }
        self.partial = true;
        self
    }
}

/// Keeps the questions and answers that are whole.
pub(super) fn trim(message: &[u8], header: &Header) -> Result<Trimmed, ParseError> {
    let message = message.get(..MAX_LENGTH).unwrap_or(message);
    let (questions, mut end) =
        walk(message, HEADER_LENGTH, usize::from(header.questions).min(MAX_QUESTIONS), |bytes, at| {
            skip_question(bytes, at).map(|(next, _)| next)
        });
    let questions_whole = questions == usize::from(header.questions);
    if questions == 0 && header.questions > 0 {
        // The failing read is repeated for the sake of its error.
        let mut reader = Reader::new(message);
        reader.take(HEADER_LENGTH, "dns header")?;
        return Err(question_error(&mut reader));
    }
    let mut answers = 0;
    if questions_whole {
        (answers, end) = walk(message, end, usize::from(header.answers).min(MAX_ANSWERS), skip_answer);
    }
    let mut bytes = Vec::with_capacity(end);
    bytes.extend_from_slice(message.get(..4).unwrap_or_default());
    for count in [questions, answers, 0, 0] {
        bytes.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    }
    bytes.extend_from_slice(message.get(HEADER_LENGTH..end).unwrap_or_default());
    Ok(Trimmed { bytes, partial: !questions_whole || answers != usize::from(header.answers) })
}

fn question_error(reader: &mut Reader<'_>) -> ParseError {
    let offset = reader.position();
    match skip_name(reader.peek(), 0) {
        None if reader.remaining() < 5 => {
            ParseError::Truncated { field: "dns question", offset, needed: 5, available: reader.remaining() }
        }
        None => ParseError::Invalid { field: "dns question name", offset, value: 0 },
        Some(length) => {
            let _ = reader.take(length, "dns question name");
            reader.take(4, "dns question type").err().unwrap_or(ParseError::Invalid {
                field: "dns question class",
                offset,
                value: 0,
            })
        }
    }
}

/// Steps over at most `most` items; how many were whole, and where the last of them ends.
fn walk(
    message: &[u8],
    start: usize,
    most: usize,
    skip: impl Fn(&[u8], usize) -> Option<usize>,
) -> (usize, usize) {
    let mut end = start;
    let mut taken: usize = 0;
    while taken < most {
        let Some(next) = skip(message, end) else { break };
        end = next;
        taken = taken.saturating_add(1);
    }
    (taken, end)
}

/// The end of the question at `at`, and its class.
pub(super) fn skip_question(message: &[u8], at: usize) -> Option<(usize, u16)> {
    let at = skip_name(message, at)?;
    let fixed = message.get(at..)?.first_chunk::<4>()?;
    let [_, _, class @ ..] = *fixed;
    let class = u16::from_be_bytes(class);
    // The top bit asks for a unicast answer in mDNS. Other classes than these are refused further on.
    matches!(class & 0x7FFF, 1..=4 | 254 | 255).then_some((at.checked_add(4)?, class))
}

/// The end of the answer at `at`, if it is one that `simple-dns` will take.
fn skip_answer(message: &[u8], at: usize) -> Option<usize> {
    let at = skip_name(message, at)?;
    let fixed = message.get(at..)?.first_chunk::<10>()?;
    let [type_high, type_low, class_high, class_low, _, _, _, _, length_high, length_low] = *fixed;
    let class = u16::from_be_bytes([class_high, class_low]) & 0x7FFF;
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    let start = at.checked_add(10)?;
    let end = start.checked_add(length)?;
    let data = message.get(start..end)?;
    let sound = match u16::from_be_bytes([type_high, type_low]) {
        1 => data.len() == 4,
        28 => data.len() == 16,
        2 | 5 | 12 => skip_name(message, start)? == end,
        64 | 65 => {
            let parameters = skip_name(message, start.checked_add(2)?)?;
            skip_parameters(message.get(parameters..end)?).is_some()
        }
        // An OPT record has no business among the answers.
        41 => false,
        _ => true,
    };
    (sound && matches!(class, 1..=4 | 254)).then_some(end)
}

/// Steps over SVCB parameters: key, length, value, with keys in ascending order.
fn skip_parameters(mut bytes: &[u8]) -> Option<()> {
    let mut previous = None;
    while let Some(([key_high, key_low, high, low], rest)) = bytes.split_first_chunk::<4>() {
        let key = u16::from_be_bytes([*key_high, *key_low]);
        if previous.is_some_and(|before| key <= before) {
            return None;
        }
        previous = Some(key);
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        bytes = rest.get(length..)?;
    }
    bytes.is_empty().then_some(())
}

/// The end of the name at `at`, without following pointers. At most 128 labels.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..128 {
        let length = *message.get(at)?;
        let next = at.checked_add(1)?;
        match length {
            0 => return Some(next),
            1..=63 => at = next.checked_add(usize::from(length))?,
            192.. => {
                message.get(next)?;
                return next.checked_add(1);
            }
            64..=191 => return None,
        }
    }
    None
}
