//! What each stage takes: `cargo bench`. In: the captures of this repository, and five-tuples that are counted up.
//!
//! Times depend on the machine and on what else it does; `script/instructions` counts what does not.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a benchmark whose input is missing has nothing to say; the input is our own"
)]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

use meetscope::capture::{self, LinkType, Merge, Order};
use meetscope::classify::{self, Names, Rules};
use meetscope::decode::{self, Decoder};
use meetscope::flow::{FiveTuple, Key, Limits, Packet, Table};
use meetscope::observe::Summary;
use meetscope::parallel::Threads;
use meetscope::pipeline::{self, Analysis, Memory, Pipeline};
use meetscope::time::Timestamp;
use meetscope::{geo, report};

fn main() {
    divan::main();
}

/// A packet with bytes of its own.
struct Held {
    time: Timestamp,
    link_type: LinkType,
    original_len: u32,
    data: Vec<u8>,
}

impl Held {
    fn packet(&self) -> capture::Packet<'_> {
        let Self { time: timestamp, link_type, original_len, data } = self;
        capture::Packet {
            timestamp: *timestamp,
            link_type: *link_type,
            interface: 0,
            original_len: *original_len,
            data,
            block: None,
        }
    }
}

fn packets() -> Vec<Held> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("captures");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pcapng"));
    paths.sort();
    let mut merge = Merge::open(paths, Order::Time);
    let mut all = Vec::new();
    while let Some((_, packet)) = merge.next() {
        all.push(Held {
            time: packet.timestamp,
            link_type: packet.link_type,
            original_len: packet.original_len,
            data: packet.data.to_vec(),
        });
    }
    assert!(all.len() > 10_000, "the captures are there");
    all
}

fn bytes(packets: &[Held]) -> BytesCount {
    BytesCount::new(packets.iter().map(|held| held.data.len()).sum::<usize>())
}

fn flows(rules: &Rules, packets: &[Held]) -> Vec<Summary> {
    let mut pipeline = Pipeline::new(&pipeline::Config::default(), rules);
    for (frame, held) in (1..).zip(packets) {
        pipeline.packet(0, frame, &held.packet()).unwrap();
    }
    pipeline.finish().flows
}

/// Headers to addresses and transport.
#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let packets = packets();
    bencher.counter(bytes(&packets)).counter(ItemsCount::new(packets.len())).bench_local(|| {
        let mut decoder = Decoder::new(decode::Config::default());
        for held in &packets {
            black_box(decoder.decode(held.link_type.0, held.time, &held.data, held.original_len));
        }
    });
}

/// Flows that begin, with four packets each, and all that the table does for them.
#[divan::bench(args = [10_000, 100_000])]
fn flow_table(bencher: Bencher<'_, '_>, flows: u32) {
    let server = SocketAddr::from(([192, 0, 2, 7], 443));
    bencher.counter(ItemsCount::new(u64::from(flows) * 4)).bench_local(|| {
        let mut table: Table<[u64; 8]> = Table::new(Limits::default());
        let mut number = 0;
        for turn in 0..4_u32 {
            for flow in 0..flows {
                number += 1;
                let client = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 | flow), 40_000));
                let (source, destination) = if turn % 2 == 0 { (client, server) } else { (server, client) };
                let (key, source_is_low) = Key::of(&FiveTuple { source, destination, protocol: 6 });
                let packet = Packet {
                    key,
                    source_is_low,
                    timestamp: Timestamp::default().plus(Duration::from_micros(number)),
                    number,
                    wire_len: 100,
                    payload_len: 46,
                };
                black_box(table.packet(&packet, || [0; 8], &mut |_| {}));
            }
        }
        for ended in table.finish() {
            black_box(ended.flow.packets);
        }
    });
}

/// Packets to facts: decoder, table, dissectors.
#[divan::bench]
fn dissect(bencher: Bencher<'_, '_>) {
    let (rules, packets) = (classify::embedded().unwrap(), packets());
    bencher
        .counter(bytes(&packets))
        .counter(ItemsCount::new(packets.len()))
        .bench_local(|| flows(&rules, &packets));
}

/// Flows to verdicts.
#[divan::bench]
fn classify(bencher: Bencher<'_, '_>) {
    let rules = classify::embedded().unwrap();
    let flows = flows(&rules, &packets());
    let mut names = Names::default();
    for flow in &flows {
        names.learn(flow);
    }
    bencher
        .counter(ItemsCount::new(flows.len()))
        .with_inputs(|| flows.clone())
        .bench_local_values(|flows| classify::judge(&rules, &names, flows, Threads::ONE));
}

fn analysed(rules: &Rules) -> Analysis {
    pipeline::analyse(rules, &mut Memory::default(), flows(rules, &packets()), Threads::ONE)
}

/// Flows to verdicts, sessions, keys and meetings.
#[divan::bench]
fn analyse(bencher: Bencher<'_, '_>) {
    let rules = classify::embedded().unwrap();
    let flows = flows(&rules, &packets());
    bencher
        .counter(ItemsCount::new(flows.len()))
        .with_inputs(|| flows.clone())
        .bench_local_values(|flows| pipeline::analyse(&rules, &mut Memory::default(), flows, Threads::ONE));
}

/// Records of all kinds as NDJSON.
#[divan::bench(args = ["flow", "session"])]
fn writer(bencher: Bencher<'_, '_>, kind: &str) {
    let rules = classify::embedded().unwrap();
    let analysis = analysed(&rules);
    let databases = geo::Databases::embedded().unwrap();
    let kind = if kind == "flow" { report::Kind::Flow } else { report::Kind::Session };
    let style =
        report::Style { format: report::Format::Ndjson, kinds: Some(vec![kind]), ..report::Style::default() };
    bencher.bench_local(|| {
        let mut out = Vec::new();
        let mut context = report::Context::new(&rules, &databases, false);
        report::write_records(&mut out, &mut context, &analysis, &style).unwrap();
        out.len()
    });
}
