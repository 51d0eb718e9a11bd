//! `replay --export-pcap`: the packets of one session into a file of their own.
//!
//! The inputs are read twice more: once to choose, because a fragment belongs to what its datagram turns out to be, and once
//! to copy.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use meetscope::capture::{self, FileInfo, Merge, Packet};
use meetscope::keys::Keys;
use meetscope::pipeline::{self, Analysis, Chosen, Selection};
use meetscope::report::Context;
use meetscope::report::export::{
    About, Comments, Export, ExportInterface, ExportPacket, comments, find_session, session_ids,
};
use meetscope::report::record::{FileRecord, SessionRecord};
use meetscope::session::Session;

use super::config::is_stdin;
use super::messages::say;
use super::{UsageError, input, output};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 16;
/// Names of sessions shown to somebody who has named none of them.
const SHOWN: usize = 12;

/// Packets of one session into a file of their own.
pub(super) struct Wanted {
    /// The session's name.
    pub(super) session: String,
    pub(super) file: PathBuf,
}

impl Wanted {
    /// Fails before a packet is read where the file could not be written afterwards.
    pub(super) fn new(typed: &str, inputs: &[PathBuf], out: Option<&Path>) -> Result<Self, UsageError> {
        let (session, file) = match typed.split_once('=') {
            Some((session, file)) => (session, PathBuf::from(file)),
            None => (typed, PathBuf::from(format!("{typed}.pcapng"))),
        };
        let digits = session.strip_prefix('s').map(|rest| rest.strip_suffix('p').unwrap_or(rest));
        if !digits
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))
        {
            return Err(UsageError(format!(
                "--export-pcap: expected the name of a session as reports give it, such as s12, found {session:?}"
            )));
        }
        if file.as_os_str().is_empty() {
            let message =
                format!("--export-pcap: expected the name of a file behind `=`, found none in {typed:?}");
            return Err(UsageError(message));
        }
        if inputs.iter().any(|input| is_stdin(input)) {
            return Err(UsageError(
                "--export-pcap reads the captures once more, which standard input does not allow".to_owned(),
            ));
        }
        if output::named(out).is_some_and(|out| output::is_same(out, &file)) {
            let message =
                format!("{}: expected two files for -o and --export-pcap, found one", file.display());
            return Err(UsageError(message));
        }
        if file.exists() {
            return Err(UsageError(format!(
                "{}: exists already; --export-pcap writes new files only (SESSION=FILE names another)",
                file.display()
            )));
        }
        Ok(Self { session: session.to_owned(), file })
    }
}

/// How the inputs were read the first time.
pub(super) struct Inputs<'a> {
    pub(super) files: &'a [PathBuf],
    pub(super) order: capture::Order,
    pub(super) pipeline: &'a pipeline::Config,
}

/// The session that was asked for.
///
/// # Errors
/// When there is none of this name; the message names those that there are.
pub(super) fn find<'a>(analysis: &'a Analysis, wanted: &Wanted) -> anyhow::Result<&'a (Session, Keys)> {
    if let Some(found) = find_session(analysis, &wanted.session) {
        return Ok(found);
    }
    let names: Vec<String> = session_ids(analysis).take(SHOWN).collect();
    let more = if analysis.sessions.len() > SHOWN { " and others" } else { "" };
    let there_are = if names.is_empty() {
        "no session was seen".to_owned()
    } else {
        format!("the sessions are {}{more}", names.join(", "))
    };
    let message = format!("--export-pcap: no session is called {}; {there_are}", wanted.session);
    Err(UsageError(message).into())
}

