//! The screen: a line of figures, the panes, a table or a page, a line of keys. In: what there is and where the eye is. Out: cells
//! of a terminal.

use std::borrow::Cow;

use ratatui::Frame;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row as Cells, Table, TableState};

use super::columns::Column;
use super::rows::{Mood, Pane, Row, Shown, length};
use super::view::{Over, View};
use crate::report::{self, visible};

/// Fewest lines and columns that are drawn on.
const LEAST: (u16, u16) = (40, 6);

const HELP: &str = "
  j k, arrows   a row down or up        g G, Home End   first, last row
  Enter         the session's page      Esc             back; no filter
  Tab, 1 to 5   another pane            Space, PgUp     turn the page
  /             only rows with ...      s               sort otherwise
  ?             this help               q, Ctrl-C       end, like SIGTERM

  could hold   where databases place servers that could hold the media key;
               read: media is not encrypted, and they could read it
  loss, MOS    of the worse way; MOS by ITU-T G.107
  cipher       what the ciphertext of media shows; the page says it in words
  Red: a grave finding, or a rule that fired. Yellow: a notice.";

/// Draws all of it.
pub(super) fn screen(frame: &mut Frame<'_>, view: &mut View, shown: &Shown, news: Option<&str>) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        frame.render_widget(Paragraph::new("the terminal is too small"), area);
        return;
    }
    let [top, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(figures(view, shown)), top);
    frame.render_widget(Paragraph::new(panes(view, shown)), tabs);
    match view.over.clone() {
        Over::Nothing => table(frame, body, view, shown),
        Over::Help => frame.render_widget(Paragraph::new(HELP), body),
        Over::Page(id, scrolled) => page(frame, body, view, shown, &id, scrolled),
    }
    frame.render_widget(Paragraph::new(footline(view, news)), foot);
}

fn style(view: &View, mood: Mood) -> Style {
    match (mood, view.colour) {
        (Mood::Alarm, true) => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        (Mood::Alarm, false) => Style::new().add_modifier(Modifier::BOLD),
        (Mood::Warn, true) => Style::new().fg(Color::Yellow),
        (Mood::Warn | Mood::Plain, _) => Style::new(),
        (Mood::Dim, _) => Style::new().add_modifier(Modifier::DIM),
    }
}

/// `meetscope  up 3:20  12 sessions  ..  0 lost`.
fn figures(view: &View, shown: &Shown) -> Line<'static> {
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "seconds of a run")]
    let up = length(shown.uptime_s as f64);
    let mut spans = vec![
        Span::styled("meetscope", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("  up {up}")),
    ];
    if let Some(rate) = shown.rate {
        let seconds = rate.seconds.max(1);
        let packets = rate.packets.checked_div(seconds).unwrap_or(0);
        let kilobits = rate.bytes.saturating_mul(8).checked_div(seconds.saturating_mul(1000)).unwrap_or(0);
        spans.push(Span::raw(format!("  {packets} packets/s  {kilobits} kbit/s")));
    }
    match &shown.stats {
        None => spans.push(Span::styled("  no packet yet", style(view, Mood::Dim))),
        Some(stats) => {
            let lost = stats.packets.dropped;
            let mood = if lost > 0 { Mood::Alarm } else { Mood::Plain };
            spans
                .push(Span::styled(format!("  {} seen, {lost} lost", stats.packets.seen), style(view, mood)));
        }
    }
    Line::from(spans)
}

fn panes(view: &View, shown: &Shown) -> Line<'static> {
    let mut spans = Vec::new();
    for (number, pane) in (1_u8..).zip(Pane::ALL) {
        let count = match pane {
            Pane::Sessions => Some(shown.sessions.len()),
            Pane::Meetings => Some(shown.meetings.len()),
            Pane::Alerts => Some(shown.alerts.len()),
            Pane::History => Some(shown.history.len()),
            Pane::Drops => None,
        };
        let count = count.map_or_else(String::new, |count| format!(" {count}"));
        let is_here = pane == view.pane;
        let look = if is_here { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        spans.push(Span::styled(format!(" {number} {}{count} ", pane.title()), look));
    }
    Line::from(spans)
}

