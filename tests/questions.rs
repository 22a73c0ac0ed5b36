//! Questions that programs ask of files and names, odd ones among them: the answers are those that tokio gives, word for
//! word, on every backend.
//!
//! Where the two answer otherwise on purpose, the question is not asked here; those answers are in
//! `tokio_file/differences` and on the page on moving.
#![cfg(target_os = "linux")]
#![allow(
    clippy::duplicate_mod,
    reason = "the same questions, to one crate and to the other"
)]

mod common;
#[allow(dead_code, reason = "the random models use the rest")]
#[path = "differential/random.rs"]
mod random;

#[path = "fallback/seccomp.rs"]
mod seccomp;

use std::path::Path;
use std::sync::Mutex;

use crate::common::child::{in_child, in_child_with_own_mounts, in_child_without_privileges};
use crate::common::{alone, enter, on_each_route, runtime};

#[path = "questions"]
mod to_tokio {
    pub(crate) use tokio::fs;

    pub(crate) mod cursors;
    pub(crate) mod dropped;
    pub(crate) mod limits;
    pub(crate) mod listings;
    pub(crate) mod made_up;
    pub(crate) mod names;
    pub(crate) mod noticed;
    pub(crate) mod runtimes;
    pub(crate) mod shared;

    /// An error is told once.
    pub(crate) fn acknowledge(_file: &fs::File) {}
}

#[path = "questions"]
mod to_tidegate {
    pub(crate) use tidegate::fs;

    pub(crate) mod cursors;
    pub(crate) mod dropped;
    pub(crate) mod limits;
    pub(crate) mod listings;
    pub(crate) mod made_up;
    pub(crate) mod names;
    pub(crate) mod noticed;
    pub(crate) mod runtimes;
    pub(crate) mod shared;

    /// An error is told until it is acknowledged.
    pub(crate) fn acknowledge(file: &fs::File) {
        file.acknowledge();
    }
}

/// Questions with their answers, in the order in which they were asked.
#[derive(Default)]
pub(crate) struct Answers(Vec<(String, String)>);

impl Answers {
    pub(crate) fn say(&mut self, question: impl Into<String>, answer: impl std::fmt::Debug) {
        self.0.push((question.into(), format!("{answer:?}")));
    }
}

/// Kind, number and text of an error, or the value. Texts of errors without a number change with std's version.
pub(crate) fn told<T: std::fmt::Debug>(result: std::io::Result<T>) -> String {
    random::told(result)
}

fn compare(on: &str, found: &Answers, expected: &Answers) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((question, found), (asked, expected)) in found.0.iter().zip(&expected.0) {
        assert_eq!(question, asked, "not the same questions");
        if found != expected {
            wrong.push(format!(
                "{question}, on {on}:\n  {found}\n  with tokio:\n  {expected}"
            ));
        }
    }
    assert_eq!(
        found.0.len(),
        expected.0.len(),
        "not the same questions on {on}"
    );
    wrong
}

