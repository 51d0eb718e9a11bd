//! Lists of application protocols. All clients of a make send the same one: each list is kept once.

use std::cell::RefCell;
use std::sync::Arc;

use compact_str::CompactString;

use super::facts::LIST_CAP;
use super::handshake::text;
use super::memo::Memo;
use crate::proto::tls::ClientHello;

/// Lists remembered by each thread.
const MEMO_CAP: usize = 256;
/// Longer ones are made anew each time.
const MEMO_BYTES: usize = 256;

thread_local! {
    static MEMO: RefCell<Memo<Arc<[CompactString]>>> = RefCell::new(Memo::new(MEMO_CAP, MEMO_BYTES));
}

/// The protocols that a client offers.
pub(super) fn offered(hello: &ClientHello<'_>) -> Arc<[CompactString]> {
    let read = || hello.alpn().take(LIST_CAP).map(|protocol| text(protocol).into()).collect();
    MEMO.with_borrow_mut(|memo| memo.of(hello.alpn_bytes(), read))
}
