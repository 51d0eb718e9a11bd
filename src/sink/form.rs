//! What a record looks like to a destination. In: a record. Out: its bytes, made once for all destinations that take the same.

use std::sync::Arc;

use super::clock;
use super::syslog::{self, Origin};
use crate::report::record::Record;
use crate::report::{Format, Style, write_json, write_text};

/// How records are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// A line of JSON.
    Ndjson,
    /// For people.
    Text(Style),
    /// A message of syslog.
    Syslog {
        /// Longest message, in bytes.
        most: usize,
        /// Its length goes before it (RFC 6587 section 3.4.1).
        is_counted: bool,
    },
}

impl Form {
    /// As a report's style says.
    pub(super) fn of(style: &Style) -> Self {
        if style.format == Format::Text { Self::Text(style.clone()) } else { Self::Ndjson }
    }
}

/// A record, in each form that was asked for so far.
pub(super) struct Forms<'r> {
    record: &'r Record,
    origin: &'r Origin,
    made: Vec<(Form, Arc<[u8]>)>,
}

impl<'r> Forms<'r> {
    pub(super) const fn new(record: &'r Record, origin: &'r Origin) -> Self {
        Self { record, origin, made: Vec::new() }
    }

    /// Empty where the form leaves the record out.
    pub(super) fn get(&mut self, form: &Form) -> Arc<[u8]> {
        if let Some((_, bytes)) = self.made.iter().find(|(made, _)| made == form) {
            return Arc::clone(bytes);
        }
        let bytes: Arc<[u8]> = self.make(form).into();
        self.made.push((form.clone(), Arc::clone(&bytes)));
        bytes
    }

    fn make(&mut self, form: &Form) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to memory does not fail.
        match form {
            Form::Ndjson => {
                let _ = write_json(&mut bytes, self.record);
                bytes.push(b'\n');
            }
            Form::Text(style) => {
                let _ = write_text(&mut bytes, self.record, style);
            }
            Form::Syslog { most, is_counted } => {
                let json = self.get(&Form::Ndjson);
                let now = clock::rfc5424(clock::now());
                let message = syslog::message(self.record, &json, self.origin, &now, *most);
                if *is_counted {
                    bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
                }
                bytes.extend_from_slice(&message);
            }
        }
        bytes
    }
}
