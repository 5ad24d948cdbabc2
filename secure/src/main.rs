//! Writes the certificates for tests in other languages: `cargo run -p secure -- DIR`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use secure::{Authority, Subject};

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: secure DIR");
        return ExitCode::from(2);
    };
    match write(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", dir.display());
            ExitCode::FAILURE
        }
    }
}

fn write(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let file = |name: &str, text: &str| std::fs::write(dir.join(name), text);
    file("ca.pem", &ours.pem())?;
    file("other-ca.pem", &other.pem())?;
    let here: &[&str] = &["localhost", "127.0.0.1", "::1"];
    for (file_name, authority, names, is_server, has_expired, serial) in [
        ("server", &ours, here, true, false, 2),
        ("server-renewed", &ours, here, true, false, 3),
        ("server-expired", &ours, here, true, true, 4),
        ("server-elsewhere", &ours, &["elsewhere.example"], true, false, 5),
        ("server-of-other", &other, here, true, false, 2),
        ("ann", &ours, &["ann", "spiffe://example.org/ann"], false, false, 10),
        ("bob", &ours, &["bob"], false, false, 11),
        ("ann-expired", &ours, &["ann"], false, true, 12),
        ("ann-revoked", &ours, &["ann"], false, false, 13),
        ("ann-of-other", &other, &["ann"], false, false, 10),
    ] {
        let made = authority.certify(Subject { names, is_server, has_expired, serial });
        file(&format!("{file_name}.pem"), &made.certificate)?;
        file(&format!("{file_name}.key"), &made.key)?;
    }
    file("revoked.pem", &ours.revoke(&[13]))
}
