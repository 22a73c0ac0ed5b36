//! Who may do what with a copied file: its mode, owner and lists, whatever the destination's directory hands down.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tidegate::fs::{self as files, Follow, TreeKind};

use super::{all, assert_same, paths, run};

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// Lengths around the limits between the ways that there are to make a file.
const LENGTHS: [usize; 5] = [0, 1, 16 << 10, 256 << 10, (256 << 10) + 1];

const MODES: [u32; 10] = [
    0o600, 0o644, 0o664, 0o755, 0o444, 0o000, 0o077, 0o4755, 0o2750, 0o1666,
];

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// A list that gives a user more than the owning group has.
fn list() -> Vec<u8> {
    const ANYBODY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, ANYBODY),
        (0x02, 6, 1234),
        (0x04, 4, ANYBODY),
        (0x10, 6, ANYBODY),
        (0x20, 0, ANYBODY),
    ];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

/// Those of all that is in a tree, by path and name.
fn attributes(root: &Path) -> BTreeMap<(PathBuf, OsString), Option<Vec<u8>>> {
    wait(async {
        let mut found = BTreeMap::new();
        for path in paths(root) {
            let at = root.join(&path);
            let names = files::list_xattrs(&at, Follow::No).await;
            let names = names.unwrap_or_default().into_iter();
            for name in names.filter(|name| name != "security.selinux") {
                let value = files::get_xattr(&at, &name, Follow::No).await.unwrap();
                found.insert((path.clone(), name), value);
            }
        }
        found
    })
}

fn set(path: &Path, name: &str, value: &[u8]) -> std::io::Result<()> {
    wait(files::set_xattr(path, OsStr::new(name), value, Follow::No))
}

/// Files of all modes and lengths, of several owners, with and without a list and an attribute; whether there are lists.
fn matrix(from: &Path) -> bool {
    let mut has_lists = true;
    for (at, mode) in MODES.into_iter().enumerate() {
        let dir = from.join(format!("{mode:o}"));
        fs::create_dir_all(&dir).unwrap();
        for (number, length) in LENGTHS.into_iter().enumerate() {
            for kind in ["plain", "listed", "marked", "others"] {
                let path = dir.join(format!("{kind}-{length}"));
                let byte = (at * LENGTHS.len() + number) as u8;
                fs::write(&path, vec![byte; length]).unwrap();
                if kind == "others" {
                    chown(&path, Some(1000), Some(1001)).unwrap();
                }
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                match kind {
                    "listed" => has_lists &= set(&path, ACCESS, &list()).is_ok(),
                    "marked" => has_lists &= set(&path, "user.mark", b"mark").is_ok(),
                    _ => {}
                }
            }
        }
    }
    has_lists
}

/// Owner, mode and lists are the source's, also where the directory above hands down a group or a list, in a new tree and
/// over an old one; and nothing else is left there.
#[test]
fn rights_are_the_sources_whatever_is_handed_down() {
    if !nix::unistd::geteuid().is_root() {
        println!("skip: rights_are_the_sources_whatever_is_handed_down: needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    if !matrix(&from) {
        println!("skip: rights_are_the_sources_whatever_is_handed_down: no access lists here");
        return;
    }
    for above in ["plain", "group", "list", "open"] {
        let parent = dir.path().join(above);
        fs::create_dir(&parent).unwrap();
        match above {
            "group" => {
                chown(&parent, None, Some(4321)).unwrap();
                fs::set_permissions(&parent, fs::Permissions::from_mode(0o2755)).unwrap();
            }
            "list" => set(&parent, DEFAULT, &list()).unwrap(),
            "open" => fs::set_permissions(&parent, fs::Permissions::from_mode(0o777)).unwrap(),
            _ => {}
        }
        let to = parent.join("to");
        for _ in 0..2 {
            let outcome = run(all(&from, &to));
            assert!(outcome.failed.is_empty(), "{above} {:?}", outcome.failed);
            assert_same(&from, &to);
            assert_eq!(paths(&to).len(), MODES.len() * (LENGTHS.len() * 4 + 1));
            assert_eq!(attributes(&from), attributes(&to), "{above}");
            let names = fs::read_dir(&parent).unwrap().count();
            assert_eq!(names, 1, "{above}");
        }
    }
}

/// Files that come under one name by the destination's rules, as where letters are folded, replace each other as ever; and
/// what somebody makes in a new directory meanwhile is replaced or kept, as was asked for.
#[test]
fn a_name_that_is_taken_meanwhile_is_replaced_or_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    for number in 0..400 {
        fs::write(from.join(format!("file-{number:03}")), "from").unwrap();
    }
    for keeps in [false, true] {
        let copy = match keeps {
            true => all(&from, &to).keep_existing(),
            false => all(&from, &to),
        };
        wait(async {
            // All that is there is taken, as soon as the directory is.
            let taker = std::thread::spawn({
                let (from, to) = (from.clone(), to.clone());
                move || {
                    while !to.exists() {
                        std::thread::yield_now();
                    }
                    let mut taken = Vec::new();
                    for path in paths(&from) {
                        let made = fs::File::create_new(to.join(&path));
                        if made.is_ok() {
                            taken.push(path);
                        }
                    }
                    taken
                }
            });
            let mut copying = copy.start();
            let (mut copied, mut kept) = (Vec::new(), Vec::new());
            while let Some(event) = copying.next_event().await {
                match event {
                    files::TreeEvent::Copied(one) if one.kind == TreeKind::File => {
                        copied.push(one.path.strip_prefix(&from).unwrap().to_path_buf());
                    }
                    files::TreeEvent::Copied(_) => {}
                    files::TreeEvent::Kept(path) => {
                        kept.push(path.strip_prefix(&from).unwrap().to_path_buf());
                    }
                    other => panic!("{other:?}"),
                }
            }
            let taken = taker.join().unwrap();
            assert_eq!(copied.len() + kept.len(), 400);
            for path in &copied {
                // One that was made after the copy of it had its name was none that could be made.
                assert_eq!(fs::read(to.join(path)).unwrap(), b"from", "{path:?}");
            }
            for path in &kept {
                assert!(taken.contains(path), "{path:?}");
                assert_eq!(fs::read(to.join(path)).unwrap(), b"", "{path:?}");
            }
            assert!(keeps || kept.is_empty());
            assert_eq!(paths(&to), paths(&from));
        });
        fs::remove_dir_all(&to).unwrap();
    }
}
