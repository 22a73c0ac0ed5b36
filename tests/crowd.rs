//! More reads that wait for their peers than one ring has room for: what ends them still finds room.
#![cfg(target_os = "linux")]

mod common;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tidegate::buf::BufGroup;
use tidegate::fs::File;
use tidegate::{Handle, OpExt, Route};

/// More than a ring has entries.
const PAIRS: usize = 300;
/// For a test that would hang otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

fn pair() -> (File, File) {
    let (reader, writer) = UnixStream::pair().unwrap();
    let [reader, writer] = [reader, writer].map(|end| File::from_std(OwnedFd::from(end).into()));
    (reader, writer)
}

/// Blocking threads have no such room: each read that waits holds one.
fn on_rings(test: impl AsyncFn()) {
    for route in common::routes() {
        if route == Route::Pool || tidegate::probe::report().ring_reason().is_some() {
            continue;
        }
        common::runtime(true).block_on(async {
            Handle::builder().route(route).install().unwrap();
            test().await;
        });
    }
}

#[test]
fn many_idle_streams_leave_room_for_what_ends_them() {
    on_rings(async || {
        let group = BufGroup::builder().count(4).size(64).build().unwrap();
        let pairs: Vec<_> = (0..PAIRS).map(|_| pair()).collect();
        let mut streams: Vec<_> = pairs
            .iter()
            .map(|(reader, _)| reader.read_provided_stream(&group))
            .collect();
        for stream in &mut streams {
            assert!(stream.next().now_or_never().is_none());
        }
        for ((_, writer), stream) in pairs.iter().zip(&mut streams) {
            let written = writer.write_at("word", 0).timeout(PATIENCE).await;
            assert_eq!(written.unwrap().0, 4);
            let read = async { stream.next().await.expect("a word") };
            assert_eq!(&read.timeout(PATIENCE).await.unwrap()[..], b"word");
        }
        let lanes = Handle::current().unwrap().stats().lanes;
        assert!(lanes > 1, "{lanes} lanes");
    });
}

#[test]
fn many_waiting_reads_leave_room_for_what_ends_them() {
    on_rings(async || {
        let pairs: Vec<_> = (0..PAIRS).map(|_| pair()).collect();
        let reads: Vec<_> = pairs
            .iter()
            .map(|(reader, _)| tokio::spawn(reader.read_at(vec![0; 8], 0)))
            .collect();
        let handle = Handle::current().unwrap();
        while handle.stats().in_flight < PAIRS as u64 {
            tokio::task::yield_now().await;
        }
        for ((_, writer), read) in pairs.iter().zip(reads) {
            let written = writer.write_at("word", 0).timeout(PATIENCE).await;
            assert_eq!(written.unwrap().0, 4);
            let (count, _) = read.await.unwrap().unwrap();
            assert_eq!(count, 4);
        }
    });
}
