//! Parts of the page by themselves, for a dashboard that puts them together as things happen. In: records. Out: markup in which every
//! word from the wire is escaped, and figures to sort and filter by.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::super::record::{AlertRecord, MeetingRecord, SessionRecord, Severity};
use super::super::text::{Tone, summary};
use super::markup::Html;
use super::session::View;
use super::{alerts, list, map, meetings, quality, servers, spark, words};
use crate::geo::Country;
use crate::keys::CouldHold;
use crate::policy::State;

/// The style of the report.
#[must_use]
pub const fn style() -> &'static str {
    super::STYLE
}

/// The part of the report's script that any page with its parts needs: theme, print, charts, filters to copy, the map.
#[must_use]
pub const fn script() -> &'static str {
    super::SHARED
}

/// `Zoom`; the word of a record with a capital, `unnamed` where nobody claims the media.
#[must_use]
pub fn app(app: Option<&str>) -> String {
    summary::app_word(app)
}

/// What is drawn of the world as things change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "taken apart by the page")]
pub struct World {
    /// How a country is filled, by its code: `key`, `used`, `law` or `not`.
    pub fills: BTreeMap<String, &'static str>,
    /// Markers and the lines that lead to them, as SVG.
    pub markers: String,
    /// The same as a table.
    pub table: String,
}

/// The drawing with no marker in it, the legend, and how it is to be taken.
#[must_use]
pub fn world_frame() -> String {
    let mut html = Html::default();
    map::frame(&mut html);
    html.finish()
}

/// What fills it.
#[must_use]
pub fn world(sessions: &[&SessionRecord]) -> World {
    let servers = servers::servers(sessions);
    let (lands, nowhere) = servers::lands(sessions, &servers);
    let (mut markers, mut table) = (Html::default(), Html::default());
    map::marked(&mut markers, &lands);
    map::told(&mut table, &lands, &nowhere);
    World { fills: map::fills(&lands), markers: markers.finish(), table: table.finish() }
}

/// The controls of the list of sessions and its head, with no row in it.
#[must_use]
pub fn list_frame() -> String {
    let mut html = Html::default();
    list::controls(&mut html);
    html.raw("<p class=\"note\" id=\"f-count\" role=\"status\"></p>");
    list::head(&mut html, &[("Quality", "mos", "wide")]);
    list::foot(&mut html);
    html.finish()
}

/// A row of the list: `row` is markup of its cells, `q` what it is found by, the others are to sort and filter by.
#[must_use]
pub fn session_row(record: &SessionRecord) -> Value {
    let (mut row, mut searched) = (Html::default(), Html::default());
    list::row(&mut row, record);
    row.raw("<td class=\"wide\">");
    spark::write(&mut row, record);
    row.raw("</td>");
    list::searched(&mut searched, record);
    let mut keys = list::keys(record);
    if let Value::Object(fields) = &mut keys {
        fields.insert("row".to_owned(), row.finish().into());
        fields.insert("q".to_owned(), searched.finish().into());
        let ways = [&record.media.sent, &record.media.received];
        let mos = ways.iter().filter_map(|way| way.mos.value).reduce(f64::min);
        fields.insert("mos".to_owned(), mos.into());
    }
    keys
}

/// A session with all that the report says of it, but for its flows.
#[must_use]
pub fn session(record: &SessionRecord, alerts: &[&AlertRecord]) -> String {
    let mut html = Html::default();
    let view = View {
        record,
        flows: &[],
        flows_left_out: 0,
        alerts: alerts.to_vec(),
        charts: quality::trends(record),
        full: true,
    };
    html.raw("<h3 class=\"title\" tabindex=\"-1\">");
    super::session::title(&mut html, record);
    html.raw("</h3>");
    super::session::body(&mut html, &view);
    html.finish()
}

/// A meeting, closed until it is asked for.
#[must_use]
pub fn meeting(meeting: &MeetingRecord) -> String {
    let mut html = Html::default();
    meetings::card(&mut html, meeting, &BTreeSet::new());
    html.finish()
}

/// What came of a rule over a session.
#[must_use]
pub fn alert(alert: &AlertRecord) -> String {
    let mut html = Html::default();
    html.raw("<p class=\"of\"><a").attr("href", &format!("#{}", alert.session_id)).raw(">");
    html.text(&alert.session_id).raw("</a> ").text(&app(alert.app.as_deref())).raw(", ");
    html.text(&alert.src_ip).raw(", session from ").text(&words::day_and_clock(&alert.timestamp));
    html.raw(" UTC</p>");
    if alert.taken_back {
        html.raw("<p>This was told while the call went on; what was seen later does not bear it out.</p>");
    }
    alerts::one(&mut html, alert);
    html.finish()
}

