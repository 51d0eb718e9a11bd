//! Judging in place, in parts, against the same rule written down plainly: what a flow says of itself is kept apart, all at once.

use std::path::PathBuf;

use super::*;
use crate::capture::{Merge, Order};
use crate::pipeline::{Config, Pipeline};

/// The flows of all captures of the project as of one, and names that their DNS tells. Of every third flow what names it is taken away, and
/// the originator of a flow is that of the one before, so that more is lent than in any capture.
fn flows(rules: &Rules) -> (Names, Vec<Summary>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng"));
    files.sort();
    assert!(files.len() > 10);
    let mut all = Vec::new();
    for (number, file) in (0..).zip(files) {
        let mut pipeline = Pipeline::new(&Config::default(), rules);
        let mut merge = Merge::open(vec![file], Order::Time);
        let mut frame = 0;
        while let Some((_, packet)) = merge.next() {
            frame += 1;
            pipeline.packet(number, frame, &packet).unwrap();
        }
        all.extend(pipeline.finish().flows);
    }
    let mut names = Names::default();
    for flow in &all {
        names.learn(flow);
    }
    for index in 1..all.len() {
        let before = all[index - 1].tuple.source;
        let flow = &mut all[index];
        if index % 3 == 0
            && let Some(facts) = &mut flow.facts
        {
            (facts.tls, facts.zoom, facts.sip) = (None, None, None);
            facts.marks = crate::observe::facts::Few::default();
        }
        if index % 2 == 0 {
            flow.tuple.source = before;
        }
    }
    (names, all)
}

/// The rule as it is told in [`judge`]: alone, then what others lend, twice.
fn plainly(rules: &Rules, names: &Names, flows: &[Summary]) -> (Vec<Judged>, [usize; 3]) {
    let own: Vec<Vec<Evidence>> = flows.iter().map(|flow| own_evidence(rules, names, flow)).collect();
    let mut judged: Vec<Judged> = flows.iter().cloned().map(Judged::from).collect();
    let mut ties = ties::Ties::default();
    let mut is_open = Vec::new();
    for (judged, own) in judged.iter_mut().zip(&own) {
        let ranking = verdict::rank(own);
        is_open.push(can_borrow(&judged.flow, &ranking));
        judged.verdict = conclude(&judged.flow, ranking, own.clone());
        ties.learn(&judged.flow, &judged.verdict);
    }
    // Lent to flows without a name, to flows with one, and in the second round.
    let mut lent = [0; 3];
    for round in 0..ROUNDS {
        let mut news = Vec::new();
        for (index, own) in own.iter().enumerate().filter(|(index, _)| is_open[*index]) {
            let flow = &flows[index];
            let borrowed = if is_named(flow) { ties.choice(flow, own) } else { ties.evidence(flow) };
            if !borrowed.is_empty() {
                let evidence: Vec<Evidence> = own.iter().cloned().chain(borrowed).collect();
                let ranking = verdict::rank(&evidence);
                let stays = can_borrow(flow, &ranking);
                news.push((index, stays, conclude(flow, ranking, evidence)));
            }
        }
        for (index, stays, verdict) in news {
            let had_a_name = judged[index].verdict.provider.is_some();
            lent[usize::from(had_a_name)] += 1;
            lent[2] += round;
            ties.learn(&flows[index], &verdict);
            judged[index].verdict = verdict;
            is_open[index] = stays;
        }
    }
    visits::settle(rules, &mut judged);
    (judged, lent)
}

#[test]
fn what_is_judged_in_place_and_in_parts_is_what_the_plain_rule_gives() {
    let rules = embedded().unwrap();
    let (names, flows) = flows(&rules);
    let (expected, lent) = plainly(&rules, &names, &flows);
    assert!(flows.len() > 100 && lent.iter().all(|count| *count > 5), "{} flows, lent {lent:?}", flows.len());
    for (part, threads) in [(1, 1), (7, 1), (7, 3), (64, 2), (PART, 1)] {
        let found = judge_in_parts(&rules, &names, flows.clone(), Threads::new(threads), part);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let (one, other) = (&found.verdict, &expected.verdict);
            assert_eq!(found.flow.id, expected.flow.id);
            assert_eq!(
                (one.provider, one.role, &one.evidence),
                (other.provider, other.role, &other.evidence)
            );
            assert_eq!(
                (one.confidence.to_bits(), one.runner_up),
                (other.confidence.to_bits(), other.runner_up)
            );
        }
    }
}
