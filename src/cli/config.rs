//! What the arguments mean, validated once, before a packet is read.

mod stream;
mod watch;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal, Read as _};
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::Context;

use meetscope::capture::{self, LinkType, compile_bpf};
use meetscope::classify::{self, Rules};
use meetscope::geo::{Country, Databases};
use meetscope::keys::input::{self, InputError};
use meetscope::keys::verify::{Material, Mode};
use meetscope::observe::facts::Sampling;
use meetscope::parallel::Threads;
use meetscope::pipeline;
use meetscope::report::{self, Kind, Style};
use zeroize::Zeroizing;

pub(super) use stream::{GIVEN, Settings, Stream};
pub(super) use watch::Watch;

use super::args::{self, Colour};
use super::export::Wanted;
use super::output::{self, Taken};
use super::policy::Policies;
use super::replay::Depth;
use super::state::State;
use super::{UsageError, providers, store};

/// Standard input as a file name.
pub(super) const STDIN: &str = "-";
/// Threads that share the work at most; the pipeline has no more shares.
const MOST_THREADS: usize = 16;
/// Bytes of a key or salt that are read at most: more than any form of one has.
const MOST_KEY: usize = 1 << 13;
/// Bytes of a list of nonces that are read at most: more than one may have.
const MOST_NONCES: usize = input::MAX_LIST + 1;

/// A run over capture files.
pub(super) struct Replay {
    pub(super) files: Vec<PathBuf>,
    pub(super) order: capture::Order,
    pub(super) pipeline: pipeline::Config,
    pub(super) key_logs: Vec<PathBuf>,
    pub(super) export: Option<Wanted>,
    pub(super) depth: Depth,
    /// Add the sums of the inputs and the command line.
    pub(super) provenance: bool,
    /// Add what memory the run took.
    pub(super) measure: bool,
    pub(super) stream: Option<Stream>,
    pub(super) report: Report,
}

/// A check of keys on captures.
pub(super) struct Verify {
    pub(super) files: Vec<PathBuf>,
    pub(super) pipeline: pipeline::Config,
    pub(super) rules: Rules,
    pub(super) material: Material,
    pub(super) json: bool,
}

/// A run about servers.
pub(super) struct Servers {
    pub(super) files: Vec<PathBuf>,
    pub(super) pipeline: pipeline::Config,
    pub(super) report: Report,
    pub(super) provider: Option<String>,
    pub(super) all: bool,
}

/// What is known and how it is written.
pub(super) struct Report {
    pub(super) rules: Rules,
    pub(super) databases: Databases,
    /// Where the packets were captured, as the user says.
    pub(super) capture_point: Option<Country>,
    pub(super) style: Style,
    /// All files that are read, none of which the output may overwrite.
    pub(super) inputs: Vec<PathBuf>,
    /// All files that are kept under the name of the state, none of which it may overwrite either.
    pub(super) kept: Vec<PathBuf>,
    pub(super) output: Option<PathBuf>,
    pub(super) state: Option<State>,
    pub(super) policy: Option<Policies>,
}

impl Replay {
    pub(super) fn new(typed: args::Replay, colour: Colour) -> anyhow::Result<Self> {
        let common = &typed.common;
        let inputs = [typed.files.as_slice(), &common.keylog, &common.policy, &common.geoip.geoip].concat();
        check_inputs(&inputs, typed.common.output.as_deref(), typed.common.state.state.as_deref())?;
        if let Some(expression) = &typed.common.bpf {
            check_filter(expression)?;
        }
        let format = replay_format(typed.format);
        check_parts(typed.format, &typed.common)?;
        let stream = Stream::new(&typed)?;
        let threads = if stream.is_some() { 1 } else { threads(typed.threads) };
        let order = match typed.order {
            args::Order::Time => capture::Order::Time,
            args::Order::Given => capture::Order::AsGiven,
        };
        let mut pipeline = pipeline_config(threads, typed.common.bpf.clone(), typed.keep_duplicates);
        if let Some(stream) = &stream {
            pipeline.max_flows = stream.budget.flows();
            pipeline.max_waiting = stream.budget.unfinished(1);
            pipeline.max_key_sessions = stream.budget.key_sessions();
            pipeline.sampling_with_secrets = stream.budget.sampling_with_secrets();
        }
        let key_logs = typed.common.keylog.clone();
        let out = typed.common.output.as_deref();
        let export =
            typed.export_pcap.as_deref().map(|typed| Wanted::new(typed, &inputs, out)).transpose()?;
        let provenance = typed.hash || export.is_some() || format == report::Format::Html;
        let report = Report::new(typed.common, inputs, format, colour, Threads::new(threads))?;
        let alone = report.wants_flows_alone() && export.is_none();
        let depth = if alone { Depth::Flows } else { Depth::Calls };
        if alone {
            (pipeline.sampling, pipeline.sampling_with_secrets) = (Sampling::NONE, Sampling::NONE);
        }
        let (files, measure) = (typed.files, typed.measure);
        Ok(Self { files, order, pipeline, key_logs, export, depth, provenance, measure, stream, report })
    }
}

