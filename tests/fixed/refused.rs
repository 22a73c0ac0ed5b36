//! Memory that is not registered, for each reason that there may be: everything works without, and says why.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use nix::sys::resource::{Resource, setrlimit};
use tidegate::buf::{BufPool, Registration};
use tidegate::probe::{self, Reason};
use tidegate::{Handle, Route};

use super::common::child::{in_child, is_child, is_root};
use super::seccomp::Filter;
use super::{Scene, has_ring, is_registered, on_worker, one_of_each, pool, reads_all, submitted};

/// Calls of `io_uring_register`, by number.
const BUFFERS2: u32 = 15;
const BUFFERS_UPDATE: u32 = 16;
const CLONE_BUFFERS: u32 = 30;

/// What is submitted for one of each operation, through a ring if there is one.
fn works(pool: BufPool) -> Option<[u64; 8]> {
    on_worker(2, async move {
        let route = match probe::report().ring_reason() {
            Some(_) => Route::Auto,
            None => Route::Ring,
        };
        let handle = Handle::builder().route(route).install().unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("file"),
            super::bytes(0..super::BLOCKS * super::BLOCK),
        )
        .unwrap();
        let file = Scene { dir }.open(false).await.unwrap();
        let before = handle.stats();
        reads_all(&file, &pool, 1).await;
        one_of_each(&file, &pool).await;
        let stats = handle.stats().since(&before);
        file.close().await.unwrap();
        (route == Route::Ring).then(|| submitted(&stats))
    })
}

/// None of these is fixed; the plain ones may have gone to threads.
fn is_plain(submitted: Option<[u64; 8]>) {
    let counts = submitted.unwrap_or_default();
    assert_eq!([0, 2, 4, 6].map(|index: usize| counts[index]), [0; 4]);
}

/// In a process of an ordinary user who may lock so much. Locked memory is counted by user, so each test has its own,
/// and where it cannot have, they go one after the other.
fn with_limit(test: &str, user: u32, limit: u64, body: impl FnOnce()) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let prepare = |command: &mut Command| {
        command.env(LIMIT, limit.to_string());
        if is_root() {
            command.uid(user).gid(user);
        }
    };
    in_child(test, prepare, || {
        let limit = std::env::var(LIMIT).unwrap().parse().unwrap();
        setrlimit(Resource::RLIMIT_MEMLOCK, limit, limit).unwrap();
        body();
    });
}

const LIMIT: &str = "TIDEGATE_TEST_LIMIT";

/// R49, R59: nothing may be locked, or less than one buffer.
#[test]
fn memory_that_must_not_be_locked() {
    let test = "refused::memory_that_must_not_be_locked";
    for limit in [0, 16 << 10, 64 << 10] {
        with_limit(test, 64_001, limit, || {
            let pool = BufPool::builder().build().unwrap();
            let Registration::Failed { bytes, reason } = pool.registration() else {
                panic!("{}", pool.registration());
            };
            assert_eq!((bytes, &reason), (512 << 10, &Reason::Memlock));
            assert_eq!(reason.errno(), Some(libc::ENOMEM));
            assert!(pool.registration().to_string().contains("RLIMIT_MEMLOCK"));
            let builder = BufPool::builder().count(128).size(super::BLOCK);
            let pool = builder.build().unwrap();
            let is_failed = matches!(pool.registration(), Registration::Failed { .. });
            let submitted = works(pool);
            if is_failed {
                is_plain(submitted);
            }
        });
        if is_child(test) {
            break;
        }
    }
}

