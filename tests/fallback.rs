//! Without a ring, or with one that is taken away, everything works through blocking threads, and the
//! reason is told (R2, R4, R5, R19, R90).
#![cfg(target_os = "linux")]

mod common;
#[path = "fallback/seccomp.rs"]
mod seccomp;

use std::process::Command;

use common::child::{in_child, in_child_without_privileges};
use nix::sys::resource::{Resource, setrlimit};
use seccomp::{ENTER, Filter, REGISTER, SETUP};
use tidegate::fs::{self, File};
use tidegate::probe::{self, Reason};
use tidegate::{Error, Handle, Route};

/// Reads, writes, names and attributes, each with the right result.
async fn work() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(&path, &bytes).await.unwrap();
    assert_eq!(fs::read(&path).await.unwrap(), bytes);
    let file = File::open(&path).await.unwrap();
    let parts = (0..32u64).map(|n| file.read_at(vec![0; 1000], n * 9000));
    for (n, part) in futures::future::join_all(parts)
        .await
        .into_iter()
        .enumerate()
    {
        let (count, part) = part.unwrap();
        assert_eq!(part[..count], bytes[n * 9000..n * 9000 + count]);
    }
    file.close().await.unwrap();
    fs::rename(&path, dir.path().join("other")).await.unwrap();
    let error = fs::metadata(&path).await.unwrap_err();
    assert_eq!(tidegate::raw_os_error(&error), Some(libc::ENOENT));
    let other = File::create_new(dir.path().join("new")).await.unwrap();
    other.write_all_at("x", 9).await.unwrap();
    other.sync_all().await.unwrap();
    assert_eq!(other.metadata().await.unwrap().len(), 10);
    other.close().await.unwrap();
    fs::remove_file(dir.path().join("other")).await.unwrap();
}

/// What a process without a ring does: work, say why, and refuse to be pinned to the ring.
fn works_without_ring(expected: &Reason) {
    assert_eq!(probe::report().ring_reason(), Some(expected));
    for multi in [true, false] {
        common::runtime(multi).block_on(async {
            let error = Handle::builder().route(Route::Ring).install().unwrap_err();
            let Error::RingUnavailable { reason } = &error else {
                panic!("{error:?}");
            };
            assert_eq!(reason, expected);
            assert!(error.to_string().contains(reason.remedy()), "{error}");
            assert_eq!(error.raw_os_error(), expected.errno());
            assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
            work().await;
            assert_eq!(Handle::current().unwrap().route(), Route::Pool);
        });
    }
    futures::executor::block_on(work());
}

/// Nothing that the kernel has is taken for missing.
#[test]
fn a_kernel_that_is_new_enough_has_every_feature() {
    if !common::kernel::is_unrestricted() {
        let name = "a_kernel_that_is_new_enough_has_every_feature";
        return eprintln!("skip: {name}: this process may not use all that there is");
    }
    for found in probe::features() {
        let (major, minor) = found.feature.first_kernel();
        let first = (u32::from(major), u32::from(minor));
        let expected = common::kernel::release() >= first;
        assert_eq!(found.reason.is_none(), expected, "{found:?}");
    }
}

#[test]
fn setup_refused_with_eperm() {
    in_child(
        "setup_refused_with_eperm",
        |_| {},
        || {
            Filter::refuse(&[SETUP], libc::EPERM).install();
            works_without_ring(&Reason::Seccomp);
        },
    );
}

#[test]
fn setup_refused_with_enosys() {
    in_child(
        "setup_refused_with_enosys",
        |_| {},
        || {
            Filter::refuse(&[SETUP], libc::ENOSYS).install();
            works_without_ring(&Reason::Seccomp);
        },
    );
}

#[test]
fn enter_alone_refused() {
    in_child(
        "enter_alone_refused",
        |_| {},
        || {
            Filter::refuse(&[ENTER], libc::EPERM).install();
            works_without_ring(&Reason::Seccomp);
        },
    );
}

/// Without registering, the ring cannot be asked what it can do.
#[test]
fn register_alone_refused() {
    in_child(
        "register_alone_refused",
        |_| {},
        || {
            Filter::refuse(&[REGISTER], libc::EPERM).install();
            if probe::report().ring_reason().is_some() {
                works_without_ring(&Reason::Seccomp);
            } else {
                common::runtime(true).block_on(work());
            }
        },
    );
}

