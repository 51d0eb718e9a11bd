//! Captures that were damaged, on their way or on purpose: whatever is done to them, every packet is accounted for, every record is
//! JSON, and nothing panics or takes long. By default some hundred, made of the generated captures; `script/mutate` makes as many as
//! are asked for, also of the corpus. What one did is repeated by its seed.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests count on small known numbers"
)]

mod mutator;
#[path = "../../examples/make_captures/splitmix.rs"]
mod splitmix;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use meetscope::capture::FileReader;
use meetscope::classify::{self, Rules};
use meetscope::geo::Databases;
use meetscope::parallel::Threads;
use meetscope::pipeline::{self, Config, Pipeline};
use meetscope::report::record::Record;
use meetscope::report::{Context, Kind, Style, each_record, fragment, write_json, write_text};
use mutator::{Draw, Kept};

/// Captures that are made where nothing else is asked for.
const USUAL: u64 = 150;
/// Bytes of a capture that is taken up.
const SMALL: u64 = 2_000_000;
/// What one may take. They are small: a second in a quick build, and some more here.
const LONGEST: Duration = Duration::from_secs(60);

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "pcap" || end == "pcapng" || end == "cap")
            && path.metadata().unwrap().len() <= SMALL
        {
            found.push(path);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// A pipeline and all that is written of it.
struct Through<'a> {
    rules: &'a Rules,
    databases: &'a Databases,
}

impl Through<'_> {
    fn packets(&self, packets: &[Kept], max_flows: usize) {
        let mut pipeline = Pipeline::new(&Config { max_flows, ..Config::default() }, self.rules);
        for (frame, packet) in (1..).zip(packets) {
            pipeline.packet(0, frame, &packet.packet()).unwrap();
        }
        self.finish(pipeline, packets.len());
    }

    fn finish(&self, pipeline: Pipeline, packets: usize) {
        let ended = pipeline.finish();
        let counts = ended.counts;
        assert_eq!(counts.seen, u64::try_from(packets).unwrap());
        assert_eq!(counts.seen, counts.analysed + counts.filtered, "every packet is in one place");
        let analysis =
            pipeline::analyse(self.rules, &mut pipeline::Memory::default(), ended.flows, Threads::ONE);
        let mut context = Context::new(self.rules, self.databases, false);
        let mut bytes = Vec::new();
        each_record(&mut context, &analysis, vec![Kind::Flow, Kind::Session, Kind::Meeting], |record| {
            bytes.clear();
            write_json(&mut bytes, &record).unwrap();
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap();
            write_text(&mut bytes, &record, &Style::default()).unwrap();
            if let Record::Session(session) = &record {
                assert!(!fragment::session(session, &[]).is_empty());
            }
        });
    }

    /// Bytes that call themselves a capture. What cannot be read is an error and nothing else.
    fn file(&self, bytes: Vec<u8>) {
        let Ok(mut reader) = FileReader::from_reader(Cursor::new(bytes), "damaged".to_owned()) else {
            return;
        };
        let mut pipeline = Pipeline::new(&Config::default(), self.rules);
        let mut packets = 0;
        while packets < 20_000
            && let Ok(Some(packet)) = reader.next()
        {
            packets += 1;
            pipeline.packet(0, u64::try_from(packets).unwrap(), &packet).unwrap();
        }
        self.finish(pipeline, packets);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long something takes is what is asked")]
#[expect(clippy::print_stdout, reason = "what was done is shown where it is asked for")]
fn damaged_captures_are_accounted_for() {
    let mut paths = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("captures"), &mut paths);
    if let Some(more) = std::env::var_os("MEETSCOPE_MUTATED") {
        files(Path::new(&more), &mut paths);
    }
    paths.sort();
    let sources: Vec<(String, Vec<u8>, Vec<Kept>)> = paths
        .iter()
        .filter_map(|path| {
            let kept = mutator::read(FileReader::open(path).ok()?);
            Some((path.display().to_string(), std::fs::read(path).unwrap(), kept))
        })
        .filter(|(_, _, kept)| !kept.is_empty())
        .collect();
    let (rules, databases) = (classify::embedded().unwrap(), Databases::embedded().unwrap());
    let through = Through { rules: &rules, databases: &databases };
    let first = number("MEETSCOPE_SEED").unwrap_or(1);
    let count = number("MEETSCOPE_MUTATIONS").unwrap_or(USUAL);
    let (mut faults, mut longest) = (Vec::new(), (Duration::ZERO, 0));
    for seed in first..first + count {
        let mut draw = Draw::new(seed);
        let (name, file, kept) = &sources[draw.below(sources.len())];
        let (_, _, other) = &sources[draw.below(sources.len())];
        let begun = Instant::now();
        let mut done = vec!["file damaged"];
        let gone = catch_unwind(AssertUnwindSafe(|| {
            if draw.below(4) == 0 {
                let mut file = file.clone();
                mutator::damage(&mut file, &mut draw);
                through.file(file);
            } else {
                let mut packets = kept.clone();
                done = mutator::mutate(&mut packets, other, &mut draw);
                let max_flows = [1 << 20, 64, 3][draw.below(3)];
                through.packets(&packets, max_flows);
            }
        }));
        let took = begun.elapsed();
        longest = longest.max((took, seed));
        if gone.is_err() || took > LONGEST {
            faults.push(format!("seed {seed}: {name}, {done:?}: {took:?}, panicked: {}", gone.is_err()));
        }
    }
    println!(
        "{count} damaged captures of {} files; the longest took {:?} (seed {})",
        sources.len(),
        longest.0,
        longest.1
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
