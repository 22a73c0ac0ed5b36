//! States that are about how a file lies on its disk, or what stands between it and the disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::stat::{Mode, SFlag, mknod};

use crate::batch::Batch;
use crate::make::{self, FILE_BYTES, each, settle, writable};
use crate::stage::Fs;
use crate::states::{
    CACHED, Control, DISKS, State, Target, of, on_disk_itself, read_control, with_disk,
};

/// Names of the large directory, each of which is long.
const MANY_NAMES: usize = 10_000;

pub(crate) fn all() -> Vec<State> {
    let mut states = extents();
    states.extend(encrypted());
    states.extend(others());
    states
}

fn extents() -> Vec<State> {
    vec![
        State {
            name: "a hole, cold",
            lacks: with_disk,
            make: |batch| each(batch, make::hole),
            warm: |batch| each(batch, make::look),
            primes: false,
            ..CACHED
        },
        State {
            name: "unwritten extents, cold",
            lacks: with_disk,
            make: |batch| each(batch, unwritten),
            warm: |batch| each(batch, make::look),
            primes: false,
            ..CACHED
        },
        State {
            name: "extents shared, dirty",
            lacks: |fs| match fs {
                Fs::Xfs | Fs::Btrfs => None,
                _ => Some("it shares no extents"),
            },
            make: |batch| each(batch, shared),
            before: |batch| make::all_files(batch, make::dirty),
            ..CACHED
        },
        State {
            name: "extents shared, content cold",
            lacks: |fs| match fs {
                Fs::Xfs | Fs::Btrfs => None,
                _ => Some("it shares no extents"),
            },
            make: |batch| each(batch, shared),
            warm: |batch| each(batch, make::look),
            primes: false,
            control: Some(read_control("a read of cold content", DISKS)),
            ..CACHED
        },
        State {
            name: "dirty by a mapping",
            lacks: |fs| (fs == Fs::Fuse).then_some("the server answers no reads of pages"),
            before: |batch| make::all_files(batch, dirty_by_mapping),
            ..CACHED
        },
    ]
}

fn encrypted() -> Vec<State> {
    vec![
        State {
            name: "encrypted",
            only: Some(Fs::Ext4Lazy),
            make: |batch| {
                let key = add_key(batch)?;
                each(batch, |dir| {
                    encrypt(dir, key).and_then(|()| make::file(dir))
                })
            },
            warm: |batch| add_key(batch).and_then(|_| each(batch, make::warm)),
            ..CACHED
        },
        State {
            name: "encrypted, content cold",
            only: Some(Fs::Ext4Lazy),
            make: |batch| {
                let key = add_key(batch)?;
                each(batch, |dir| {
                    encrypt(dir, key).and_then(|()| make::file(dir))
                })
            },
            warm: |batch| add_key(batch).and_then(|_| each(batch, make::look)),
            primes: false,
            control: Some(read_control("a read of cold content", &[Fs::Ext4Lazy])),
            ..CACHED
        },
    ]
}

fn others() -> Vec<State> {
    vec![
        State {
            lacks: on_disk_itself,
            warm: |batch| each(batch, |dir| fs::metadata(dir.join("dir")).map(drop)),
            ..of("directory of very many names", Target::Dir, many_names)
        },
        State {
            lacks: on_disk_itself,
            offset: 4096,
            length: 4096,
            warm: |batch| block_device(batch, false),
            before: detach,
            control: Some(Control {
                what: "a read of the device",
                sleeps_on: DISKS,
                prepare: |batch| {
                    let device = File::open(batch.control().join("block"))?;
                    Ok(Box::new(move || drop(device.read_at(&mut [0; 4096], 4096))))
                },
            }),
            ..of("block device", Target::Block, image)
        },
        State {
            lacks: on_disk_itself,
            offset: 4096,
            length: 4096,
            warm: |batch| block_device(batch, true),
            before: |batch| {
                let device = writable_device(batch)?;
                device.write_all_at(&[9; 4096], 8192)?;
                let mut files = detach(batch)?;
                files.push(device);
                Ok(files)
            },
            ..of("block device, cached and dirty", Target::Block, image)
        },
    ]
}

fn unwritten(dir: &Path) -> io::Result<()> {
    let file = File::create(dir.join("file"))?;
    fallocate(&file, FallocateFlags::empty(), 0, FILE_BYTES as i64)?;
    settle(&file)
}

/// A file that shares its blocks with another one.
fn shared(dir: &Path) -> io::Result<()> {
    make::file(dir)?;
    fs::rename(dir.join("file"), dir.join("original"))?;
    let (from, to) = (
        File::open(dir.join("original"))?,
        File::create(dir.join("file"))?,
    );
    // SAFETY: both descriptors are open.
    let done = unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE as _, from.as_raw_fd()) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    settle(&to)
}

