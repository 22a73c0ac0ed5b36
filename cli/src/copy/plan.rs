//! What goes where, and whether it may.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tidegate::fs;

use crate::explain::{cause, line, shortage};

/// The two roots of a copy.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) source: PathBuf,
    pub(super) destination: PathBuf,
}

/// Finds the roots, or says why there can be no copy.
pub(super) async fn resolve(
    source: &Path,
    destination: &Path,
    is_dry: bool,
) -> Result<Plan, String> {
    if ends_in_slash(destination) && !ends_in_slash(source) {
        if let Some(name) = source.file_name() {
            if !make_directory(destination, is_dry).await? {
                return not_made(source, destination.join(name)).await;
            }
            // Into it, so that what is there under that name is what counts.
            return resolve_as(source, &destination.join(name)).await;
        }
    }
    resolve_as(source, destination).await
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// Makes the directory that a slash at the end asks for, if there is nothing. Whether it is there then.
async fn make_directory(path: &Path, is_dry: bool) -> Result<bool, String> {
    match fs::metadata(path).await {
        Ok(found) if found.is_dir() => Ok(true),
        Ok(_) => Err(format!(
            "{} is not a directory; remove it or choose another DST",
            line(path)
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_dry => {
            // With the rights that `mkdir` would give it, as nobody's mode is copied to it, and by the same call: a
            // moment later the path may lead to something else.
            let ours = crate::copy::set_mask(crate::copy::users_mask());
            let made = fs::create_dir(path).await;
            crate::copy::set_mask(ours);
            made.map(|()| true).map_err(|error| unusable(path, &error))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unusable(path, &error)),
    }
}

/// What a dry run says of a destination whose directory would be made.
async fn not_made(source: &Path, destination: PathBuf) -> Result<Plan, String> {
    let found = fs::symlink_metadata(source).await;
    found.map_err(|error| unusable(source, &error))?;
    Ok(Plan {
        source: source.to_path_buf(),
        destination,
    })
}

/// Finds the roots where a directory is copied as DST, and a file as DST or into it.
async fn resolve_as(source: &Path, destination: &Path) -> Result<Plan, String> {
    let found = fs::symlink_metadata(source).await.map_err(|error| {
        let advice = shortage(&error).unwrap_or("check SRC");
        format!("cannot copy {}: {}; {advice}", line(source), cause(&error))
    })?;
    let source_id = (found.dev(), found.ino());
    let existing = match fs::metadata(destination).await {
        Ok(existing) => Some(existing),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unusable(destination, &error)),
    };
    if let Some(kind) = existing.as_ref().map(Metadata::file_type) {
        if kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device() {
            return Err(format!(
                "{} is a device, FIFO or socket, which a copy does not replace; choose another DST",
                line(destination)
            ));
        }
    }
    let into = existing.as_ref().is_some_and(|existing| existing.is_dir());
    if found.is_dir() {
        if existing.is_some() && !into {
            return Err(format!(
                "{} is a directory and {} is not; remove DST or choose another",
                line(source),
                line(destination)
            ));
        }
        let destination = place(destination, into).await?;
        let root = fs::canonicalize(source)
            .await
            .map_err(|error| unusable(source, &error))?;
        if existing.is_some_and(|existing| (existing.dev(), existing.ino()) == source_id)
            || destination == root
        {
            return Err(same(source, &destination));
        }
        if destination.starts_with(&root) {
            return Err(format!(
                "{} is inside {}: the copy would contain itself; choose a DST outside of SRC",
                line(&destination),
                line(source)
            ));
        }
        return Ok(Plan {
            source: source.to_path_buf(),
            destination,
        });
    }
    let destination = match source.file_name() {
        Some(name) if into => place(destination, true).await?.join(name),
        _ => place(destination, false).await?,
    };
    match fs::symlink_metadata(&destination).await {
        Ok(there) if (there.dev(), there.ino()) == source_id => Err(same(source, &destination)),
        Ok(there) if there.is_dir() => Err(format!(
            "{} is a directory; remove it or choose another DST",
            line(&destination)
        )),
        _ => Ok(Plan {
            source: source.to_path_buf(),
            destination,
        }),
    }
}

/// The real path of a destination: all of it where it is an existing directory, its parent's where it is yet to be made.
async fn place(destination: &Path, exists: bool) -> Result<PathBuf, String> {
    let name = match destination.file_name() {
        Some(name) if !exists => name,
        _ => {
            return fs::canonicalize(destination)
                .await
                .map_err(|error| unusable(destination, &error));
        }
    };
    let parent = destination
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match fs::canonicalize(parent).await {
        Ok(parent) => Ok(parent.join(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
            "{} does not exist; make it first (mkdir -p), or choose another DST",
            line(parent)
        )),
        Err(error) => Err(unusable(parent, &error)),
    }
}

fn same(source: &Path, destination: &Path) -> String {
    format!(
        "{} and {} are the same; choose another DST",
        line(source),
        line(destination)
    )
}

fn unusable(path: &Path, error: &io::Error) -> String {
    let advice = shortage(error).unwrap_or("choose another path");
    format!("cannot use {}: {}; {advice}", line(path), cause(error))
}
