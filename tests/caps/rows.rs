//! An operation for each row of the op table, on files that do not answer.

use std::fs as std_fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use tidegate::buf::BufGroup;
use tidegate::fs::{self, Dir, File, Follow, OpenOptions};
use tidegate::opcode::Kind;
use tidegate_rig::{StalledFuse, files};

pub(crate) type Boxed = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

const FILES: usize = 16;
pub(crate) const FILE_BYTES: u64 = 8192;

macro_rules! op {
    ($($body:tt)*) => {
        Box::pin(async move {
            let _ = { $($body)* };
            Ok(())
        })
    };
}

/// What the operations are about, opened while it answered.
pub(crate) struct Bench {
    paths: Vec<PathBuf>,
    files: Vec<Arc<File>>,
    dir_path: PathBuf,
    dir: Arc<Dir>,
    link: PathBuf,
    group: BufGroup,
}

impl Bench {
    pub(crate) async fn make(tree: &StalledFuse) -> io::Result<Bench> {
        let (root, behind) = (tree.path(), tree.backing_path());
        let name = |index: usize| format!("slow-{index}");
        for index in 0..FILES {
            files::create(&behind.join(name(index)), FILE_BYTES)?;
        }
        std_fs::create_dir(behind.join("slow-dir"))?;
        std_fs::write(behind.join("slow-dir/entry"), "entry")?;
        symlink("slow-0", behind.join("slow-link"))?;
        let paths: Vec<_> = (0..FILES).map(|index| root.join(name(index))).collect();
        let mut files = Vec::new();
        for path in &paths {
            let mut options = OpenOptions::new();
            files.push(Arc::new(options.read(true).write(true).open(path).await?));
        }
        let dir_path = root.join("slow-dir");
        Ok(Bench {
            paths,
            files,
            dir: Arc::new(Dir::open(&dir_path).await?),
            dir_path,
            link: root.join("slow-link"),
            group: BufGroup::builder().build()?,
        })
    }

