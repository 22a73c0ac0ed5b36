//! Each operation of the op table gives what std gives: bytes, kind, errno and the tree it leaves, on
//! every backend, for good and for bad input (INV-9, R7, R86, R90).

#[path = "parity/beyond.rs"]
mod beyond;
#[path = "parity/case.rs"]
mod case;
mod common;
#[path = "parity/dirs.rs"]
mod dirs;
#[path = "parity/files.rs"]
mod files;
#[path = "parity/provided.rs"]
mod provided;
#[path = "parity/raw.rs"]
mod raw;
#[path = "parity/raw_at.rs"]
mod raw_at;
#[path = "parity/table.rs"]
mod table;
#[path = "parity/tree.rs"]
mod tree;

use std::path::Path;

use common::child::{in_child_without_privileges, is_root};
use common::on_routes_with;
use tidegate::opcode::TABLE;
use tidegate::{Errors, Route};
use tree::Place;

/// Runs every case of the table in a place, and returns what differs.
fn differences(place: &Place) -> Vec<String> {
    tree::build(&place.build);
    let fresh = tree::look(&place.build);
    let mut cases = Vec::new();
    for row in TABLE {
        match table::cases(row.kind, place) {
            None => panic!("the operation {} has no case in tests/parity", row.name),
            Some(Err(_)) => {}
            Some(Ok(of_row)) => {
                assert!(!of_row.is_empty(), "{} is not tried", row.name);
                let with_std = of_row.into_iter().map(|case| {
                    let theirs = case.theirs(place, &fresh);
                    (row.name, case, theirs)
                });
                cases.extend(with_std);
            }
        }
    }
    eprintln!("{} cases", cases.len());
    let found = std::cell::RefCell::new(Vec::new());
    for errors in [Errors::Plain, Errors::Named] {
        // Where errors get their names, no route counts any more.
        let routes = match errors {
            Errors::Named => vec![Route::Auto],
            _ => common::routes(),
        };
        on_routes_with(&routes, errors, |route| {
            let (cases, fresh, found) = (&cases, &fresh, &found);
            async move {
                for (name, case, theirs) in cases {
                    if let Some(text) = case.differs(place, fresh, theirs).await {
                        let label = &case.label;
                        let text = format!("{name} {label} on {route:?}, {errors:?}: {text}");
                        found.borrow_mut().push(text);
                    }
                }
            }
        });
    }
    tree::remove(&place.build);
    found.into_inner()
}

fn assert_equal(place: &Place) {
    let mut found = differences(place);
    found.dedup();
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap()
}

#[test]
fn every_operation_does_what_std_does() {
    let dir = scratch();
    assert_equal(&Place::new(&dir.path().join("tree")));
}

/// Without permission: for all users, and for all but the owner.
#[test]
fn without_permission_every_operation_does_what_std_does() {
    let test = "without_permission_every_operation_does_what_std_does";
    in_child_without_privileges(test, || {
        assert!(!is_root());
        let dir = tempfile::tempdir().unwrap();
        let mut place = Place::new(&dir.path().join("tree"));
        // Somebody else's. As nobody is privileged here, they come to no harm.
        place.extra = vec![
            ("a foreign file", "/etc/passwd".into()),
            ("a foreign directory", "/etc".into()),
            ("in a foreign directory", "/etc/tidegate-test".into()),
            ("a foreign device", "/dev/null".into()),
        ];
        assert_equal(&place);
    });
}

/// Where nothing can be changed.
#[cfg(target_os = "linux")]
#[test]
fn read_only_every_operation_does_what_std_does() {
    use nix::mount::{MsFlags, mount};
    common::child::in_child_with_own_mounts("read_only_every_operation_does_what_std_does", || {
        let dir = tempfile::tempdir().unwrap();
        let (parent, frozen) = (dir.path().join("parent"), dir.path().join("frozen"));
        std::fs::create_dir_all(&parent).unwrap();
        std::fs::create_dir_all(&frozen).unwrap();
        let (from, bind) = (Some(&parent), MsFlags::MS_BIND);
        mount(from, &frozen, None::<&str>, bind, None::<&str>).unwrap();
        let again = bind | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, &frozen, None::<&str>, again, None::<&str>).unwrap();
        let mut place = Place::new(&parent.join("tree"));
        place.access = frozen.join("tree");
        let _unmounted = Unmount(frozen);
        assert_equal(&place);
    });
}

/// Ends a mount before the directory above it is removed.
#[cfg(target_os = "linux")]
struct Unmount(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Drop for Unmount {
    fn drop(&mut self) {
        let lazily = nix::mount::MntFlags::MNT_DETACH;
        let unmounted = nix::mount::umount2(&self.0, lazily);
        assert!(unmounted.is_ok() || std::thread::panicking());
    }
}

/// On a filesystem of another kind: in memory, with other limits and errors than a disk's.
#[cfg(target_os = "linux")]
#[test]
fn in_memory_every_operation_does_what_std_does() {
    use nix::mount::{MsFlags, mount};
    common::child::in_child_with_own_mounts("in_memory_every_operation_does_what_std_does", || {
        let dir = tempfile::tempdir().unwrap();
        let (none, options) = (None::<&str>, Some("size=4m,nr_inodes=100"));
        mount(none, dir.path(), Some("tmpfs"), MsFlags::empty(), options).unwrap();
        let _unmounted = Unmount(dir.path().to_path_buf());
        assert_equal(&Place::new(&dir.path().join("tree")));
    });
}
