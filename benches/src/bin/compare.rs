//! Compares tidegate with its peers.

use std::process::ExitCode;

use clap::Parser;
use tidegate_benches::compare::{self, Options};

fn main() -> ExitCode {
    match compare::run(&Options::parse(), &mut std::io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}
