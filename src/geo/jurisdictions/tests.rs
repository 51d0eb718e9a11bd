//! Truth: dates of the texts that `geoip/jurisdictions.toml` names, and lists of members as others publish them.

use super::*;

fn table() -> Jurisdictions {
    Jurisdictions::embedded().unwrap()
}

fn country(code: &str) -> Country {
    Country::parse(code).unwrap()
}

fn on(day: &str) -> Timestamp {
    day.parse::<Date>().unwrap().noon()
}

fn members(table: &Jurisdictions, group: &str, day: &str) -> Vec<String> {
    let at = Some(on(day));
    let all = (b'A'..=b'Z').flat_map(|first| (b'A'..=b'Z').map(move |second| [first, second]));
    let codes = all.filter_map(|code| Country::parse(std::str::from_utf8(&code).unwrap()));
    let mut inside: Vec<String> = codes
        .filter(|country| table.in_group(group, *country, at) == Some(true))
        .map(|country| country.code().to_owned())
        .collect();
    inside.sort();
    inside.dedup(); // UK is GB
    inside
}

#[test]
fn groups_have_their_members_of_the_day() {
    let table = table();
    let ids: Vec<&str> = table.groups().iter().map(|group| group.id.as_str()).collect();
    assert_eq!(ids, ["eu", "eea", "gdpr_adequate", "five_eyes", "nine_eyes", "fourteen_eyes"]);
    // The members as the University of Illinois Library lists them.
    let now = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK";
    // Parts of member states that ISO 3166-1 gives codes of their own.
    let overseas = ["AX", "GF", "GP", "MF", "MQ", "RE", "YT"];
    let states = |day: &str| {
        let (parts, states): (Vec<_>, Vec<_>) =
            members(&table, "eu", day).into_iter().partition(|code| overseas.contains(&code.as_str()));
        assert_eq!(parts, overseas, "{day}");
        states
    };
    assert_eq!(states("2026-11-26").join(" "), now);
    assert_eq!(states("2020-01-31").len(), 28);
    assert_eq!(states("2013-06-30").len(), 27, "with GB, without HR");
    assert_eq!(states("2004-04-30").len(), 15);
    let eea = members(&table, "eea", "2026-11-26");
    assert_eq!(eea.len(), 30);
    assert!(["IS", "LI", "NO"].iter().all(|code| eea.contains(&(*code).to_owned())));
    let adequate = "AD AR BR CA CH FO GB GG IL IM JE JP KR NZ US UY";
    assert_eq!(members(&table, "gdpr_adequate", "2026-11-26").join(" "), adequate);
    assert_eq!(members(&table, "five_eyes", "2020-03-27").join(" "), "AU CA GB NZ US");
    assert_eq!(members(&table, "nine_eyes", "2020-03-27").len(), 9);
    assert_eq!(members(&table, "fourteen_eyes", "2020-03-27").len(), 14);
}

#[test]
fn adequacy_of_the_united_states_comes_and_goes_with_its_scope() {
    let table = table();
    let us = country("US");
    for (day, expected) in [
        ("2016-07-11", None),
        ("2016-07-12", Some("Privacy Shield")),
        ("2020-07-16", Some("Privacy Shield")),
        ("2020-07-17", None),
        ("2023-07-09", None),
        ("2023-07-10", Some("Data Privacy Framework")),
    ] {
        assert_eq!(table.in_group("gdpr_adequate", us, Some(on(day))), Some(expected.is_some()), "{day}");
        let row =
            table.memberships(us, Some(on(day))).into_iter().find(|(group, _)| group.id == "gdpr_adequate");
        match expected {
            Some(word) => assert!(row.unwrap().1.scope.as_deref().unwrap().contains(word), "{day}"),
            None => assert!(row.is_none(), "{day}"),
        }
    }
}

#[test]
fn the_united_kingdom_leaves_the_union_and_is_found_adequate_later() {
    let table = table();
    let groups = |day| {
        let rows = table.memberships(country("GB"), Some(on(day)));
        rows.iter().map(|(group, _)| group.id.clone()).filter(|id| !id.ends_with("eyes")).collect::<Vec<_>>()
    };
    assert_eq!(groups("2020-01-31"), ["eu", "eea"]);
    assert_eq!(groups("2020-02-01"), Vec::<String>::new());
    assert_eq!(groups("2021-06-28"), ["gdpr_adequate"]);
}

