//! Whatever the system answers to any call of a copy: each entry is copied whole, or is named and counted. Nothing is there
//! in part, nothing is left under a temporary name in silence, and the command returns.
//!
//! `TIDEGATE_TEST_ROUNDS` says how many copies there are, and `TIDEGATE_TEST_SEED` plays one again.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

#[path = "../../tests/common/calls.rs"]
mod calls;
mod common;
#[path = "../../tests/common/trees.rs"]
mod trees;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use calls::{Answer, CALLS, Call, Known};
use common::{can_run, json, tidegate};
use libc::{
    E2BIG, EACCES, EAGAIN, EBUSY, EDQUOT, EEXIST, EFBIG, EINTR, EINVAL, EIO, EISDIR, ELOOP, EMFILE,
    EMLINK, ENAMETOOLONG, ENODATA, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOSYS, ENOTDIR, ENOTTY, ENXIO,
    EOPNOTSUPP, EOVERFLOW, EPERM, ERANGE, EROFS, ESPIPE, ESTALE, ETIMEDOUT, ETXTBSY, EXDEV,
};
use trees::{Entry, Random, look};

/// Copies, unless the environment says otherwise.
const ROUNDS: u64 = 120;

/// What systems and servers answer.
const ERRNOS: &[i32] = &[
    EIO,
    ENOSPC,
    EACCES,
    EPERM,
    EINTR,
    ENOMEM,
    EMFILE,
    EAGAIN,
    EINVAL,
    ENOENT,
    ESTALE,
    EBUSY,
    ELOOP,
    EOPNOTSUPP,
    EDQUOT,
    ENOSYS,
    EROFS,
    ENXIO,
    EXDEV,
    ETXTBSY,
    EOVERFLOW,
    ENODATA,
    ERANGE,
    E2BIG,
    EEXIST,
    EISDIR,
    ENOTDIR,
    ENAMETOOLONG,
    EFBIG,
    ESPIPE,
    ENOTTY,
    EMLINK,
    ENODEV,
    ETIMEDOUT,
];

/// Whether an error says something of what is there, and is no failure: a system that says so wrongly cannot be copied
/// from.
fn is_news(call: &str, errno: i32) -> bool {
    match call {
        "flistxattr" => errno == EOPNOTSUPP,
        "fgetxattr" => errno == ENODATA,
        "fremovexattr" => [EOPNOTSUPP, ENODATA].contains(&errno),
        "lseek" => errno == ENXIO,
        "unlinkat" => errno == ENOENT,
        _ => false,
    }
}

/// What is answered instead of doing a call.
#[derive(Clone, Copy, Debug)]
struct Fault {
    /// Which of the calls, by its place in the list.
    call: usize,
    errno: i32,
    /// The first of them that fails, and how many do.
    first: u64,
    count: u64,
}

impl Fault {
    fn new(made: &BTreeMap<usize, u64>, random: &mut Random) -> Fault {
        let calls: Vec<_> = made.keys().copied().collect();
        let call = *random.pick(&calls);
        let is_told = |errno: &&i32| !is_news(CALLS[call].0, **errno);
        let errnos: Vec<_> = ERRNOS.iter().filter(is_told).copied().collect();
        let errno = *random.pick(&errnos);
        let many = *random.pick(&[1, 1, 1, 2, 5, u64::MAX]);
        Fault {
            call,
            errno,
            first: random.below(made[&call]),
            // The kernel interrupts no call for ever.
            count: if errno == EINTR { many.min(5) } else { many },
        }
    }
}

/// Calls about what is below a directory: of the process that works, then.
struct Counted {
    below: PathBuf,
    seen: Mutex<BTreeMap<usize, u64>>,
}

impl Counted {
    fn new(below: &Path) -> Arc<Counted> {
        Arc::new(Counted {
            below: below.to_path_buf(),
            seen: Mutex::default(),
        })
    }

    /// Which of its kind it is.
    fn count(&self, call: &Call) -> Option<(usize, u64)> {
        if !call.path()?.starts_with(&self.below) {
            return None;
        }
        let at = CALLS.iter().position(|known| known.0 == call.known.0)?;
        let mut seen = self.seen.lock().unwrap();
        let count = seen.entry(at).or_default();
        *count += 1;
        Some((at, *count - 1))
    }
}

