//! Options: which go together, and what they do.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, symlink};

use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::fs::{File, OpenOptions};
use super::{errno, run};

const ELOOP: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };

/// Options of both crates from the same letters.
fn options(letters: &str) -> (OpenOptions, std::fs::OpenOptions) {
    let (mut ours, mut std_s) = (OpenOptions::new(), std::fs::OpenOptions::new());
    for letter in letters.chars() {
        match letter {
            'r' => (ours.read(true), std_s.read(true)),
            'w' => (ours.write(true), std_s.write(true)),
            'a' => (ours.append(true), std_s.append(true)),
            't' => (ours.truncate(true), std_s.truncate(true)),
            'c' => (ours.create(true), std_s.create(true)),
            _ => (ours.create_new(true), std_s.create_new(true)),
        };
    }
    (ours, std_s)
}

/// Every combination of the six options, on a file that is there, and where none is: the same outcome
/// as of std, and the same file afterwards.
#[test]
fn every_combination_does_what_std_s_does() {
    run(|dir| async move {
        for bits in 0..64 {
            let letters: Vec<char> = "rwatcn".chars().collect();
            let chosen = (0..6).filter(|bit| bits & 1 << bit != 0);
            let letters: String = chosen.map(|bit| letters[bit]).collect();
            let (ours, std_s) = options(&letters);
            for there in [true, false] {
                let path = dir.at("file");
                let prepare = || match there {
                    true => std::fs::write(&path, "text").unwrap(),
                    false => drop(std::fs::remove_file(&path)),
                };
                prepare();
                let expected = std_s.open(&path).map(drop);
                let expected = expected.map_err(|e| (e.kind(), e.raw_os_error()));
                let content = std::fs::read(&path).ok();
                prepare();
                let found = ours.open(&path).await.map(drop);
                let found = found.map_err(|e| (e.kind(), errno(&e)));
                let found = (found.map_err(|(kind, _)| kind), std::fs::read(&path).ok());
                let expected = (expected.map_err(|(kind, _)| kind), content);
                assert_eq!(found, expected, "{letters:?}, there: {there}");
            }
        }
    });
}

