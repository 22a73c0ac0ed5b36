//! Memory that may be locked only in part, or not at all: pools take what they can, and work without.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::sys::resource::{Resource, setrlimit};
use tidegate::buf::{BufPool, Registration};
use tidegate::probe::Reason;
use tidegate::{Handle, Route, Submit};

use super::common::child::{command, in_child, is_child, is_root};
use super::refused::{counted, scene, works};
use super::{BLOCK, bytes, has_ring, has_vectored, on_worker, pool, reads_all, submitted};

/// In a process of an ordinary user. Locked memory is counted by user, so each test has its own, and where it
/// cannot have, they go one after the other.
fn as_user(test: &str, user: u32, prepare: impl FnOnce(&mut Command), body: impl FnOnce()) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let prepare = |command: &mut Command| {
        prepare(command);
        if is_root() {
            command.uid(user).gid(user);
        }
    };
    in_child(test, prepare, body);
}

/// In one who may lock so much.
fn with_limit(test: &str, user: u32, limit: u64, body: impl FnOnce()) {
    as_user(
        test,
        user,
        |_| {},
        || {
            set_limit(limit);
            body();
        },
    );
}

fn set_limit(bytes: u64) {
    setrlimit(Resource::RLIMIT_MEMLOCK, bytes, bytes).unwrap();
}

const LIMIT: &str = "TIDEGATE_TEST_LIMIT";

/// R49, R59: nothing may be locked, or less than one buffer. Rings that were there before take plain entries, and
/// each is counted.
#[test]
fn memory_that_must_not_be_locked() {
    let test = "locked::memory_that_must_not_be_locked";
    for limit in [0, 16 << 10, 64 << 10] {
        let prepare = |command: &mut Command| {
            command.env(LIMIT, limit.to_string());
        };
        as_user(test, 64_001, prepare, || {
            if !has_ring() {
                return;
            }
            let (submitted, fallbacks) = counted(|| {
                set_limit(std::env::var(LIMIT).unwrap().parse().unwrap());
                let pool = BufPool::builder().build().unwrap();
                let Registration::Failed { bytes, reason } = pool.registration() else {
                    panic!("{}", pool.registration());
                };
                assert_eq!((bytes, &reason), (512 << 10, &Reason::Memlock));
                assert_eq!(reason.errno(), Some(libc::ENOMEM));
                assert!(pool.registration().to_string().contains("RLIMIT_MEMLOCK"));
                assert!(!pool.get().is_registered() && !pool.get().is_plain());
                pool
            });
            assert_eq!(submitted, [0, 1, 0, 1, 0, 1, 0, 1]);
            let vectored = if has_vectored() { 2 } else { 0 };
            let mut expected = vec![("registered memory refused", 2 + vectored)];
            expected.extend((vectored == 0).then_some(("the kernel lacks the opcode", 2)));
            assert_eq!(fallbacks, expected);
        });
        if is_child(test) {
            break;
        }
    }
}

/// R49: as much as may be is registered, half at a time; the rest works without.
#[test]
fn as_much_is_registered_as_may_be_locked() {
    let test = "locked::as_much_is_registered_as_may_be_locked";
    with_limit(test, 64_002, 4 << 20, || {
        if !has_ring() {
            return;
        }
        let builder = || BufPool::builder().size(BLOCK);
        let large = builder().count(1024).build().unwrap();
        let Registration::Partial {
            bytes,
            refused_bytes,
            reason,
        } = large.registration()
        else {
            return eprintln!(
                "skip: as_much_is_registered_as_may_be_locked: {}",
                large.registration()
            );
        };
        assert!(
            bytes > 0 && bytes <= 2 << 20 && bytes % BLOCK == 0,
            "{bytes}"
        );
        assert_eq!((bytes + refused_bytes, reason), (4 << 20, Reason::Memlock));
        // What the first one has locked is missing to the others.
        let others: Vec<BufPool> = (0..3)
            .map(|_| builder().count(512).build().unwrap())
            .collect();
        let is_whole = |pool: &BufPool| matches!(pool.registration(), Registration::Enabled { .. });
        assert!(!others.iter().all(is_whole), "{others:?}");
        for pool in others.into_iter().chain([large]) {
            works(pool);
        }
    });
}