impl Verify {
    pub(super) fn new(typed: args::Verify) -> anyhow::Result<Self> {
        let from_stdin = typed.key_file.iter().chain(&typed.files).filter(|file| is_stdin(file)).count();
        if from_stdin > 1 {
            return Err(UsageError("standard input can be read only once".to_owned()).into());
        }
        if let Some(expression) = &typed.bpf {
            check_filter(expression)?;
        }
        let mode = mode(typed.mode);
        let text = match (&typed.key_file, &typed.key) {
            (Some(file), _) => secret_of(file, MOST_KEY)?,
            (None, Some(typed)) => secret(typed, MOST_KEY)?,
            (None, None) => Zeroizing::new(Vec::new()),
        };
        let usage = |error: InputError| UsageError(error.to_string());
        let keys = input::key(&text, mode, !typed.salt.is_empty()).map_err(usage)?;
        let mut material = Material::new(keys);
        material.effort.mode = mode;
        for nonce in &typed.nonce {
            material.nonces.extend(input::nonces(&secret(nonce, MOST_NONCES)?).map_err(usage)?);
        }
        for salt in &typed.salt {
            let read = input::value(&secret(salt, MOST_KEY)?, "the salt").map_err(usage)?;
            let fits = |salt: &Zeroizing<Vec<u8>>| matches!(salt.len(), 12 | 14);
            if !read.iter().any(fits) {
                let length = read.first().map_or(0, |salt| salt.len());
                let message = format!("the salt has {length} bytes; SRTP takes 14, or 12 for AES-GCM");
                return Err(UsageError(message).into());
            }
            material.salts.extend(read.into_iter().filter(fits));
        }
        let threads = available_parallelism().map_or(1, usize::from).clamp(1, MOST_THREADS);
        let mut pipeline = pipeline_config(threads, typed.bpf, false);
        pipeline.sampling = Sampling::MOST;
        let json = typed.format == args::LookupFormat::Json;
        Ok(Self { files: typed.files, pipeline, rules: build_rules()?, material, json })
    }
}

const fn mode(typed: args::Mode) -> Option<Mode> {
    match typed {
        args::Mode::Auto => None,
        args::Mode::Ecb => Some(Mode::Ecb),
        args::Mode::Cbc => Some(Mode::Cbc),
        args::Mode::Ctr => Some(Mode::Ctr),
        args::Mode::Gcm => Some(Mode::Gcm),
        args::Mode::Srtp => Some(Mode::Srtp),
        args::Mode::Sframe => Some(Mode::Sframe),
    }
}

/// What was typed, or what stands in the file that `@` names.
fn secret(typed: &args::Secret, most: usize) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    match typed.0.strip_prefix('@') {
        Some(file) => secret_of(Path::new(file), most),
        None => Ok(Zeroizing::new(typed.0.as_bytes().to_vec())),
    }
}

/// Bytes of a file that holds secrets, or of standard input; at most so many.
fn secret_of(file: &Path, most: usize) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    let read = if is_stdin(file) {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|opened| opened.take(limit).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("{}: cannot be read", file.display()))?;
    Ok(bytes)
}

