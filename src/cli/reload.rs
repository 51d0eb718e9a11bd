//! SIGHUP: policies and location databases are read anew while a run goes on, on a thread of their own. What cannot be read leaves
//! in force what was before, and is told.
//!
//! Provider files are inside the program, so that there is nothing of them to read.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use meetscope::geo::{Databases, Jurisdictions};
use meetscope::policy::Policy;
use meetscope::report::Context;
use meetscope::report::record::PolicyRecord;

use super::args::GeoFiles;
use super::config::{self, is_stdin};
use super::messages::say;
use super::policy::Policies;
use super::store;

/// What can be read anew.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) policy: Vec<PathBuf>,
    pub(super) geoip: GeoFiles,
}

/// What was read.
pub(super) struct Fresh {
    databases: Option<Arc<Databases>>,
    policy: Option<(Arc<Policy>, Arc<Jurisdictions>, Vec<PolicyRecord>)>,
}

/// A reading that may be under way.
#[derive(Default)]
pub(super) struct Reload(Option<Receiver<Fresh>>);

impl Reload {
    /// Begins to read. One that is under way is let go: what it would have read is older.
    pub(super) fn begin(&mut self, source: Source) {
        let (sender, fresh) = channel();
        let begun = thread::Builder::new().name("reload".to_owned()).spawn(move || {
            // Nobody waits for it where the run has ended.
            let _ = sender.send(read(&source));
        });
        if let Err(error) = begun {
            say(format_args!("SIGHUP: no thread to read with: {error}"));
        }
        self.0 = Some(fresh);
    }

    /// What was read, once it is; nothing where the reading has failed, so that who waits for its end hears of one.
    pub(super) fn done(&mut self) -> Option<Fresh> {
        let fresh = match self.0.as_ref()?.try_recv() {
            Ok(fresh) => fresh,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => {
                say(format_args!("SIGHUP: nothing was read anew; what was read before stays in force"));
                Fresh { databases: None, policy: None }
            }
        };
        self.0 = None;
        Some(fresh)
    }
}

fn read(source: &Source) -> Fresh {
    let databases = match store::databases(&source.geoip) {
        Ok(read) => {
            let names: Vec<String> =
                read.info().iter().map(|info| format!("{} of {}", info.name, info.build_date)).collect();
            say(format_args!("SIGHUP: location databases read anew: {}", names.join(", ")));
            Some(Arc::new(read))
        }
        Err(error) => {
            say(format_args!("SIGHUP: {error:#}; the databases read before are asked on"));
            None
        }
    };
    Fresh { databases, policy: policy(&source.policy) }
}

fn policy(files: &[PathBuf]) -> Option<(Arc<Policy>, Arc<Jurisdictions>, Vec<PolicyRecord>)> {
    if files.is_empty() {
        return None;
    }
    if files.iter().any(|file| is_stdin(file)) {
        say(format_args!("SIGHUP: a policy from standard input is not read anew and stays in force"));
        return None;
    }
    match config::build_rules().and_then(|rules| Policies::read(files, &rules)) {
        Ok(read) => {
            let (policy, groups, records) = read.into_parts();
            let rules: u64 = records.iter().map(|record| record.rules).fold(0, u64::saturating_add);
            let files: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
            say(format_args!("SIGHUP: policy read anew, {rules} rules: {}", files.join(", ")));
            Some((Arc::new(policy), Arc::new(groups), records))
        }
        Err(error) => {
            say(format_args!("SIGHUP: {error:#}\nthe policy read before stays in force"));
            None
        }
    }
}

impl Fresh {
    /// Takes effect on all that is judged from now on. The records of the policy's files, where it was read anew.
    pub(super) fn apply(&self, context: &mut Context<'_>) -> Option<Vec<PolicyRecord>> {
        if let Some(databases) = &self.databases {
            context.ask(Arc::clone(databases));
        }
        let (policy, groups, records) = self.policy.as_ref()?;
        context.judge_anew(Arc::clone(policy), Arc::<Jurisdictions>::clone(groups));
        Some(records.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_that_fails_ends_nevertheless() {
        let (sender, fresh) = channel();
        let mut reload = Reload(Some(fresh));
        assert!(reload.done().is_none(), "it is under way");
        drop(sender);
        assert!(reload.done().is_some_and(|fresh| fresh.databases.is_none() && fresh.policy.is_none()));
        assert!(reload.done().is_none(), "and is told once");
    }
}
