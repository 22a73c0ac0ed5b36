//! The bodies of the fuzz targets, on their seeds and on some random inputs (the seed is printed).

#[path = "../fuzz/bodies/bgids.rs"]
mod bgids;
#[path = "../fuzz/bodies/ops.rs"]
mod ops;
#[path = "../fuzz/bodies/provided_ring.rs"]
mod provided_ring;

use std::path::Path;

/// Random inputs besides the seeds.
const INPUTS: u64 = 200;

/// What a target does with an input.
type Body = fn(&[u8]);

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let mut seeds: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), std::fs::read(&path).unwrap())
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} is empty", dir.display());
    seeds
}

/// xorshift64*.
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// Runs an input, and says which one it was if it fails.
fn replay(body: Body, name: &str, data: &[u8]) {
    let result = std::panic::catch_unwind(|| body(data));
    assert!(result.is_ok(), "{name}: {data:?}");
}

fn replay_seeds(body: Body, target: &str) {
    for (name, data) in seeds(target) {
        replay(body, &name, &data);
    }
}

fn replay_random(body: Body, inputs: u64) {
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_nanos() as u64;
    let seed = std::env::var("TIDEGATE_TEST_SEED").map_or(now | 1, |seed| seed.parse().unwrap());
    eprintln!("TIDEGATE_TEST_SEED={seed}");
    let mut state = seed;
    for n in 0..inputs {
        let length = next(&mut state) % 600;
        let data: Vec<u8> = (0..length)
            .map(|_| (next(&mut state) >> 32) as u8)
            .collect();
        replay(body, &format!("input {n} of seed {seed}"), &data);
    }
}

#[test]
fn operations_are_as_with_std_on_the_seeds() {
    replay_seeds(ops::run, "ops");
}

#[test]
fn operations_are_as_with_std_on_random_inputs() {
    replay_random(ops::run, INPUTS);
}

/// Inputs for what makes no system calls.
const PURE_INPUTS: u64 = 2000;

#[test]
fn ids_of_groups_are_as_a_list_has_them_on_the_seeds() {
    replay_seeds(bgids::run, "bgids");
}

#[test]
fn ids_of_groups_are_as_a_list_has_them_on_random_inputs() {
    replay_random(bgids::run, PURE_INPUTS);
}

#[test]
fn each_provided_buffer_is_where_it_should_be_on_the_seeds() {
    replay_seeds(provided_ring::run, "provided_ring");
}

#[test]
fn each_provided_buffer_is_where_it_should_be_on_random_inputs() {
    replay_random(provided_ring::run, INPUTS);
}