/// Changes a page through a mapping of it, as another program would.
fn dirty_by_mapping(dir: &Path) -> io::Result<File> {
    let file = writable(dir)?;
    let (null, protection) = (std::ptr::null_mut(), libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a new mapping of a page that the file has, which nobody else knows, written to and unmapped at once.
    unsafe {
        let at = libc::mmap(
            null,
            4096,
            protection,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            8192,
        );
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        at.cast::<u8>().write_volatile(9);
        libc::munmap(at, 4096);
    }
    Ok(file)
}

/// `fscrypt_key_specifier`, of which an identifier has 16 bytes.
#[repr(C)]
#[derive(Clone, Copy)]
struct KeySpecifier {
    kind: u32,
    reserved: u32,
    identifier: [u8; 32],
}

#[repr(C)]
struct AddKey {
    specifier: KeySpecifier,
    raw_size: u32,
    key_id: u32,
    reserved: [u32; 8],
    raw: [u8; 64],
}

#[repr(C)]
struct Policy {
    version: u8,
    contents: u8,
    names: u8,
    flags: u8,
    log2_data_unit_size: u8,
    reserved: [u8; 3],
    identifier: [u8; 16],
}

const IDENTIFIER: u32 = 2;
const AES_256_XTS: u8 = 1;
const AES_256_CTS: u8 = 4;

/// The filesystem gets to know the key; each new mount has to.
fn add_key(batch: &Batch<'_>) -> io::Result<[u8; 16]> {
    let mut key = AddKey {
        specifier: KeySpecifier {
            kind: IDENTIFIER,
            reserved: 0,
            identifier: [0; 32],
        },
        raw_size: 64,
        key_id: 0,
        reserved: [0; 8],
        raw: std::array::from_fn(|at| at as u8),
    };
    let root = File::open(batch.stage.root())?;
    nix::ioctl_readwrite_bad!(add, nix::request_code_readwrite!(b'f', 23, 80), AddKey);
    // SAFETY: the kernel reads and writes that structure, whose key follows it.
    unsafe { add(root.as_raw_fd(), &mut key)? };
    let mut identifier = [0; 16];
    identifier.copy_from_slice(&key.specifier.identifier[..16]);
    Ok(identifier)
}

/// All that is made in an empty directory from now on is encrypted.
fn encrypt(dir: &Path, identifier: [u8; 16]) -> io::Result<()> {
    let policy = Policy {
        version: 2,
        contents: AES_256_XTS,
        names: AES_256_CTS,
        flags: 3,
        log2_data_unit_size: 0,
        reserved: [0; 3],
        identifier,
    };
    let dir = File::open(dir)?;
    // The number says 12 bytes, as the first version had.
    nix::ioctl_write_ptr_bad!(set, nix::request_code_read!(b'f', 19, 12), Policy);
    // SAFETY: the kernel reads that structure.
    unsafe { set(dir.as_raw_fd(), &policy)? };
    Ok(())
}

/// One large directory, to which all have a link.
fn many_names(batch: &Batch<'_>) -> io::Result<()> {
    let Some(root) = batch.control().parent() else {
        return Ok(());
    };
    let many = root.join("many");
    fs::create_dir(&many)?;
    for number in 0..MANY_NAMES {
        File::create(many.join(format!("{number:0>120}")))?;
    }
    each(batch, |dir| symlink("../many", dir.join("dir")))
}

fn image_of(batch: &Batch<'_>) -> std::path::PathBuf {
    batch.control().with_file_name("image")
}

fn image(batch: &Batch<'_>) -> io::Result<()> {
    fs::write(image_of(batch), vec![7; 1 << 20])
}

fn losetup(args: &[&std::ffi::OsStr]) -> io::Result<String> {
    let output = Command::new("losetup").args(args).output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("losetup: {text}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A device of a file on the disk, to which all have a name.
fn block_device(batch: &Batch<'_>, is_cached: bool) -> io::Result<()> {
    let image = image_of(batch);
    let path = losetup(&["--find".as_ref(), "--show".as_ref(), image.as_ref()])?;
    let device = fs::metadata(&path)?.rdev();
    each(batch, |dir| {
        let at = dir.join("block");
        Ok(mknod(&at, SFlag::S_IFBLK, Mode::S_IRWXU, device)?)
    })?;
    if is_cached {
        File::open(path)?.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

fn writable_device(batch: &Batch<'_>) -> io::Result<File> {
    fs::OpenOptions::new()
        .write(true)
        .open(batch.control().join("block"))
}

/// It goes with whoever has it open last.
fn detach(batch: &Batch<'_>) -> io::Result<Vec<File>> {
    let device = File::open(batch.control().join("block"))?;
    let image = image_of(batch);
    let found = losetup(&["--associated".as_ref(), image.as_ref()])?;
    let Some((path, _)) = found.split_once(':') else {
        return Err(io::Error::other("the device is gone"));
    };
    losetup(&["--detach".as_ref(), path.as_ref()])?;
    Ok(vec![device])
}
