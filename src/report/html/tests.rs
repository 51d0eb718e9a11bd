//! The page is what its policy says, harmless whatever strangers wrote, and whole where records lack parts.

use super::super::tests::{Made, beijing, hostile};
use super::super::{Format, Style};
use super::*;

fn page(made: &Made) -> String {
    made.written(&Style { format: Format::Html, ..Style::default() })
}

/// What stands between two marks.
fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let (_, rest) = text.split_once(from).unwrap();
    rest.split_once(to).unwrap().0
}

/// Elements that need no end tag.
const VOID: [&str; 5] = ["meta", "br", "input", "!DOCTYPE", "link"];

/// Reads tags as an HTML parser would and asks that each that begins ends, in order.
fn check_nesting(html: &str) {
    let mut open: Vec<String> = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, more) = after.split_once('>').expect("a tag ends");
        rest = more;
        let name: String =
            tag.trim_start_matches('/').chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes of <{tag}>");
        if let Some(closing) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closing), "</{closing}> ends what was begun");
        } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            // What is in these is no markup.
            if name == "script" || name == "style" {
                let end = format!("</{name}>");
                rest = rest.split_once(end.as_str()).expect("it ends").1;
            } else {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn policy_allows_the_style_and_the_script_of_the_page_and_nothing_else() {
    let html = page(&beijing());
    let policy =
        between(&html, "http-equiv=\"Content-Security-Policy\" content=\"", "\"").replace("&#39;", "'");
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())));
    let style = hash(between(&html, "<style>", "</style>"));
    let script = hash(between(&html, "<script>", "</script>"));
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(policy.contains(&format!("style-src {style};")), "{policy}");
    assert!(policy.contains(&format!("script-src {script};")), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for (text, rest) in [(STYLE, "</style"), (SCRIPT, "</script"), (SCRIPT, "<!--")] {
        assert!(!text.contains(rest), "{rest} would end it");
    }
}

#[test]
fn tags_nest_and_nothing_is_fetched_or_handled_inline() {
    for made in [beijing(), hostile(), Made::of(Vec::new())] {
        let html = page(&made);
        check_nesting(&html);
        let markup = html.split("<script>").next().unwrap();
        let markup = markup.split_once("</style>").unwrap().1;
        for banned in
            [" style=", " onclick=", " onload=", " onerror=", " src=", "http://", "https://", "javascript:"]
        {
            assert!(!markup.to_lowercase().contains(banned), "{banned}");
        }
        assert!(html.chars().all(|letter| letter == '\n' || !letter.is_control()));
    }
}

#[test]
fn what_strangers_wrote_stays_words() {
    let mut made = hostile();
    let evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u{202e}\"'\u{1}";
    made.files[0].name = evil.to_owned();
    let html = page(&made);
    check_nesting(&html);
    assert!(!html.contains("<img") && !html.contains("<script>alert"), "markup of a stranger");
    assert!(!html.contains(['\u{202e}', '\u{2066}', '\u{1b}']), "a character that misleads");
    assert_eq!(html.matches("<script>").count(), 1);
    assert!(
        html.contains("&lt;img src=x onerror=alert(2)&gt;\\u{202e}&quot;&#39;\\u{1}"),
        "the name is shown"
    );
}

#[test]
fn answer_stands_first_and_is_that_of_the_text_report() {
    let made = beijing();
    let html = page(&made);
    let headline = between(&html, "<p class=\"headline\">", "</p>");
    assert!(headline.starts_with("1 of 2 Zoom sessions: candidate key server 52.81.151.250"), "{headline}");
    assert!(html.find("id=\"answer\"") < html.find("id=\"map\""));
    assert!(html.find("id=\"map\"") < html.find("id=\"sessions\""));
    assert!(
        html.contains("aria-label=\"CN (China): 1 could hold a media key"),
        "the marker says what it stands for"
    );
    assert!(html.contains("Informational, not legal advice"));
    assert!(html.contains("<code>frame.number == 4</code>"), "the packet is one click away");
}

#[test]
fn claims_keep_to_what_a_sniffer_can_know() {
    for made in [beijing(), hostile()] {
        let html = page(&made);
        let words = html.split_once("</style>").unwrap().1.split("<script").next().unwrap().to_owned();
        for claim in [" holds the key", " is in CN", " is located in ", " not ECB"] {
            assert!(!words.contains(claim), "{claim:?}");
        }
    }
}

#[test]
fn same_run_same_bytes() {
    assert_eq!(page(&beijing()), page(&beijing()));
}

#[test]
fn kinds_that_nobody_asked_for_are_left_out() {
    let made = beijing();
    let html =
        made.written(&Style { format: Format::Html, kinds: Some(vec![Kind::Stats]), ..Style::default() });
    check_nesting(&html);
    assert!(html.contains("id=\"about\"") && !html.contains("id=\"list\""));
}

#[test]
fn data_of_the_script_is_json_and_has_each_session_once() {
    let html = page(&beijing());
    let json = between(&html, "<script type=\"application/json\" id=\"data\">", "</script>");
    let data: Value = serde_json::from_str(json).unwrap();
    let names: Vec<&str> =
        data["sessions"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["s20", "s21"]);
    assert_eq!(data["sessions"][0]["cc"], serde_json::json!(["CN"]));
}

#[test]
fn a_finding_of_a_kind_is_linked_to_the_sessions_that_it_is_true_of() {
    let html = page(&beijing());
    let table = between(&html, "<caption class=\"vh\">Findings by kind</caption>", "</table>");
    let sentence = table.split("<li>").find(|row| row.contains("52.81.151.250")).unwrap();
    let sentence = sentence.split_once("</li>").unwrap().0;
    assert!(sentence.starts_with("Zoom: "), "{sentence}");
    assert!(sentence.contains("href=\"#s20\"") && !sentence.contains("href=\"#s21\""), "{sentence}");
}

#[test]
fn a_report_of_no_session_explains_nothing_that_is_not_there() {
    let html = page(&Made::of(Vec::new()));
    for absent in
        ["id=\"map\"", "href=\"#map\"", "A marker stands", "Session by session", "No database places"]
    {
        assert!(!html.contains(absent), "{absent}");
    }
    assert!(html.contains("No meeting was seen."));
}
