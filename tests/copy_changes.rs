//! Trees that are changed while they are copied: what is copied is as its source was at some moment, what is not is named,
//! nothing that stayed where it was is missed in silence, and nothing is left behind.
//!
//! `TIDEGATE_TEST_ROUNDS` says how many trees there are, and `TIDEGATE_TEST_SEED` plays one again.
#![cfg(target_os = "linux")]

#[path = "common/trees.rs"]
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate::fs::{CopyTree, Preserve, TreeEvent};
use trees::{Entry, Random, look};

const ROUNDS: u64 = 40;

/// After this, what does not happen never will.
const BOUND: Duration = Duration::from_secs(60);

/// Where reads and writes of a file do not overlap a change of it without its time saying so: Linux 6.13.
fn tells_every_change() -> bool {
    let release = nix::sys::utsname::uname().unwrap();
    let release = release.release().to_string_lossy().into_owned();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(13))
}

/// Somebody who changes a tree, and what he did.
#[derive(Default)]
struct Changes {
    /// All that each file ever had in it, one after the other, by its inode.
    states: BTreeMap<u64, Vec<Vec<u8>>>,
    /// What was touched: itself, or a name in it.
    touched: BTreeSet<PathBuf>,
    /// Files that got a name elsewhere, or none at all.
    moved: BTreeSet<u64>,
    count: u64,
}

impl Changes {
    fn note(&mut self, file: &File, path: &Path) {
        let mut content = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut content, 0).unwrap();
        let id = file.metadata().unwrap().ino();
        self.states.entry(id).or_default().push(content);
        self.touched.insert(path.to_path_buf());
    }

    fn touch(&mut self, path: &Path) {
        self.touched.insert(path.to_path_buf());
        self.touched.insert(path.parent().unwrap().to_path_buf());
    }

    /// One change, of which some come to nothing.
    fn change(&mut self, root: &Path, made: &trees::Made, random: &mut Random) {
        let path = random.pick(&made.files).clone();
        let dir = random.pick(&made.dirs).clone();
        self.count += 1;
        match random.below(12) {
            0..5 => self.rewrite(&path, random),
            5 | 6 => {
                // Within its directory.
                let to = path.with_file_name(format!("renamed {}", random.below(5)));
                self.rename(&path, &to);
            }
            7 => self.rename(&path, &dir.join(format!("moved {}", random.below(50)))),
            8 => {
                let link = root.with_file_name("link");
                let _ = symlink("elsewhere", &link);
                self.replace(&link, &path);
            }
            9 => {
                self.gone(&path);
                let _ = fs::remove_file(&path);
                let _ = fs::create_dir(&path);
                self.touch(&path);
            }
            10 => {
                let new = dir.join(format!("new {}", random.below(50)));
                self.touch(&new);
                let mut options = File::options();
                options.read(true).write(true).create_new(true);
                if let Ok(file) = options.open(&new) {
                    self.note(&file, &new);
                    let _ = file.write_all_at(&random.bytes(300), 0);
                    self.note(&file, &new);
                    self.moved.insert(file.metadata().unwrap().ino());
                }
            }
            _ => {
                self.touch(&dir);
                self.touched.extend(
                    made.files
                        .iter()
                        .filter(|file| file.starts_with(&dir))
                        .cloned(),
                );
                let aside = dir.with_file_name("aside");
                if dir != root && fs::rename(&dir, &aside).is_ok() {
                    let _ = fs::rename(&aside, &dir);
                }
            }
        }
    }

    /// One call that changes the content: each is a state of it.
    fn rewrite(&mut self, path: &Path, random: &mut Random) {
        let options = File::options().read(true).write(true).clone();
        let Ok(stat) = path.symlink_metadata() else {
            return;
        };
        let Some(file) = stat.is_file().then(|| options.open(path).ok()).flatten() else {
            return;
        };
        if !self.states.contains_key(&stat.ino()) {
            self.note(&file, path);
        }
        let at = random.below(stat.len() + 1);
        let len = 1 + random.below(3000) as usize;
        let done = match random.below(4) {
            0 => file.set_len(at).is_ok(),
            1 => file.write_at(&random.bytes(len), stat.len()).is_ok(),
            _ => file.write_at(&random.bytes(len), at).is_ok(),
        };
        if done {
            self.note(&file, path);
        }
    }

    fn gone(&mut self, path: &Path) {
        self.touch(path);
        self.moved
            .extend(path.symlink_metadata().map(|stat| stat.ino()).ok());
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let is_near = from.parent() == to.parent();
        if !from.is_file() || from.is_symlink() || to.exists() {
            return;
        }
        self.touch(from);
        self.touch(to);
        if !is_near {
            self.gone(from);
        }
        let _ = fs::rename(from, to);
    }

    fn replace(&mut self, from: &Path, to: &Path) {
        self.gone(to);
        let _ = fs::rename(from, to);
    }

    /// Whether a file had this in it at some moment, of which one write may have been on its way.
    fn had(&self, content: &[u8]) -> bool {
        let is_between = |before: &Vec<u8>, after: &Vec<u8>| {
            (content.len() == before.len() || content.len() == after.len())
                && content.iter().enumerate().all(|(at, byte)| {
                    before.get(at) == Some(byte)
                        || after.get(at) == Some(byte)
                        || *byte == 0 && before.get(at).is_none()
                })
        };
        self.states.values().any(|states| {
            states.iter().any(|state| state == content)
                || states.windows(2).any(|pair| is_between(&pair[0], &pair[1]))
        })
    }
}

/// What a copy has told.
#[derive(Default)]
struct Told {
    copied: BTreeSet<PathBuf>,
    failed: BTreeMap<PathBuf, String>,
}

