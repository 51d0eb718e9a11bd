//! Several sockets on each of several interfaces, one of each for every worker.
//!
//! On Linux the sockets of an interface form a group (`PACKET_FANOUT`): the kernel gives each packet to one of them, by
//! `deal.rs`. Elsewhere, and where the kernel refuses, there is one worker, and a sentence that says why.

use std::time::Duration;

use super::socket::{Live, Options, wait};
use crate::capture::error::CaptureError;

/// Most workers: as many as the flow table has partitions.
const MAX_WORKERS: u32 = 16;
/// The smallest part of the buffer that a socket has, in MiB.
const LEAST_MIB: u32 = 1;
/// Packets read at once of those that came before the group was complete.
const BATCH: usize = 1 << 16;

/// Open sockets.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The sockets of each worker, one for each interface in the order in which they were given.
    pub workers: Vec<Vec<Live>>,
    /// Why there are fewer workers than were asked for.
    pub note: Option<String>,
}

/// Opens the interfaces for so many workers.
///
/// # Errors
/// When one of the interfaces cannot be opened, as [`Live::open`] has it.
pub fn open(interfaces: &[String], workers: u32, options: &Options) -> Result<Opened, CaptureError> {
    let workers = workers.clamp(1, MAX_WORKERS);
    if workers > 1 {
        match open_shared(interfaces, workers, options) {
            Ok(workers) => return Ok(Opened { workers, note: None }),
            Err(Refused::Interface(error)) => return Err(error),
            Err(Refused::Group(why)) => {
                let workers = vec![open_alone(interfaces, options)?];
                let note = format!("one worker captures: {why}");
                return Ok(Opened { workers, note: Some(note) });
            }
        }
    }
    Ok(Opened { workers: vec![open_alone(interfaces, options)?], note: None })
}

enum Refused {
    Interface(CaptureError),
    Group(String),
}

fn open_alone(interfaces: &[String], options: &Options) -> Result<Vec<Live>, CaptureError> {
    interfaces.iter().map(|interface| Live::open(interface, options)).collect()
}

/// The sockets of each interface in groups. Between its opening and its joining, a socket has taken packets that others took too:
/// they are read and forgotten before anything is counted.
fn open_shared(interfaces: &[String], workers: u32, options: &Options) -> Result<Vec<Vec<Live>>, Refused> {
    let part = options.buffer_mib.checked_div(workers).unwrap_or(1).max(LEAST_MIB);
    let shared = Options { buffer_mib: part, ..options.clone() };
    let mut opened: Vec<Vec<Live>> = (0..workers).map(|_| Vec::new()).collect();
    for interface in interfaces {
        let mut sockets = Vec::new();
        for _ in 0..workers {
            sockets.push(Live::activate(interface, &shared).map_err(Refused::Interface)?);
        }
        group::make(&sockets).map_err(Refused::Group)?;
        for (worker, live) in opened.iter_mut().zip(sockets) {
            worker.push(live);
        }
    }
    // The kernel hands the last of them out when their block is this old.
    let retired = Duration::from_millis(u64::from(options.timeout_ms).saturating_mul(2));
    wait(std::iter::empty(), retired);
    for live in opened.iter_mut().flatten() {
        while live.dispatch(BATCH, |_| {}).map_err(Refused::Interface)? > 0 {}
        live.begin_counting();
        // A filter takes the place of the one that lets nothing in: what it leaves out is never counted as received.
        if options.filter.is_some() {
            live.filter(options).map_err(Refused::Interface)?;
        } else {
            group::begin(live).map_err(Refused::Group)?;
        }
    }
    Ok(opened)
}

#[cfg(target_os = "linux")]
mod group {
    use super::Live;
    use crate::capture::live::{deal, sockopt};

    /// `linux/if_packet.h`: the kernel picks a number that no group has, for the first of the group.
    const UNIQUE: i32 = 0x2000;
    const BY_PROGRAM: i32 = 6;

    /// Puts sockets of one interface into one group. They take nothing until [`begin`].
    pub(super) fn make(sockets: &[Live]) -> Result<(), String> {
        let refused =
            |error: std::io::Error| format!("the kernel shares no interface out (PACKET_FANOUT: {error})");
        for live in sockets {
            sockopt::pass(live.descriptor(), 0).map_err(refused)?;
        }
        let Some((first, others)) = sockets.split_first() else { return Ok(()) };
        sockopt::join(first.descriptor(), (BY_PROGRAM | UNIQUE) << 16).map_err(refused)?;
        let id = sockopt::group(first.descriptor()).map_err(refused)? & 0xffff;
        for live in others {
            sockopt::join(live.descriptor(), BY_PROGRAM << 16 | id).map_err(refused)?;
        }
        sockopt::deal_by(first.descriptor(), &mut deal::program()).map_err(refused)
    }

    /// Lets packets in.
    pub(super) fn begin(live: &Live) -> Result<(), String> {
        sockopt::pass(live.descriptor(), u32::MAX)
            .map_err(|error| format!("the kernel takes no filter ({error})"))
    }
}

#[cfg(not(target_os = "linux"))]
mod group {
    use super::Live;

    pub(super) fn make(_: &[Live]) -> Result<(), String> {
        Err("only Linux shares an interface out".to_owned())
    }

    pub(super) fn begin(_: &Live) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_interface_is_an_error_for_any_number_of_workers() {
        for workers in [0, 1, 2, 99] {
            let error = open(&["nosuchif0".to_owned()], workers, &Options::default()).unwrap_err();
            assert_eq!(error.name, "nosuchif0");
        }
    }
}
