//! What the exporter hands to the `metrics` crate is what the handle has counted.

mod common;

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tidegate::opcode::Kind;
use tidegate::{Handle, MetricsExporter, fs};

/// Everything that was published, by name and labels. Taking it empties the histograms.
fn published(snapshotter: &Snapshotter) -> BTreeMap<String, DebugValue> {
    let all = snapshotter.snapshot().into_vec().into_iter();
    let named = all.map(|(key, _, _, value)| {
        let (_, key) = key.into_parts();
        let mut labels: Vec<_> = key.labels().map(|label| label.value().to_owned()).collect();
        labels.sort();
        (format!("{} {}", key.name(), labels.join(" ")), value)
    });
    named.collect()
}

/// Counters come as they are, times once, and what is published again counts nothing twice.
#[test]
fn what_is_published_is_what_was_counted() {
    common::on_each_route(|_| async {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let handle = Handle::current().unwrap();
        let mut exporter = MetricsExporter::new(&handle).label("runtime", "tests");
        let dir = tempfile::tempdir().unwrap();
        for number in 1..=2_u64 {
            let path = dir.path().join(number.to_string());
            fs::make_fifo(path, 0o600).await.unwrap();
            // The mount may be described meanwhile.
            while handle.stats().in_flight > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            metrics::with_local_recorder(&recorder, || exporter.publish());
            let found = published(&snapshotter);
            let stats = handle.stats();
            let made = stats.ops().find(|op| op.row.kind == Kind::MakeFifo);
            let made = made.unwrap();
            assert_eq!(
                (made.pool, made.ok, made.latency.count()),
                (number, number, number)
            );
            let ways = "tidegate_operations_total make_fifo pool tests";
            assert_eq!(found[ways], DebugValue::Counter(number));
            let ends = "tidegate_operations_ended_total make_fifo ok tests";
            assert_eq!(found[ends], DebugValue::Counter(number));
            assert_eq!(
                found["tidegate_operations_in_flight tests"],
                DebugValue::Gauge(0.0.into())
            );
            let groups = |what: &str| &found[&format!("tidegate_buffer_groups{what} tests")];
            assert_eq!(*groups(""), DebugValue::Gauge(0.0.into()));
            assert_eq!(*groups("_remaining"), DebugValue::Gauge(65_536.0.into()));
            assert_eq!(*groups("_exhausted_total"), DebugValue::Counter(0));
            let times = &found["tidegate_operation_duration_seconds make_fifo tests"];
            let DebugValue::Histogram(times) = times else {
                panic!("{times:?} is no histogram")
            };
            assert_eq!(times.len(), 1, "one more time each time");
            assert!(times[0].into_inner() <= made.latency.max().unwrap().as_secs_f64());
            let healthy = found
                .iter()
                .filter(|(name, _)| name.starts_with("tidegate_mount_state"));
            assert!(
                healthy
                    .into_iter()
                    .all(|(_, state)| *state == DebugValue::Gauge(0.0.into()))
            );
            let fallbacks = found
                .keys()
                .filter(|name| name.starts_with("tidegate_fallbacks_total"));
            assert_eq!(fallbacks.count(), stats.fallbacks().count());
        }
    });
}
