//! The workspace that is generated in the target folder, and cargo runs in it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::command::{read_tree, repository, run};
use crate::registry::{cargo, folder, metadata, package};
use crate::rewrite::rewrite;

pub(crate) struct Workspace {
    root: PathBuf,
    files: BTreeMap<PathBuf, Vec<u8>>,
    members: Vec<String>,
}

impl Workspace {
    pub(crate) fn new() -> Workspace {
        Workspace {
            root: Path::new(env!("CARGO_TARGET_TMPDIR")).join("drop-in"),
            files: BTreeMap::new(),
            members: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, path: impl AsRef<Path>, text: impl Into<Vec<u8>>) {
        self.files.insert(path.as_ref().to_owned(), text.into());
    }

    /// A package of ours, with the dependencies of this one; those in `replaced` are of the workspace.
    pub(crate) fn add_package(&mut self, name: &str, replaced: &[&str]) {
        let mut manifest = header(name, "0.0.0", "2024");
        // What tokio's tests ask about the package that they are in.
        manifest.push_str("[features]\ndefault = [\"full\"]\nfull = []\n");
        for (_, dependency) in resolved("tidegate-compat") {
            let package = dependency["name"].as_str().unwrap();
            match (package, replaced.contains(&package)) {
                ("tidegate", _) => manifest.push_str(&ours()),
                (_, true) => {
                    write!(
                        manifest,
                        "[dependencies.{package}]\npath = \"../{package}\"\n"
                    )
                    .unwrap();
                }
                (_, false) => manifest.push_str(&as_locked("dependencies", dependency)),
            }
        }
        self.add(format!("{name}/Cargo.toml"), manifest);
        self.add(format!("{name}/src/lib.rs"), "");
        self.members.push(name.to_owned());
    }

    /// A package of the registry, with its imports rewritten. It has the features and dependencies
    /// that it has here, because no other is in the lock file; its tests have `for_tests` besides.
    pub(crate) fn add_published(&mut self, name: &str, for_tests: &[&str]) {
        let package = package(name);
        let [version, edition] = ["version", "edition"].map(|key| package[key].as_str().unwrap());
        let mut manifest = header(name, version, edition);
        let library = package["targets"].as_array().unwrap().iter();
        let mut library = library.filter(|target| target["kind"][0] == "lib");
        let library = library.next().unwrap()["name"].as_str().unwrap();
        write!(manifest, "[lib]\nname = \"{library}\"\n").unwrap();
        let mut features = features(package);
        features.retain(|feature| feature != "default");
        write!(manifest, "[features]\ndefault = {features:?}\n").unwrap();
        for feature in features {
            writeln!(manifest, "{feature} = []").unwrap();
        }
        for (table, dependency) in resolved(name) {
            manifest.push_str(&as_locked(table, dependency));
        }
        manifest.push_str(&ours());
        for (_, dependency) in resolved("tidegate-compat") {
            if for_tests.contains(&dependency["name"].as_str().unwrap()) {
                manifest.push_str(&as_locked("dev-dependencies", dependency));
            }
        }
        let left_out = ["Cargo.toml", "Cargo.toml.orig", "Cargo.lock", "benches"];
        let mut changed = 0;
        for (path, bytes) in read_tree(&folder(package), &left_out) {
            let is_text = path
                .extension()
                .is_some_and(|end| end == "rs" || end == "md");
            let bytes = match String::from_utf8(bytes) {
                Ok(text) if is_text => {
                    let rewritten = rewrite(&text);
                    changed += usize::from(rewritten != text);
                    rewritten.into_bytes()
                }
                Ok(text) => text.into_bytes(),
                Err(error) => error.into_bytes(),
            };
            self.add(Path::new(name).join(path), bytes);
        }
        assert!(changed > 0, "{name} does not use tokio's files");
        self.add(format!("{name}/Cargo.toml"), manifest);
        self.members.push(name.to_owned());
    }

    /// Writes what is not there as it should be, so that cargo finds the rest unchanged.
    pub(crate) fn write(mut self) -> Workspace {
        let manifest = format!(
            "[workspace]\nresolver = \"2\"\nmembers = {:?}\n\n[profile.dev]\ndebug = false\nincremental = false\n",
            self.members
        );
        self.add("Cargo.toml", manifest);
        let lock = std::fs::read(repository().join("Cargo.lock")).unwrap();
        self.add("Cargo.lock", lock);
        for (path, _) in read_tree(&self.root, &["target"]) {
            if !self.files.contains_key(&path) {
                std::fs::remove_file(self.root.join(path)).unwrap();
            }
        }
        for (path, bytes) in &self.files {
            let path = self.root.join(path);
            if std::fs::read(&path).ok().as_ref() != Some(bytes) {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, bytes).unwrap();
            }
        }
        self
    }

