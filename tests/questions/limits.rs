//! What the system refuses: rights, descriptors, room, and mounts that are not written.

use std::fs::Permissions;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::fs::{self, File, OpenOptions};
use crate::random::{brief, kind};
use crate::{Answers, told};

/// What each function says of the path and of a new name beside it.
async fn all_of(answers: &mut Answers, what: &str, path: &Path) {
    let mut say = |function: &str, came: String| answers.say(format!("{function} {what}"), came);
    say(
        "metadata",
        told(fs::metadata(path).await.map(|found| found.is_file())),
    );
    say(
        "symlink_metadata",
        told(fs::symlink_metadata(path).await.map(|found| found.is_dir())),
    );
    say("try_exists", told(fs::try_exists(path).await));
    say("canonicalize", told(fs::canonicalize(path).await));
    say("read_link", told(fs::read_link(path).await));
    say(
        "read",
        told(fs::read(path).await.map(|bytes| brief(&bytes))),
    );
    say(
        "read_to_string",
        told(fs::read_to_string(path).await.map(|text| text.len())),
    );
    say("open", told(File::open(path).await.map(drop)));
    say("read_dir", told(fs::read_dir(path).await.map(drop)));
    let mut write = OpenOptions::new();
    write.write(true);
    say("open to write", told(write.open(path).await.map(drop)));
    say(
        "append",
        told(OpenOptions::new().append(true).open(path).await.map(drop)),
    );
    say("create_new", told(File::create_new(path).await.map(drop)));
    say("create_dir", told(fs::create_dir(path).await));
    say("create_dir_all", told(fs::create_dir_all(path).await));
    say("symlink", told(fs::symlink("target", path).await));
    let beside = path.with_extension("beside");
    say("hard_link", told(fs::hard_link(path, &beside).await));
    say("copy", told(fs::copy(path, &beside).await));
    say(
        "copy over",
        told(fs::copy("/proc/version", path).await.map(|count| count > 0)),
    );
    say("rename", told(fs::rename(path, &beside).await));
    say("rename back", told(fs::rename(&beside, path).await));
    say(
        "set_permissions",
        told(fs::set_permissions(path, Permissions::from_mode(0o640)).await),
    );
    say("write", told(fs::write(path, "text").await));
    say("remove_file", told(fs::remove_file(path).await));
    say("remove_dir", told(fs::remove_dir(path).await));
    say("remove_dir_all", told(fs::remove_dir_all(path).await));
    let _ = std::fs::remove_file(&beside);
}

pub(crate) async fn refused(root: &Path) -> Answers {
    let mut answers = Answers::default();
    // Root would have it all.
    assert!(!crate::common::child::is_root());
    for (name, rights) in [
        ("closed", 0),
        ("listed", 0o400),
        ("searched", 0o100),
        ("read_only", 0o500),
    ] {
        let folder = root.join(name);
        std::fs::create_dir_all(folder.join("folder/in")).unwrap();
        for file in ["file", "folder/file", "unreadable"] {
            std::fs::write(folder.join(file), "content").unwrap();
        }
        std::fs::set_permissions(folder.join("unreadable"), Permissions::from_mode(0o200)).unwrap();
        std::fs::set_permissions(&folder, Permissions::from_mode(rights)).unwrap();
        for file in [
            "",
            "file",
            "folder",
            "folder/file",
            "unreadable",
            "none",
            "none/x",
            "file/x",
        ] {
            all_of(&mut answers, &format!("{name}/{file}"), &folder.join(file)).await;
        }
        std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        let _ = std::fs::remove_dir_all(&folder);
    }
    for path in [
        "/etc/shadow",
        "/etc/passwd",
        "/proc/1/mem",
        "/proc/1/cwd",
        "/proc/1/fd",
        "/none",
    ] {
        all_of(&mut answers, path, Path::new(path)).await;
    }
    // Rights that go while a file is open count no more.
    std::fs::write(root.join("file"), "content").unwrap();
    let mut file = File::open("file").await.unwrap();
    std::fs::set_permissions("file", Permissions::from_mode(0o0)).unwrap();
    let mut text = String::new();
    answers.say("read", kind(file.read_to_string(&mut text).await));
    answers.say("clone", told(file.try_clone().await.map(drop)));
    answers.say("open", told(File::open("file").await.map(drop)));
    answers.say(
        "set_permissions",
        told(file.set_permissions(Permissions::from_mode(0o600)).await),
    );
    answers.say("set_len", told(file.set_len(3).await));
    answers
}

