//! Prints each item of a crate's public interface, one a line, from rustdoc's JSON: the file named by the argument.
//!
//! Traits that every type has by itself (`Send`, `Unpin`) are in, since who loses one of them breaks programs; what
//! is had from blanket implementations of std is left out.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// Of another compiler, whose output is not known here.
const OTHER_FORMAT: u8 = 2;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: FILE.json")?;
    let text = std::fs::read_to_string(&path)?;
    let json: serde_json::Value = serde_json::from_str(&text)?;
    let (found, known) = (&json["format_version"], u64::from(rustdoc_types::FORMAT_VERSION));
    if found.as_u64() != Some(known) {
        eprintln!("rustdoc's JSON has format {found}, and {known} is known");
        return Ok(ExitCode::from(OTHER_FORMAT));
    }
    let api = public_api::Builder::from_rustdoc_json(Path::new(&path))
        .omit_blanket_impls(true)
        .build()?;
    for item in api.items() {
        println!("{item}");
    }
    Ok(ExitCode::SUCCESS)
}
