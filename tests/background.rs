//! What a file was given goes to its end without it: accepted writes, closes, and the errors of both.

mod common;

use std::io::Read;
use std::sync::Arc;

use common::log::Log;
use common::{on_every_backend, routes, runtime};
use tidegate::Handle;
use tidegate::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// As with tokio, what a write took is written when the runtime has ended, flushed or not.
#[test]
fn an_accepted_write_is_done_when_the_runtime_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..1_000_000u32).map(|number| number as u8).collect();
    for route in routes() {
        for multi in [true, false] {
            let path = dir.path().join(format!("{route:?} {multi}"));
            let runtime = runtime(multi);
            runtime.block_on(async {
                Handle::builder().route(route).install().unwrap();
                let mut file = File::create(&path).await.unwrap();
                file.write_all(&content).await.unwrap();
            });
            drop(runtime);
            assert!(std::fs::read(&path).unwrap() == content, "{route:?}");
        }
    }
}

/// Whoever looks after the file was dropped sees what it had accepted, though nobody flushed.
#[test]
fn what_a_dropped_file_had_accepted_is_seen() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for number in 0..300u32 {
            let path = dir.path().join(format!("{}", number % 7));
            let text = format!("text {number}");
            let mut file = File::create(&path).await.unwrap();
            file.write_all(text.as_bytes()).await.unwrap();
            drop(file);
            match number % 3 {
                0 => assert_eq!(fs::read_to_string(&path).await.unwrap(), text),
                1 => {
                    let length = fs::metadata(&path).await.unwrap().len();
                    assert_eq!(length, text.len() as u64);
                }
                _ => {
                    let mut read = String::new();
                    let mut file = File::open(&path).await.unwrap();
                    file.read_to_string(&mut read).await.unwrap();
                    assert_eq!(read, text);
                }
            }
        }
    });
}

/// The same for a task that is dropped in the middle, together with its runtime.
#[test]
fn an_accepted_write_outlives_its_task() {
    let dir = tempfile::tempdir().unwrap();
    for route in routes() {
        let runtime = runtime(true);
        let paths: Vec<_> = (0..20)
            .map(|number| dir.path().join(format!("{route:?} {number}")))
            .collect();
        runtime.block_on(async {
            Handle::builder().route(route).install().unwrap();
            let barrier = Arc::new(tokio::sync::Barrier::new(paths.len() + 1));
            for path in &paths {
                let (path, barrier) = (path.clone(), barrier.clone());
                tokio::spawn(async move {
                    let mut file = File::create(&path).await.unwrap();
                    file.write_all(b"kept").await.unwrap();
                    barrier.wait().await;
                    std::future::pending::<()>().await;
                });
            }
            barrier.wait().await;
        });
        drop(runtime);
        for path in paths {
            assert_eq!(std::fs::read(path).unwrap(), b"kept", "{route:?}");
        }
    }
}

/// A pipe takes a long write in several steps; they all come, although the file is gone.
#[test]
fn a_long_write_into_a_pipe_outlives_its_file() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        fs::make_fifo(&path, 0o600).await.unwrap();
        let reader = {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut pipe = std::fs::File::open(path).unwrap();
                pipe.read_to_end(&mut bytes).unwrap();
                bytes
            })
        };
        let mut options = File::options();
        let mut file = options.write(true).open(&path).await.unwrap();
        let content: Vec<u8> = (0..1_500_000u32).map(|number| (number / 7) as u8).collect();
        file.write_all(&content).await.unwrap();
        drop(file);
        let read = tokio::task::spawn_blocking(|| reader.join().unwrap());
        assert!(read.await.unwrap() == content);
    });
}

/// Clones that write at the same time overwrite nothing, and those that read get bytes of their own.
#[test]
fn clones_share_a_position_and_no_bytes() {
    on_every_backend(|_| async {
        const PART: usize = 4096;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = File::create(&path).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..8u8 {
            let mut clone = file.try_clone().await.unwrap();
            tasks.spawn(async move {
                for _ in 0..32 {
                    clone.write_all(&[number; PART]).await.unwrap();
                }
                clone.flush().await.unwrap();
            });
        }
        tasks.join_all().await;
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 8 * 32 * PART);
        let mut counts = [0; 8];
        for part in bytes.chunks(PART) {
            assert!(part.iter().all(|&byte| byte == part[0]));
            counts[usize::from(part[0])] += 1;
        }
        assert_eq!(counts, [32; 8]);

        let file = File::open(&path).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let mut clone = file.try_clone().await.unwrap();
            tasks.spawn(async move {
                let (mut counts, mut part) = ([0; 8], [0; PART]);
                while clone.read(&mut part).await.unwrap() == PART {
                    counts[usize::from(part[0])] += 1;
                }
                counts
            });
        }
        let mut counts = [0; 8];
        for of_one in tasks.join_all().await {
            for (sum, count) in counts.iter_mut().zip(of_one) {
                *sum += count;
            }
        }
        assert_eq!(counts, [32; 8]);
    });
}

/// A clone can go on while the other file's write was never flushed: nobody waits for somebody's poll.
#[test]
fn a_clone_does_not_wait_for_a_file_that_nobody_polls() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let mut first = File::create(dir.path().join("file")).await.unwrap();
        let mut second = first.try_clone().await.unwrap();
        first.write_all(b"first").await.unwrap();
        second.write_all(b"second").await.unwrap();
        second.flush().await.unwrap();
        assert_eq!(second.stream_position().await.unwrap(), 11);
        first.flush().await.unwrap();
        let found = fs::read(dir.path().join("file")).await.unwrap();
        assert_eq!(found, b"firstsecond");
    });
}

/// A write error that nobody flushed out comes with the sync, and again with the flush.
#[test]
fn a_sync_tells_of_a_write_that_failed() {
    on_every_backend(|_| async {
        let mut full = File::options().write(true).open("/dev/full").await.unwrap();
        full.write_all(b"lost").await.unwrap();
        for _ in 0..2 {
            let error = full.sync_all().await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        }
        let error = full.flush().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        full.flush().await.unwrap_err();
        assert!(full.acknowledge().is_some());
        full.flush().await.unwrap();
    });
}

/// R80: what fails when nobody is there any more is logged. Alone in its process, as the log is global.
#[test]
fn what_fails_in_the_background_is_logged() {
    let test = "what_fails_in_the_background_is_logged";
    common::child::in_child(
        test,
        |_| {},
        || {
            let log = Log::start();
            for route in routes() {
                let runtime = runtime(true);
                runtime.block_on(async {
                    Handle::builder().route(route).install().unwrap();
                    let mut full = File::options().write(true).open("/dev/full").await.unwrap();
                    full.write_all(b"lost").await.unwrap();
                });
                drop(runtime);
                let told = log.take();
                let is_it =
                    |line: &&String| line.contains("operation=\"write\"") && line.contains("space");
                assert!(told.iter().any(|line| is_it(&line)), "{route:?}: {told:?}");
            }
        },
    );
}
