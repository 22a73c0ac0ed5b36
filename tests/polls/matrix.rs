//! The product: each filesystem and state is one test, which makes all calls that mean something in it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::{Completion, Failed, Trial};
use tidegate::{Handle, Route};
use tokio::runtime::Runtime;

use crate::batch::{self, Place, Scene};
use crate::calls::{self, Act, Call, How};
use crate::stage::{Fs, Stage};
use crate::states::{self, State, Target};

/// A batch after which nothing was done, so often, is no accident.
const VAIN_MAX: u32 = 12;
/// A state that was not what it says, so often in a row, cannot be made here.
const UNREAL_MAX: u32 = 4;
const WORKERS: usize = 4;

/// How calls are made.
#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    route: Route,
    place: Place,
    /// Whether all states are tried, or only those in which much differs.
    all: bool,
}

const WAYS: [Way; 4] = [
    way("auto", Route::Auto, Place::Worker, true),
    way("auto, by hand", Route::Auto, Place::Thread, false),
    way("ring", Route::Ring, Place::Worker, false),
    way("pool", Route::Pool, Place::Worker, false),
];

const fn way(name: &'static str, route: Route, place: Place, all: bool) -> Way {
    Way {
        name,
        route,
        place,
        all,
    }
}

/// The states for every way.
const IN_EVERY_WAY: [&str; 6] = [
    "cached",
    "names cold",
    "extents cold",
    "truncated to zero and rewritten",
    "access time due, commit held",
    "unlinked",
];

/// Those for what is made or mounted in another way.
const IN_VARIANTS: [&str; 11] = [
    "cached",
    "names cold",
    "content cold",
    "truncated to zero and rewritten",
    "dirty by another descriptor",
    "commit held",
    "preallocated",
    "access time due, commit held",
    "written through another file just before, commit held",
    "directory, blocks cold",
    "unlinked",
];

/// One storage is there at a time.
static STAGE: Mutex<Option<Stage>> = Mutex::new(None);

/// Takes down what is left of the last storage.
pub(crate) fn end() {
    *STAGE.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for fs in Fs::ALL {
        for way in WAYS {
            for state in states::all() {
                if state.only.is_none() && way.all || IN_EVERY_WAY.contains(&state.name) {
                    trials.push(trial(fs, way, state));
                }
            }
        }
    }
    for fs in Fs::VARIANTS {
        for state in states::all() {
            if IN_VARIANTS.contains(&state.name) || state.only == Some(fs) {
                trials.push(trial(fs, WAYS[0], state));
            }
        }
    }
    trials
}

fn trial(fs: Fs, way: Way, state: State) -> Trial {
    let name = format!("{}::{}::{}", fs.name(), way.name, state.name);
    let shown = name.clone();
    Trial::ignorable_test(name, move || {
        let mut missing = fs.missing();
        if let (Route::Ring, Some(reason)) = (way.route, tidegate::probe::report().ring_reason()) {
            missing.push(format!("a ring: {reason}"));
        }
        missing.extend((state.lacks)(fs.base()).map(str::to_owned));
        if missing.is_empty() {
            return run(&shown, fs, way, &state).map(|()| Completion::Completed);
        }
        let reason = missing.join(", ");
        println!("skip: {shown}: {reason}");
        Ok(Completion::ignored_with(reason))
    })
}

fn run(name: &str, fs: Fs, way: Way, state: &State) -> Result<(), Failed> {
    let mut kept = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.as_ref().is_none_or(|stage| stage.fs != fs) {
        // The old one goes first.
        *kept = None;
        *kept = Some(Stage::new(fs)?);
    }
    let Some(stage) = kept.as_ref() else {
        return Ok(());
    };
    let (runtime, handle) = host(way)?;
    let scene = Scene {
        stage,
        runtime: &runtime,
        handle: &handle,
        place: way.place,
        answers: way.route == Route::Auto,
    };
    let played = play(name, &scene, state);
    runtime.shutdown_timeout(Duration::from_secs(10));
    if played.is_err() {
        // Whatever was left behind is not to disturb the next.
        *kept = None;
    }
    let failed = played?;
    if failed.is_empty() {
        return Ok(());
    }
    let text = failed.join("\n    ");
    Err(format!("{} calls slept:\n    {text}", failed.len()).into())
}

