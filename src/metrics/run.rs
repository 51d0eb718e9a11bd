//! The counters of a run as metric families: packets, interfaces, workers, flows, destinations, memory, databases.

use super::label::bounded;
use super::text::Kind::{Counter, Gauge, Info};
use super::text::Page;
use crate::report::record::{InterfaceRecord, LiveRecord, SinkRecord, StatsRecord, WorkerRecord};

/// Interfaces that are told one by one; more are one machine's no more.
const MAX_INTERFACES: usize = 64;
/// Workers of one interface that are told one by one: as many as `PACKET_FANOUT` is likely to be asked for.
const MAX_WORKERS: usize = 64;
/// Destinations that are told one by one.
const MAX_SINKS: usize = 64;
/// Kinds of oddities that are told one by one; the decoder has fewer.
const MAX_ODDITIES: usize = 128;
/// Databases that are told one by one.
const MAX_DATABASES: usize = 64;

/// Writes what the latest counters say.
pub(super) fn write(page: &mut Page, stats: &StatsRecord) {
    page.family(Info, "meetscope_build", "Version of the program.").sample(&[("version", stats.version)], 1);
    packets(page, stats);
    interfaces(page, stats.interfaces.get(..MAX_INTERFACES).unwrap_or(&stats.interfaces));
    let flows = &stats.flows;
    page.family(Counter, "meetscope_flows", "Flows that ended.").sample(&[], flows.total);
    page.family(Counter, "meetscope_flows_named", "Of them: with an app.").sample(&[], flows.named);
    page.family(Counter, "meetscope_flows_evicted", "Flows that were pushed out of a full table.")
        .sample(&[], flows.evicted);
    let about = "TCP streams that were read no further because too much waited behind holes.";
    page.family(Counter, "meetscope_tcp_holes_given_up", about).sample(&[], flows.holes_given_up);
    let about = "Pictures that were given up because too much waited for fragments of pictures.";
    page.family(Counter, "meetscope_pictures_given_up", about).sample(&[], flows.pictures_given_up);
    if let Some(live) = &stats.live {
        held(page, live);
    }
    sinks(page, stats.sinks.get(..MAX_SINKS).unwrap_or(&stats.sinks));
    databases(page, stats);
}