/// The copy with these faults, and how many came to pass.
fn copy(
    arguments: &[&str],
    (from, to): (&Path, &Path),
    faults: &[Fault],
) -> (Output, BTreeMap<usize, u64>, u64) {
    let mut command = tidegate();
    command.arg("copy").args(arguments).args([from, to]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let known: Vec<Known> = match faults {
        [] => CALLS.to_vec(),
        faults => faults.iter().map(|fault| CALLS[fault.call]).collect(),
    };
    let counted = Counted::new(from.parent().unwrap());
    let (counting, hits) = (counted.clone(), Arc::new(AtomicU64::new(0)));
    let (faults, hit) = (faults.to_vec(), hits.clone());
    let (child, answering) = calls::spawn(&mut command, &known, move |call| {
        let Some((at, number)) = counting.count(call) else {
            return Answer::Done;
        };
        let is_it = |fault: &&Fault| {
            fault.call == at && number >= fault.first && number - fault.first < fault.count
        };
        match faults.iter().find(is_it) {
            Some(fault) => {
                hit.fetch_add(1, Ordering::Relaxed);
                Answer::Fails(fault.errno)
            }
            None => Answer::Done,
        }
    })
    .unwrap();
    let output = common::finish(child, common::BOUND);
    answering.join().unwrap();
    let seen = counted.seen.lock().unwrap().clone();
    (output, seen, hits.load(Ordering::Relaxed))
}

/// What was said of a copy.
struct Told {
    code: Option<i32>,
    /// What is named, and what was done with it.
    named: Vec<(PathBuf, String)>,
    said: String,
}

impl Told {
    fn of(output: &Output) -> Told {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !said.contains("panicked") && !said.contains("internal error"),
            "{said}"
        );
        let code = output.status.code();
        let named = match code {
            Some(0 | 2) => named(&json(output)),
            Some(1) => Vec::new(),
            other => panic!("it ended with {other:?}: {said}"),
        };
        assert_eq!(code == Some(2), !named.is_empty(), "{said}");
        assert!(code != Some(1) || !said.is_empty());
        Told { code, named, said }
    }

    /// Whether something is said about an entry, or about a directory that it is in and that was not gone into.
    fn is_named(&self, path: &Path) -> bool {
        const OF_ITSELF: [&str; 7] = [
            "copy_metadata",
            "set_owner",
            "set_permissions",
            "set_times",
            "set_xattr",
            "get_xattr",
            "list_xattrs",
        ];
        let is_it = |(named, operation): &(PathBuf, String)| {
            named == path || path.starts_with(named) && !OF_ITSELF.contains(&operation.as_str())
        };
        self.named.iter().any(is_it)
    }
}

fn named(summary: &serde_json::Value) -> Vec<(PathBuf, String)> {
    let errors = summary["errors"].as_array().unwrap();
    assert_eq!(
        summary["error_count"].as_u64(),
        Some(errors.len() as u64),
        "{summary}"
    );
    let path = |error: &serde_json::Value| -> PathBuf {
        use std::os::unix::ffi::OsStringExt;
        match serde_json::from_value::<Vec<u8>>(error["path_bytes"].clone()) {
            Ok(bytes) => std::ffi::OsString::from_vec(bytes).into(),
            Err(_) => error["path"].as_str().unwrap().into(),
        }
    };
    let one = |error| (path(error), error["operation"].as_str().unwrap().to_owned());
    errors.iter().map(one).collect()
}

/// What is wrong with a copy, whatever was to become of it.
fn wrong(from: &Path, (to, old): (&Path, &BTreeMap<PathBuf, Entry>), told: &Told) -> Vec<String> {
    let mut wrong = Vec::new();
    let sources = look(from);
    let copies = if to.symlink_metadata().is_ok() {
        look(to)
    } else {
        BTreeMap::new()
    };
    for (path, source) in &sources {
        let copy = copies.get(path);
        // Of a file with several names it is enough to say it once.
        let is_named = told.code == Some(1)
            || sources
                .iter()
                .filter(|(_, other)| other.id == source.id)
                .any(|(name, _)| told.is_named(&from.join(name)));
        let difference = match copy {
            Some(copy) => source.differs(copy),
            None => Some("it is not there".into()),
        };
        // What the target cannot hold is a warning, as it was not asked for.
        let is_warned = |what: &String| {
            what.starts_with("attributes") && told.said.contains("warning: set_xattr")
        };
        match difference.filter(|what| !is_warned(what)) {
            Some(difference) if !is_named => wrong.push(format!("{path:?}: {difference}")),
            _ => {}
        }
        let is_old = |copy: &Entry| {
            let old = old.get(path);
            old.is_some_and(|old| old.is_file() && old.content == copy.content)
        };
        let in_part = |copy: &Entry| {
            let are_files = copy.is_file() && source.is_file();
            are_files && copy.content != source.content && !is_old(copy)
        };
        if copy.is_some_and(in_part) {
            wrong.push(format!("{path:?} is there in part"));
        }
    }
    for path in copies.keys().filter(|path| !sources.contains_key(*path)) {
        let text = to.join(path);
        let is_left = path.to_string_lossy().contains(".tidegate-");
        let shown: String = text
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect();
        if !(is_left && told.said.contains(&shown)) {
            wrong.push(format!("{path:?} is left, and not named"));
        }
    }
    wrong
}

/// What is copied over: the same tree as it was before.
fn copy_before(from: &Path, to: &Path) {
    let output = common::copy("auto", from, to, &["-q"]);
    assert!(matches!(output.status.code(), Some(0 | 2)));
}