/// The answer: how many calls go on, what is grave in them, which rules fired, where those are placed who could hold a key.
#[must_use]
pub fn answer(
    sessions: &[&SessionRecord],
    meetings: usize,
    alerts: &[&AlertRecord],
    has_policy: bool,
) -> String {
    let mut html = Html::default();
    let worst = sessions.iter().filter_map(|session| words::gravest(session)).min();
    let (tone, leading) = match summary::leading(sessions) {
        Some((tone, sentence)) => (tone, sentence),
        None if sessions.is_empty() => (Tone::Plain, String::new()),
        None => (summary::quiet(sessions).0, "Nothing grave found in them.".to_owned()),
    };
    html.raw(match (tone, worst) {
        (Tone::Alarm, _) => "<div class=\"verdict high\"><p class=\"mark\">\u{25b2} Gravest finding now</p>",
        (Tone::Warn, Some(_)) => {
            "<div class=\"verdict notice\"><p class=\"mark\">\u{25cf} To be looked at</p>"
        }
        (Tone::Good, _) => "<div class=\"verdict good\"><p class=\"mark\">\u{2713} Nothing grave now</p>",
        _ => "<div class=\"verdict plain\"><p class=\"mark\">Now</p>",
    });
    html.raw("<p class=\"headline\">");
    html.text(&now(sessions, meetings)).raw(" ").text(&leading).raw("</p>");
    if has_policy || !alerts.is_empty() {
        fired(&mut html, sessions, alerts);
    } else {
        html.raw("<p class=\"counts\">No policy was given: no rule can fire.</p>");
    }
    html.raw("</div>");
    tiles(&mut html, sessions, meetings, alerts);
    html.finish()
}

/// `3 calls go on: 2 Zoom, 1 Teams.`
fn now(sessions: &[&SessionRecord], meetings: usize) -> String {
    let mut apps: BTreeMap<String, usize> = BTreeMap::new();
    for session in sessions {
        let count = apps.entry(app(session.app.as_deref())).or_default();
        *count = count.saturating_add(1);
    }
    let mut apps: Vec<(String, usize)> = apps.into_iter().collect();
    apps.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let named: Vec<String> = apps.iter().map(|(app, count)| format!("{count} {app}")).collect();
    let joined = match meetings {
        0 => String::new(),
        some => format!("; {} seen from more than one side", words::counted(some, "meeting")),
    };
    match sessions.len() {
        0 => "No call goes on.".to_owned(),
        1 => format!("1 call goes on: {}{joined}.", named.join(", ")),
        many => format!("{many} calls go on: {}{joined}.", named.join(", ")),
    }
}

/// Rules that fired: in calls that go on, and in the last day.
fn fired(html: &mut Html, sessions: &[&SessionRecord], alerts: &[&AlertRecord]) {
    let current: BTreeSet<&str> = sessions.iter().map(|session| session.session_id.as_str()).collect();
    let fired = || alerts.iter().filter(|alert| alert.fired);
    let now: BTreeSet<&str> = fired()
        .filter(|alert| current.contains(&*alert.session_id))
        .map(|alert| alert.rule.as_str())
        .collect();
    let day = fired().count();
    let is_open =
        |alert: &AlertRecord| !alert.fired && !alert.taken_back && alert.state == State::NotDeterminable;
    let open = alerts.iter().filter(|alert| is_open(alert)).count();
    html.raw("<p class=\"counts\">");
    if now.is_empty() {
        html.raw("No rule of a policy has fired in the calls that go on");
    } else {
        let listed: Vec<&str> = now.iter().copied().take(6).collect();
        let more = now.len().saturating_sub(listed.len());
        html.raw("<b>Rules that fired in calls that go on:</b> ").text(&listed.join(", "));
        if more > 0 {
            html.say(format_args!(" and {more} more"));
        }
    }
    html.say(format_args!("; {} in the last day", words::counted(day, "alert")));
    if open > 0 {
        html.say(format_args!(", and {open} that could not be determined"));
    }
    html.raw(".</p>");
}

fn tiles(html: &mut Html, sessions: &[&SessionRecord], meetings: usize, alerts: &[&AlertRecord]) {
    let able = |plain: bool| {
        let of = sessions.iter().filter(move |session| words::is_plain(session) == plain);
        of.flat_map(|session| &session.keys.holders).filter(|holder| holder.could_hold == CouldHold::Yes)
    };
    let count = |plain| able(plain).map(|holder| holder.ip.as_str()).collect::<BTreeSet<_>>().len();
    let both = || able(false).chain(able(true));
    let places: BTreeSet<&str> =
        both().filter_map(|holder| holder.place.located_in.country.as_ref().map(Country::code)).collect();
    let refuted = both().any(|holder| words::contradicted(&holder.place));
    let mut named = places.iter().take(8).copied().collect::<Vec<_>>().join(" ");
    if places.len() > 8 {
        let _ = write!(named, " +{}", places.len().saturating_sub(8));
    }
    if refuted {
        named.push_str(" \u{2260}");
    }
    let grave = sessions.iter().filter(|session| words::gravest(session) == Some(Severity::High)).count();
    html.raw("<dl class=\"tiles\">");
    html.pair("Calls now", &sessions.len().to_string());
    html.pair("With a grave finding", &grave.to_string());
    html.pair("Meetings now", &meetings.to_string());
    html.pair("Rules fired, last day", &alerts.iter().filter(|alert| alert.fired).count().to_string());
    html.pair("Servers that could hold a key", &count(false).to_string());
    if count(true) > 0 {
        html.pair("Servers that could read unencrypted media", &count(true).to_string());
    }
    let term = if refuted {
        "Databases place these in; timing contradicts some"
    } else {
        "Databases place these in"
    };
    html.pair(term, if named.is_empty() { "-" } else { &named });
    html.raw("</dl>");
}
