//! Logs.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate::fs::{AppendOptions, AppendWriter, FileState, Space};
use tidegate::opcode::Kind;
use tidegate::testing::Faults;
use tidegate::{Error, Handle, OpExt, Route};
use tokio::task::JoinSet;

use crate::common;

/// A generator, whose seed is printed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(salt: u64) -> Random {
        let seed = u64::from(std::process::id()) * 1_000_003 + salt;
        eprintln!("seed {seed}");
        Random(seed | 1)
    }

    /// The same sequence for the same seed.
    pub(crate) fn from(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn options() -> AppendOptions {
    AppendOptions::new()
}

/// The options that change how records reach the file, and not what is in it.
pub(crate) fn all_options() -> Vec<AppendOptions> {
    vec![
        options(),
        options().make_holes(true),
        options().preallocate(1 << 16, Space::Reserve),
        options().preallocate(10_000, Space::ReserveExtend),
        options()
            .preallocate(1 << 20, Space::ReserveExtend)
            .make_holes(true),
    ]
}

/// Records of many tasks, of any length, some of them zeros, are where their offsets say, one behind the other.
#[test]
fn records_have_their_offsets() {
    common::on_each_route(|_| async {
        for (number, options) in all_options().into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let log = Arc::new(options.open(&path).await.unwrap());
            let mut tasks = JoinSet::new();
            for task in 0..16_u64 {
                let log = log.clone();
                let mut random = Random::new(task + 100 * number as u64);
                tasks.spawn(async move {
                    let mut records = Vec::new();
                    for _ in 0..20 {
                        let length = [0, 1, 100, 4096, 9000, 70_000][random.below(6) as usize];
                        let byte = if random.below(3) == 0 {
                            0
                        } else {
                            task as u8 + 1
                        };
                        let mut record = vec![byte; length];
                        record.extend([task as u8; 3]);
                        let offset = match random.below(3) {
                            0 => log.append(record.clone()).await,
                            1 => log.append_sync(record.clone()).await,
                            _ => {
                                let hole = log.append_hole(random.below(20_000)).await;
                                hole.unwrap();
                                continue;
                            }
                        };
                        let offset = offset.unwrap();
                        if random.below(4) == 0 {
                            log.sync().await.unwrap();
                            assert!(log.synced() >= offset + record.len() as u64);
                        }
                        records.push((offset, record));
                    }
                    records
                });
            }
            let records: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
            let end = log.end();
            Arc::into_inner(log).unwrap().close().await.unwrap();
            let mut expected = vec![0; end as usize];
            for (offset, record) in records {
                expected[offset as usize..][..record.len()].copy_from_slice(&record);
            }
            assert!(
                std::fs::read(&path).unwrap() == expected,
                "options {number}"
            );
        }
    });
}

/// What is there stays, and what comes goes behind it, or where it is told to.
#[test]
fn logs_go_on_where_they_ended() {
    common::on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for round in 0..3 {
            let log = AppendWriter::open(&path).await.unwrap();
            assert_eq!((log.end(), log.synced()), (round * 4, round * 4));
            assert_eq!(log.append_sync("abcd").await.unwrap(), round * 4);
            log.close().await.unwrap();
        }
        let log = options().start_at(6).open(&path).await.unwrap();
        assert_eq!(log.append("EF").await.unwrap(), 6);
        log.close().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdabEF");
        let beyond = options().start_at(9).open(&path).await.unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::InvalidInput);
        for wrong in [dir.path(), Path::new("/dev/null")] {
            assert!(AppendWriter::open(wrong).await.is_err(), "{wrong:?}");
        }
    });
}

/// What was taken is written though nobody waits and the writer is dropped; nothing that was reserved is left.
#[test]
fn what_was_taken_is_written() {
    for (number, options) in all_options().into_iter().enumerate() {
        for route in common::routes() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let runtime = common::runtime(true);
            runtime.block_on(async {
                Handle::builder().route(route).install().unwrap();
                let log = Arc::new(options.open(&path).await.unwrap());
                let mut tasks = JoinSet::new();
                for _ in 0..100 {
                    let log = log.clone();
                    tasks.spawn(async move { log.append("0123456789").await.map(drop) });
                }
                // Each has been polled once, or is never.
                tokio::task::yield_now().await;
                tasks.abort_all();
                while tasks.join_next().await.is_some() {}
            });
            drop(runtime);
            let found = std::fs::read(&path).unwrap();
            assert_eq!(found.len() % 10, 0, "options {number}: {}", found.len());
            assert_eq!(found, b"0123456789".repeat(found.len() / 10));
        }
    }
}

