//! Snapshots and reports as serde writes them: with all that they hold, in the form that `serialize` promises.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tidegate::buf::{BufPool, Registration};
use tidegate::fs::{self, Copied, CopyTree, TreeEvent, WalkCall, WalkDir, WalkStats};
use tidegate::opcode::{Kind, TABLE};
use tidegate::probe::{self, Obstacle, PollAnswer, Reason};
use tidegate::testing::Faults;
use tidegate::{BreakerState, Handle, Heartbeat, Latency, MountStats, OpState, Way};

fn written(snapshot: &impl Serialize) -> Value {
    serde_json::to_value(snapshot).unwrap()
}

/// What was written is an object with these names.
#[track_caller]
fn assert_names(snapshot: &impl Serialize, names: &str) -> Value {
    let value = written(snapshot);
    let found = value.as_object().unwrap().keys().map(String::as_str);
    let mut found: Vec<_> = found.collect();
    let mut names: Vec<_> = names.split_whitespace().collect();
    found.sort();
    names.sort();
    assert_eq!(found, names, "{value}");
    value
}

/// What is in flight, also as part of a heartbeat and of a shutdown's report, with the counters of the handle.
#[tokio::test]
async fn a_handle_and_what_is_in_flight() {
    let faults = Faults::new();
    let handle = Handle::builder().faults(faults.clone()).install().unwrap();
    let stuck = faults.on(Kind::Statx).never();
    let asking = tokio::spawn(fs::statx("/"));
    stuck.wait_hit(1).await;
    let op = handle.in_flight().remove(0);
    let names = "operation path age still_for way state mount_point";
    let value = assert_names(&op, names);
    assert_eq!(
        (&value["operation"], &value["path"]),
        (&json!("statx"), &json!("/"))
    );
    assert_eq!(value["age"], op.age.as_secs_f64());
    let mut beat = Heartbeat::default();
    beat.oldest = Some(op);
    let names = "in_flight orphans oldest entries_walked entries_per_second beat";
    assert_eq!(assert_names(&beat, names)["oldest"], value);
    stuck.release();
    asking.await.unwrap().unwrap();

    let stats = handle.stats();
    let names = "ops fallbacks submissions buffer_groups foreign_completions in_flight lanes lanes_replaced mounts \
                 orphans orphans_max polls_stuck pool_threads";
    let value = assert_names(&stats, names);
    let ops = value["ops"].as_array().unwrap();
    assert_eq!(ops.len(), stats.ops().count());
    for (op, written) in stats.ops().zip(ops) {
        assert_eq!(written["row"], op.row.name);
        assert_eq!(
            (&written["started"], &written["ok"]),
            (&json!(op.started), &json!(op.ok))
        );
        let buckets = written["latency"]["buckets"].as_array().unwrap();
        assert_eq!(buckets.len(), op.latency.buckets().count());
        assert_eq!(written["latency"]["count"], op.latency.count());
    }
    assert_eq!(
        value["submissions"].as_object().unwrap().len(),
        stats.submissions().count()
    );
    assert_names(&Latency::default(), "count p50 p90 p99 max buckets");
    let report = handle.shutdown(Duration::from_secs(10)).await;
    assert_names(&report, "left_behind stuck");
}

/// Words stand for what is one of several.
#[test]
fn words() {
    assert_eq!(written(&Way::LaneRing), "lane_ring");
    assert_eq!(written(&OpState::Orphaned), "orphaned");
    let mut mount = MountStats::default();
    mount.state = BreakerState::HalfOpen;
    let value = assert_names(&mount, "point fs_type state stuck timeouts refused");
    assert_eq!(value["state"], "half_open");
    for row in TABLE {
        let value = written(row);
        assert_eq!(
            (&value["kind"], &value["name"]),
            (&json!(row.name), &json!(row.name))
        );
        let code = row.opcode.map(|opcode| u64::from(opcode.code));
        assert_eq!(value["opcode"]["code"].as_u64(), code);
    }
}

