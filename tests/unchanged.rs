//! Reads that notice when a file is not as it was seen, the budget for what they hold, and attributes apart.

mod common;

use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate::fs::{self, ByteBudget, Dir, Expected, File, Follow, NotRead, Xattrs};
use tidegate::opcode::Kind;
use tidegate::testing::Faults;
use tidegate::{Drift, Error, Handle, OpExt, Route};

use common::{on_each_route, on_every_backend, routes, runtime, until_idle};

#[track_caller]
fn drift_of(result: io::Result<Vec<u8>>, path: &Path) -> Drift {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    match Error::from_io(&error) {
        Some(Error::ChangedDuringRead {
            path: told, drift, ..
        }) => {
            assert_eq!(told.as_deref(), Some(path));
            *drift
        }
        _ => panic!("{error:?}"),
    }
}

/// Files of every size are read whole, by path and from a directory, through links, too.
#[test]
fn what_did_not_change_is_read() {
    on_every_backend(async |_| {
        let dir = tempfile::tempdir().unwrap();
        let open = Dir::open(dir.path()).await.unwrap();
        for size in [0, 1, 4095, 4096, 100_000, 3 << 20] {
            let path = dir.path().join(size.to_string());
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let link = dir.path().join(format!("{size}-link"));
            symlink(&path, &link).unwrap();
            let expected = Expected::from(&fs::statx(&path).await.unwrap());
            assert_eq!(expected, Expected::from(&std::fs::metadata(&path).unwrap()));
            assert_eq!(expected.size(), size as u64);
            assert!(fs::read_unchanged(&path, &expected).await.unwrap() == bytes);
            assert!(fs::read_unchanged(&link, &expected).await.unwrap() == bytes);
            assert!(
                open.read_unchanged(size.to_string(), &expected)
                    .await
                    .unwrap()
                    == bytes
            );
        }
        let expected = Expected::from(&fs::statx("/").await.unwrap());
        let error = fs::read_unchanged("/none/such", &expected)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = fs::read_unchanged("nul\0", &expected).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = fs::read_unchanged("/", &expected).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    });
}

/// Ways to change a file, and in what each shows.
const CHANGES: [(&str, Drift); 9] = [
    ("append", Drift::Size),
    ("attributes", Drift::Changed),
    ("device", Drift::Device),
    ("fifo", Drift::Inode),
    ("mapped", Drift::Modified),
    ("renamed over", Drift::Inode),
    ("rewritten", Drift::Modified),
    ("rewritten, time put back", Drift::Changed),
    ("truncated", Drift::Size),
];

/// What the kernel has in memory takes no thread, wherever that is so for a plain read.
#[test]
fn what_is_in_memory_is_read_at_the_poll() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "text").unwrap();
    let expected = Expected::from(&std::fs::metadata(&path).unwrap());
    runtime(true).block_on(async {
        let handle = Handle::builder().route(Route::Auto).install().unwrap();
        let at_poll = || {
            let stats = handle.stats();
            let mut ops = stats.ops();
            let of = ops.find(|op| op.row.kind == Kind::ReadFile);
            of.map_or(0, |op| op.at_poll)
        };
        // The mount is described meanwhile, and may be taken for stalled by a machine that is busy.
        for _ in 0..2000 {
            let bytes = fs::read_unchanged(&path, &expected).await.unwrap();
            assert_eq!(bytes, b"text");
            if at_poll() > 0 {
                return;
            }
        }
        for _ in 0..2000 {
            fs::read(&path).await.unwrap();
        }
        // Where the machine is busy, so is each poll.
        assert!(
            at_poll() < 1000,
            "only plain reads are answered at the poll"
        );
        println!("skip: what_is_in_memory_is_read_at_the_poll: few polls answer here");
    });
}

