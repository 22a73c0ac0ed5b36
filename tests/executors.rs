//! Any executor: tokio's two kinds, with and without drivers, others, several at once, and files that
//! outlive the runtime they were opened on (R15, R16).

mod common;

use std::path::Path;
use std::time::Duration;

use common::{on_every_backend, routes};
use tidegate::fs::{self, File, OpenOptions};
use tidegate::{Error, Handle, Route, Submit};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// A bit of everything, several at once.
async fn work(dir: &Path) {
    let path = dir.join("file");
    let mut file = File::create_new(&path).await.unwrap();
    file.write_all(b"one two three").await.unwrap();
    file.flush().await.unwrap();
    file.rewind().await.unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "one two three");
    let reads = (0..40u64).map(|n| file.read_at(vec![0; 3], n % 11));
    for (n, read) in futures::future::join_all(reads)
        .await
        .into_iter()
        .enumerate()
    {
        assert_eq!(read.unwrap().1, b"one two three"[n % 11..][..3]);
    }
    let writes = (0..40u64).map(|n| file.write_all_at(vec![n as u8; 100], 100 + n * 100));
    for write in futures::future::join_all(writes).await {
        write.unwrap();
    }
    file.sync_all().await.unwrap();
    let bytes = fs::read(&path).await.unwrap();
    assert!((0..40).all(|n| {
        bytes[100 + n * 100..][..100]
            .iter()
            .all(|&byte| byte == n as u8)
    }));
    file.close().await.unwrap();
    let mut entries = fs::read_dir(dir).await.unwrap();
    assert_eq!(entries.next_entry().await.unwrap().unwrap().path(), path);
    assert!(entries.next_entry().await.unwrap().is_none());
    fs::remove_file(&path).await.unwrap();
    assert_eq!(
        fs::metadata(&path).await.unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
}

fn in_a_directory<T>(f: impl FnOnce(&Path) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    f(dir.path())
}

/// Multi-thread and current-thread, from the root task and from spawned ones, in every submit mode.
#[test]
fn on_tokio() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        work(dir.path()).await;
        let path = dir.path().to_path_buf();
        tokio::spawn(async move { work(&path).await })
            .await
            .unwrap();
    });
    for route in routes() {
        for submit in [Submit::Auto, Submit::Inline, Submit::Isolated] {
            for multi in [true, false] {
                common::runtime(multi).block_on(async {
                    let builder = Handle::builder().route(route).submit(submit);
                    let handle = builder.install().unwrap();
                    assert_eq!((handle.route(), handle.submit()), (route, submit));
                    let dir = tempfile::tempdir().unwrap();
                    work(dir.path()).await;
                });
            }
        }
    }
}

/// Without an I/O driver and without time there is nobody to say that a ring has completions.
#[test]
fn on_a_runtime_without_drivers() {
    for route in routes() {
        for multi in [true, false] {
            for with_io in [true, false] {
                let mut builder = match multi {
                    true => tokio::runtime::Builder::new_multi_thread(),
                    false => tokio::runtime::Builder::new_current_thread(),
                };
                builder.worker_threads(2);
                if with_io {
                    builder.enable_io();
                } else {
                    builder.enable_time();
                }
                let bare = builder.build().unwrap();
                in_a_directory(|dir| {
                    bare.block_on(async {
                        Handle::builder().route(route).install().unwrap();
                        work(dir).await;
                        let dir = dir.to_path_buf();
                        tokio::spawn(async move { work(&dir).await }).await.unwrap();
                    });
                });
            }
        }
    }
    let bare = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    in_a_directory(|dir| bare.block_on(work(dir)));
}

#[test]
fn in_a_local_set() {
    for route in routes() {
        in_a_directory(|dir| {
            let local = tokio::task::LocalSet::new();
            let runtime = common::runtime(false);
            local.block_on(&runtime, async {
                Handle::builder().route(route).install().unwrap();
                let dir = dir.to_path_buf();
                tokio::task::spawn_local(async move { work(&dir).await })
                    .await
                    .unwrap();
            });
        });
    }
}

#[test]
fn on_executors_that_are_not_tokio() {
    in_a_directory(|dir| futures::executor::block_on(work(dir)));
    in_a_directory(|dir| smol::block_on(work(dir)));
    in_a_directory(|dir| {
        let dir = dir.to_path_buf();
        let spawned = smol::spawn(async move { work(&dir).await });
        smol::block_on(spawned);
    });
    let error = Handle::builder().install().unwrap_err();
    assert!(matches!(error, Error::NoRuntime), "{error:?}");
    assert!(!error.to_string().is_empty());
    futures::executor::block_on(async {
        let handle = Handle::current().unwrap();
        assert_ne!(handle.route(), Route::Ring);
        assert!(handle.stats().ops().count() > 0);
    });
}

/// Inside the runtime of a peer, which has a ring of its own on the same thread.
#[cfg(target_os = "linux")]
#[test]
fn inside_tokio_uring() {
    if let Some(reason) = tidegate::probe::report().ring_reason() {
        return eprintln!("skip: inside_tokio_uring: {reason}");
    }
    for route in routes() {
        in_a_directory(|dir| {
            tokio_uring::start(async {
                Handle::builder().route(route).install().unwrap();
                work(dir).await;
                let path = dir.join("theirs");
                let theirs = tokio_uring::fs::File::create(&path).await.unwrap();
                let (result, _) = theirs.write_at(&b"theirs"[..], 0).submit().await;
                assert_eq!(result.unwrap(), 6);
                assert_eq!(fs::read(&path).await.unwrap(), b"theirs");
                theirs.close().await.unwrap();
                fs::remove_file(path).await.unwrap();
            });
        });
    }
}

