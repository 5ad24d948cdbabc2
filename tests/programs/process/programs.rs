//! Finds the programs: the examples of this crate, built if necessary, and the legacy ones in Python.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

/// Returns a command for the example program `name`, ready for options.
///
/// Cargo tells tests where binaries are, but not examples. They are in a folder next to the tests:
/// `target/debug/deps/this_test` and `target/debug/examples/name`. `cargo test` builds them. If only this
/// test was built, they are missing or outdated, and are built here, once.
pub(crate) fn example(name: &str) -> Command {
    let path = example_path(name);
    if modified(&path) < newest_source() {
        build_examples();
    }
    assert!(path.exists(), "there is no {}", path.display());
    let mut command = Command::new(path);
    // The environment in which the tests run must not decide addresses and names.
    let all = std::env::vars_os().map(|(variable, _)| variable);
    for variable in all.filter(|variable| variable.to_string_lossy().starts_with("TAKETURNS_")) {
        command.env_remove(variable);
    }
    command
}

/// Like [`example`], for tests that depend on its features: built with those of this test.
pub(crate) fn example_as_here(name: &str) -> Command {
    build_examples();
    example(name)
}

fn example_path(name: &str) -> PathBuf {
    examples_dir().join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// `target/PROFILE`.
fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    test.ancestors().nth(2).expect("tests are built in PROFILE/deps").to_owned()
}

fn examples_dir() -> PathBuf {
    profile_dir().join("examples")
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Returns when the newest source file of the examples was written.
fn newest_source() -> Option<SystemTime> {
    fn newest(path: &Path) -> Option<SystemTime> {
        match std::fs::read_dir(path) {
            Ok(entries) => entries.flatten().map(|entry| newest(&entry.path())).max().flatten(),
            Err(_) => modified(path),
        }
    }
    ["src", "examples"]
        .map(|folder| newest(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)))
        .into_iter()
        .max()?
}

/// Returns the features of this test.
fn features() -> String {
    let optional = [
        ("status", cfg!(feature = "status")),
        ("journal", cfg!(feature = "journal")),
        ("etcd", cfg!(feature = "etcd")),
        ("tls", cfg!(feature = "tls")),
        ("web-socket", cfg!(feature = "web-socket")),
    ];
    let built = optional.into_iter().filter_map(|(feature, is_built)| is_built.then_some(feature));
    ["net"].into_iter().chain(built).collect::<Vec<_>>().join(",")
}

fn build_examples() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let profile_dir = profile_dir();
        let target_dir = profile_dir.parent().expect("PROFILE is in the target directory");
        let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(other) => other,
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        // Cargo has set variables for this test's package. A build script that depends on them would be run
        // again, and ring and rustls rebuilt every time.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.to_string_lossy().starts_with(start))
            {
                command.env_remove(name);
            }
        }
        let status = command
            .args(["build", "--examples", "--features", &features(), "--profile", profile, "--target-dir"])
            .arg(target_dir)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the examples do not build");
    });
}

/// Returns a command for a Python program of `tests/legacy`, ready for options. Without Python, returns
/// `None` and prints a warning.
pub(crate) fn legacy(program: &str) -> Option<Command> {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = *FOUND.get_or_init(|| {
        let version = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    });
    if !found {
        // Not `eprintln!`, because that output of a passing test is hidden.
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: python3 not found, nothing is tested against {program}");
        return None;
    }
    let mut command = Command::new("python3");
    command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/legacy").join(program));
    Some(command)
}
