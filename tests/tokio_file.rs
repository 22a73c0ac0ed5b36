//! What tokio documents of its files, as tests that run on tokio, where they are proven right, and on
//! every backend of tidegate.
//!
//! Where tokio does on Linux what its documentation does not say, or says otherwise, the test follows
//! what it does. `tokio_file/differences.rs` has what differs on purpose.
#![allow(
    clippy::duplicate_mod,
    reason = "the same tests, on one crate and on the other"
)]

mod common;
#[path = "tokio_file/differences.rs"]
mod differences;
#[path = "tokio_file/model.rs"]
mod model;

use std::path::{Path, PathBuf};

/// A folder for one run of a test.
pub(crate) struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    pub(crate) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file with this content.
    pub(crate) fn with(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.at(name), content).unwrap();
        self.at(name)
    }
}

/// The test's name as the test binary knows it, from its module and its function.
pub(crate) fn full_name(module: &str, function: &str) -> String {
    let (_, inside) = module.split_once("::").unwrap();
    format!("{inside}::{function}")
}

#[path = "tokio_file"]
mod on_tokio {
    pub(crate) use tokio::fs;

    pub(crate) use crate::{Dir, common::child, full_name};

    mod append;
    mod conversions;
    mod cursor;
    mod dirs;
    mod errors;
    mod matrix;
    mod names;
    mod options;
    mod pending;
    pub(crate) mod player;
    pub(crate) mod sharing;
    mod special;
    mod streams;
    mod times;
    mod whole;

    /// Runs the test on both kinds of runtime.
    pub(crate) fn run<F: Future<Output = ()>>(test: impl Fn(Dir) -> F) {
        for multi in [true, false] {
            crate::common::runtime(multi).block_on(test(Dir::new()));
        }
    }

    pub(crate) fn errno(error: &std::io::Error) -> Option<i32> {
        error.raw_os_error()
    }

    /// An error is told once.
    pub(crate) fn acknowledge(_file: &fs::File) {}
}

#[path = "tokio_file"]
mod on_tidegate {
    pub(crate) use tidegate::fs;

    pub(crate) use crate::{Dir, common::child, full_name};

    mod append;
    mod conversions;
    mod cursor;
    mod dirs;
    mod errors;
    mod matrix;
    mod names;
    mod options;
    mod pending;
    pub(crate) mod player;
    pub(crate) mod sharing;
    mod special;
    mod streams;
    mod times;
    mod whole;

    /// Runs the test on each backend, on both kinds of runtime.
    pub(crate) fn run<F: Future<Output = ()>>(test: impl Fn(Dir) -> F) {
        crate::common::on_every_backend(|_| test(Dir::new()));
    }

    pub(crate) fn errno(error: &std::io::Error) -> Option<i32> {
        error.raw_os_error()
    }

    /// An error is told until it is acknowledged.
    pub(crate) fn acknowledge(file: &fs::File) {
        file.acknowledge();
    }
}