fn packets(page: &mut Page, stats: &StatsRecord) {
    let packets = &stats.packets;
    let rows: [(&'static str, &str, u64); 6] = [
        (
            "meetscope_packets_seen",
            "Packets that interfaces told of: analysed, filtered and dropped.",
            packets.seen,
        ),
        ("meetscope_packets_analysed", "Packets that were looked at.", packets.analysed),
        ("meetscope_packets_filtered", "Packets that a filter left out.", packets.filtered),
        (
            "meetscope_packets_undecodable",
            "Packets that were looked at and could not be decoded.",
            packets.undecodable,
        ),
        (
            "meetscope_packets_duplicate",
            "Second copies of packets, which are looked at once.",
            packets.duplicates,
        ),
        ("meetscope_captured_bytes", "Bytes captured of all packets.", stats.bytes_captured),
    ];
    for (name, help, value) in rows {
        page.family(Counter, name, help).sample(&[], value);
    }
    let dropped = [
        ("kernel", packets.dropped_by_kernel),
        ("interface", packets.dropped_by_interface),
        ("meetscope", packets.dropped_by_us),
    ];
    page.family(
        Counter,
        "meetscope_packets_lost",
        "Packets that were dropped, on all interfaces, by who dropped them.",
    );
    for (by, value) in dropped {
        page.sample(&[("reason", by)], value);
    }
    page.family(
        Counter,
        "meetscope_decode_events",
        "What the decoder met: oddities, fragments, second copies.",
    );
    for (event, count) in stats.decode.iter().take(MAX_ODDITIES) {
        page.sample(&[("event", &bounded(event))], *count);
    }
    if let Some(latest) = stats.timestamp.as_deref().and_then(seconds_since_1970) {
        page.family(
            Gauge,
            "meetscope_latest_packet_timestamp_seconds",
            "Time of the latest packet, by the clock of packets.",
        )
        .sample(&[], latest);
    }
}

fn interfaces(page: &mut Page, interfaces: &[InterfaceRecord]) {
    if interfaces.is_empty() {
        return;
    }
    page.family(
        Gauge,
        "meetscope_interface_up",
        "1 while packets are read from the interface, 0 once it has failed.",
    );
    for interface in interfaces {
        page.sample(&[("interface", &bounded(&interface.name))], interface.error.is_none());
    }
    page.family(
        Gauge,
        "meetscope_interface_distortions",
        "Settings of the interface that distort what is captured.",
    );
    for interface in interfaces {
        let count = u64::try_from(interface.distortions.len()).unwrap_or(u64::MAX);
        page.sample(&[("interface", &bounded(&interface.name))], count);
    }
    page.family(
        Counter,
        "meetscope_packets",
        "Packets that the kernel took for a worker, those dropped among them.",
    );
    each_worker(page, interfaces, |worker| worker.received);
    page.family(Counter, "meetscope_worker_packets_analysed", "Packets that a worker looked at.");
    each_worker(page, interfaces, |worker| worker.analysed);
    page.family(
        Counter,
        "meetscope_worker_packets_dropped",
        "Packets that found the worker's part of the kernel's buffer full.",
    );
    each_worker(page, interfaces, |worker| worker.dropped_by_kernel);
    page.family(
        Counter,
        "meetscope_packets_dropped",
        "Packets that were dropped, by interface and by who dropped them.",
    );
    for interface in interfaces {
        let own =
            interface.workers.iter().fold(0_u64, |sum, worker| sum.saturating_add(worker.dropped_by_us));
        let reasons = [
            ("kernel", interface.dropped_by_kernel),
            ("interface", interface.dropped_by_interface),
            ("meetscope", own),
        ];
        for (reason, value) in reasons {
            page.sample(&[("interface", &bounded(&interface.name)), ("reason", reason)], value);
        }
    }
}

fn each_worker(page: &mut Page, interfaces: &[InterfaceRecord], value: impl Fn(&WorkerRecord) -> u64) {
    for interface in interfaces {
        for worker in interface.workers.iter().take(MAX_WORKERS) {
            let number = worker.worker.to_string();
            page.sample(&[("interface", &bounded(&interface.name)), ("worker", &number)], value(worker));
        }
    }
}

fn held(page: &mut Page, live: &LiveRecord) {
    page.family(Gauge, "meetscope_uptime_seconds", "Seconds since the watching began.")
        .sample(&[], live.uptime_s);
    page.family(Gauge, "meetscope_flows_active", "Flows that go on.").sample(&[], live.flows_alive);
    page.family(Gauge, "meetscope_flows_held", "Ended flows that wait for their endpoint to fall silent.")
        .sample(&[], live.flows_held);
    page.family(Counter, "meetscope_flows_lost", "Ended flows that were lost because judging fell behind.")
        .sample(&[], live.flows_lost);
    page.family(Counter, "meetscope_clock_steps", "How often the clock of packets was set, forward or back.")
        .sample(&[], live.clock_steps);
    if let Some(bytes) = live.memory_bytes {
        page.family(Gauge, "meetscope_memory_bytes", "Memory that the process has in use.")
            .sample(&[], bytes);
    }
    if let Some(bytes) = live.memory_budget_bytes {
        page.family(Gauge, "meetscope_memory_budget_bytes", "Memory that it may use, as it was told.")
            .sample(&[], bytes);
    }
}

fn sinks(page: &mut Page, sinks: &[SinkRecord]) {
    if sinks.is_empty() {
        return;
    }
    page.family(Gauge, "meetscope_sink_up", "1 while records can be written to the destination.");
    each_sink(page, sinks, |sink| u64::from(sink.error.is_none()));
    page.family(Gauge, "meetscope_sink_queued_records", "Records that wait for the destination.");
    each_sink(page, sinks, |sink| sink.queued);
    page.family(Counter, "meetscope_sink_offered_records", "Records that were handed to the destination.");
    each_sink(page, sinks, |sink| sink.offered);
    page.family(Counter, "meetscope_sink_written_records", "Records that the destination took.");
    each_sink(page, sinks, |sink| sink.written);
    page.family(
        Counter,
        "meetscope_sink_lost_records",
        "Records that were lost because the destination was slow or away.",
    );
    each_sink(page, sinks, |sink| sink.lost);
    page.family(Counter, "meetscope_sink_reconnects", "How often the destination was connected to again.");
    each_sink(page, sinks, |sink| sink.reconnects);
}

fn each_sink(page: &mut Page, sinks: &[SinkRecord], value: impl Fn(&SinkRecord) -> u64) {
    // The same destination may be named twice; a series may not.
    let mut told: Vec<String> = Vec::new();
    for sink in sinks {
        let name = bounded(&sink.name).into_owned();
        if !told.contains(&name) {
            page.sample(&[("sink", &name)], value(sink));
            told.push(name);
        }
    }
}

fn databases(page: &mut Page, stats: &StatsRecord) {
    page.family(
        Gauge,
        "meetscope_database_build_timestamp_seconds",
        "When a location database was built; the older, the less what it says of places.",
    );
    let mut told: Vec<(String, &str)> = Vec::new();
    for database in stats.databases.iter().take(MAX_DATABASES) {
        let key = (bounded(&database.name).into_owned(), database.build_date.as_str());
        if !told.contains(&key) {
            page.sample(&[("database", &key.0), ("date", &bounded(key.1))], database.build_time);
            told.push(key);
        }
    }
}

/// Whole seconds of a record's time; none before 1970 and for what is no time.
fn seconds_since_1970(time: &str) -> Option<u64> {
    let time = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", time).ok()?;
    u64::try_from(time.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_records_become_seconds() {
        // `date -u -d 2020-04-02T14:00:03 +%s`
        assert_eq!(seconds_since_1970("2020-04-02T14:00:03.123456+0000"), Some(1_585_836_003));
        assert_eq!(seconds_since_1970("1969-12-31T23:59:59.000000+0000"), None);
        assert_eq!(seconds_since_1970("31 ns"), None);
    }
}
