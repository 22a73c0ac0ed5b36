//! What `copy_metadata` and `CopyFile` hand on of rights, as root and as somebody without privileges: access control
//! lists, capabilities, set-user-id and set-group-id bits. Never more than the source gave.
#![cfg(target_os = "linux")]

mod common;
#[path = "fallback/seccomp.rs"]
mod seccomp;

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use tidegate::fs::{self, AtomicOptions, CopyFile, CopyTree, Follow, Preserve, TreeEvent, Warning};

use crate::common::child::{in_child, in_child_without_privileges, is_root};
use crate::common::{on_each_route, runtime};

const ACL: &str = "system.posix_acl_access";
const DEFAULT_ACL: &str = "system.posix_acl_default";
const CAPABILITY: &str = "security.capability";
const SOMEBODY: u32 = 1234;

const ALL: Preserve = Preserve {
    owner: true,
    times: true,
    xattrs: true,
};
const XATTRS: Preserve = Preserve {
    owner: false,
    ..ALL
};

/// A list by which somebody may do as much, and the group and what limits both, too.
fn list(somebody: u16, group: u16, mask: u16) -> Vec<u8> {
    let nobody = u32::MAX;
    let entries = [
        (1_u16, 6, nobody),
        (2, somebody, SOMEBODY),
        (4, group, nobody),
        (16, mask, nobody),
        (32, 0, nobody),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// CAP_NET_RAW, permitted and effective.
fn capability() -> Vec<u8> {
    let parts: [u32; 5] = [0x0200_0001, 1 << 13, 0, 0, 0];
    parts.iter().flat_map(|part| part.to_le_bytes()).collect()
}

async fn of(path: &Path, name: &str) -> Option<Vec<u8>> {
    fs::get_xattr(path, name, Follow::No).await.unwrap()
}

async fn give(path: &Path, name: &str, value: &[u8]) -> std::io::Result<()> {
    fs::set_xattr(path, name, value, Follow::No).await
}

fn make(path: &Path, mode: u32) {
    std::fs::write(path, "text").unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

/// Whether files here take lists and capabilities.
fn can(test: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let options = tidegate::Handle::builder();
    let given = common::runtime(false).block_on(async {
        options.install().unwrap();
        give(dir.path(), ACL, &list(4, 0, 4)).await
    });
    if let Err(error) = &given {
        eprintln!("skip: {test}: no access control lists here: {error}");
    }
    given.is_ok()
}

/// Lists go as they are, and one that was there and not at the source is gone: it would give what the source did not.
async fn lists_go(dir: &Path) {
    let (from, to) = (dir.join("from"), dir.join("to"));
    for (has, had) in [(true, false), (false, true), (true, true), (false, false)] {
        for by_copy in [false, true] {
            let _ = (std::fs::remove_file(&from), std::fs::remove_file(&to));
            make(&from, 0o640);
            make(&to, 0o600);
            if has {
                give(&from, ACL, &list(4, 0, 4)).await.unwrap();
            }
            if had {
                give(&to, ACL, &list(7, 7, 7)).await.unwrap();
            }
            let warnings = if by_copy {
                let copy = CopyFile::new(&from, &to).preserve(XATTRS);
                copy.run().await.unwrap().warnings
            } else {
                fs::copy_metadata(&from, &to, XATTRS).await.unwrap()
            };
            let what = format!("{has}, {had}, by a copy: {by_copy}: {warnings:?}");
            assert!(warnings.is_empty(), "{what}");
            assert_eq!(of(&to, ACL).await, of(&from, ACL).await, "{what}");
            assert_eq!(mode(&to), mode(&from), "{what}");
        }
    }
    // Those of folders, of which the second is for what is made in them.
    let (from, to) = (dir.join("folder"), dir.join("other"));
    std::fs::create_dir(&from).unwrap();
    std::fs::create_dir(&to).unwrap();
    give(&from, ACL, &list(5, 5, 5)).await.unwrap();
    give(&to, DEFAULT_ACL, &list(7, 7, 7)).await.unwrap();
    let warnings = fs::copy_metadata(&from, &to, XATTRS).await.unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(of(&to, ACL).await, of(&from, ACL).await);
    assert_eq!(of(&to, DEFAULT_ACL).await, None);
}

#[test]
fn lists_go_as_they_are() {
    if !can("lists_go_as_they_are") {
        return;
    }
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        lists_go(dir.path()).await;
    });
}

#[test]
fn lists_go_as_they_are_without_privileges() {
    let name = "lists_go_as_they_are_without_privileges";
    if !can(name) {
        return;
    }
    in_child_without_privileges(name, || {
        on_each_route(|_| async {
            let dir = tempfile::tempdir().unwrap();
            lists_go(dir.path()).await;
        });
    });
}

/// Capabilities go with owner and group only, and one that the destination had does not stay for what it has become.
#[test]
fn capabilities_go_with_their_owner() {
    if !is_root() {
        return eprintln!("skip: capabilities_go_with_their_owner: giving them takes root");
    }
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for case in 0..16 {
            let (same, has, had, by_copy) =
                (case & 1 > 0, case & 2 > 0, case & 4 > 0, case & 8 > 0);
            let _ = (std::fs::remove_file(&from), std::fs::remove_file(&to));
            make(&from, 0o755);
            make(&to, 0o700);
            if !same {
                chown(&from, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
            }
            if has {
                give(&from, CAPABILITY, &capability()).await.unwrap();
            }
            if had {
                give(&to, CAPABILITY, &capability()).await.unwrap();
            }
            let warnings = if by_copy {
                let copy = CopyFile::new(&from, &to).preserve(XATTRS);
                copy.run().await.unwrap().warnings
            } else {
                fs::copy_metadata(&from, &to, XATTRS).await.unwrap()
            };
            let what = format!("same {same}, has {has}, had {had}, copy {by_copy}: {warnings:?}");
            assert_eq!(warnings.is_empty(), same || !has, "{what}");
            let expected = (same && has).then(capability);
            assert_eq!(of(&to, CAPABILITY).await, expected, "{what}");
        }
        // All of it, with the owner.
        make(&to, 0o600);
        make(&from, 0o600);
        chown(&from, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        std::fs::set_permissions(&from, Permissions::from_mode(0o6755)).unwrap();
        give(&from, CAPABILITY, &capability()).await.unwrap();
        for by_copy in [false, true] {
            let warnings = match by_copy {
                true => {
                    CopyFile::new(&from, &to)
                        .preserve(ALL)
                        .run()
                        .await
                        .unwrap()
                        .warnings
                }
                false => fs::copy_metadata(&from, &to, ALL).await.unwrap(),
            };
            assert!(warnings.is_empty(), "{warnings:?}");
            assert_eq!(
                (mode(&to), to.metadata().unwrap().uid()),
                (0o6755, SOMEBODY)
            );
            assert_eq!(of(&to, CAPABILITY).await, Some(capability()), "{by_copy}");
        }
    });
}

/// Somebody who may neither give files away nor capabilities is told so, and nothing of it is there.
#[test]
fn without_privileges_rights_stay_behind() {
    let name = "without_privileges_rights_stay_behind";
    if !is_root() && !common::child::is_child(name) {
        return eprintln!("skip: {name}: it takes root to make what is root's");
    }
    // Made as root, before the child becomes somebody else.
    let shared = &std::env::temp_dir().join("tidegate-rights-of-root");
    if is_root() {
        let _ = std::fs::remove_file(shared);
        make(shared, 0o6755);
        let runtime = common::runtime(false);
        runtime.block_on(async {
            give(shared, CAPABILITY, &capability()).await.unwrap();
        });
    }
    in_child_without_privileges(name, || {
        on_each_route(|_| async {
            let dir = tempfile::tempdir().unwrap();
            for by_copy in [false, true] {
                let to = dir.path().join(format!("to{by_copy}"));
                make(&to, 0o600);
                let warnings = match by_copy {
                    true => {
                        CopyFile::new(shared, &to)
                            .preserve(ALL)
                            .run()
                            .await
                            .unwrap()
                            .warnings
                    }
                    false => fs::copy_metadata(shared, &to, ALL).await.unwrap(),
                };
                let told: Vec<_> = warnings.iter().map(|(operation, _)| *operation).collect();
                assert_eq!(told, ["set_owner", "set_xattr"], "{warnings:?}");
                let denied = warnings
                    .iter()
                    .all(|(_, error)| error.kind() == std::io::ErrorKind::PermissionDenied);
                assert!(denied, "{warnings:?}");
                assert_eq!((mode(&to), of(&to, CAPABILITY).await), (0o755, None));
            }
            // Their own files keep their bits, where owner and group are the same.
            let (from, to) = (dir.path().join("own"), dir.path().join("copy"));
            make(&from, 0o6750);
            make(&to, 0o600);
            let warnings = fs::copy_metadata(&from, &to, ALL).await.unwrap();
            assert!(warnings.is_empty(), "{warnings:?}");
            assert_eq!(mode(&to), mode(&from));
            CopyFile::new(&from, &to).preserve(ALL).run().await.unwrap();
            assert_eq!(mode(&to), mode(&from));
        });
    });
    if is_root() {
        std::fs::remove_file(shared).unwrap();
    }
}

/// The warnings of a copied tree.
async fn tree(from: &Path, to: &Path) -> Vec<Warning> {
    let mut copying = CopyTree::new(from, to).start();
    let mut warnings = Vec::new();
    while let Some(event) = copying.next_event().await {
        match event {
            TreeEvent::Copied(copied) => warnings.extend(copied.warnings),
            other => panic!("{other:?}"),
        }
    }
    warnings
}

/// Where nothing but the mode goes over, a list that gives the group less than the mode shows still holds: for files,
/// folders and FIFOs.
#[test]
fn without_their_lists_the_group_gets_no_more() {
    let name = "without_their_lists_the_group_gets_no_more";
    if !can(name) {
        return;
    }
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        make(&from.join("file"), 0o660);
        nix::unistd::mkfifo(&from.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for of in [".", "file", "fifo"] {
            give(&from.join(of), ACL, &list(6, 4, 6)).await.unwrap();
            assert_eq!(mode(&from.join(of)) & 0o070, 0o060, "{of}");
        }
        assert!(tree(&from, &to).await.is_empty());
        for of in [".", "file", "fifo"] {
            assert_eq!(mode(&to.join(of)) & 0o070, 0o040, "{of} of a tree");
        }
        let one = dir.path().join("one");
        fs::copy(from.join("file"), &one).await.unwrap();
        assert_eq!(mode(&one), 0o640);
        make(&one, 0o600);
        fs::copy_metadata(&from, &to, Preserve::default())
            .await
            .unwrap();
        assert_eq!(mode(&to) & 0o070, 0o040);
    });
}

