//! The world map: where databases place the servers, and whose law reaches them. In: session records. Out: a drawing with a marker
//! for each country, its legend, and the same as a table.
//!
//! Records name countries and no coordinates, so that a marker stands for a country. Outlines and the points of markers are
//! `assets/world.tsv`, made of Natural Earth by `geoip/build_map.py`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::record::SessionRecord;
use super::markup::Html;
use super::servers::{Land, Part, Seen, lands, servers};
use super::words;

/// Outlines and points, a line a country.
const WORLD: &str = include_str!("assets/world.tsv");
/// Size of the drawing.
const SIZE: (f64, f64) = (1000.0, 436.0);
/// Height of a marker.
const HEIGHT: f64 = 17.0;
/// Width of its country code, and of a sign.
const CODE: f64 = 22.0;
const SIGN: f64 = 12.0;
/// Servers named in one row of the table.
const NAMED: usize = 24;
/// Rings in which room for a marker is looked for, and the directions.
const RINGS: [f64; 11] = [16.0, 26.0, 38.0, 52.0, 70.0, 90.0, 115.0, 140.0, 170.0, 200.0, 240.0];
const DIRECTIONS: [(f64, f64); 12] = [
    (0.0, -1.0),
    (1.0, 0.0),
    (-1.0, 0.0),
    (0.0, 1.0),
    (0.8, -0.6),
    (-0.8, -0.6),
    (0.8, 0.6),
    (-0.8, 0.6),
    (0.4, -0.9),
    (-0.4, -0.9),
    (0.4, 0.9),
    (-0.4, 0.9),
];

/// Heads of the table.
const HEADS: [&str; 8] = [
    "Country",
    "#Could hold a key",
    "#Could read plain media",
    "#Signalling",
    "#Media",
    "#Relay",
    "#Reached by operator\u{2019}s law",
    "#Endpoints",
];

/// A line of [`WORLD`].
struct Shape<'a> {
    code: &'a str,
    point: (f64, f64),
    outline: &'a str,
}

fn world() -> impl Iterator<Item = Shape<'static>> {
    WORLD.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let code = fields.next()?;
        let point = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Shape { code, point, outline: fields.next()? })
    })
}

/// The section.
pub(super) fn write(html: &mut Html, sessions: &[&SessionRecord]) {
    let servers = servers(sessions);
    let (lands, nowhere) = lands(sessions, &servers);
    html.raw("<section id=\"map\" aria-labelledby=\"map-h\"><h2 id=\"map-h\">Where databases place the servers</h2>");
    if lands.is_empty() {
        html.raw("<p>No database places any server of this report.</p>");
    } else {
        drawn(html, &lands);
    }
    told(html, &lands, &nowhere);
    html.raw("</section>");
}

/// The drawing with its legend.
fn drawn(html: &mut Html, lands: &BTreeMap<String, Land<'_>>) {
    html.raw("<div class=\"map\">");
    drawing(html, lands);
    html.raw("<p id=\"map-tip\" class=\"tip\" hidden></p></div>");
    legend(html);
    caption(html);
}

/// The same with nothing in it.
pub(super) fn frame(html: &mut Html) {
    drawn(html, &BTreeMap::new());
}

/// The table, and the servers that no database places.
pub(super) fn told(html: &mut Html, lands: &BTreeMap<String, Land<'_>>, nowhere: &[&Seen<'_>]) {
    table(html, lands);
    homeless(html, nowhere, lands);
}

