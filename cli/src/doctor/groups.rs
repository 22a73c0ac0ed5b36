//! The operations by what people do with them, so that who cares for reading need not look through all of them.

/// The groups in the order of the text, each with the names of its operations in the op table.
pub(super) const GROUPS: [(&str, &[&str]); 8] = [
    (
        "reading",
        &[
            "read",
            "read_vectored",
            "read_file",
            "read_small_file",
            "read_provided",
            "read_provided_stream",
            "prefetch",
            "advise",
        ],
    ),
    (
        "writing",
        &[
            "write",
            "write_vectored",
            "write_file",
            "append",
            "commit_file",
            "allocate",
            "set_len",
        ],
    ),
    ("making it last", &["sync_all", "sync_data", "sync_range"]),
    (
        "opening and closing",
        &["open", "open_within", "close", "try_clone", "seek"],
    ),
    (
        "attributes",
        &[
            "metadata",
            "file_metadata",
            "statx",
            "try_exists",
            "set_permissions",
            "set_owner",
            "set_times",
            "get_xattr",
            "get_file_xattr",
            "set_xattr",
            "set_file_xattr",
            "list_xattrs",
            "remove_xattr",
        ],
    ),
    (
        "names and links",
        &[
            "rename",
            "remove_file",
            "hard_link",
            "symlink",
            "read_link",
            "canonicalize",
            "make_fifo",
        ],
    ),
    (
        "directories and trees",
        &[
            "create_dir",
            "create_dir_all",
            "read_dir",
            "remove_dir",
            "remove_dir_all",
            "walk",
        ],
    ),
    (
        "copies, pipes and calls of your own",
        &["copy", "copy_metadata", "splice", "tee", "blocking"],
    ),
];

/// What has no group yet.
pub(super) const OTHERS: &str = "others";

/// The group of an operation.
pub(super) fn group(name: &str) -> &'static str {
    let found = GROUPS.iter().find(|(_, names)| names.contains(&name));
    found.map_or(OTHERS, |(group, _)| group)
}

/// Which one of its group it is.
pub(super) fn place(name: &str) -> Option<usize> {
    let mut groups = GROUPS.iter();
    groups.find_map(|(_, names)| names.iter().position(|one| *one == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each operation of the table is in one group, and no group has one that there is not.
    #[test]
    fn every_operation_has_one_group() {
        let mut listed: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).collect();
        let mut table: Vec<_> = tidegate::opcode::TABLE
            .iter()
            .map(|row| &row.name)
            .collect();
        listed.sort();
        table.sort();
        assert_eq!(listed, table);
        assert_eq!(group("no such"), OTHERS);
    }
}
