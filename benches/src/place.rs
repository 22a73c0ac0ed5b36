//! Filesystems that `compare` mounts for itself, in a mount namespace of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tidegate_rig::{Requirements, StalledFuse};

use tidegate_measure::data::Data;

/// As libfuse has it, if nothing else is said.
const FUSE_TIMEOUT: Duration = Duration::from_secs(1);
const FUSE: &str = "fuse.tidegate-rig";

/// Gives the process mounts of its own, and becomes the server of a FUSE tree where it was started as one. First of all.
pub fn init() {
    tidegate_rig::init();
}

/// Over what the files lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Place {
    /// As they lie there.
    #[default]
    Plain,
    /// The lower layer of an overlay, as the files of a container's image.
    Overlay,
    /// Behind a FUSE server that passes everything on.
    Fuse,
}

/// What has to stay until the end.
#[derive(Debug)]
pub enum Mounted {
    /// Nothing.
    Plain(PathBuf),
    /// An overlay, whose layers are in a folder.
    Overlay {
        /// The folder.
        folder: PathBuf,
        /// Whether it is mounted.
        is_mounted: bool,
    },
    /// A server.
    Fuse(Box<StalledFuse>),
}

impl Place {
    /// Prepares a place in an empty folder.
    ///
    /// # Errors
    ///
    /// Those of mounting, and `Unsupported` with what is lacking.
    pub fn prepare(self, folder: &Path) -> io::Result<Mounted> {
        match self {
            Place::Plain => Ok(Mounted::Plain(folder.to_path_buf())),
            Place::Overlay => {
                for layer in ["lower", "upper", "work", "merged"] {
                    fs::create_dir(folder.join(layer))?;
                }
                Ok(Mounted::Overlay {
                    folder: folder.to_path_buf(),
                    is_mounted: false,
                })
            }
            Place::Fuse => {
                if let Some(lack) = Requirements::fuse().missing().first() {
                    return Err(io::Error::new(io::ErrorKind::Unsupported, lack.clone()));
                }
                // The tree behind the server is on the disk that is asked for, not where temporary files are.
                let _ = tempfile::env::override_temp_dir(folder);
                let options = StalledFuse::options()
                    .with_attr_timeout(FUSE_TIMEOUT)
                    .with_entry_timeout(FUSE_TIMEOUT)
                    .with_keep_cache(true)
                    .with_async_dio(true);
                Ok(Mounted::Fuse(Box::new(options.create()?)))
            }
        }
    }
}

impl Mounted {
    /// Where the files are made.
    pub fn below(&self) -> PathBuf {
        match self {
            Mounted::Plain(folder) => folder.clone(),
            Mounted::Overlay { folder, .. } => folder.join("lower"),
            Mounted::Fuse(tree) => tree.backing_path().to_path_buf(),
        }
    }

    /// What kind of filesystem the files are seen through, if not that of the folder.
    pub fn filesystem(&self) -> Option<&'static str> {
        match self {
            Mounted::Plain(_) => None,
            Mounted::Overlay { .. } => Some("overlay"),
            Mounted::Fuse(_) => Some(FUSE),
        }
    }

    /// The files that were made there, as they are seen through the place.
    ///
    /// # Errors
    ///
    /// Those of `mount(2)`.
    pub fn seen(&mut self, data: Data) -> io::Result<Data> {
        let below = self.below();
        match self {
            Mounted::Plain(_) => Ok(data),
            Mounted::Overlay { folder, is_mounted } => {
                let layer = |name: &str| folder.join(name).display().to_string();
                let (lower, upper, work) = (layer("lower"), layer("upper"), layer("work"));
                let layers = format!("lowerdir={lower},upperdir={upper},workdir={work}");
                let merged = folder.join("merged");
                let flags = MsFlags::empty();
                mount(
                    Some("tidegate-bench"),
                    &merged,
                    Some("overlay"),
                    flags,
                    Some(&*layers),
                )?;
                *is_mounted = true;
                data.moved(&below, &merged)
            }
            Mounted::Fuse(tree) => data.moved(&below, tree.path()),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Mounted::Overlay {
            folder,
            is_mounted: true,
        } = self
        {
            // It goes with the namespace at the latest.
            let _ = umount2(&folder.join("merged"), MntFlags::MNT_DETACH);
        }
    }
}
