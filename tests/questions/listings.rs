//! Folders that are listed while they change, and what entries tell.

use std::fs::Permissions;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::fs::{self, DirEntry, ReadDir};
use crate::{Answers, told};

async fn rest(listing: &mut ReadDir) -> String {
    let mut names = Vec::new();
    loop {
        match listing.next_entry().await {
            Ok(Some(entry)) => names.push(entry.file_name()),
            Ok(None) => break,
            error => return told(error.map(drop)),
        }
    }
    names.sort();
    format!("{names:?}")
}

fn fill(folder: &Path, names: &[&str]) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir(folder).unwrap();
    for name in names {
        std::fs::write(folder.join(name), name).unwrap();
    }
}

async fn entry(listing: &mut ReadDir, name: &str) -> DirEntry {
    loop {
        let entry = listing.next_entry().await.unwrap().expect("the name");
        if entry.file_name() == name {
            return entry;
        }
    }
}

pub(crate) async fn changing(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let folder = root.join("folder");
    fill(&folder, &["a", "b", "c"]);
    let mut listing = fs::read_dir(&folder).await.unwrap();
    for name in ["a", "b", "c"] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    answers.say("all removed", rest(&mut listing).await);
    fill(&folder, &["a", "b", "c"]);
    let mut listing = fs::read_dir(&folder).await.unwrap();
    std::fs::write(folder.join("later"), "").unwrap();
    answers.say("one more", rest(&mut listing).await);
    fill(&folder, &["a"]);
    let mut listing = fs::read_dir(&folder).await.unwrap();
    std::fs::rename(folder.join("a"), folder.join("z")).unwrap();
    answers.say("renamed", rest(&mut listing).await);
    fill(&folder, &[]);
    let mut listing = fs::read_dir(&folder).await.unwrap();
    std::fs::write(folder.join("later"), "").unwrap();
    answers.say("no more empty", rest(&mut listing).await);
    moving(root, &mut answers).await;
    answers
}

