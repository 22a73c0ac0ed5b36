//! Whatever the system answers to any call of `fs::CopyFile`: it fails, or what it made is whole; what is renamed into place is
//! there whole or not at all, and nothing is left beside it in silence.
//!
//! `TIDEGATE_TEST_ROUNDS` says how many rounds there are, and `TIDEGATE_TEST_SEED` plays one again.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

#[path = "common/calls.rs"]
mod calls;
mod common;
#[path = "common/trees.rs"]
mod trees;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use calls::{Answer, CALLS};
use common::child;
use tidegate::fs::{CopyFile, Preserve, Reflink};
use tidegate::{Handle, Route};
use trees::{Random, look};

const TEST: &str = "what_fails_is_told_and_what_is_made_is_whole";
const PLACE: &str = "TIDEGATE_TEST_PLACE";
const ROUNDS: u64 = 40;
const ERRNOS: [i32; 14] = [
    libc::EIO,
    libc::ENOSPC,
    libc::EACCES,
    libc::EPERM,
    libc::EINTR,
    libc::ENOMEM,
    libc::EAGAIN,
    libc::EINVAL,
    libc::ESTALE,
    libc::EOPNOTSUPP,
    libc::EDQUOT,
    libc::ENOSYS,
    libc::EROFS,
    libc::EXDEV,
];

/// One copy of each kind, over what is there or beside it; the name says which it is.
fn copies(place: &Path) -> Vec<(String, CopyFile)> {
    let preserve = Preserve {
        owner: nix::unistd::geteuid().is_root(),
        times: true,
        xattrs: true,
    };
    let mut copies = Vec::new();
    for source in ["plain", "sparse", "tiny"] {
        for way in ["placed", "placed-new", "synced", "zeros", "direct"] {
            let name = format!("{source}-{way}");
            let copy = CopyFile::new(place.join(source), place.join(&name)).preserve(preserve);
            let copy = match way {
                "placed" => copy.rename_into_place(true),
                "placed-new" => copy.rename_into_place(true).create_new(true),
                "synced" => copy
                    .rename_into_place(true)
                    .sync(true)
                    .reflink(Reflink::Never),
                "zeros" => copy.rename_into_place(true).zeros_to_holes(),
                _ => copy,
            };
            copies.push((name, copy));
        }
    }
    copies
}

/// In a process of its own, whose calls are answered.
fn work(place: &Path) {
    // The line so far is the harness's.
    println!();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let handle = Handle::builder().route(Route::Pool).install().unwrap();
        for (name, copy) in copies(place) {
            match copy.run().await {
                Ok(copied) if copied.warnings.is_empty() => println!("copied {name}"),
                Ok(copied) => println!("warned {name} {:?}", copied.warnings),
                Err(error) => println!("failed {name} {error}"),
            }
        }
        drop(handle);
    });
}

/// What was said of each copy.
type Said = BTreeMap<String, String>;

/// Runs it with this answer to one call.
fn run(place: &Path, fault: Option<(usize, u64, u64, i32)>) -> (Said, BTreeMap<usize, u64>) {
    let mut command = child::command(TEST);
    command.env(PLACE, place);
    let (below, seen) = (
        place.to_path_buf(),
        Arc::<Mutex<BTreeMap<usize, u64>>>::default(),
    );
    let counted = seen.clone();
    let answer = move |call: &calls::Call| {
        if !call.path().is_some_and(|path| path.starts_with(&below)) {
            return Answer::Done;
        }
        let at = CALLS
            .iter()
            .position(|known| known.0 == call.known.0)
            .unwrap();
        let mut seen = counted.lock().unwrap();
        let number = seen.entry(at).or_default();
        *number += 1;
        match fault {
            Some((call, first, count, errno))
                if call == at && *number > first && *number - first <= count =>
            {
                Answer::Fails(errno)
            }
            _ => Answer::Done,
        }
    };
    let (child, answering) = calls::spawn(&mut command, CALLS, answer).unwrap();
    let output = child.wait_with_output().unwrap();
    answering.join().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told = |line: &str| {
        let mut words = line.split(' ');
        let word = words
            .next()
            .filter(|word| ["copied", "warned", "failed"].contains(word))?;
        Some((words.next()?.to_owned(), format!("{word}: {line}")))
    };
    let said = text.lines().filter_map(told).collect();
    let seen = seen.lock().unwrap().clone();
    (said, seen)
}

