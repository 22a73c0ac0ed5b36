//! The audit of `tokio::fs`: every public item of the locked tokio, from its sources, and ours beside it.

#[path = "tokio_parity/items.rs"]
mod items;
#[path = "tokio_parity/platform.rs"]
mod platform;
#[path = "common/registry.rs"]
#[allow(dead_code, reason = "the drop-in tests use the rest")]
mod registry;
#[path = "tokio_parity/signature.rs"]
mod signature;

use std::fmt::Write;
use std::path::Path;

use items::{Found, Items, of_crate};
use platform::Platform;

const PATH: &str = "docs/audits/tokio-fs-parity.md";

/// What is said of one item of tokio.
struct Row {
    item: String,
    signature: String,
    verdict: String,
    fine: bool,
}

/// The platforms where the item has to be ours too.
fn needed(theirs: &Found) -> Vec<Platform> {
    let needed = theirs.platforms.iter().copied();
    needed
        .filter(|&platform| platform != Platform::Windows)
        .collect()
}

fn verdict(theirs: &Found, ours: Option<&Found>) -> (String, bool) {
    let needed = needed(theirs);
    let Some(ours) = ours else {
        return match needed.is_empty() {
            true => ("for Windows alone".to_owned(), true),
            false => ("**missing**".to_owned(), false),
        };
    };
    let lacking: Vec<String> = needed
        .iter()
        .filter(|platform| !ours.platforms.contains(platform))
        .map(|platform| format!("{platform:?}"))
        .collect();
    let only = match needed[..] {
        [Platform::Mac] => ", for macOS alone",
        [Platform::Linux] => ", for Linux alone",
        _ => "",
    };
    if !lacking.is_empty() {
        (format!("**missing** on {}", lacking.join(", ")), false)
    } else if theirs.signature != ours.signature {
        (format!("**other**: `{}`", ours.signature), false)
    } else if theirs.returns_future != ours.returns_future {
        (format!("same, as `impl Future`{only}"), true)
    } else {
        (format!("same{only}"), true)
    }
}

fn rows(theirs: &Items, ours: &Items) -> Vec<Row> {
    let row = |(item, found): (&String, &Found)| {
        // What is for Windows has no counterpart, though the name may be there with another meaning.
        let ours = ours.get(item).filter(|_| !needed(found).is_empty());
        let (verdict, fine) = verdict(found, ours);
        Row {
            item: item.trim().to_owned(),
            signature: found.signature.clone(),
            verdict,
            fine,
        }
    };
    theirs.iter().map(row).collect()
}

/// Types and their traits on one line; each function on its own.
fn table(rows: &[Row]) -> String {
    let mut text = "| item | signature or traits | here |\n|---|---|---|\n".to_owned();
    let functions = rows.iter().filter(|row| !row.signature.is_empty());
    for row in functions {
        let signature = row.signature.replace('|', "\\|");
        writeln!(text, "| `{}` | `{signature}` | {} |", row.item, row.verdict).unwrap();
    }
    let types = rows
        .iter()
        .filter(|row| row.signature.is_empty() && !row.item.contains(": "));
    for of in types {
        let start = format!("{}: ", of.item);
        let mut by_verdict: Vec<(&str, Vec<&str>)> = vec![(&of.verdict, Vec::new())];
        for row in rows {
            let Some(name) = row.item.strip_prefix(&start) else {
                continue;
            };
            match by_verdict
                .iter_mut()
                .find(|(verdict, _)| *verdict == row.verdict)
            {
                Some((_, names)) => names.push(name),
                None => by_verdict.push((&row.verdict, vec![name])),
            }
        }
        for (verdict, names) in by_verdict {
            writeln!(text, "| `{}` | {} | {verdict} |", of.item, names.join(", ")).unwrap();
        }
    }
    text
}

fn audit(rows: &[Row]) -> String {
    let version = registry::package("tokio")["version"].as_str().unwrap();
    let count = |keep: fn(&Row) -> bool| rows.iter().filter(|row| keep(row)).count();
    let (windows, wrong) = (
        count(|row| row.verdict.contains("Windows")),
        count(|row| !row.fine),
    );
    format!(
        "# Parity with tokio::fs\n\n\
         **Question.** Which public items of `tokio::fs` {version} are missing here, or have another signature?\n\n\
         **Verdict.** {} items: {} the same, {windows} for Windows alone, {wrong} missing or other.\n\n\
         **Command.** `TIDEGATE_BLESS=1 cargo test --test tokio_parity` writes this file from tokio's sources in\n\
         cargo's registry and from `src/fs`; without the variable the test compares.\n\n\
         Names of arguments are left out, imports are resolved, `impl Trait` stands for a parameter with that bound, and\n\
         `async` for whatever returns a future of that output. Conditions are those of `cfg` and of tokio's macros\n\
         around an item; what needs `tokio_unstable` is not public. How the items behave, `tests/tokio_file.rs` shows on both.\n\n\
         {}",
        rows.len(),
        rows.len() - windows - wrong,
        table(rows)
    )
}

