//! Groups and laws of the jurisdictions that reach a session's servers, on the day of the capture. In: a session's record. Out: a
//! table in which each row says where it comes from and whether anybody checked it.

use super::super::record::{GroupRecord, JurisdictionRecord, LawRecord, SessionRecord};
use super::markup::Html;
use crate::geo::{GroupBasis, LawKind};

/// Laws shown of a jurisdiction.
const LAWS: usize = 16;

/// The part of a session's page.
pub(super) fn write(html: &mut Html, record: &SessionRecord) {
    if record.jurisdictions.is_empty() {
        return;
    }
    html.fold("Groups and laws of these jurisdictions on the capture\u{2019}s day", |html| {
        html.table("Groups and laws", &["Jurisdiction", "Groups", "Principal laws, never a complete list"], |html| {
            for one in &record.jurisdictions {
                row(html, one);
            }
        });
        html.raw("<p class=\"note\">Informational, not legal advice. Rows marked unchecked were not compared with a text of the authority \
             itself and decide nothing alone.</p>");
    });
}

fn row(html: &mut Html, one: &JurisdictionRecord) {
    html.raw("<tr><th scope=\"row\">").cut().text(&one.code);
    if let Some(name) = &one.name {
        html.raw(" (").text(name).raw(")");
    }
    html.cut();
    match &one.as_of {
        Some(day) => html.raw("<br><small>on ").cut().say(format_args!("{day}")).cut().raw("</small>"),
        None => html.raw("<br><small>the capture has no date</small>"),
    };
    html.raw("</th><td>").cut();
    if one.groups.is_empty() {
        html.raw("<span class=\"dim\">none in the table</span>");
    } else {
        html.raw("<ul class=\"plain\">");
        for group in &one.groups {
            group_row(html, group);
        }
        html.raw("</ul>");
    }
    html.cut().raw("</td><td>").cut();
    if one.not_in_table {
        html.raw("<span class=\"dim\">the table has no row of this jurisdiction</span>");
    } else if one.laws.is_empty() {
        html.raw("<span class=\"dim\">none in the table</span>");
    } else {
        html.raw("<ul class=\"plain\">");
        for law in one.laws.iter().take(LAWS) {
            law_row(html, law);
        }
        html.raw("</ul>");
    }
    let more = one.laws.len().saturating_sub(LAWS);
    if more > 0 {
        html.say(format_args!("and {more} more, in the session record"));
    }
    html.cut().raw("</td></tr>").cut();
}

fn group_row(html: &mut Html, group: &GroupRecord) {
    html.raw("<li>").text(&group.name).raw(match group.basis {
        GroupBasis::Treaty => " <small>treaty",
        GroupBasis::Decision => " <small>decision",
        GroupBasis::PressLabel => " <small>a label of the press, no treaty",
    });
    if let Some(scope) = &group.scope {
        html.raw(", ").text(scope);
    }
    if let Some(from) = &group.valid_from {
        html.say(format_args!(", from {from}"));
    }
    if let Some(to) = &group.valid_to {
        html.say(format_args!(" to {to}"));
    }
    source(html, &group.source_title, group.checked_on.as_ref().map(ToString::to_string));
    html.raw("</small>");
    mark(html, group.unchecked);
    html.raw("</li>");
}

fn law_row(html: &mut Html, law: &LawRecord) {
    html.raw("<li>").text(&law.instrument).say(format_args!(" ({})", law.year)).raw(match law.kind {
        LawKind::Access => " <small>compelled access",
        LawKind::Interception => " <small>interception",
        LawKind::Localisation => " <small>data must stay in the country",
        LawKind::DataProtection => " <small>data protection",
    });
    if let Some(scope) = &law.scope {
        html.raw(", ").text(scope);
    }
    match (&law.valid_from, &law.valid_to) {
        (Some(from), Some(to)) => html.say(format_args!(", in force from {from} to {to}")),
        (Some(from), None) => html.say(format_args!(", in force from {from}")),
        (None, Some(to)) => html.say(format_args!(", in force to {to}")),
        (None, None) => html,
    };
    source(html, &law.source_title, law.checked_on.as_ref().map(ToString::to_string));
    html.raw("</small>");
    if let Some(open) = &law.verify {
        html.raw(" <span class=\"chip plain\">? open</span> <small>").text(open).raw("</small>");
    }
    mark(html, law.unchecked);
    html.raw("</li>");
}

fn source(html: &mut Html, title: &str, checked_on: Option<String>) {
    if title.is_empty() {
        html.raw("; from memory");
    } else {
        html.raw("; source: ").text(title);
    }
    if let Some(day) = checked_on {
        html.raw(", read on ").text(&day);
    }
}

fn mark(html: &mut Html, unchecked: bool) {
    if unchecked {
        html.raw(" <span class=\"chip plain\">? unchecked</span>");
    }
}
