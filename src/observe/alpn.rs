//! Lists of application protocols. All clients of a make send the same one: each list is kept once.

use std::cell::RefCell;
use std::sync::Arc;

use hashbrown::HashMap;

use super::facts::LIST_CAP;
use super::handshake::text;
use crate::proto::tls::ClientHello;

/// Lists remembered by each thread.
const MEMO_CAP: usize = 256;
/// Longer ones are made anew each time.
const MEMO_BYTES: usize = 256;

/// A list, and the bytes that it was read from.
type Memo = HashMap<Box<[u8]>, Arc<[String]>>;

thread_local! {
    /// What reading these bytes gave; a pure function's memory, which cannot be told from reading them again.
    static MEMO: RefCell<Memo> = RefCell::new(Memo::new());
}

/// The protocols that a client offers.
pub(super) fn offered(hello: &ClientHello<'_>) -> Arc<[String]> {
    let bytes = hello.alpn_bytes();
    if bytes.len() > MEMO_BYTES {
        return read(hello);
    }
    MEMO.with_borrow_mut(|memo| {
        if let Some(known) = memo.get(bytes) {
            return Arc::clone(known);
        }
        if memo.len() >= MEMO_CAP {
            memo.clear();
        }
        let list = read(hello);
        memo.insert(bytes.into(), Arc::clone(&list));
        list
    })
}

fn read(hello: &ClientHello<'_>) -> Arc<[String]> {
    hello.alpn().take(LIST_CAP).map(text).collect()
}
