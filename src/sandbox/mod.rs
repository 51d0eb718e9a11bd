//! A run on interfaces gives up its rights. In: what it still needs. Out: what was given up, in words.
//!
//! The right to open an interface is needed once. After everything is open and before the first thread begins, the process
//! becomes another user where it is told to ([`become_user`]), and then ([`enter`]) drops all capabilities, swears off new
//! privileges, and lets the kernel hold it to the files (Landlock) and the calls (seccomp) that a run goes on needing. Each step says
//! what this kernel did of it. On systems other than Linux there is none of this, which is said too.
//!
//! [`Notifier`] tells systemd how the run fares, over the socket that `$NOTIFY_SOCKET` names.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod files;
mod notify;
#[cfg(target_os = "linux")]
mod rights;

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

pub use notify::Notifier;

/// What a run goes on needing after the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "filled in by the command line")]
pub struct Needs {
    /// Files and directories that are read again. Of a file its directory is opened, since editors replace files.
    pub read: Vec<PathBuf>,
    /// Directories in which files are made, written, renamed and removed.
    pub write: Vec<PathBuf>,
    /// Sockets of the local machine are opened: a destination that is connected to again.
    pub unix_sockets: bool,
    /// Sockets of the network are opened.
    pub inet_sockets: bool,
    /// TCP ports that are connected to.
    pub tcp_ports: Vec<u16>,
    /// Names are looked up, with the files and libraries that this takes.
    pub names: bool,
    /// The terminal is drawn on.
    pub terminal: bool,
}

/// One step, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "read by whoever tells of it")]
pub struct Step {
    /// What was to be done, in a few words.
    pub what: &'static str,
    /// Why it was not, or not wholly, done; none where it was.
    pub lacking: Option<String>,
}

/// All steps in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "read by whoever tells of it")]
pub struct Report {
    /// The steps.
    pub steps: Vec<Step>,
}

impl fmt::Display for Report {
    /// `no capabilities, no new privileges, files by Landlock, calls by seccomp; not done: ...`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done: Vec<&str> =
            self.steps.iter().filter(|step| step.lacking.is_none()).map(|step| step.what).collect();
        f.write_str(if done.is_empty() { "nothing" } else { "" })?;
        f.write_str(&done.join(", "))?;
        for step in &self.steps {
            if let Some(lacking) = &step.lacking {
                write!(f, "; not {}: {lacking}", step.what)?;
            }
        }
        Ok(())
    }
}

/// Why rights could not be given up that were to be given up without fail.
#[derive(Error, Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SandboxError {
    /// No such user.
    #[error("there is no user {0:?}")]
    NoSuchUser(String),
    /// Only root can become another user.
    #[error("only root can become another user; start as {0:?} itself, with the capability CAP_NET_RAW")]
    NotRoot(String),
    /// The system refused.
    #[error("{what}: {error}")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: String,
    },
    /// Threads run already, which would keep their rights.
    #[error("{0} threads run already, and would keep their rights")]
    Threads(usize),
    /// There is nothing to do it with on this system.
    #[error("this system has no way to do it")]
    Unsupported,
}

/// Becomes another user for good: groups, group, user. Has to be called as root and before any thread begins.
///
/// `user` is a name, a number, or both parts as numbers, `UID:GID`.
///
/// # Errors
/// When there is no such user, when this is not root, or when the system refuses. The run must then not go on.
#[cfg(target_os = "linux")]
pub fn become_user(user: &str) -> Result<(), SandboxError> {
    rights::become_user(user)
}

/// Becomes another user for good.
///
/// # Errors
/// Always, on this system.
#[cfg(not(target_os = "linux"))]
pub fn become_user(_user: &str) -> Result<(), SandboxError> {
    Err(SandboxError::Unsupported)
}

/// Gives up everything beyond `needs`. Has to be called before any thread begins: later ones inherit it.
///
/// # Errors
/// When capabilities could not be dropped, or when threads run already. What this kernel merely lacks is no error and stands in the
/// report.
#[cfg(target_os = "linux")]
pub fn enter(needs: &Needs) -> Result<Report, SandboxError> {
    let threads = rights::threads();
    if threads > 1 {
        return Err(SandboxError::Threads(threads));
    }
    rights::drop_all()?;
    let done = |what| Step { what, lacking: None };
    let mut steps = vec![done("without capabilities"), done("without new privileges")];
    if rights::is_root() {
        let lacking = Some("still root; --user names another".to_owned());
        steps.push(Step { what: "another user", lacking });
    }
    steps.extend(files::restrict(needs));
    steps.push(calls::restrict(needs));
    Ok(Report { steps })
}

/// Gives up everything beyond `needs`: on this system nothing.
///
/// # Errors
/// Never, on this system.
#[cfg(not(target_os = "linux"))]
pub fn enter(_needs: &Needs) -> Result<Report, SandboxError> {
    let lacking = Some("this system is not Linux".to_owned());
    Ok(Report { steps: vec![Step { what: "confined", lacking }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_was_not_done() {
        let step = |what, lacking: Option<&str>| Step { what, lacking: lacking.map(str::to_owned) };
        let report = Report { steps: vec![step("a", None), step("b", Some("old kernel")), step("c", None)] };
        assert_eq!(report.to_string(), "a, c; not b: old kernel");
        assert_eq!(Report { steps: vec![step("b", Some("x"))] }.to_string(), "nothing; not b: x");
    }
}