#[test]
fn memory_that_must_not_be_locked() {
    in_child_without_privileges("memory_that_must_not_be_locked", || {
        setrlimit(Resource::RLIMIT_MEMLOCK, 0, 0).unwrap();
        // Kernels from 5.12 on do not count a ring as locked memory.
        match probe::report().ring_reason() {
            None => common::runtime(true).block_on(work()),
            Some(_) => works_without_ring(&Reason::Memlock),
        }
    });
}

/// Raises what is open until nothing more can be, and keeps it so.
fn exhaust_descriptors() -> Vec<std::fs::File> {
    let mut open = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        open.push(file);
    }
    open
}

#[test]
fn no_descriptor_left_for_the_probe() {
    in_child(
        "no_descriptor_left_for_the_probe",
        |_| {},
        || {
            setrlimit(Resource::RLIMIT_NOFILE, 64, 64).unwrap();
            let open = exhaust_descriptors();
            assert_eq!(probe::report().ring_reason(), Some(&Reason::FdLimit));
            drop(open);
            works_without_ring(&Reason::FdLimit);
        },
    );
}

/// The probe had descriptors, the rings of the handle have none: what needs no descriptor is done.
#[test]
fn no_descriptor_left_for_the_rings() {
    let test = "no_descriptor_left_for_the_rings";
    for route in ["ring", "pool", "auto"] {
        for kind in ["multi-thread", "current-thread"] {
            let prepare = |command: &mut Command| {
                command.env("TIDEGATE_BACKEND", route).env(RUNTIME, kind);
            };
            in_child(test, prepare, || {
                setrlimit(Resource::RLIMIT_NOFILE, 64, 64).unwrap();
                if let Some(reason) = probe::report().ring_reason() {
                    return eprintln!("skip: no_descriptor_left_for_the_rings: {reason}");
                }
                let dir = tempfile::tempdir().unwrap();
                std::fs::write(dir.path().join("file"), "content").unwrap();
                let multi = std::env::var(RUNTIME).unwrap() == "multi-thread";
                let runtime = common::runtime(multi);
                let open = exhaust_descriptors();
                runtime.block_on(async {
                    starved(dir.path()).await;
                    drop(open);
                    work().await;
                });
            });
            if common::child::is_child(test) {
                return;
            }
        }
    }
}

/// Which kind of runtime a child is to use.
const RUNTIME: &str = "TIDEGATE_TEST_RUNTIME";

/// What std does without descriptors, and what it refuses.
async fn starved(dir: &std::path::Path) {
    let path = dir.join("file");
    assert_eq!(fs::metadata(&path).await.unwrap().len(), 7);
    fs::rename(&path, dir.join("other")).await.unwrap();
    fs::create_dir(dir.join("new")).await.unwrap();
    fs::remove_dir(dir.join("new")).await.unwrap();
    for error in [
        File::open(dir.join("other")).await.map(drop).unwrap_err(),
        File::create(&path).await.map(drop).unwrap_err(),
        fs::read(dir.join("other")).await.map(drop).unwrap_err(),
        fs::write(&path, "x").await.unwrap_err(),
        fs::read_dir(dir).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
    }
}

/// A filter that comes in the middle: what is asked afterwards goes through blocking threads.
#[test]
fn enter_refused_in_the_middle() {
    for route in ["ring", "auto"] {
        in_child(
            "enter_refused_in_the_middle",
            |command| {
                command.env("TIDEGATE_BACKEND", route);
            },
            || {
                if probe::report().ring_reason().is_some() {
                    return eprintln!("skip: enter_refused_in_the_middle: there is no ring");
                }
                for multi in [true, false] {
                    let runtime = common::runtime(multi);
                    runtime.block_on(work());
                    Filter::refuse(&[ENTER], libc::EPERM).install();
                    runtime.block_on(work());
                    runtime.block_on(work());
                    futures::executor::block_on(work());
                }
            },
        );
        if common::child::is_child("enter_refused_in_the_middle") {
            break;
        }
    }
}