/// Whether the limit is back when it goes.
struct Limit(Resource, u64, u64);

impl Limit {
    fn set(resource: Resource, soft: u64) -> Limit {
        let (before, hard) = getrlimit(resource).unwrap();
        setrlimit(resource, soft, hard).unwrap();
        Limit(resource, before, hard)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        setrlimit(self.0, self.1, self.2).unwrap();
    }
}

pub(crate) async fn descriptors(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let folder = root.join("folder");
    std::fs::create_dir_all(folder.join("in")).unwrap();
    std::fs::write(root.join("file"), "content").unwrap();
    let mut open = File::open("file").await.unwrap();
    let mut listing = fs::read_dir(root).await.unwrap();
    // What the runtime needs once is there.
    let _ = (
        fs::metadata("none").await,
        fs::read("file").await,
        fs::create_dir("x").await,
    );
    let null = std::fs::File::open("/dev/null").unwrap();
    let limit = Limit::set(Resource::RLIMIT_NOFILE, 256);
    let mut all = Vec::new();
    while let Ok(one) = null.try_clone() {
        all.push(one);
    }
    for name in ["file", "folder", "none", "none/x"] {
        all_of(&mut answers, name, Path::new(name)).await;
        std::fs::create_dir_all(folder.join("in")).ok();
    }
    let mut text = String::new();
    answers.say("read", kind(open.read_to_string(&mut text).await));
    answers.say("clone", told(open.try_clone().await.map(drop)));
    answers.say(
        "metadata",
        told(open.metadata().await.map(|found| found.len())),
    );
    answers.say("seek", told(open.rewind().await));
    let next = listing.next_entry().await.unwrap().unwrap();
    answers.say("entry", told(next.metadata().await.map(drop)));
    answers.say("type", told(next.file_type().await.map(drop)));
    drop(all);
    drop(limit);
    answers.say("open", told(File::open(root).await.map(drop)));
    answers
}

pub(crate) async fn sizes(root: &Path) -> Answers {
    let mut answers = Answers::default();
    // SAFETY: nothing is handled; the signal is ignored from now on.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.unwrap();
    let _limit = Limit::set(Resource::RLIMIT_FSIZE, 10_000);
    let bytes = vec![b'x'; 25_000];
    answers.say("write", told(fs::write("whole", &bytes).await));
    answers.say(
        "length",
        std::fs::metadata("whole").ok().map(|found| found.len()),
    );
    let mut file = File::create("file").await.unwrap();
    for place in [0_u64, 9_990, 9_999, 10_000, 10_001, 20_000] {
        file.seek(std::io::SeekFrom::Start(place)).await.unwrap();
        answers.say(
            format!("write at {place}"),
            kind(file.write(&bytes[..100]).await),
        );
        answers.say("flush", kind(file.flush().await));
        super::acknowledge(&file);
        answers.say(
            "length",
            told(file.metadata().await.map(|found| found.len())),
        );
        answers.say("position", told(file.stream_position().await));
    }
    for length in [0, 10_000, 10_001, 1 << 40] {
        answers.say(
            format!("set_len {length}"),
            told(file.set_len(length).await),
        );
    }
    answers.say("copy", told(fs::copy("/proc/self/exe", "copy").await));
    answers.say(
        "length",
        std::fs::metadata("copy").ok().map(|found| found.len()),
    );
    answers.say(
        "read",
        told(
            fs::read(root.join("whole"))
                .await
                .map(|bytes| brief(&bytes)),
        ),
    );
    answers
}

/// Mounted for as long as it is there.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(at: &Path, options: &str) -> Mounted {
        std::fs::create_dir(at).unwrap();
        let flags = MsFlags::empty();
        mount(Some("none"), at, Some("tmpfs"), flags, Some(options)).unwrap();
        Mounted(at.to_owned())
    }

    fn to_read_only(&self) {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, &self.0, None::<&str>, flags, None::<&str>).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

