//! What `tidegate doctor` says is what the library does, whatever the process may not do: each capability is used in a
//! process that is restricted in the same way, and compared with what was said there.
#![cfg(target_os = "linux")]

#[path = "doctor_told/cases.rs"]
mod cases;
mod common;
#[path = "doctor_told/real.rs"]
mod real;
#[path = "../../tests/fallback/seccomp.rs"]
mod seccomp;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use cases::{Case, all};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

/// The user of the first case; the others count from there.
const FIRST_USER: u32 = 48_621;

/// Which case a process is in, as its number in the list.
const CASE: &str = "TIDEGATE_DOCTOR_CASE";

fn main() -> ExitCode {
    if let Ok(number) = std::env::var(CASE) {
        child(&all()[number.parse::<usize>().unwrap()]);
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    // Where everybody may run them; copied before there are threads whose children would keep them open.
    let place = tempfile::Builder::new()
        .prefix("doctor-")
        .tempdir()
        .unwrap();
    let open_to_all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path(), open_to_all).unwrap();
    std::fs::copy(
        env!("CARGO_BIN_EXE_tidegate"),
        place.path().join("tidegate"),
    )
    .unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), place.path().join("test")).unwrap();
    let trials = all().into_iter().enumerate().map(|(number, case)| {
        let place = place.path().to_path_buf();
        Trial::test(case.name(), move || run(number, &case, &place))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Restricts itself, and becomes doctor or uses the library.
fn child(case: &Case) {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    case.restrict();
    match &arguments[..] {
        [dir] => println!("{}", real::real(Path::new(dir), case.is_of_memory())),
        [dir, doctor] => {
            let mut doctor = Command::new(doctor);
            let error = doctor.args(["doctor", "--json"]).arg(dir).exec();
            panic!("{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// Has one child ask doctor, another one use the library, and compares.
fn run(number: usize, case: &Case, place: &Path) -> Result<(), Failed> {
    if let Some(reason) = case.skipped() {
        println!("skip: {}: {reason}", case.name());
        return Ok(());
    }
    let dir = place.join(number.to_string());
    std::fs::create_dir(&dir)?;
    // Users that nobody else is, so that their threads are those of the case, and memory that the kernel has not counted
    // back yet is not the next one's.
    let user = FIRST_USER + 2 * number as u32;
    let in_child = |doctor: Option<PathBuf>| {
        let user = user + u32::from(doctor.is_some());
        let mut command = Command::new(place.join("test"));
        command
            .arg(&dir)
            .args(doctor)
            .env(CASE, number.to_string())
            .env_remove("TIDEGATE_BACKEND")
            .env_remove("TIDEGATE_TIMEOUTS")
            .stdin(Stdio::null());
        case.prepare(&mut command, user, &dir);
        command.output()
    };
    let doctor = in_child(Some(place.join("tidegate")))?;
    let used = in_child(None)?;
    // The program that compares had no room for itself: what doctor, which has another size, says of itself is all.
    let errors = String::from_utf8_lossy(&used.stderr);
    if used.status.code().is_none() && case.ended_by_memory(&errors) {
        let (code, errors) = (
            doctor.status.code(),
            String::from_utf8_lossy(&doctor.stderr),
        );
        let says_why = matches!(code, None | Some(0 | 3)) || !errors.is_empty();
        return match says_why {
            true => Ok(()),
            false => Err(format!("doctor ends with {code:?}, and does not say why").into()),
        };
    }
    let real: Value = serde_json::from_slice(&used.stdout).map_err(|error| {
        format!(
            "{error}: {:?}\n{}",
            used.status,
            String::from_utf8_lossy(&used.stderr)
        )
    })?;
    let told = json!({
        "said": serde_json::from_slice(&doctor.stdout).unwrap_or(Value::Null),
        "code": doctor.status.code(),
        "errors": String::from_utf8_lossy(&doctor.stderr),
        "real": real,
    });
    compare(case, &told).map_err(|what| format!("{what}\n{told:#}").into())
}

/// Whether what was said is what is.
fn compare(case: &Case, told: &Value) -> Result<(), String> {
    let (said, real) = (&told["said"], &told["real"]);
    let code = told["code"].as_i64();
    let errors = told["errors"].as_str().unwrap_or_default();
    if real["works"] == false {
        // Where not even the program can be loaded, the code is the loader's.
        return match (code, errors.is_empty()) {
            // A signal ended it while it was loaded.
            (None, _) => Ok(()),
            (Some(0 | 3), _) => Err("it does not work, and doctor says that it does".into()),
            (_, true) => Err("doctor does not say why it does not work".into()),
            _ => Ok(()),
        };
    }
    if code == Some(1) && case.is_near(errors) {
        return Ok(());
    }
    let expected = if real["ring"] == true { 0 } else { 3 };
    if code != Some(expected) {
        return Err(format!("it works, with exit code {expected}"));
    }
    let ring = said["ring"]["state"] == "available" && said["requested_backend"] != "pool";
    if real["ring"] != ring {
        return Err("a ring is used, or not, other than doctor says".into());
    }
    let filesystem = &said["filesystem"];
    let listed = filesystem["at_poll"]
        .as_array()
        .ok_or("nothing is said of polls")?;
    let answered = [
        ("attributes", "metadata"),
        ("attributes", "statx"),
        ("opens", "opens"),
        ("reads", "reads"),
    ];
    for (answer, used) in answered {
        let found = listed.iter().find(|found| found["answer"] == answer);
        let found = found.ok_or("an answer is missing")?;
        if found["available"] != real[used] {
            return Err(format!(
                "{used} at the first poll: {} and not {found}",
                real[used]
            ));
        }
        if found["available"] == false {
            case.names(found)?;
        }
    }
    let all = listed.iter().all(|found| found["available"] == true);
    match filesystem["answers_at_poll"] == all {
        true => Ok(()),
        false => Err("the sum is not that of the parts".into()),
    }
}
