//! The workspace with two copies of each package, one as published and one rewritten, built in one go.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::{read_tree, repository, run, run_within};
use crate::list::{SUITES, Suite};
use crate::manifest::rewritten;
use crate::registry::{cargo, folder, host, package};
use crate::rewrite::rewrite;

/// The versions and checksums of all that is built. With `TIDEGATE_COMPAT_LOCK=update` it is written anew.
const LOCK: &str = "compat/suites/Cargo.lock";

/// The two copies: the name of the package ends so, and its folder is called so.
pub(crate) const ON_TOKIO: &str = "on-tokio";
pub(crate) const ON_TIDEGATE: &str = "on-tidegate";

/// A program of tests that is not done after this long hangs.
const TEST_BOUND: Duration = Duration::from_secs(300);

pub(crate) struct Workspace {
    root: PathBuf,
    suites: Vec<&'static Suite>,
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// The programs of a copy's tests.
    programs: BTreeMap<(&'static str, &'static str), Vec<PathBuf>>,
}

/// What a run of a copy's tests came to.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) passed: Vec<String>,
    pub(crate) failed: Vec<String>,
    pub(crate) log: String,
    pub(crate) took: Duration,
}

impl Workspace {
    /// Downloads, writes and builds the copies.
    pub(crate) fn built() -> Workspace {
        let mut workspace = Workspace {
            root: Path::new(env!("CARGO_TARGET_TMPDIR")).join("suites"),
            suites: Vec::new(),
            files: BTreeMap::new(),
            programs: BTreeMap::new(),
        };
        let started = Instant::now();
        workspace.write();
        workspace.build();
        println!("built in {} s", started.elapsed().as_secs());
        workspace.check_lock();
        workspace
    }

