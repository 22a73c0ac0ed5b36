//! `tidegate doctor --mounts` names a mount that does not answer, and ends while it does not.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod common;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    tidegate_rig::init();
    let mut args = libtest_mimic::Arguments::from_args();
    // Each looks at what the other's processes left.
    args.test_threads = Some(1);
    let trials = vec![
        linux::trial("a_dead_mount_is_named", linux::dead),
        linux::trial("dead_mounts_are_asked_side_by_side", linux::side_by_side),
        linux::trial("a_killed_server_is_told_by_its_error", linux::killed),
    ];
    libtest_mimic::run(&args, trials).exit_code()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::process::Output;
    use std::time::{Duration, Instant};

    use libtest_mimic::{Completion, Failed, Trial};
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use serde_json::Value;
    use tidegate_rig::{Request, Requirements, StalledFuse};

    use crate::common::{BOUND, assert_exit, json, tidegate};

    type Outcome = Result<(), Failed>;

    pub(crate) fn trial(name: &'static str, test: fn() -> Outcome) -> Trial {
        Trial::ignorable_test(name, move || {
            let missing = Requirements::fuse().missing().join(", ");
            if missing.is_empty() {
                test()?;
                return none_asks().map(|()| Completion::Completed);
            }
            println!("skip: {name}: {missing}");
            Ok(Completion::ignored_with(missing))
        })
    }

    fn tree() -> std::io::Result<StalledFuse> {
        StalledFuse::options().with_max_hold(BOUND).create()
    }

    fn doctor(more: &[&str]) -> Output {
        let mut doctor = tidegate();
        doctor.args(["doctor", "--mounts", "--timeout", "300ms"]);
        doctor.args(more).output().unwrap()
    }

    fn find<'a>(listed: &'a Value, tree: &StalledFuse) -> &'a Value {
        let point = tree.path().to_str().unwrap();
        let mounts = listed["mounts"].as_array().unwrap();
        let found = mounts.iter().find(|mount| mount["point"] == point);
        found.unwrap_or_else(|| panic!("{point} is not listed: {listed}"))
    }

    /// What was left behind to ask ends once it has its answers.
    fn none_asks() -> Outcome {
        let asks = || {
            let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
            let mut lines =
                processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
            lines.any(|line| {
                let words: Vec<_> = line.split(|&byte| byte == 0).collect();
                words[0] == env!("CARGO_BIN_EXE_tidegate").as_bytes()
                    && words.contains(&&b"--ask"[..])
            })
        };
        let deadline = Instant::now() + BOUND;
        while asks() {
            assert!(Instant::now() < deadline, "a process is left");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Whether it was asked, and nothing but its hold has kept it from answering.
    fn was_held(tree: &StalledFuse) -> Outcome {
        let status = tree.status()?;
        assert!(status.seen(Request::Getattr) > 0, "{status:?}");
        assert_eq!((status.rules, status.expired), (1, 0), "{status:?}");
        Ok(())
    }

    /// The hold is still in force when the command has ended: the order is the assertion.
    pub(crate) fn dead() -> Outcome {
        let tree = tree()?;
        let hold = tree.hold(&[Request::Getattr], "")?;
        let (text, listed) = (doctor(&[]), doctor(&["--json"]));
        was_held(&tree)?;
        hold.release()?;
        for output in [&text, &listed] {
            assert_exit(output, 2);
            let said = String::from_utf8_lossy(&output.stderr);
            let point = tree.path().to_string_lossy();
            assert!(
                said.contains(&*point) && said.contains("does not answer"),
                "{said}"
            );
        }
        assert!(String::from_utf8_lossy(&text.stdout).contains("NONE within 300 ms"));
        let listed = json(&listed);
        let mount = find(&listed, &tree);
        assert_eq!(mount["answer"]["state"], "silent");
        assert_eq!(mount["fs_type"], "fuse.tidegate-rig");
        assert_eq!(mount["local"], false);
        let again = json(&doctor(&["--json"]));
        assert_eq!(find(&again, &tree)["answer"]["state"], "answered");
        Ok(())
    }

    /// Every one of several dead mounts has been asked by the time that the first one's is over.
    pub(crate) fn side_by_side() -> Outcome {
        let trees = [tree()?, tree()?, tree()?];
        let holds: Result<Vec<_>, _> = trees
            .iter()
            .map(|tree| tree.hold(&[Request::Getattr], ""))
            .collect();
        let holds = holds?;
        let listed = json(&doctor(&["--json"]));
        for tree in &trees {
            assert_eq!(find(&listed, tree)["answer"]["state"], "silent");
            was_held(tree)?;
        }
        for hold in holds {
            hold.release()?;
        }
        Ok(())
    }

    /// A mount without a server is of no use, and says so at once.
    pub(crate) fn killed() -> Outcome {
        let tree = tree()?;
        let server = tree.server_id().ok_or("no server")?;
        kill(Pid::from_raw(server as i32), Signal::SIGKILL)?;
        let deadline = Instant::now() + BOUND;
        // The kernel needs a moment to take the connection down.
        let listed = loop {
            let output = doctor(&["--json"]);
            let listed = json(&output);
            if find(&listed, &tree)["answer"]["state"] == "failed" {
                assert_exit(&output, 2);
                break listed;
            }
            assert!(Instant::now() < deadline, "{listed}");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(
            find(&listed, &tree)["answer"]["errno"],
            nix::errno::Errno::ENOTCONN as i32
        );
        Ok(())
    }
}