#[test]
fn without_options_nothing_is_opened() {
    run(|dir| async move {
        let path = dir.with("file", "");
        for options in [OpenOptions::new(), OpenOptions::default(), File::options()] {
            let error = options.open(&path).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn an_option_may_be_turned_off_again_and_a_clone_goes_its_own_way() {
    run(|dir| async move {
        let path = dir.with("file", "text");
        let mut options = OpenOptions::new();
        options.write(true).truncate(true).truncate(false);
        let mut clone = options.clone();
        clone.create_new(true);
        options.open(&path).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
        let error = clone.open(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(format!("{options:?}").contains("OpenOptions"));
    });
}

#[test]
fn a_new_file_is_not_made_through_a_link() {
    run(|dir| async move {
        symlink("none", dir.at("link")).unwrap();
        let error = File::create_new(dir.at("link")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(!dir.at("none").exists());
        File::create(dir.at("link")).await.unwrap();
        assert!(dir.at("none").exists());
    });
}

#[test]
fn a_new_file_is_read_and_written_and_one_that_is_created_only_written() {
    run(|dir| async move {
        let mut file = File::create_new(dir.at("file")).await.unwrap();
        file.write_all(b"text").await.unwrap();
        file.rewind().await.unwrap();
        assert_eq!(file.read(&mut [0; 8]).await.unwrap(), 4);
        let error = File::create_new(dir.at("file")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let mut file = File::create(dir.at("file")).await.unwrap();
        assert_eq!(std::fs::metadata(dir.at("file")).unwrap().len(), 0);
        assert!(file.read(&mut [0; 8]).await.is_err());
    });
}

#[test]
fn the_mode_is_of_new_files_alone() {
    run(|dir| async move {
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o640);
        options.open(dir.at("new")).await.unwrap();
        assert_eq!(
            std::fs::metadata(dir.at("new")).unwrap().mode() & 0o7777,
            0o640
        );
        options.mode(0o600).open(dir.at("new")).await.unwrap();
        assert_eq!(
            std::fs::metadata(dir.at("new")).unwrap().mode() & 0o7777,
            0o640
        );
        File::create(dir.at("plain")).await.unwrap();
        std::fs::File::create(dir.at("of_std")).unwrap();
        let of_std = std::fs::metadata(dir.at("of_std")).unwrap().mode();
        assert_eq!(std::fs::metadata(dir.at("plain")).unwrap().mode(), of_std);
    });
}

#[test]
fn further_flags_are_passed_on_and_do_not_change_the_access() {
    run(|dir| async move {
        let path = dir.with("file", "text");
        symlink("file", dir.at("link")).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nix::libc::O_NOFOLLOW);
        let error = options.open(dir.at("link")).await.unwrap_err();
        assert_eq!(errno(&error), Some(ELOOP));
        options.custom_flags(nix::libc::O_DIRECTORY);
        let error = options.open(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
        options.custom_flags(nix::libc::O_RDWR);
        let mut file = options.open(&path).await.unwrap();
        assert_eq!(file.write(b"X").await.unwrap(), 1);
        assert!(file.flush().await.is_err());
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(nix::libc::O_APPEND);
        let mut file = options.open(&path).await.unwrap();
        file.write_all(b"!").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"text!");
    });
}

/// What is wrong with the options is told before what is wrong with the name, or after it, as std and the system do.
#[cfg(target_os = "linux")]
#[test]
fn bad_options_and_bad_names_are_told_in_the_order_of_std() {
    use nix::libc;
    use std::os::unix::fs::OpenOptionsExt;

    run(|dir| async move {
        std::fs::create_dir(dir.at("folder")).unwrap();
        dir.with("file", "text");
        let flags = [
            0,
            libc::O_DIRECTORY,
            libc::O_TMPFILE,
            libc::O_TMPFILE & !libc::O_DIRECTORY,
            libc::O_PATH,
            libc::O_PATH | libc::O_TMPFILE,
            libc::O_CREAT | libc::O_DIRECTORY,
            libc::O_NOFOLLOW | libc::O_EXCL,
        ];
        let names = [
            String::new(),
            "x/".repeat(3000),
            "n".repeat(256),
            "none/n".to_owned(),
            "file/n".to_owned(),
            "a\0b".to_owned(),
        ];
        for letters in ["", "r", "rw", "rc", "wc", "wn", "wat"] {
            for (flags, name) in flags
                .iter()
                .flat_map(|flags| names.iter().map(move |name| (*flags, name)))
            {
                let (mut ours, mut std_s) = options(letters);
                let path = match name.as_str() {
                    "" => std::path::PathBuf::new(),
                    name => dir.at(name),
                };
                let expected = std_s.custom_flags(flags).open(&path).unwrap_err();
                let found = ours.custom_flags(flags).open(&path).await.unwrap_err();
                let (found, expected) = [found, expected]
                    .map(|error| (error.kind(), error.raw_os_error()))
                    .into();
                let name = &name[..name.len().min(20)];
                assert_eq!(found, expected, "{letters:?} {flags:o} {name:?}");
            }
        }
    });
}

#[test]
fn options_of_std_keep_their_meaning() {
    run(|dir| async move {
        let mut of_std = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(&mut of_std, 0o600);
        of_std.append(true).create(true);
        let options = OpenOptions::from(of_std);
        for _ in 0..2 {
            let mut file = options.open(dir.at("file")).await.unwrap();
            file.write_all(b"ab").await.unwrap();
            file.flush().await.unwrap();
        }
        assert_eq!(std::fs::read(dir.at("file")).unwrap(), b"abab");
        assert_eq!(
            std::fs::metadata(dir.at("file")).unwrap().mode() & 0o7777,
            0o600
        );
    });
}

#[test]
fn options_of_std_take_further_ones() {
    run(|dir| async move {
        let path = dir.with("file", "text");
        let mut of_std = std::fs::OpenOptions::new();
        of_std.write(true);
        let mut options = OpenOptions::from(of_std);
        options.read(true).truncate(true);
        let mut file = options.open(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        file.write_all(b"new").await.unwrap();
        file.rewind().await.unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "new");
    });
}
