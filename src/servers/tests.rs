//! The rule of equality on made-up answers, and that adding is a set's union.

use super::*;

const CLIENT: &str = "t12d930700_72a4e8475a2e_4446390ac224";
const BROWSER: &str = "t13d1516h2_8daaf6152771_02713d6af862";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs_nanos(seconds, 0)
}

fn answer(client: &str, version: u16, extensions: &[u16], seconds: i64) -> Answer {
    Answer {
        client: client.to_owned(),
        behaviour: Behaviour { version, cipher: 0xc02f, extensions: extensions.to_vec(), alpn: None },
        ja3s: String::new(),
        port: 443,
        first_seen: at(seconds),
        last_seen: at(seconds),
    }
}

fn inventory(servers: &[(u8, &[Answer])]) -> Inventory {
    let mut inventory = Inventory::default();
    for (last, answers) in servers {
        let mut server = Server::new("zoom".to_owned(), [192, 0, 2, *last].into(), at(1), at(2));
        for answer in *answers {
            server.answer(answer.clone());
        }
        inventory.insert(server);
    }
    inventory
}

/// Last octets of each group's members, the largest group first.
fn grouped(servers: &[(u8, &[Answer])]) -> Vec<Vec<u8>> {
    let last = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(_) => 0,
    };
    groups(&inventory(servers)).iter().map(|group| group.servers.iter().map(last).collect()).collect()
}

#[test]
fn equal_answers_to_like_clients_are_one_group_and_others_are_not() {
    let one = [answer(CLIENT, 0x0303, &[65281, 11, 35], 1)];
    let other = [answer(CLIENT, 0x0303, &[65281, 35, 11], 1)];
    assert_eq!(grouped(&[(1, &one), (2, &one), (3, &other)]), [vec![1, 2], vec![3]], "the order counts");
}

#[test]
fn an_old_answer_links_over_unlike_clients_and_a_bare_one_does_not() {
    let old = |client| [answer(client, 0x0303, &[65281, 11, 35], 1)];
    assert_eq!(grouped(&[(1, &old(CLIENT)), (2, &old(BROWSER))]), [vec![1, 2]]);
    let bare = |client| [answer(client, 0x0304, &[43, 51], 1)];
    assert_eq!(grouped(&[(1, &bare(CLIENT)), (2, &bare(BROWSER))]).len(), 2);
    assert_eq!(grouped(&[(1, &bare(CLIENT)), (2, &bare(CLIENT))]), [vec![1, 2]]);
}

#[test]
fn a_difference_outweighs_an_equality() {
    // Alike to one client, unlike to the other: not the same.
    let first = [answer(CLIENT, 0x0303, &[1, 2], 1), answer(BROWSER, 0x0303, &[3], 1)];
    let second = [answer(CLIENT, 0x0303, &[1, 2], 1), answer(BROWSER, 0x0303, &[4], 1)];
    assert_eq!(grouped(&[(1, &first), (2, &second)]).len(), 2);
    let ids: Vec<String> =
        groups(&inventory(&[(1, &first), (2, &second)])).into_iter().map(|group| group.id).collect();
    assert_ne!(ids[0], ids[1], "although the answer that was seen first is the same");
}

#[test]
fn what_one_server_answers_to_two_clients_is_one_software() {
    let both = [answer(CLIENT, 0x0303, &[1, 2], 1), answer(BROWSER, 0x0304, &[43, 51], 1)];
    let (first, second) = ([both[0].clone()], [both[1].clone()]);
    assert_eq!(grouped(&[(1, &first), (2, &both), (3, &second)]), [vec![1, 2, 3]]);
}

#[test]
fn a_front_for_several_joins_no_others() {
    let first = [answer(CLIENT, 0x0303, &[1], 1)];
    let second = [answer(CLIENT, 0x0303, &[2], 1)];
    let front = [first[0].clone(), second[0].clone()];
    assert_eq!(grouped(&[(1, &front), (2, &first), (3, &second), (4, &second)]), [vec![1, 3, 4], vec![2]]);
}

#[test]
fn an_identifier_does_not_change_when_more_of_the_same_is_seen() {
    let id = |servers: &[(u8, &[Answer])]| groups(&inventory(servers))[0].id.clone();
    let early = [answer(CLIENT, 0x0303, &[1], 5)];
    let late = [answer(CLIENT, 0x0303, &[1], 9), answer(BROWSER, 0x0303, &[0], 9)];
    assert_eq!(id(&[(1, &early)]), id(&[(1, &late), (2, &early), (3, &early)]));
    assert_eq!(id(&[(1, &early)]).len(), 12);
}

#[test]
fn adding_again_changes_nothing_and_order_does_not_matter() {
    let first =
        inventory(&[(1, &[answer(CLIENT, 0x0303, &[1], 5)]), (2, &[answer(CLIENT, 0x0303, &[1], 5)])]);
    let second = inventory(&[(2, &[answer(BROWSER, 0x0303, &[1], 3)]), (3, &[])]);
    let join = |parts: &[&Inventory]| {
        let mut all = Inventory::default();
        for part in parts {
            all.merge((*part).clone());
        }
        all
    };
    let once = join(&[&first, &second]);
    assert_eq!(once, join(&[&second, &first]));
    assert_eq!(once, join(&[&first, &second, &first, &second]));
}

#[test]
fn full_lists_keep_what_their_rule_says_in_any_order() {
    let touch =
        |second: i64| Touch { start: at(second), endpoint: [10, 0, 0, 1].into(), end: at(second + 1) };
    let made = |seconds: &mut dyn Iterator<Item = i64>| {
        let mut server = Server::new("zoom".to_owned(), [192, 0, 2, 1].into(), at(1), at(2));
        for second in seconds {
            server.touch(touch(second));
            server.name(&format!("n{second:04}.zoom.us"));
            server.answer(answer(CLIENT, 0x0303, &[u16::try_from(second).unwrap()], second));
        }
        server
    };
    let upwards = made(&mut (0..1000));
    assert_eq!(upwards, made(&mut (0..1000).rev()));
    assert!(upwards.more && upwards.more_sessions);
    assert_eq!(upwards.sessions.last(), Some(&touch(999)), "the latest sessions");
    assert_eq!(upwards.answers.iter().map(|held| held.first_seen).min(), Some(at(0)), "the first answers");
    let mut again = upwards.clone();
    again.merge(made(&mut (0..1000)));
    assert_eq!(again, upwards);
}

#[test]
fn the_servers_seen_last_are_kept_when_there_are_too_many() {
    let mut inventory = Inventory::default();
    for number in 0..u32::try_from(SERVERS).unwrap() + 10 {
        let address = IpAddr::from(number.to_be_bytes());
        inventory.insert(Server::new("zoom".to_owned(), address, at(0), at(number.into())));
    }
    inventory.trim();
    assert_eq!((inventory.len(), inventory.evicted()), (SERVERS, 10));
    assert!(inventory.server("zoom", [0, 0, 0, 9].into()).is_none());
    assert!(inventory.server("zoom", [0, 0, 0, 10].into()).is_some());
}