impl Servers {
    pub(super) fn new(typed: args::Servers, colour: Colour) -> anyhow::Result<Self> {
        let args::Servers {
            files,
            format: typed_format,
            provider,
            all,
            state,
            output,
            bpf,
            geoip,
            threads: n,
        } = typed;
        let inputs = [files.as_slice(), &geoip.geoip].concat();
        check_inputs(&inputs, output.as_deref(), state.state.as_deref())?;
        if let Some(expression) = &bpf {
            check_filter(expression)?;
        }
        let report = Report {
            rules: build_rules()?,
            databases: store::databases(&geoip)?,
            capture_point: None,
            style: Style {
                format: format(typed_format),
                kinds: None,
                colour: coloured(colour, output.is_some()),
                width: width(output.is_some()),
            },
            inputs: with_store(inputs, &geoip),
            output,
            kept: kept(&state),
            state: state.state.as_deref().map(State::new),
            policy: None,
        };
        if let Some(id) = &provider
            && !report.rules.providers().iter().any(|known| known.id == *id)
        {
            return Err(providers::unknown(&report.rules, id).into());
        }
        Ok(Self { files, pipeline: pipeline_config(threads(n), bpf, false), report, provider, all })
    }
}

impl Report {
    /// What no output may be.
    pub(super) fn taken(&self) -> Taken<'_> {
        Taken { inputs: &self.inputs, kept: &self.kept }
    }

    /// True where nothing is shown or kept but flows and what the run counted. An inventory is made of what sessions say of servers.
    pub(super) fn wants_flows_alone(&self) -> bool {
        let others = [Kind::Session, Kind::Meeting, Kind::Alert];
        matches!(self.style.format, report::Format::Ndjson | report::Format::Json)
            && self.policy.is_none()
            && self.state.is_none()
            && !others.into_iter().any(|kind| self.style.wants(kind))
    }

    fn new(
        typed: args::Common,
        inputs: Vec<PathBuf>,
        format: report::Format,
        colour: Colour,
        threads: Threads,
    ) -> anyhow::Result<Self> {
        let kinds = (!typed.records.is_empty()).then(|| {
            let kind = |typed: &args::Kind| match typed {
                args::Kind::Flow => Kind::Flow,
                args::Kind::Session => Kind::Session,
                args::Kind::Meeting => Kind::Meeting,
                args::Kind::Alert => Kind::Alert,
                args::Kind::Stats => Kind::Stats,
            };
            typed.records.iter().map(kind).collect()
        });
        let into_file = typed.output.as_deref().is_some_and(|path| !is_stdin(path));
        let (colour, width) = (coloured(colour, into_file), width(into_file));
        let rules = build_rules_by(threads)?;
        let policy = (!typed.policy.is_empty()).then(|| Policies::read(&typed.policy, &rules)).transpose()?;
        Ok(Self {
            rules,
            policy,
            databases: store::databases(&typed.geoip)?,
            capture_point: typed.site.as_deref().map(super::country).transpose()?,
            style: Style { format, kinds, colour, width },
            inputs: with_store(inputs, &typed.geoip),
            output: typed.output,
            kept: kept(&typed.state),
            state: typed.state.state.as_deref().map(State::new),
        })
    }
}

const fn format(typed: args::Format) -> report::Format {
    match typed {
        args::Format::Text => report::Format::Text,
        args::Format::Json => report::Format::Json,
        args::Format::Ndjson => report::Format::Ndjson,
    }
}

const fn replay_format(typed: args::ReplayFormat) -> report::Format {
    match typed {
        args::ReplayFormat::Text => report::Format::Text,
        args::ReplayFormat::Json => report::Format::Json,
        args::ReplayFormat::Ndjson => report::Format::Ndjson,
        args::ReplayFormat::Csv => report::Format::Csv,
        // The first of the logs stands for all of them.
        args::ReplayFormat::Zeek => report::Format::Zeek(report::ZeekLog::Conn),
        args::ReplayFormat::Html => report::Format::Html,
    }
}

