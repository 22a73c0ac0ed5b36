//! What becomes of a file whose writes are stuck or fail (V7).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tidegate::fs::{File, FileState, Overlap};
use tidegate::opcode::Kind;
use tidegate::{Error, OpExt, raw_os_error};

use crate::{EIO, Place, in_time, on_each};

const SHORT: Duration = Duration::from_millis(15);

async fn open(place: &Place) -> Arc<File> {
    let options = File::options().read(true).write(true).clone();
    let file = options.open(place.path("one"));
    Arc::new(file.await.unwrap())
}

/// A write to the same bytes waits for one that timed out, or is refused; one to other bytes goes on. The file
/// is indeterminate meanwhile, and nothing is overtaken.
#[test]
fn a_detached_write_is_not_overtaken() {
    on_each(|place| async move {
        let file = open(&place).await;
        let stuck = place
            .faults
            .on(Kind::Write)
            .under(&place.dir)
            .times(1)
            .never();
        let late = in_time(file.write_at("late", 0).timeout(SHORT)).await;
        assert_eq!(
            late.unwrap_err().into_parts().0.kind(),
            io::ErrorKind::TimedOut
        );
        assert_eq!(file.state(), FileState::Indeterminate);
        in_time(file.write_at("other", 100)).await.unwrap();

        file.set_overlap(Overlap::Fail);
        let refused = in_time(file.write_at("never", 2)).await.unwrap_err();
        let refused = refused.into_parts().0;
        assert!(matches!(
            Error::from_io(&refused),
            Some(Error::Overlaps { .. })
        ));
        file.set_overlap(Overlap::Wait);
        let short = in_time(file.write_at("NEW", 1).timeout(SHORT)).await;
        assert_eq!(
            short.unwrap_err().into_parts().0.kind(),
            io::ErrorKind::TimedOut
        );
        let next = tokio::spawn({
            let file = file.clone();
            async move { file.write_at("new", 1).await }
        });
        stuck.release();
        in_time(next).await.unwrap().unwrap();
        place.idle().await;
        assert_eq!(file.state(), FileState::Healthy);
        assert_eq!(std::fs::read(place.path("one")).unwrap()[..4], *b"lnew");
    });
}

/// A sync that fails is told once by the kernel, and by the file until somebody has taken note.
#[test]
fn a_failed_sync_poisons_the_file() {
    on_each(|place| async move {
        let file = open(&place).await;
        in_time(file.write_at("data", 0)).await.unwrap();
        let broken = place.faults.on(Kind::SyncData).or(Kind::SyncAll);
        let broken = broken.under(&place.dir).times(1).fail(EIO);
        let error = in_time(file.sync_data()).await.unwrap_err();
        assert_eq!((raw_os_error(&error), broken.hits()), (Some(EIO), 1));
        assert_eq!(file.state(), FileState::Poisoned);
        in_time(file.sync_all()).await.unwrap_err();
        assert!(file.acknowledge().is_some());
        in_time(file.sync_all()).await.unwrap();
        assert_eq!(file.state(), FileState::Healthy);
    });
}