/// A failed group fails, and so does all that waits and comes, until somebody takes note; then the log goes on where it
/// was. Nothing that was acknowledged has a hole before it: a random sequence against a model.
#[test]
fn failures_stay_until_they_are_acknowledged() {
    for route in common::routes() {
        common::runtime(true).block_on(async {
            let faults = Faults::new();
            let builder = Handle::builder().route(route).faults(faults.clone());
            builder.install().unwrap();
            let mut random = Random::new(1);
            for options in all_options() {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("log");
                let log = Arc::new(options.open(&path).await.unwrap());
                let mut model = BTreeMap::new();
                for round in 0..60_u64 {
                    let number = [28, 5, 122][random.below(3) as usize];
                    let broken = (random.below(3) == 0).then(|| {
                        let after = random.below(3);
                        faults
                            .on(Kind::Append)
                            .path_is(&path)
                            .after(after)
                            .times(1)
                            .fail(number)
                    });
                    let mut tasks = JoinSet::new();
                    for task in 0..random.below(12) {
                        let (log, sync) = (log.clone(), random.below(2) == 0);
                        let record = format!("{round:04}:{task:02};").into_bytes();
                        tasks.spawn(async move {
                            let appended = match sync {
                                true => log.append_sync(record.clone()).await,
                                false => log.append(record.clone()).await,
                            };
                            appended.map(|offset| (offset, record))
                        });
                    }
                    let mut failed = 0;
                    for appended in tasks.join_all().await {
                        match appended {
                            Ok((offset, record)) => {
                                assert!(model.insert(offset, record).is_none(), "{offset}");
                            }
                            Err(error) => {
                                failed += 1;
                                let told = tidegate::raw_os_error(&error);
                                assert_eq!(told, Some(number), "{error}");
                            }
                        }
                    }
                    drop(broken);
                    if failed > 0 {
                        assert_eq!(log.state(), FileState::Poisoned);
                        let again = log.append_sync("never").await.unwrap_err();
                        let typed = Error::from_io(&again);
                        assert!(matches!(typed, Some(Error::Poisoned { .. })), "{again:?}");
                        assert!(log.sync().await.is_err());
                        let acknowledged = log.acknowledge().unwrap();
                        assert_eq!(acknowledged.raw_os_error(), Some(number));
                    }
                    assert_eq!(log.state(), FileState::Healthy);
                }
                let end = log.end();
                Arc::into_inner(log).unwrap().close().await.unwrap();
                let expected: Vec<u8> = model.values().flatten().copied().collect();
                assert_eq!(end, expected.len() as u64, "there are no holes");
                assert_eq!(std::fs::read(&path).unwrap(), expected);
            }
        });
    }
}

/// A limit ends the waiting, and not the record.
#[test]
fn a_record_whose_time_is_over_is_written_late() {
    for route in common::routes() {
        common::runtime(true).block_on(async {
            let faults = Faults::new();
            let builder = Handle::builder().route(route).faults(faults.clone());
            builder.install().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let log = AppendWriter::open(&path).await.unwrap();
            let stuck = faults.on(Kind::Append).path_is(&path).never();
            let late = log
                .append_sync("late\n")
                .timeout(Duration::from_millis(5))
                .await;
            let error = late.unwrap_err();
            assert!(
                matches!(Error::from_io(&error), Some(Error::TimedOut { .. })),
                "{error:?}"
            );
            let next = log.append_sync("next\n");
            stuck.release();
            drop(stuck);
            assert_eq!(next.await.unwrap(), 5);
            assert_eq!(std::fs::read(&path).unwrap(), b"late\nnext\n");
        });
    }
}

/// Whoever opens a log again finds all that was accepted, though its writer is dropped and its disk is slow: a second
/// writer that began where the file ends now would write over it.
#[test]
fn a_log_that_is_opened_again_has_what_was_accepted() {
    for route in common::routes() {
        common::runtime(true).block_on(async {
            let faults = Faults::new();
            let builder = Handle::builder().route(route).faults(faults.clone());
            builder.install().unwrap();
            for options in all_options() {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("log");
                let log = options.open(&path).await.unwrap();
                let stuck = faults.on(Kind::Append).path_is(&path).times(1).never();
                let accepted = log.append("accepted;").timeout(Duration::from_millis(5));
                accepted.await.unwrap_err();
                drop(log);
                let mut again = std::pin::pin!(options.open(&path));
                let early = tokio::time::timeout(Duration::from_millis(20), &mut again).await;
                assert!(early.is_err(), "it is not over yet");
                stuck.release();
                let again = again.await.unwrap();
                assert_eq!(again.append_sync("later;").await.unwrap(), 9);
                again.close().await.unwrap();
                assert_eq!(std::fs::read(&path).unwrap(), b"accepted;later;");
            }
        });
    }
}

