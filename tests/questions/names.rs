//! Paths that lead anywhere, and what is made of one name or two.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fs::{self, File, OpenOptions};
use crate::random::{brief, kind};
use crate::{Answers, told};

fn mode(path: impl AsRef<Path>) -> Option<(u32, u64, u64)> {
    let found = path.as_ref().symlink_metadata().ok()?;
    Some((found.mode(), found.len(), found.nlink()))
}

/// What each function of one path that changes nothing says of it.
async fn look(answers: &mut Answers, what: &str, path: &Path) {
    let about = |found: std::fs::Metadata| (found.mode(), found.nlink(), found.is_dir());
    answers.say(
        format!("canonicalize {what}"),
        told(fs::canonicalize(path).await),
    );
    answers.say(
        format!("metadata {what}"),
        told(fs::metadata(path).await.map(about)),
    );
    answers.say(
        format!("symlink_metadata {what}"),
        told(fs::symlink_metadata(path).await.map(about)),
    );
    answers.say(
        format!("try_exists {what}"),
        told(fs::try_exists(path).await),
    );
    answers.say(format!("read_link {what}"), told(fs::read_link(path).await));
    answers.say(format!("read {what}"), told(fs::read(path).await));
    answers.say(
        format!("read_to_string {what}"),
        told(fs::read_to_string(path).await),
    );
    answers.say(
        format!("open {what}"),
        told(File::open(path).await.map(drop)),
    );
    answers.say(
        format!("read_dir {what}"),
        told(fs::read_dir(path).await.map(drop)),
    );
}

/// Names that lead along links, out of files, and nowhere.
const CASES: &[&str] = &[
    "",
    "l39",
    "l40",
    "l41",
    "l42",
    "to_e",
    "to_e/..",
    "to_e/f/../..",
    "round",
    "round/",
    "slash",
    "top/",
    "two",
    "two/x",
    "here/here/here/file",
    "above/root/file",
    "file/.",
    "file/..",
    "file//",
    "./file",
    "d//e///f/",
    "d/none/..",
    "a\0b",
    "/proc/self/fd/none",
    "/proc/none",
    "/dev/null/",
    "/dev/null/x",
    "~",
    "\u{e9}",
    " ",
    "\n",
];

pub(crate) async fn paths(root: &Path) -> Answers {
    let mut answers = Answers::default();
    std::fs::write("file", "text").unwrap();
    std::fs::create_dir_all("d/e/f").unwrap();
    // Chains of links up to the most that are followed, and one more.
    symlink("file", "l1").unwrap();
    for n in 2..=42 {
        symlink(format!("l{}", n - 1), format!("l{n}")).unwrap();
    }
    for (target, name) in [
        ("d/e", "to_e"),
        ("to_e/../../file", "round"),
        ("d/../file/", "slash"),
        ("", "empty"),
        ("/", "top"),
        ("/proc/self/exe", "magic"),
        ("one", "two"),
        ("two", "one"),
        (".", "here"),
        ("..", "above"),
    ] {
        if !target.is_empty() {
            symlink(target, name).unwrap();
        }
    }
    let long = "n".repeat(255);
    for case in CASES.iter().copied().chain([&*long]) {
        look(&mut answers, &format!("{case:?}"), Path::new(case)).await;
    }
    let longer = "n".repeat(256);
    look(&mut answers, "a name too long", Path::new(&longer)).await;
    for length in [4094, 4095, 4096, 8192] {
        let path = format!(
            "{}{}",
            "./".repeat(length / 2 - 2),
            &"file"[..4 - length % 2]
        );
        look(
            &mut answers,
            &format!("a path of {length}"),
            Path::new(&path),
        )
        .await;
    }
    deep(root, &mut answers).await;
    answers
}

async fn deep(root: &Path, answers: &mut Answers) {
    // Deeper than one path can say.
    let mut made = 0;
    let part = "deep".repeat(50);
    for _ in 0..25 {
        if fs::create_dir(&part).await.is_err() || std::env::set_current_dir(&part).is_err() {
            break;
        }
        made += 1;
    }
    answers.say("made", made);
    std::fs::write("bottom", "here").unwrap();
    look(answers, "the bottom", Path::new("bottom")).await;
    look(answers, "where it is", Path::new(".")).await;
    answers.say("rename", told(fs::rename("bottom", "other").await));
    answers.say("make", told(fs::create_dir_all("x/y/z").await));
    std::env::set_current_dir(root).unwrap();
    answers.say("remove it all", told(fs::remove_dir_all(&part).await));
    in_nothing(root, answers).await;
}

