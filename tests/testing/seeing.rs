//! What is seen of operations that are stuck (V8, V11 to V13, V15).

use std::time::Duration;

use tidegate::opcode::Kind;
use tidegate::{OpExt, fs};

use crate::{in_time, on_each, on_each_with, until};

const SHORT: Duration = Duration::from_millis(15);

/// The heartbeat names the path and the age of what is stuck, beat after beat, also to who comes late, and holds
/// up nothing where nobody reads it.
#[test]
fn the_heartbeat_names_what_is_stuck() {
    on_each_with(
        |builder| builder.heartbeat_interval(Duration::from_millis(5)),
        |place| async move {
            let _never_read = place.handle.heartbeat();
            let mut heart = place.handle.heartbeat();
            let stuck = place.faults.on(Kind::Statx).under(&place.dir).never();
            let asking = tokio::spawn(fs::statx(place.path("one")));
            in_time(stuck.wait_hit(1)).await;
            let mut age = Duration::ZERO;
            for _ in 0..5 {
                let seen = heart.wait_for(|heartbeat| {
                    let oldest = heartbeat.oldest.as_ref();
                    oldest.is_some_and(|oldest| oldest.age > age)
                });
                let heartbeat = in_time(seen).await.unwrap().clone();
                let oldest = heartbeat.oldest.unwrap();
                assert_eq!(oldest.operation, Kind::Statx);
                assert_eq!(oldest.path, Some(place.path("one")));
                age = oldest.age;
                in_time(fs::metadata(place.path("two"))).await.unwrap();
            }
            stuck.release();
            in_time(asking).await.unwrap().unwrap();
            let idle = heart.wait_for(|heartbeat| heartbeat.in_flight == 0);
            in_time(idle).await.unwrap();
        },
    );
}

/// Orphans are counted while they are there, and the most that there ever were; ends are counted by kind.
#[test]
fn orphans_and_ends_are_counted() {
    on_each(|place| async move {
        let stuck = place.faults.on(Kind::Statx).under(&place.dir).never();
        for _ in 0..3 {
            let asked = fs::statx(place.path("one")).timeout(SHORT);
            in_time(asked).await.unwrap_err();
        }
        let stats = place.handle.stats();
        assert_eq!((stats.orphans, stats.orphans_max), (3, 3));
        let statx = stats.ops().find(|op| op.row.kind == Kind::Statx).unwrap();
        assert_eq!((statx.timed_out, statx.ok), (3, 0));
        drop(stuck);
        until("no orphan", || place.handle.stats().orphans == 0).await;
        assert_eq!(place.handle.stats().orphans_max, 3);
        place.idle().await;
    });
}
