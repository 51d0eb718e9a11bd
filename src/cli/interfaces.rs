//! `meetscope interfaces`: what can be watched, what distorts it, and what is missing where nothing can be watched.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{env, fs};

use meetscope::capture::Fault;
use meetscope::capture::live::{self, InterfaceInfo, Live, Options};

use super::Status;
use super::messages::say;

/// Where a packaged unit lies.
const UNITS: [&str; 3] = ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];
/// Its name.
const UNIT: &str = "meetscope@.service";

/// One line of the table.
struct Row {
    name: String,
    state: &'static str,
    link: String,
    speed: String,
    rest: String,
    distortions: Vec<String>,
}

/// Lists the interfaces, most useful first.
pub(super) fn run() -> anyhow::Result<Status> {
    let interfaces = live::interfaces()?;
    let mut refused = None;
    let rows: Vec<Row> = interfaces.iter().map(|interface| row(interface, &mut refused)).collect();
    let mut out = io::stdout().lock();
    write_table(&mut out, &rows)?;
    out.flush()?;
    if interfaces.is_empty() {
        say(format_args!("no network interface is there to be watched"));
    }
    if let Some(message) = refused {
        say(format_args!("this user may not watch: {message}"));
        for way in ways(&This::look(), &interfaces) {
            say(format_args!("  {way}"));
        }
    }
    Ok(Status::Done)
}

/// Opens the interface, listens to nothing, and closes it: that tells its link type, and whether this user may.
fn row(interface: &InterfaceInfo, refused: &mut Option<String>) -> Row {
    let options = Options { promiscuous: false, buffer_mib: 1, ..Options::default() };
    let mut link = None;
    if interface.up && refused.is_none() {
        match Live::open(&interface.name, &options) {
            Ok(live) => link = Some(live.link_type().to_string()),
            Err(error) => {
                if let Fault::NoPermission { message } = error.fault {
                    *refused = Some(message);
                }
            }
        }
    }
    let kinds = [(interface.loopback, "loopback"), (interface.wireless, "wireless")];
    let mut rest: Vec<String> =
        kinds.into_iter().filter(|(is, _)| *is).map(|(_, name)| name.to_owned()).collect();
    rest.extend(interface.addresses.iter().map(ToString::to_string));
    rest.extend(interface.description.clone());
    Row {
        name: interface.name.clone(),
        state: if interface.up { "up" } else { "down" },
        link: link.or_else(|| hardware(&interface.name)).unwrap_or_else(|| "-".to_owned()),
        speed: speed(&interface.name).unwrap_or_else(|| "-".to_owned()),
        rest: rest.join(", "),
        distortions: live::distortions(&interface.name),
    }
}

/// A file of what Linux tells of an interface. Names with a slash would lead elsewhere.
fn told(interface: &str, file: &str) -> Option<String> {
    if interface.contains('/') {
        return None;
    }
    let path = Path::new("/sys/class/net").join(interface).join(file);
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Link type that follows from the kind of hardware, where the interface may not be opened: numbers of Linux's `if_arp.h`.
fn hardware(interface: &str) -> Option<String> {
    let name = match told(interface, "type")?.as_str() {
        "1" | "772" => "ETHERNET",
        "65534" => "RAW",
        "801" => "IEEE802_11",
        "803" => "IEEE802_11_RADIO",
        _ => return None,
    };
    Some(name.to_owned())
}

/// `1 Gbit/s`; none where the driver does not say.
fn speed(interface: &str) -> Option<String> {
    let megabits: u64 = told(interface, "speed")?.parse().ok().filter(|megabits| *megabits > 0)?;
    Some(match (megabits.checked_div(1000), megabits.checked_rem(1000)) {
        (Some(gigabits), Some(0)) => format!("{gigabits} Gbit/s"),
        _ => format!("{megabits} Mbit/s"),
    })
}

fn write_table(out: &mut dyn Write, rows: &[Row]) -> io::Result<()> {
    let head = ["NAME", "STATE", "LINK", "SPEED"];
    let cells = |row: &Row| [row.name.clone(), row.state.to_owned(), row.link.clone(), row.speed.clone()];
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(cells(row)) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: [String; 4], rest: &str| {
        let columns = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
        let text = columns.collect::<String>() + rest;
        writeln!(out, "{}", text.trim_end())
    };
    line(head.map(str::to_owned), "ADDRESSES")?;
    for row in rows {
        line(cells(row), &row.rest)?;
    }
    for row in rows {
        for distortion in &row.distortions {
            writeln!(out, "\n{}: {distortion}", row.name)?;
        }
    }
    Ok(())
}

/// What this process is and may become.
struct This {
    /// The program's file, all links followed.
    program: PathBuf,
    /// Its user, as the environment names it.
    user: Option<String>,
    /// New privileges are sworn off, so that capabilities of files are not in force.
    no_new_privileges: bool,
    /// The file system of the program lets no file grant anything.
    nosuid: bool,
    has_unit: bool,
}

impl This {
    fn look() -> Self {
        let program = env::current_exe().and_then(fs::canonicalize).unwrap_or_else(|_| "meetscope".into());
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        Self {
            user: env::var("USER").ok().filter(|user| !user.is_empty() && user != "root"),
            no_new_privileges: status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"])),
            nosuid: is_nosuid(&mounts, &program),
            has_unit: UNITS.iter().any(|folder| Path::new(folder).join(UNIT).exists()),
            program,
        }
    }
}

/// Whether the mount that holds `path` has the option `nosuid`: the longest mount point above it counts, the last one of equals.
fn is_nosuid(mounts: &str, path: &Path) -> bool {
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((Path::new(fields.nth(1)?), fields.nth(1)?))
    });
    let above = fields.filter(|(point, _)| path.starts_with(point));
    above
        .max_by_key(|(point, _)| point.components().count())
        .is_some_and(|(_, options)| options.split(',').any(|option| option == "nosuid"))
}