async fn in_nothing(root: &Path, answers: &mut Answers) {
    // In a folder that is no more.
    std::fs::create_dir("gone").unwrap();
    std::env::set_current_dir("gone").unwrap();
    std::fs::remove_dir(root.join("gone")).unwrap();
    look(answers, "here, which is gone", Path::new(".")).await;
    look(answers, "in what is gone", Path::new("file")).await;
    answers.say("make there", told(fs::create_dir("new").await));
    answers.say("make all there", told(fs::create_dir_all("new/er").await));
    answers.say("write there", told(fs::write("new", "").await));
    answers.say("link there", told(fs::symlink("new", "er").await));
    std::env::set_current_dir(root).unwrap();
}

fn reset() {
    for name in [
        "a", "b", "hard", "to_a", "to_none", "to_d", "d", "full", "tmp",
    ] {
        let _ = std::fs::remove_file(name);
        let _ = std::fs::remove_dir_all(name);
    }
    std::fs::write("a", "content of a").unwrap();
    std::fs::write("b", "b").unwrap();
    std::fs::set_permissions("a", Permissions::from_mode(0o751)).unwrap();
    std::fs::hard_link("a", "hard").unwrap();
    symlink("a", "to_a").unwrap();
    symlink("none", "to_none").unwrap();
    symlink("d", "to_d").unwrap();
    std::fs::create_dir("d").unwrap();
    std::fs::create_dir_all("full/in").unwrap();
}

pub(crate) async fn pairs(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let names = [
        "a",
        "hard",
        "to_a",
        "to_none",
        "to_d",
        "d",
        "full",
        "full/in",
        "full/in/x",
        "none",
        "",
        ".",
        "..",
        "a/",
        "d/",
        "to_d/",
        "none/",
        "to_none/",
        "a\0b",
        "/dev/null",
        "/dev/full",
    ];
    for from in names {
        for to in names {
            reset();
            let what = format!("{from:?} to {to:?}");
            let is_device = from.starts_with("/dev") || to.starts_with("/dev");
            if !is_device {
                answers.say(format!("rename {what}"), told(fs::rename(from, to).await));
                answers.say("left", ["a", "hard", "to_a", "d", "full", "none"].map(mode));
                reset();
                answers.say(
                    format!("hard_link {what}"),
                    told(fs::hard_link(from, to).await),
                );
                answers.say("links", (mode("a").map(|a| a.2), mode(to).map(|to| to.2)));
                reset();
                answers.say(format!("symlink {what}"), told(fs::symlink(from, to).await));
                answers.say("target", std::fs::read_link(to).ok());
                reset();
            }
            let real = |name: &str| {
                std::fs::metadata(name)
                    .ok()
                    .map(|found| (found.dev(), found.ino()))
            };
            // One that never ends is no source.
            if from != "/dev/full" && (real(from).is_none() || real(from) != real(to)) {
                answers.say(format!("copy {what}"), told(fs::copy(from, to).await));
                answers.say("copied", (mode(to).filter(|_| !is_device), mode("none")));
                let there = ["a", "b", "none"]
                    .map(|name| std::fs::read(name).ok().map(|text| brief(&text)));
                answers.say("there", there);
            }
        }
    }
    across(root, &mut answers).await;
    answers
}

async fn across(root: &Path, answers: &mut Answers) {
    // To another filesystem, and from it.
    let other = tempfile::tempdir().unwrap();
    let at = other.path().join("x");
    reset();
    answers.say("rename across", told(fs::rename("a", &at).await));
    answers.say("link across", told(fs::hard_link("a", &at).await));
    answers.say("copy across", told(fs::copy("a", &at).await));
    answers.say("mode", mode(&at));
    answers.say("and back", told(fs::copy(&at, "d/back").await));
    answers.say("mode", mode("d/back"));
    for bits in [0o000, 0o400, 0o222, 0o4755, 0o6771, 0o1777] {
        std::fs::set_permissions("a", Permissions::from_mode(bits)).unwrap();
        let to = PathBuf::from(format!("d/{bits:o}"));
        answers.say(format!("copy of {bits:o}"), told(fs::copy("a", &to).await));
        answers.say("mode", mode(&to));
        let to = other.path().join(format!("{bits:o}"));
        answers.say("across", told(fs::copy("a", &to).await));
        answers.say("mode", mode(&to));
    }
    // With holes: as long, and as much in it.
    let sparse = File::create("sparse").await.unwrap();
    sparse.set_len(9 << 20).await.unwrap();
    answers.say("copy of holes", told(fs::copy("sparse", "d/sparse").await));
    answers.say("length", mode("d/sparse"));
    answers.say("over what is longer", told(fs::copy("a", "d/sparse").await));
    answers.say("length", mode("d/sparse"));
    answers.say("of nothing", told(fs::copy("/dev/null", "d/nothing").await));
    answers.say(
        "of procfs",
        told(fs::copy("/proc/sys/kernel/ostype", "d/proc").await),
    );
    answers.say("text", std::fs::read_to_string(root.join("d/proc")).ok());
}

