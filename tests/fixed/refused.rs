//! Memory that is not registered, for each reason that there may be: everything works without, and says why.

use tidegate::buf::{BufPool, Registration};
use tidegate::probe::{self, Reason};
use tidegate::{Handle, Route, Submit};

use super::common::child::in_child;
use super::seccomp::Filter;
use super::{
    BLOCK, BLOCKS, Scene, bytes, has_ring, has_vectored, is_registered, on_worker, one_of_each,
    pool, reads_all, submitted,
};

/// Calls of `io_uring_register`, by number.
const BUFFERS2: u32 = 15;
const BUFFERS_UPDATE: u32 = 16;
const CLONE_BUFFERS: u32 = 30;

/// What is submitted for one of each operation, through a ring if there is one.
pub(super) fn works(pool: BufPool) -> Option<[u64; 8]> {
    on_worker(2, async move {
        let route = match probe::report().ring_reason() {
            Some(_) => Route::Auto,
            None => Route::Ring,
        };
        let handle = Handle::builder().route(route).install().unwrap();
        let scene = scene();
        let file = scene.open(false).await.unwrap();
        let before = handle.stats();
        reads_all(&file, &pool, 1).await;
        one_of_each(&file, &pool).await;
        let stats = handle.stats().since(&before);
        file.close().await.unwrap();
        (route == Route::Ring).then(|| submitted(&stats))
    })
}

/// What is submitted for one of each operation by a lane that was there before `pool` makes the pool, and why
/// operations did with less.
pub(super) fn counted(
    pool: impl FnOnce() -> BufPool + Send + 'static,
) -> ([u64; 8], Vec<(&'static str, u64)>) {
    on_worker(1, async {
        let builder = Handle::builder().route(Route::Ring);
        let handle = builder.submit(Submit::Isolated).install().unwrap();
        let file = scene().open(false).await.unwrap();
        let (_, buf) = file.read_fixed_at(vec![0; BLOCK], 0).await.unwrap();
        file.write_fixed_at(buf, 0).await.unwrap();
        let (pool, before) = (pool(), handle.stats());
        one_of_each(&file, &pool).await;
        let stats = handle.stats().since(&before);
        file.close().await.unwrap();
        let fallbacks = stats.fallbacks().filter(|(_, count)| *count > 0);
        (submitted(&stats), fallbacks.collect())
    })
}

/// Where anybody may make files.
pub(super) fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), bytes(0..BLOCKS * BLOCK)).unwrap();
    Scene { dir }
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
            let [read_fixed, read, rest @ ..] = works(pool).unwrap();
            assert!(read_fixed == 0 && read > 0);
            assert_eq!(rest, [0, 1, 0, 1, 0, 1]);
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

/// The opcodes for single buffers are missing: plain entries do it, and each is counted.
#[test]
fn without_single_opcodes_entries_are_plain() {
    let test = "refused::without_single_opcodes_entries_are_plain";
    in_child(
        test,
        |command| {
            command.env("TIDEGATE_WITHOUT_OPCODES", "4, 5");
        },
        || {
            if !has_ring() || !is_registered(&pool(4)) {
                return;
            }
            let [plain, fixed] = [1 - u64::from(has_vectored()), u64::from(has_vectored())];
            let (submitted, fallbacks) = counted(|| pool(4));
            assert_eq!(submitted, [0, 1, 0, 1, fixed, plain, fixed, plain]);
            assert_eq!(fallbacks, [("the kernel lacks the opcode", 2 + 2 * plain)]);
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