pub(crate) async fn mounts(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let read_only = Mounted::new(&root.join("read_only"), "size=1m");
    std::fs::create_dir_all(read_only.0.join("folder/in")).unwrap();
    std::fs::write(read_only.0.join("file"), "content").unwrap();
    read_only.to_read_only();
    for name in ["", "file", "folder", "none", "none/x", "file/x"] {
        all_of(
            &mut answers,
            &format!("read_only/{name}"),
            &read_only.0.join(name),
        )
        .await;
    }
    drop(read_only);
    let small = Mounted::new(&root.join("small"), "size=64k,nr_inodes=5");
    let at = |name: &str| small.0.join(name);
    answers.say(
        "too large",
        told(fs::write(at("large"), vec![1; 100_000]).await),
    );
    answers.say(
        "length",
        std::fs::metadata(at("large")).ok().map(|found| found.len()),
    );
    answers.say("copy", told(fs::copy("/proc/self/exe", at("large")).await));
    answers.say(
        "length",
        std::fs::metadata(at("large")).ok().map(|found| found.len()),
    );
    answers.say("a little", told(fs::write(at("large"), "little").await));
    let mut file = File::create(at("file")).await.unwrap();
    for _ in 0..6 {
        answers.say("write", kind(file.write(&[b'y'; 15_000]).await));
        answers.say("flush", kind(file.flush().await));
        super::acknowledge(&file);
        answers.say("position", told(file.stream_position().await));
    }
    answers.say(
        "length",
        told(file.metadata().await.map(|found| found.len())),
    );
    answers.say("sync", told(file.sync_all().await));
    for n in 0..5 {
        let new = at(&format!("new{n}"));
        answers.say("no inode", told(fs::create_dir(&new).await));
        answers.say("no inode", told(fs::write(new.join("x"), "").await));
        answers.say(
            "no inode",
            told(fs::symlink("x", new.with_extension("l")).await),
        );
        answers.say(
            "no inode",
            told(fs::create_dir_all(new.join("a/b/c")).await),
        );
    }
    answers.say("busy", told(fs::remove_dir(&small.0).await));
    answers.say("busy", told(fs::rename(&small.0, root.join("other")).await));
    answers.say("busy", told(fs::remove_dir_all(root).await));
    answers.say("left", std::fs::read_dir(&small.0).unwrap().count());
    answers
}

/// What a program that is run gets of this process's descriptors, but for those that it is given.
fn open_in_a_child() -> Vec<String> {
    let listed = std::process::Command::new("/bin/ls")
        .arg("-l")
        .arg("/proc/self/fd")
        .output();
    let text = String::from_utf8(listed.unwrap().stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(" -> ").nth(1));
    names
        .filter(|name| !name.starts_with("/proc/"))
        .map(str::to_owned)
        .collect()
}

fn is_closed_on_exec(fd: RawFd) -> bool {
    // SAFETY: it takes a number and no memory.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags == -1 || flags & libc::FD_CLOEXEC != 0
}

pub(crate) async fn inherited(root: &Path) -> Answers {
    let mut answers = Answers::default();
    std::fs::write(root.join("file"), "content").unwrap();
    let before = open_in_a_child().len();
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let mut file = options.open("file").await.unwrap();
    let clone = file.try_clone().await.unwrap();
    let mut listing = fs::read_dir(root).await.unwrap();
    let entry = listing.next_entry().await.unwrap();
    let _ = (
        fs::copy("file", "copy").await,
        fs::read("file").await,
        fs::canonicalize(".").await,
    );
    file.write_all(b"x").await.unwrap();
    file.sync_all().await.unwrap();
    answers.say(
        "of files",
        [file.as_raw_fd(), clone.as_raw_fd()].map(is_closed_on_exec),
    );
    answers.say("more than before", open_in_a_child().len() - before);
    drop(entry);
    let std = file.into_std().await;
    answers.say("of std's", is_closed_on_exec(std.as_raw_fd()));
    answers
}
