//! Long random sequences of what programs do with names and with open files, odd ones among them: the same comes of
//! them as with tokio, byte for byte and number for number.
//!
//! `TIDEGATE_SEED` plays one again.
#![cfg(target_os = "linux")]
#![allow(
    clippy::duplicate_mod,
    reason = "the same players, on one crate and on the other"
)]

mod common;

use std::sync::Mutex;

// Names are relative to the folder that the process is in.
use crate::common::{alone, enter, on_each_route, runtime};

const SEEDS: u64 = 30;
const OPERATIONS: usize = 80;

#[path = "differential"]
mod on_tokio {
    pub(crate) use tokio::fs;

    pub(crate) mod files;
    pub(crate) mod names;
    pub(crate) mod random;

    /// An error is told once.
    pub(crate) fn acknowledge(_file: &fs::File) {}
}

#[path = "differential"]
mod on_tidegate {
    pub(crate) use tidegate::fs;

    pub(crate) mod files;
    pub(crate) mod names;
    pub(crate) mod random;

    /// An error is told until it is acknowledged.
    pub(crate) fn acknowledge(file: &fs::File) {
        file.acknowledge();
    }
}

fn seeds() -> Vec<u64> {
    match std::env::var("TIDEGATE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SEEDS).collect(),
    }
}

/// The first step that came out otherwise.
fn compare(what: &str, found: &[String], expected: &[String]) -> Option<String> {
    let mut steps = found.iter().zip(expected).enumerate();
    let differs = steps.find(|(_, (found, expected))| found != expected);
    let (step, (found, expected)) = differs?;
    Some(format!(
        "{what}, step {step}:\n  {found}\n  with tokio:\n  {expected}"
    ))
}

/// Plays each seed on tokio and on each backend, in the same place.
macro_rules! the_same_on_both {
    ($player:ident) => {{
        let _alone = alone();
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        // Deep enough for names that lead out of it.
        let root = &root.join("up/up/up/root");
        let mut expected = Vec::new();
        for seed in seeds() {
            enter(root);
            let played = on_tokio::$player::play(root, seed, OPERATIONS);
            expected.push((seed, runtime(true).block_on(played)));
        }
        let wrong = &Mutex::new(Vec::new());
        let expected = &expected;
        on_each_route(|route| async move {
            for (seed, expected) in expected {
                enter(root);
                let found = on_tidegate::$player::play(root, *seed, OPERATIONS).await;
                let what = format!("TIDEGATE_SEED={seed}, on {route:?}");
                wrong
                    .lock()
                    .unwrap()
                    .extend(compare(&what, &found, expected));
            }
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

#[test]
fn names_do_the_same_as_with_tokio() {
    the_same_on_both!(names);
}

#[test]
fn open_files_do_the_same_as_with_tokio() {
    the_same_on_both!(files);
}
