//! Certificates of an authority, made by `openssl`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::process::folder::Folder;

/// Extensions of an authority, of a member, and of a client.
const CONFIG: &str = "[req]\ndistinguished_name=name\n[name]\n[ca]\nbasicConstraints=critical,CA:TRUE\n\
    [member]\nbasicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n\
    [client]\nbasicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n";

/// Files `NAME.pem` and `NAME.key` of two authorities, `ca` and `other`, and of a `member` and a `client` of
/// the first one.
pub(super) struct Certificates(Folder);

impl Certificates {
    /// `None`, said loudly, where `openssl` is missing.
    pub(super) fn new() -> Option<Certificates> {
        let version = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            let _ = writeln!(std::io::stderr(), "SKIPPED: openssl not found, etcd is not tested over TLS");
            return None;
        }
        let certificates = Certificates(Folder::new());
        std::fs::write(certificates.0.path("config"), CONFIG).expect("a folder of the test");
        for (name, extensions, authority) in [
            ("ca", "ca", None),
            ("other", "ca", None),
            ("member", "member", Some("ca")),
            ("client", "client", Some("ca")),
        ] {
            certificates.make(name, extensions, authority);
        }
        Some(certificates)
    }

    fn make(&self, name: &str, extensions: &str, authority: Option<&str>) {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-days", "2", "-subj", &format!("/CN={name}"), "-extensions", extensions, "-config"]);
        command.arg(self.0.path("config")).arg("-keyout").arg(self.key(name)).arg("-out").arg(self.pem(name));
        if let Some(authority) = authority {
            command.arg("-CA").arg(self.pem(authority)).arg("-CAkey").arg(self.key(authority));
        }
        let made = command.output().expect("it was found");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    pub(super) fn pem(&self, name: &str) -> PathBuf {
        self.0.path(&format!("{name}.pem"))
    }

    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.0.path(&format!("{name}.key"))
    }
}
