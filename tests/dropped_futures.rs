//! The table of the guide about dropped futures: it names every function that tokio has, and says of each what
//! happens (V13).

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use common::{routes, runtime};
use tidegate::fs::{self, DirBuilder, File};
use tidegate::testing::Faults;
use tidegate::{Handle, Route};

const GUIDE: &str = include_str!("../src/guide/dropped_futures.rs");
const PARITY: &str = include_str!("../docs/audits/tokio-fs-parity.md");
const PATIENCE: Duration = Duration::from_secs(20);
/// More steps than any function has.
const STEPS_MAX: u64 = 20;

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Each function of the table, with what the table says of it.
fn table() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let rows = GUIDE
        .lines()
        .filter_map(|line| line.strip_prefix("//! | ["));
    for row in rows {
        let mut columns = row.split(" | ");
        let (functions, says) = (columns.next().unwrap(), columns.next().unwrap());
        let says = says.split("**").nth(1).unwrap();
        for function in functions.split('`').skip(1).step_by(2) {
            let twice = found.insert(function.to_owned(), says.to_owned());
            assert!(twice.is_none(), "{function} is there twice");
        }
    }
    found
}

#[test]
fn the_table_has_all_functions_of_tokio() {
    let of_tokio: BTreeSet<&str> = PARITY
        .lines()
        .filter(|line| line.contains("| `async ") && !line.contains("for Windows alone"))
        .map(|line| line.split('`').nth(1).unwrap())
        .collect();
    let table = table();
    let ours: BTreeSet<&str> = table.keys().map(String::as_str).collect();
    assert!(of_tokio.len() > 30);
    assert_eq!(ours, of_tokio);
}

/// A folder with something for each function.
fn fresh() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("tree/a/b")).unwrap();
    std::fs::create_dir(at("empty")).unwrap();
    for name in ["file", "other", "tree/one", "tree/a/two", "tree/a/b/three"] {
        std::fs::write(at(name), "content").unwrap();
    }
    std::os::unix::fs::symlink("file", at("link")).unwrap();
    dir
}