fn change(path: &Path, how: &str) {
    use std::io::{Seek, Write};
    let before = std::fs::metadata(path).unwrap();
    let other = path.with_extension("other");
    let opened = || {
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap()
    };
    match how {
        "append" => opened().set_len(before.len() + 1).unwrap(),
        "attributes" => {
            let mut permissions = before.permissions();
            std::os::unix::fs::PermissionsExt::set_mode(
                &mut permissions,
                0o600 ^ (before.mode() & 0o700),
            );
            std::fs::set_permissions(path, permissions).unwrap();
        }
        "device" => {
            std::fs::remove_file(path).unwrap();
            symlink("/proc/self/status", path).unwrap();
        }
        "fifo" => {
            nix::unistd::mkfifo(&other, nix::sys::stat::Mode::S_IRWXU).unwrap();
            std::fs::rename(&other, path).unwrap();
        }
        "mapped" => {
            let file = opened();
            file.sync_all().unwrap();
            #[allow(unsafe_code, reason = "nobody else has the file")]
            // SAFETY: the file is not truncated while it is mapped.
            let mut map = unsafe { memmap2::MmapMut::map_mut(&file) }.unwrap();
            map[0] ^= 0xff;
            map.flush().unwrap();
        }
        "renamed over" => {
            std::fs::copy(path, &other).unwrap();
            std::fs::rename(&other, path).unwrap();
        }
        "rewritten" | "rewritten, time put back" => {
            let mut file = opened();
            file.rewind().unwrap();
            file.write_all(b"x").unwrap();
            if how != "rewritten" {
                file.set_modified(before.modified().unwrap()).unwrap();
            }
        }
        "truncated" => opened().set_len(before.len() - 1).unwrap(),
        _ => panic!("{how}"),
    }
}

/// Whatever was changed since is told by its field, and nothing is handed out, nor waited for.
#[test]
fn what_changed_since_is_told_by_its_field() {
    on_each_route(async |route| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (how, wanted) in CHANGES {
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, vec![7; 10_000]).unwrap();
            let expected = Expected::from(&fs::statx(&path).await.unwrap());
            // Kernels whose times have ticks are given one.
            tokio::time::sleep(Duration::from_millis(20)).await;
            change(&path, how);
            let read = fs::read_unchanged(&path, &expected).await;
            assert_eq!(drift_of(read, &path), wanted, "{how} on {route:?}");
        }
        until_idle().await;
    });
}

/// What a writer does while readers read: the file in a state that one number describes.
struct Written {
    path: PathBuf,
    state: Mutex<u8>,
}

impl Written {
    fn content(state: u8) -> Vec<u8> {
        let mut bytes = vec![state; 20_000 + usize::from(state % 3)];
        bytes.extend_from_within(..usize::from(state));
        bytes
    }

    fn change(&self, random: &mut fastrand::Rng) {
        use std::io::Write;
        let mut state = self.state.lock().unwrap();
        *state = state.wrapping_add(1);
        let bytes = Written::content(*state);
        match random.u8(0..3) {
            0 => std::fs::write(&self.path, &bytes).unwrap(),
            1 => {
                let other = self.path.with_extension("new");
                std::fs::write(&other, &bytes).unwrap();
                std::fs::rename(&other, &self.path).unwrap();
            }
            _ => {
                let mut file = std::fs::OpenOptions::new()
                    .write(true)
                    .open(&self.path)
                    .unwrap();
                file.write_all(&bytes[..5000]).unwrap();
                std::thread::yield_now();
                file.write_all(&bytes[5000..]).unwrap();
                file.set_len(bytes.len() as u64).unwrap();
            }
        }
    }
}