fn make(place: &Path) {
    fs::create_dir(place).unwrap();
    fs::write(place.join("tiny"), "tiny").unwrap();
    let plain: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(place.join("plain"), &plain).unwrap();
    let sparse = fs::File::create(place.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &plain[..70_000], 1 << 20).unwrap();
    sparse.set_len(3 << 20).unwrap();
    for source in ["plain", "sparse", "tiny"] {
        for way in ["placed", "zeros", "direct"] {
            fs::write(place.join(format!("{source}-{way}")), "before").unwrap();
        }
    }
}

fn wrong(place: &Path, said: &Said) -> Vec<String> {
    let mut wrong = Vec::new();
    let found = look(place);
    for (name, _) in copies(place) {
        let (source, way) = name.split_once('-').unwrap();
        let Some(said) = said.get(&name) else {
            wrong.push(format!("{name} was not told"));
            continue;
        };
        let source = &found[Path::new(source)];
        let copy = found.get(Path::new(&name));
        if !said.starts_with("failed") {
            match copy.map(|copy| source.differs(copy)) {
                None => wrong.push(format!("{name} is missing")),
                Some(Some(what)) if said.starts_with("copied") || what.starts_with("content") => {
                    wrong.push(format!("{name}: {what}"));
                }
                _ => {}
            }
        } else if way != "direct" {
            let is_whole =
                |copy: &trees::Entry| copy.content == source.content || copy.content == b"before";
            if copy.is_some_and(|copy| !is_whole(copy)) {
                wrong.push(format!("{name} is there in part"));
            }
        }
    }
    let is_temporary = |path: &&PathBuf| path.to_string_lossy().contains(".tidegate-");
    let left = found.keys().filter(is_temporary).count();
    let told = said
        .values()
        .filter(|said| !said.starts_with("copied"))
        .count();
    if left > told {
        wrong.push(format!("{left} temporary files are left"));
    }
    wrong
}

/// Each call fails with each error, once, some times, or from then on.
#[test]
fn what_fails_is_told_and_what_is_made_is_whole() {
    if child::is_child(TEST) {
        return work(Path::new(&std::env::var_os(PLACE).unwrap()));
    }
    if let Some(reason) = calls::missing() {
        return println!("skip: {TEST}: {reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("first");
    make(&first);
    let (said, made) = run(&first, None);
    assert_eq!(wrong(&first, &said), [""; 0]);
    let calls: Vec<_> = made.keys().copied().collect();
    let mut failed = 0;
    for seed in trees::seeds(ROUNDS) {
        let mut random = Random::new(seed);
        let call = *random.pick(&calls);
        let errno = *random.pick(&ERRNOS);
        let is_news = CALLS[call].0 == "flistxattr" && errno == libc::EOPNOTSUPP;
        if is_news {
            continue;
        }
        let count = *random.pick(&[1, 2, 5, if errno == libc::EINTR { 5 } else { u64::MAX }]);
        let fault = (call, random.below(made[&call]), count, errno);
        let place = dir.path().join(seed.to_string());
        make(&place);
        let (said, _) = run(&place, Some(fault));
        let found = wrong(&place, &said);
        assert!(
            found.is_empty(),
            "seed {seed}, {} {fault:?}: {found:#?}\n{said:#?}",
            CALLS[call].0
        );
        let fails = said
            .values()
            .filter(|said| !said.starts_with("copied"))
            .count();
        assert!(
            errno != libc::EINTR || fails == 0,
            "seed {seed}, {} {fault:?}: {said:#?}",
            CALLS[call].0
        );
        failed += fails;
        fs::remove_dir_all(place).unwrap();
    }
    println!("{failed} copies failed or were warned of");
    assert!(failed > 0);
}