/// All that the folder has, but for times that nobody set.
fn picture(dir: &Path) -> String {
    let (mut text, mut folders) = (String::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(dir.join(&folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let path = folder.join(name);
            let metadata = std::fs::symlink_metadata(dir.join(&path)).unwrap();
            let is_set = metadata.mtime() < 1000;
            let content = metadata.is_file().then(|| std::fs::read(dir.join(&path)));
            let content = content.map(|content| content.unwrap().len());
            let (mode, links) = (
                metadata.mode(),
                metadata.is_file().then(|| metadata.nlink()),
            );
            writeln!(text, "{path:?} {mode:o} {links:?} {content:?} {is_set}").unwrap();
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    text
}

/// A call as a task.
macro_rules! call {
    ($call:expr) => {{
        let call = $call;
        Box::pin(async move {
            let _ = call.await;
        })
    }};
}

/// Opens what the call needs, and gives the call.
async fn call(function: &str, dir: &Path) -> Call {
    match function.contains("::") {
        true => method(function, dir).await,
        false => free_function(function, dir),
    }
}

fn free_function(function: &str, dir: &Path) -> Call {
    let at = |name: &str| dir.join(name);
    let read_only = Permissions::from_mode(0o400);
    match function {
        "canonicalize" => call!(fs::canonicalize(at("link"))),
        "metadata" => call!(fs::metadata(at("file"))),
        "read" => call!(fs::read(at("file"))),
        "read_dir" => call!(fs::read_dir(at("tree"))),
        "read_link" => call!(fs::read_link(at("link"))),
        "read_to_string" => call!(fs::read_to_string(at("file"))),
        "symlink_metadata" => call!(fs::symlink_metadata(at("link"))),
        "try_exists" => call!(fs::try_exists(at("file"))),
        "create_dir" => call!(fs::create_dir(at("new"))),
        "create_dir_all" => call!(fs::create_dir_all(at("new/a/b"))),
        "hard_link" => call!(fs::hard_link(at("file"), at("new"))),
        "remove_dir" => call!(fs::remove_dir(at("empty"))),
        "remove_dir_all" => call!(fs::remove_dir_all(at("tree"))),
        "remove_file" => call!(fs::remove_file(at("file"))),
        "rename" => call!(fs::rename(at("file"), at("other"))),
        "set_permissions" => call!(fs::set_permissions(at("file"), read_only)),
        "symlink" => call!(fs::symlink("file", at("new"))),
        "copy" => call!(fs::copy(at("file"), at("new"))),
        "write" => call!(fs::write(at("file"), "longer content")),
        other => panic!("{other} is not tried"),
    }
}

async fn method(function: &str, dir: &Path) -> Call {
    let at = |name: &str| dir.join(name);
    let open = || async {
        let options = File::options().read(true).write(true).clone();
        options.open(at("file")).await.unwrap()
    };
    macro_rules! of_file {
        (|$file:ident| $call:expr) => {{
            let $file = open().await;
            Box::pin(async move {
                let _ = $call.await;
            })
        }};
    }
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let read_only = Permissions::from_mode(0o400);
    match function {
        "DirEntry::file_type" | "DirEntry::metadata" => {
            let is_type = function.ends_with("type");
            let mut entries = fs::read_dir(at("tree")).await.unwrap();
            let entry = entries.next_entry().await.unwrap().unwrap();
            Box::pin(async move {
                match is_type {
                    true => drop(entry.file_type().await),
                    false => drop(entry.metadata().await),
                }
            })
        }
        "ReadDir::next_entry" => {
            let mut entries = fs::read_dir(at("tree")).await.unwrap();
            Box::pin(async move { while entries.next_entry().await.unwrap().is_some() {} })
        }
        "File::open" => call!(File::open(at("file"))),
        "File::create" => call!(File::create(at("other"))),
        "File::create_new" => call!(File::create_new(at("new"))),
        "OpenOptions::open" => {
            let options = File::options().append(true).create(true).clone();
            let path = at("new");
            Box::pin(async move { drop(options.open(path).await) })
        }
        "File::metadata" => of_file!(|file| file.metadata()),
        "File::try_clone" => of_file!(|file| file.try_clone()),
        "File::into_std" => of_file!(|file| file.into_std()),
        "File::set_len" => of_file!(|file| file.set_len(3)),
        "File::set_modified" => of_file!(|file| file.set_modified(past)),
        "File::set_permissions" => of_file!(|file| file.set_permissions(read_only)),
        "File::set_times" => {
            let times = fs::FileTimes::new().set_modified(past);
            of_file!(|file| file.set_times(times))
        }
        "File::sync_all" => of_file!(|file| file.sync_all()),
        "File::sync_data" => of_file!(|file| file.sync_data()),
        "DirBuilder::create" => {
            let (mut builder, path) = (DirBuilder::new(), at("new"));
            Box::pin(async move { drop(builder.mode(0o700).create(path).await) })
        }
        other => panic!("{other} is not tried"),
    }
}

/// How the call comes to its end before it is done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Aborted,
    /// With its runtime, which it was spawned on.
    WithRuntime,
}

/// Withholds one operation of the call, ends the call, and lets the operation go; the picture then, or
/// `None` if the call was done before.
fn ended_at(function: &str, route: Route, end: End, step: u64, honours: bool) -> Option<String> {
    let dir = fresh();
    let runtime = runtime(route != Route::Pool);
    let faults = Faults::new();
    let (handle, stuck, task) = runtime.block_on(async {
        let builder = Handle::builder().route(route).faults(faults.clone());
        let handle = builder.install().unwrap();
        let call = call(function, dir.path()).await;
        let rule = faults.on_any_kind().under(&dir).after(step).times(1);
        let stuck = match honours {
            true => rule.honours_cancel().never(),
            false => rule.never(),
        };
        let task = tokio::spawn(call);
        while stuck.hits() == 0 && !task.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (handle, stuck, task)
    });
    let was_stuck = stuck.hits() > 0;
    if end == End::WithRuntime {
        drop(runtime);
    } else {
        runtime.block_on(async {
            task.abort();
            let _ = task.await;
        });
    }
    stuck.release();
    let began = Instant::now();
    while handle.stats().in_flight > 0 {
        assert!(
            began.elapsed() < PATIENCE,
            "{function} leaves something in flight"
        );
        std::thread::yield_now();
    }
    was_stuck.then(|| picture(dir.path()))
}

fn done(function: &str) -> String {
    let dir = fresh();
    runtime(true).block_on(async { call(function, dir.path()).await.await });
    picture(dir.path())
}

#[test]
fn a_dropped_future_does_as_the_table_says() {
    let before = picture(fresh().path());
    for (function, says) in table() {
        let after = done(&function);
        let changes = after != before;
        match says.as_str() {
            "nothing" | "closed" => assert!(!changes, "{function} changes something"),
            _ => assert!(
                changes || function.contains("sync"),
                "{function} changes nothing"
            ),
        }
        for route in routes() {
            for end in [End::Aborted, End::WithRuntime] {
                let what = format!("{function} on {route:?}, {end:?}");
                // Before anything was begun.
                let found = ended_at(&function, route, end, 0, true).unwrap_or(before.clone());
                assert_eq!(found, before, "{what}: cancelled before it began");
                for step in 0..STEPS_MAX {
                    let Some(found) = ended_at(&function, route, end, step, false) else {
                        break;
                    };
                    let what = format!("{what}, withheld at {step}");
                    match says.as_str() {
                        "nothing" | "closed" => assert_eq!(found, before, "{what}"),
                        "not at all or to the end" => {
                            // What is withheld when its driver ends may be sent on or not.
                            let not_at_all = end == End::WithRuntime && found == before;
                            assert!(not_at_all || found == after, "{what}: {found}");
                        }
                        // A later step may be the last that counts.
                        "perhaps in part" => assert!(step > 0 || found != after, "{what}"),
                        other => panic!("{other}: what is that?"),
                    }
                }
            }
        }
    }
}

/// What the page on moving says of `num_alive_tasks`.
#[test]
fn an_idle_runtime_has_the_tasks_that_the_guide_names() {
    for route in routes() {
        let runtime = runtime(true);
        assert_eq!(runtime.metrics().num_alive_tasks(), 0);
        let dir = fresh();
        runtime.block_on(async {
            Handle::builder().route(route).install().unwrap();
            fs::write(dir.path().join("file"), "x").await.unwrap();
            fs::read(dir.path().join("file")).await.unwrap();
        });
        // One for the end of the runtime, and at most one for each of two workers and the caller.
        let alive = runtime.metrics().num_alive_tasks();
        let most = if route == Route::Pool { 1 } else { 4 };
        assert!((1..=most).contains(&alive), "{alive} tasks on {route:?}");
    }
}