/// Readers race with a writer: what they are given is what they had seen, all of it, or an error.
#[test]
fn a_race_never_hands_out_another_state() {
    on_each_route(async |route| {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let written = Arc::new(Written {
            path: dir.path().join("file"),
            state: Mutex::new(1),
        });
        std::fs::write(&written.path, Written::content(1)).unwrap();
        let (stop, writer) = (Arc::new(AtomicBool::new(false)), written.clone());
        let stopped = stop.clone();
        let writing = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                writer.change(&mut random);
                std::thread::sleep(Duration::from_micros(random.u64(0..300)));
            }
        });
        let (mut whole, mut drifted) = (0, 0);
        for _ in 0..2000 {
            let (state, expected) = {
                let state = written.state.lock().unwrap();
                (
                    *state,
                    Expected::from(&std::fs::metadata(&written.path).unwrap()),
                )
            };
            match fs::read_unchanged(&written.path, &expected).await {
                Ok(bytes) => {
                    assert!(
                        bytes == Written::content(state),
                        "state {state} on {route:?}, seed {seed}"
                    );
                    whole += 1;
                }
                Err(error) => {
                    let typed = Error::from_io(&error);
                    assert!(
                        matches!(typed, Some(Error::ChangedDuringRead { .. })),
                        "{error:?}"
                    );
                    drifted += 1;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        writing.join().unwrap();
        eprintln!("{whole} whole, {drifted} drifted");
        assert!(whole > 0);
    });
}

/// Random holders never have more than there is, wait in turn, and are alone where they are too large.
#[test]
fn a_budget_is_never_exceeded() {
    runtime(true).block_on(async {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let budget = ByteBudget::new(1000);
        let tasks: Vec<_> = (0..40)
            .map(|task| {
                let (budget, mut random) = (budget.clone(), fastrand::Rng::with_seed(seed + task));
                tokio::spawn(async move {
                    for _ in 0..100 {
                        let bytes = random.u64(0..1500);
                        let mut acquiring = Box::pin(budget.acquire(bytes));
                        if random.u8(0..4) == 0 {
                            // Somebody who gives up while waiting has taken nothing.
                            let poll = std::future::poll_fn(|cx| {
                                std::task::Poll::Ready(acquiring.as_mut().poll(cx))
                            });
                            drop(poll.await);
                            continue;
                        }
                        let held = acquiring.await.unwrap();
                        assert_eq!(held.bytes(), bytes.min(1000));
                        let in_flight = budget.in_flight();
                        assert!((held.bytes()..=1000).contains(&in_flight), "{in_flight}");
                        if bytes >= 1000 {
                            assert_eq!(in_flight, 1000);
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(
            (budget.in_flight(), budget.peak(), budget.capacity()),
            (0, 1000, 1000)
        );
    });
}

/// Who came first is first, also where a small one would fit.
#[test]
fn a_large_request_is_not_overtaken() {
    runtime(false).block_on(async {
        let budget = ByteBudget::new(10);
        let first = budget.acquire(6).await.unwrap();
        let mut large = Box::pin(budget.acquire(100));
        let mut small = Box::pin(budget.acquire(1));
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(large.as_mut().poll(cx).is_pending()))
                .await
        );
        let pending =
            std::future::poll_fn(|cx| std::task::Poll::Ready(small.as_mut().poll(cx).is_pending()))
                .await;
        assert!(pending, "it would overtake");
        drop(first);
        let large = large.await.unwrap();
        assert_eq!((large.bytes(), budget.in_flight()), (10, 10));
        drop(large);
        drop(small.await.unwrap());
        assert_eq!(budget.in_flight(), 0);
        // One that gives up lets those behind it go on.
        let first = budget.acquire(6).await.unwrap();
        let mut large = Box::pin(budget.acquire(5));
        let mut small = Box::pin(budget.acquire(4));
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(large.as_mut().poll(cx).is_pending()))
                .await
        );
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(small.as_mut().poll(cx).is_pending()))
                .await
        );
        drop(large);
        drop((small.await.unwrap(), first));
        assert_eq!((budget.in_flight(), budget.peak()), (0, 10));
        // A limit takes nothing, and a closed budget tells everybody.
        let all = budget.acquire(10).await.unwrap();
        let error = budget
            .acquire(1)
            .timeout(Duration::from_millis(5))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.acquire(1).await.map(drop) }
        });
        tokio::task::yield_now().await;
        budget.close();
        let error = waiting.await.unwrap().unwrap_err();
        assert!(matches!(Error::from_io(&error), Some(Error::BudgetClosed)));
        drop(all);
        assert_eq!(budget.in_flight(), 0);
        let none = ByteBudget::new(0);
        let held = none.acquire(5).await.unwrap();
        assert_eq!(held.bytes(), 1, "alone");
    });
}

