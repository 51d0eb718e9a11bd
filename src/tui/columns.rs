//! The columns of the panes: titles, widths, and on how wide a screen each is shown.

/// A column: its title, its least width, whether it is left out on a narrow screen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) width: u16,
    /// Columns of the screen from which on it is shown.
    pub(super) from: u16,
}

const fn column(title: &'static str, width: u16, from: u16) -> Column {
    Column { title, width, from }
}

pub(super) const SESSIONS: &[Column] = &[
    column("session", 8, 0),
    column("app", 10, 0),
    column("endpoint", 16, 0),
    column("could hold", 13, 0),
    column("loss", 7, 0),
    column("MOS", 4, 0),
    column("rtt ms", 6, 100),
    column("kbit/s", 7, 100),
    column("cipher", 15, 0),
    column("phase", 7, 110),
    column("length", 9, 120),
    column("what stands out", 30, 140),
];

pub(super) const MEETINGS: &[Column] = &[
    column("meeting", 8, 0),
    column("app", 10, 0),
    column("seen", 5, 0),
    column("jurisdictions", 16, 0),
    column("sure", 5, 0),
    column("length", 9, 0),
    column("endpoints", 24, 0),
];

pub(super) const ALERTS: &[Column] = &[
    column("severity", 8, 0),
    column("state", 17, 0),
    column("rule", 18, 0),
    column("session", 8, 0),
    column("endpoint", 16, 100),
    column("why", 24, 0),
];

pub(super) const INTERFACES: &[Column] = &[
    column("interface", 14, 0),
    column("received", 13, 0),
    column("kernel lost", 12, 0),
    column("iface lost", 11, 0),
    column("we lost", 10, 0),
    column("state", 16, 0),
];

pub(super) const HISTORY_COLUMNS: &[Column] = &[
    column("session", 8, 0),
    column("app", 10, 0),
    column("endpoint", 16, 0),
    column("could hold", 11, 0),
    column("loss", 7, 0),
    column("MOS", 4, 0),
    column("ended (UTC)", 16, 0),
    column("findings", 8, 100),
    column("alerts", 6, 100),
];