async fn moving(root: &Path, answers: &mut Answers) {
    let folder = root.join("folder");
    // The folder itself goes, or has another name, or another stands in its place.
    fill(&folder, &["a", "b"]);
    let mut listing = fs::read_dir(&folder).await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    answers.say("all gone", rest(&mut listing).await);
    fill(&folder, &["a", "b"]);
    let mut listing = fs::read_dir(&folder).await.unwrap();
    let moved = root.join("moved");
    std::fs::rename(&folder, &moved).unwrap();
    fill(&folder, &["x", "y"]);
    std::fs::write(folder.join("a"), "the other one").unwrap();
    let first = entry(&mut listing, "a").await;
    answers.say("path", first.path());
    let length = first.metadata().await.map(|found| found.len());
    answers.say("length in the moved folder", told(length));
    answers.say("rest", rest(&mut listing).await.len());
    // Rights that go while it is listed, and a listing that outlives its folder's rights.
    fill(&folder, &["a", "b"]);
    let mut listing = fs::read_dir(&folder).await.unwrap();
    std::fs::set_permissions(&folder, Permissions::from_mode(0o0)).unwrap();
    answers.say("no rights any more", rest(&mut listing).await);
    std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    // From where the process is, which goes elsewhere meanwhile.
    let mut listing = fs::read_dir("folder").await.unwrap();
    std::env::set_current_dir("moved").unwrap();
    let first = entry(&mut listing, "a").await;
    answers.say("path", first.path());
    answers.say(
        "metadata",
        told(first.metadata().await.map(|found| found.len())),
    );
    answers.say("type", told(first.file_type().await));
    answers.say("end", rest(&mut listing).await);
    answers.say(
        "after the end",
        told(listing.next_entry().await.map(|entry| entry.is_some())),
    );
    std::env::set_current_dir(root).unwrap();
    // Many more than one read brings.
    let names: Vec<String> = (0..3000)
        .map(|n| format!("a-rather-long-name-{n:06}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    fill(&folder, &names);
    let mut listing = fs::read_dir(&folder).await.unwrap();
    let _first = listing.next_entry().await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let mut count = 0;
    let end = loop {
        match listing.next_entry().await {
            Ok(Some(_)) => count += 1,
            end => break told(end.map(|_| "end")),
        }
    };
    answers.say("some were in memory, and then", (count < 3000, end));
}

pub(crate) async fn entries(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let folder = root.join("folder");
    fill(&folder, &["file", "unreadable"]);
    std::fs::set_permissions(folder.join("unreadable"), Permissions::from_mode(0o0)).unwrap();
    std::fs::create_dir(folder.join("inner")).unwrap();
    symlink("file", folder.join("to_file")).unwrap();
    symlink("nowhere", folder.join("to_nothing")).unwrap();
    symlink("loop", folder.join("loop")).unwrap();
    nix::unistd::mkfifo(&folder.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(folder.join("socket")).unwrap();
    for trailing in [
        "folder",
        "folder/",
        "folder/.",
        "./folder",
        "folder/inner/..",
    ] {
        let mut listing = fs::read_dir(trailing).await.unwrap();
        let found = entry(&mut listing, "file").await;
        answers.say(trailing, found.path());
    }
    let mut listing = fs::read_dir(&folder).await.unwrap();
    let mut all = Vec::new();
    while let Some(entry) = listing.next_entry().await.unwrap() {
        let kind = entry.file_type().await.unwrap();
        let kind = (
            kind.is_fifo(),
            kind.is_socket(),
            kind.is_char_device(),
            kind,
        );
        let about = entry
            .metadata()
            .await
            .map(|found| (found.mode(), found.len() * u64::from(found.is_file())));
        let same = entry.ino() == entry.metadata().await.unwrap().ino();
        all.push((entry.file_name(), kind, told(about), same));
    }
    all.sort_by(|one, other| one.0.cmp(&other.0));
    for one in all {
        answers.say("entry", one);
    }
    replaced(root, &mut answers).await;
    answers
}

async fn replaced(root: &Path, answers: &mut Answers) {
    let folder = root.join("folder");
    let place = folder.join("place");
    // Gone, replaced by something else, or renamed, after it was listed.
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("removed", |place| std::fs::remove_file(place).unwrap()),
        ("a folder now", |place| {
            std::fs::remove_file(place).unwrap();
            std::fs::DirBuilder::new()
                .mode(0o711)
                .create(place)
                .unwrap();
        }),
        ("a link now", |place| {
            std::fs::remove_file(place).unwrap();
            symlink("file", place).unwrap();
        }),
        ("renamed", |place| {
            std::fs::rename(place, place.with_extension("x")).unwrap()
        }),
        ("longer", |place| {
            std::fs::write(place, "longer than it was").unwrap()
        }),
    ];
    for (name, change) in changes {
        let _ = std::fs::remove_file(&place);
        std::fs::write(&place, "content").unwrap();
        let mut listing = fs::read_dir(&folder).await.unwrap();
        let found = entry(&mut listing, "place").await;
        drop(listing);
        change(&place);
        let about = found.metadata().await;
        answers.say(
            name,
            told(about.map(|about| (about.mode(), about.file_type()))),
        );
        answers.say(name, told(found.file_type().await));
        answers.say(
            name,
            told(found.metadata().await.map(|about| about.is_file())),
        );
        let _ = std::fs::remove_dir(&place);
    }
    of_the_kernel(answers).await;
}

async fn of_the_kernel(answers: &mut Answers) {
    // What the kernel makes up.
    for folder in ["/proc/self", "/proc/self/ns", "/dev", "/sys/class"] {
        let mut listing = match fs::read_dir(folder).await {
            Ok(listing) => listing,
            error => {
                answers.say(folder, told(error.map(drop)));
                continue;
            }
        };
        let mut counts = [0_u32; 4];
        while let Some(entry) = listing.next_entry().await.unwrap() {
            let kind = entry.file_type().await.unwrap();
            let about = entry.metadata().await;
            let same = about.map_or(true, |about| about.file_type() == kind);
            counts[usize::from(kind.is_dir())] += u32::from(folder != "/dev");
            counts[2] += u32::from(!same);
        }
        answers.say(
            folder,
            if folder == "/proc/self" {
                [0, 0, counts[2], 0]
            } else {
                counts
            },
        );
    }
}

pub(crate) async fn folders(root: &Path) -> Answers {
    let mut answers = Answers::default();
    fill(&root.join("full"), &["a", "b"]);
    symlink("full", root.join("to_full")).unwrap();
    symlink("nowhere", root.join("to_nothing")).unwrap();
    std::fs::write(root.join("file"), "").unwrap();
    for path in [
        "",
        ".",
        "..",
        "./",
        "full/.",
        "full/..",
        "to_full",
        "to_full/",
        "to_nothing",
        "file",
        "file/",
        "file/..",
        "none",
        "none/..",
        "/",
        "//",
        "a\0b",
    ] {
        answers.say(
            format!("list {path:?}"),
            told(fs::read_dir(path).await.map(drop)),
        );
    }
    for path in [
        "",
        ".",
        "..",
        "./",
        "full/.",
        "full/..",
        "to_full/",
        "to_nothing/",
        "to_nothing",
        "file/",
        "none",
        "a\0b",
    ] {
        answers.say(format!("remove {path:?}"), told(fs::remove_dir(path).await));
    }
    removed(root, &mut answers).await;
    answers
}

async fn removed(root: &Path, answers: &mut Answers) {
    for path in [
        "",
        "to_nothing/",
        "to_full/",
        "to_full",
        "file/",
        "file",
        "none",
        "none/x",
        "full/a/b",
        "a\0b",
        "full/",
    ] {
        answers.say(
            format!("remove all of {path:?}"),
            told(fs::remove_dir_all(path).await),
        );
        answers.say(
            "there",
            ["full", "to_full", "file"].map(|name| root.join(name).symlink_metadata().is_ok()),
        );
    }
    made(root, answers).await;
}

async fn made(root: &Path, answers: &mut Answers) {
    for path in [
        "",
        ".",
        "..",
        "/",
        "//",
        "x/../y",
        "x/y/../../z",
        "./p/./q/.",
        "file2/x",
        "to_nothing/x",
        "s/",
        "t//u//",
        "a\0b/c",
    ] {
        std::fs::write(root.join("file2"), "").unwrap();
        answers.say(
            format!("make all of {path:?}"),
            told(fs::create_dir_all(path).await),
        );
        answers.say(
            "there",
            ["x", "y", "x/y", "z", "p/q", "nowhere"].map(|name| root.join(name).is_dir()),
        );
    }
    // Many at once make the same.
    let all: Vec<_> = (0..32)
        .map(|_| tokio::spawn(fs::create_dir_all("race/a/b/c/d")))
        .collect();
    for one in all {
        answers.say("race", told(one.await.unwrap()));
    }
    modes(root, answers).await;
}

async fn modes(root: &Path, answers: &mut Answers) {
    let umask = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o027));
    for mode in [0o777, 0o700, 0o000, 0o1777, 0o2775, 0o7777] {
        let mut builder = fs::DirBuilder::new();
        builder.mode(mode).recursive(true);
        let path = root.join(format!("m{mode:o}/in/side"));
        answers.say(format!("mode {mode:o}"), told(builder.create(&path).await));
        let modes = path
            .ancestors()
            .take(3)
            .map(|path| path.metadata().map(|found| found.mode()).ok());
        answers.say("modes", modes.collect::<Vec<_>>());
    }
    answers.say("with the mask", told(fs::create_dir("masked").await));
    answers.say("mode", root.join("masked").metadata().unwrap().mode());
    answers.say("with the mask", told(fs::write("masked_file", "").await));
    answers.say("mode", root.join("masked_file").metadata().unwrap().mode());
    nix::sys::stat::umask(umask);
}
