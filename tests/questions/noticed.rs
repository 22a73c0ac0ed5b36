//! What others notice of what is done with files and names: who watches a folder, looks at the time of the last access, or has
//! a lease.

use std::collections::BTreeSet;
use std::io::{Read, SeekFrom};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};

use super::fs::{self, File, OpenOptions};
use crate::Answers;

/// A reader of what happens below a folder.
struct Notices(std::fs::File);

impl Notices {
    fn of(path: &Path) -> Notices {
        let c_path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the calls take numbers, and a path that ends with a zero.
        let fd = unsafe {
            let fd = libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK);
            assert!(fd >= 0);
            let all = libc::IN_ALL_EVENTS;
            assert!(libc::inotify_add_watch(fd, c_path.as_ptr(), all) >= 0);
            OwnedFd::from_raw_fd(fd)
        };
        Notices(fd.into())
    }

    /// What changed since, in order and each once in a row; and what is still open.
    fn came(&mut self) -> String {
        let (mut changes, mut open) = (Vec::new(), BTreeSet::new());
        let mut buf = [0; 65_536];
        while let Ok(count) = self.0.read(&mut buf) {
            let mut at = 0;
            while at < count {
                let number = |at: usize| u32::from_ne_bytes(buf[at..at + 4].try_into().unwrap());
                let (mask, length) = (number(at + 4), number(at + 12) as usize);
                let name = String::from_utf8_lossy(&buf[at + 16..at + 16 + length]).into_owned();
                let name = name.trim_end_matches('\0').to_owned();
                let closes = libc::IN_CLOSE_WRITE | libc::IN_CLOSE_NOWRITE;
                if mask & libc::IN_OPEN != 0 {
                    open.insert(name.clone());
                } else if mask & closes != 0 {
                    open.remove(&name);
                }
                if let Some(word) = change(mask) {
                    changes.push(format!("{word} {name}"));
                }
                at += 16 + length;
            }
        }
        changes.dedup();
        format!("{changes:?}, open {open:?}")
    }
}

/// How often something is opened to be read, and when its attributes are looked at, is nobody's business.
fn change(mask: u32) -> Option<&'static str> {
    let names = [
        (libc::IN_MODIFY, "modify"),
        (libc::IN_CLOSE_WRITE, "close"),
        (libc::IN_MOVED_FROM, "from"),
        (libc::IN_MOVED_TO, "to"),
        (libc::IN_CREATE, "create"),
        (libc::IN_DELETE, "delete"),
    ];
    let found = names.iter().find(|(bit, _)| mask & bit != 0);
    found.map(|(_, name)| *name)
}

/// What is done in the folder.
const NAMED: [&str; 34] = [
    "metadata",
    "symlink_metadata",
    "try_exists",
    "canonicalize",
    "read_link",
    "read",
    "read large",
    "read_to_string",
    "write",
    "write large",
    "copy",
    "copy over",
    "rename",
    "hard_link",
    "symlink",
    "set_permissions",
    "create_dir",
    "create_dir_all",
    "remove_dir",
    "remove_dir_all",
    "remove_file",
    "read_dir",
    "entry",
    "open",
    "create",
    "open and read",
    "open and write",
    "append",
    "set_len",
    "sync",
    "clone",
    "read and write",
    "seek",
    "lines",
];

async fn named(what: &str, root: &Path) {
    let file = root.join("file");
    let to = root.join("to");
    let folder = root.join("folder");
    match what {
        "metadata" => drop(fs::metadata(file).await),
        "symlink_metadata" => drop(fs::symlink_metadata(file).await),
        "try_exists" => drop(fs::try_exists(file).await),
        "canonicalize" => drop(fs::canonicalize(file).await),
        "read_link" => drop(fs::read_link(root.join("link")).await),
        "read" => drop(fs::read(file).await.unwrap()),
        "read large" => drop(fs::read(root.join("large")).await.unwrap()),
        "read_to_string" => drop(fs::read_to_string(file).await.unwrap()),
        "write" => fs::write(file, "text").await.unwrap(),
        "write large" => fs::write(to, vec![1; 3 << 20]).await.unwrap(),
        "copy" => drop(fs::copy(file, to).await.unwrap()),
        "copy over" => drop(fs::copy(file, root.join("large")).await.unwrap()),
        "rename" => fs::rename(file, to).await.unwrap(),
        "hard_link" => fs::hard_link(file, to).await.unwrap(),
        "symlink" => fs::symlink(file, to).await.unwrap(),
        "set_permissions" => {
            let mode = std::fs::Permissions::from_mode(0o600);
            fs::set_permissions(file, mode).await.unwrap();
        }
        "create_dir" => fs::create_dir(to).await.unwrap(),
        "create_dir_all" => fs::create_dir_all(to.join("a")).await.unwrap(),
        "remove_dir" => fs::remove_dir(folder.join("in")).await.unwrap(),
        "remove_dir_all" => fs::remove_dir_all(folder).await.unwrap(),
        "remove_file" => fs::remove_file(file).await.unwrap(),
        _ => opened(what, root).await,
    }
}

