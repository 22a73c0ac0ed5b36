//! The file of the plot.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::plot;
use super::report::Report;
use crate::explain::line;

/// A file that appears under its name when it is whole. It is begun before anything is measured, so that a
/// name that cannot be written to is known at once.
pub(super) struct PlotFile {
    path: PathBuf,
    file: NamedTempFile,
}

impl PlotFile {
    pub(super) fn begin(path: &Path) -> Result<PlotFile, String> {
        // What is there is replaced, and not the link that leads to it.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        if path.exists() && !path.is_file() {
            return Err(format!(
                "{} is not a file; choose another --plot",
                line(&path)
            ));
        }
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let file = tempfile::Builder::new()
            .prefix(".tidegate-plot-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(parent.unwrap_or(Path::new(".")))
            .map_err(|error| unwritable(&path, &error.kind()))?;
        Ok(PlotFile { path, file })
    }

    pub(super) fn write(mut self, report: &Report) -> Result<(), String> {
        let text = plot::svg(report).map_err(|error| unwritable(&self.path, &error))?;
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| unwritable(&self.path, &error))?;
        let persisted = self.file.persist(&self.path).map_err(io::Error::from);
        persisted.map_err(|error| unwritable(&self.path, &error))?;
        Ok(())
    }
}

fn unwritable(path: &Path, reason: &dyn std::fmt::Display) -> String {
    format!(
        "cannot write {}: {reason}; choose another --plot",
        line(path)
    )
}
