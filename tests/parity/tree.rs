//! The tree that every case starts from, what it looks like afterwards, and the paths to try in it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Older times than this were set by a case; newer ones only say when the tree was made.
const SET_BEFORE: i64 = 1_500_000_000;

/// Where the tree is made, where it is looked at, and what is tried besides.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Where the tree is made and examined.
    pub(crate) build: PathBuf,
    /// Where operations see it: elsewhere if it is mounted there another time.
    pub(crate) access: PathBuf,
    /// Further paths for every operation.
    pub(crate) extra: Vec<(&'static str, PathBuf)>,
}

impl Place {
    pub(crate) fn new(root: &Path) -> Place {
        Place {
            build: root.to_path_buf(),
            access: root.to_path_buf(),
            extra: Vec::new(),
        }
    }

    /// Good and bad paths. Opening some of them would wait for a peer: see [`Place::openable`].
    pub(crate) fn paths(&self) -> Vec<(&'static str, PathBuf)> {
        let mut paths = vec![
            ("empty", PathBuf::new()),
            ("path over the limit", self.access.join("x/".repeat(2500))),
            (
                "long path that exists",
                self.access.join("./".repeat(300)).join("file"),
            ),
        ];
        let long = [
            ("name at the limit", "n".repeat(255)),
            ("name over the limit", "n".repeat(256)),
        ];
        for (label, name) in long {
            paths.push((label, self.access.join(name)));
        }
        for name in [
            "new",
            "file",
            "file/",
            "file/below",
            "dir",
            "dir/",
            "dir/.",
            "full",
            "full/inner",
            "full/..",
            "link",
            "link/",
            "broken",
            "dirlink",
            "dirlink/inner",
            "dirlink/",
            "loop",
            "loop/below",
            "missing/deeper",
            "fifo",
            "with\0nul",
            "locked/inside",
            "frozen/inside",
            "frozen/new",
            "secret",
        ] {
            paths.push((name, self.access.join(name)));
        }
        paths.extend(self.extra.iter().cloned());
        paths
    }

    /// The paths whose opening waits for nobody.
    pub(crate) fn openable(&self) -> Vec<(&'static str, PathBuf)> {
        let mut paths = self.paths();
        paths.retain(|(label, _)| *label != "fifo");
        paths
    }

    /// The paths that make a difference where two are given.
    pub(crate) fn few(&self) -> Vec<(&'static str, PathBuf)> {
        let mut paths = self.paths();
        paths.retain(|(label, _)| {
            [
                "empty",
                "path over the limit",
                "name over the limit",
                "new",
                "file",
                "file/below",
                "dir",
                "full",
                "full/inner",
                "link",
                "broken",
                "loop",
                "missing/deeper",
                "with\0nul",
                "locked/inside",
                "frozen/inside",
                "frozen/new",
            ]
            .contains(label)
                || self.extra.iter().any(|(extra, _)| extra == label)
        });
        paths
    }
}

/// Makes the tree anew.
pub(crate) fn build(root: &Path) {
    remove(root);
    fs::create_dir_all(root).unwrap();
    fs::write(root.join("file"), "content of the file").unwrap();
    fs::create_dir(root.join("dir")).unwrap();
    fs::create_dir(root.join("full")).unwrap();
    fs::write(root.join("full/inner"), "inner").unwrap();
    symlink("file", root.join("link")).unwrap();
    symlink("nowhere", root.join("broken")).unwrap();
    symlink("full", root.join("dirlink")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    nix::unistd::mkfifo(
        &root.join("fifo"),
        nix::sys::stat::Mode::from_bits_truncate(0o600),
    )
    .unwrap();
    for (name, mode) in [("locked", 0o000), ("frozen", 0o555)] {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("inside"), name).unwrap();
        chmod(&root.join(name), mode);
    }
    fs::write(root.join("secret"), "secret").unwrap();
    chmod(&root.join("secret"), 0o000);
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Removes the tree, also where nobody may look into it.
pub(crate) fn remove(root: &Path) {
    open_up(root);
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            panic!("{}: {error}", root.display())
        }
        _ => {}
    }
}

fn open_up(path: &Path) {
    if !fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return;
    }
    chmod(path, 0o755);
    for entry in fs::read_dir(path).unwrap() {
        open_up(&entry.unwrap().path());
    }
}

/// Everything in the tree, one line each.
pub(crate) fn look(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    look_at(root, root, &mut lines);
    lines
}

fn look_at(root: &Path, path: &Path, lines: &mut Vec<String>) {
    let name = path.strip_prefix(root).unwrap();
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return lines.push(format!("{}: {error}", name.display())),
    };
    let set = |time| if time < SET_BEFORE { time } else { 0 };
    let mut line = format!(
        "{} {:o} {}:{} links {} times {},{}",
        name.display(),
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.nlink(),
        set(metadata.mtime()),
        set(metadata.atime()),
    );
    if metadata.is_symlink() {
        line += &format!(" to {:?}", fs::read_link(path).unwrap());
    } else if metadata.is_file() {
        line += &format!(" of {}", metadata.len());
        if metadata.len() < 1 << 20 {
            line += &match fs::read(path) {
                Ok(bytes) => format!(" {:?}", String::from_utf8_lossy(&bytes)),
                Err(error) => format!(" {error}"),
            };
        }
    }
    lines.push(line);
    if metadata.is_dir() {
        let Ok(entries) = fs::read_dir(path) else {
            return;
        };
        let mut below: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        below.sort();
        for path in below {
            look_at(root, &path, lines);
        }
    }
}