/// A look at a list that fails is not an answer: it is a warning and the group gets nothing, or, where nobody would hear
/// the warning, an error.
#[test]
fn a_list_that_cannot_be_looked_at_is_not_none() {
    let name = "a_list_that_cannot_be_looked_at_is_not_none";
    if can(name) {
        in_child(name, |_| {}, look_refused);
    }
}

fn look_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let folder = dir.join("folder");
    std::fs::create_dir(&folder).unwrap();
    make(&folder.join("file"), 0o660);
    nix::unistd::mkfifo(&folder.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    runtime(false).block_on(async {
        tidegate::Handle::builder().install().unwrap();
        for of in [".", "file", "fifo"] {
            give(&folder.join(of), ACL, &list(6, 0, 6)).await.unwrap();
        }
    });
    let calls = [libc::SYS_getxattr, libc::SYS_lgetxattr, libc::SYS_fgetxattr];
    for errno in [libc::EIO, libc::EACCES, libc::ENOSYS] {
        // Of several filters the last one is heard.
        seccomp::Filter::refuse(&calls.map(|call| call as u32), errno).install();
        on_each_route(|_| async {
            refused(dir, &folder, errno).await;
        });
    }
}

async fn refused(dir: &Path, folder: &Path, errno: i32) {
    let told = |warnings: Vec<Warning>| {
        let looks = warnings.into_iter().map(|(what, error)| {
            assert_eq!(what, "get_xattr", "{error}");
            error.raw_os_error()
        });
        looks.collect::<Vec<_>>()
    };
    let (from, to) = (folder.join("file"), dir.join("to"));
    let copied = CopyFile::new(&from, &to).run().await.unwrap();
    assert_eq!(
        (told(copied.warnings), mode(&to)),
        (vec![Some(errno)], 0o600)
    );

    make(&to, 0o600);
    let warnings = fs::copy_metadata(&from, &to, Preserve::default()).await;
    assert_eq!(
        (told(warnings.unwrap()), mode(&to)),
        (vec![Some(errno)], 0o600)
    );

    let tree_to = dir.join("tree");
    assert_eq!(told(tree(folder, &tree_to).await), [Some(errno); 3]);
    for of in [".", "file", "fifo"] {
        assert_eq!(mode(&tree_to.join(of)) & 0o070, 0, "{of}");
    }
    std::fs::remove_dir_all(&tree_to).unwrap();

    let copied = fs::copy(&from, &to).await;
    match errno {
        // The process sees no lists at all: as with std.
        libc::ENOSYS => assert_eq!((copied.unwrap(), mode(&to)), (4, 0o660)),
        _ => {
            assert_eq!(copied.unwrap_err().raw_os_error(), Some(errno));
            assert_eq!(mode(&to) & 0o070, 0);
        }
    }
    std::fs::remove_file(&to).unwrap();

    // What replaces a file is as it was, or that one stays.
    let replaced = fs::write_atomic(&from, "other", AtomicOptions::new()).await;
    assert_eq!(replaced.unwrap_err().raw_os_error(), Some(errno));
    assert_eq!(std::fs::read_to_string(&from).unwrap(), "text");
}
