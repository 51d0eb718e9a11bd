//! What can be typed. Nothing here knows what it means.

mod capture;
pub(super) mod metrics;
pub(super) mod outlets;
mod pace;
mod privileges;
mod stream;
pub(super) mod web;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use meetscope::geo::Date;

/// Tells which meeting app a network carries, over which servers, how well and how encrypted, and in whose
/// jurisdiction the servers sit that could hold the keys. Listens only: it never sends a packet.
#[derive(Debug, Parser)]
#[command(name = "meetscope", version, max_term_width = 100, after_help = EXIT_STATUS)]
pub(super) struct Args {
    /// When to colour text output; `auto` colours on a terminal, unless `NO_COLOR` is set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Colour::Auto, global = true)]
    pub(super) color: Colour,
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0 done, 1 failed or an input could not be read to its end, 2 bad usage or a fault in a policy file, 3 done and a rule of \
     --policy fired.";

const VERIFY_STATUS: &str = "A key on the command line stays in the shell's history and is seen by other users of the machine; \
    --key-file keeps it out of both.\n\n\
    Exit status: 0 the key opens at least one stream, 1 it opens none or nothing could be read, 2 bad usage, such as a key of a \
    length that nothing takes.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read capture files and report their meetings
    #[command(after_help = EXIT_STATUS)]
    Replay(Replay),
    /// Watch network interfaces and report meetings while they go on
    #[command(after_help = EXIT_STATUS)]
    Watch(Box<Watch>),
    /// Check whether a key opens a meeting's media: a verdict, never the media
    #[command(after_help = VERIFY_STATUS)]
    Verify(Verify),
    /// Tell which provider servers were seen, and which of them run the same software, counted by country
    Servers(Servers),
    /// What location databases say
    Geo(Geo),
    /// What is known of each provider
    Providers(Providers),
    /// Check policy files
    Policy(Policy),
    /// List the network interfaces that can be watched
    Interfaces,
    /// Write a completion script for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual page
    Man {
        /// Write the page of this subcommand instead, as `geo lookup`
        subcommand: Vec<String>,
    },
}

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    Auto,
    Always,
    Never,
}

/// Format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// One JSON record per line
    Ndjson,
}

/// Format of the report of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReplayFormat {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// One JSON record per line
    Ndjson,
    /// A table of sessions for spreadsheets
    Csv,
    /// The logs of Zeek (conn.log, ssl.log, quic.log) and meetscope.log, in the directory that `-o` names
    Zeek,
    /// A web page in one file, which asks nothing of any network
    Html,
}

/// Format of records that are written while a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LiveFormat {
    /// For people
    Text,
    /// One JSON record per line
    Ndjson,
}

/// Format of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LookupFormat {
    /// For people
    Text,
    /// One JSON document
    Json,
}

/// Kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// One five-tuple
    Flow,
    /// One endpoint's part in one call
    Session,
    /// Sessions that share a meeting
    Meeting,
    /// A rule of --policy that is broken or not determinable
    Alert,
    /// What the run counted
    Stats,
}

/// In which order packets of several files are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Order {
    /// By time over all files
    Time,
    /// One file after the other
    Given,
}

#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    /// Captures: pcap or pcapng, plain or in gzip, zstd or xz; `-` is standard input; a directory stands for
    /// those in it
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Format of the report
    #[arg(short, long, value_enum, default_value_t = ReplayFormat::Text)]
    pub(super) format: ReplayFormat,
    #[command(flatten)]
    pub(super) common: Common,
    /// Add the SHA-256 of each input and the command line to the stats record; `html` and `--export-pcap` always do
    #[arg(long)]
    pub(super) hash: bool,
    /// Add what memory the run took, in all and for each flow, to the stats record; it differs from run to run
    #[arg(long)]
    pub(super) measure: bool,
    /// Worker threads; the report is the same for any number [default: one per core; `--stream` takes one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) threads: Option<u16>,
    /// Order of the packets of several files
    #[arg(long, value_enum, default_value_t = Order::Time)]
    pub(super) order: Order,
    /// Take packets that a mirror port delivered twice as two
    #[arg(long)]
    pub(super) keep_duplicates: bool,
    /// Also write the packets of this session, payloads and all, to a new pcapng file [default: SESSION.pcapng], with a comment
    /// on each packet that a verdict rests on; secrets are not written
    #[arg(long, value_name = "SESSION[=FILE]")]
    pub(super) export_pcap: Option<String>,
    #[command(flatten)]
    pub(super) stream: stream::Stream,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("secret").required(true).args(["key_file", "key"]))]