/// A file has one writer at a time, whatever it is called by.
#[test]
fn a_log_has_one_writer() {
    common::on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let log = options().open(at("log")).await.unwrap();
        std::fs::hard_link(at("log"), at("link")).unwrap();
        std::os::unix::fs::symlink("log", at("symlink")).unwrap();
        for name in ["log", "link", "symlink"] {
            for options in [options(), options().start_at(0)] {
                let second = options.open(at(name)).await.unwrap_err();
                assert_eq!(second.kind(), ErrorKind::ResourceBusy, "{name}: {second}");
            }
        }
        let other = options().open(at("other")).await.unwrap();
        assert_eq!(log.append_sync("one").await.unwrap(), 0);
        assert_eq!(other.append_sync("two").await.unwrap(), 0);
        log.close().await.unwrap();
        for name in ["link", "symlink"] {
            let log = options().open(at(name)).await.unwrap();
            assert_eq!(log.append("three").await.unwrap() % 5, 3);
        }
        assert_eq!(options().open(at("log")).await.unwrap().end(), 13);
        assert_eq!(std::fs::read(at("log")).unwrap(), b"onethreethree");
    });
}

/// Where there is no room for all of a record, what was written of it is cut off, and those before it stay.
#[cfg(target_os = "linux")]
#[test]
fn a_torn_record_is_cut_off() {
    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::signal::{SigHandler, Signal, signal};

    common::child::in_child(
        "append::a_torn_record_is_cut_off",
        |_| {},
        || {
            // SAFETY: no handler runs; the limit on lengths of files is told by an error instead.
            unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.unwrap();
            setrlimit(Resource::RLIMIT_FSIZE, 10_000, nix::libc::RLIM_INFINITY).unwrap();
            for route in [Route::Pool, Route::Auto] {
                for options in all_options().into_iter().take(3) {
                    common::runtime(true).block_on(async {
                        Handle::builder().route(route).install().unwrap();
                        let dir = tempfile::tempdir().unwrap();
                        let path = dir.path().join("log");
                        let log = options.open(&path).await.unwrap();
                        for _ in 0..3 {
                            log.append_sync(vec![b'a'; 3000]).await.unwrap();
                        }
                        let error = log.append(vec![b'b'; 3000]).await.unwrap_err();
                        assert_eq!(error.kind(), ErrorKind::FileTooLarge, "{error}");
                        assert!(log.append_sync("c").await.is_err());
                        assert!(std::fs::read(&path).unwrap() == vec![b'a'; 9000]);
                        assert!(log.acknowledge().is_some());
                        assert_eq!(log.append_sync(vec![b'd'; 1000]).await.unwrap(), 9000);
                        log.close().await.unwrap();
                        let found = std::fs::read(&path).unwrap();
                        assert!(found == [vec![b'a'; 9000], vec![b'd'; 1000]].concat());
                    });
                }
            }
        },
    );
}

/// Blocks of zeros take no space if that is asked for, and holes never do.
#[cfg(target_os = "linux")]
#[test]
fn zeros_take_no_space() {
    use std::os::unix::fs::MetadataExt;
    common::on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let image = options().make_holes(true).open(&path).await.unwrap();
        image.append("head").await.unwrap();
        image.append(vec![0; 8 << 20]).await.unwrap();
        image.append_hole(8 << 20).await.unwrap();
        image.append_sync("tail").await.unwrap();
        image.append_hole(1 << 20).await.unwrap();
        let end = image.end();
        image.close().await.unwrap();
        let found = std::fs::metadata(&path).unwrap();
        assert_eq!((found.len(), end), ((17 << 20) + 8, (17 << 20) + 8));
        if found.blocks() > 2048 {
            eprintln!("skip: zeros_take_no_space: this filesystem has no holes");
        }
        let content = std::fs::read(&path).unwrap();
        assert!(content.starts_with(b"head\0") && content[(16 << 20) + 4..].starts_with(b"tail\0"));
    });
}
