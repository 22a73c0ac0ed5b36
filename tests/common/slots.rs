//! What the tables of this process's rings have in them.

use std::path::Path;

/// The files in the tables of this process's rings, and how many slots the largest has.
pub(crate) fn slots() -> (Vec<String>, usize) {
    let (mut open, mut most) = (Vec::new(), 0);
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        let is_ring =
            std::fs::read_link(&path).is_ok_and(|to| to.to_string_lossy().contains("io_uring"));
        let info = Path::new("/proc/self/fdinfo").join(path.file_name().unwrap());
        let (true, Ok(text)) = (is_ring, std::fs::read_to_string(info)) else {
            continue;
        };
        let mut lines = text
            .lines()
            .skip_while(|line| !line.starts_with("UserFiles:"));
        let count = lines.next().and_then(|line| line.split_whitespace().last());
        most = most.max(count.and_then(|count| count.parse().ok()).unwrap_or(0));
        let files = lines.take_while(|line| line.starts_with(' '));
        open.extend(
            files
                .filter(|line| !line.contains("<none>"))
                .map(str::to_owned),
        );
    }
    (open, most)
}