    /// Operations of this row, or why there are none that wait for storage.
    pub(crate) fn op(&self, kind: Kind, index: usize) -> Result<Boxed, &'static str> {
        Err(match kind {
            Kind::Close => "a close is kept: `closes_that_hang_leave_the_rest_of_the_descriptors`",
            Kind::Duplicate => "it waits for nothing; the closes of what it makes are tried",
            Kind::Prefetch => "nobody asks for it",
            Kind::ReadProvidedStream | Kind::Tee => "it waits for a peer, and not for storage",
            Kind::Seek => "only of what has no positions, and not of storage",
            Kind::Splice => "one of its ends is a peer",
            kind => {
                let op = self
                    .on_file(kind, index)
                    .or_else(|| self.on_path(kind, index));
                return Ok(op.unwrap_or_else(|| panic!("{kind} is not tried in tests/caps")));
            }
        })
    }

    /// On a file that is open.
    fn on_file(&self, kind: Kind, index: usize) -> Option<Boxed> {
        let file = self.files[index % FILES].clone();
        let (dir, group) = (self.dir.clone(), self.group.clone());
        Some(match kind {
            Kind::Advise => op!(file.advise(0, 4096, fs::Advice::WillNeed).await?),
            Kind::Allocate => op!(file.allocate(0, 10_000, fs::Space::Reserve).await?),
            Kind::FileMetadata => op!(file.metadata().await?),
            Kind::GetFileXattr => op!(file.get_xattr("user.name").await?),
            Kind::Read => {
                let bytes = [0, 100][index % 2];
                op!(file
                    .read_at(vec![0; bytes], 0)
                    .await
                    .map_err(|error| error.error)?)
            }
            Kind::ReadVectored => op!(file
                .readv_at(vec![vec![0; 10]; 2], 0)
                .await
                .map_err(|error| error.error)?),
            Kind::Write => op!(file
                .write_at("written", 0)
                .await
                .map_err(|error| error.error)?),
            Kind::WriteVectored => op!(file
                .writev_at(vec!["a", "b"], 0)
                .await
                .map_err(|error| error.error)?),
            Kind::ReadProvided => op!(file.read_provided_at(&group, 0).await?),
            Kind::SetFileXattr => op!(file.set_xattr("user.name", "value").await?),
            Kind::SetLen => op!(file.set_len(10).await?),
            Kind::SetTimes => op!(file.set_modified(SystemTime::UNIX_EPOCH).await?),
            Kind::SyncAll => op!(file.sync_all().await?),
            Kind::SyncData => op!(dir.sync().await?),
            Kind::SyncRange => op!(file.sync_range(0, 100, fs::Writeback::Wait).await?),
            _ => return None,
        })
    }

    /// On names.
    fn on_path(&self, kind: Kind, index: usize) -> Option<Boxed> {
        let path = self.paths[index % FILES].clone();
        let new = self.dir_path.join(format!("new-{index}"));
        let (dir, dir_path, link) = (self.dir.clone(), self.dir_path.clone(), self.link.clone());
        Some(match kind {
            Kind::Append => op!(fs::AppendWriter::open(path).await?),
            Kind::Blocking => op!(
                tidegate::blocking_on(path.clone(), move |_| std_fs::metadata(&path).map(drop))
                    .await?
            ),
            Kind::Canonicalize => op!(fs::canonicalize(path).await?),
            Kind::CommitFile => {
                op!(fs::write_atomic(path, "written", fs::AtomicOptions::new()).await?)
            }
            Kind::CopyFile => op!(fs::copy(path, new).await?),
            Kind::CopyMetadata => {
                op!(fs::copy_metadata(path, link, fs::Preserve::default()).await?)
            }
            Kind::CreateDir => op!(fs::create_dir(new).await?),
            Kind::CreateDirAll => op!(fs::create_dir_all(new.join("deep")).await?),
            Kind::GetXattr => {
                let follow = [Follow::Links, Follow::No][index % 2];
                op!(fs::get_xattr(path, "user.name", follow).await?)
            }
            Kind::HardLink => op!(fs::hard_link(path, new).await?),
            Kind::ListXattrs => op!(fs::list_xattrs(path, Follow::Links).await?),
            Kind::MakeFifo => op!(fs::make_fifo(new, 0o600).await?),
            Kind::Metadata if index % 2 == 0 => op!(fs::metadata(path).await?),
            Kind::Metadata => op!(fs::symlink_metadata(path).await?),
            Kind::Open if index % 2 == 0 => op!(File::open(path).await?),
            Kind::Open => {
                let mut options = std_fs::OpenOptions::new();
                let options = OpenOptions::from(options.read(true).clone());
                op!(options.open(path).await?)
            }
            Kind::OpenWithin => op!({
                let mut options = OpenOptions::new();
                options.read(true);
                dir.open_file_within("entry", &options, fs::Resolve::new().beneath())
                    .await?
            }),
            Kind::ReadDir => op!(fs::read_dir(dir_path).await?),
            Kind::ReadFile | Kind::ReadSmallFile => op!(fs::read(path).await?),
            Kind::ReadLink => op!(fs::read_link(link).await?),
            Kind::RemoveDir => op!(fs::remove_dir(dir_path).await?),
            Kind::RemoveDirAll => op!(fs::remove_dir_all(dir_path).await?),
            Kind::RemoveFile => op!(fs::remove_file(dir_path.join("entry")).await?),
            Kind::RemoveXattr => op!(fs::remove_xattr(path, "user.name", Follow::Links).await?),
            Kind::Rename => op!(fs::rename(path, new).await?),
            Kind::SetOwner => op!(fs::set_owner(path, Some(0), None, Follow::Links).await?),
            Kind::SetPermissions => {
                op!(fs::set_permissions(path, PermissionsExt::from_mode(0o600)).await?)
            }
            Kind::SetXattr => {
                let follow = [Follow::Links, Follow::No][index % 2];
                op!(fs::set_xattr(path, "user.name", "value", follow).await?)
            }
            Kind::Statx => op!(fs::statx(path).await?),
            Kind::Symlink => op!(fs::symlink("anything", new).await?),
            Kind::TryExists => op!(fs::try_exists(path).await?),
            Kind::Walk => op!({
                let mut walk = fs::WalkDir::new(dir_path).metadata(true).walk();
                while let Some(entry) = walk.next_entry().await {
                    entry.map_err(fs::WalkError::into_io_error)?;
                }
            }),
            Kind::WriteFile => op!(fs::write(new, "written").await?),
            _ => return None,
        })
    }
}