/// The same while operations are in flight: each ends, right or with the error that says that its
/// outcome is not known, and what comes later is right.
#[test]
fn enter_refused_with_operations_in_flight() {
    let test = "enter_refused_with_operations_in_flight";
    for kind in ["multi-thread", "current-thread"] {
        let prepare = |command: &mut Command| {
            command.env("TIDEGATE_BACKEND", "auto").env(RUNTIME, kind);
        };
        in_child(test, prepare, || {
            if let Some(reason) = probe::report().ring_reason() {
                return eprintln!("skip: enter_refused_with_operations_in_flight: {reason}");
            }
            let multi = std::env::var(RUNTIME).unwrap() == "multi-thread";
            common::runtime(multi).block_on(async {
                Handle::builder().route(Route::Ring).install().unwrap();
                let dir = tempfile::tempdir().unwrap();
                let (begun, all_begun) = tokio::sync::mpsc::channel(64);
                let tasks: Vec<_> = (0..16u8)
                    .map(|n| tokio::spawn(busy(dir.path().join(n.to_string()), n, begun.clone())))
                    .collect();
                drop(begun);
                let mut all_begun = all_begun;
                for _ in 0..16 {
                    all_begun.recv().await.unwrap();
                }
                Filter::refuse(&[ENTER], libc::EPERM).install();
                for task in tasks {
                    task.await.unwrap();
                }
                work().await;
            });
        });
        if common::child::is_child(test) {
            return;
        }
    }
}

/// Writes and reads a file of its own over and over.
async fn busy(path: std::path::PathBuf, n: u8, begun: tokio::sync::mpsc::Sender<()>) {
    let std_file = std::fs::File::options()
        .create_new(true)
        .write(true)
        .open(&path);
    std_file.unwrap().set_len(1 << 20).unwrap();
    let mut lost = 0;
    for round in 0..300u64 {
        if round == 100 {
            begun.send(()).await.unwrap();
        }
        let written = match tidegate::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .await
        {
            Ok(file) => {
                let offset = round * 512;
                let written = file.write_all_at(vec![n; 512], offset).await;
                match written {
                    Ok(_) => file
                        .read_exact_at(vec![0; 512], offset)
                        .await
                        .map_err(Into::into),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => Err(error),
        };
        match written {
            Ok(bytes) => assert_eq!(bytes, vec![n; 512]),
            Err(error) => {
                let typed = Error::from_io(&error);
                assert!(matches!(typed, Some(Error::RingLost { .. })), "{error:?}");
                lost += 1;
            }
        }
    }
    assert!(
        lost < 10,
        "{lost} operations were lost: more than were in flight"
    );
}

/// The variable is read once per handle: `auto`, `ring`, `pool`, anything else is an error that says so.
#[test]
fn the_variable_chooses_the_backend() {
    let test = "the_variable_chooses_the_backend";
    if common::child::is_child(test) {
        return follows_the_variable();
    }
    for value in ["auto", "ring", "pool", " Pool ", "RING", "", "junk", "1"] {
        let set = |command: &mut Command| {
            command.env("TIDEGATE_BACKEND", value);
        };
        in_child(test, set, || {});
    }
    in_child(
        test,
        |command| {
            command.env_remove("TIDEGATE_BACKEND");
        },
        || {},
    );
}

fn follows_the_variable() {
    let value = std::env::var("TIDEGATE_BACKEND").unwrap_or_default();
    let has_ring = probe::report().ring_reason().is_none();
    let expected = match value.trim().to_lowercase().as_str() {
        "auto" | "" if has_ring => Some(Route::Auto),
        "ring" if has_ring => Some(Route::Ring),
        "auto" | "" | "pool" => Some(Route::Pool),
        "ring" => return eprintln!("skip: the_variable_chooses_the_backend: there is no ring"),
        _ => None,
    };
    let check = async {
        match (Handle::current(), expected) {
            (Ok(handle), Some(expected)) => {
                assert_eq!(handle.route(), expected);
                work().await;
            }
            (Err(error @ Error::BackendVariable { .. }), None) => {
                for word in [&*value, "TIDEGATE_BACKEND", "auto", "ring", "pool"] {
                    assert!(error.to_string().contains(word), "{error}");
                }
                let error = fs::metadata("/").await.unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
                assert!(matches!(
                    Error::from_io(&error),
                    Some(Error::BackendVariable { .. })
                ));
                assert!(File::open("/dev/null").await.is_err());
                assert!(fs::read("/dev/null").await.is_err());
            }
            other => panic!("{value:?}: {other:?}"),
        }
    };
    common::runtime(true).block_on(check);
    // The builder's choice goes first.
    common::runtime(false).block_on(async {
        Handle::builder().route(Route::Pool).install().unwrap();
        work().await;
    });
}
