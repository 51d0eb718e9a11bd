//! Users, capabilities, new privileges: capabilities(7), `PR_SET_NO_NEW_PRIVS`.

use std::fs;

use nix::unistd::{Gid, Uid, User, getgrouplist, setgid, setgroups, setuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::SandboxError;

fn refused(what: &'static str) -> impl Fn(nix::Error) -> SandboxError {
    move |error| SandboxError::Refused { what, error: error.to_string() }
}

/// Threads of this process; 1 where that cannot be read.
pub(super) fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

pub(super) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// A user with all groups.
fn look_up(user: &str) -> Result<(Uid, Gid, Vec<Gid>), SandboxError> {
    let unknown = || SandboxError::NoSuchUser(user.to_owned());
    if let Some((uid, gid)) = user.split_once(':') {
        let number = |text: &str| text.parse::<u32>().map_err(|_| unknown());
        let (uid, gid) = (Uid::from_raw(number(uid)?), Gid::from_raw(number(gid)?));
        return Ok((uid, gid, vec![gid]));
    }
    let named = User::from_name(user).map_err(refused("user database"))?;
    let numbered = || user.parse().ok().and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten());
    let known = named.or_else(numbered).ok_or_else(unknown)?;
    let name = std::ffi::CString::new(known.name.clone()).map_err(|_| unknown())?;
    let groups = getgrouplist(&name, known.gid).map_err(refused("groups"))?;
    Ok((known.uid, known.gid, groups))
}

pub(super) fn become_user(user: &str) -> Result<(), SandboxError> {
    let (uid, gid, groups) = look_up(user)?;
    if Uid::effective() == uid && Uid::current() == uid {
        return Ok(());
    }
    if !is_root() {
        return Err(SandboxError::NotRoot(user.to_owned()));
    }
    drop_bounding();
    setgroups(&groups).map_err(refused("setgroups"))?;
    setgid(gid).map_err(refused("setgid"))?;
    setuid(uid).map_err(refused("setuid"))?;
    // For good: root must be out of reach.
    if !uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(SandboxError::Refused { what: "setuid", error: "root can be had back".to_owned() });
    }
    Ok(())
}

/// Takes away what a program that is executed could get, where that may be done. No new privileges do the same.
fn drop_bounding() {
    for capability in CapabilitySet::all().iter() {
        if capability_is_in_bounding_set(capability).unwrap_or(false) {
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
}

/// Empties all sets and swears off new privileges.
pub(super) fn drop_all() -> Result<(), SandboxError> {
    let refused =
        |what| move |error: rustix::io::Errno| SandboxError::Refused { what, error: error.to_string() };
    drop_bounding();
    set_no_new_privs(true).map_err(refused("no new privileges"))?;
    // A kernel before 4.3 has no ambient set.
    let _ = clear_ambient_capability_set();
    let empty = CapabilitySet::empty();
    let none = CapabilitySets { effective: empty, permitted: empty, inheritable: empty };
    set_capabilities(None, none).map_err(refused("capabilities"))?;
    let left = capabilities(None).map_err(refused("capabilities"))?;
    if left == none {
        Ok(())
    } else {
        Err(SandboxError::Refused { what: "capabilities", error: "some are left".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_by_number() {
        // Every Unix has root.
        assert_eq!(look_up("root").map(|(uid, gid, _)| (uid.as_raw(), gid.as_raw())), Ok((0, 0)));
        assert_eq!(look_up("0").map(|(uid, ..)| uid.as_raw()), Ok(0));
        let (uid, gid, groups) = look_up("1234:5678").unwrap();
        assert_eq!((uid.as_raw(), gid.as_raw(), groups), (1234, 5678, vec![gid]));
        for wrong in ["no such user", "", "1:x", "x:1"] {
            assert_eq!(look_up(wrong), Err(SandboxError::NoSuchUser(wrong.to_owned())), "{wrong}");
        }
    }

    /// What the kernel says of a thread that has dropped everything.
    #[test]
    fn a_thread_that_dropped_everything_has_nothing_left() {
        let status = std::thread::spawn(|| {
            drop_all().unwrap();
            fs::read_to_string("/proc/thread-self/status").unwrap()
        });
        let status = status.join().unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(set), Some("0000000000000000"), "{set}");
        }
        assert_eq!(field("NoNewPrivs:"), Some("1"));
    }
}
