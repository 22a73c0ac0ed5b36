//! What is measured.

/// What each task does, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// Reads at random offsets of a file that is in the page cache.
    HotRead,
    /// Reads at random offsets past the page cache.
    DirectRead,
    /// Reads ranges of random places and lengths past the page cache, one per call.
    DirectRanges,
    /// Reads such ranges of a file that is in the page cache, 16 per call.
    HotRanges,
    /// Attributes of a file by its path, all in memory.
    Metadata,
    /// Opens a file by its path and closes it, all in memory.
    Open,
    /// The content of a small file by its path, all in memory.
    ReadFile,
    /// Reads a file that is not in the page cache in order, by offset.
    ColdReadAt,
    /// The same through the engine's sequential reader.
    ColdStream,
    /// Writes a new file in order, then syncs it.
    WriteSequential,
    /// Writes at random offsets of a file that is in the page cache.
    WriteRandom,
    /// Copies a file that is in the page cache, as a whole.
    Copy,
    /// Makes a file, writes it, syncs it, closes it.
    Create,
    /// Attributes of each file by its path once, of which the kernel has nothing in memory.
    ColdMetadata,
    /// The same by `statx(2)`, for engines that have it.
    ColdStatx,
    /// Opens each file by its path and closes it once, of which the kernel has nothing in memory.
    ColdOpen,
    /// The content of each small file by its path once, of which the kernel has nothing in memory.
    ColdFile,
    /// Lists each folder once, and asks each entry for its attributes, with nothing in memory.
    ColdList,
    /// Reads at random offsets of a file that is not in the page cache when that begins.
    ColdRandom,
}

/// One line of work: an operation, its size, and how many tasks do it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The name on the command line and in reports.
    pub name: &'static str,
    /// What is done.
    pub op: Op,
    /// How many bytes each operation moves; a stream's buffer.
    pub bytes: usize,
    /// How many tasks do it at once.
    pub tasks: usize,
}

impl Workload {
    /// Whether the file is gone through once, rather than for a time.
    pub fn is_once(&self) -> bool {
        matches!(
            self.op,
            Op::ColdReadAt | Op::ColdStream | Op::Copy | Op::WriteSequential
        )
    }

    /// Whether each file is used once, rather than for a time.
    pub fn is_tour(&self) -> bool {
        matches!(
            self.op,
            Op::ColdFile | Op::ColdList | Op::ColdMetadata | Op::ColdOpen | Op::ColdStatx
        )
    }

    /// Whether pages, inodes and names have to be out of the kernel's memory when it begins.
    pub fn is_cold(&self) -> bool {
        self.is_tour() || self.op == Op::ColdRandom
    }

    /// Whether it leaves something behind that has yet to reach the disk.
    pub fn writes(&self) -> bool {
        matches!(
            self.op,
            Op::Copy | Op::Create | Op::WriteRandom | Op::WriteSequential
        )
    }

    /// What is counted: operations, or for a file that is gone through once, MiB.
    pub fn unit(&self) -> &'static str {
        if self.is_once() { "MiB" } else { "op" }
    }

    /// How many ranges one call has.
    pub(crate) fn ranges(&self) -> usize {
        if self.op == Op::HotRanges { 16 } else { 1 }
    }

    /// Whether an operation is so short that a look at the clock would show: then only some are timed.
    pub fn is_short(&self) -> bool {
        matches!(
            self.op,
            Op::HotRead | Op::Metadata | Op::Open | Op::ReadFile
        )
    }

    /// Whether a name on the command line means this: the whole name, or its first words.
    pub fn is_meant(&self, name: &str) -> bool {
        self.name
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

const fn workload(name: &'static str, op: Op, bytes: usize, tasks: usize) -> Workload {
    Workload {
        name,
        op,
        bytes,
        tasks,
    }
}

const PAGE: usize = 4096;
/// Ranges are this long at most, and an eighth of it at least.
const RANGE_MAX: usize = 512 << 10;

/// All of them.
pub const WORKLOADS: &[Workload] = &[
    workload("hot-read-1", Op::HotRead, PAGE, 1),
    workload("hot-read-32", Op::HotRead, PAGE, 32),
    workload("hot-read-256", Op::HotRead, PAGE, 256),
    workload("metadata-1", Op::Metadata, 0, 1),
    workload("metadata-64", Op::Metadata, 0, 64),
    workload("open-1", Op::Open, 0, 1),
    workload("open-64", Op::Open, 0, 64),
    workload("read-file-1", Op::ReadFile, PAGE, 1),
    workload("read-file-64", Op::ReadFile, PAGE, 64),
    workload("direct-read-1", Op::DirectRead, PAGE, 1),
    workload("direct-read-32", Op::DirectRead, PAGE, 32),
    workload("direct-read-128", Op::DirectRead, PAGE, 128),
    workload("direct-read-256", Op::DirectRead, PAGE, 256),
    workload("direct-ranges-32", Op::DirectRanges, RANGE_MAX, 32),
    workload("hot-ranges-1", Op::HotRanges, RANGE_MAX, 1),
    workload("cold-read-128k", Op::ColdReadAt, 128 << 10, 1),
    workload("cold-read-1m", Op::ColdReadAt, 1 << 20, 1),
    workload("cold-read-1m-4", Op::ColdReadAt, 1 << 20, 4),
    workload("cold-stream-8k", Op::ColdStream, 8 << 10, 1),
    workload("cold-stream-128k", Op::ColdStream, 128 << 10, 1),
    workload("cold-metadata-1", Op::ColdMetadata, 0, 1),
    workload("cold-metadata-64", Op::ColdMetadata, 0, 64),
    workload("cold-statx-64", Op::ColdStatx, 0, 64),
    workload("cold-open-1", Op::ColdOpen, 0, 1),
    workload("cold-open-64", Op::ColdOpen, 0, 64),
    workload("cold-list-1", Op::ColdList, 0, 1),
    workload("cold-file-1", Op::ColdFile, PAGE, 1),
    workload("cold-file-8", Op::ColdFile, PAGE, 8),
    workload("cold-file-64", Op::ColdFile, PAGE, 64),
    workload("cold-random-1", Op::ColdRandom, PAGE, 1),
    workload("cold-random-32", Op::ColdRandom, PAGE, 32),
    workload("write-sync", Op::WriteSequential, 1 << 20, 1),
    workload("write-sync-128k", Op::WriteSequential, 128 << 10, 1),
    workload("write-random-32", Op::WriteRandom, PAGE, 32),
    workload("create-32", Op::Create, PAGE, 32),
    workload("copy", Op::Copy, 0, 1),
];

#[cfg(test)]
mod tests {
    use super::WORKLOADS;

    fn meant(name: &str) -> usize {
        WORKLOADS.iter().filter(|work| work.is_meant(name)).count()
    }

    #[test]
    fn a_name_means_itself_and_what_it_begins() {
        assert_eq!(meant("hot-read-1"), 1);
        assert_eq!(meant("hot-read"), 3);
        assert_eq!(meant("cold-read"), 3);
        assert_eq!(meant("col"), 0);
        assert_eq!(meant("hot-read-11"), 0);
    }
}
