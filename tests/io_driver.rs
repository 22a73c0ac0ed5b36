//! A runtime without an I/O driver is not asked for one, which tokio answers by a panic; one that has one is seen to
//! have it, and its own rings are used.
#![cfg(target_os = "linux")]

mod common;

use common::child::in_child;
use common::{has_ring, on_worker_rings, routes};
use tidegate::fs::{self, File};
use tidegate::{Handle, Route, Submit};
use tokio::runtime::Builder;

/// Some of everything.
async fn work(rounds: u32) -> u64 {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("file");
    let file = File::create(&path).await.unwrap();
    let handle = Handle::current().unwrap();
    for _ in 0..rounds {
        file.write_all_at("x", 0).await.unwrap();
        file.sync_data().await.unwrap();
        fs::create_dir(dir.path().join("folder")).await.unwrap();
        fs::remove_dir(dir.path().join("folder")).await.unwrap();
        if on_worker_rings(&handle) > 0 {
            break;
        }
    }
    assert_eq!(fs::read(&path).await.unwrap(), b"x");
    fs::canonicalize(&path).await.unwrap();
    on_worker_rings(&handle)
}

fn builder(workers: usize) -> Builder {
    let mut builder = match workers {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(workers.max(1));
    builder
}

/// A process in which any panic is the end lives on, whatever drivers its runtimes have.
#[test]
fn no_panic_is_needed_to_find_out() {
    in_child(
        "no_panic_is_needed_to_find_out",
        |_| {},
        || {
            std::panic::set_hook(Box::new(|panic| {
                eprintln!("{panic}");
                std::process::exit(9);
            }));
            for route in routes() {
                for submit in [Submit::Auto, Submit::Inline] {
                    for workers in [0, 1, 3] {
                        for with_time in [true, false] {
                            let mut builder = builder(workers);
                            if with_time {
                                builder.enable_time();
                            }
                            let bare = builder.build().unwrap();
                            let all = async {
                                let builder = Handle::builder().route(route).submit(submit);
                                builder.install().unwrap();
                                let here = work(100).await;
                                here + tokio::spawn(work(100)).await.unwrap()
                            };
                            assert_eq!(bare.block_on(all), 0, "{route:?} {workers}");
                        }
                    }
                }
            }
        },
    );
}

/// Code of the user's that waits in an epoll of its own, inside a runtime without, is not taken for one.
#[test]
fn another_reactor_inside_is_not_taken_for_the_runtimes_own() {
    in_child(
        "another_reactor_inside_is_not_taken_for_the_runtimes_own",
        |_| {},
        || {
            std::panic::set_hook(Box::new(|panic| {
                eprintln!("{panic}");
                std::process::exit(9);
            }));
            for workers in [0, 2] {
                let bare = builder(workers).build().unwrap();
                let nested = async {
                    let path = std::env::temp_dir();
                    for _ in 0..50 {
                        let mut waiting = Box::pin(fs::canonicalize(path.clone()));
                        let is_pending = futures::poll!(waiting.as_mut()).is_pending();
                        // This thread polls for the runtime, and waits in the epoll of another.
                        std::thread::scope(|scope| {
                            let other = scope.spawn(|| {
                                let inner = builder(0).enable_all().build().unwrap();
                                inner.block_on(async { tokio::task::yield_now().await });
                            });
                            other.join().unwrap();
                        });
                        smol::block_on(smol::Timer::after(std::time::Duration::from_millis(1)));
                        if is_pending {
                            waiting.await.unwrap();
                        }
                        work(5).await;
                    }
                };
                bare.block_on(bare.spawn(nested)).unwrap();
            }
        },
    );
}

/// With an I/O driver the runtime's own rings are in use soon, from spawned tasks and from the root.
#[test]
fn a_runtime_with_one_soon_uses_its_rings() {
    if !has_ring() {
        return;
    }
    for route in [Route::Auto, Route::Ring] {
        for workers in [0, 1, 2, 6] {
            for spawned in [true, false] {
                let runtime = builder(workers).enable_io().build().unwrap();
                let used = runtime.block_on(async {
                    Handle::builder().route(route).install().unwrap();
                    match spawned {
                        true => tokio::spawn(work(5000)).await.unwrap(),
                        false => work(5000).await,
                    }
                });
                assert!(used > 0, "{route:?}, {workers} workers, spawned: {spawned}");
            }
        }
    }
}
