//! Sequences of operations, by this crate and by std: `cargo +nightly fuzz run ops fuzz/corpus/ops fuzz/seeds/ops`.
#![no_main]

#[path = "../bodies/ops.rs"]
mod ops;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ops::run(data));
