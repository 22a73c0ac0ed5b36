//! A copy that is killed at any point leaves nothing in part under a final name, and one with `--resume` ends as if it
//! had not been killed.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{BACKENDS, assert_exit, assert_same, can_run, leftovers, make_tree, paths, tidegate};

/// Rounds, unless TIDEGATE_KILL_ROUNDS says otherwise.
const ROUNDS: u32 = 8;

fn rounds() -> u32 {
    let asked = std::env::var("TIDEGATE_KILL_ROUNDS").ok();
    asked
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(ROUNDS)
}

/// A number below the bound; not the best, and the same for the same seed.
fn random(seed: &mut u64, bound: u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % bound.max(1)
}

/// Processes of a group that are not over: one whose first thread is may have others that wait for the disk.
fn group(id: u32) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_of_it = |process: &u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        rest.split(' ').nth(2) == Some(&id.to_string())
    };
    numbers
        .filter(is_of_it)
        .filter(|process| !common::has_ended(*process))
        .count()
}

/// Begins a copy, and kills all of it after so long; whether it was over before.
fn killed(
    backend: &str,
    source: &Path,
    destination: &Path,
    more: &[&str],
    after: Duration,
) -> bool {
    let mut command = tidegate();
    command
        .args(["copy", "-q", "--backend", backend])
        .args(more);
    command.arg(source).arg(destination).process_group(0);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + after;
    while Instant::now() < until && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let was_over = child.try_wait().unwrap().is_some();
    // SAFETY: kills the processes that were just started, by their group.
    unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
    let id = child.id();
    child.wait().unwrap();
    common::wait_for("the end of what was killed", || group(id) == 0);
    was_over
}

/// Every file that has its name is whole.
fn assert_nothing_in_part(source: &Path, destination: &Path) {
    if !destination.exists() {
        return;
    }
    for path in paths(destination) {
        let is_temporary = path.to_string_lossy().contains(".tidegate-");
        let made = destination.join(&path);
        if !is_temporary && made.symlink_metadata().unwrap().is_file() {
            let same = fs::read(source.join(&path)).unwrap() == fs::read(made).unwrap();
            assert!(same, "{path:?} is there in part");
        }
    }
}

/// Killed at random points, and resumed after one kill or several, the copy is the same as its source, and nothing is left.
#[test]
fn a_killed_copy_is_resumed() {
    let mut seed = u64::from(std::process::id());
    println!("seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    make_tree(&source);
    for number in 0..6_u8 {
        let content = vec![number + 1; (16 << 20) + usize::from(number)];
        fs::write(source.join(format!("deep/large-{number}")), content).unwrap();
    }
    let begun = Instant::now();
    let whole = dir.path().join("whole");
    assert_exit(&common::copy("auto", &source, &whole, &["-q"]), 0);
    let takes = begun.elapsed().as_micros() as u64;
    let (mut cut, mut reused) = (0, 0);
    for round in 0..rounds() {
        let backend = BACKENDS[round as usize % 2];
        if !can_run("a_killed_copy_is_resumed", backend) {
            continue;
        }
        let destination = dir.path().join(format!("copy-{round}"));
        let durability = ["none", "data", "full"][round as usize % 3];
        for kill in 0..1 + random(&mut seed, 3) {
            let more = ["--durability", durability, "--resume"];
            let more = if kill == 0 { &more[..2] } else { &more[..] };
            let after = Duration::from_micros(random(&mut seed, takes * 3 / 2));
            cut += u32::from(!killed(backend, &source, &destination, more, after));
            assert_nothing_in_part(&source, &destination);
        }
        let resumed = common::copy(backend, &source, &destination, &["--resume", "--json"]);
        assert_exit(&resumed, 0);
        reused += common::json(&resumed)["reused_bytes"].as_u64().unwrap();
        assert_same(&source, &destination);
        assert!(leftovers(&destination).is_empty(), "round {round}");
        fs::remove_dir_all(destination).unwrap();
    }
    println!("{cut} copies were cut off, and {reused} bytes were used again");
}

/// What is said of it: whole files are left alone, and a part counts as what it is.
#[test]
fn what_is_resumed_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("source")).unwrap();
    fs::write(at("source/large"), vec![3; 5 << 20]).unwrap();
    fs::write(at("source/small"), "small").unwrap();
    for backend in BACKENDS {
        if !can_run("what_is_resumed_is_told", backend) {
            continue;
        }
        let to = at(backend);
        assert_exit(&common::copy(backend, &at("source"), &to, &["-q"]), 0);
        let sum = b"large"
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let part = to.join(format!(".tidegate-{sum:016x}-{:016x}.tmp", 7));
        fs::remove_file(to.join("large")).unwrap();
        fs::write(&part, vec![3; 2 << 20]).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&part, private).unwrap();
        let resumed = common::copy(backend, &at("source"), &to, &["--resume", "--json"]);
        assert_exit(&resumed, 0);
        let told = common::json(&resumed);
        let numbers = ["files", "skipped", "bytes", "reused_bytes"].map(|name| told[name].as_u64());
        assert_eq!(numbers, [1, 1, 5 << 20, 2 << 20].map(Some), "{told}");
        assert_same(&at("source"), &to);
    }
}