/// Asks tokio and each backend, in the same place.
macro_rules! ask_both {
    ($module:ident::$ask:ident) => {
        ask_both!($module::$ask, tempfile::tempdir().unwrap())
    };
    ($module:ident::$ask:ident, $place:expr) => {{
        let _alone = alone();
        let place = $place;
        let place: &Path = place.as_ref();
        let root = place.canonicalize().unwrap().join("up/up/root");
        let root = &root;
        enter(root);
        let expected = &runtime(true).block_on(to_tokio::$module::$ask(root));
        let wrong = &Mutex::new(Vec::new());
        on_each_route(|route| async move {
            enter(root);
            let found = to_tidegate::$module::$ask(root).await;
            let on = format!("{route:?}");
            let mut wrong = wrong.lock().unwrap();
            wrong.extend(compare(&on, &found, expected));
        });
        std::env::set_current_dir("/").unwrap();
        let wrong = wrong.lock().unwrap();
        assert!(
            wrong.is_empty(),
            "{} are other:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }};
}

/// A test for each set of questions.
macro_rules! asked {
    ($($test:ident: $module:ident::$ask:ident;)+) => {$(
        #[test]
        fn $test() {
            ask_both!($module::$ask);
        }
    )+};
}

asked! {
    cursors_go_where_tokio_s_go: cursors::positions;
    polls_that_are_given_up_lose_nothing: cursors::polls;
    sizes_of_reads_and_writes: cursors::sizes;
    far_places: cursors::far;
    flags_that_are_set_later_count: shared::flags;
    positions_that_others_move: shared::moved;
    what_becomes_of_clones: shared::clones;
    entries_that_change_while_they_are_listed: listings::changing;
    what_entries_tell: listings::entries;
    folders_that_are_listed_and_removed: listings::folders;
    names_that_lead_anywhere: names::paths;
    options_of_opens: names::options;
    whole_files: names::whole;
    runtimes_of_every_sort: runtimes::sorts;
    what_panics: runtimes::panics;
    peers_of_what_was_dropped: dropped::peers;
    times_of_the_last_access: noticed::access_times;
    files_that_are_made_up: made_up::files;
}

/// In memory, as the journal of a disk would be waited for hundreds of times.
#[test]
fn links_renames_and_copies() {
    ask_both!(names::pairs, tempfile::tempdir_in("/dev/shm").unwrap());
}

#[test]
fn programs_that_were_dropped() {
    ask_both!(dropped::programs, tempfile::tempdir_in("/dev/shm").unwrap());
}

#[test]
fn what_watchers_are_told() {
    ask_both!(noticed::noticed, tempfile::tempdir_in("/dev/shm").unwrap());
}

#[test]
fn files_that_somebody_has_a_lease_on() {
    ask_both!(noticed::leased, tempfile::tempdir_in("/dev/shm").unwrap());
}

#[test]
fn room_that_is_free_again() {
    let test = "room_that_is_free_again";
    in_child_with_own_mounts(test, || ask_both!(dropped::room));
}

#[test]
fn few_descriptors_for_many_files() {
    let test = "few_descriptors_for_many_files";
    let place = || tempfile::tempdir_in("/dev/shm").unwrap();
    in_child(test, |_| {}, || ask_both!(dropped::few_numbers, place()));
}

/// All that is asked of any place.
macro_rules! ask_all {
    ($place:expr) => {{
        let place = $place;
        ask_both!(cursors::positions, place);
        ask_both!(cursors::polls, place);
        ask_both!(cursors::sizes, place);
        ask_both!(cursors::far, place);
        ask_both!(shared::flags, place);
        ask_both!(shared::moved, place);
        ask_both!(shared::clones, place);
        ask_both!(listings::changing, place);
        ask_both!(listings::entries, place);
        ask_both!(listings::folders, place);
        ask_both!(names::paths, place);
        ask_both!(names::options, place);
        ask_both!(names::whole, place);
    }};
}

#[test]
fn without_privileges() {
    let test = "without_privileges";
    in_child_without_privileges(test, || ask_both!(limits::refused));
}

#[test]
fn without_descriptors() {
    let test = "without_descriptors";
    in_child(test, |_| {}, || ask_both!(limits::descriptors));
}

#[test]
fn with_files_that_may_not_grow() {
    let test = "with_files_that_may_not_grow";
    in_child(test, |_| {}, || ask_both!(limits::sizes));
}

#[test]
fn on_small_and_read_only_mounts() {
    let test = "on_small_and_read_only_mounts";
    in_child_with_own_mounts(test, || ask_both!(limits::mounts));
}

#[test]
fn nothing_is_inherited() {
    ask_both!(limits::inherited);
}

/// Where nothing is mounted at `/proc`, as in a bare `chroot`.
#[test]
fn without_procfs() {
    let test = "without_procfs";
    in_child_with_own_mounts(test, || {
        mount_at(Path::new("/proc"), "tmpfs", "size=1m");
        let dir = tempfile::tempdir().unwrap();
        ask_all!(dir.path());
    });
}

fn mount_at(at: &Path, kind: &str, options: &str) {
    use nix::mount::{MsFlags, mount};
    mount(
        Some("none"),
        at,
        Some(kind),
        MsFlags::empty(),
        Some(options),
    )
    .unwrap();
}

#[test]
fn on_other_filesystems() {
    let test = "on_other_filesystems";
    in_child_with_own_mounts(test, || {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        for name in ["tmpfs", "ramfs", "lower", "upper", "work", "overlay"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        for kind in ["tmpfs", "ramfs"] {
            mount_at(&dir.path().join(kind), kind, "");
            eprintln!("on {kind}");
            ask_all!(&dir.path().join(kind));
        }
        let at = |name: &str| dir.path().join(name).display().to_string();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            at("lower"),
            at("upper"),
            at("work")
        );
        mount_at(&dir.path().join("overlay"), "overlay", &options);
        eprintln!("on overlay");
        ask_all!(&dir.path().join("overlay"));
        for name in ["tmpfs", "ramfs", "overlay"] {
            nix::mount::umount(&dir.path().join(name)).unwrap();
        }
    });
}

/// Calls that came late, as an old container's filter refuses them.
#[test]
fn where_newer_calls_are_refused() {
    let test = "where_newer_calls_are_refused";
    in_child(
        test,
        |_| {},
        || {
            let calls = [
                libc::SYS_openat2,
                libc::SYS_statx,
                451,
                libc::SYS_copy_file_range,
                libc::SYS_renameat2,
                libc::SYS_faccessat2,
                452,
                libc::SYS_close_range,
                libc::SYS_preadv2,
                libc::SYS_pwritev2,
            ];
            let calls = calls.map(|call| call as u32);
            seccomp::Filter::refuse(&calls, libc::ENOSYS).install();
            let dir = tempfile::tempdir_in("/dev/shm").unwrap();
            ask_all!(dir.path());
        },
    );
}
