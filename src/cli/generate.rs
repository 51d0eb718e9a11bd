//! `meetscope completions` and `meetscope man`, both from the definition of the options.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Args;
use super::{Status, UsageError};

/// Writes a completion script.
pub(super) fn completions(shell: Shell) -> anyhow::Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "meetscope", &mut script);
    print(&script)
}

/// Writes the manual page of the program, or of one subcommand.
pub(super) fn man(subcommand: Option<&str>) -> anyhow::Result<Status> {
    let mut command = Args::command();
    command.build();
    if let Some(name) = subcommand {
        let found = command.find_subcommand(name).cloned();
        let unknown = || UsageError(format!("man: there is no subcommand {name}"));
        command = found.ok_or_else(unknown)?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(&page)
}

fn print(text: &[u8]) -> anyhow::Result<Status> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(Status::Done)
}
