//! Many ranges of a file in one call (R64, R65, R66, R67, R69).
#![allow(clippy::single_range_in_vec_init, reason = "one range is a case too")]

mod common;

use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{on_each_route, on_every_backend};
use tidegate::fs::{Advice, File, OpenOptions};
use tidegate::opcode::Kind;
use tidegate::{Handle, Route, Way};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn byte_at(at: u64) -> u8 {
    (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// A file whose bytes say where they are.
fn content(dir: &tempfile::TempDir, length: u64) -> std::path::PathBuf {
    let path = dir.path().join("file");
    std::fs::write(&path, (0..length).map(byte_at).collect::<Vec<_>>()).unwrap();
    path
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Each result has the bytes of its range, as far as the file goes.
fn check(ranges: &[Range<u64>], read: &[bytes::Bytes], length: u64) {
    assert_eq!(ranges.len(), read.len());
    for (range, bytes) in ranges.iter().zip(read) {
        let end = range.end.min(length).max(range.start.min(length));
        let expected = range.start.min(length)..end;
        assert_eq!(
            bytes.len() as u64,
            expected.end - expected.start,
            "{range:?}"
        );
        assert!(bytes.iter().copied().eq(expected.map(byte_at)), "{range:?}");
    }
}

/// In any order, overlapping, empty, at the end and beyond it.
#[test]
fn ranges_come_back_in_their_order() {
    on_every_backend(|_| async {
        let (dir, length) = (scratch(), 300 * KIB + 7);
        let file = File::open(content(&dir, length)).await.unwrap();
        assert!(file.read_ranges(&[]).await.unwrap().is_empty());
        let ranges = [
            200 * KIB..201 * KIB,
            0..4,
            2..100,
            0..length,
            77..77,
            length - 3..length,
            length - 3..length + 3,
            length..length + 10,
            1 << 40..(1 << 40) + 9,
            0..4,
        ];
        check(&ranges, &file.read_ranges(&ranges).await.unwrap(), length);
        let mut seed = 7u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        let many: Vec<Range<u64>> = (0..3000)
            .map(|_| {
                let start = next() % (length + 5000);
                start..start + next() % 20_000
            })
            .collect();
        check(&many, &file.read_ranges(&many).await.unwrap(), length);
    });
}

/// Longer than one read takes, by several at a time.
#[test]
fn long_ranges_are_read_in_parts() {
    on_each_route(|_| async {
        let (dir, length) = (scratch(), 7 * MIB + 5);
        let file = File::open(content(&dir, length)).await.unwrap();
        let ranges = [3..length - 3, 0..2 * MIB, 6 * MIB..12 * MIB];
        check(&ranges, &file.read_ranges(&ranges).await.unwrap(), length);
    });
}

/// Lengths that make no sense are errors, and end nothing.
#[test]
fn bad_ranges_are_refused() {
    on_each_route(|_| async {
        let dir = scratch();
        let file = File::open(content(&dir, 100)).await.unwrap();
        let (from, to) = (9, 3);
        for range in [from..to, 0..u64::MAX, 1 << 63..(1 << 63) + 1] {
            let error = file.read_ranges(&[0..1, range]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.raw_os_error(), None, "{error}");
        }
        let error = file.read_ranges(&[0..i64::MAX as u64]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        let mut writing = OpenOptions::new();
        let writing = writing.write(true).open(dir.path().join("file"));
        let error = writing
            .await
            .unwrap()
            .read_ranges(&[0..1])
            .await
            .unwrap_err();
        assert_eq!(tidegate::raw_os_error(&error), Some(libc::EBADF));
    });
}

/// R66: as many reads as the sizes ask for, and none that only asks for the end.
#[test]
fn known_sizes_are_read_without_asking_for_the_end() {
    on_each_route(|route| async move {
        let (dir, length) = (scratch(), 4 * MIB);
        let file = File::open(content(&dir, length)).await.unwrap();
        let handle = Handle::current().unwrap();
        let reads = || {
            let stats = handle.stats();
            let ways = [Way::AtPoll, Way::WorkerRing, Way::LaneRing, Way::Pool];
            ways.map(|way| stats.count(Kind::Read, way))
                .iter()
                .sum::<u64>()
        };
        let before = reads();
        file.read_exact_at(vec![0; length as usize], 0)
            .await
            .unwrap();
        assert_eq!(reads() - before, 1, "{route:?}: the whole file");
        let before = reads();
        file.read_ranges(&[0..length]).await.unwrap();
        assert_eq!(reads() - before, 4, "{route:?}: a range of 4 MiB");
        let before = reads();
        let apart: Vec<_> = (0..40).map(|n| n * 100 * KIB..n * 100 * KIB + 10).collect();
        file.read_ranges(&apart).await.unwrap();
        assert_eq!(reads() - before, 40, "{route:?}: 40 ranges far apart");
        let before = reads();
        let near: Vec<_> = (0..40).map(|n| n * KIB..n * KIB + 10).collect();
        file.read_ranges(&near).await.unwrap();
        assert_eq!(reads() - before, 1, "{route:?}: 40 ranges side by side");
    });
}

/// R67: never more in flight than the bound, however many ranges there are.
#[test]
fn reads_in_flight_are_bounded() {
    on_each_route(|route| async move {
        if route == Route::Auto {
            // It answers these at the poll.
            return;
        }
        let (dir, length) = (scratch(), 40 * MIB);
        let path = dir.path().join("file");
        std::fs::File::create(&path)
            .unwrap()
            .set_len(length)
            .unwrap();
        let file = File::open(path).await.unwrap();
        let handle = Handle::current().unwrap();
        let ranges: Vec<_> = (0..1000)
            .map(|n| n * 40 * KIB..n * 40 * KIB + 512)
            .collect();
        let mut most = 0;
        let mut read = std::pin::pin!(file.read_ranges(&ranges));
        let read = std::future::poll_fn(|cx| {
            let polled = read.as_mut().poll(cx);
            most = most.max(handle.stats().in_flight);
            polled
        });
        let read = read.await.unwrap();
        assert!(read.iter().all(|bytes| bytes[..] == [0; 512]));
        assert!(most <= 32, "{most} in flight");
    });
}

/// R64: a file that shrinks during the reads gives short results, and ends.
#[test]
fn a_file_that_shrinks_meanwhile_never_makes_it_spin() {
    on_each_route(|_| async {
        let (dir, length) = (scratch(), 3 * MIB);
        let path = content(&dir, length);
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let changer = std::thread::spawn({
            let (path, stop) = (path.clone(), stop.clone());
            move || {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    for length in [length, 5 * KIB, 2 * MIB, 0] {
                        file.set_len(length).unwrap();
                    }
                }
            }
        });
        let file = File::open(&path).await.unwrap();
        let ranges: Vec<_> = (0..30)
            .map(|n| n * 100 * KIB..n * 100 * KIB + 30 * KIB)
            .collect();
        for _ in 0..30 {
            let read = file.read_ranges(&ranges).await.unwrap();
            for (range, bytes) in ranges.iter().zip(&read) {
                assert!(bytes.len() as u64 <= range.end - range.start);
                let fits = |(&byte, at)| byte == 0 || byte == byte_at(at);
                assert!(bytes.iter().zip(range.clone()).all(fits));
            }
            file.read_ranges(&[0..length]).await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        changer.join().unwrap();
    });
}

/// R65, and files whose size says nothing.
#[test]
fn what_came_after_the_open_and_what_has_no_size_is_read() {
    on_each_route(|_| async {
        let dir = scratch();
        let path = content(&dir, 10);
        let file = File::open(&path).await.unwrap();
        assert_eq!(file.read_ranges(&[5..20]).await.unwrap()[0].len(), 5);
        let other = std::fs::File::options().write(true).open(&path).unwrap();
        other.write_all_at(b"later", 5 << 32).unwrap();
        let later = file
            .read_ranges(&[5 << 32..(5 << 32) + 9, 8..12])
            .await
            .unwrap();
        assert_eq!(later[0], "later");
        assert_eq!(later[1].len(), 4);
        let status = File::open("/proc/self/status").await.unwrap();
        let parts = status.read_ranges(&[0..5, 6..9]).await.unwrap();
        assert_eq!(parts[0], "Name:");
        let zero = File::open("/dev/zero").await.unwrap();
        let read = zero
            .read_ranges(&[0..3 * MIB, 1 << 50..(1 << 50) + 5])
            .await
            .unwrap();
        assert_eq!((read[0].len() as u64, read[1].len()), (3 * MIB, 5));
    });
}

/// R69: pages that leave the cache between and during the reads make no difference.
#[test]
fn what_left_the_page_cache_is_read_again() {
    const PAGE: usize = 4096;
    on_each_route(|_| async {
        let (dir, length) = (scratch(), 64 * MIB);
        let path = dir.path().join("file");
        let mut pages = vec![0; length as usize];
        for (number, page) in pages.chunks_mut(PAGE).enumerate() {
            page[..8].copy_from_slice(&number.to_le_bytes());
        }
        std::fs::write(&path, pages).unwrap();
        std::fs::File::open(&path).unwrap().sync_all().unwrap();
        let file = File::open(&path).await.unwrap();
        let ranges: Vec<_> = (0..64).map(|n| n * MIB..n * MIB + 70_000).collect();
        for _ in 0..4 {
            file.advise(0, 0, Advice::DontNeed).await.unwrap();
            let (read, evicted) = futures::join!(
                file.read_ranges(&ranges),
                file.advise(length / 2, length / 2, Advice::DontNeed)
            );
            evicted.unwrap();
            for (range, bytes) in ranges.iter().zip(read.unwrap()) {
                assert_eq!(bytes.len(), 70_000);
                for (number, page) in bytes.chunks(PAGE).enumerate() {
                    let expected = range.start as usize / PAGE + number;
                    assert_eq!(page[..8], expected.to_le_bytes());
                }
            }
        }
    });
}

/// Dropped at any moment, the reads end and nothing is left in flight.
#[test]
fn a_dropped_call_leaves_nothing_behind() {
    on_every_backend(|_| async {
        let (dir, length) = (scratch(), 2 * MIB);
        let file = File::open(content(&dir, length)).await.unwrap();
        let handle = Handle::current().unwrap();
        let ranges: Vec<_> = (0..100)
            .map(|n| n * 20 * KIB..n * 20 * KIB + 5000)
            .collect();
        for polls in 0..20 {
            let mut read = std::pin::pin!(file.read_ranges(&ranges));
            let mut left = polls;
            std::future::poll_fn(|cx| {
                let over = read.as_mut().poll(cx).is_ready();
                left -= 1;
                match over || left <= 0 {
                    true => std::task::Poll::Ready(()),
                    false => std::task::Poll::Pending,
                }
            })
            .await;
        }
        while handle.stats().in_flight > 0 {
            tokio::task::yield_now().await;
        }
        check(&ranges, &file.read_ranges(&ranges).await.unwrap(), length);
    });
}
