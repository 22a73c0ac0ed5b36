//! Everything at once: rules that come and go, deadlines, cancels and drops at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate::OpExt;
use tidegate::fs::{self, File};
use tidegate::opcode::Kind;
use tidegate::testing::FaultGuard;
use tokio_util::sync::CancellationToken;

use crate::{Place, in_time, on_each};

/// Repeatable numbers that differ from one another.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn rule(place: &Place, dice: &mut Dice) -> FaultGuard {
    let kinds = [
        Kind::Statx,
        Kind::Open,
        Kind::Read,
        Kind::Write,
        Kind::ReadFile,
    ];
    let kind = kinds[dice.below(kinds.len() as u64) as usize];
    let mut fault = match dice.below(3) {
        0 => place.faults.on_any_kind(),
        _ => place.faults.on(kind),
    };
    fault = match dice.below(2) {
        0 => fault.path_is(place.path("one")),
        _ => fault.under(&place.dir),
    };
    if dice.below(2) == 0 {
        fault = fault.honours_cancel();
    }
    fault = fault.after(dice.below(3)).times(1 + dice.below(20));
    match dice.below(4) {
        0 => fault.delay(Duration::from_micros(dice.below(3000))),
        1 => fault.fail(5),
        2 => fault.pass(),
        _ => fault.never(),
    }
}

/// One operation, ended in some way.
async fn one(place: &Place, file: &File, mut dice: Dice) {
    let path = place.path(["one", "two"][dice.below(2) as usize]);
    let kind = dice.below(4);
    let operation = async {
        match kind {
            0 => fs::statx(&path).await.map(drop),
            1 => fs::read(&path).await.map(drop),
            2 => file
                .read_at(vec![0; 64], 0)
                .await
                .map(drop)
                .map_err(Into::into),
            _ => file
                .write_at(vec![7; 64], 0)
                .await
                .map(drop)
                .map_err(Into::into),
        }
    };
    let time = Duration::from_micros(1 + dice.below(4000));
    let token = CancellationToken::new();
    let result: std::io::Result<()> = match dice.below(3) {
        0 => match tokio::time::timeout(time, operation).await {
            Ok(result) => result,
            Err(_) => return,
        },
        1 => operation.timeout(time).await,
        _ => {
            let limited = operation.timeout(2 * time).cancel_on(&token);
            let cancel = async {
                tokio::time::sleep(time).await;
                token.cancel();
            };
            tokio::join!(limited, cancel).0
        }
    };
    // Whatever it is, it is an answer.
    let _ = result;
}

/// Whatever comes together, every operation ends, nothing is left in flight, and no descriptor is open.
#[test]
fn rules_limits_and_drops_at_any_moment_leave_nothing() {
    static SEED: AtomicU64 = AtomicU64::new(0x7469_6465);
    on_each(|place| async move {
        let seed = SEED.fetch_add(1, Ordering::Relaxed);
        eprintln!("seed {seed}");
        let path = place.path("one");
        let file = File::options().read(true).write(true).open(&path).await;
        let shared = Arc::new((place, file.unwrap()));
        let mut dice = Dice(seed);
        for _ in 0..40 {
            let place = &shared.0;
            let rules = [rule(place, &mut dice), rule(place, &mut dice)];
            let tasks: Vec<_> = (0..25)
                .map(|_| {
                    let (shared, dice) = (shared.clone(), Dice(dice.below(u64::MAX) | 1));
                    tokio::spawn(async move { one(&shared.0, &shared.1, dice).await })
                })
                .collect();
            if dice.below(2) == 0 {
                tokio::time::sleep(Duration::from_micros(dice.below(2000))).await;
                rules[0].release();
            }
            for task in tasks {
                in_time(task).await.unwrap();
            }
            drop(rules);
        }
        let Ok((place, file)) = Arc::try_unwrap(shared).map_err(|_| ()) else {
            panic!("a task is left");
        };
        drop(file);
        place.idle().await;
        let open = || crate::descriptors_of(&path);
        crate::until("no descriptor is left", || open() == 0).await;
    });
}