impl Told {
    fn is_named(&self, path: &Path) -> bool {
        path.ancestors()
            .any(|above| self.failed.contains_key(above))
    }
}

fn copy(from: &Path, to: &Path) -> Told {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let preserve = Preserve {
        owner: nix::unistd::geteuid().is_root(),
        times: true,
        xattrs: true,
    };
    runtime.block_on(async {
        let mut told = Told::default();
        let mut copying = CopyTree::new(from, to).preserve(preserve).start();
        while let Some(event) = copying.next_event().await {
            match event {
                TreeEvent::Copied(copied) => {
                    assert!(copied.warnings.is_empty(), "{copied:?}");
                    told.copied.insert(copied.path);
                }
                TreeEvent::Failed(error) => {
                    told.failed.insert(error.path.clone(), error.to_string());
                }
                other => panic!("{other:?}"),
            }
        }
        told
    })
}

/// What is wrong with the copy.
fn wrong(
    from: &Path,
    to: &Path,
    changes: &Changes,
    before: &BTreeMap<PathBuf, Entry>,
    told: &Told,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let copies = look(to);
    for (path, copy) in &copies {
        if path.to_string_lossy().contains(".tidegate-") {
            wrong.push(format!("{path:?} is left"));
        }
        let was = |entry: &Entry| entry.is_file() && entry.content == copy.content;
        let is_old = before.values().any(was);
        if copy.is_file() && tells_every_change() && !is_old && !changes.had(&copy.content) {
            wrong.push(format!("{path:?} has what no file ever had"));
        }
        let all = told.copied.contains(&from.join(path)) || told.is_named(&from.join(path));
        if !all {
            wrong.push(format!("{path:?} is there, and was not told"));
        }
    }
    for (path, entry) in before {
        let source = from.join(path);
        let is_touched = |path: &Path| {
            path.ancestors()
                .any(|above| changes.touched.contains(above))
        };
        // It stayed what it was, where it was.
        if !is_touched(&source) && !told.is_named(&source) {
            match copies.get(path) {
                Some(copy) => {
                    wrong.extend(entry.differs(copy).map(|what| format!("{path:?}: {what}")))
                }
                None if entry.can_be_copied() => wrong.push(format!("{path:?} is missing")),
                None => wrong.push(format!("{path:?} is not named")),
            }
        }
        // It had some name in its directory all the time.
        let stays = entry.is_file() && !changes.moved.contains(&entry.id.1);
        let above = source.parent().unwrap();
        if stays && !told.is_named(&source) && !told.is_named(above) {
            let here = copies
                .iter()
                .filter(|(copy, _)| copy.parent() == path.parent());
            let states = changes.states.get(&entry.id.1);
            let had = |copy: &Entry| {
                copy.content == entry.content || states.is_some_and(|_| changes.had(&copy.content))
            };
            if !here.clone().any(|(_, copy)| copy.is_file() && had(copy)) {
                wrong.push(format!("{path:?} is missed, by whatever name"));
            }
        }
    }
    wrong
}

/// Whether anything below a path is open. What the last thread has is closed when that is.
fn are_open(below: &Path) -> bool {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut paths = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    paths.any(|path| path.starts_with(below))
}

/// Random changes of all kinds while a tree is copied.
#[test]
fn what_changes_is_copied_as_it_was_or_named() {
    let (mut done, mut named, mut copied) = (0, 0, 0);
    for seed in trees::seeds(ROUNDS) {
        let mut random = Random::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let made = trees::make(&from, 60, &mut random);
        let before = look(&from);
        if made.files.is_empty() {
            continue;
        }
        let stop = AtomicBool::new(false);
        let (told, changes) = std::thread::scope(|scope| {
            let changing = scope.spawn(|| {
                let mut changes = Changes::default();
                while !stop.load(Ordering::Relaxed) && changes.count < 3000 {
                    changes.change(&from, &made, &mut random);
                }
                changes
            });
            let told = copy(&from, &to);
            stop.store(true, Ordering::Relaxed);
            (told, changing.join().unwrap())
        });
        let found = wrong(&from, &to, &changes, &before, &told);
        assert!(
            found.is_empty(),
            "seed {seed}: {found:#?}\n{:#?}",
            told.failed
        );
        (done, named, copied) = (
            done + changes.count,
            named + told.failed.len(),
            copied + told.copied.len(),
        );
        let begun = Instant::now();
        while are_open(dir.path()) {
            assert!(
                begun.elapsed() < BOUND,
                "seed {seed}: descriptors stay open"
            );
            std::thread::yield_now();
        }
    }
    println!("{done} changes, {copied} entries copied, {named} named");
}

/// A name that comes into a directory while that is copied is copied, or the directory is named.
#[test]
fn a_directory_that_changes_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("still/deep")).unwrap();
    fs::create_dir(from.join("busy")).unwrap();
    for number in 0..300 {
        fs::write(from.join("busy").join(number.to_string()), "text").unwrap();
        fs::write(from.join("still").join(number.to_string()), "text").unwrap();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let failed = runtime.block_on(async {
        let late = from.join("busy/late");
        // Asked of each name that is met in it: it is open then, and not left.
        let comes = move |below: &Path| {
            if below.starts_with("busy") && below.components().count() == 2 {
                let _ = File::create_new(&late);
            }
            false
        };
        let mut copying = CopyTree::new(&from, &to).exclude(comes).start();
        let mut failed = Vec::new();
        while let Some(event) = copying.next_event().await {
            if let TreeEvent::Failed(error) = event {
                failed.push((error.path, error.operation, error.error.kind()));
            }
        }
        failed
    });
    let busy = (
        from.join("busy"),
        "read_dir",
        std::io::ErrorKind::ResourceBusy,
    );
    assert_eq!(failed, [busy]);
}
