//! Who has which id of a buffer group: `cargo +nightly fuzz run bgids fuzz/corpus/bgids fuzz/seeds/bgids`.
#![no_main]

#[path = "../bodies/bgids.rs"]
mod bgids;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bgids::run(data));
