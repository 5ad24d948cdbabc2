//! Certificates for tests: an authority, and certificates that it issues and revokes. Not for use outside of
//! tests: keys are unprotected, and certificates are valid for a century.

use std::path::Path;
use std::{fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ED25519, RevocationReason, RevokedCertParams, SanType, SerialNumber, SignatureAlgorithm,
    date_time_ymd,
};

/// An authority, with its key.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    algorithm: &'static SignatureAlgorithm,
}

/// A certificate and its key, as PEM.
pub struct Certified {
    pub certificate: String,
    pub key: String,
    pub serial: u64,
}

/// A certificate to be issued.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// DNS names, addresses, and URIs, which contain `://`.
    pub names: &'a [&'a str],
    pub is_server: bool,
    /// Whether it was valid in 2019 only.
    pub has_expired: bool,
    pub serial: u64,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        Authority::of(name, &PKCS_ECDSA_P256_SHA256)
    }

    /// One whose certificates have the same length each time that they are made, as have signatures by their
    /// keys.
    pub fn of_ed25519(name: &str) -> Authority {
        Authority::of(name, &PKCS_ED25519)
    }

    fn of(name: &str, algorithm: &'static SignatureAlgorithm) -> Authority {
        let mut params = params(&[], 1);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key(algorithm)).expect("the parameters make sense");
        Authority { issuer, algorithm }
    }

    /// Returns its certificate, as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn certify(&self, subject: Subject<'_>) -> Certified {
        let mut params = params(subject.names, subject.serial);
        params.distinguished_name.push(DnType::CommonName, "test");
        params.extended_key_usages = vec![if subject.is_server {
            ExtendedKeyUsagePurpose::ServerAuth
        } else {
            ExtendedKeyUsagePurpose::ClientAuth
        }];
        if subject.has_expired {
            (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2019, 12, 31));
        }
        let key = key(self.algorithm);
        let certificate = params.signed_by(&key, &self.issuer).expect("the parameters make sense");
        Certified { certificate: certificate.pem(), key: key.serialize_pem(), serial: subject.serial }
    }

    /// Returns the list of these revoked certificates, as PEM.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |&serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2119, 12, 31),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("the parameters make sense");
        list.pem().expect("it was encoded")
    }
}

/// Writes the files that programs are started with in tests into the folder `dir`: authorities, servers and
/// clients of every kind, and a list of revoked ones.
///
/// # Errors
///
/// When the system does not let it.
pub fn write(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let file = |name: &str, text: &str| fs::write(dir.join(name), text);
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

fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).expect("the system has random bytes")
}

fn params(names: &[&str], serial: u64) -> CertificateParams {
    let (uris, others): (Vec<&str>, Vec<_>) = names.iter().partition(|name| name.contains("://"));
    let others: Vec<String> = others.into_iter().map(str::to_owned).collect();
    let mut params = CertificateParams::new(others).expect("names are ASCII");
    for uri in uris {
        params.subject_alt_names.push(SanType::URI(uri.try_into().expect("names are ASCII")));
    }
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from(serial));
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2119, 12, 31));
    params
}
