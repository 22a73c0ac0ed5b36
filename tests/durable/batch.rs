//! Many files at a time.

use std::io::ErrorKind;
use std::path::PathBuf;

use tidegate::Handle;
use tidegate::fs::{AtomicOptions, CommitBatch};
use tidegate::opcode::Kind;
use tidegate::testing::Faults;

use crate::atomic::names;
use crate::common;

fn content(number: usize) -> Vec<u8> {
    number.to_le_bytes().repeat(number * 37 % 50_000)
}

/// Files in several folders, large and small, are all there, each acknowledged, with no more in flight than may be.
#[test]
fn all_files_are_acknowledged() {
    common::on_every_backend(|_| async {
        for (sync, in_flight) in [(true, 4), (false, 32), (true, 1)] {
            let dir = tempfile::tempdir().unwrap();
            let path = |number: usize| dir.path().join(format!("{}/{number}", number % 3));
            (0..3).for_each(|number| std::fs::create_dir(path(number).parent().unwrap()).unwrap());
            let options = AtomicOptions::new().sync(sync);
            let batch = CommitBatch::with_in_flight(options, in_flight);
            let mut acknowledgements = Vec::new();
            for number in 0..40 {
                let mut file = batch.begin(path(number)).await.unwrap();
                for part in content(number).chunks(100_000) {
                    file.write(part.to_vec()).await.unwrap();
                }
                acknowledgements.push(batch.commit(file).await.unwrap());
            }
            for acknowledgement in acknowledgements {
                acknowledgement.await.unwrap();
            }
            for number in 0..40 {
                assert!(std::fs::read(path(number)).unwrap() == content(number));
            }
            let tally = batch.finish().await.unwrap();
            assert_eq!((tally.committed, tally.failed), (40, 0));
        }
    });
}

/// One that cannot be made fails alone, and one that is given up is not there or whole.
#[test]
fn each_file_has_its_own_end() {
    common::on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        let batch = CommitBatch::new(AtomicOptions::new());
        let mut given_up = Vec::new();
        let mut acknowledgements = Vec::new();
        for number in 0..60 {
            let path = match number % 4 {
                0 => dir.path().join("dir"),
                1 => dir.path().join("none").join(number.to_string()),
                _ => dir.path().join(number.to_string()),
            };
            let mut file = batch.begin(&path).await.unwrap();
            file.write(content(number)).await.unwrap();
            let committing = batch.commit(file).await.unwrap();
            match number % 4 {
                3 => given_up.push((number, path)),
                _ => acknowledgements.push((number, committing)),
            }
        }
        for (number, acknowledgement) in acknowledgements {
            let expected = match number % 4 {
                0 => Err(ErrorKind::IsADirectory),
                1 => Err(ErrorKind::NotFound),
                _ => Ok(()),
            };
            let found = acknowledgement.await.map_err(|error| error.kind());
            assert_eq!(found, expected, "{number}");
        }
        let tally = batch.finish().await.unwrap();
        assert_eq!(tally.committed + tally.failed, 60);
        assert!(tally.committed >= 15 && tally.failed >= 30, "{tally:?}");
        let is_whole = |(number, path): (usize, PathBuf)| match std::fs::read(path) {
            Ok(found) => found == content(number),
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        assert!(given_up.into_iter().all(is_whole));
        common::until_idle().await;
        assert!(!names(dir.path()).iter().any(|name| name.ends_with(".tmp")));
    });
}

/// A failure meets the file that it is of.
#[test]
fn a_failure_is_of_one_file() {
    common::runtime(true).block_on(async {
        let faults = Faults::new();
        Handle::builder().faults(faults.clone()).install().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let broken = faults
            .on(Kind::CommitFile)
            .path_is(dir.path().join("7"))
            .fail(5);
        let batch = CommitBatch::new(AtomicOptions::new());
        let mut acknowledgements = Vec::new();
        for number in 0..20 {
            let mut file = batch
                .begin(dir.path().join(number.to_string()))
                .await
                .unwrap();
            file.write(content(number)).await.unwrap();
            acknowledgements.push(batch.commit(file).await.unwrap());
        }
        for (number, acknowledgement) in acknowledgements.into_iter().enumerate() {
            assert_eq!(acknowledgement.await.is_err(), number == 7);
        }
        assert_eq!(broken.hits(), 1);
        let tally = batch.finish().await.unwrap();
        assert_eq!(tally.committed, 19);
        assert_eq!(names(dir.path()).len(), 19);
    });
}

/// One name for many files: all are acknowledged, and one of them is there whole. Where none may be replaced, one is.
#[test]
fn a_name_that_comes_many_times_has_one_of_them() {
    common::on_every_backend(|_| async {
        for (sync, create_new) in [(true, false), (false, false), (true, true), (false, true)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("same");
            let options = AtomicOptions::new().sync(sync).create_new(create_new);
            let batch = CommitBatch::new(options);
            let mut acknowledgements = Vec::new();
            for number in 1..30 {
                let mut file = batch.begin(&path).await.unwrap();
                file.write(content(number)).await.unwrap();
                acknowledgements.push((number, batch.commit(file).await.unwrap()));
            }
            let mut committed = Vec::new();
            for (number, acknowledgement) in acknowledgements {
                match acknowledgement.await {
                    Ok(()) => committed.push(number),
                    Err(error) => {
                        let told = (error.kind(), create_new);
                        assert_eq!(told, (ErrorKind::AlreadyExists, true), "{error}");
                    }
                }
            }
            assert_eq!(committed.len(), if create_new { 1 } else { 29 });
            let found = std::fs::read(&path).unwrap();
            assert!(committed.into_iter().any(|number| content(number) == found));
            assert_eq!(names(dir.path()), ["same"]);
        }
    });
}

/// A folder that goes while its files are on their way takes them along, also where another comes in its place.
#[test]
fn folders_that_go_take_their_files_along() {
    use tokio::io::AsyncWriteExt;
    common::on_every_backend(|_| async {
        for (sync, comes_back) in [(true, false), (false, false), (true, true), (false, true)] {
            let dir = tempfile::tempdir().unwrap();
            let folder = dir.path().join("folder");
            std::fs::create_dir(&folder).unwrap();
            let batch = CommitBatch::new(AtomicOptions::new().sync(sync));
            let mut begun = Vec::new();
            for number in 0..6 {
                // Every other one is so large that it has a file already.
                let bytes = if number % 2 == 0 { 400_000 } else { 4000 };
                let mut file = batch.begin(folder.join(number.to_string())).await.unwrap();
                file.write(vec![7_u8; bytes]).await.unwrap();
                file.flush().await.unwrap();
                begun.push((number, file));
            }
            std::fs::remove_dir_all(&folder).unwrap();
            if comes_back {
                std::fs::create_dir(&folder).unwrap();
            }
            let mut there = Vec::new();
            for (number, file) in begun {
                match batch.commit(file).await.unwrap().await {
                    Ok(()) => there.push(number.to_string()),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                }
            }
            let late = if comes_back {
                vec!["1", "3", "5"]
            } else {
                vec![]
            };
            assert_eq!(there, late);
            if comes_back {
                assert_eq!(names(&folder), late);
            }
            let tally = batch.finish().await.unwrap();
            assert_eq!(tally.committed + tally.failed, 6);
        }
    });
}
