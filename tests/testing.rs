//! The fake backend: what it withholds, delays and fails, on every backend (V28).

mod common;
#[path = "testing/deadlines.rs"]
mod deadlines;
#[path = "testing/files.rs"]
mod files;
#[path = "testing/mounts.rs"]
mod mounts;
#[path = "testing/seeing.rs"]
mod seeing;
#[path = "testing/stress.rs"]
mod stress;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{routes, runtime};
use tidegate::fs::{self, File, Follow, StatxOptions};
use tidegate::opcode::Kind;
use tidegate::testing::Faults;
use tidegate::{Builder, Handle, Route, raw_os_error};

const PATIENCE: Duration = Duration::from_secs(20);
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// What each test gets: a handle with faults, and a folder with a few files.
struct Place {
    route: Route,
    faults: Faults,
    handle: Handle,
    dir: tempfile::TempDir,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn idle(&self) {
        until("nothing in flight", || self.handle.stats().in_flight == 0).await;
    }
}

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < end, "{what} was not reached");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn on_each<F: Future<Output = ()>>(test: impl Fn(Place) -> F) {
    on_each_with(|builder| builder, test);
}

fn on_each_with<F: Future<Output = ()>>(
    set: impl Fn(Builder) -> Builder,
    test: impl Fn(Place) -> F,
) {
    for route in routes() {
        eprintln!("on {route:?}");
        runtime(route != Route::Pool).block_on(async {
            let faults = Faults::new();
            let builder = Handle::builder().route(route).faults(faults.clone());
            let place = Place {
                route,
                faults,
                handle: set(builder).install().unwrap(),
                dir: tempfile::tempdir().unwrap(),
            };
            for name in ["one", "two"] {
                std::fs::write(place.path(name), name).unwrap();
            }
            test(place).await;
        });
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    let ended = tokio::time::timeout(PATIENCE, future).await;
    ended.expect("it ends")
}

/// What is withheld holds up nothing else, and goes its real way once it is released.
#[test]
fn a_stuck_operation_holds_up_no_other() {
    on_each(|place| async move {
        let stuck = place.faults.on(Kind::Metadata).path_is(place.path("one"));
        let stuck = stuck.never();
        let waiting = tokio::spawn(fs::metadata(place.path("one")));
        in_time(stuck.wait_hit(1)).await;
        for _ in 0..100 {
            in_time(fs::metadata(place.path("two"))).await.unwrap();
        }
        assert_eq!((stuck.hits(), stuck.held()), (1, 1));
        assert_eq!(place.handle.stats().in_flight, 1);
        stuck.release();
        let found = in_time(waiting).await.unwrap().unwrap();
        assert_eq!((found.len(), stuck.held()), (3, 0));
        in_time(fs::metadata(place.path("one"))).await.unwrap();
        assert_eq!(stuck.hits(), 1, "the rule is over");
        place.idle().await;
    });
}

/// A guard that is dropped, and even one that is dropped by a panic, leaves nothing stuck.
#[test]
fn a_rule_ends_with_its_guard() {
    on_each(|place| async move {
        let stuck = place.faults.on_any_kind().under(&place.dir).never();
        let waiting = [fs::statx(place.path("one")), fs::statx(place.path("two"))];
        let waiting = waiting.map(|future| tokio::spawn(future));
        in_time(stuck.wait_hit(2)).await;
        drop(stuck);
        for task in waiting {
            in_time(task).await.unwrap().unwrap();
        }
        place.idle().await;
    });
}

/// A dropped future does not end what is withheld, as it would not end a stuck call, unless the rule says
/// that a cancel does.
#[test]
fn only_what_honours_a_cancel_is_cancelled() {
    on_each(|place| async move {
        let rule = || place.faults.on(Kind::CreateDir).under(&place.dir);
        for honours in [false, true] {
            let stuck = match honours {
                true => rule().honours_cancel().never(),
                false => rule().never(),
            };
            let task = tokio::spawn(fs::create_dir(place.path("new")));
            in_time(stuck.wait_hit(1)).await;
            task.abort();
            assert!(in_time(task).await.unwrap_err().is_cancelled());
            if honours {
                until("the cancel", || stuck.held() == 0).await;
            } else {
                // Besides, the crate may be learning about the mount.
                let in_flight = place.handle.in_flight();
                let made = in_flight
                    .iter()
                    .filter(|op| op.operation == Kind::CreateDir);
                assert_eq!((stuck.held(), made.count()), (1, 1));
                stuck.release();
            }
            place.idle().await;
            // What the kernel has it does, late.
            assert_eq!(std::fs::remove_dir(place.path("new")).is_ok(), !honours);
        }
    });
}

/// A failure is the system's: kind and number.
#[test]
fn a_failure_is_as_from_the_system() {
    on_each(|place| async move {
        let path = place.path("one");
        let broken = place.faults.on(Kind::Statx).path_is(&path).fail(EIO);
        let error = in_time(fs::statx(&path)).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(EIO));
        assert_eq!(
            error.to_string(),
            io::Error::from_raw_os_error(EIO).to_string()
        );
        assert_eq!(broken.hits(), 1);
        in_time(fs::statx(place.path("two"))).await.unwrap();
    });
}

