//! `tidegate completions` and `tidegate man`: what shells and `man` want to know of the command.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::exit::{Exit, fatal};
use crate::explain::with_advice;
use crate::say;

/// Prints a script by which a shell completes this command's words.
///
/// bash finds it in ~/.local/share/bash-completion/completions/tidegate, fish in
/// ~/.config/fish/completions/tidegate.fish, zsh as _tidegate in a folder of its fpath.
#[derive(Args, Debug)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct CompletionsArguments {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the manual page, or writes one for each command into DIR.
///
/// What is in a folder man1 of the manual's path is found by `man tidegate-copy`; `tidegate man | man -l -` shows the page
/// without that.
#[derive(Args, Debug)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct ManArguments {
    /// A directory that exists. What it has of these names is replaced.
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(arguments: &CompletionsArguments, mut command: Command) -> Exit {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    print(&script)
}

pub(crate) fn man(arguments: &ManArguments, command: Command) -> Exit {
    let Some(dir) = &arguments.dir else {
        let mut page = Vec::new();
        // A list takes whatever is written to it.
        let _ = Man::new(command).render(&mut page);
        return print(&page);
    };
    match write_all(dir, command) {
        Ok(()) => Exit::Done,
        Err(error) => fatal(&format!(
            "the manual pages cannot be written to {}: {}",
            crate::explain::line(dir),
            with_advice(&error)
        )),
    }
}

/// A page for the command and for each of its own, under the names that `git` and `cargo` have made usual.
fn write_all(dir: &Path, command: Command) -> io::Result<()> {
    clap_mangen::generate_to(command.disable_help_subcommand(true), dir)
}

/// What does not arrive is no success: a script would be cut short.
fn print(bytes: &[u8]) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Exit::Done,
        Err(error) => {
            say::err(&format!("tidegate: stdout: {}", with_advice(&error)));
            Exit::Partial
        }
    }
}
