//! tokio's clock when a test has stopped it: it stands while operations are in flight, and goes on by itself when
//! nothing is.

mod common;

use std::future::{Future, poll_fn};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tidegate::Handle;
use tidegate::fs::{self, File, OpenOptions};
use tidegate::testing::Faults;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, timeout};

const OFTEN: usize = 50;
const LIMIT: Duration = Duration::from_secs(5);

fn stopped() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap()
}

fn on_each<F: Future<Output = ()>>(test: impl Fn(PathBuf, Faults) -> F) {
    for route in common::routes() {
        eprintln!("on {route:?}");
        let dir = tempfile::tempdir().unwrap();
        stopped().block_on(async {
            let faults = Faults::new();
            let builder = Handle::builder().route(route).faults(faults.clone());
            builder.install().unwrap();
            test(dir.path().to_owned(), faults).await;
        });
    }
}

/// A file whose data is not in memory, where that can be had.
fn cold(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(&[7; 1 << 20]).unwrap();
    file.sync_all().unwrap();
    #[cfg(target_os = "linux")]
    {
        use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
    }
}

type Call = fn(PathBuf) -> Pin<Box<dyn Future<Output = std::io::Result<()>>>>;

const CALLS: [(&str, Call); 12] = [
    ("read", |path| {
        Box::pin(async { fs::read(path).await.map(drop) })
    }),
    ("write", |path| {
        Box::pin(async { fs::write(path, "new").await })
    }),
    ("metadata", |path| {
        Box::pin(async { fs::metadata(path).await.map(drop) })
    }),
    ("symlink_metadata", |path| {
        Box::pin(async move {
            fs::symlink_metadata(path.join("no"))
                .await
                .map_or(Ok(()), |_| Ok(()))
        })
    }),
    ("open", |path| {
        Box::pin(async { File::open(path).await.map(drop) })
    }),
    ("sync", |path| {
        Box::pin(async {
            let mut file = OpenOptions::new().write(true).open(path).await?;
            file.write_all(b"new").await?;
            file.flush().await?;
            file.sync_all().await
        })
    }),
    ("a cursor", |path| {
        Box::pin(async {
            let mut file = File::open(path).await?;
            file.read_to_end(&mut Vec::new()).await.map(drop)
        })
    }),
    ("read_at", |path| {
        Box::pin(async {
            let file = File::open(path).await?;
            Ok(file.read_at(vec![0; 4096], 512 << 10).await.map(drop)?)
        })
    }),
    ("read_dir", |path| {
        Box::pin(async move {
            let mut entries = fs::read_dir(path.parent().unwrap()).await?;
            while entries.next_entry().await?.is_some() {}
            Ok(())
        })
    }),
    ("copy", |path| {
        Box::pin(async move { fs::copy(&path, path.with_extension("copy")).await.map(drop) })
    }),
    ("a folder", |path| {
        Box::pin(async move {
            let folder = path.with_extension("folder");
            fs::create_dir_all(folder.join("a/b")).await?;
            fs::remove_dir_all(folder).await
        })
    }),
    ("in a task", |path| {
        Box::pin(async { tokio::spawn(fs::read(path)).await.unwrap().map(drop) })
    }),
];

/// A timeout of tokio's never ends what the disk has, and no time passes meanwhile.
#[test]
fn the_clock_stands_while_operations_are_in_flight() {
    on_each(|dir, _| async move {
        for (name, call) in CALLS {
            for number in 0..OFTEN {
                let path = dir.join(format!("{}{number}", name.replace(' ', "_")));
                cold(&path);
                let begun = Instant::now();
                let outcome = timeout(LIMIT, call(path)).await;
                let outcome = outcome.unwrap_or_else(|_| panic!("{name} {number} elapsed"));
                outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(begun.elapsed(), Duration::ZERO, "{name} {number}");
            }
        }
        for number in 0..OFTEN / 10 {
            for (name, compound) in common::compounds::all(&dir.join("compounds")) {
                let begun = Instant::now();
                let outcome = timeout(LIMIT, compound).await;
                let outcome = outcome.unwrap_or_else(|_| panic!("{name} {number} elapsed"));
                outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(begun.elapsed(), Duration::ZERO, "{name} {number}");
            }
        }
    });
}

/// It goes on by itself once they are over, also while their outputs wait to be taken.
#[test]
fn the_clock_goes_on_when_nothing_is_in_flight() {
    on_each(|dir, _| async move {
        let path = dir.join("one");
        for _ in 0..OFTEN {
            cold(&path);
            let begun = Instant::now();
            let mut read = pin!(fs::read(&path));
            let at_once = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_ready())).await;
            sleep(Duration::from_secs(3600)).await;
            if !at_once {
                assert_eq!(read.await.unwrap().len(), 1 << 20);
            }
            sleep(Duration::from_secs(3600)).await;
            assert!(begun.elapsed() >= Duration::from_secs(7200));
        }
        // A close that nobody waits for may not be over.
        common::until_idle().await;
    });
}

/// Also one that was stopped later, moved by hand, or goes on again.
#[test]
fn a_clock_that_is_stopped_later_stands() {
    for route in common::routes() {
        let dir = tempfile::tempdir().unwrap();
        common::runtime(false).block_on(async {
            Handle::builder().route(route).install().unwrap();
            let path = dir.path().join("one");
            cold(&path);
            fs::read(&path).await.unwrap();
            for _ in 0..OFTEN {
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(100)).await;
                cold(&path);
                timeout(LIMIT, fs::read(&path)).await.unwrap().unwrap();
                timeout(LIMIT, fs::metadata(&path)).await.unwrap().unwrap();
                sleep(Duration::from_secs(100)).await;
                tokio::time::resume();
                cold(&path);
                fs::read(&path).await.unwrap();
            }
        });
    }
}

/// What the test itself withholds is waited for by nobody's disk: timeouts elapse, until it is let go of.
#[test]
fn the_clock_goes_on_while_a_rule_withholds() {
    on_each(|dir, faults| async move {
        let path = dir.join("one");
        cold(&path);
        let rule = faults.on_any_kind().never();
        let mut open = pin!(File::open(&path));
        assert!(timeout(LIMIT, &mut open).await.is_err());
        drop(rule);
        timeout(LIMIT, open).await.unwrap().unwrap();
        let rule = faults.on_any_kind().delay(Duration::from_millis(50));
        timeout(LIMIT, File::open(&path)).await.unwrap().unwrap();
        drop(rule);
    });
}

/// What never ends holds neither the end of the runtime, nor the clock once nobody waits for it.
#[test]
fn the_end_of_a_runtime_waits_for_no_clock() {
    for route in common::routes() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let runtime = stopped();
        runtime.block_on(async {
            Handle::builder().route(route).install().unwrap();
            let waits = async |path: PathBuf| {
                let mut options = OpenOptions::new();
                let mut file = options.read(true).write(true).open(path).await.unwrap();
                file.read(&mut [0]).await
            };
            let mut dropped = Box::pin(waits(fifo.clone()));
            for _ in 0..100 {
                let polled = poll_fn(|cx| Poll::Ready(dropped.as_mut().poll(cx))).await;
                assert!(polled.is_pending());
                tokio::task::yield_now().await;
            }
            drop(dropped);
            sleep(Duration::from_secs(3600)).await;
            tokio::spawn(waits(fifo.clone()));
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        });
        let (done, is_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(runtime);
            done.send(()).unwrap();
        });
        let ended = is_done.recv_timeout(Duration::from_secs(60));
        ended.unwrap_or_else(|_| panic!("{route:?}: the end waits"));
    }
}