/// Some files have something else in them now.
fn change(from: &Path, random: &mut Random) {
    for (path, _) in look(from).iter().filter(|(_, entry)| entry.is_file()) {
        if random.one_in(2) {
            let len = random.below(40_000) as usize;
            std::fs::write(from.join(path), random.bytes(len)).unwrap();
        }
    }
}

/// What copies that were killed have left: parts of some files, right and wrong, with use and without.
fn leave_parts(from: &Path, to: &Path, random: &mut Random) {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    for (path, entry) in look(from).iter().filter(|(_, entry)| entry.is_file()) {
        let Some(name) = path.file_name().filter(|_| random.one_in(4)) else {
            continue;
        };
        let start = 0xcbf2_9ce4_8422_2325_u64;
        let sum = name.as_bytes().iter().fold(start, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut part = entry.content[..entry.content.len() * 2 / 3].to_vec();
        if let Some(byte) = part.first_mut().filter(|_| random.one_in(2)) {
            *byte ^= 1;
        }
        let temporary = format!(".tidegate-{sum:016x}-{:016x}.tmp", random.below(1 << 40));
        let left = to.join(path).with_file_name(temporary);
        std::fs::write(&left, part).unwrap();
        std::fs::set_permissions(left, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// One of each, in all combinations that make sense: where something is there, what is left of it is gone on with.
fn options(is_over: bool, random: &mut Random) -> Vec<&'static str> {
    let mut options = vec!["--json", "--backend"];
    options.push(*random.pick(&["auto", "pool", "ring"]));
    options.extend([
        "--durability",
        *random.pick(&["none", "none", "data", "full"]),
    ]);
    options.extend(["--reflink", *random.pick(&["auto", "auto", "never"])]);
    options.extend([
        "--sparse",
        *random.pick(&["auto", "auto", "always", "never"]),
    ]);
    options.extend(["--xattrs", *random.pick(&["auto", "always"])]);
    for option in [
        "--update",
        "--no-clobber",
        "--resume",
        "--no-cache",
        "--verify",
        "-x",
    ] {
        let is_one = match (is_over, option) {
            (true, "--resume") => true,
            (true, "--update" | "--no-clobber") => false,
            _ => random.one_in(3),
        };
        if is_one {
            options.push(option);
        }
    }
    if random.one_in(3) {
        options.extend(["--jobs", *random.pick(&["1", "2", "7"])]);
    }
    options
}

/// Each call that a copy makes fails with each error, once, some times, or from then on.
#[test]
fn what_a_fault_costs_is_named_and_counted() {
    const TEST: &str = "what_a_fault_costs_is_named_and_counted";
    if !can_run(TEST, "ring") {
        return;
    }
    if let Some(reason) = calls::missing() {
        return println!("skip: {TEST}: {reason}");
    }
    let (mut hits, mut failed) = (0, 0);
    for seed in trees::seeds(ROUNDS) {
        let mut random = Random::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let entries = 4 + random.below(40) as usize;
        trees::make(&from, entries, &mut random);
        let at = [to.clone(), dir.path().join("first")];
        let is_over = seed % 3 == 0;
        if is_over {
            at.iter().for_each(|to| copy_before(&from, to));
            change(&from, &mut random);
            at.iter().for_each(|to| leave_parts(&from, to, &mut random));
        }
        let old = if is_over { look(&to) } else { BTreeMap::new() };
        let arguments = options(is_over, &mut random);
        let (output, made, _) = copy(&arguments, (&from, &at[1]), &[]);
        let first = Told::of(&output);
        let found = wrong(&from, (&at[1], &old), &first);
        assert!(
            found.is_empty(),
            "seed {seed}, {arguments:?}: {found:#?}\n{}",
            first.said
        );
        let mut faults = vec![Fault::new(&made, &mut random)];
        if random.one_in(4) {
            faults.push(Fault::new(&made, &mut random));
        }
        let (output, _, hit) = copy(&arguments, (&from, &to), &faults);
        let shown: Vec<_> = faults
            .iter()
            .map(|fault| (CALLS[fault.call].0, fault))
            .collect();
        let told = Told::of(&output);
        let found = wrong(&from, (&to, &old), &told);
        assert!(
            found.is_empty(),
            "seed {seed}, {arguments:?}, {shown:?}: {found:#?}\ncode {:?}\n{}",
            told.code,
            told.said
        );
        if faults.iter().all(|fault| fault.errno == EINTR) {
            assert_eq!(
                told.named.len(),
                first.named.len(),
                "seed {seed}, {shown:?}: {}",
                told.said
            );
        }
        (hits, failed) = (hits + hit, failed + u64::from(told.code != first.code));
    }
    println!("{hits} calls were answered with an error, and {failed} copies were not whole");
    assert!(hits > 0);
}