fn both() -> Vec<Row> {
    let theirs = of_crate(&registry::folder(registry::package("tokio")).join("src"));
    assert!(theirs.len() > 80, "{} items", theirs.len());
    let ours = of_crate(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    rows(&theirs, &ours)
}

/// On Linux and on macOS, everything that tokio has is here, with the same signature.
#[test]
fn no_item_of_tokio_is_missing_or_other() {
    let wrong = both().into_iter().filter(|row| !row.fine);
    let wrong: Vec<String> = wrong
        .map(|row| format!("{}: {} {}", row.item, row.signature, row.verdict))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The file in `docs/audits` is the one that the sources yield.
#[test]
fn the_audit_is_current() {
    let path = format!("{}/{PATH}", env!("CARGO_MANIFEST_DIR"));
    let expected = audit(&both());
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{PATH} is stale: TIDEGATE_BLESS=1 cargo test --test tokio_parity"
    );
}

/// The items of a crate with one file.
fn of_text(text: &str) -> Items {
    let sources = tempfile::tempdir().unwrap();
    for folder in ["fs", "macros"] {
        std::fs::create_dir(sources.path().join(folder)).unwrap();
    }
    let macros = "macro_rules! on_windows { ($($i:item)*) => { $(#[cfg(windows)] $i)* } }
        macro_rules! feature { (#![$m:meta] $($i:item)*) => { $(#[cfg($m)] $i)* } }";
    std::fs::write(sources.path().join("macros/cfg.rs"), macros).unwrap();
    std::fs::write(sources.path().join("fs/mod.rs"), text).unwrap();
    of_crate(sources.path())
}

const THEIRS: &str = "
    use std::{io, path::Path, fs::File as StdFile};
    pub use self::a::{A, read, hidden};
    on_windows! { pub use self::a::only_there; }
    #[derive(Debug)] pub struct A;
    impl A {
        pub async fn open<P>(path: P) -> std::io::Result<Self> where P: AsRef<Path> {}
        pub fn std(self) -> StdFile {}
        #[cfg(target_os = \"linux\")] pub fn here(&mut self, a: u8) {}
    }
    feature! { #![unix] impl From<StdFile> for A {} }
    pub async fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, io::Error> {}
    #[cfg(tokio_unstable)] pub fn hidden() {}
    pub fn only_there() {}";

#[test]
fn the_same_in_other_words_is_the_same() {
    let ours = "
        use std::io::Result; use std::fs::{self, File};
        pub use b::{A, read};
        pub struct A;
        impl std::fmt::Debug for A {}
        impl A {
            pub async fn open(from: impl AsRef<std::path::Path>) -> Result<A> {}
            pub fn std(self) -> fs::File {}
            pub fn here(&mut self, number: u8) -> () {}
        }
        impl From<File> for A {}
        pub fn read<P: AsRef<std::path::Path>>(p: P) -> impl Future<Output = Result<Vec<u8>>> + Send {}";
    let rows = rows(&of_text(THEIRS), &of_text(ours));
    let verdicts: Vec<(&str, &str)> = rows.iter().map(|row| (&*row.item, &*row.verdict)).collect();
    let expected = [
        ("A", "same"),
        ("A: Debug", "same"),
        ("A: From<std::fs::File>", "same"),
        ("A::here", "same, for Linux alone"),
        ("A::open", "same"),
        ("A::std", "same"),
        ("only_there", "for Windows alone"),
        ("read", "same, as `impl Future`"),
    ];
    assert_eq!(verdicts, expected);
}

#[test]
fn what_is_missing_or_other_is_seen() {
    let ours = "
        use std::io::Result; use std::path::Path;
        pub use b::{A, File};
        pub struct A; pub struct File;
        impl A {
            pub async fn open(from: impl AsRef<Path>) -> Result<File> {}
            pub fn std(&self) -> File {}
            #[cfg(not(target_os = \"linux\"))] pub fn here(&mut self, number: u8) {}
        }
        impl From<File> for A {}
        pub async fn read(p: &Path) -> Result<Vec<u8>> {}";
    let rows = rows(&of_text(THEIRS), &of_text(ours));
    let wrong: Vec<&str> = rows
        .iter()
        .filter(|row| !row.fine)
        .map(|row| &*row.item)
        .collect();
    assert_eq!(
        wrong,
        [
            "A: Debug",
            "A: From<std::fs::File>",
            "A::here",
            "A::open",
            "A::std",
            "read"
        ]
    );
}
