//! Files whose content is elsewhere: they are told, and not fetched where the handle refuses (V16, V20).

mod common;

use std::io;
use std::path::{Path, PathBuf};

use common::{routes, runtime};
use tidegate::fs::{self, Dir, File, OpenOptions};
use tidegate::opcode::Kind;
use tidegate::testing::Faults;
use tidegate::{Dataless, Error, Handle, Route};

struct Place {
    faults: Faults,
    dir: tempfile::TempDir,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn on_each<F: Future<Output = ()>>(dataless: Dataless, test: impl Fn(Place) -> F) {
    for route in routes() {
        eprintln!("on {route:?}");
        runtime(route != Route::Pool).block_on(async {
            let faults = Faults::new();
            let builder = Handle::builder().route(route).faults(faults.clone());
            let handle = builder.dataless(dataless).install().unwrap();
            assert_eq!(handle.settings().dataless, dataless);
            let dir = tempfile::tempdir().unwrap();
            for name in ["cloud", "here"] {
                std::fs::write(dir.path().join(name), name).unwrap();
            }
            test(Place { faults, dir }).await;
        });
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: io::Result<T>, path: &Path) -> Kind {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Deadlock);
    assert!(error.to_string().contains("elsewhere"), "{error}");
    let typed = Error::from_io(&error).unwrap();
    assert!(matches!(typed, Error::Dataless { .. }), "{typed:?}");
    assert_eq!(typed.path(), Some(path));
    typed.operation().unwrap()
}

/// Whatever would fetch the content fails at once; attributes, names and other files are as ever.
#[test]
fn a_handle_that_refuses_fetches_nothing() {
    on_each(Dataless::Refuse, |place| async move {
        let (cloud, here) = (place.path("cloud"), place.path("here"));
        let rule = place.faults.on_any_kind().path_is(&cloud).dataless();
        assert_eq!(refused(File::open(&cloud).await, &cloud), Kind::Open);
        let std = std::fs::File::options().read(true).clone();
        assert_eq!(
            refused(OpenOptions::from(std).open(&cloud).await, &cloud),
            Kind::Open
        );
        refused(fs::read(&cloud).await, &cloud);
        refused(fs::read_to_string(&cloud).await, &cloud);
        assert_eq!(
            refused(fs::copy(&cloud, place.path("new")).await, &cloud),
            Kind::CopyFile
        );
        let dir = Dir::open(&place.dir).await.unwrap();
        let read = OpenOptions::new().read(true).clone();
        let opened = dir.open_file("cloud", &read);
        refused(opened.await, Path::new("cloud"));

        assert_eq!(fs::metadata(&cloud).await.unwrap().len(), 5);
        assert!(fs::statx(&cloud).await.unwrap().is_dataless());
        assert!(!fs::statx(&here).await.unwrap().is_dataless());
        assert_eq!(fs::read(&here).await.unwrap(), b"here");
        fs::rename(&cloud, place.path("moved")).await.unwrap();
        fs::rename(place.path("moved"), &cloud).await.unwrap();
        assert!(rule.hits() >= 8);
        drop(rule);
        assert_eq!(fs::read(&cloud).await.unwrap(), b"cloud");
        assert!(!fs::statx(&cloud).await.unwrap().is_dataless());
    });
}

/// Without the policy, such a file is told from others and opened as any.
#[test]
fn a_handle_that_fetches_only_tells() {
    on_each(Dataless::Fetch, |place| async move {
        let cloud = place.path("cloud");
        let file = File::open(&cloud).await.unwrap();
        let rule = place.faults.on_any_kind().path_is(&cloud).dataless();
        assert_eq!(fs::read(&cloud).await.unwrap(), b"cloud");
        assert!(fs::statx(&cloud).await.unwrap().is_dataless());
        assert!(file.statx().await.unwrap().is_dataless());
        drop(rule);
        assert!(!file.statx().await.unwrap().is_dataless());
    });
}
