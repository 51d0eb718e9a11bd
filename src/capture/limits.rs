//! How many files a process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are asked for at most: some systems know no limit, and what is kept for each costs.
const ENOUGH: u64 = 1 << 16;

/// Raises the limit on open files as far as this process may. What it is by default, 1024 or 256, is for programs that wait with select(2);
/// captures that are compressed and overlap in time are all open at once.
pub fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if current.is_some_and(|current| current < wanted) {
        // Where it is refused the old limit holds.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// Files that captures may have open while they wait: half of all, so that there is room for what is written and asked.
pub(super) fn open_files() -> usize {
    let current = getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH);
    usize::try_from(current / 2).unwrap_or(usize::MAX)
}
