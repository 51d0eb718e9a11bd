//! The records of all sessions, made by all threads.

use std::convert::Infallible;

use super::super::record::SessionRecord;
use super::Context;
use super::session::made;
use crate::keys::Analysis;
use crate::parallel::Threads;
use crate::session::Session;

/// Records for each thread that are there at a time, where there are several threads: a record has tens of kilobytes.
const AT_A_TIME: usize = 16;

impl Context<'_> {
    /// Learns from the flows of an analysis what records of its sessions say of the way to servers.
    pub(super) fn attend(&mut self, analysis: &Analysis) {
        self.nearby.attend(analysis);
    }

    /// Takes note of a record that was made, for those that come after it, and judges the session.
    pub(super) fn take_note(&mut self, analysis: &Analysis, session: &Session, record: &SessionRecord) {
        self.tell(analysis, session, record);
        self.judge(analysis, session, record);
    }
}

/// Makes the records of all sessions: `draw` may be called by any thread, `take` is given each record with what was drawn of it, in order.
///
/// # Errors
/// The first that `take` says.
pub(in super::super) fn each_session<R: Send, E>(
    context: &mut Context<'_>,
    analysis: &Analysis,
    draw: impl Fn(&SessionRecord) -> R + Sync,
    mut take: impl FnMut(SessionRecord, R) -> Result<(), E>,
) -> Result<(), E> {
    context.attend(analysis);
    let threads = context.threads;
    let at_a_time = if threads == Threads::ONE { 1 } else { AT_A_TIME.saturating_mul(threads.count()) };
    for chunk in analysis.sessions.chunks(at_a_time) {
        let drawn = threads.map(chunk, |(session, keys)| {
            let record = made(context, analysis, session, keys);
            let drawn = draw(&record);
            (record, drawn)
        });
        for ((session, _), (record, drawn)) in chunk.iter().zip(drawn) {
            context.take_note(analysis, session, &record);
            take(record, drawn)?;
        }
    }
    Ok(())
}

/// All sessions, in their order.
pub(in super::super) fn session_records(
    context: &mut Context<'_>,
    analysis: &Analysis,
) -> Vec<SessionRecord> {
    let mut all = Vec::with_capacity(analysis.sessions.len());
    let take = |record, ()| {
        all.push(record);
        Ok::<(), Infallible>(())
    };
    let Ok(()) = each_session(context, analysis, |_| (), take);
    all
}