/// Formats that hold some kinds of records only are not asked for others alone, and several logs need a directory.
fn check_parts(format: args::ReplayFormat, common: &args::Common) -> Result<(), UsageError> {
    let is_left_out = |kind: args::Kind| !common.records.is_empty() && !common.records.contains(&kind);
    let no_sessions = is_left_out(args::Kind::Session);
    let no_flows = is_left_out(args::Kind::Flow);
    let fault = if format == args::ReplayFormat::Html && !common.records.is_empty() {
        "--format html is a page of all records; --records is for the other formats"
    } else if format == args::ReplayFormat::Csv && no_sessions {
        "--format csv is a table of sessions, which --records leaves out"
    } else if format == args::ReplayFormat::Zeek && common.output.is_none() {
        "--format zeek writes several logs: expected -o with the name of a directory for them"
    } else if format == args::ReplayFormat::Zeek && no_sessions && no_flows {
        "--format zeek writes flows and sessions, which --records leaves out"
    } else {
        return Ok(());
    };
    Err(UsageError(fault.to_owned()))
}

fn threads(typed: Option<u16>) -> usize {
    let cores = || available_parallelism().map_or(1, usize::from);
    typed.map_or_else(cores, usize::from).clamp(1, MOST_THREADS)
}

/// Standard input can be read once, and a state file is neither an input nor an output.
fn check_inputs(files: &[PathBuf], output: Option<&Path>, state: Option<&Path>) -> Result<(), UsageError> {
    let mut pipes = HashSet::new();
    for file in files.iter().filter(|file| file.as_os_str() == STDIN) {
        if !pipes.insert(file) {
            return Err(UsageError("standard input can be read only once".to_owned()));
        }
    }
    let Some(state) = state else { return Ok(()) };
    if is_stdin(state) {
        return Err(UsageError("--state: expected the name of a file, found `-`".to_owned()));
    }
    let kept = State::new(state).files();
    for other in files.iter().map(PathBuf::as_path).chain(output::named(output)) {
        if let Some(kept) = kept.iter().find(|kept| output::is_same(kept, other)) {
            return Err(UsageError(format!("{}: the state would overwrite this file", kept.display())));
        }
    }
    Ok(())
}

fn kept(typed: &args::StateFile) -> Vec<PathBuf> {
    typed.state.as_deref().map(|state| State::new(state).files()).unwrap_or_default()
}

/// With the databases that are kept, where they are asked.
fn with_store(mut inputs: Vec<PathBuf>, typed: &args::GeoFiles) -> Vec<PathBuf> {
    if !typed.no_geoip_store {
        inputs.extend(store::files());
    }
    inputs
}

/// The provider files inside the program.
pub(super) fn build_rules() -> anyhow::Result<Rules> {
    build_rules_by(Threads::ONE)
}

fn build_rules_by(threads: Threads) -> anyhow::Result<Rules> {
    classify::embedded_by(threads).context("built-in provider files")
}

fn pipeline_config(threads: usize, filter: Option<String>, keep_duplicates: bool) -> pipeline::Config {
    let mut config = pipeline::Config { threads, filter, ..pipeline::Config::default() };
    config.decode.drop_duplicates = !keep_duplicates;
    config
}

/// Link types whose vocabularies differ; an expression that fits none of them fits nothing.
const FILTER_DIALECTS: [LinkType; 4] =
    [LinkType::ETHERNET, LinkType::IEEE802_11_RADIOTAP, LinkType::LINUX_SLL, LinkType::RAW];

/// An expression may speak of things that only some link types have, so one that takes it is enough.
fn check_filter(expression: &str) -> Result<(), UsageError> {
    const SNAPLEN: u32 = 262_144;
    let mut refusal = None;
    for link_type in FILTER_DIALECTS {
        match compile_bpf(expression, link_type, SNAPLEN) {
            Ok(_) => return Ok(()),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    refusal.map_or(Ok(()), |error| Err(UsageError(format!("--bpf: {error}"))))
}

fn coloured(choice: Colour, into_file: bool) -> bool {
    match choice {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            !into_file && !unwanted && !dumb_terminal() && io::stdout().is_terminal()
        }
    }
}

/// Columns of the terminal that is written to, or of `COLUMNS` where that is no terminal.
pub(super) fn width(into_file: bool) -> Option<usize> {
    if into_file {
        return None;
    }
    let told = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal_size::terminal_size_of(io::stdout()).map(|(columns, _)| usize::from(columns.0)).or_else(told)
}

/// True for a terminal that knows no escape sequences.
pub(super) fn dumb_terminal() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == OsStr::new("dumb"))
}

/// True for a name that stands for standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}
