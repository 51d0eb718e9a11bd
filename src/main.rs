//! `meetscope`: parse arguments, run, exit status.

mod cli;

use mimalloc::MiMalloc;

/// Flows are many small allocations that live for seconds; of the program alone, the library leaves the choice to its user.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() {
    cli::main()
}