/// R49: as much as may be is registered, half at a time; the rest works without.
#[test]
fn as_much_is_registered_as_may_be_locked() {
    let test = "refused::as_much_is_registered_as_may_be_locked";
    with_limit(test, 64_002, 4 << 20, || {
        if !has_ring() {
            return;
        }
        let builder = || BufPool::builder().size(super::BLOCK);
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
            bytes > 0 && bytes <= 2 << 20 && bytes % super::BLOCK == 0,
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
    let test = "refused::dropped_pools_give_back_what_they_locked";
    with_limit(test, 64_003, 8 << 20, || {
        if !has_ring() {
            return;
        }
        on_worker(2, async {
            let handle = Handle::builder().route(Route::Ring).install().unwrap();
            let scene = Scene {
                dir: tempfile::tempdir().unwrap(),
            };
            std::fs::write(scene.path(), super::bytes(0..super::BLOCKS * super::BLOCK)).unwrap();
            let file = scene.open(false).await.unwrap();
            let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
            for round in 0..12 {
                let pool = loop {
                    let pool = BufPool::builder()
                        .count(768)
                        .size(super::BLOCK)
                        .build()
                        .unwrap();
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

/// Kernels before 6.13 cannot take memory over: each ring registers it by itself.
#[test]
fn without_taking_over_each_ring_registers_memory_itself() {
    let test = "refused::without_taking_over_each_ring_registers_memory_itself";
    in_child(
        test,
        |_| {},
        || {
            Filter::refuse_register(CLONE_BUFFERS, libc::EINVAL).install();
            let pool = pool(4);
            if !has_ring() || !is_registered(&pool) {
                return;
            }
            let [read_fixed, _, write_fixed, write, ..] = works(pool).unwrap();
            assert!(read_fixed > 0);
            assert_eq!((write_fixed, write), (1, 0));
        },
    );
}

/// Kernels before 5.19 have no table that can be filled later.
#[test]
fn without_a_table_nothing_is_registered() {
    let test = "refused::without_a_table_nothing_is_registered";
    in_child(
        test,
        |_| {},
        || {
            Filter::refuse_register(BUFFERS2, libc::EINVAL).install();
            if !has_ring() {
                return;
            }
            let pool = pool(4);
            let Registration::Failed { reason, .. } = pool.registration() else {
                panic!("{}", pool.registration());
            };
            assert_eq!(reason, Reason::KernelTooOld);
            is_plain(works(pool));
        },
    );
}

/// The pool's memory is registered, and then rings may register nothing: each operation does without, counted.
#[test]
fn rings_that_may_register_nothing_do_without() {
    let test = "refused::rings_that_may_register_nothing_do_without";
    in_child(
        test,
        |_| {},
        || {
            let pool = pool(70);
            if !has_ring() || !is_registered(&pool) {
                return;
            }
            Filter::refuse_register(CLONE_BUFFERS, libc::EPERM).install();
            Filter::refuse_register(BUFFERS_UPDATE, libc::EPERM).install();
            on_worker(1, async move {
                let handle = Handle::builder().route(Route::Ring).install().unwrap();
                let scene = Scene::new();
                let file = scene.open(false).await.unwrap();
                reads_all(&file, &pool, 1).await;
                let stats = handle.stats();
                assert_eq!(stats.submitted("READ_FIXED"), 0);
                let mut fallbacks = stats.fallbacks();
                let refused = fallbacks.find(|(reason, _)| *reason == "registered memory refused");
                assert_eq!(refused.map(|(_, count)| count), Some(super::reads(&stats)));
                file.close().await.unwrap();
            });
        },
    );
}

/// Kernels before 6.15 have registered memory, and not for several buffers at once.
#[test]
fn without_vectored_opcodes_single_buffers_are_still_fixed() {
    let test = "refused::without_vectored_opcodes_single_buffers_are_still_fixed";
    in_child(
        test,
        |command| {
            command.env("TIDEGATE_WITHOUT_OPCODES", "60, 61");
        },
        || {
            let pool = pool(4);
            if !has_ring() || !is_registered(&pool) {
                return;
            }
            let [
                read_fixed,
                _,
                write_fixed,
                _,
                readv_fixed,
                readv,
                writev_fixed,
                writev,
            ] = works(pool).unwrap();
            assert!(read_fixed > 0 && write_fixed > 0);
            assert_eq!([readv_fixed, readv, writev_fixed, writev], [0, 1, 0, 1]);
        },
    );
}

/// A process that is to make no ring makes none for its pools.
#[test]
fn a_process_without_rings_registers_nothing() {
    let test = "refused::a_process_without_rings_registers_nothing";
    in_child(
        test,
        |command| {
            command.env("TIDEGATE_BACKEND", "pool");
        },
        || {
            let pool = pool(4);
            assert_eq!(pool.registration(), Registration::Disabled);
            Filter::refuse(&[super::seccomp::SETUP], libc::EPERM).install();
            works(pool);
        },
    );
}

/// The set-up of rings is refused: pools say so, and work.
#[test]
fn without_a_ring_the_reason_is_told() {
    let test = "refused::without_a_ring_the_reason_is_told";
    in_child(
        test,
        |_| {},
        || {
            Filter::refuse(&[super::seccomp::SETUP], libc::EPERM).install();
            let pool = pool(4);
            let Registration::Failed { reason, .. } = pool.registration() else {
                panic!("{}", pool.registration());
            };
            assert_eq!(reason, Reason::Seccomp);
            assert_eq!(works(pool), None);
        },
    );
}

/// A forked child that lets go of a pool takes nothing from its parent, whose rings go on to take the memory over.
#[test]
fn a_forked_child_takes_no_memory_from_its_parent() {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    let test = "refused::a_forked_child_takes_no_memory_from_its_parent";
    let body = || {
        let pool = pool(4);
        if !has_ring() || !is_registered(&pool) {
            return;
        }
        // SAFETY: the child drops a value of its own and exits, by calls that are allowed after a fork.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                drop(pool);
                // SAFETY: ends the process without running what the parent has to run at its end.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
            }
        }
        // What is registered anew by each ring would be refused.
        Filter::refuse_register(BUFFERS_UPDATE, libc::EPERM).install();
        let [read_fixed, ..] = works(pool).unwrap();
        assert!(read_fixed > 0);
    };
    in_child(test, |_| {}, body);
}
