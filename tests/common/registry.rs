//! Where the sources of the locked packages are, as cargo says without a network.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// The workspace and all that it is built from, for this platform.
pub(crate) fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        // Only what this platform needs is sure to have been downloaded.
        let text = run(Command::new(cargo())
            .args(["metadata", "--format-version", "1", "--locked", "--offline"])
            .args(["--filter-platform", &host()])
            .current_dir(env!("CARGO_MANIFEST_DIR")));
        serde_json::from_str(&text).unwrap()
    })
}

/// The one package of that name.
pub(crate) fn package(name: &str) -> &'static Value {
    let mut found = metadata()["packages"].as_array().unwrap().iter();
    let package = found.find(|package| package["name"] == name);
    let package = package.unwrap_or_else(|| panic!("{name} is not among the dependencies"));
    let other = found.find(|package| package["name"] == name);
    assert!(other.is_none(), "{name} is there in two versions");
    package
}

/// The folder with the package's sources.
pub(crate) fn folder(package: &Value) -> PathBuf {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().to_owned()
}

pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

pub(crate) fn host() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let text = run(Command::new(rustc).arg("-vV"));
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap().to_owned()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