/// Memory of a pool that is gone may be locked again, though rings had it registered.
#[test]
fn dropped_pools_give_back_what_they_locked() {
    let test = "locked::dropped_pools_give_back_what_they_locked";
    with_limit(test, 64_003, 8 << 20, || {
        if !has_ring() {
            return;
        }
        on_worker(2, async {
            let handle = Handle::builder().route(Route::Ring).install().unwrap();
            let scene = scene();
            let file = scene.open(false).await.unwrap();
            let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
            for round in 0..12 {
                let pool = loop {
                    let pool = BufPool::builder().count(768).size(BLOCK).build().unwrap();
                    if matches!(pool.registration(), Registration::Enabled { .. }) {
                        break pool;
                    }
                    // Idle rings let go of it at the watchdog's next tick.
                    assert!(
                        std::time::Instant::now() < end,
                        "round {round}: {}",
                        pool.registration()
                    );
                    drop(pool);
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                };
                reads_all(&file, &pool, 1).await;
            }
            assert!(handle.stats().submitted("READ_FIXED") > 0);
            file.close().await.unwrap();
        });
    });
}

/// Another process of the same user, which has 6 MiB registered while it lives.
struct Holder(Child);

const HOLDS: &str = "TIDEGATE_TEST_HOLDS";

impl Holder {
    fn start(test: &str) -> Holder {
        let mut command = command(test);
        let mut child = command
            .env(HOLDS, "6 MiB")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        assert!(lines.any(|line| line.contains(HOLDS)), "it holds nothing");
        Holder(child)
    }

    /// What it does.
    fn hold() {
        let pools = [1024, 512].map(pool);
        for pool in &pools {
            let registration = pool.registration();
            let is_whole = matches!(registration, Registration::Enabled { .. });
            assert!(is_whole, "{registration}");
        }
        println!("\n{HOLDS}");
        std::io::stdin().lines().count();
    }
}

impl Drop for Holder {
    /// It ends with its input.
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// What another process of the same user has locked is missing to this one, which does with less; once that one is
/// gone, a new pool has all it wants.
#[test]
fn what_another_process_holds_is_missing() {
    let test = "locked::what_another_process_holds_is_missing";
    with_limit(test, 64_004, 8 << 20, || {
        if !has_ring() {
            return;
        }
        if std::env::var_os(HOLDS).is_some() {
            return Holder::hold();
        }
        let holder = Holder::start(test);
        on_worker(1, async {
            let builder = Handle::builder().route(Route::Ring);
            let handle = builder.submit(Submit::Isolated).install().unwrap();
            let (scene, pool_of_4_mib) = (scene(), || pool(1024));
            let file = scene.open(false).await.unwrap();
            let partly = pool_of_4_mib();
            let Registration::Partial {
                bytes: registered,
                refused_bytes,
                reason,
            } = partly.registration()
            else {
                panic!("{}", partly.registration());
            };
            assert!(registered <= 2 << 20, "{registered}");
            assert_eq!(
                (registered + refused_bytes, reason),
                (4 << 20, Reason::Memlock)
            );
            let all: Vec<_> = std::iter::from_fn(|| partly.try_acquire()).collect();
            let (fixed, plain): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|buf| buf.is_registered());
            assert_eq!(fixed.len() * BLOCK, registered);
            for (bufs, expected) in [(fixed, [1, 0]), (plain, [0, 1])] {
                let before = handle.stats();
                let buf = bufs.into_iter().next().unwrap();
                let (_, buf) = file.read_fixed_at(buf, BLOCK as u64).await.unwrap();
                assert_eq!(buf[..], bytes(BLOCK..2 * BLOCK));
                assert_eq!(submitted(&handle.stats().since(&before))[..2], expected);
            }
            drop((partly, holder));
            // The kernel lets go of it some time after the process is gone.
            let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
            let whole = loop {
                let pool = pool_of_4_mib();
                let registration = pool.registration();
                if matches!(registration, Registration::Enabled { .. }) {
                    break pool;
                }
                assert!(std::time::Instant::now() < end, "{registration}");
                drop(pool);
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            };
            let before = handle.stats();
            let (_, buf) = file.read_fixed_at(whole.get(), 0).await.unwrap();
            assert_eq!(buf[..], bytes(0..BLOCK));
            assert_eq!(submitted(&handle.stats().since(&before))[..2], [1, 0]);
            file.close().await.unwrap();
        });
    });
}