/// A file opened on one runtime works on another, while the first lives and after it is gone.
#[test]
fn a_file_outlives_its_runtime() {
    for first_route in routes() {
        for second_route in routes() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            let (first, second) = (common::runtime(true), common::runtime(false));
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true);
            let mut file = first.block_on(async {
                Handle::builder().route(first_route).install().unwrap();
                let mut file = options.open(&path).await.unwrap();
                file.write_all(b"first ").await.unwrap();
                file
            });
            second.block_on(async {
                Handle::builder().route(second_route).install().unwrap();
                file.write_all(b"second ").await.unwrap();
                file.flush().await.unwrap();
                assert_eq!(file.read_at(vec![0; 5], 0).await.unwrap().1, b"first");
            });
            drop(first);
            second.block_on(async {
                file.write_all_at("third", 13).await.unwrap();
                assert_eq!(
                    file.read_exact_at(vec![0; 18], 0).await.unwrap(),
                    b"first second third"
                );
                assert_eq!(file.metadata().await.unwrap().len(), 18);
                file.sync_all().await.unwrap();
            });
            drop(second);
            futures::executor::block_on(async {
                file.seek(std::io::SeekFrom::Start(6)).await.unwrap();
                let mut text = String::new();
                file.read_to_string(&mut text).await.unwrap();
                assert_eq!(text, "second third");
                file.set_len(5).await.unwrap();
                file.close().await.unwrap();
            });
            assert_eq!(std::fs::read(&path).unwrap(), b"first");
        }
    }
}

/// Two runtimes at once, each with its handle and its counters, and tasks that go between.
#[test]
fn two_runtimes_at_once() {
    let (first, second) = (common::runtime(true), common::runtime(true));
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let handle = first.block_on(async { Handle::builder().route(Route::Pool).install().unwrap() });
    let before = handle.stats().ops().map(|op| op.total()).sum::<u64>();
    let paths = dirs.each_ref().map(|dir| dir.path().to_path_buf());
    let [one, two] = paths;
    let on_first = first.spawn(async move {
        for _ in 0..5 {
            work(&one).await;
        }
    });
    let on_second = second.spawn(async move {
        for _ in 0..5 {
            work(&two).await;
        }
        Handle::current()
            .unwrap()
            .stats()
            .ops()
            .map(|op| op.total())
            .sum::<u64>()
    });
    first.block_on(on_first).unwrap();
    let on_second = second.block_on(on_second).unwrap();
    let after = handle.stats().ops().map(|op| op.total()).sum::<u64>();
    assert!(after > before && on_second > 0);
    // A future polled in one and awaited in the other.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut write = Box::pin(fs::write(path.clone(), "x"));
    let polled = first.block_on(async { futures::poll!(write.as_mut()) });
    if polled.is_pending() {
        second.block_on(write).unwrap();
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"x");
    // One is dropped on a thread of its own while the other works.
    let dropped = std::thread::spawn(move || drop(first));
    second.block_on(async { work(dirs[0].path()).await });
    dropped.join().unwrap();
}

/// A handle is installed once, within a runtime, and kept until the runtime ends.
#[test]
fn a_runtime_has_one_handle() {
    for route in routes() {
        common::runtime(true).block_on(async {
            let handle = Handle::builder().route(route).install().unwrap();
            let error = Handle::builder().install().unwrap_err();
            assert!(matches!(error, Error::HandleExists), "{error:?}");
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
            let current = Handle::current().unwrap();
            assert_eq!(current.route(), handle.route());
            let report = handle.shutdown(Duration::from_secs(30)).await;
            assert_eq!(report.left_behind, 0);
            let dir = tempfile::tempdir().unwrap();
            work(dir.path()).await;
        });
        common::runtime(false).block_on(async {
            fs::metadata("/").await.unwrap();
            let error = Handle::builder().route(route).install().unwrap_err();
            assert!(matches!(error, Error::HandleExists), "{error:?}");
        });
    }
}

/// Futures can go to any thread and outlive the borrow of their file.
#[test]
fn futures_are_send_and_static() {
    fn goes_anywhere<T: Send + 'static>(_: T) {}
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<File>();
    is_shared::<Handle>();
    is_shared::<Error>();
    is_shared::<fs::ReadDir>();
    is_shared::<fs::DirEntry>();
    is_shared::<fs::Statx>();
    is_shared::<OpenOptions>();
    common::runtime(false).block_on(async {
        let file = File::open("/dev/null").await.unwrap();
        goes_anywhere(file.read_at(vec![0; 1], 0));
        goes_anywhere(file.read_exact_at(vec![0; 1], 0));
        goes_anywhere(file.write_at("x", 0));
        goes_anywhere(file.write_all_at("x", 0));
        goes_anywhere(async move {
            file.sync_all().await?;
            file.sync_data().await?;
            file.set_len(1).await
        });
        goes_anywhere(File::open("/dev/null"));
        goes_anywhere(fs::read("/dev/null"));
        goes_anywhere(fs::write("/dev/null", "x"));
        goes_anywhere(fs::metadata("/"));
        goes_anywhere(fs::read_dir("/"));
        goes_anywhere(fs::rename("/a/b", "/a/c"));
        goes_anywhere(fs::create_dir_all("/a/b"));
        goes_anywhere(fs::get_xattr("/", "user.x", fs::Follow::No));
        goes_anywhere(Handle::current().unwrap().stats());
        let handle = Handle::current().unwrap();
        goes_anywhere(async move { handle.shutdown(Duration::ZERO).await });
    });
}
