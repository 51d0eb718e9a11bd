//! What reading bytes gave, so that the same bytes are read once. In: bytes and how they are read. Out: what that gives.

use hashbrown::HashMap;

/// A pure function's memory, which cannot be told from calling it again.
pub(super) struct Memo<T> {
    known: HashMap<Box<[u8]>, T>,
    /// Entries kept; beyond it all go.
    most: usize,
    /// Longer bytes are read anew each time.
    longest: usize,
}

impl<T: Clone> Memo<T> {
    pub(super) fn new(most: usize, longest: usize) -> Self {
        Self { known: HashMap::new(), most, longest }
    }

    /// What `read` gives for these bytes.
    pub(super) fn of(&mut self, bytes: &[u8], read: impl FnOnce() -> T) -> T {
        if bytes.len() > self.longest {
            return read();
        }
        if let Some(known) = self.known.get(bytes) {
            return known.clone();
        }
        if self.known.len() >= self.most {
            self.known.clear();
        }
        let value = read();
        self.known.insert(bytes.into(), value.clone());
        value
    }
}
