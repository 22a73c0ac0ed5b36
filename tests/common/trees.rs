//! Trees with every kind of entry, made from a seed, and what is to be known of one.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;

/// Numbers that are the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end.max(1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let start = self.below(251) as usize;
        (0..len).map(|at| ((at + start) % 251) as u8).collect()
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// What a tree consists of.
pub(crate) struct Made {
    pub(crate) dirs: Vec<PathBuf>,
    pub(crate) files: Vec<PathBuf>,
}

/// Makes a tree of about so many entries.
pub(crate) fn make(root: &Path, entries: usize, random: &mut Random) -> Made {
    fs::create_dir(root).unwrap();
    let mut made = Made {
        dirs: vec![root.to_path_buf()],
        files: Vec::new(),
    };
    for number in 0..entries {
        let dir = random.pick(&made.dirs).clone();
        let path = dir.join(name(number, random));
        match random.below(20) {
            0..4 => {
                fs::create_dir(&path).unwrap();
                made.dirs.push(path);
            }
            4..6 => link(&path, root, random),
            6 => special(&path, random),
            7 if !made.files.is_empty() => {
                let _ = fs::hard_link(random.pick(&made.files), &path);
            }
            _ => {
                file(&path, random);
                made.files.push(path);
            }
        }
    }
    for path in made.files.iter().chain(&made.dirs) {
        dress(path, random);
    }
    // The newest first, so that what is in a directory does not change its time any more.
    for path in made.files.iter().chain(made.dirs.iter().rev()) {
        set_time(path, random);
    }
    made
}

fn name(number: usize, random: &mut Random) -> OsString {
    let mut name = match random.below(16) {
        0 => b"\xff\xfe no text ".to_vec(),
        1 => b"line\nbreak ".to_vec(),
        2 => b"-rf ".to_vec(),
        3 => b".hidden".to_vec(),
        4 => vec![b'n'; 250],
        5 => b" \t*?[".to_vec(),
        6 => "\u{fc}\u{1f4be}".as_bytes().to_vec(),
        _ => b"name".to_vec(),
    };
    name.extend(format!("{number}").bytes());
    name.truncate(255);
    OsString::from_vec(name)
}

fn file(path: &Path, random: &mut Random) {
    let small = random.below(600) as usize;
    let len = match random.below(10) {
        0 => 0,
        1 => (16 << 10) + small - 300,
        2 => (64 << 10) + small,
        3 => (1 << 20) + small,
        _ => small,
    };
    let file = File::create(path).unwrap();
    let bytes = random.bytes(len);
    if random.one_in(6) {
        // With holes before, between and after.
        let hole = 32 << 10;
        file.write_all_at(&bytes, hole).unwrap();
        file.write_all_at(b"later", hole * 4 + len as u64).unwrap();
        file.set_len(hole * 8 + len as u64).unwrap();
    } else {
        file.write_all_at(&bytes, 0).unwrap();
    }
}

fn link(path: &Path, root: &Path, random: &mut Random) {
    let target = match random.below(6) {
        0 => PathBuf::from("nowhere"),
        1 => path.file_name().unwrap().into(),
        2 => root.to_path_buf(),
        3 => PathBuf::from("../.."),
        4 => PathBuf::from("x".repeat(255)).join("y".repeat(200)),
        _ => PathBuf::from("/dev/null"),
    };
    symlink(target, path).unwrap();
}

fn special(path: &Path, random: &mut Random) {
    let mode = Mode::from_bits_truncate(0o640);
    match random.below(4) {
        0 => mknod(path, SFlag::S_IFSOCK, mode, 0).unwrap(),
        1 if is_root() => {
            // Where devices may not be made, there is one less.
            let _ = mknod(path, SFlag::S_IFCHR, mode, nix::sys::stat::makedev(1, 3));
        }
        _ => nix::unistd::mkfifo(path, mode).unwrap(),
    }
}

/// An access list: its owner and all others read, and somebody by his number writes.
const LIST: &[u8] =
    b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x06\0\x02\x30\0\0\x04\0\x04\0\xff\xff\xff\xff\
    \x10\0\x06\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";

/// A file capability: `cap_net_bind_service=ep`.
const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn dress(path: &Path, random: &mut Random) {
    let is_dir = path.is_dir();
    if is_root() && random.one_in(3) {
        let owner = random.below(5) as u32 * 1000;
        std::os::unix::fs::lchown(path, Some(owner), Some(owner / 2)).unwrap();
    }
    if random.one_in(4) {
        set_xattr(path, "user.one", &random.bytes(60));
        set_xattr(path, "user.empty", b"");
    }
    if random.one_in(8) {
        set_xattr(path, "system.posix_acl_access", LIST);
    }
    if is_root() && random.one_in(8) {
        set_xattr(path, "trusted.two", b"2");
    }
    let modes: &[u32] = match is_dir {
        true => &[0o755, 0o700, 0o2775, 0o1777, 0o000, 0o555],
        false => &[0o644, 0o600, 0o4755, 0o2711, 0o1644, 0o000, 0o444],
    };
    // A user who is not root could not go into these.
    let mode = *random.pick(modes) | if is_dir && !is_root() { 0o700 } else { 0 };
    if random.one_in(2) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    if is_root() && !is_dir && random.one_in(8) {
        set_xattr(path, "security.capability", CAPABILITY);
    }
}

