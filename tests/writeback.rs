//! Bounded writeback: few dirty pages, no byte lost, and no error that is not told (M1 to M36).
#![cfg(target_os = "linux")]

mod common;
#[path = "writeback/killed.rs"]
mod killed;
#[path = "writeback/model.rs"]
mod model;

use std::io::{ErrorKind, SeekFrom};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use common::{on_each_route, routes, runtime, until_idle};
use tidegate::fs::{File, FileState, WritebackClass, WritebackPolicy};
use tidegate::opcode::Kind;
use tidegate::testing::Faults;
use tidegate::{Error, Handle, OpExt, Route, raw_os_error};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

const MIB: usize = 1 << 20;
const CHUNK: u64 = 4 << 20;
const ENOSPC: i32 = 28;

/// Chunks as small as they get.
fn policy() -> WritebackPolicy {
    WritebackPolicy::new().chunk_bytes(CHUNK)
}

fn bytes(seed: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at * 31 + seed * 7 + at / 4093) as u8)
        .collect()
}

/// Pages of a file in the cache: all of them, dirty ones and those being written.
fn cached(path: &Path) -> Option<[u64; 3]> {
    let file = std::fs::File::open(path).unwrap();
    let (range, mut pages) = ([0_u64; 2], [0_u64; 5]);
    // SAFETY: the call reads one and writes the other, which have the kernel's layout.
    let result =
        unsafe { libc::syscall(451, file.as_raw_fd(), range.as_ptr(), pages.as_mut_ptr(), 0) };
    (result == 0).then_some([pages[0], pages[1], pages[2]])
}

/// A file that is written out so; `None` where there is nothing to write out.
async fn bounded(path: &Path, policy: WritebackPolicy) -> File {
    let mut options = File::options();
    let options = options.read(true).write(true).create(true);
    options.open(path).await.unwrap().with_writeback(policy)
}

fn is_on_disk(file: &File, test: &str) -> bool {
    let class = file.writeback_stats().unwrap().class;
    let is = class == WritebackClass::Local;
    if !is {
        println!("skip: {test}: temporary files are on {class:?}");
    }
    is
}

/// M2: whatever way the bytes come, dirty ones are at most two chunks, by our count and by the kernel's; no byte is
/// lost, and none stays in the cache.
#[test]
fn a_stream_has_two_chunks_dirty_at_most() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        for way in [
            "positional",
            "giant",
            "cursor",
            "vectored",
            "giant, vectored",
            "appended",
            "clones",
        ] {
            let path = dir.path().join(way);
            let expected = bytes(1, 40 * MIB + 12_345);
            let file = if way == "appended" {
                let mut options = File::options();
                let file = options.append(true).create(true).open(&path).await.unwrap();
                file.with_writeback(policy())
            } else {
                bounded(&path, policy()).await
            };
            let dirty_max = write(&file, way, &expected, &path).await;
            file.sync_all().await.unwrap();
            until_idle().await;
            let stats = file.writeback_stats().unwrap();
            file.close().await.unwrap();
            assert!(std::fs::read(&path).unwrap() == expected, "{way}");
            if stats.class != WritebackClass::Local {
                println!(
                    "skip: a_stream_has_two_chunks_dirty_at_most: {:?}",
                    stats.class
                );
                return;
            }
            let most = 2 * CHUNK;
            assert!(stats.bytes_dirty_peak <= most, "{way}: {stats:?}");
            assert!(stats.started >= 10 && stats.failed == 0, "{way}: {stats:?}");
            assert!(dirty_max << 12 <= most, "{way}: {dirty_max} pages");
        }
    });
}

/// Writes all of it; returns the most pages that were dirty.
async fn write(file: &File, way: &str, expected: &[u8], path: &Path) -> u64 {
    let mut dirty_max = 0;
    let mut look = || {
        let [_, dirty, writeback] = cached(path).unwrap_or_default();
        dirty_max = dirty_max.max(dirty + writeback);
    };
    if way == "giant" {
        file.write_all_at(expected.to_vec(), 0).await.unwrap();
        look();
        return dirty_max;
    }
    if way == "giant, vectored" {
        let bufs = expected.chunks(11 * MIB + 5).map(<[u8]>::to_vec);
        let (count, _) = file.writev_at(bufs.collect(), 0).await.unwrap();
        assert_eq!(count, expected.len());
        look();
        return dirty_max;
    }
    let mut clone = file.try_clone().await.unwrap();
    let mut at = 0;
    for part in expected.chunks(MIB) {
        match way {
            "cursor" => clone.write_all(part).await.unwrap(),
            "vectored" => {
                let bufs = part.chunks(part.len().div_ceil(3)).map(<[u8]>::to_vec);
                let (count, _) = file.writev_at(bufs.collect(), at).await.unwrap();
                assert_eq!(count, part.len());
            }
            "clones" if at as usize % (2 * MIB) == 0 => {
                clone
                    .write_all_at(part.to_vec(), at)
                    .await
                    .map(drop)
                    .unwrap();
            }
            _ => file
                .write_all_at(part.to_vec(), at)
                .await
                .map(drop)
                .unwrap(),
        }
        at += part.len() as u64;
        look();
    }
    clone.flush().await.unwrap();
    dirty_max
}

