//! Random operations on a small tree, by names of every sort.

use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fs::{self, OpenOptions};
use super::random::{Random, brief, told};

/// Parts that names are put together from. Few, so that operations meet.
const PARTS: &[&str] = &[
    "a", "b", "c", "d", "a", "b", "c", ".", "..", "", "é", "link", "fifo",
];

fn name(random: &mut Random) -> OsString {
    match random.below(24) {
        0 => OsString::new(),
        1 => "a\0b".into(),
        2 => OsString::from_vec(b"not-\xff-text".to_vec()),
        3 => "n".repeat(255).into(),
        4 => "n".repeat(256).into(),
        // The longest path that the system takes has 4095 bytes.
        5 => format!("{}a", "./".repeat(2047)).into(),
        6 => format!("{}aa", "./".repeat(2047)).into(),
        7 => format!("{}a", "./".repeat(4000)).into(),
        8 => "/".into(),
        9 => "/none/x".into(),
        _ => {
            let count = 1 + random.below(3);
            let parts: Vec<_> = (0..count).map(|_| *random.one_of(PARTS)).collect();
            let joined = parts.join("/");
            let joined = joined.trim_start_matches('/');
            let end = if random.below(6) == 0 { "/" } else { "" };
            format!("{joined}{end}").into()
        }
    }
}

/// From the folder that the process is in, or from the root.
fn path(random: &mut Random, root: &Path) -> PathBuf {
    let name = name(random);
    let is_absolute = random.below(3) == 0 && !name.as_bytes().starts_with(b"/");
    if is_absolute {
        root.join(name)
    } else {
        name.into()
    }
}

/// Of a path that would leave the tree nothing is made or removed.
fn stays(root: &Path, path: &Path) -> bool {
    let mut depth = 0_i32;
    let inside = path.strip_prefix(root).unwrap_or(path);
    for part in inside.components() {
        match part {
            std::path::Component::Normal(_) => depth += 1,
            std::path::Component::ParentDir => depth -= 1,
            std::path::Component::CurDir => {}
            _ => return false,
        }
        if depth < 0 {
            return false;
        }
    }
    true
}

/// What is there, and what it is.
fn tree(root: &Path) -> String {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = match metadata.is_file() {
                true => std::fs::read(&path).map(|bytes| brief(&bytes)).ok(),
                false => std::fs::read_link(&path).ok().map(|to| format!("{to:?}")),
            };
            let inside = path.strip_prefix(root).unwrap();
            found.push(format!(
                "{inside:?} {:o} {} {content:?}",
                metadata.mode(),
                metadata.nlink()
            ));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found.join("; ")
}

struct Player<'a> {
    random: Random,
    root: &'a Path,
}