    /// Runs the tests of the package on the backend; returns how many passed.
    pub(crate) fn test(&self, package: &str, backend: &str, arguments: &[&str]) -> usize {
        let mut command = self.cargo_test(package);
        command.args(arguments).env("TIDEGATE_BACKEND", backend);
        passed(package, backend, run(command))
    }

    /// The same where the package asks errors for their numbers, which takes plain errors.
    pub(crate) fn test_with_plain_errors(&self, package: &str, backend: &str) -> usize {
        let mut command = self.cargo_test(package);
        command
            .env("TIDEGATE_BACKEND", backend)
            .env("TIDEGATE_ERRORS", "plain");
        passed(package, backend, run(command))
    }

    /// The same for one file of tests, as somebody without privileges if this is root.
    pub(crate) fn test_without_privileges(
        &self,
        package: &str,
        file: &str,
        backend: &str,
    ) -> usize {
        let mut command = self.cargo_test(package);
        command.args(["--no-run", "--message-format", "json", "--test", file]);
        let (succeeded, log) = run(command);
        assert!(succeeded, "{log}");
        let built = log.lines().find_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            Some(message["executable"].as_str()?.to_owned())
        });
        // Copied to where anybody may start it.
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(file);
        std::fs::copy(built.unwrap(), &program).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let mut command = Command::new(program);
        command.current_dir("/").env("TIDEGATE_BACKEND", backend);
        if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            command.uid(65534).gid(65534);
        }
        passed(&format!("{package} {file}"), backend, run(command))
    }

    fn cargo_test(&self, package: &str) -> Command {
        let mut command = Command::new(cargo());
        command
            .args(["test", "--offline", "--no-fail-fast", "--package", package])
            .current_dir(&self.root)
            // Its own, as the cargo that runs this test may hold the lock of the other.
            .env("CARGO_TARGET_DIR", self.root.join("target"))
            // The sources are not ours to tidy.
            .env("RUSTFLAGS", "--cap-lints=allow")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTDOCFLAGS")
            // What the tests print would stand in the middle of the lines that are counted.
            .env_remove("RUST_TEST_NOCAPTURE");
        command
    }
}

/// How many tests passed; fails if one did not.
fn passed(what: &str, backend: &str, (succeeded, log): (bool, String)) -> usize {
    let passed = log.lines().filter_map(|line| {
        let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
        counts.split_once(" passed")?.0.parse::<usize>().ok()
    });
    let passed = passed.sum();
    println!("{what} on {backend}: {passed} tests passed");
    assert!(succeeded, "{what} on {backend}\n{log}");
    passed
}

fn header(name: &str, version: &str, edition: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"{edition}\"\npublish = false\n"
    )
}

fn ours() -> String {
    format!("[dependencies.tidegate]\npath = {:?}\n", repository())
}

/// The dependency in the version and with the features that it has in the lock file.
fn as_locked(table: &str, package: &Value) -> String {
    let [name, version] = ["name", "version"].map(|key| package[key].as_str().unwrap());
    let features = features(package);
    format!(
        "[{table}.{name}]\nversion = \"={version}\"\ndefault-features = false\nfeatures = {features:?}\n"
    )
}

fn node(package: &Value) -> &'static Value {
    let mut nodes = metadata()["resolve"]["nodes"].as_array().unwrap().iter();
    nodes.find(|node| node["id"] == package["id"]).unwrap()
}

fn features(package: &Value) -> Vec<String> {
    let features = node(package)["features"].as_array().unwrap().iter();
    features
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// The packages that the package is built with here, and the table of a manifest for each.
fn resolved(name: &str) -> Vec<(&'static str, &'static Value)> {
    let dependencies = node(package(name))["deps"].as_array().unwrap().iter();
    let packages = metadata()["packages"].as_array().unwrap();
    let of_id = |id: &Value| packages.iter().find(|package| package["id"] == *id);
    let with_table = |dependency: &'static Value| {
        let table = match dependency["dep_kinds"][0]["kind"].as_str() {
            Some("build") => "build-dependencies",
            _ => "dependencies",
        };
        (table, of_id(&dependency["pkg"]).unwrap())
    };
    dependencies.map(with_table).collect()
}
