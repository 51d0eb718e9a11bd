//! About the report: what was read, how, with what, and what cannot be seen. In: the `stats` record. Out: markup.

use super::super::record::{FileRecord, StatsRecord};
use super::super::text::footer::{BLIND, age, key_log_words, memory_words, oddities, packets, quoted};
use super::super::text::session::bytes;
use super::markup::Html;
use super::words;

/// The section.
pub(super) fn write(html: &mut Html, stats: &StatsRecord) {
    html.raw("<footer id=\"about\"><h2>About this report</h2><dl class=\"facts\">");
    html.pair("Made by", &format!("meetscope {}", stats.version));
    if !stats.command.is_empty() {
        html.raw("<div><dt>Command line</dt><dd><code class=\"wrap\">");
        html.text(&stats.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
        html.raw("</code></dd></div>");
    }
    html.pair("Packets", &packets(stats));
    let odd = oddities(stats);
    if !odd.is_empty() {
        html.pair("Not seen", &odd.join("; "));
    }
    if let Some(data) = &stats.providers {
        let date = data.retrieved.as_deref().unwrap_or("unknown date");
        html.pair("Provider files", &format!("{} providers, sources retrieved {date}", data.count));
    }
    if let Some(memory) = &stats.memory {
        html.pair("Memory", &memory_words(memory));
    }
    html.pair("Blind to", BLIND);
    html.raw("</dl>");
    files(html, &stats.files);
    if !stats.key_logs.is_empty() {
        html.raw("<h3>Key logs</h3><ul class=\"plain\">");
        for log in &stats.key_logs {
            html.word("li", "", &key_log_words(log));
        }
        html.raw("</ul>");
    }
    policies(html, stats);
    databases(html, stats);
    html.raw(
        "<p class=\"note\">A report of a passive observer: it says what packets show, with the packets that show it. Map data: Natural \
         Earth (public domain) by way of world-atlas (ISC). This file asks nothing of any network; its policy forbids it.</p></footer>",
    );
}

fn files(html: &mut Html, files: &[FileRecord]) {
    html.raw("<h3>Inputs</h3>");
    html.stack("Inputs", &["File", "Name", "#Packets", "#Size", "SHA-256"], |html| {
        for (number, file) in files.iter().enumerate() {
            html.raw("<tr>");
            html.word("td", "nb", &format!("file {number}"));
            html.raw("<td class=\"wrap\">").text(&file.name);
            if let Some(error) = &file.error {
                html.raw("<br><b>not read to its end:</b> ").text(error);
            }
            if file.changed_while_read {
                html.raw(
                    "<br><b>changed while it was read:</b> the sum may be of other bytes than the report",
                );
            }
            for (name, count) in &file.anomalies {
                html.raw("<br>").say(format_args!("{count} {name}"));
            }
            html.raw("</td>");
            html.raw("<td class=\"n\">").say(format_args!("{}", file.packets));
            html.raw("<span class=\"unit\"> packets</span></td>");
            html.word(
                "td",
                "n",
                &file.bytes.map_or_else(|| "-".to_owned(), |size| format!("{} ({size} bytes)", bytes(size))),
            );
            let sum = file.sha256.as_deref().or(file.not_hashed.as_deref()).unwrap_or("not computed");
            html.raw("<td><span class=\"unit\">SHA-256 </span><code class=\"wrap\">")
                .text(sum)
                .raw("</code></td></tr>");
        }
    });
}

fn policies(html: &mut Html, stats: &StatsRecord) {
    if stats.policies.is_empty() {
        return;
    }
    html.raw("<h3>Policy</h3>");
    html.table("Policy files", &["File", "#Rules", "#Exceptions", "SHA-256"], |html| {
        for policy in &stats.policies {
            html.raw("<tr>");
            html.word("td", "wrap", &policy.name);
            html.word("td", "n", &policy.rules.to_string());
            html.word("td", "n", &policy.exceptions.to_string());
            html.raw("<td><code class=\"wrap\">").text(&policy.sha256).raw("</code></td></tr>");
        }
    });
}

fn databases(html: &mut Html, stats: &StatsRecord) {
    html.raw("<h3>Location databases</h3>");
    if stats.databases.is_empty() {
        html.raw("<p>None: no server is placed.</p>");
        return;
    }
    let heads = ["Database", "Built", "Source", "Licence and attribution", "SHA-256"];
    html.stack("Location databases", &heads, |html| {
        for database in &stats.databases {
            html.raw("<tr>");
            html.word("th", "", &database.name);
            html.raw("<td><span class=\"unit\">built </span>").text(&database.build_date);
            if let Some(age) = age(database, stats.files.len() > 1) {
                html.raw("<br>").word("small", "", &age);
            }
            html.raw("</td>");
            html.word("td", "wrap", &database.source);
            html.word("td", "", &format!("{}: {}", database.licence, database.attribution));
            html.raw("<td><span class=\"unit\">SHA-256 </span><code class=\"wrap\">").text(&database.sha256);
            html.raw("</code></td></tr>");
        }
    });
    html.raw("<p class=\"note\">").say(format_args!(
        "{} asked; each answer in this report names its database and date.",
        words::counted(stats.databases.len(), "database")
    ));
    html.raw("</p>");
}