/// What the machine has, and what keeps it from the rest.
#[test]
fn what_is_to_be_had() {
    let names = "kernel ring_reason opcode_count limits operations";
    let value = assert_names(probe::report(), names);
    assert_eq!(value["operations"].as_object().unwrap().len(), TABLE.len());
    assert_eq!(value["operations"]["read_dir"]["way"], "pool");
    for reason in [
        Reason::Disabled { switch: 2 },
        Reason::Seccomp,
        Reason::Other { errno: 5 },
    ] {
        let value = assert_names(&reason, "cause message remedy errno");
        assert_eq!(value["message"], reason.to_string());
        assert_eq!(value["errno"], json!(reason.errno()));
    }
    for found in probe::features() {
        let value = assert_names(&found, "feature reason remedy");
        assert_eq!(value["feature"], found.feature.name());
    }
    let filesystem = probe::filesystem(Path::new("/")).unwrap();
    let names = "fs_type mount_point answers_at_poll at_poll direct_io";
    let value = assert_names(&filesystem, names);
    assert_eq!(
        value["at_poll"].as_array().unwrap().len(),
        PollAnswer::ALL.len()
    );
    let obstacle = assert_names(&Obstacle::Stalled, "message remedy");
    assert_eq!(obstacle["message"], Obstacle::Stalled.to_string());
}

/// Mounts, each with one answer. What they answer is theirs.
#[test]
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn mounts_and_their_answers() {
    let mounts = probe::mounts(Duration::from_secs(30)).unwrap();
    for mount in &mounts {
        let value = assert_names(mount, "point fs_type source options is_local answer");
        let answer = &value["answer"];
        assert_names(answer, "state after error");
        assert_eq!(
            answer["after"].is_null(),
            answer["error"].is_object(),
            "{answer}"
        );
    }
    assert!(mounts.iter().any(|mount| written(mount)["point"] == "/"));
}

/// Copies and walks, with their errors, and with names that are no UTF-8 where there can be such.
#[tokio::test]
async fn copies_and_walks() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    std::fs::create_dir(&from).unwrap();
    std::fs::write(from.join("file"), "text").unwrap();
    let odd = from.join(OsString::from_vec(b"not\xffutf8".to_vec()));
    let has_odd = std::fs::write(&odd, "text").is_ok();
    let mut copying = CopyTree::new(&from, &to).start();
    let mut copied = Vec::new();
    while let Some(event) = copying.next_event().await {
        let value = assert_names(&event, "copied");
        let names = "path kind bytes data_bytes reused_bytes warnings";
        assert_names(&value["copied"], names);
        copied.push(value["copied"].clone());
    }
    let found = |name: &str, kind: &str| {
        let mut copied = copied.iter();
        copied.any(|one| one["path"].as_str().unwrap().ends_with(name) && one["kind"] == kind)
    };
    assert!(
        found("/file", "file") && found("/from", "directory"),
        "{copied:?}"
    );
    assert!(!has_odd || found("/not\u{fffd}utf8", "file"), "{copied:?}");

    let missing = dir.path().join("missing");
    let event = CopyTree::new(&missing, &to).start().next_event().await;
    let value = written(&event.unwrap());
    assert_names(&value["failed"], "path operation error");
    assert_eq!(value["failed"]["error"]["kind"], "NotFound");
    assert_eq!(value["failed"]["error"]["errno"], nix::libc::ENOENT);
    let planned = written(&TreeEvent::Planned(missing.clone()));
    assert_eq!(planned["planned"], missing.to_str().unwrap());
    assert_names(&Copied::default(), "bytes data_bytes warnings");

    let mut walk = WalkDir::new(&missing).walk();
    let error = futures::StreamExt::next(&mut walk)
        .await
        .unwrap()
        .unwrap_err();
    let value = assert_names(&error, "path depth call error is_fatal");
    assert_eq!(value["call"], WalkCall::Stat.name());
    let mut stats = WalkStats::default();
    stats.entries = 7;
    assert_eq!(written(&stats)["entries"], 7);
}

/// A pool of buffers, and what rings know of it.
#[test]
fn pools_of_buffers() {
    let pool = BufPool::builder().count(2).build().unwrap();
    let value = assert_names(&pool.stats(), "count in_use waiting acquires misses");
    assert_eq!(value["count"], 2);
    for (registration, state) in [
        (Registration::Disabled, "disabled"),
        (Registration::Enabled { bytes: 1 }, "enabled"),
    ] {
        let value = assert_names(&registration, "state bytes refused_bytes reason");
        assert_eq!(value["state"], state);
    }
}
