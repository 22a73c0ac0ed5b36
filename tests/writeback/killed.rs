//! What a sync has said is true of a process that was killed right after.

use std::io::{BufRead, BufReader};
use std::path::Path;

use tidegate::fs::File;

use super::{MIB, bytes, policy, runtime};
use crate::common::child;

const TEST: &str = "killed::what_was_synced_is_there_after_a_kill";
const FOLDER: &str = "TIDEGATE_TEST_FOLDER";
const PART: usize = 3 * MIB / 2;

fn writer(path: &Path) {
    runtime(true).block_on(async {
        let file = File::create(path).await.unwrap().with_writeback(policy());
        for number in 0.. {
            let part = bytes(number, PART);
            file.write_all_at(part, (number % 40 * PART) as u64)
                .await
                .unwrap();
            file.sync_data().await.unwrap();
            println!("synced {number}");
        }
    });
}

#[test]
fn what_was_synced_is_there_after_a_kill() {
    if child::is_child(TEST) {
        return writer(&Path::new(&std::env::var_os(FOLDER).unwrap()).join("f"));
    }
    let dir = tempfile::tempdir().unwrap();
    for round in 0..6 {
        let mut writer = child::command(TEST)
            .env(FOLDER, dir.path())
            .spawn()
            .unwrap();
        let out = BufReader::new(writer.stdout.take().unwrap());
        let mut lines = out.lines().map_while(Result::ok);
        let is_last = |line: &String| line.ends_with(&format!("synced {}", 3 + 9 * round));
        assert!(
            lines.any(|line| is_last(&line)),
            "the writer has ended by itself"
        );
        writer.kill().unwrap();
        let synced = lines
            .filter_map(|line| line.rsplit_once("synced ")?.1.parse().ok())
            .last();
        let synced: usize = synced.unwrap_or(3 + 9 * round);
        writer.wait().unwrap();
        let content = std::fs::read(dir.path().join("f")).unwrap();
        // The one after the last may have been begun.
        for number in (synced + 1).saturating_sub(39)..=synced {
            let at = number % 40 * PART;
            assert!(
                content[at..at + PART] == bytes(number, PART),
                "{number} of {synced}"
            );
        }
    }
}
