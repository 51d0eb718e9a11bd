//! `meetscope completions` and `meetscope man`, both from the definition of the options.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::args::Args;
use super::{Status, UsageError};

/// Name of the program.
const PROGRAM: &str = "meetscope";

/// Writes a completion script.
pub(super) fn completions(shell: Shell) -> anyhow::Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), PROGRAM, &mut script);
    print(&script)
}

/// Writes the manual page of the program, or of one subcommand: `geo lookup`, or `meetscope-geo-lookup` as other pages call it.
pub(super) fn man(subcommand: &[String]) -> anyhow::Result<Status> {
    let mut command = without_help(Args::command());
    command.build();
    let words = subcommand.iter().flat_map(|typed| typed.split([' ', '-'])).filter(|word| !word.is_empty());
    for word in words.skip_while(|word| *word == PROGRAM) {
        let found = command.find_subcommand(word).cloned();
        let unknown = || UsageError(format!("man: there is no subcommand {}", subcommand.join(" ")));
        command = found.ok_or_else(unknown)?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(&page)
}

/// Without the `help` that stands beside subcommands, which has no page.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

fn print(text: &[u8]) -> anyhow::Result<Status> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(Status::Done)
}