fn footline(view: &View, news: Option<&str>) -> Line<'static> {
    if view.is_typing {
        return Line::from(format!("/{}_   Enter keeps it, Esc forgets it", visible(&view.filter)));
    }
    if let Some(news) = news {
        return Line::from(Span::styled(visible(news).into_owned(), style(view, Mood::Warn)));
    }
    let filter =
        if view.filter.is_empty() { String::new() } else { format!("  only /{}", visible(&view.filter)) };
    let keys = match view.over {
        Over::Page(..) => "Esc back  j k scroll  ? help  q end".to_owned(),
        Over::Nothing | Over::Help => {
            format!(
                "Enter page  Tab pane  / filter  s sort ({})  ? help  q end{filter}",
                view.order.words(view.pane)
            )
        }
    };
    Line::from(Span::styled(keys, style(view, Mood::Dim)))
}

fn table(frame: &mut Frame<'_>, area: Rect, view: &mut View, shown: &Shown) {
    let rows = view.rows(shown);
    view.settle(&rows);
    if rows.is_empty() {
        let text = match (view.pane, view.filter.is_empty()) {
            (_, false) => "no row matches the filter; Esc forgets it",
            (Pane::Sessions, _) => "no session goes on that has been seen",
            (Pane::Meetings, _) => "no meeting goes on of which two sessions were seen",
            (Pane::Alerts, _) => "no rule of a policy has fired in the last day",
            (Pane::Drops, _) => "nothing has been counted yet",
            (Pane::History, _) => "no session has ended in the last day",
        };
        frame.render_widget(Paragraph::new(Span::styled(text, style(view, Mood::Dim))), area);
        return;
    }
    let columns: Vec<(usize, &Column)> =
        view.pane.columns().iter().enumerate().filter(|(_, column)| column.from <= area.width).collect();
    let last = columns.len().saturating_sub(1);
    let widths: Vec<Constraint> = columns
        .iter()
        .enumerate()
        .map(
            |(at, (_, column))| {
                if at == last { Constraint::Min(column.width) } else { Constraint::Length(column.width) }
            },
        )
        .collect();
    let rooms = Layout::horizontal(widths.clone()).flex(Flex::Start).spacing(1).split(area);
    let shown: Vec<(usize, u16)> =
        columns.iter().zip(rooms.iter()).map(|((at, _), room)| (*at, room.width)).collect();
    let head = Cells::new(columns.iter().map(|(_, column)| column.title)).style(style(view, Mood::Dim));
    let body: Vec<Cells<'_>> = rows.iter().map(|row| cells(row, &shown, style(view, row.mood))).collect();
    let table = Table::new(body, widths)
        .header(head)
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(Some(view.selected));
    frame.render_stateful_widget(table, area, &mut state);
}

fn cells<'r>(row: &'r Row, columns: &[(usize, u16)], look: Style) -> Cells<'r> {
    let cell = |(at, room): &(usize, u16)| cut(row.cells.get(*at).map_or("", String::as_str), *room);
    Cells::new(columns.iter().map(cell)).style(look)
}

/// What fits into a column, with a mark at its end where that is not all.
fn cut(text: &str, room: u16) -> Cow<'_, str> {
    let room = usize::from(room);
    if Span::raw(text).width() <= room {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for letter in text.chars() {
        let with = format!("{out}{letter}..");
        if Span::raw(with).width() > room {
            break;
        }
        out.push(letter);
    }
    out.push_str("..");
    Cow::Owned(out)
}

/// The text report's own page of a session.
fn page(frame: &mut Frame<'_>, area: Rect, view: &mut View, shown: &Shown, id: &str, scrolled: usize) {
    let Some(session) = shown.session(id) else {
        let text = format!("{} is over, and its record is kept no more; Esc goes back", visible(id));
        frame.render_widget(Paragraph::new(text), area);
        return;
    };
    let look = report::Style { width: Some(usize::from(area.width)), ..report::Style::default() };
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = report::write_page(&mut text, session, &shown.alerts_of(id), &look);
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.trim_start_matches('\n').lines().collect();
    let height = usize::from(area.height);
    let most = lines.len().saturating_sub(height);
    let from = scrolled.min(most);
    view.over = Over::Page(id.to_owned(), from);
    let seen: Vec<Line<'_>> = lines.iter().skip(from).take(height).map(|line| Line::from(*line)).collect();
    frame.render_widget(Paragraph::new(seen), area);
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn what_does_not_fit_is_marked() {
        assert_eq!(cut("192.0.2.1", 9), "192.0.2.1");
        assert_eq!(cut("2001:db8::1234:5678", 16), "2001:db8::1234..");
        assert_eq!(
            cut("\u{4f1a}\u{8bae}\u{4f1a}\u{8bae}", 7),
            "\u{4f1a}\u{8bae}..",
            "letters of two columns"
        );
    }
}