/// None, some, too many, and not read are told apart.
#[test]
fn attributes_that_were_not_read_are_not_none() {
    on_each_route(async |_| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"").unwrap();
        let read = async |budget| fs::read_xattrs(&path, Follow::Links, budget).await.unwrap();
        let set = fs::set_xattr(&path, "user.a", b"", Follow::Links).await;
        if matches!(&set, Err(error) if error.kind() == io::ErrorKind::Unsupported) {
            return eprintln!("skip: xattrs: the filesystem has none");
        }
        set.unwrap();
        fs::remove_xattr(&path, "user.a", Follow::Links)
            .await
            .unwrap();
        assert_eq!(read(0).await, Xattrs::Read(Vec::new()));
        fs::set_xattr(&path, "user.a", b"", Follow::Links)
            .await
            .unwrap();
        fs::set_xattr(&path, "user.bc", [1; 100], Follow::Links)
            .await
            .unwrap();
        let pairs = vec![("user.a".into(), vec![]), ("user.bc".into(), vec![1; 100])];
        let sorted = |xattrs| match xattrs {
            Xattrs::Read(mut pairs) => {
                pairs.sort();
                Xattrs::Read(pairs)
            }
            other => other,
        };
        let whole = "user.a".len() + "user.bc".len() + 100;
        assert_eq!(sorted(read(whole).await), Xattrs::Read(pairs.clone()));
        for budget in [0, 5, 12, 13, whole - 1] {
            assert_eq!(
                read(budget).await,
                Xattrs::NotRead(NotRead::OverBudget),
                "{budget}"
            );
        }
        let file = File::open(&path).await.unwrap();
        assert_eq!(
            sorted(file.read_xattrs(whole).await.unwrap()),
            Xattrs::Read(pairs)
        );
        assert_eq!(
            file.read_xattrs(1).await.unwrap(),
            Xattrs::NotRead(NotRead::OverBudget)
        );
        let error = fs::read_xattrs("/none/such", Follow::No, 1)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
}

/// Of a file whose content is elsewhere no attributes are asked for; of others none are unless somebody asks.
#[test]
fn attributes_are_read_only_where_they_may_be() {
    for route in routes() {
        runtime(route != Route::Pool).block_on(async {
            let faults = Faults::new();
            Handle::builder()
                .route(route)
                .faults(faults.clone())
                .install()
                .unwrap();
            let dir = tempfile::tempdir().unwrap();
            let (cloud, here) = (dir.path().join("cloud"), dir.path().join("here"));
            std::fs::write(&cloud, b"").unwrap();
            std::fs::write(&here, b"").unwrap();
            let asked = faults
                .on(Kind::ListXattrs)
                .or(Kind::GetXattr)
                .or(Kind::GetFileXattr)
                .pass();
            let _elsewhere = faults.on_any_kind().path_is(&cloud).dataless();
            let read = fs::read_xattrs(&cloud, Follow::Links, 1000).await.unwrap();
            assert_eq!(read, Xattrs::NotRead(NotRead::Dataless), "{route:?}");
            for _ in 0..10 {
                let found = fs::metadata_many([&cloud, &here], &fs::StatxOptions::new()).await;
                let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
                assert!(found[0].is_dataless() && !found[1].is_dataless());
                let expected = Expected::from(&found[1]);
                fs::read_unchanged(&here, &expected).await.unwrap();
            }
            assert_eq!(asked.hits(), 0, "{route:?}");
            let _ = fs::read_xattrs(&here, Follow::Links, 1000).await;
            assert_eq!(asked.hits(), 1, "{route:?}");
        });
    }
}
