//! Compares tidegate with its peers.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use clap::Parser;
    let options = tidegate_benches::compare::Options::parse();
    match tidegate_benches::compare::run(&options, &mut std::io::stdout().lock()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("compare: the peers need Linux");
    std::process::exit(1);
}
