//! What the log has of ids that run out.

use std::sync::Arc;

use super::{Bgids, Error, lease, lease_at};

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../tests/common/log.rs"]
mod log;

/// What the log has of buffer groups, once it has so many lines.
fn lines(log: &log::Log, count: usize) -> Vec<String> {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let mut lines = log.lines();
        lines.retain(|line| line.contains(" groups="));
        if lines.len() >= count {
            return lines;
        }
        assert!(std::time::Instant::now() < end, "{lines:?}");
        std::thread::yield_now();
    }
}

/// R33, R34, R36: the refusal is typed, and the log has each warning once in its window, with its counts.
#[test]
fn what_runs_out_is_told() {
    let log = log::Log::start();
    let ids = Arc::new(Bgids::new(4));
    let held: Vec<_> = (0..4).map(|_| lease_at(&ids, 0).unwrap()).collect();
    for now_ms in [0, 59_999, 60_000] {
        let refused = lease_at(&ids, now_ms).unwrap_err();
        let Error::BufferGroupsExhausted {
            fresh_used,
            free_list_len,
        } = refused
        else {
            panic!("{refused}");
        };
        assert_eq!((fresh_used, free_list_len), (4, 0));
    }
    let lines = lines(&log, 3);
    let told = |line: &String, fields: &str| line.contains(fields);
    assert!(
        told(&lines[0], "groups=2 groups_peak=2 remaining=2"),
        "{lines:?}"
    );
    assert!(
        told(&lines[1], "exhausted=1 groups=4 groups_peak=4"),
        "{lines:?}"
    );
    assert!(
        told(&lines[2], "exhausted=3 groups=4 groups_peak=4"),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 3);
    drop(held);
    assert_eq!(lease(&ids).unwrap().id(), 3, "the one that came back last");
}
