//! Logs as Zeek's ASCII writer makes them. In: a run. Out: one of four logs, with its header and its footer.
//!
//! Columns of `conn`, `ssl` and `quic` have Zeek's names, types and order (Zeek 7: `base/protocols/{conn,ssl,quic}/main.zeek`); ours
//! follow behind them. A value that is not known is unset, also where Zeek would write a default. `docs/FORMATS.md` says in what
//! the figures differ.

mod flow;
mod row;
mod session;

use std::collections::BTreeMap;
use std::io;

use jiff::tz::Offset;

use super::build::{session_id, sessions_of_flows};
use super::record::Kind;
use super::{Context, Run, Style, flow_record, session_record, words};
use crate::time::Timestamp;
use row::Type;

/// One log of Zeek.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the four logs that are written")]
pub enum ZeekLog {
    /// Flows.
    Conn,
    /// Handshakes of TLS, also those inside QUIC, and of DTLS.
    Ssl,
    /// Handshakes of QUIC.
    Quic,
    /// Sessions: who could hold the keys, what stands out.
    Meetscope,
}

impl ZeekLog {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Conn, Self::Ssl, Self::Quic, Self::Meetscope];

    /// Its name, as `#path` has it.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Conn => "conn",
            Self::Ssl => "ssl",
            Self::Quic => "quic",
            Self::Meetscope => "meetscope",
        }
    }

    /// The kind of record that it is made of.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Conn | Self::Ssl | Self::Quic => Kind::Flow,
            Self::Meetscope => Kind::Session,
        }
    }

    const fn columns(self) -> &'static [Column] {
        match self {
            Self::Conn => flow::CONN,
            Self::Ssl => flow::SSL,
            Self::Quic => flow::QUIC,
            Self::Meetscope => session::MEETSCOPE,
        }
    }
}

/// A column: its name and its type.
type Column = (&'static str, Type);

/// The whole log. `#open` is the time of the first packet of a flow and `#close` that of the last packet of the run.
pub(super) fn write(
    out: &mut dyn io::Write,
    context: &mut Context<'_>,
    run: &Run<'_>,
    style: &Style,
    log: ZeekLog,
) -> io::Result<()> {
    let opened = run.analysis.flows.iter().map(|judged| judged.flow.start).min();
    head(out, log, opened.or(run.counts.latest))?;
    if style.wants(log.kind()) {
        match log {
            ZeekLog::Conn | ZeekLog::Ssl | ZeekLog::Quic => flows(out, context, run, log)?,
            ZeekLog::Meetscope => sessions(out, context, run)?,
        }
    }
    writeln!(out, "#close\t{}", moment(run.counts.latest.or(opened)))
}

fn head(out: &mut dyn io::Write, log: ZeekLog, opened: Option<Timestamp>) -> io::Result<()> {
    out.write_all(b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n")?;
    writeln!(out, "#path\t{}", log.path())?;
    writeln!(out, "#open\t{}", moment(opened))?;
    out.write_all(b"#fields")?;
    for (name, _) in log.columns() {
        write!(out, "\t{name}")?;
    }
    out.write_all(b"\n#types")?;
    for (_, kind) in log.columns() {
        write!(out, "\t{}", kind.as_str())?;
    }
    out.write_all(b"\n")
}

/// `2020-04-02-14-00-03`, UTC.
fn moment(time: Option<Timestamp>) -> String {
    let nanos = time.unwrap_or_default().as_nanos();
    jiff::Timestamp::from_nanosecond(i128::from(nanos)).map_or_else(
        |_| nanos.to_string(),
        |time| Offset::UTC.to_datetime(time).strftime("%Y-%m-%d-%H-%M-%S").to_string(),
    )
}

fn flows(out: &mut dyn io::Write, context: &Context<'_>, run: &Run<'_>, log: ZeekLog) -> io::Result<()> {
    let owners = sessions_of_flows(run.analysis);
    for (judged, owner) in run.analysis.flows.iter().zip(&owners) {
        let facts = judged.flow.facts.as_deref();
        let is_shown = match log {
            ZeekLog::Ssl => facts.is_some_and(|facts| facts.tls.is_some() || facts.dtls.is_some()),
            ZeekLog::Quic => facts.is_some_and(|facts| facts.quic.is_some()),
            ZeekLog::Conn | ZeekLog::Meetscope => true,
        };
        if !is_shown {
            continue;
        }
        let record = flow_record(context, judged, owner.map(session_id).as_deref());
        match log {
            ZeekLog::Ssl => {
                for line in flow::ssl(&judged.flow, &record) {
                    row::write(out, &line)?;
                }
            }
            ZeekLog::Quic => row::write(out, &flow::quic(&judged.flow, &record))?,
            ZeekLog::Conn | ZeekLog::Meetscope => row::write(out, &flow::conn(&judged.flow, &record))?,
        }
    }
    Ok(())
}

fn sessions(out: &mut dyn io::Write, context: &mut Context<'_>, run: &Run<'_>) -> io::Result<()> {
    let names: BTreeMap<u64, String> =
        run.analysis.flows.iter().map(|judged| (judged.flow.id, flow::uid(&judged.flow))).collect();
    for (session, keys) in &run.analysis.sessions {
        let record = session_record(context, run.analysis, session, keys);
        let flows = record.flows.values().flatten().filter_map(|id| names.get(id).cloned());
        let fired = words::fired(&context.alerts_of(session));
        row::write(out, &session::meetscope(session.start, flows.collect(), fired, &record))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_zeek_does() {
        // 1585836003 is 2020-04-02 14:00:03 UTC by date(1).
        assert_eq!(moment(Some(Timestamp::from_secs_nanos(1_585_836_003, 5))), "2020-04-02-14-00-03");
        assert_eq!(moment(None), "1970-01-01-00-00-00");
    }

    #[test]
    fn no_log_has_a_column_twice() {
        for log in ZeekLog::ALL {
            let mut names: Vec<_> = log.columns().iter().map(|(name, _)| name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", log.path());
        }
    }
}