/// The commands that grant what is missing, the least right first.
fn ways(this: &This, interfaces: &[InterfaceInfo]) -> Vec<String> {
    let mut ways = Vec::new();
    let program = quoted(&this.program.display().to_string());
    let first = interfaces.iter().find(|interface| interface.up && !interface.loopback);
    let interface = quoted(first.map_or("IFACE", |interface| &interface.name));
    if cfg!(target_os = "linux") {
        if this.nosuid {
            ways.push(format!(
                "a capability of {program} would not be in force, since its file system is mounted with nosuid; install it elsewhere, then:"
            ));
        }
        if this.no_new_privileges {
            ways.push(
                "a capability of a file is not in force in this shell, which has sworn off new privileges; leave it, then:".to_owned(),
            );
        }
        ways.push(format!("let everybody who may run it watch: sudo setcap cap_net_raw=ep {program}"));
        ways.push(format!(
            "let only a group watch: sudo chgrp GROUP {program} && sudo chmod 750 {program} && sudo setcap cap_net_raw=ep {program}"
        ));
        if this.has_unit {
            ways.push(format!(
                "as a service of its own user: sudo systemctl enable --now meetscope@{interface}"
            ));
        }
        let user = this.user.as_deref().map_or_else(String::new, |user| format!(" --user {}", quoted(user)));
        ways.push(format!(
            "once, with its rights given up after the start: sudo {program} watch -i {interface}{user}"
        ));
    } else if cfg!(target_os = "macos") {
        ways.push(format!("once: sudo {program} watch -i {interface}"));
        ways.push(
            "for good: let this user read and write /dev/bpf*, as ChmodBPF of Wireshark does".to_owned(),
        );
    } else {
        ways.push(format!("once: sudo {program} watch -i {interface}, or let this user read /dev/bpf*"));
    }
    ways
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%,=".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this() -> This {
        This {
            program: "/opt/my tools/meetscope".into(),
            user: Some("ana".to_owned()),
            no_new_privileges: false,
            nosuid: false,
            has_unit: false,
        }
    }

    #[test]
    fn the_commands_name_the_program_as_it_is_and_survive_a_shell() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let plain = ways(&this(), &[]).join("\n");
        assert!(plain.contains("sudo setcap cap_net_raw=ep '/opt/my tools/meetscope'"), "{plain}");
        assert!(plain.contains("watch -i IFACE --user ana"), "{plain}");
        assert!(!plain.contains("systemctl"), "{plain}");
        let unit = ways(&This { has_unit: true, ..this() }, &[]).join("\n");
        assert!(unit.contains("sudo systemctl enable --now meetscope@IFACE"), "{unit}");
        assert_eq!(quoted("a'b"), "'a'\\''b'");
    }

    #[test]
    fn what_keeps_a_capability_from_working_is_said() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let nosuid = ways(&This { nosuid: true, ..this() }, &[]).join("\n");
        assert!(nosuid.contains("mounted with nosuid"), "{nosuid}");
        let sworn = ways(&This { no_new_privileges: true, ..this() }, &[]).join("\n");
        assert!(sworn.contains("sworn off new privileges"), "{sworn}");
    }

    #[test]
    fn the_mount_nearest_the_program_counts() {
        let mounts = "/dev/a / ext4 rw,relatime 0 0\ntmpfs /home tmpfs rw,nosuid,nodev 0 0\n/dev/b /home/ana ext4 rw 0 0\n";
        assert!(is_nosuid(mounts, Path::new("/home/bo/meetscope")));
        assert!(!is_nosuid(mounts, Path::new("/home/ana/meetscope")));
        assert!(!is_nosuid(mounts, Path::new("/homestead/meetscope")));
        assert!(!is_nosuid("", Path::new("/meetscope")));
    }

    #[test]
    fn columns_stand_under_their_heads() {
        let row = |name: &str, speed: &str| Row {
            name: name.to_owned(),
            state: "up",
            link: "Ethernet".to_owned(),
            speed: speed.to_owned(),
            rest: "192.0.2.1".to_owned(),
            distortions: vec!["GRO is on".to_owned()],
        };
        let mut out = Vec::new();
        write_table(&mut out, &[row("eth0", "10 Gbit/s"), row("a-long-name", "-")]).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let places: Vec<Option<usize>> = lines[1..3].iter().map(|line| line.find("192.0.2.1")).collect();
        assert_eq!(places, [lines[0].find("ADDRESSES"); 2]);
        assert!(text.ends_with("\na-long-name: GRO is on\n"), "{text}");
    }
}