fn host(way: Way) -> Result<(Runtime, Handle), Failed> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(WORKERS).enable_all().build()?;
    let handle = runtime.block_on(async { Handle::builder().route(way.route).install() })?;
    Ok((runtime, handle))
}

/// The calls that slept.
fn play(name: &str, scene: &Scene<'_>, state: &State) -> Result<Vec<String>, String> {
    let all = calls::all();
    let mut skips = BTreeMap::<&str, Vec<&str>>::new();
    let mut calls = Vec::new();
    for call in &all {
        match pointless(call, state) {
            Some(reason) => skips.entry(reason).or_default().push(call.name),
            None => calls.push(call),
        }
    }
    for (reason, names) in skips {
        println!("    skip: {name}: {reason}: {}", names.join(", "));
    }
    let (mut failed, mut vain, mut unreal, mut batches) = (Vec::new(), 0, 0, 0);
    let count = calls.len();
    while !calls.is_empty() && vain < VAIN_MAX {
        let outcome = batch::run(scene, state, &calls)?;
        vain = if outcome.done == 0 { vain + 1 } else { 0 };
        batches += 1;
        for skipped in outcome.skipped {
            println!("    skip: {name}: {skipped}");
        }
        let is_real = judge_control(name, scene, state, outcome.slept);
        if let Err(error) = is_real {
            // Somebody else on the machine may have brought something about: once more.
            unreal += 1;
            if unreal == UNREAL_MAX {
                return Err(error);
            }
            continue;
        }
        unreal = 0;
        failed.extend(outcome.failed);
        calls.drain(..outcome.done.min(calls.len()));
    }
    if vain == VAIN_MAX {
        return Err("the library does not answer on this mount, so nothing is shown".to_owned());
    }
    println!(
        "    {name}: {count} calls in {batches} holds, {} slept",
        failed.len()
    );
    Ok(failed)
}

/// That the state is one in which std sleeps.
fn judge_control(
    name: &str,
    scene: &Scene<'_>,
    state: &State,
    slept: Option<bool>,
) -> Result<(), String> {
    let (Some(control), Some(slept)) = (&state.control, slept) else {
        return Ok(());
    };
    println!(
        "    {name}: control: {} {}",
        control.what,
        if slept { "slept" } else { "did not sleep" }
    );
    if !slept && control.sleeps_on.contains(&scene.stage.fs) {
        return Err(format!(
            "the state is not real: {} did not sleep",
            control.what
        ));
    }
    Ok(())
}

/// Why a call means nothing in a state.
fn pointless(call: &Call, state: &State) -> Option<&'static str> {
    let by_path = matches!(call.act, Act::Path(_));
    if state.for_reads && !call.reads {
        return Some("it reads no content");
    }
    match (state.target, &call.act) {
        (Target::Unlinked, _) if by_path => Some("the file has no name"),
        (Target::Absent, Act::Entry(_)) => Some("there is no entry"),
        (Target::Absent | Target::Socket, Act::Handle(..)) => Some("there is nothing to open"),
        (Target::Dir, Act::Handle(How::ReadWrite, _)) => Some("a directory is not written to"),
        (Target::Fifo | Target::Device | Target::Dir, Act::Handle(How::Direct, _)) => {
            Some("it has no disk blocks")
        }
        (Target::Unlinked, Act::Dir(_) | Act::Entry(_)) => Some("the file has no name"),
        (Target::Fifo, Act::Handle(..)) if call.name == "read_to_end" => {
            Some("the pipe has no end")
        }
        _ => None,
    }
}
