//! Compares tidegate with its peers.

use std::process::ExitCode;

use clap::Parser;
use tidegate_benches::compare::{self, Options};
use tidegate_benches::place;

fn main() -> ExitCode {
    place::init();
    match compare::run(&Options::parse(), &mut std::io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}
