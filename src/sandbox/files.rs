//! Files and TCP ports by Landlock: what is read again, where is written, and nothing else.
//!
//! Rights that this kernel's Landlock does not know are left out, and told.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
    Scope, make_bitflags,
};

use super::{Needs, Step};

/// Rights as of Linux 6.12; a right that a later kernel adds would have to be looked at first.
const KNOWN: ABI = ABI::V6;
/// The process's own counters: memory.
const OWN: &str = "/proc/self";
/// What looking up a name reads.
const NAMES: [&str; 5] = ["/etc", "/run/systemd/resolve", "/lib", "/usr/lib", "/run/nscd"];
/// What drawing on the terminal opens.
const TERMINAL: [&str; 3] = ["/dev/tty", "/usr/share/terminfo", "/lib/terminfo"];
/// The sink of all things.
const NULL: &str = "/dev/null";

const FILES: &str = "files by Landlock";
const PORTS: &str = "TCP ports by Landlock";
const PATHS: &str = "access to some paths";

/// Restricts this thread and those that it begins.
pub(super) fn restrict(needs: &Needs) -> Vec<Step> {
    let lacking = |what, lacking: String| Step { what, lacking: Some(lacking) };
    match apply(needs) {
        Ok((RulesetStatus::FullyEnforced, missing)) => {
            let mut steps = vec![Step { what: FILES, lacking: None }, Step { what: PORTS, lacking: None }];
            if !missing.is_empty() {
                steps.push(lacking(PATHS, format!("not there: {}", missing.join(", "))));
            }
            steps
        }
        Ok((RulesetStatus::PartiallyEnforced, _)) => {
            let old = "this kernel's Landlock is older than Linux 6.12 and enforces a part".to_owned();
            vec![Step { what: FILES, lacking: None }, lacking(PORTS, old)]
        }
        Ok((RulesetStatus::NotEnforced, _)) => vec![lacking(FILES, "this kernel has no Landlock".to_owned())],
        Err(error) => vec![lacking(FILES, error.to_string())],
    }
}

fn apply(needs: &Needs) -> Result<(RulesetStatus, Vec<String>), RulesetError> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    // Of one kind a run makes only files and directories.
    let write = read
        | make_bitflags!(AccessFs::{WriteFile | RemoveFile | RemoveDir | MakeReg | MakeDir | Refer | Truncate});
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::Signal)?
        .create()?;
    let mut missing = Vec::new();
    let mut allow = |rules, path: &Path, access| allow(rules, path, access, &mut missing);
    rules = allow(rules, Path::new(OWN), read)?;
    for path in needs.read.iter().map(|path| directory(path)) {
        rules = allow(rules, &path, read)?;
    }
    for path in &needs.write {
        rules = allow(rules, path, write)?;
    }
    rules = optional(rules, NULL, make_bitflags!(AccessFs::{ReadFile | WriteFile}))?;
    if needs.names {
        for path in NAMES {
            rules = optional(rules, path, read)?;
        }
    }
    if needs.terminal {
        for path in TERMINAL {
            rules = optional(rules, path, read | make_bitflags!(AccessFs::{WriteFile | IoctlDev}))?;
        }
    }
    for port in &needs.tcp_ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok((rules.restrict_self()?.ruleset, missing))
}

/// An editor writes a new file and puts it in the place of the old one: the right has to be the directory's.
fn directory(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_owned();
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
    missing: &mut Vec<String>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(open) = PathFd::new(path) else {
        missing.push(path.display().to_string());
        return Ok(rules);
    };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
    rules.add_rule(PathBeneath::new(open, access))
}

/// What a machine need not have.
fn optional(
    rules: RulesetCreated,
    path: &str,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    allow(rules, Path::new(path), access, &mut Vec::new())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::net::TcpListener;

    use super::*;

    /// What the kernel lets a restricted thread do.
    #[test]
    fn only_what_is_needed_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        for name in ["read", "write", "else"] {
            fs::create_dir(inside(name)).unwrap();
            fs::write(inside(name).join("file"), name).unwrap();
        }
        let needs =
            Needs { read: vec![inside("read/file")], write: vec![inside("write")], ..Needs::default() };
        let paths = ["read", "write", "else"].map(|name| inside(name).join("file"));
        let target = inside("write/renamed");
        let (steps, outcome) = std::thread::spawn(move || {
            let steps = restrict(&needs);
            let [read, write, other] = paths;
            fs::read_to_string("/proc/self/statm").unwrap();
            let kind = |result: Result<(), std::io::Error>| result.err().map(|error| error.kind());
            let outcome = [
                kind(fs::read(&read).map(drop)),
                kind(fs::write(&read, "x")),
                kind(fs::write(&write, "x")),
                kind(fs::rename(&write, &target)),
                kind(fs::remove_file(&target)),
                kind(fs::read(&other).map(drop)),
                kind(fs::write(&other, "x")),
                kind(fs::read("/etc/passwd").map(drop)),
                kind(TcpListener::bind("127.0.0.1:0").map(drop)),
            ];
            (steps, outcome)
        })
        .join()
        .unwrap();
        if steps[0].lacking.is_some() {
            return; // no Landlock in this kernel; script/privilege-test says so
        }
        let refused = Some(ErrorKind::PermissionDenied);
        assert_eq!(outcome[..8], [None, refused, None, None, None, refused, refused, refused]);
        if steps.iter().all(|step| step.lacking.is_none()) {
            assert_eq!(outcome[8], refused);
        }
    }
}
