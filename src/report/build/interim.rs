//! Records of what goes on. In: an analysis of flows that have not ended. Out: records of its sessions with their alerts, and of its
//! meetings; nothing of it counts at the end.

use super::super::record::{AlertRecord, MeetingRecord, SessionRecord};
use super::{Context, distance, meeting_record, session_record};
use crate::keys::Analysis;

/// A session that goes on.
#[derive(Debug)]
#[non_exhaustive]
pub struct GoingSession {
    /// Its number.
    pub id: u64,
    /// What is known of it by now.
    pub record: SessionRecord,
    /// What rules say of it by now.
    pub alerts: Vec<AlertRecord>,
}

/// A meeting that goes on.
#[derive(Debug)]
#[non_exhaustive]
pub struct GoingMeeting {
    /// The numbers of its sessions, also of those that have ended.
    pub sessions: Vec<u64>,
    /// What is known of it by now.
    pub record: MeetingRecord,
}

/// What goes on.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Going {
    /// Sessions, in their order.
    pub sessions: Vec<GoingSession>,
    /// Meetings, in their order.
    pub meetings: Vec<GoingMeeting>,
}

/// The records of what goes on. Whether a rule has fired is left as it was: that is told of what has ended.
pub fn going(context: &mut Context<'_>, analysis: &Analysis) -> Going {
    let fired = context.fired();
    context.nearby = distance::Nearby::default();
    let mut going = Going::default();
    for (session, keys) in &analysis.sessions {
        let record = session_record(context, analysis, session, keys);
        let alerts = context.alerts_of(session);
        going.sessions.push(GoingSession { id: session.id, record, alerts });
    }
    for meeting in &analysis.meetings {
        let record = meeting_record(context, analysis, meeting);
        going.meetings.push(GoingMeeting { sessions: meeting.sessions.clone(), record });
    }
    context.nearby = distance::Nearby::default();
    context.forget_alerts();
    if let Some(judging) = &mut context.judging {
        judging.fired = fired;
    }
    going
}