    pub(crate) fn suites(&self) -> Vec<&'static Suite> {
        self.suites.clone()
    }

    fn write(&mut self) {
        let mut members = Vec::new();
        let toolchain = toolchain();
        for (suite, source) in sources(&self.root.join("sources")) {
            let name = suite.name;
            if source.needs > toolchain {
                let (major, minor) = source.needs;
                eprintln!("skip: suite of {name}: it needs Rust {major}.{minor}");
                continue;
            }
            self.suites.push(suite);
            for copy in [ON_TOKIO, ON_TIDEGATE] {
                members.push(format!("{copy}/{name}"));
                self.add_copy(suite, copy, &source.folder);
            }
        }
        for copy in [ON_TOKIO, ON_TIDEGATE] {
            self.add_what_packages_lack(copy);
        }
        let manifest = format!(
            "[workspace]\nresolver = \"2\"\nmembers = {members:?}\n\n[profile.dev]\ndebug = false\nincremental = false\n"
        );
        self.files.insert("Cargo.toml".into(), manifest.into());
        self.files.insert("Cargo.lock".into(), lock());
        for (path, _) in read_tree(&self.root, &["target", "sources"]) {
            if !self.files.contains_key(&path) {
                std::fs::remove_file(self.root.join(path)).unwrap();
            }
        }
        for (path, bytes) in &self.files {
            write_if_other(&self.root.join(path), bytes);
        }
    }

    fn add_copy(&mut self, suite: &Suite, copy: &str, source: &Path) {
        let mut changed = 0;
        let left_out = [
            "Cargo.toml",
            "Cargo.toml.orig",
            "Cargo.lock",
            "benches",
            "examples",
        ];
        for (path, mut bytes) in read_tree(source, &left_out) {
            let extension = path.extension().and_then(|end| end.to_str());
            if copy == ON_TIDEGATE && matches!(extension, Some("rs" | "md")) {
                let text = String::from_utf8(bytes).unwrap();
                let text_of_ours = rewrite(&text);
                changed += usize::from(text_of_ours != text);
                bytes = text_of_ours.into_bytes();
            }
            self.files
                .insert(Path::new(copy).join(suite.name).join(path), bytes);
        }
        let ours = match copy {
            ON_TIDEGATE => format!("[dependencies.tidegate]\npath = {:?}\n", repository()),
            _ => String::new(),
        };
        assert!(
            copy == ON_TOKIO || changed > 0,
            "{} does not use tokio's files",
            suite.name
        );
        let text = std::fs::read_to_string(source.join("Cargo.toml")).unwrap();
        let manifest = rewritten(&text, suite, copy, &ours);
        let path = Path::new(copy).join(suite.name).join("Cargo.toml");
        self.files.insert(path, manifest.into());
    }

    /// What the tests read that the published packages do not have.
    fn add_what_packages_lack(&mut self, copy: &str) {
        let copy = Path::new(copy);
        for (path, bytes) in read_tree(&repository().join("compat/suites/tower-http"), &[]) {
            self.files.insert(copy.join(path), bytes);
        }
        // Its fork has the same archives.
        let fork = folder(package("astral-tokio-tar"));
        for (path, bytes) in read_tree(&fork.join("tests/archives"), &[]) {
            let path = copy.join("tokio-tar/tests/archives").join(path);
            self.files.insert(path, bytes);
        }
        let readme = copy.join("tower-http/README.md");
        let readme = self.files[&readme].clone();
        self.files.insert(copy.join("README.md"), readme);
        // Names that not every tool takes, so they are made here.
        for name in [
            "filename with space.txt",
            "\u{4f60}\u{597d}\u{4e16}\u{754c}.txt",
        ] {
            self.files
                .insert(copy.join("test-files").join(name), Vec::new());
        }
        for name in [".hidden", "inner/.hideme"] {
            let path = copy.join("rocket/tests/static").join(name);
            self.files.insert(path, b"hidden\n".to_vec());
        }
    }

    fn build(&mut self) {
        let mut command = cargo_in(&self.root, "test");
        command
            .args(["--workspace", "--no-run", "--message-format", "json-render-diagnostics"])
            // Its own, as the cargo that runs this test may hold the lock of the other.
            .env("CARGO_TARGET_DIR", self.root.join("target"));
        let (succeeded, log) = run(command);
        let told: Vec<&str> = log.lines().filter(|line| !line.starts_with('{')).collect();
        assert!(succeeded, "{}", told.join("\n"));
        for line in log.lines() {
            let Ok(message) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let Some(program) = message["executable"].as_str() else {
                continue;
            };
            let folder = message["manifest_path"].as_str().unwrap();
            let of_copy = |copy: &str, suite: &&&Suite| {
                Path::new(folder).ends_with(format!("{copy}/{}/Cargo.toml", suite.name))
            };
            for copy in [ON_TOKIO, ON_TIDEGATE] {
                if let Some(suite) = self.suites.iter().find(|suite| of_copy(copy, suite)) {
                    let programs = self.programs.entry((suite.name, copy)).or_default();
                    programs.push(program.into());
                }
            }
        }
    }

    /// Runs the tests of a copy, one program after the other.
    pub(crate) fn test(&self, suite: &Suite, copy: &'static str, backend: &str) -> Outcome {
        let folder = self.root.join(copy).join(suite.name);
        let mut outcome = Outcome::default();
        for program in &self.programs[&(suite.name, copy)] {
            let mut command = Command::new(program);
            command.arg(suite.only);
            for (name, _) in suite.skipped {
                command.args(["--skip", name]);
            }
            command
                .current_dir(&folder)
                .env("CARGO_MANIFEST_DIR", &folder)
                .env("TIDEGATE_BACKEND", backend)
                .env_remove("RUST_TEST_NOCAPTURE");
            let started = Instant::now();
            let (succeeded, log) = run_within(command, TEST_BOUND);
            outcome.took += started.elapsed();
            outcome.add(succeeded, &log);
        }
        outcome
    }

    /// What was built is what the lock file says.
    fn check_lock(&self) {
        let built = std::fs::read_to_string(self.root.join("Cargo.lock")).unwrap();
        let path = repository().join(LOCK);
        if std::env::var_os("TIDEGATE_COMPAT_LOCK").is_some_and(|value| value == "update") {
            std::fs::write(path, built).unwrap();
            return;
        }
        let locked = String::from_utf8(lock()).unwrap();
        let others: Vec<&str> = built
            .lines()
            .filter(|line| line.starts_with("checksum = ") && !locked.contains(line))
            .collect();
        assert!(
            others.is_empty(),
            "{LOCK} lacks {} packages: run this with TIDEGATE_COMPAT_LOCK=update",
            others.len()
        );
    }
}