async fn opened(what: &str, root: &Path) {
    let (file, to) = (root.join("file"), root.join("to"));
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match what {
        "read_dir" | "entry" => {
            let mut listing = fs::read_dir(root).await.unwrap();
            while let Some(entry) = listing.next_entry().await.unwrap() {
                if what == "entry" {
                    let _ = (entry.metadata().await, entry.file_type().await);
                }
            }
        }
        "open" => drop(File::open(file).await.unwrap()),
        "create" => drop(File::create(to).await.unwrap()),
        "open and read" => {
            let mut file = File::open(file).await.unwrap();
            file.read_exact(&mut [0; 3]).await.unwrap();
        }
        "open and write" | "sync" => {
            let mut file = options.open(file).await.unwrap();
            file.write_all(b"new").await.unwrap();
            file.flush().await.unwrap();
            if what == "sync" {
                file.sync_all().await.unwrap();
            }
        }
        "append" => {
            let mut file = OpenOptions::new().append(true).open(file).await.unwrap();
            file.write_all(b"new").await.unwrap();
            file.flush().await.unwrap();
        }
        "set_len" => options.open(file).await.unwrap().set_len(3).await.unwrap(),
        "clone" => {
            let file = File::open(file).await.unwrap();
            let clone = file.try_clone().await.unwrap();
            drop(file);
            clone.metadata().await.unwrap();
        }
        "read and write" => {
            let mut file = options.open(file).await.unwrap();
            file.read_exact(&mut [0; 3]).await.unwrap();
            file.write_all(b"new").await.unwrap();
            file.flush().await.unwrap();
        }
        "seek" => {
            let mut file = options.open(file).await.unwrap();
            file.seek(SeekFrom::End(-2)).await.unwrap();
            file.read_exact(&mut [0; 2]).await.unwrap();
        }
        "lines" => {
            use tokio::io::AsyncBufReadExt;
            let mut lines = BufReader::new(File::open(file).await.unwrap()).lines();
            while lines.next_line().await.unwrap().is_some() {}
        }
        _ => unreachable!(),
    }
}

fn fill(root: &Path) {
    std::fs::create_dir_all(root.join("folder/in")).unwrap();
    std::fs::write(root.join("file"), "some\ncontent\n").unwrap();
    std::fs::write(root.join("large"), vec![7; 3 << 20]).unwrap();
    std::os::unix::fs::symlink("file", root.join("link")).unwrap();
}

pub(crate) async fn noticed(root: &Path) -> Answers {
    let mut answers = Answers::default();
    for what in NAMED {
        // Twice, as what is seen first is another matter.
        for _ in 0..2 {
            let place = root.join("place");
            let _ = std::fs::remove_dir_all(&place);
            fill(&place);
            let mut notices = Notices::of(&place);
            named(what, &place).await;
            answers.say(what, notices.came());
        }
    }
    answers
}

fn accessed(path: &Path) -> bool {
    path.metadata().unwrap().atime() > 1_000_000_000
}

pub(crate) async fn access_times(root: &Path) -> Answers {
    let mut answers = Answers::default();
    for what in NAMED {
        let place = root.join("place");
        let _ = std::fs::remove_dir_all(&place);
        fill(&place);
        let all = [".", "file", "large", "link", "folder", "folder/in"];
        for name in all {
            let long_ago = nix::sys::time::TimeSpec::new(1_000_000, 0);
            let path = place.join(name);
            nix::sys::stat::utimensat(
                nix::fcntl::AT_FDCWD,
                &path,
                &long_ago,
                &long_ago,
                nix::sys::stat::UtimensatFlags::NoFollowSymlink,
            )
            .unwrap();
        }
        named(what, &place).await;
        for name in all {
            let path: PathBuf = place.join(name);
            if path.exists() {
                answers.say(format!("{what}: {name} was read"), accessed(&path));
            }
        }
    }
    answers
}

/// Somebody who has a lease on a file, and gives it up when he is asked to.
struct Lease {
    holder: std::thread::JoinHandle<bool>,
    is_over: Arc<AtomicBool>,
}

impl Lease {
    fn new(path: &Path, kind: i32) -> Lease {
        // SAFETY: nothing is handled: it is asked for below whether the lease is to go.
        unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
        let file = std::fs::File::open(path).unwrap();
        // SAFETY: it takes a number that is open, and no memory.
        let set = move |kind: i32| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
        assert_eq!(set(kind), 0);
        let file = path.metadata().unwrap().ino();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let holder = std::thread::spawn(move || {
            let mut is_asked = false;
            while !is_asked && !over.load(Ordering::Relaxed) {
                is_asked = is_broken(file);
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
            set(libc::F_UNLCK);
            is_asked
        });
        Lease { holder, is_over }
    }

    /// Whether he was waited for.
    fn end(self) -> bool {
        self.is_over.store(true, Ordering::Relaxed);
        self.holder.join().unwrap()
    }
}

fn is_broken(inode: u64) -> bool {
    let text = std::fs::read_to_string("/proc/locks").unwrap();
    let of_file = format!(":{inode} ");
    text.lines()
        .any(|line| line.contains("BREAKING") && line.contains(&of_file))
}

pub(crate) async fn leased(root: &Path) -> Answers {
    let mut answers = Answers::default();
    for what in NAMED {
        let of = match what {
            "read large" | "copy over" => "large",
            _ => "file",
        };
        for kind in [libc::F_WRLCK, libc::F_RDLCK] {
            let place = root.join("place");
            let _ = std::fs::remove_dir_all(&place);
            fill(&place);
            let lease = Lease::new(&place.join(of), kind);
            let done = tokio::spawn(async move { named(what, &place).await }).await;
            let came = (done.is_ok(), lease.end());
            answers.say(format!("{what}, lease {kind}"), came);
        }
    }
    answers
}
