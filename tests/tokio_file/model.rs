//! Random operations on tokio's files and on tidegate's: the same comes of them.

use crate::common::{on_each_route, on_every_backend, runtime};
use crate::{Dir, on_tidegate, on_tokio};

const SEEDS: u64 = 200;
const OPERATIONS: usize = 60;

/// Open files of the model of shared ones, which starts processes.
const SHARED_SEEDS: u64 = 60;

/// `TIDEGATE_SEED` plays one again.
fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("TIDEGATE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..count).collect(),
    }
}

/// The first step that came out otherwise.
fn compare(what: &str, found: &[String], expected: &[String]) {
    for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            found == expected,
            "{what}, step {step}:\n{found}\nwith tokio:\n{expected}"
        );
    }
}

#[test]
fn random_operations_do_the_same_as_with_tokio() {
    let seeds = seeds(SEEDS);
    let dir = Dir::new();
    let expected: Vec<Vec<String>> = seeds
        .iter()
        .map(|&seed| {
            runtime(false).block_on(on_tokio::player::play(&dir.at("file"), seed, OPERATIONS))
        })
        .collect();
    on_each_route(|route| {
        let (seeds, expected) = (&seeds, &expected);
        async move {
            let dir = Dir::new();
            for (seed, expected) in seeds.iter().zip(expected) {
                let found = on_tidegate::player::play(&dir.at("file"), *seed, OPERATIONS).await;
                compare(
                    &format!("TIDEGATE_SEED={seed}, on {route:?}"),
                    &found,
                    expected,
                );
            }
        }
    });
}

/// Files of the crate, of std and of child processes have one open file, and each goes on where another stopped.
#[test]
fn an_open_file_is_shared_as_with_tokio() {
    let seeds = seeds(SHARED_SEEDS);
    let dir = Dir::new();
    let expected: Vec<Vec<String>> = seeds
        .iter()
        .map(|&seed| {
            runtime(false).block_on(on_tokio::sharing::play(&dir.at("file"), seed, OPERATIONS))
        })
        .collect();
    on_every_backend(|route| {
        let (seeds, expected) = (&seeds, &expected);
        async move {
            let dir = Dir::new();
            for (seed, expected) in seeds.iter().zip(expected) {
                let found = on_tidegate::sharing::play(&dir.at("file"), *seed, OPERATIONS).await;
                compare(
                    &format!("TIDEGATE_SEED={seed}, on {route:?}"),
                    &found,
                    expected,
                );
            }
        }
    });
}
