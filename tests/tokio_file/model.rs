//! Random operations on tokio's files and on tidegate's: the same comes of them.

use crate::common::{on_each_route, runtime};
use crate::{Dir, on_tidegate, on_tokio};

const SEEDS: u64 = 200;
const OPERATIONS: usize = 60;

/// `TIDEGATE_SEED` plays one again.
#[test]
fn random_operations_do_the_same_as_with_tokio() {
    let seeds = match std::env::var("TIDEGATE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SEEDS).collect(),
    };
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
                for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
                    assert!(
                        found == expected,
                        "TIDEGATE_SEED={seed}, on {route:?}, step {step}:\n{found}\nwith tokio:\n{expected}"
                    );
                }
            }
        }
    });
}