#[test]
fn laws_are_those_of_the_captures_day() {
    let table = table();
    let laws = |code, day| {
        table.laws(country(code), Some(on(day))).iter().map(|law| law.instrument.clone()).collect::<Vec<_>>()
    };
    // The spring of 2020, and the day before and the day on which the Data Security Law came into force.
    assert_eq!(laws("CN", "2020-03-27"), ["National Intelligence Law", "Cybersecurity Law"]);
    assert!(!laws("CN", "2021-08-31").contains(&"Data Security Law".to_owned()));
    assert!(laws("CN", "2021-09-01").contains(&"Data Security Law".to_owned()));
    assert_eq!(laws("HK", "2020-07-06"), Vec::<String>::new());
    assert_eq!(laws("HK", "2026-11-26").len(), 2);
    let evidence = "e-Evidence Regulation (EU) 2023/1543".to_owned();
    assert!(!laws("DE", "2026-08-17").contains(&evidence));
    assert!(laws("DE", "2026-08-18").contains(&evidence));
    assert!(!laws("DK", "2026-11-26").contains(&evidence), "Denmark is not bound");
    assert!(!laws("NO", "2026-11-26").contains(&evidence), "Norway is no member of the Union");
    assert!(laws("NO", "2026-11-26").iter().any(|law| law.starts_with("General Data Protection")));
}

#[test]
fn without_a_date_nothing_dated_holds() {
    let table = table();
    for at in [None, Some(Timestamp::default())] {
        assert_eq!(table.in_group("eu", country("DE"), at), Some(false));
        assert_eq!(table.in_group("five_eyes", country("US"), at), Some(true), "the label has no dates");
        assert_eq!(table.laws(country("CN"), at), Vec::<&Law>::new());
    }
}

#[test]
fn a_group_that_is_not_there_is_no_answer() {
    assert_eq!(table().in_group("six_eyes", country("US"), Some(on("2026-11-26"))), None);
}

#[test]
fn what_is_open_is_unchecked_and_press_labels_say_so() {
    let table = table();
    let open: Vec<&Law> = table.all_laws().iter().filter(|law| law.verify.is_some()).collect();
    assert!(open.iter().any(|law| law.instrument.starts_with("FISA section 702")));
    assert!(open.iter().all(|law| law.unchecked));
    for group in table.groups().iter().filter(|group| group.id.ends_with("_eyes")) {
        assert_eq!(group.basis, GroupBasis::PressLabel);
        assert!(group.note.contains("label") && group.members.iter().all(|member| member.unchecked));
    }
    let checked = table.all_laws().iter().filter(|law| !law.unchecked);
    assert!(checked.clone().count() >= 10);
    assert!(checked.into_iter().all(|law| law.checked_on.is_some() && !law.source_title.is_empty()));
}

#[test]
fn rows_of_one_country_in_one_group_do_not_overlap() {
    for group in table().groups() {
        for (at, row) in group.members.iter().enumerate() {
            for other in group.members.iter().skip(at + 1).filter(|other| other.country == row.country) {
                assert!(row.valid_to < other.valid_from, "{} {:?}", group.id, row.country);
            }
        }
    }
}

#[test]
fn an_error_names_line_and_field() {
    let spoilt = |from: &str, to: &str| {
        assert!(EMBEDDED.contains(from), "{from}");
        file::parse(&EMBEDDED.replacen(from, to, 1)).unwrap_err()
    };
    let line_of = |text: &str| EMBEDDED[..EMBEDDED.find(text).unwrap()].matches('\n').count() + 1;

    let error = spoilt("valid_to = \"2020-01-31\"", "valid_to = \"2020-01-32\"");
    assert_eq!((error.line, error.field.as_str()), (line_of("valid_to = \"2020-01-31\""), "valid_to"));
    assert!(error.to_string().starts_with("geoip/jurisdictions.toml:"), "{error}");
    assert!(error.reason.contains("expected a day as YYYY-MM-DD"), "{error}");

    let error = spoilt("iso = \"CN\"", "iso = \"EU\"");
    assert_eq!((error.line, error.field.as_str()), (line_of("iso = \"CN\""), "iso"));
    let error = spoilt("kind = \"data_protection\"", "kind = \"privacy\"");
    assert!(error.reason.contains("data_protection"), "{error}");
    let error = spoilt("scope = \"commercial organisations\"", "scop = \"commercial organisations\"");
    assert!(error.reason.contains("unknown field `scop`"), "{error}");
    for (from, to, reason) in [
        ("valid_to = \"2020-01-31\"", "valid_to = \"1970-01-31\"", "before valid_from"),
        ("checked_on = \"2026-11-26\"\n", "", "checked_on, or unchecked"),
        ("group = \"eu\"", "group = \"efta\"", "no group is called efta"),
        ("valid_from = \"2018-03-23\"\n", "", "needs valid_from"),
        ("status = \"verify\"\n", "", "come together"),
    ] {
        let error = spoilt(from, to);
        assert!(error.reason.contains(reason) && error.line > 1, "{error}");
    }
}
