//! What stands for places that have to be mounted where these are not built.

use std::io;
use std::path::{Path, PathBuf};

use tidegate_measure::data::Data;

/// Does nothing.
pub fn init() {}

/// Over what the files lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Place {
    /// As they lie there.
    #[default]
    Plain,
}

/// What has to stay until the end.
#[derive(Debug)]
pub struct Mounted(PathBuf);

impl Place {
    /// Prepares a place in an empty folder.
    ///
    /// # Errors
    ///
    /// None.
    pub fn prepare(self, folder: &Path) -> io::Result<Mounted> {
        Ok(Mounted(folder.to_path_buf()))
    }
}

impl Mounted {
    /// Where the files are made.
    pub fn below(&self) -> PathBuf {
        self.0.clone()
    }

    /// What kind of filesystem the files are seen through, if not that of the folder.
    pub fn filesystem(&self) -> Option<&'static str> {
        None
    }

    /// The files that were made there, as they are seen through the place.
    ///
    /// # Errors
    ///
    /// None.
    pub fn seen(&mut self, data: Data) -> io::Result<Data> {
        Ok(data)
    }
}