/// What was written out has left the cache, unless the policy keeps it (M11, M25).
#[test]
fn what_is_written_out_leaves_the_cache() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Vec::new();
        for drops in [true, false] {
            let path = dir.path().join(format!("{drops}"));
            let file = bounded(&path, policy().drop_cache(drops)).await;
            for at in 0..16 {
                let part = bytes(at, MIB + 7);
                file.write_all_at(part, (at * (MIB + 7)) as u64)
                    .await
                    .unwrap();
            }
            until_idle().await;
            if !is_on_disk(&file, "what_is_written_out_leaves_the_cache") {
                return;
            }
            file.close().await.unwrap();
            let Some([pages, dirty, writeback]) = cached(&path) else {
                return println!("skip: what_is_written_out_leaves_the_cache: no cachestat");
            };
            assert_eq!((dirty, writeback), (0, 0), "close waits, drops: {drops}");
            kept.push(pages);
        }
        assert!(kept[0] * 4 < kept[1], "{kept:?}");
    });
}

/// M18: a write-out that fails is told by the next write, and by every sync until it is acknowledged; the write that
/// it was told to was not done.
#[test]
fn a_failed_write_out_is_told() {
    for route in routes() {
        runtime(true).block_on(async {
            let faults = Faults::new();
            Handle::builder()
                .route(route)
                .faults(faults.clone())
                .install()
                .unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f");
            let mut file = bounded(&path, policy()).await;
            let full = faults
                .on(Kind::SyncRange)
                .path_is(&path)
                .times(1)
                .fail(ENOSPC);
            let part = bytes(3, 5 * MIB);
            file.write_all_at(part.clone(), 0).await.unwrap();
            until_idle().await;
            assert_eq!(full.hits(), 1);
            assert_eq!(file.state(), FileState::Poisoned);
            let error = file.write_all_at("not done", 0).await.unwrap_err();
            assert_eq!(raw_os_error(&error.error), Some(ENOSPC));
            assert_eq!(error.error.kind(), ErrorKind::StorageFull);
            file.write_all_at("done", 5 * MIB as u64).await.unwrap();
            for _ in 0..3 {
                assert_eq!(
                    file.sync_all().await.unwrap_err().kind(),
                    ErrorKind::StorageFull
                );
                assert_eq!(
                    file.sync_data().await.unwrap_err().kind(),
                    ErrorKind::StorageFull
                );
            }
            assert_eq!(raw_os_error(&file.acknowledge().unwrap()), Some(ENOSPC));
            file.sync_all().await.unwrap();
            assert!(std::fs::read(&path).unwrap() == [&part[..], b"done"].concat());
            // The same for a cursor.
            let full = faults
                .on(Kind::SyncRange)
                .path_is(&path)
                .times(1)
                .fail(ENOSPC);
            file.seek(SeekFrom::Start(0)).await.unwrap();
            // The last piece that is accepted is the one that finishes the chunk.
            file.write_all(&part[..4 * MIB]).await.unwrap();
            file.flush().await.unwrap();
            until_idle().await;
            assert_eq!(full.hits(), 1);
            assert_eq!(
                file.write(b"x").await.unwrap_err().kind(),
                ErrorKind::StorageFull
            );
            assert_eq!(
                file.sync_all().await.unwrap_err().kind(),
                ErrorKind::StorageFull
            );
        });
    }
}