pub(super) struct Verify {
    /// Captures: pcap or pcapng, plain or in gzip, zstd or xz; `-` is standard input; a directory stands for
    /// those in it
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Read the key from this file: hex, base64, an SDES line, or the bytes themselves; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,
    /// The key in hex or base64, or `inline:` of SDES; `@FILE` reads it from a file
    #[arg(long, value_name = "KEY")]
    pub(super) key: Option<Secret>,
    /// A sender's nonce that turns a meeting key into a stream key, or an initialisation vector, in hex or base64, or `@FILE`
    /// with one a line, alone or behind a user's id; may be given several times
    #[arg(long, value_name = "NONCE")]
    pub(super) nonce: Vec<Secret>,
    /// The master salt of SRTP where it is not behind the key, in hex or base64, or `@FILE`
    #[arg(long, value_name = "SALT")]
    pub(super) salt: Vec<Secret>,
    /// What to try the key as
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub(super) mode: Mode,
    /// Format of the answer
    #[arg(short, long, value_enum, default_value_t = LookupFormat::Text)]
    pub(super) format: LookupFormat,
    /// Look only at packets that this expression in libpcap's language matches
    #[arg(long, value_name = "EXPR")]
    pub(super) bpf: Option<String>,
}

/// What was typed and must not be shown; wiped when dropped.
#[derive(Clone)]
pub(super) struct Secret(pub(super) zeroize::Zeroizing<String>);

impl From<String> for Secret {
    fn from(typed: String) -> Self {
        Self(zeroize::Zeroizing::new(typed))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What a key is tried as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// All of the below
    Auto,
    /// AES-ECB on Zoom's framing
    Ecb,
    /// AES-CBC on Zoom's framing
    Cbc,
    /// AES-CTR on Zoom's framing
    Ctr,
    /// AES-GCM on Zoom's framing
    Gcm,
    /// SRTP: AES-CM and AES-GCM
    Srtp,
    /// SFrame of RFC 9605 in RTP payloads
    Sframe,
}

#[derive(Debug, clap::Args)]
pub(super) struct Watch {
    #[command(flatten)]
    pub(super) capture: capture::Capture,
    /// Format of the records [default: text on a terminal, ndjson elsewhere]
    #[arg(short, long, value_enum)]
    pub(super) format: Option<LiveFormat>,
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) pace: pace::Pace,
    #[command(flatten)]
    pub(super) web: web::Dashboard,
    #[command(flatten)]
    pub(super) outlets: outlets::Outlets,
    #[command(flatten)]
    pub(super) privileges: privileges::Privileges,
    #[command(flatten)]
    pub(super) metrics: metrics::Metrics,
}

#[derive(Debug, clap::Args)]
pub(super) struct Servers {
    /// Captures, as for `replay`; none are needed where `--state` names an inventory
    #[arg(required_unless_present = "state", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Format of the answer
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Tell only of the servers of this provider, as `meetscope providers list` names it
    #[arg(long, value_name = "ID")]
    pub(super) provider: Option<String>,
    /// Cut no list short (text)
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) state: StateFile,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: Option<PathBuf>,
    /// Look only at packets that this expression in libpcap's language matches
    #[arg(long, value_name = "EXPR")]
    pub(super) bpf: Option<String>,
    #[command(flatten)]
    pub(super) geoip: GeoFiles,
    /// Worker threads; the answer is the same for any number [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) threads: Option<u16>,
}

/// The inventory that runs add to.
#[derive(Debug, clap::Args)]
pub(super) struct StateFile {
    /// Keep the inventory of servers in this file: what it holds counts, and what is seen is added to it
    #[arg(long, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,
}

