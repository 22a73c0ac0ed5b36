//! Which mount a path or a number leads to, and when the table is read again.

use std::time::Duration;

use super::*;

fn mount(id: u64, parent: u64, device: u64, root: &str, point: &str) -> Mounted {
    Mounted {
        id,
        parent,
        device,
        root: root.into(),
        point: point.into(),
        fs_type: format!("type-{id}"),
        ..Mounted::default()
    }
}

fn table(mounts: &[(u64, u64, u64, &str, &str)]) -> Table {
    let mounts = mounts.iter();
    Table::new(
        mounts
            .map(|&(id, parent, device, root, point)| mount(id, parent, device, root, point))
            .collect(),
    )
}

fn ids(table: &Table) -> Vec<u64> {
    table.reachable().map(|mount| mount.id).collect()
}

/// The deepest point that a path lies under is its mount; names are compared whole.
#[test]
fn a_path_belongs_to_the_deepest_point_above_it() {
    let table = table(&[
        (1, 1, 10, "/", "/"),
        (2, 1, 20, "/", "/mnt"),
        (3, 2, 30, "/", "/mnt/deep"),
    ]);
    for (path, id) in [
        ("/", 1),
        ("/home", 1),
        ("/mnt", 2),
        ("/mnt/a", 2),
        ("/mnt/deep/a/b", 3),
        ("/mnt/deeper", 2),
        ("/mntx", 1),
    ] {
        let found = table.of_path(Path::new(path)).map(|mount| mount.id);
        assert_eq!(found, Some(id), "{path}");
    }
    assert!(table.of_path(Path::new("relative")).is_none());
}

/// Of several mounts at the same point, the last one has the path.
#[test]
fn the_last_of_several_at_one_point_wins() {
    let over_each_other = table(&[
        (1, 1, 10, "/", "/"),
        (2, 1, 20, "/", "/mnt"),
        (3, 2, 30, "/", "/mnt"),
        (4, 3, 40, "/", "/mnt"),
    ]);
    assert_eq!(ids(&over_each_other), [1, 4]);
    let beside_each_other = table(&[
        (1, 1, 10, "/", "/"),
        (2, 1, 20, "/", "/mnt"),
        (3, 1, 30, "/", "/mnt"),
    ]);
    assert_eq!(ids(&beside_each_other), [1, 3]);
}

/// What lies under a mount that came later is not reached, and what lies on that mount is.
#[test]
fn a_mount_above_hides_those_below_its_point() {
    let table = table(&[
        (1, 0, 10, "/", "/"),
        (2, 1, 20, "/", "/a/b"),
        (3, 2, 30, "/", "/a/b/c"),
        (4, 1, 40, "/", "/a"),
        (5, 4, 50, "/", "/a/b"),
    ]);
    assert_eq!(ids(&table), [1, 4, 5]);
    let found = table.of_path(Path::new("/a/b/c/d")).map(|mount| mount.id);
    assert_eq!(found, Some(5));
}

/// A table that was read while it changed may say that mounts lie on each other in a circle.
#[test]
fn a_circle_comes_to_an_end() {
    let table = table(&[(1, 2, 10, "/", "/a"), (2, 1, 20, "/", "/b")]);
    assert!(table.of_path(Path::new("/c")).is_none());
}

/// Where only the device is known, the mount of the whole filesystem is preferred to one of a part.
#[test]
fn a_device_leads_to_the_whole_filesystem() {
    let table = table(&[
        (1, 1, 10, "/", "/"),
        (2, 1, 20, "/", "/disk"),
        (3, 1, 20, "/part", "/bind"),
        (4, 1, 30, "/sub", "/only-a-part"),
    ]);
    assert_eq!(table.of_device(20).unwrap().id, 2);
    assert_eq!(table.of_device(30).unwrap().id, 4);
    assert!(table.of_device(99).is_none());
    assert_eq!(table.of_id(3).unwrap().id, 3);
    assert!(table.of_id(0).is_none());
}

/// A mount that is not there yet has the table read again, but not at every question.
#[test]
fn what_is_not_found_has_the_table_read_again_but_not_at_once() {
    let mut cache = Cache {
        table: None,
        read_at: None,
    };
    let mut now = Instant::now();
    let mut reads = 0;
    let mut find = |now, id: u64, there: &[(u64, u64, u64, &'static str, &'static str)]| {
        let read = || {
            reads += 1;
            Ok(table(there))
        };
        let found = cache.find(now, read, |table| table.of_id(id).map(|mount| mount.id));
        (found, reads)
    };
    let one = [(1, 1, 10, "/", "/")];
    let two = [one[0], (2, 1, 20, "/", "/mnt")];
    assert_eq!(find(now, 1, &one), (Some(1), 1));
    assert_eq!(find(now, 1, &two), (Some(1), 1));
    assert_eq!(find(now, 2, &two), (None, 1));
    now += limits::MOUNT_TABLE_KEPT;
    assert_eq!(find(now, 2, &two), (Some(2), 2));
    now += Duration::from_secs(3600);
    assert_eq!(find(now, 2, &[]), (Some(2), 2));
}

/// Without a table nothing is found, and it is not tried at every question.
#[test]
fn a_table_that_cannot_be_read_is_not_asked_for_all_the_time() {
    let mut cache = Cache {
        table: None,
        read_at: None,
    };
    let now = Instant::now();
    let mut reads = 0;
    for at in [now, now, now + limits::MOUNT_TABLE_KEPT] {
        let read = || {
            reads += 1;
            Err(io::ErrorKind::NotFound.into())
        };
        let found = cache.find(at, read, |table| table.of_id(1).map(|mount| mount.id));
        assert_eq!(found, None);
    }
    assert_eq!(reads, 2);
}

/// The machine's own table has the root.
#[test]
#[cfg(target_os = "linux")]
fn the_root_is_mounted() {
    let found = find(|table| table.of_path(Path::new("/")).map(place));
    assert_eq!(found.unwrap().0, Path::new("/"));
}
