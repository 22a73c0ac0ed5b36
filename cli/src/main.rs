//! The `tidegate` command: says what a machine can do, measures it, walks trees and copies them through the library.
#![deny(unsafe_code)]

#[cfg(feature = "bench")]
mod bench;
mod copy;
mod doctor;
mod duration;
mod exit;
mod explain;
mod manual;
mod runtime;
mod say;
mod timeouts;
mod walk;
mod worker;

use std::process::ExitCode;

use crate::exit::Exit;
use clap::{CommandFactory, Parser, Subcommand};

/// Async file I/O that no disk can freeze: what this machine can do, how fast, and trees walked and copied with it.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, propagate_version = true, after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "bench")]
    Bench(bench::Arguments),
    Completions(manual::CompletionsArguments),
    Copy(copy::Arguments),
    Doctor(doctor::Arguments),
    Man(manual::ManArguments),
    Walk(walk::Arguments),
}

fn main() -> ExitCode {
    run().into()
}

fn run() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Printing can only fail when nobody listens.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
        }
    };
    match arguments.command {
        #[cfg(feature = "bench")]
        Command::Bench(arguments) => {
            worker::run(bench::shows(), |link| bench::main(arguments, link))
        }
        Command::Completions(arguments) => manual::completions(&arguments, Arguments::command()),
        Command::Copy(arguments) => {
            worker::run(arguments.shows(), |link| copy::main(arguments, link))
        }
        Command::Doctor(arguments) if arguments.asks_elsewhere() => doctor::main(&arguments),
        Command::Doctor(arguments) => worker::run_or_do(|| doctor::main(&arguments)),
        Command::Man(arguments) => manual::man(&arguments, Arguments::command()),
        Command::Walk(arguments) => {
            worker::run(arguments.shows(), |link| walk::main(&arguments, link))
        }
    }
}
