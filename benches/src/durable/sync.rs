//! Small writes and a sync each, of a file of its own for each task: by ring entries, and by calls on threads.

use std::io;
use std::path::Path;

use tidegate::fs::OpenOptions;
use tidegate::{Handle, Route};
use tokio::runtime::Runtime;

use super::runtime;
use crate::contest::contest;

const PART: usize = 256;
const SYNCS: u64 = 2048;

fn write(runtime: &Runtime, folder: &Path, tasks: u64) -> io::Result<u64> {
    runtime.block_on(async {
        let mut all = tokio::task::JoinSet::new();
        for task in 0..tasks {
            let path = folder.join(task.to_string());
            all.spawn(async move {
                let mut options = OpenOptions::new();
                let file = options.write(true).create(true).open(path).await?;
                for at in 0..SYNCS / tasks {
                    file.write_all_at(vec![7; PART], at * PART as u64).await?;
                    file.sync_data().await?;
                }
                file.close().await
            });
        }
        while let Some(done) = all.join_next().await {
            done??;
        }
        Ok(SYNCS)
    })
}

pub(super) fn run(folder: &Path, rounds: usize) -> io::Result<()> {
    let on = |route| -> io::Result<Runtime> {
        let runtime = runtime()?;
        runtime.block_on(async { Handle::builder().route(route).install() })?;
        Ok(runtime)
    };
    let (pool, ring, auto) = (on(Route::Pool)?, on(Route::Ring)?, on(Route::Auto)?);
    for tasks in [1, 8, 32] {
        let title = format!("{PART} bytes and a sync, {tasks} tasks");
        contest(
            &title,
            rounds,
            &mut || Ok(()),
            &mut [
                ("by calls", Box::new(|| write(&pool, folder, tasks))),
                ("by ring entries", Box::new(|| write(&ring, folder, tasks))),
                (
                    "as the library chooses",
                    Box::new(|| write(&auto, folder, tasks)),
                ),
            ],
        )?;
    }
    Ok(())
}