/// What is not taken by the filesystem is not there.
fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    let (path, name) = (c(path.as_os_str()), CString::new(name).unwrap());
    // SAFETY: both texts are terminated, and the value is as long as it says.
    unsafe {
        libc::lsetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        );
    }
}

fn c(text: &OsStr) -> CString {
    CString::new(text.as_bytes()).unwrap()
}

fn set_time(path: &Path, random: &mut Random) {
    // 1901, 1970, the last of 32 bits, the first after it, and the last that ext4 has.
    const SECONDS: [i64; 6] = [
        -(1 << 31),
        0,
        i32::MAX as i64,
        1 << 31,
        15_032_385_535,
        1_234_567_890,
    ];
    let at = |random: &mut Random| {
        let nanos = *random.pick(&[0, 1, 999_999_999, 123_456_789]);
        TimeSpec::new(*random.pick(&SECONDS), nanos)
    };
    let (accessed, modified) = (at(random), at(random));
    let flags = UtimensatFlags::NoFollowSymlink;
    utimensat(nix::fcntl::AT_FDCWD, path, &accessed, &modified, flags).unwrap();
}

/// What is known of an entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) modified: (i64, i64),
    pub(crate) content: Vec<u8>,
    pub(crate) target: Option<PathBuf>,
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
    /// Device and inode.
    pub(crate) id: (u64, u64),
}

impl Entry {
    pub(crate) fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }

    pub(crate) fn is_file(&self) -> bool {
        self.kind() == libc::S_IFREG
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }

    /// Whether there is a copy of such a thing.
    pub(crate) fn can_be_copied(&self) -> bool {
        let kinds = [libc::S_IFREG, libc::S_IFDIR, libc::S_IFLNK, libc::S_IFIFO];
        kinds.contains(&self.kind())
    }

    /// The first that a copy has not, by a word.
    pub(crate) fn differs(&self, copy: &Entry) -> Option<String> {
        let what = if self.kind() != copy.kind() {
            "kind".into()
        } else if self.content != copy.content {
            let (ours, theirs) = (self.content.len(), copy.content.len());
            format!("content, {ours} bytes and {theirs}")
        } else if self.target != copy.target {
            "target".into()
        } else if self.mode != copy.mode {
            format!("mode, {:o} and {:o}", self.mode, copy.mode)
        } else if self.owner != copy.owner {
            format!("owner, {:?} and {:?}", self.owner, copy.owner)
        } else if self.modified != copy.modified {
            format!("time, {:?} and {:?}", self.modified, copy.modified)
        } else if self.xattrs != copy.xattrs {
            let differs = |name: &&OsString| self.xattrs.get(*name) != copy.xattrs.get(*name);
            let mut names = self.xattrs.keys().chain(copy.xattrs.keys());
            format!("attributes, {:?}", names.find(differs))
        } else {
            return None;
        };
        Some(what)
    }
}

/// All that is below a path, and itself under the empty name.
pub(crate) fn look(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(path) = left.pop() {
        let Ok(stat) = path.symlink_metadata() else {
            continue;
        };
        if stat.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        let below = path.strip_prefix(root).unwrap().to_path_buf();
        found.insert(below, entry(&path, &stat));
    }
    found
}

fn entry(path: &Path, stat: &fs::Metadata) -> Entry {
    Entry {
        mode: stat.mode(),
        owner: (stat.uid(), stat.gid()),
        modified: (stat.mtime(), stat.mtime_nsec()),
        content: if stat.is_file() {
            fs::read(path).unwrap()
        } else {
            Vec::new()
        },
        target: stat.is_symlink().then(|| fs::read_link(path).unwrap()),
        xattrs: if stat.is_file() || stat.is_dir() {
            xattrs(path)
        } else {
            BTreeMap::new()
        },
        id: (stat.dev(), stat.ino()),
    }
}

fn xattrs(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let path = c(path.as_os_str());
    let mut names = vec![0_u8; 64 << 10];
    // SAFETY: the path is terminated, and the buffer as long as it says.
    let len = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    let names = &names[..len.max(0) as usize];
    let mut all = BTreeMap::new();
    // XFS shows root its access lists by other names as well.
    let is_own = |name: &&[u8]| !name.is_empty() && !name.starts_with(b"trusted.SGI_ACL_");
    for name in names.split(|&byte| byte == 0).filter(is_own) {
        let mut value = vec![0_u8; 64 << 10];
        let c_name = CString::new(name).unwrap();
        let (to, room) = (value.as_mut_ptr().cast(), value.len());
        // SAFETY: both texts are terminated, and the buffer is as long as it says.
        let len = unsafe { libc::lgetxattr(path.as_ptr(), c_name.as_ptr(), to, room) };
        value.truncate(len.max(0) as usize);
        all.insert(OsStr::from_bytes(name).to_owned(), value);
    }
    all
}

/// Seeds of random rounds, which are printed: the same few each time, or as many new ones as `TIDEGATE_TEST_ROUNDS` says, or
/// the one that `TIDEGATE_TEST_SEED` gives, to play it again.
pub(crate) fn seeds(rounds: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seeds = match (number("TIDEGATE_TEST_SEED"), number("TIDEGATE_TEST_ROUNDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(rounds)) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let first = now.map_or(1, |now| now.as_micros() as u64 % 1_000_000_007);
            first..first + rounds
        }
        (None, None) => 1..1 + rounds,
    };
    eprintln!("seeds {seeds:?}");
    seeds
}