/// A write-out that fails behind the last write is told by the close, as nobody else would; once it was told, a close
/// says nothing of it.
#[test]
fn a_close_tells_of_a_failed_write_out() {
    for route in routes() {
        runtime(true).block_on(async {
            let faults = Faults::new();
            let builder = Handle::builder().route(route).faults(faults.clone());
            builder.install().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f");
            for is_told in [false, true] {
                let file = bounded(&path, policy()).await;
                let full = faults.on(Kind::SyncRange).path_is(&path).fail(ENOSPC);
                file.write_all_at(bytes(5, MIB), 0).await.unwrap();
                if is_told {
                    file.write_all_at(bytes(5, 5 * MIB), 0).await.unwrap();
                    until_idle().await;
                    file.sync_all().await.unwrap_err();
                }
                let closed = file.close().await.map_err(|error| error.kind());
                let expected = if is_told {
                    Ok(())
                } else {
                    Err(ErrorKind::StorageFull)
                };
                assert_eq!((closed, full.hits() > 0), (expected, true), "{route:?}");
            }
        });
    }
}

/// M15, M20: a write-out that does not end is waited for as long as the policy says, and no longer; nothing of it leaves
/// the cache, and a sync that cannot know says so.
#[test]
fn a_write_out_that_does_not_end_holds_up_nobody_for_ever() {
    for route in routes() {
        runtime(true).block_on(async {
            let faults = Faults::new();
            Handle::builder()
                .route(route)
                .faults(faults.clone())
                .install()
                .unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f");
            let limit = Duration::from_millis(30);
            let file = bounded(&path, policy().wait_limit(limit)).await;
            let dead = faults.on(Kind::SyncRange).path_is(&path).never();
            let expected = bytes(9, 32 * MIB);
            file.write_all_at(expected.clone(), 0).await.unwrap();
            let stats = file.writeback_stats().unwrap();
            assert!(stats.is_degraded && stats.degradations == 1, "{stats:?}");
            assert!(stats.skipped > 0 && stats.started <= 4, "{stats:?}");
            // What may have been told to the write-out is not known to the sync.
            let sync = file.sync_all().timeout(Duration::from_millis(50)).await;
            let error = sync.unwrap_err();
            assert!(
                matches!(Error::from_io(&error), Some(Error::TimedOut { .. })),
                "{error:?}"
            );
            drop(dead);
            until_idle().await;
            file.sync_all().await.unwrap();
            assert!(std::fs::read(&path).unwrap() == expected);
            file.close().await.unwrap();
        });
    }
}

/// Whoever gives up while he is held back has written nothing of that, and the room is there for the next.
#[test]
fn who_is_held_back_can_give_up() {
    for route in routes() {
        runtime(true).block_on(async {
            let faults = Faults::new();
            Handle::builder()
                .route(route)
                .faults(faults.clone())
                .install()
                .unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f");
            let file = bounded(&path, policy()).await;
            let held = faults.on(Kind::SyncRange).path_is(&path).never();
            file.write_all_at(bytes(1, 8 * MIB), 0).await.unwrap();
            let late = file.write_all_at("late", 8 * MIB as u64);
            let error = late.timeout(Duration::from_millis(30)).await.unwrap_err();
            let is_limit = matches!(Error::from_io(&error.error), Some(Error::TimedOut { .. }));
            assert!(is_limit, "{error:?}");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), 8 * MIB as u64);
            assert!(file.writeback_stats().unwrap().held_back > 0);
            drop(held);
            file.write_all_at("in time", 8 * MIB as u64).await.unwrap();
            file.close().await.unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), 8 * MIB as u64 + 7);
        });
    }
}

/// Where there is nothing to write out, nothing is.
#[test]
fn memory_pipes_and_direct_files_are_left_alone() {
    on_each_route(|route: Route| async move {
        let (_from, to) = nix::unistd::pipe().unwrap();
        let pipe = File::from(to).with_writeback(policy());
        pipe.write_at("x", 0).await.unwrap();
        assert!(!pipe.writeback_stats().unwrap().is_active, "{route:?}");
        let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
            return println!("skip: memory_pipes_and_direct_files_are_left_alone: no /dev/shm");
        };
        let file = bounded(&dir.path().join("f"), policy()).await;
        let expected = bytes(2, 20 * MIB);
        file.write_all_at(expected.clone(), 0).await.unwrap();
        until_idle().await;
        let stats = file.writeback_stats().unwrap();
        if stats.class == WritebackClass::Memory {
            assert!(!stats.is_active && stats.finished == 0, "{stats:?}");
        }
        file.sync_all().await.unwrap();
        assert!(std::fs::read(dir.path().join("f")).unwrap() == expected);
    });
}
