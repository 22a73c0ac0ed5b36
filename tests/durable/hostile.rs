//! Paths and folders that are made to be difficult: whatever is refused is told, what was there stays, and nothing is left.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use tidegate::fs::{AtomicOptions, CommitBatch, write_atomic};
#[cfg(target_os = "linux")]
use tidegate::fs::{Follow, copy, get_xattr, set_xattr};

use crate::atomic::names;
use crate::common;
use crate::common::child;

/// Both ways to give a path new content come to this end.
async fn end(path: &Path, options: &AtomicOptions) -> Result<(), ErrorKind> {
    let written = write_atomic(path, "new", options.clone()).await;
    let written = written.map_err(|error| error.kind());
    let batch = CommitBatch::new(options.clone());
    let mut file = batch.begin(path).await.unwrap();
    file.write("new").await.unwrap();
    let committed = batch.commit(file).await.unwrap().await;
    assert_eq!(written, committed.map_err(|error| error.kind()), "{path:?}");
    written
}

fn options() -> [AtomicOptions; 2] {
    [true, false].map(|sync| AtomicOptions::new().sync(sync))
}

/// Somebody else's file in a folder where each may remove his own only, a folder that takes no names, and one that
/// cannot be listed.
#[test]
fn folders_of_others_are_respected() {
    let test = "hostile::folders_of_others_are_respected";
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let set = |name: &str, mode| {
        std::fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    const FOLDER: &str = "TIDEGATE_TEST_FOLDER";
    if let (true, Some(folder)) = (child::is_child(test), std::env::var_os(FOLDER)) {
        let at = |name: &str| Path::new(&folder).join(name);
        return common::on_every_backend(|_| async {
            for options in options() {
                let sticky = end(&at("sticky/theirs"), &options).await;
                assert_eq!(sticky, Err(ErrorKind::PermissionDenied));
                end(&at("sticky/mine"), &options).await.unwrap();
                let closed = end(&at("closed/theirs"), &options).await;
                assert_eq!(closed, Err(ErrorKind::PermissionDenied));
                let read_only = end(&at("closed/new"), &options).await;
                assert_eq!(read_only, Err(ErrorKind::PermissionDenied));
            }
            // Names can be made where none can be listed, and not be synced.
            let [synced, unsynced] = options();
            end(&at("unlisted/new"), &unsynced).await.unwrap();
            let synced = end(&at("unlisted/new"), &synced).await;
            assert_eq!(synced, Err(ErrorKind::PermissionDenied));
        });
    }
    if !child::is_root() {
        return eprintln!("skip: folders_of_others_are_respected: making such folders takes root");
    }
    set(".", 0o755);
    for (name, mode) in [("sticky", 0o1777), ("closed", 0o755), ("unlisted", 0o333)] {
        std::fs::create_dir(at(name)).unwrap();
        set(name, mode);
    }
    for name in ["sticky/theirs", "closed/theirs"] {
        std::fs::write(at(name), "old").unwrap();
        set(name, 0o666);
    }
    let mut command = child::command(test);
    command.uid(65534).gid(65534);
    let output = command.env(FOLDER, dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert_eq!(names(&at("sticky")), ["mine", "theirs"]);
    assert_eq!(names(&at("closed")), ["theirs"]);
    assert_eq!(names(&at("unlisted")), ["new"]);
    for name in ["sticky/theirs", "closed/theirs"] {
        assert_eq!(std::fs::read(at(name)).unwrap(), b"old");
    }
}

/// A kernel that protects from links of others. As it was before, once this is dropped; nobody else who does this has it
/// meanwhile.
#[cfg(target_os = "linux")]
struct Protected {
    before: String,
    _alone: nix::fcntl::Flock<std::fs::File>,
}

#[cfg(target_os = "linux")]
impl Protected {
    const SETTING: &str = "/proc/sys/fs/protected_symlinks";

    fn new() -> std::io::Result<Protected> {
        use nix::fcntl::{Flock, FlockArg};
        let setting = std::fs::File::open(Protected::SETTING)?;
        let _alone = Flock::lock(setting, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
        let before = std::fs::read_to_string(Protected::SETTING)?;
        std::fs::write(Protected::SETTING, "1")?;
        Ok(Protected { before, _alone })
    }
}

#[cfg(target_os = "linux")]
impl Drop for Protected {
    fn drop(&mut self) {
        std::fs::write(Protected::SETTING, &self.before).unwrap();
    }
}

/// Whoever puts a link where everybody may put files does not choose what somebody else replaces.
#[cfg(target_os = "linux")]
#[test]
fn links_of_others_are_not_followed() {
    use std::os::unix::fs::{lchown, symlink};
    let test = "hostile::links_of_others_are_not_followed";
    const FOLDER: &str = "TIDEGATE_TEST_FOLDER";
    const NOBODY: Option<u32> = Some(65534);
    if let (true, Some(folder)) = (child::is_child(test), std::env::var_os(FOLDER)) {
        let at = |name: &str| Path::new(&folder).join(name);
        return common::on_every_backend(|_| async {
            for options in options() {
                for name in ["theirs", "dangling"] {
                    let by_std = std::fs::write(at("all").join(name), "new").unwrap_err();
                    assert_eq!(by_std.kind(), ErrorKind::PermissionDenied);
                    let ours = end(&at("all").join(name), &options).await;
                    assert_eq!(ours, Err(ErrorKind::PermissionDenied), "{name}");
                }
                let log = tidegate::fs::AppendWriter::open(at("all/theirs")).await;
                assert_eq!(log.unwrap_err().kind(), ErrorKind::PermissionDenied);
                end(&at("all/mine"), &options).await.unwrap();
            }
        });
    }
    if !child::is_root() {
        return eprintln!("skip: links_of_others_are_not_followed: it takes root");
    }
    let _protected = match Protected::new() {
        Ok(protected) => protected,
        Err(error) => return eprintln!("skip: links_of_others_are_not_followed: {error}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let set = |name: &str, mode| {
        std::fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    set(".", 0o755);
    for (name, mode) in [("all", 0o1777), ("own", 0o755)] {
        std::fs::create_dir(at(name)).unwrap();
        set(name, mode);
    }
    lchown(at("own"), NOBODY, NOBODY).unwrap();
    for name in ["own/secret", "own/open"] {
        std::fs::write(at(name), "old").unwrap();
        lchown(at(name), NOBODY, NOBODY).unwrap();
    }
    let links = [
        ("theirs", "own/secret", 12345),
        ("dangling", "own/made", 12345),
        ("mine", "own/open", 65534),
    ];
    for (name, to, owner) in links {
        symlink(at(to), at("all").join(name)).unwrap();
        lchown(at("all").join(name), Some(owner), None).unwrap();
    }
    let mut command = child::command(test);
    command.uid(65534).gid(65534);
    let output = command.env(FOLDER, dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert_eq!(names(&at("own")), ["open", "secret"]);
    assert_eq!(std::fs::read(at("own/secret")).unwrap(), b"old");
    assert_eq!(std::fs::read(at("own/open")).unwrap(), b"new");
}

/// A list of who may do what: the rights of the owning group stand in it, and the mode's are the most that others get.
#[cfg(target_os = "linux")]
fn access_list(group: u16, other_user: u16, mask: u16) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, NOBODY),
        (0x02, other_user, 12345),
        (0x04, group, NOBODY),
        (0x10, mask, NOBODY),
        (0x20, 0, NOBODY),
    ];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

/// Where an access list does not go over, the group gets what it had, and not what the list gave to others.
#[cfg(target_os = "linux")]
#[test]
fn nobody_gets_more_than_he_had() {
    const LIST: &str = "system.posix_acl_access";
    common::on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let (path, copied) = (dir.path().join("file"), dir.path().join("copied"));
        for (group, other, mask) in [(0, 6, 6), (4, 6, 6), (6, 6, 4), (6, 4, 7)] {
            std::fs::write(&path, "old").unwrap();
            let list = access_list(group, other, mask);
            if let Err(error) = set_xattr(&path, LIST, list.clone(), Follow::Links).await {
                return eprintln!("skip: nobody_gets_more_than_he_had: no access lists: {error}");
            }
            let keeps = AtomicOptions::new().keep_xattrs(true);
            write_atomic(&path, "kept", keeps).await.unwrap();
            let kept = get_xattr(&path, LIST, Follow::Links).await.unwrap();
            assert_eq!(kept.as_deref(), Some(&list[..]));
            let _ = std::fs::remove_file(&copied);
            copy(&path, &copied).await.unwrap();
            end(&path, &AtomicOptions::new()).await.unwrap();
            for new in [&path, &copied] {
                let mode = std::fs::metadata(new).unwrap().permissions().mode();
                let had = u32::from(group & mask) << 3;
                assert_eq!(mode & 0o070 & !had, 0, "{mode:o} {group} {mask} {new:?}");
            }
            assert_eq!(
                std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600 | u32::from(group & mask) << 3
            );
            std::fs::remove_file(&path).unwrap();
        }
    });
}

/// A folder's list for new files is for new ones, and not for those that take another's place.
#[cfg(target_os = "linux")]
#[test]
fn a_folders_list_gives_nobody_more_than_he_had() {
    const LIST: &str = "system.posix_acl_access";
    const OF_NEW_FILES: &str = "system.posix_acl_default";
    common::on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let modes = [0o640, 0o660, 0o600, 0o666, 0o444];
        for mode in modes {
            std::fs::write(at(&format!("{mode}")), "old").unwrap();
            let mode_of = PermissionsExt::from_mode(mode);
            std::fs::set_permissions(at(&format!("{mode}")), mode_of).unwrap();
        }
        let list = access_list(6, 7, 7);
        if let Err(error) = set_xattr(dir.path(), OF_NEW_FILES, list, Follow::Links).await {
            return eprintln!("skip: a_folders_list_gives_nobody_more_than_he_had: {error}");
        }
        for mode in modes {
            let path = at(&format!("{mode}"));
            for options in options() {
                let all = [
                    options.clone(),
                    options.clone().keep_xattrs(true),
                    options.mode(mode),
                ];
                for options in all {
                    end(&path, &options).await.unwrap();
                    let kept = get_xattr(&path, LIST, Follow::Links).await.unwrap();
                    assert_eq!(kept, None, "{mode:o} {options:?}");
                    let found = std::fs::metadata(&path).unwrap().permissions().mode();
                    assert_eq!(found & 0o777, mode, "{options:?}");
                }
            }
        }
        // A new one has what any new file there has, and whatever takes its place.
        let of = async |name| get_xattr(at(name), LIST, Follow::Links).await.unwrap();
        std::fs::write(at("by std"), "new").unwrap();
        let expected = of("by std").await;
        assert!(expected.is_some());
        for options in options() {
            end(&at("new"), &options).await.unwrap();
            assert_eq!(of("new").await, expected);
        }
    });
}