impl Outcome {
    fn add(&mut self, succeeded: bool, log: &str) {
        let mut all_told = false;
        for line in log.lines() {
            if let Some((name, verdict)) = line
                .strip_prefix("test ")
                .and_then(|rest| rest.split_once(" ... "))
            {
                // A test that must panic says so behind its name.
                let name = name.split(" - ").next().unwrap().to_owned();
                match verdict {
                    "ok" => self.passed.push(name),
                    "FAILED" => self.failed.push(name),
                    _ => {}
                }
            }
            all_told |= line.starts_with("test result: ");
        }
        if !all_told || (!succeeded && self.failed.is_empty()) {
            self.failed
                .push("a program that did not come to its end".to_owned());
        }
        if !succeeded {
            self.log.push_str(log);
        }
    }
}

fn lock() -> Vec<u8> {
    std::fs::read(repository().join(LOCK)).unwrap_or_default()
}

/// A published package as cargo has it.
struct Source {
    folder: PathBuf,
    /// Major and minor version of Rust.
    needs: (u32, u32),
}

/// Where the sources of the suites are. Cargo has the network for this, and the lock file.
fn sources(root: &Path) -> Vec<(&'static Suite, Source)> {
    let mut manifest = "[package]\nname = \"sources\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
                        [workspace]\n[dependencies]\n"
        .to_owned();
    for suite in SUITES {
        let Suite { name, version, .. } = suite;
        manifest.push_str(&format!(
            "{name} = {{ version = \"={version}\", default-features = false }}\n"
        ));
    }
    write_if_other(&root.join("Cargo.toml"), manifest.as_bytes());
    write_if_other(&root.join("Cargo.lock"), &lock());
    write_if_other(&root.join("src/lib.rs"), b"");
    let mut command = cargo_in(root, "metadata");
    command.args(["--format-version", "1", "--filter-platform", &host()]);
    let metadata: Value = serde_json::from_str(&output_of(command)).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let source = |suite: &Suite| {
        let found = packages
            .iter()
            .find(|package| package["name"] == suite.name && package["version"] == suite.version);
        let manifest = Path::new(found.unwrap()["manifest_path"].as_str().unwrap());
        let needs = found.unwrap()["rust_version"].as_str();
        Source {
            folder: manifest.parent().unwrap().to_owned(),
            needs: needs.map_or((1, 0), major_and_minor),
        }
    };
    SUITES.iter().map(|suite| (suite, source(suite))).collect()
}

fn toolchain() -> (u32, u32) {
    let mut command = Command::new(cargo());
    command.arg("--version");
    let text = output_of(command);
    major_and_minor(text.split(' ').nth(1).unwrap())
}

fn major_and_minor(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap_or(0))
}

fn output_of(mut command: Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{error}");
    String::from_utf8(output.stdout).unwrap()
}

fn cargo_in(folder: &Path, subcommand: &str) -> Command {
    let mut command = Command::new(cargo());
    command
        .arg(subcommand)
        .current_dir(folder)
        // The sources are not ours to tidy.
        .env("RUSTFLAGS", "--cap-lints=allow")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTDOCFLAGS");
    command
}

/// Leaves alone what is as it should be, so that cargo finds it unchanged.
fn write_if_other(path: &Path, bytes: &[u8]) {
    if std::fs::read(path).ok().as_deref() != Some(bytes) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}
