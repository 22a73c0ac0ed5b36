//! Who has which provided buffer: `cargo +nightly fuzz run provided_ring fuzz/corpus/provided_ring fuzz/seeds/provided_ring`.
#![no_main]

#[path = "../bodies/provided_ring.rs"]
mod provided_ring;

libfuzzer_sys::fuzz_target!(|data: &[u8]| provided_ring::run(data));