/// What replaying and watching have in common.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// Kinds of records to write [default: all that the format shows]
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    pub(super) records: Vec<Kind>,
    /// Write to this file instead of standard output; `replay --format zeek` takes a directory
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: Option<PathBuf>,
    /// Look only at packets that this expression in libpcap's language matches
    #[arg(long, value_name = "EXPR")]
    pub(super) bpf: Option<String>,
    /// A TLS key log (NSS format) to open TLS, QUIC and DTLS handshakes with, beside the secrets that a pcapng holds itself;
    /// may be given several times; `-` is standard input. `watch` reads on while it grows
    #[arg(long, value_name = "FILE")]
    pub(super) keylog: Vec<PathBuf>,
    /// A policy (TOML): judge each session by its rules; may be given several times. `policies/` has examples, docs/POLICY.md
    /// describes the language. Exit status 3 when a rule fired
    #[arg(long, value_name = "FILE")]
    pub(super) policy: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) geoip: GeoFiles,
    /// The country in which the packets were captured, as `DE`: a server that answers sooner than light comes to where a
    /// database places it and back is then told
    #[arg(long, value_name = "COUNTRY")]
    pub(super) site: Option<String>,
    #[command(flatten)]
    pub(super) state: StateFile,
}

/// The user's own databases.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct GeoFiles {
    /// A location database (.mmdb), asked before the built-in data; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(super) geoip: Vec<PathBuf>,
    /// Ask none of the databases that `geo update` keeps, so that what is said depends on the command alone
    #[arg(long)]
    pub(super) no_geoip_store: bool,
}

const UPDATE_HELP: &str = "Databases are kept in the directory that MEETSCOPE_GEOIP_DIR names, else in /var/lib/meetscope/geoip for \
    root and in $XDG_DATA_HOME/meetscope/geoip (~/.local/share/meetscope/geoip) for others, who ask root's where they keep none of \
    their own. An empty MEETSCOPE_GEOIP_DIR stands for none. Of each lineage the database nearest the capture's date is asked; older \
    ones stay beside newer ones; to let one go, remove its entry from manifest.toml and its file. Some licences, that of GeoLite2 \
    among them, ask that old copies be destroyed.";

#[derive(Debug, clap::Args)]
pub(super) struct Geo {
    #[command(subcommand)]
    pub(super) command: GeoCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum GeoCommand {
    /// What the databases say of addresses
    Lookup {
        /// IPv4 or IPv6 addresses
        #[arg(required = true, value_name = "IP")]
        addresses: Vec<IpAddr>,
        /// Answer as for a capture of this day, YYYY-MM-DD: the databases nearest to it, the laws in force then [default: the newest
        /// databases, the laws of today]
        #[arg(long, value_name = "DAY")]
        date: Option<Date>,
        #[command(flatten)]
        geoip: GeoFiles,
        /// Format of the answer
        #[arg(short, long, value_enum, default_value_t = LookupFormat::Text)]
        format: LookupFormat,
    },
    /// Which databases are asked, of which date and under which licence; those that are kept are checked against their hashes
    Info {
        #[command(flatten)]
        geoip: GeoFiles,
        /// Format of the answer
        #[arg(short, long, value_enum, default_value_t = LookupFormat::Text)]
        format: LookupFormat,
    },
    /// Check a location database and keep a copy of it for later runs; nothing is fetched
    #[command(after_help = UPDATE_HELP)]
    Update {
        /// The database (.mmdb)
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Keep it in this directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Keep it also where a newer one of the same lineage is kept, for captures of its time
        #[arg(long)]
        keep_older: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Providers {
    #[command(subcommand)]
    pub(super) command: ProvidersCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ProvidersCommand {
    /// All providers
    List,
    /// All that is known of one
    Show {
        /// Its identifier, as `list` shows it
        id: String,
    },
    /// Check a directory of provider files, and name file, line and field of each error
    Check {
        /// A directory with `sources.toml` and one file per provider
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    pub(super) command: PolicyCommand,
}

const POLICY_STATUS: &str =
    "Exit status: 0 the files are sound, 1 a file could not be read, 2 something is wrong with them.";

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Check policy files, and name file, line, column and the nearest right name of each error
    #[command(after_help = POLICY_STATUS)]
    Check {
        /// The files of one policy, as they would be given to --policy
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}