/// What came of so many operations in the folder, which the process is in.
pub(crate) async fn play(root: &Path, seed: u64, operations: usize) -> Vec<String> {
    let mut random = Random(seed);
    for folder in ["a", "b/c"] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write("a/b", random.bytes(9000)).unwrap();
    std::fs::write("c", random.bytes(100)).unwrap();
    std::os::unix::fs::symlink("a", "link").unwrap();
    std::os::unix::fs::symlink("link", "b/link").unwrap();
    nix::unistd::mkfifo("fifo", nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut player = Player { random, root };
    let mut log = Vec::new();
    for _ in 0..operations {
        let step = player.step().await;
        log.push(format!("{step} | {}", tree(root)));
    }
    log
}

/// Whether an open of it would wait for a peer.
fn waits(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

fn shown(path: &Path) -> String {
    let text = format!("{path:?}");
    if text.len() > 80 {
        return format!("{}… ({})", &text[..40], path.as_os_str().len());
    }
    text
}

impl Player<'_> {
    async fn step(&mut self) -> String {
        let path = path(&mut self.random, self.root);
        let changes = stays(self.root, &path);
        let kind = self.random.below(if changes { 22 } else { 9 });
        let what = shown(&path);
        if kind < 9 {
            return self.look(kind, &path).await + &what;
        }
        if kind < 13 {
            return self.change_two(kind, path).await;
        }
        let mode = Permissions::from_mode(0o600 + (self.random.below(8) << 3) as u32);
        let (name, outcome) = match kind {
            13 => ("create_dir", told(fs::create_dir(&path).await)),
            14 => ("create_dir_all", told(fs::create_dir_all(&path).await)),
            15 => ("remove_file", told(fs::remove_file(&path).await)),
            16 => ("remove_dir", told(fs::remove_dir(&path).await)),
            17 if path != Path::new("") && self.random.below(3) == 0 => {
                ("remove_dir_all", told(fs::remove_dir_all(&path).await))
            }
            18 => (
                "set_permissions",
                told(fs::set_permissions(&path, mode).await),
            ),
            _ if waits(&path) => ("waits", String::new()),
            19 => {
                let bytes = self.random.bytes(20_000);
                ("write", told(fs::write(&path, bytes).await))
            }
            _ => ("open", self.open(&path).await),
        };
        format!("{name}: {outcome} of {what}")
    }

    async fn look(&mut self, kind: u64, path: &Path) -> String {
        match kind {
            0 => {
                let found = fs::metadata(path).await;
                let found = found.map(|found| (found.mode(), found.nlink(), found.is_file()));
                format!("metadata: {} of ", told(found))
            }
            1 => {
                let found = fs::symlink_metadata(path).await;
                let found = found.map(|found| (found.mode(), found.nlink(), found.is_dir()));
                format!("symlink_metadata: {} of ", told(found))
            }
            2 => format!("canonicalize: {} of ", told(fs::canonicalize(path).await)),
            3 => format!("read_link: {} of ", told(fs::read_link(path).await)),
            4 => format!("try_exists: {} of ", told(fs::try_exists(path).await)),
            5 if path == Path::new("/") => String::new(),
            5 => format!("read_dir: {} of ", list(path).await),
            _ if waits(path) => "waits: ".to_owned(),
            6 => {
                let text = fs::read_to_string(path).await;
                format!(
                    "read_to_string: {} of ",
                    told(text.map(|text| brief(text.as_bytes())))
                )
            }
            _ => {
                let bytes = fs::read(path).await;
                format!("read: {} of ", told(bytes.map(|bytes| brief(&bytes))))
            }
        }
    }

    async fn change_two(&mut self, kind: u64, from: PathBuf) -> String {
        let to = path(&mut self.random, self.root);
        let what = format!("{} to {}", shown(&from), shown(&to));
        if !stays(self.root, &to) {
            return format!("leaves: {what}");
        }
        let (name, outcome) = match kind {
            9 => ("rename", told(fs::rename(&from, &to).await)),
            10 => ("hard_link", told(fs::hard_link(&from, &to).await)),
            11 => ("symlink", told(fs::symlink(&from, &to).await)),
            _ => {
                let real = |path: &Path| path.canonicalize().ok();
                // What is copied onto itself is among the differences.
                let is_same = real(&from).is_some() && real(&from) == real(&to);
                let linked = std::fs::metadata(&from).is_ok_and(|found| found.nlink() > 1);
                if is_same || linked || waits(&from) || waits(&to) {
                    ("same", String::new())
                } else {
                    ("copy", told(fs::copy(&from, &to).await))
                }
            }
        };
        format!("{name}: {outcome} of {what}")
    }

    /// With random options; what is written and read then.
    async fn open(&mut self, path: &Path) -> String {
        let mut options = OpenOptions::new();
        let random = &mut self.random;
        let (read, write, append) = (random.coin(), random.coin(), random.below(4) == 0);
        let (truncate, create, new) = (random.below(4) == 0, random.coin(), random.below(5) == 0);
        let flags = *random.one_of(&[
            0,
            0,
            0,
            nix::libc::O_NOFOLLOW,
            nix::libc::O_DIRECTORY,
            nix::libc::O_PATH,
            nix::libc::O_TMPFILE,
            nix::libc::O_SYNC,
            nix::libc::O_NOATIME,
        ]);
        options
            .read(read)
            .write(write || flags == nix::libc::O_TMPFILE)
            .append(append)
            .mode(0o640);
        options.truncate(truncate).create(create).create_new(new);
        options.custom_flags(flags);
        let how = format!("{read}{write}{append}{truncate}{create}{new}{flags:o}");
        let mut file = match options.open(path).await {
            Ok(file) => file,
            error => return format!("{} ({how})", told(error.map(drop))),
        };
        let about = file
            .metadata()
            .await
            .map(|found| (found.mode(), found.len(), found.nlink()));
        let is_dir = file.metadata().await.is_ok_and(|found| found.is_dir());
        let about = if is_dir {
            "folder".to_owned()
        } else {
            told(about)
        };
        let written = file.write_all(&random.bytes(3000)).await.is_ok();
        let flushed = super::random::kind(file.flush().await);
        super::acknowledge(&file);
        let mut bytes = Vec::new();
        let read = told(file.read_to_end(&mut bytes).await);
        format!(
            "{about}, {written} {flushed}, {read} {} ({how})",
            brief(&bytes)
        )
    }
}

/// Names with what they are.
async fn list(path: &Path) -> String {
    let mut entries = match fs::read_dir(path).await {
        Ok(entries) => entries,
        error => return told(error.map(drop)),
    };
    let mut all = Vec::new();
    loop {
        match entries.next_entry().await {
            Ok(Some(entry)) => {
                let kind = told(entry.file_type().await);
                let about = told(entry.metadata().await.map(|found| found.mode()));
                let name: &OsStr = &entry.file_name();
                all.push(format!(
                    "{name:?} {kind} {about} {:?}",
                    shown(&entry.path())
                ));
            }
            Ok(None) => break,
            error => return told(error.map(drop)),
        }
    }
    all.sort();
    brief(all.join(",").as_bytes()) + &all.join(",")
}