/// Operations on an open file are met by its path, also through a directory that is open, and also after a
/// rename, under the path it has then.
#[test]
fn an_open_file_is_met_by_its_path() {
    on_each(|place| async move {
        let file = File::options()
            .read(true)
            .write(true)
            .open(place.path("one"))
            .await;
        let file = file.unwrap();
        let full = place.faults.on(Kind::Write).path_is(place.path("one"));
        let full = full.fail(ENOSPC);
        let error = in_time(file.write_at("x", 0)).await.unwrap_err().error;
        assert_eq!(raw_os_error(&error), Some(ENOSPC));
        std::fs::rename(place.path("one"), place.path("moved")).unwrap();
        in_time(file.write_at("x", 0)).await.unwrap();
        assert_eq!(full.hits(), 1);

        let dir = fs::Dir::open(&place.dir).await.unwrap();
        let broken = place
            .faults
            .on(Kind::Statx)
            .path_is(place.path("two"))
            .fail(EIO);
        let asked = StatxOptions::new().follow(Follow::No);
        let error = in_time(asked.in_dir(&dir, "two")).await.unwrap_err();
        assert_eq!(raw_os_error(&error), Some(EIO));
        drop(broken);
        in_time(asked.in_dir(&dir, "two")).await.unwrap();
    });
}

/// Any of the paths of an operation counts, by whatever name it is known.
#[test]
fn any_path_of_several_counts() {
    on_each(|place| async move {
        let (from, to) = (place.path("one"), place.path("target"));
        let broken = place.faults.on(Kind::Rename).or(Kind::CopyFile);
        let broken = broken.path_is(&to).fail(EIO);
        in_time(fs::rename(&from, &to)).await.unwrap_err();
        in_time(fs::rename(&to, &from)).await.unwrap_err();
        in_time(fs::copy(&from, &to)).await.unwrap_err();
        assert!(from.exists() && !to.exists());
        assert_eq!(broken.hits(), 3);
        drop(broken);

        let alias = place.path("alias");
        std::os::unix::fs::symlink(place.dir.path(), &alias).unwrap();
        let broken = place.faults.on(Kind::Statx).under(&alias).fail(EIO);
        in_time(fs::statx(alias.join("one"))).await.unwrap_err();
        in_time(fs::statx(&from)).await.unwrap_err();
        assert_eq!(broken.hits(), 2);
    });
}

/// A relative path is the one it leads to.
#[test]
fn a_relative_path_is_met() {
    on_each(|place| async move {
        let here = std::env::current_dir().unwrap();
        let broken = place
            .faults
            .on(Kind::Statx)
            .path_is(here.join("Cargo.toml"));
        let broken = broken.fail(EIO);
        in_time(fs::statx("Cargo.toml")).await.unwrap_err();
        drop(broken);
        let broken = place.faults.on(Kind::Statx).path_is("Cargo.toml").fail(EIO);
        in_time(fs::statx(Path::new("./Cargo.toml")))
            .await
            .unwrap_err();
        assert_eq!(broken.hits(), 1);
    });
}

/// What is delayed is done after its time and not before, also where the runtime has no timer.
#[test]
fn a_delay_needs_no_timer_of_the_runtime() {
    for route in routes() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        runtime.unwrap().block_on(async {
            let faults = Faults::new();
            let builder = Handle::builder().route(route).faults(faults.clone());
            builder.install().unwrap();
            let time = Duration::from_millis(30);
            let slow = faults.on(Kind::Statx).path_is("/").delay(time);
            let long = faults.on(Kind::Metadata).path_is("/").delay(Duration::MAX);
            let begin = Instant::now();
            fs::statx("/").await.unwrap();
            assert!(begin.elapsed() >= time);
            assert_eq!((slow.hits(), slow.held()), (1, 0));
            let asked = tokio::spawn(fs::metadata("/"));
            long.wait_hit(1).await;
            assert_eq!(long.held(), 1);
            drop(long);
            asked.await.unwrap().unwrap();
        });
    }
}