/// How countries are filled, by code.
pub(super) fn fills(lands: &BTreeMap<String, Land<'_>>) -> BTreeMap<String, &'static str> {
    lands.iter().filter_map(|(code, land)| Some((code.clone(), fill(land)?))).collect()
}

fn fill(land: &Land<'_>) -> Option<&'static str> {
    let has = |part| land.counts.contains_key(&part);
    if land.contradicted > 0 && land.contradicted == land.servers.len() {
        Some("not")
    } else if has(Part::Key) || has(Part::Read) {
        Some("key")
    } else if [Part::Signalling, Part::Media, Part::Relay].into_iter().any(has) {
        Some("used")
    } else {
        has(Part::Law).then_some("law")
    }
}

/// How the drawing is to be taken.
fn caption(html: &mut Html) {
    html.raw(
        "<p class=\"note\">A marker stands for a country, not for a point: databases name countries. A dashed marker is of low \
         confidence, disputed between databases, anycast, or old against the capture. A country is hatched where no \
         server is placed and only the law of an operator\u{2019}s home reaches from. Borders follow Natural Earth and say nothing of \
         who is right about them. An address database is an opinion with a date; where a server is placed does not show that it \
         holds a key.</p>",
    );
}

/// A marker with its place in the drawing.
struct Marker<'a> {
    code: &'a str,
    land: &'a Land<'a>,
    anchor: (f64, f64),
    at: (f64, f64),
    width: f64,
}

fn markers<'a>(lands: &'a BTreeMap<String, Land<'a>>) -> Vec<Marker<'a>> {
    let points: BTreeMap<&str, (f64, f64)> = world().map(|shape| (shape.code, shape.point)).collect();
    let mut markers: Vec<Marker<'a>> = lands
        .iter()
        .filter_map(|(code, land)| {
            let anchor = *points.get(code.as_str()).filter(|_| code != "--")?;
            let signs = land.counts.len().saturating_add(usize::from(land.contradicted > 0));
            let width = CODE + SIGN * words::float(signs) + 4.0;
            Some(Marker { code, land, anchor, at: anchor, width })
        })
        .collect();
    // What could hold a key stands where it belongs; the others make room.
    markers.sort_by_key(|marker| (marker.land.counts.keys().next().copied(), marker.code));
    let mut placed: Vec<((f64, f64), f64)> = Vec::new();
    for marker in &mut markers {
        let here = (
            marker.anchor.0.clamp(marker.width / 2.0 + 1.0, SIZE.0 - marker.width / 2.0 - 1.0),
            marker.anchor.1.clamp(HEIGHT, SIZE.1 - HEIGHT),
        );
        let around = RINGS.iter().flat_map(|ring| {
            DIRECTIONS.iter().map(move |(x, y)| (here.0 + x * ring * 1.6, here.1 + y * ring))
        });
        let is_free = |at: &(f64, f64)| {
            let inside = at.0 - marker.width / 2.0 > 0.0
                && at.0 + marker.width / 2.0 < SIZE.0
                && at.1 - HEIGHT > 0.0
                && at.1 + HEIGHT < SIZE.1;
            inside
                && placed.iter().all(|(other, width)| {
                    (at.0 - other.0).abs() > f64::midpoint(*width, marker.width) + 2.0
                        || (at.1 - other.1).abs() > HEIGHT + 2.0
                })
        };
        marker.at = std::iter::once(here).chain(around).find(is_free).unwrap_or(here);
        placed.push((marker.at, marker.width));
    }
    markers
}

fn drawing(html: &mut Html, lands: &BTreeMap<String, Land<'_>>) {
    html.raw(
        "<svg viewBox=\"0 0 1000 436\" role=\"group\" aria-label=\"World map; the table below says the same\">\
         <defs><pattern id=\"hatch\" width=\"10\" height=\"10\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect width=\"10\" height=\"10\" class=\"hatch-a\"/>\
         <rect width=\"4\" height=\"10\" class=\"hatch-b\"/></pattern><pattern id=\"hatch-not\" width=\"10\" height=\"10\" \
         patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(-45)\"><rect width=\"10\" height=\"10\" class=\"hatch-a\"/>\
         <rect width=\"4\" height=\"10\" class=\"hatch-c\"/></pattern></defs>",
    );
    html.raw("<g transform=\"scale(.5)\" aria-hidden=\"true\">");
    for shape in world().filter(|shape| !shape.outline.is_empty()) {
        html.raw("<path class=\"land");
        if let Some(fill) = lands.get(shape.code).and_then(fill) {
            html.raw(" ").raw(fill);
        }
        html.raw("\"").attr("data-l", shape.code).attr("d", shape.outline).raw("/>");
    }
    html.raw("</g><g id=\"marks\">");
    marked(html, lands);
    html.raw("</g></svg>");
}

/// Markers, and the lines that lead to them.
pub(super) fn marked(html: &mut Html, lands: &BTreeMap<String, Land<'_>>) {
    let markers = markers(lands);
    html.raw("<g class=\"leads\" aria-hidden=\"true\">");
    for marker in markers.iter().filter(|marker| marker.at != marker.anchor) {
        html.raw("<line x1=\"").num(marker.anchor.0).raw("\" y1=\"").num(marker.anchor.1);
        html.raw("\" x2=\"").num(marker.at.0).raw("\" y2=\"").num(marker.at.1).raw("\"/>");
        html.raw("<circle cx=\"")
            .num(marker.anchor.0)
            .raw("\" cy=\"")
            .num(marker.anchor.1)
            .raw("\" r=\"2\"/>");
    }
    html.raw("</g>");
    for marker in &markers {
        draw(html, marker);
    }
}

fn draw(html: &mut Html, marker: &Marker<'_>) {
    let counts = &marker.land.counts;
    let said = said(marker.code, marker.land);
    html.raw("<a").attr("href", &format!("#in-{}", marker.code)).attr("aria-label", &said);
    html.raw(" class=\"mk");
    if counts.contains_key(&Part::Key) || counts.contains_key(&Part::Read) {
        html.raw(" mk-key");
    }
    if marker.land.doubtful {
        html.raw(" mk-low");
    }
    html.raw("\"").attr("data-tip", &said).attr("data-cc", marker.code);
    html.raw("><g transform=\"translate(")
        .num(marker.at.0)
        .raw(" ")
        .num(marker.at.1)
        .raw(")\"><g class=\"mk-in\">");
    let left = 0.0 - marker.width / 2.0;
    html.raw("<rect rx=\"4\" height=\"17\" y=\"-8.5\" x=\"")
        .num(left)
        .raw("\" width=\"")
        .num(marker.width)
        .raw("\"/>");
    html.raw("<text y=\"4\" x=\"").num(left + 4.0).raw("\">").text(marker.code).raw("</text>");
    for (place, part) in counts.keys().enumerate() {
        html.raw("<use").attr("href", part.sign()).raw(" x=\"");
        html.num(left + CODE + SIGN * words::float(place)).raw("\" y=\"-5.5\" width=\"11\" height=\"11\"/>");
    }
    if marker.land.contradicted > 0 {
        html.raw("<use href=\"#g-not\" x=\"");
        html.num(left + CODE + SIGN * words::float(counts.len()))
            .raw("\" y=\"-5.5\" width=\"11\" height=\"11\"/>");
    }
    html.raw("</g></g></a>");
}

/// `CN (China): 1 could hold a media key, 1 signalling`.
fn said(code: &str, land: &Land<'_>) -> String {
    let parts: Vec<String> =
        land.counts.iter().map(|(part, count)| format!("{count} {}", part.words())).collect();
    let doubt = if land.doubtful { "; with low confidence" } else { "" };
    let refuted = match (land.contradicted, land.servers.len()) {
        (0, _) => String::new(),
        (1, 1) => "; timing contradicts this place".to_owned(),
        (some, all) => {
            format!("; timing contradicts this place of {some} of {}", words::counted(all, "server"))
        }
    };
    format!("{}: {}{refuted}{doubt}", words::country(code), parts.join(", "))
}

/// The signs, which the markers use as well, and what they mean.
fn legend(html: &mut Html) {
    html.raw(
        "<svg class=\"vh\" aria-hidden=\"true\" width=\"0\" height=\"0\">\
         <symbol id=\"g-key\" viewBox=\"0 0 12 12\"><path class=\"s-key\" d=\"M6 .5 11.5 6 6 11.5.5 6z\"/></symbol>\
         <symbol id=\"g-read\" viewBox=\"0 0 12 12\"><path class=\"s-read\" d=\"M6 1.2 10.8 6 6 10.8 1.2 6z\"/></symbol>\
         <symbol id=\"g-not\" viewBox=\"0 0 12 12\"><path class=\"s-not\" d=\"M1.5 4.3h9M1.5 7.7h9M8.6 1 3.4 11\"/></symbol>\
         <symbol id=\"g-signalling\" viewBox=\"0 0 12 12\"><rect class=\"s-sig\" x=\"1.5\" y=\"1.5\" width=\"9\" height=\"9\"/></symbol>\
         <symbol id=\"g-media\" viewBox=\"0 0 12 12\"><circle class=\"s-med\" cx=\"6\" cy=\"6\" r=\"4.8\"/></symbol>\
         <symbol id=\"g-relay\" viewBox=\"0 0 12 12\"><path class=\"s-rel\" d=\"M6 1 11.3 10.5H.7z\"/></symbol>\
         <symbol id=\"g-law\" viewBox=\"0 0 12 12\"><path class=\"s-law\" d=\"M2 10.5h8M6 2v8M2.2 3.2h7.6M.8 7.2l1.6-4 1.6 4zM8 7.2l1.6-4 \
         1.6 4z\"/></symbol>\
         <symbol id=\"g-endpoint\" viewBox=\"0 0 12 12\"><circle class=\"s-end\" cx=\"6\" cy=\"3.6\" r=\"2.3\"/><path class=\"s-end\" \
         d=\"M1.6 11c.4-6 8.4-6 8.8 0z\"/></symbol></svg><ul class=\"legend\" aria-label=\"Legend\">",
    );
    for part in Part::ALL {
        html.raw("<li><svg width=\"14\" height=\"14\" aria-hidden=\"true\"><use").attr("href", part.sign());
        html.raw("/></svg> ").text(part.words()).raw("</li>");
    }
    html.raw(
        "<li><svg width=\"14\" height=\"14\" aria-hidden=\"true\"><use href=\"#g-not\"/></svg> timing contradicts this place</li>",
    );
    let fills: [(&'static str, &'static str); 4] = [
        ("key", "a server placed there could hold a key, or read unencrypted media"),
        ("used", "other servers are placed there"),
        ("law", "only the law of an operator\u{2019}s home reaches from there"),
        ("not", "timing contradicts every server placed there"),
    ];
    for (class, words) in fills {
        html.raw("<li><svg width=\"20\" height=\"14\" aria-hidden=\"true\"><rect width=\"20\" height=\"14\" class=\"land ");
        html.raw(class).raw("\"/></svg> ").raw(words).raw("</li>");
    }
    html.raw("</ul>");
}

fn table(html: &mut Html, lands: &BTreeMap<String, Land<'_>>) {
    if lands.is_empty() {
        return;
    }
    html.table("Servers by the country in which databases place them", &HEADS, |html| {
        let mut sorted: Vec<_> = lands.iter().collect();
        sorted.sort_by_key(|(code, land)| (land.counts.keys().next().copied(), *code));
        for (code, land) in sorted {
            html.raw("<tr").attr("id", &format!("in-{code}")).raw(" tabindex=\"-1\"><th scope=\"row\">");
            html.text(&words::country(code));
            if land.contradicted > 0 {
                html.raw("<br>");
                refuted(html);
            }
            html.raw("<button type=\"button\" class=\"filter js\"")
                .attr("data-cc", code)
                .raw(">show its sessions</button></th>");
            for part in Part::ALL {
                let count = land.counts.get(&part).copied().unwrap_or(0);
                html.raw("<td class=\"n\">");
                if count == 0 {
                    html.raw("<span class=\"dim\">0</span>");
                } else {
                    html.say(format_args!("{count}"));
                }
                html.raw("</td>");
            }
            html.raw("</tr>");
            if !land.servers.is_empty() || !land.operators.is_empty() {
                html.raw("<tr class=\"sub\"><td colspan=\"8\">");
                detail(html, land);
                html.raw("</td></tr>");
            }
        }
    });
}

fn detail(html: &mut Html, land: &Land<'_>) {
    if !land.operators.is_empty() {
        let names: Vec<&str> = land.operators.iter().copied().take(6).collect();
        html.raw("<p class=\"note\">At home here: ").text(&names.join("; "));
        html.say(format_args!(", who run {}", words::counted(land.reached, "server"))).raw("</p>");
    }
    if !land.servers.is_empty() {
        let title = format!("{} placed here", words::counted(land.servers.len(), "server"));
        html.fold(&title, |html| list(html, &land.servers));
    }
}

fn refuted(html: &mut Html) {
    html.raw("<span class=\"chip notice\">\u{2260} timing contradicts this place</span>");
}

fn list(html: &mut Html, servers: &[&Seen<'_>]) {
    html.raw("<ul class=\"plain\">");
    for server in servers.iter().take(NAMED) {
        html.raw("<li><b>").text(server.ip).raw("</b> ");
        if let Some(name) = server.name.filter(|name| *name != server.ip) {
            html.text(name).raw(" ");
        }
        let roles: Vec<&str> = server.roles.iter().map(|role| role.as_str()).collect();
        html.say(format_args!("({}) ", roles.join(", ")));
        if let Some(answer) = server.could_hold {
            words::could_hold(html, answer, false);
        }
        if let Some(answer) = server.could_read {
            words::could_hold(html, answer, true);
        }
        if words::contradicted(server.place) {
            html.raw(" ");
            refuted(html);
        }
        html.raw(" <small>").text(&server.place.located_in.sentence());
        if let Some(network) = &server.place.operated_by {
            html.raw("; ").text(&network.sentence());
        }
        html.raw("; in ");
        words::links(html, server.sessions.iter().copied(), server.sessions.len());
        let more = server.sessions_total.saturating_sub(server.sessions.len());
        if more > 0 {
            html.say(format_args!(" and {}", words::counted(more, "more session")));
        }
        html.raw("</small></li>");
    }
    html.raw("</ul>");
    let more = servers.len().saturating_sub(NAMED);
    if more > 0 {
        html.raw("<p class=\"note\">")
            .say(format_args!("and {more} more, in the session records"))
            .raw("</p>");
    }
}

/// What cannot be drawn: servers that no database places, and countries that the outlines lack.
fn homeless(html: &mut Html, nowhere: &[&Seen<'_>], lands: &BTreeMap<String, Land<'_>>) {
    if !nowhere.is_empty() {
        let title = format!("{} that no database places", words::counted(nowhere.len(), "server"));
        html.fold(&title, |html| list(html, nowhere));
    }
    let drawn: BTreeSet<&str> = world().map(|shape| shape.code).collect();
    let missing: Vec<String> =
        lands.keys().filter(|code| !drawn.contains(code.as_str())).map(|code| words::country(code)).collect();
    if !missing.is_empty() {
        html.raw("<p class=\"note\">Without a marker on this map: ").text(&missing.join(", ")).raw("</p>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_world_is_read_and_small_places_have_a_point() {
        assert_eq!(world().count(), WORLD.lines().count());
        for code in ["SG", "HK", "MT", "BH", "LU", "XK"] {
            let shape = world().find(|shape| shape.code == code).unwrap();
            assert!(shape.point.0 > 0.0 && shape.point.0 < SIZE.0 && shape.point.1 < SIZE.1, "{code}");
        }
        for shape in world().filter(|shape| !shape.outline.is_empty()) {
            let allowed = |letter: char| letter.is_ascii_digit() || "Mlz- ".contains(letter);
            assert!(shape.outline.chars().all(allowed), "{}", shape.code);
        }
    }

    #[test]
    fn markers_keep_apart_and_inside() {
        let codes =
            ["DE", "NL", "BE", "LU", "FR", "CH", "AT", "CZ", "PL", "DK", "GB", "IE", "IT", "SI", "FJ", "NZ"];
        let land =
            || Land { counts: Part::ALL.into_iter().map(|part| (part, 1)).collect(), ..Land::default() };
        let lands: BTreeMap<String, Land<'_>> =
            codes.iter().map(|code| ((*code).to_owned(), land())).collect();
        let markers = markers(&lands);
        assert_eq!(markers.len(), codes.len());
        for (place, one) in markers.iter().enumerate() {
            assert!(
                one.at.0 - one.width / 2.0 >= 0.0 && one.at.0 + one.width / 2.0 <= SIZE.0,
                "{}",
                one.code
            );
            for other in &markers[place + 1..] {
                let apart = (one.at.0 - other.at.0).abs() >= f64::midpoint(one.width, other.width)
                    || (one.at.1 - other.at.1).abs() >= HEIGHT;
                assert!(apart, "{} and {}", one.code, other.code);
            }
        }
    }
}
