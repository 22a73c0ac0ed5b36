//! A published manifest, changed to what its tests need.

use crate::list::Suite;

/// The manifest for one of the two copies: with its name, the suite's features, and without what is
/// neither library nor test.
pub(crate) fn rewritten(text: &str, suite: &Suite, copy: &str, ours: &str) -> String {
    let mut out = format!("{ours}\n{}", suite.added);
    let (mut has_features, mut has_lib) = (false, false);
    for section in sections(text) {
        let (header, body) = section.split_once('\n').unwrap_or((section, ""));
        let name = header.trim().trim_matches(['[', ']']);
        match name {
            "package" => out.push_str(&package(body, suite, copy)),
            "features" => {
                has_features = true;
                out.push_str("[features]\n");
                out.push_str(&default_features(suite));
                out.push_str(&without_key(body, "default"));
            }
            "lib" => {
                has_lib = true;
                out.push_str(&format!(
                    "[lib]\nname = {:?}\ndoctest = false\n",
                    library(suite)
                ));
                out.push_str(&without_key(&without_key(body, "name"), "doctest"));
            }
            _ if is_kept(name, body, suite) => out.push_str(section),
            _ => {}
        }
    }
    if !has_lib {
        out.push_str(&format!(
            "[lib]\nname = {:?}\ndoctest = false\n",
            library(suite)
        ));
    }
    if !has_features {
        out.push_str(&format!("[features]\n{}", default_features(suite)));
    }
    out
}

fn library(suite: &Suite) -> String {
    suite.name.replace('-', "_")
}

fn default_features(suite: &Suite) -> String {
    format!("default = {:?}\n", suite.features)
}

fn package(body: &str, suite: &Suite, copy: &str) -> String {
    let mut body = body.to_owned();
    for key in [
        "name",
        "publish",
        "autobins",
        "autoexamples",
        "autobenches",
        "autotests",
        "readme",
        "exclude",
        "include",
    ] {
        body = without_key(&body, key);
    }
    let auto_tests = suite.files.is_empty();
    format!(
        "[package]\nname = \"{}-{copy}\"\npublish = false\nautobins = false\nautoexamples = false\n\
         autobenches = false\nautotests = {auto_tests}\n{body}",
        suite.name
    )
}

fn is_kept(name: &str, body: &str, suite: &Suite) -> bool {
    let elsewhere = [
        "windows", "wasm", "redox", "freebsd", "macos", "apple", "wasi",
    ];
    let dependency = name.strip_prefix("dev-dependencies.");
    let aside = ["bench", "example", "bin", "badges", "workspace"].contains(&name);
    let aside = aside || name.starts_with("lints") || name.starts_with("profile");
    let aside = aside || name.starts_with("package.metadata");
    let is_other_test = name == "test"
        && !suite.files.is_empty()
        && !suite
            .files
            .iter()
            .any(|file| body.contains(&format!("name = {file:?}")));
    let is_elsewhere =
        name.starts_with("target.") && elsewhere.iter().any(|system| name.contains(system));
    !aside
        && !is_other_test
        && !is_elsewhere
        && dependency.is_none_or(|name| !suite.left_out.contains(&name))
}

/// The parts of the text that begin with a header in brackets.
fn sections(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = text.match_indices("\n[").map(|(at, _)| at + 1).collect();
    starts.push(text.len());
    starts
        .windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect()
}

/// The lines of a section without a key and its value, which may be a list over several lines.
fn without_key(body: &str, key: &str) -> String {
    let (mut out, mut inside) = (String::new(), false);
    for line in body.lines() {
        let value = line
            .strip_prefix(key)
            .and_then(|rest| rest.trim_start().strip_prefix('='));
        if let Some(value) = value {
            inside = value.trim_start().starts_with('[') && !value.trim_end().ends_with(']');
        } else if inside {
            inside = line != "]";
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[test]
fn what_is_neither_library_nor_test_is_left_out() {
    let suite = Suite {
        name: "a-b",
        features: &["x"],
        left_out: &["heavy"],
        files: &["t"],
        ..crate::list::SUITES[0]
    };
    let text = "# made by cargo\n[package]\nedition = \"2021\"\nname = \"a-b\"\nexclude = [\n    \"c\",\n]\n\
                version = \"1.0.0\"\n\n[[bench]]\nname = \"c\"\n\n[[test]]\nname = \"t\"\n\n[[test]]\nname = \"u\"\n\n\
                [dependencies.d]\nversion = \"1\"\n\n[dev-dependencies.heavy]\nversion = \"1\"\n\n\
                [features]\ndefault = [\n    \"y\",\n]\nx = []\n\n[target.'cfg(windows)'.dependencies.w]\nversion = \"1\"\n";
    let expected = "OURS\n[package]\nname = \"a-b-on-x\"\npublish = false\nautobins = false\nautoexamples = false\n\
                    autobenches = false\nautotests = false\nedition = \"2021\"\nversion = \"1.0.0\"\n\n\
                    [[test]]\nname = \"t\"\n\n[dependencies.d]\nversion = \"1\"\n\n[features]\ndefault = [\"x\"]\nx = []\n\n\
                    [lib]\nname = \"a_b\"\ndoctest = false\n";
    assert_eq!(rewritten(text, &suite, "on-x", "OURS"), expected);
}