/// A name that something is mounted on cannot get another file, and a device is none.
#[cfg(target_os = "linux")]
#[test]
fn mounted_files_and_devices_stay() {
    use nix::mount::{MsFlags, mount, umount};
    let test = "hostile::mounted_files_and_devices_stay";
    child::in_child_with_own_mounts(test, || {
        common::on_every_backend(|_| async {
            let dir = tempfile::tempdir().unwrap();
            let (path, from) = (dir.path().join("file"), dir.path().join("from"));
            for file in [&path, &from] {
                std::fs::write(file, "old").unwrap();
            }
            let (nothing, bind) = (None::<&str>, MsFlags::MS_BIND);
            mount(Some(&from), &path, nothing, bind, nothing).unwrap();
            for options in options() {
                assert_eq!(end(&path, &options).await, Err(ErrorKind::ResourceBusy));
                let device = end(Path::new("/dev/null"), &options).await;
                assert_eq!(device, Err(ErrorKind::InvalidInput));
            }
            umount(&path).unwrap();
            assert_eq!(names(dir.path()), ["file", "from"]);
            assert_eq!(std::fs::read(&path).unwrap(), b"old");
        });
    });
}

/// Whoever has the old file mapped keeps what he sees.
#[test]
fn mapped_files_keep_their_bytes() {
    common::on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![b'o'; 100_000]).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        // SAFETY: nobody changes the file: its name gets another one.
        let mapped = unsafe { memmap2::Mmap::map(&file) }.unwrap();
        for options in options() {
            end(&path, &options).await.unwrap();
        }
        assert!(mapped.iter().all(|byte| *byte == b'o') && mapped.len() == 100_000);
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    });
}

/// A runtime that ends in the middle leaves each path whole, old or new, and nothing else.
#[test]
fn the_end_of_a_runtime_leaves_whole_files() {
    for route in common::routes() {
        for round in 0..20_u64 {
            let dir = tempfile::tempdir().unwrap();
            let at = |number| dir.path().join(format!("{number:02}"));
            (0..20).for_each(|number| std::fs::write(at(number), "old").unwrap());
            let runtime = common::runtime(round % 2 == 0);
            runtime.block_on(async {
                tidegate::Handle::builder().route(route).install().unwrap();
                for number in 0..20 {
                    let path = at(number);
                    tokio::spawn(write_atomic(path, "new", AtomicOptions::new()));
                }
                for _ in 0..round * 10 {
                    tokio::task::yield_now().await;
                }
            });
            drop(runtime);
            // What is on its way comes to its end on a thread.
            let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while names(dir.path()).len() > 20 && std::time::Instant::now() < end {
                std::thread::yield_now();
            }
            assert_eq!(names(dir.path()).len(), 20);
            for number in 0..20 {
                let found = std::fs::read(at(number)).unwrap();
                assert!(found == b"old" || found == b"new", "{found:?}");
            }
        }
    }
}