pub(crate) async fn options(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let umask = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o027));
    for bits in 0..64_u32 {
        let is = |bit: u32| bits & 1 << bit != 0;
        for there in [true, false] {
            let path = root.join("file");
            let _ = std::fs::remove_file(&path);
            if there {
                std::fs::write(&path, "content").unwrap();
            }
            let mut options = OpenOptions::new();
            options
                .read(is(0))
                .write(is(1))
                .append(is(2))
                .truncate(is(3))
                .create(is(4))
                .create_new(is(5));
            options.mode(0o7667);
            let what = format!("{bits:06b} {there}");
            let mut file = match options.open(&path).await {
                Ok(file) => file,
                error => {
                    answers.say(what, told(error.map(drop)));
                    continue;
                }
            };
            let mut text = String::new();
            answers.say(&what, kind(file.read_to_string(&mut text).await));
            answers.say(&what, text);
            answers.say(&what, kind(file.write_all(b"new").await));
            answers.say(&what, kind(file.flush().await));
            super::acknowledge(&file);
            answers.say(&what, (std::fs::read_to_string(&path).ok(), mode(&path)));
        }
    }
    nix::sys::stat::umask(umask);
    answers
}

pub(crate) async fn whole(root: &Path) -> Answers {
    let mut answers = Answers::default();
    for size in [0, 1, 4095, 4096, 65_535, 65_536, 65_537, 1 << 20, 3 << 20] {
        let bytes: Vec<u8> = (0..size).map(|n| (n % 253) as u8).collect();
        answers.say(
            format!("write {size}"),
            told(fs::write("file", &bytes).await),
        );
        answers.say(
            "read",
            told(fs::read("file").await.map(|bytes| brief(&bytes))),
        );
        answers.say("smaller", told(fs::write("file", "small").await));
        answers.say("read", told(fs::read_to_string("file").await));
    }
    std::fs::set_permissions("file", Permissions::from_mode(0o4755)).unwrap();
    answers.say("over set-user-id", told(fs::write("file", "x").await));
    answers.say("mode", mode("file").map(|mode| mode.0 & 0o777));
    symlink("made", "link").unwrap();
    answers.say("through a link", told(fs::write("link", "x").await));
    answers.say("made", mode("made"));
    for path in [
        "/dev/null",
        "/dev/full",
        "/dev/zero/x",
        ".",
        "",
        "none/x",
        "file/x",
        "file/",
        "/proc/version",
        "a\0b",
    ] {
        answers.say(format!("write {path}"), told(fs::write(path, "text").await));
    }
    for path in [
        "/dev/null",
        "/proc/version",
        "/proc/self/mem",
        "/proc/self/task",
        "/sys/kernel/mm",
        "/proc/kmsg/x",
        // It is ready, for those who wait, when something is plugged in; and has its text at any time.
        "/proc/bus/input/devices",
        "/proc/self/mounts",
    ] {
        let read = fs::read(path).await.map(|bytes| bytes.len().min(20));
        answers.say(format!("read {path}"), told(read));
    }
    for text in [&b"\xff"[..], b"ok\xc3", b"\xed\xa0\x80", b"\xc3\xa9"] {
        std::fs::write("text", text).unwrap();
        let read = fs::read_to_string("text").await;
        answers.say(
            "text",
            read.map_err(|error| (error.kind(), error.to_string())),
        );
    }
    programs(root, &mut answers).await;
    answers
}

async fn programs(root: &Path, answers: &mut Answers) {
    // A program that runs is not written.
    let program = root.join("program");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let child = std::process::Command::new(&program).arg("100").spawn();
    let mut child = child.unwrap();
    answers.say("write", told(fs::write(&program, "x").await));
    answers.say("copy over", told(fs::copy("file", &program).await));
    answers.say(
        "append",
        told(
            OpenOptions::new()
                .append(true)
                .open(&program)
                .await
                .map(drop),
        ),
    );
    answers.say("rename over", told(fs::rename("file", &program).await));
    child.kill().unwrap();
    child.wait().unwrap();
}