/// `after` and `times` count operations, and of several rules the last one decides.
#[test]
fn rules_count_and_the_last_one_decides() {
    on_each(|place| async move {
        let path = place.path("one");
        let broken = place.faults.on(Kind::Statx).path_is(&path);
        let broken = broken.after(1).times(2).fail(EIO);
        let ask = async || in_time(fs::statx(&path)).await.is_ok();
        let seen = [ask().await, ask().await, ask().await, ask().await];
        assert_eq!(seen, [true, false, false, true]);
        assert_eq!(broken.hits(), 2);

        let broken = place.faults.on(Kind::Statx).under(&place.dir).fail(EIO);
        let except = place.faults.on(Kind::Statx).path_is(&path).times(1).pass();
        assert_eq!([ask().await, ask().await], [true, false]);
        assert_eq!((broken.hits(), except.hits()), (1, 1));
        let never = place.faults.on_any_kind().times(0).fail(EIO);
        drop(broken);
        assert!(ask().await);
        assert_eq!(never.hits(), 0);
    });
}

/// A rule that lets everything pass shows which operations a call performs, and that others are not made.
#[test]
fn a_rule_that_lets_pass_counts() {
    on_each(|place| async move {
        let asked = place.faults.on(Kind::GetXattr).or(Kind::ListXattrs).pass();
        let looked = place.faults.on(Kind::Statx).under(&place.dir).pass();
        in_time(fs::statx(place.path("one"))).await.unwrap();
        assert_eq!((looked.hits(), asked.hits()), (1, 0));
        in_time(fs::list_xattrs(place.path("one"), Follow::No))
            .await
            .unwrap();
        assert_eq!(asked.hits(), 1);
    });
}

/// Without a rule, polls answer as ever, and after one they do so again.
#[test]
fn without_a_rule_polls_answer() {
    on_each(|place| async move {
        let at_poll = || {
            place
                .handle
                .stats()
                .count(Kind::Statx, tidegate::Way::AtPoll)
        };
        let elsewhere = place.faults.on(Kind::Statx).path_is("/nowhere").pass();
        let before = at_poll();
        in_time(fs::statx("/")).await.unwrap();
        assert_eq!(at_poll(), before);
        drop(elsewhere);
        if place.route != Route::Auto {
            return;
        }
        let mut answered = false;
        // The mount is described off the poll.
        for _ in 0..1000 {
            in_time(fs::statx(&place.dir)).await.unwrap();
            answered |= at_poll() > before;
            if answered {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let local = fs::statx(&place.dir)
            .await
            .is_ok_and(|_| !cfg!(target_os = "linux"));
        assert!(local, "no poll answers any more");
    });
}

/// A close that fails closes the descriptor all the same, and a failed open leaves none.
#[test]
fn a_failed_close_leaks_no_descriptor() {
    on_each(|place| async move {
        let path = place.path("one");
        let file = File::options().write(true).open(&path).await.unwrap();
        let broken = place.faults.on(Kind::Close).path_is(&path).fail(EIO);
        let error = in_time(file.close()).await.unwrap_err();
        assert_eq!((raw_os_error(&error), broken.hits()), (Some(EIO), 1));
        let late = place.faults.on(Kind::Open).path_is(&path).never();
        let opening = tokio::spawn(File::open(path.clone()));
        in_time(late.wait_hit(1)).await;
        opening.abort();
        assert!(in_time(opening).await.unwrap_err().is_cancelled());
        drop((broken, late));
        place.idle().await;
        assert_eq!(descriptors_of(&path), 0);
    });
}

fn descriptors_of(path: &Path) -> usize {
    // Other systems have no such folder.
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return 0;
    };
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target == path)
        .count()
}

/// The end of a runtime does not wait for what is withheld, which is done once it is released.
#[test]
fn a_runtime_ends_over_a_stuck_operation() {
    for route in routes() {
        let faults = Faults::new();
        let dir = tempfile::tempdir().unwrap();
        let stuck = faults.on(Kind::CreateDir).under(&dir).never();
        let runtime = runtime(true);
        runtime.block_on(async {
            let builder = Handle::builder().route(route).faults(faults.clone());
            let handle = builder.install().unwrap();
            tokio::spawn(fs::create_dir(dir.path().join("new")));
            in_time(stuck.wait_hit(1)).await;
            let report = handle.shutdown(Duration::ZERO).await;
            assert_eq!(report.left_behind, 1);
        });
        drop(runtime);
        assert_eq!(stuck.held(), 1);
        stuck.release();
        let end = Instant::now() + PATIENCE;
        while !dir.path().join("new").exists() {
            assert!(Instant::now() < end, "it is never done");
            std::thread::yield_now();
        }
    }
}

/// Background writes fall under rules, too, and their error is told at the next chance.
#[test]
fn an_accepted_write_that_fails_is_told() {
    use tokio::io::AsyncWriteExt;
    on_each(|place| async move {
        let mut file = File::create(place.path("one")).await.unwrap();
        let full = place.faults.on(Kind::Write).under(&place.dir).fail(ENOSPC);
        let told = async {
            file.write_all(b"content").await?;
            file.flush().await
        };
        let error: io::Error = in_time(told).await.unwrap_err();
        assert_eq!(raw_os_error(&error), Some(ENOSPC));
        assert_eq!(full.hits(), 1);
    });
}
