//! The end of a runtime in the middle of everything: its driver, and every operation that the driver knows,
//! is gone once the kernel has let go.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{File, OpenOptions, make_fifo, metadata, read, write};
use crate::driver::{Driver, current};
use crate::settings::{Route, Submit};
use crate::{Handle, OpExt};

/// What does not end within this time never does.
const BOUND: Duration = Duration::from_secs(30);

/// One of everything again and again, each task from another one on, until the runtime takes it away.
async fn never_ending(dir: PathBuf, n: usize) {
    let mine = dir.join(format!("file-{}", n % 8));
    std::fs::write(&mine, [7; 3000]).unwrap();
    let mut both = std::fs::File::options();
    let file = File::from_std(both.read(true).write(true).open(&mine).unwrap());
    for turn in n.. {
        match turn % 8 {
            0 => drop(file.sync_data().await),
            1 => drop(file.write_at(vec![7; 3000], 0).await),
            2 => drop(file.read_at(vec![0; 3000], 0).await),
            3 => drop(metadata(&dir).await),
            4 => drop(write(&mine, vec![7; 3000]).await),
            5 => drop(read(&mine).timeout(Duration::from_micros(50)).await),
            6 => drop(OpenOptions::new().write(true).open(&mine).await),
            _ => {
                let fifo = File::open(dir.join("fifo"));
                drop(fifo.timeout(Duration::from_millis(1)).await);
            }
        }
    }
}

/// Runs for a few polls; returns what is left of its driver.
fn one_runtime(dir: &Path, route: Route, n: usize) -> Weak<Driver> {
    let mut builder = match n % 4 {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(4).enable_all().build().unwrap();
    let submit = [Submit::Auto, Submit::Isolated, Submit::Auto][n % 3];
    let driver = runtime.block_on(async {
        let builder = Handle::builder().route(route).submit(submit);
        builder.install().unwrap();
        for task in 0..8 {
            tokio::spawn(never_ending(dir.to_owned(), task + n));
        }
        for _ in 0..n % 7 {
            let _ = metadata(dir).await;
        }
        Arc::downgrade(&current().unwrap())
    });
    drop(runtime);
    driver
}

/// What is left: the drivers that are alive, and what they still have in flight.
fn left(drivers: &[Weak<Driver>]) -> Vec<String> {
    let alive = drivers.iter().filter_map(Weak::upgrade);
    alive
        .map(|driver| {
            let references = Arc::strong_count(&driver);
            format!("{references} references, {:#?}", driver.in_flight())
        })
        .collect()
}

#[test]
fn a_runtime_that_ends_in_the_middle_of_everything_leaves_no_driver() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    futures::executor::block_on(make_fifo(&fifo, 0o600)).unwrap();
    let rounds = 300;
    for route in [Route::Auto, Route::Pool] {
        let drivers: Vec<_> = (0..rounds)
            .map(|n| one_runtime(dir.path(), route, n))
            .collect();
        // Whoever opens the FIFO for both sides lets its openers go.
        let mut both = std::fs::File::options();
        let peer = both.read(true).write(true).open(&fifo).unwrap();
        // This thread remembers the driver that it used last.
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(async { drop(current()) });
        let start = Instant::now();
        while !left(&drivers[..rounds - 1]).is_empty() {
            let late = start.elapsed() > BOUND;
            assert!(!late, "{route:?}: {:#?}", left(&drivers));
            std::thread::yield_now();
        }
        drop(peer);
    }
}