/// Writes the file and tells of it. False when an input could not be read as before.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(
    wanted: &Wanted,
    inputs: &Inputs<'_>,
    context: &mut Context<'_>,
    analysis: &Analysis,
    (session, keys): &(Session, Keys),
    (files, command): (&[FileRecord], &[String]),
) -> anyhow::Result<bool> {
    let (record, comments) = comments(context, analysis, session, keys);
    let (mut chosen, secrets) = choose(inputs, analysis, session)?;
    // A verdict may rest on a packet of another flow: a DNS answer that names a server.
    for (file, frame) in comments.packets() {
        chosen.insert(usize::try_from(file).unwrap_or(usize::MAX), frame);
    }
    let about = About { session: &wanted.session, command, files, secrets, names: &names(&record) };
    let name = || wanted.file.display().to_string();
    let file = OpenOptions::new().write(true).create_new(true).open(&wanted.file).with_context(name)?;
    output::lock(&file, &wanted.file)?;
    let written = fill(file, &about, inputs, &chosen, &comments);
    if written.is_err() {
        // What is not whole is of no use, and the next time the file must not be there.
        let _ = fs::remove_file(&wanted.file);
    }
    let (packets, commented) = written.with_context(name)?;
    say(format_args!(
        "wrote {packets} packets to {}, {commented} of them with comments",
        wanted.file.display()
    ));
    let missing = chosen.count().saturating_sub(packets);
    if missing > 0 {
        say(format_args!("{missing} packets of the session were not found again: the input has changed"));
    }
    Ok(missing == 0)
}

/// How many packets went into the file, and how many of them with comments.
fn fill(
    file: File,
    about: &About<'_>,
    inputs: &Inputs<'_>,
    chosen: &Chosen,
    comments: &Comments,
) -> anyhow::Result<(u64, u64)> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let mut export = Export::begin(&mut out, about)?;
    copy(inputs, chosen, comments, &mut export)?;
    let written = export.written();
    out.flush()?;
    Ok(written)
}

fn names(record: &SessionRecord) -> Vec<(IpAddr, String)> {
    let named =
        record.servers.iter().filter_map(|server| Some((server.ip.parse().ok()?, server.name.clone()?)));
    named.collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// The session's packets, and how many blocks of secrets the inputs hold.
fn choose(inputs: &Inputs<'_>, analysis: &Analysis, session: &Session) -> anyhow::Result<(Chosen, usize)> {
    let flows = session.flows.iter().filter_map(|index| analysis.flows.get(*index));
    let mut selection = Selection::new(inputs.pipeline, flows.map(|judged| &judged.flow));
    let merge = each(inputs, |_, file, frame, packet| {
        // The first reading told of a filter that does not fit, and left its packets out.
        let _ = selection.packet(file, frame, packet);
        Ok(())
    })?;
    let secrets = (0..merge.files()).filter_map(|file| merge.info(file)).map(|info| info.secrets.len()).sum();
    Ok((selection.finish(), secrets))
}

fn copy(
    inputs: &Inputs<'_>,
    chosen: &Chosen,
    comments: &Comments,
    export: &mut Export<'_>,
) -> anyhow::Result<()> {
    each(inputs, |info, file, frame, packet| {
        if !chosen.contains(file, frame) {
            return Ok(());
        }
        let known = usize::try_from(packet.interface).ok().and_then(|index| info.interfaces.get(index));
        let interface = ExportInterface {
            file,
            index: packet.interface,
            link_type: packet.link_type.0,
            snaplen: known.map_or(0, |interface| interface.snaplen),
            name: known.and_then(|interface| interface.name.as_deref()),
            input: &info.name,
        };
        let copied = ExportPacket {
            timestamp: packet.timestamp,
            original_len: packet.original_len,
            data: packet.data,
        };
        let mut sentences = comments.of(u64::try_from(file).unwrap_or(u64::MAX), frame);
        if !sentences.is_empty() {
            // Reports count packets in the inputs, Wireshark counts them here.
            sentences.insert(0, format!("packet {frame} of {}", info.name));
        }
        export.packet(&interface, &copied, &sentences)?;
        Ok(())
    })?;
    Ok(())
}

/// Hands out all packets in the order of the first reading, each with its file and its number in it.
fn each(
    inputs: &Inputs<'_>,
    mut take: impl FnMut(&FileInfo, usize, u64, &Packet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Merge> {
    let mut merge = Merge::within(inputs.files.to_vec(), inputs.order, input::memory());
    let mut frames = vec![0_u64; merge.files()];
    while let Some(file) = merge.advance() {
        let (Some(packet), Some(info)) = (merge.current(), merge.info(file)) else { break };
        let Some(frame) = frames.get_mut(file) else { break };
        *frame = frame.wrapping_add(1);
        take(info, file, *frame, &packet)?;
    }
    Ok(merge)
}
