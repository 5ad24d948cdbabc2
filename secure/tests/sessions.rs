//! TLS without sockets: both ends of a connection, and the bytes between them.

use std::io;
use std::sync::{Arc, LazyLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secure::{Authority, Certified, Subject};
use taketurns::engine::{Input, Wrapping};
use taketurns::tls::{Acceptor, Clients, Connector, File, Identity};

/// All certificates, made once because each key takes a while in a test build.
struct Made {
    ours: Authority,
    other: Authority,
    server: Certified,
    expired: Certified,
    of_other: Certified,
    ann: Certified,
    revoked: Certified,
    ann_expired: Certified,
    ann_of_other: Certified,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let server = |authority: &Authority, has_expired| {
        authority.certify(Subject { names: &["here.example"], is_server: true, has_expired, serial: 2 })
    };
    let client = |authority: &Authority, has_expired, serial| {
        let names = &["Ann.example", "spiffe://example.org/ann"];
        authority.certify(Subject { names, is_server: false, has_expired, serial })
    };
    Made {
        server: server(&ours, false),
        expired: server(&ours, true),
        of_other: server(&other, false),
        ann: client(&ours, false, 10),
        revoked: client(&ours, false, 13),
        ann_expired: client(&ours, true, 12),
        ann_of_other: client(&other, false, 10),
        ours,
        other,
    }
});

fn identity(made: &Certified) -> Identity<'_> {
    Identity { certificates: made.certificate.as_bytes(), key: made.key.as_bytes() }
}

fn acceptor(made: &Certified, are_required: Option<bool>) -> Acceptor {
    let (authority, revoked) = (MADE.ours.pem(), MADE.ours.revoke(&[13]));
    let clients = are_required.map(|are_required| Clients {
        authorities: authority.as_bytes(),
        revoked: Some(revoked.as_bytes()),
        are_required,
    });
    Acceptor::new(identity(made), clients).expect("the files are good")
}

fn connector(authority: &Authority, shows: Option<&Certified>) -> Connector {
    Connector::new(Some(authority.pem().as_bytes()), shows.map(identity)).expect("the files are good")
}

/// One end of a connection.
struct End {
    wrapping: Box<dyn Wrapping>,
    /// Bytes to be sent.
    wire: Vec<u8>,
    /// Bytes handed to the protocol.
    heard: Vec<u8>,
    outcome: io::Result<Input>,
}

impl End {
    fn new(wrapping: Box<dyn Wrapping>) -> End {
        let mut end = End { wrapping, wire: Vec::new(), heard: Vec::new(), outcome: Ok(Input::Open) };
        end.hear(&mut []);
        end
    }

    fn hear(&mut self, bytes: &mut [u8]) {
        if matches!(self.outcome, Ok(Input::Open)) {
            self.outcome = self.wrapping.unwrap(bytes, &mut self.heard, &mut self.wire);
        }
    }

    fn say(&mut self, text: &[u8]) {
        let mut said = 0;
        while said < text.len() {
            said += self.wrapping.wrap(&text[said..], &mut self.wire);
        }
    }

    fn error(&self) -> String {
        self.outcome.as_ref().map_or_else(ToString::to_string, |input| format!("{input:?}"))
    }

    fn names(&self) -> Option<Vec<String>> {
        let transport = self.wrapping.transport()?;
        assert!(transport.is_secure && !transport.is_web_socket);
        Some(transport.names.iter().map(ToString::to_string).collect())
    }
}

struct Pair {
    server: End,
    client: End,
}

impl Pair {
    fn new(acceptor: &Acceptor, connector: &Connector, name: &str) -> Pair {
        let client = End::new(connector.wrap(name).expect("a name")());
        Pair { server: End::new(acceptor.wrap()()), client }
    }

    /// Carries bytes in both directions, at most `at_once` at a time, until both ends are silent.
    fn settle(&mut self, at_once: usize) {
        while !(self.server.wire.is_empty() && self.client.wire.is_empty()) {
            carry(&mut self.client, &mut self.server, at_once);
            carry(&mut self.server, &mut self.client, at_once);
        }
    }

    fn settled(acceptor: &Acceptor, connector: &Connector, name: &str) -> Pair {
        let mut pair = Pair::new(acceptor, connector, name);
        pair.settle(usize::MAX);
        pair
    }
}

fn carry(from: &mut End, to: &mut End, at_once: usize) {
    for bytes in std::mem::take(&mut from.wire).chunks_mut(at_once) {
        to.hear(bytes);
    }
}

#[test]
fn both_ends_receive_everything_however_the_bytes_are_split() {
    let (acceptor, connector) = (acceptor(&MADE.server, Some(true)), connector(&MADE.ours, Some(&MADE.ann)));
    let long: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for at_once in [1, 2, 3, 5, 7, 100, 1000, 16 * 1024, usize::MAX] {
        let mut pair = Pair::new(&acceptor, &connector, "here.example");
        pair.settle(at_once);
        let names = vec!["ann.example".to_owned(), "spiffe://example.org/ann".to_owned()];
        assert_eq!(pair.server.names(), Some(names), "{at_once} at once: {}", pair.server.error());
        assert_eq!(pair.client.names(), Some(vec!["here.example".to_owned()]));
        pair.client.say(b"JOIN ann\n");
        pair.client.say(&long);
        pair.server.say(b"WELCOME\n");
        pair.settle(at_once);
        assert_eq!(pair.server.heard, [b"JOIN ann\n", &long[..]].concat(), "{at_once} at once");
        assert_eq!(pair.client.heard, b"WELCOME\n");
        pair.client.wrapping.finish(&mut pair.client.wire);
        pair.settle(at_once);
        assert!(matches!(pair.server.outcome, Ok(Input::Ended)));
        // It may still answer.
        pair.server.say(b"BYE left\n");
        assert!(pair.server.wire.len() > 20);
    }
}

#[test]
fn a_short_message_has_some_twenty_bytes_more_on_the_wire() {
    let mut pair = Pair::settled(&acceptor(&MADE.server, None), &connector(&MADE.ours, None), "here.example");
    pair.server.say(b"GO");
    assert_eq!(pair.server.wire.len(), 2 + 22);
    assert_eq!(pair.server.names(), Some(Vec::new()), "no certificate, no name");
}

#[test]
fn nothing_is_read_or_written_before_the_handshake_is_over() {
    let mut pair = Pair::new(&acceptor(&MADE.server, None), &connector(&MADE.ours, None), "here.example");
    pair.server.say(b"secret");
    pair.client.say(b"secret");
    assert_eq!((pair.server.names(), pair.client.names(), pair.server.wire.len()), (None, None, 0));
    pair.settle(usize::MAX);
    assert!(pair.server.names().is_some() && pair.client.names().is_some());
    assert!(pair.server.heard.is_empty() && pair.client.heard.is_empty());
}

#[test]
fn a_server_must_prove_the_requested_name() {
    let ours = connector(&MADE.ours, None);
    for (made, connector, name, why) in [
        (&MADE.server, &ours, "there.example", "not valid for name"),
        (&MADE.server, &ours, "192.0.2.1", "not valid for name"),
        (&MADE.expired, &ours, "here.example", "expired"),
        (&MADE.of_other, &ours, "here.example", "UnknownIssuer"),
        (&MADE.server, &connector(&MADE.other, None), "here.example", "UnknownIssuer"),
    ] {
        let pair = Pair::settled(&acceptor(made, None), connector, name);
        assert!(pair.client.error().contains(why), "{}", pair.client.error());
        assert!(pair.server.error().contains("the peer sent the alert"), "{}", pair.server.error());
        assert_eq!((pair.client.names(), pair.server.names()), (None, None));
    }
}

#[test]
fn a_client_must_present_a_valid_certificate() {
    let required = acceptor(&MADE.server, Some(true));
    for (shows, why) in [
        (None, "no certificate"),
        (Some(&MADE.ann_expired), "expired"),
        (Some(&MADE.revoked), "Revoked"),
        (Some(&MADE.ann_of_other), "UnknownIssuer"),
    ] {
        let pair = Pair::settled(&required, &connector(&MADE.ours, shows), "here.example");
        assert!(pair.server.error().contains(why), "{}", pair.server.error());
        assert_eq!(pair.server.names(), None);
        assert!(pair.client.error().contains("TLS: the peer "), "{}", pair.client.error());
    }
}

#[test]
fn optional_certificates_must_be_valid_if_presented() {
    let wanted = acceptor(&MADE.server, Some(false));
    for (shows, names) in [(None, 0), (Some(&MADE.ann), 2)] {
        let pair = Pair::settled(&wanted, &connector(&MADE.ours, shows), "here.example");
        assert_eq!(pair.server.names().map(|all| all.len()), Some(names), "{}", pair.server.error());
    }
    let pair = Pair::settled(&wanted, &connector(&MADE.ours, Some(&MADE.revoked)), "here.example");
    assert!(pair.server.error().contains("Revoked"), "{}", pair.server.error());
}

#[test]
fn a_plain_text_client_is_told_that_tls_is_required() {
    for said in [&b"JOIN ann\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"a", b"\x80"] {
        let mut server = End::new(acceptor(&MADE.server, None).wrap()());
        server.hear(&mut said.to_vec());
        assert_eq!(server.error(), "the peer does not speak TLS");
        server.say(b"WAIT");
        server.wrapping.finish(&mut server.wire);
        assert_eq!(server.wire, b"BYE tls-required :this address needs TLS\n");
    }
    let mut client = End::new(connector(&MADE.ours, None).wrap("here.example").expect("a name")());
    client.hear(&mut b"BYE not-here :another protocol is spoken here\n".to_vec());
    assert_eq!(client.error(), "the peer does not speak TLS");
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    let mut pair = Pair::settled(&acceptor(&MADE.server, None), &connector(&MADE.ours, None), "here.example");
    pair.client.say(b"ANSWER turn=1 :e2 e4\n");
    let mut wire = std::mem::take(&mut pair.client.wire);
    let last = wire.len() - 1;
    wire[last] ^= 1;
    pair.server.hear(&mut wire);
    assert!(pair.server.error().contains("decrypt"), "{}", pair.server.error());
    assert!(pair.server.heard.is_empty() && !pair.server.wire.is_empty(), "the other end hears an alert");
}

/// rustls itself as a client that splits its handshake into records of a few bytes. After each part the
/// server may have to write, or to end, which once made it lose the parts.
#[test]
fn a_handshake_may_be_split_and_the_server_may_end_at_any_part() {
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(MADE.ours.pem().as_bytes()).expect("PEM");
    roots.add(authority).expect("an authority");
    let chain = vec![CertificateDer::from_pem_slice(MADE.ann.certificate.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(MADE.ann.key.as_bytes()).expect("PEM");
    let builder =
        rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let builder =
        builder.with_safe_default_protocol_versions().expect("TLS 1.3").with_root_certificates(roots);
    let mut config = builder.with_client_auth_cert(chain, key).expect("a key");
    config.max_fragment_size = Some(64);
    let config = Arc::new(config);
    let acceptor = acceptor(&MADE.server, Some(true));
    let mut ends_at = 1;
    loop {
        let name = "here.example".try_into().expect("a name");
        let mut client = rustls::ClientConnection::new(Arc::clone(&config), name).expect("a client");
        let mut server = End::new(acceptor.wrap()());
        let mut records = 0;
        while server.names().is_none() && records < ends_at {
            let mut said = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut said).expect("a vector takes all");
            }
            let mut rest = &mut said[..];
            while !rest.is_empty() && records < ends_at {
                let length = 5 + usize::from(u16::from_be_bytes([rest[3], rest[4]]));
                let (record, others) = rest.split_at_mut(length);
                server.hear(record);
                server.say(b"early");
                (records, rest) = (records + 1, others);
            }
            let mut heard = &std::mem::take(&mut server.wire)[..];
            while !heard.is_empty() {
                client.read_tls(&mut heard).expect("a slice gives all");
            }
            client.process_new_packets().expect("the server is good");
        }
        if server.names().is_some() {
            assert!(ends_at > 10, "it was cut");
            return;
        }
        server.wrapping.finish(&mut server.wire);
        server.wrapping.finish(&mut server.wire);
        ends_at += 1;
    }
}

/// Nothing panics, whatever arrives, and everything before it is received.
#[test]
fn noise_ends_a_connection_and_nothing_else() {
    let (acceptor, connector) = (acceptor(&MADE.server, Some(false)), connector(&MADE.ours, Some(&MADE.ann)));
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pair = Pair::new(&acceptor, &connector, "here.example");
        let mut said = 0;
        for _ in 0..random.usize(1..12) {
            let (from, to) = if random.bool() {
                (&mut pair.client, &mut pair.server)
            } else {
                (&mut pair.server, &mut pair.client)
            };
            let mut bytes = std::mem::take(&mut from.wire);
            match random.u8(0..8) {
                0 if !bytes.is_empty() => {
                    let at = random.usize(..bytes.len());
                    bytes[at] ^= random.u8(1..);
                }
                1 => bytes.truncate(random.usize(..=bytes.len())),
                2 => bytes.extend((0..random.usize(..40)).map(|_| random.u8(..))),
                _ => {}
            }
            let at_once = random.usize(1..2000);
            for part in bytes.chunks_mut(at_once) {
                to.hear(part);
                to.say(b"x");
                said += 1;
            }
            if random.u8(..) < 10 {
                to.wrapping.finish(&mut to.wire);
                to.outcome = Ok(Input::Ended);
            }
        }
        pair.settle(100);
        assert!(pair.server.heard.iter().chain(&pair.client.heard).all(|&byte| byte == b'x'), "seed {seed}");
        assert!(pair.server.heard.len() + pair.client.heard.len() <= said, "seed {seed}");
    }
}

#[test]
fn at_most_one_record_is_kept_per_peer() {
    // A record that is too long, and a handshake message that does not end.
    let long = [0x16, 3, 1, 0x47, 0];
    let endless: Vec<u8> = [&[0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff][..], &[0; 0x3ffc]].concat();
    for beginning in [&long[..], &endless] {
        let mut server = End::new(acceptor(&MADE.server, None).wrap()());
        server.hear(&mut beginning.to_vec());
        let mut said = beginning.len();
        while matches!(server.outcome, Ok(Input::Open)) {
            server.hear(&mut [0; 1024]);
            said += 1024;
            assert!(said < 20 * 1024, "the server takes everything");
        }
        assert!(said > 5, "{}", server.error());
    }
}

#[test]
fn bytes_after_the_end_are_dropped() {
    let mut pair = Pair::settled(&acceptor(&MADE.server, None), &connector(&MADE.ours, None), "here.example");
    pair.client.wrapping.finish(&mut pair.client.wire);
    pair.settle(usize::MAX);
    for _ in 0..100 {
        let outcome = pair.server.wrapping.unwrap(&mut [0x17; 1024], &mut pair.server.heard, &mut Vec::new());
        assert!(matches!(outcome, Ok(Input::Ended)));
    }
    assert!(pair.server.heard.is_empty());
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let good = identity(&MADE.server);
    let ann = identity(&MADE.ann);
    let ca = MADE.ours.pem();
    let clients = |authorities, revoked| Some(Clients { authorities, revoked, are_required: true });
    for (identity, clients, file) in [
        (Identity { certificates: b"", ..good }, None, File::Certificates),
        (
            Identity { key: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", ..good },
            None,
            File::Key,
        ),
        (Identity { key: ann.key, ..good }, None, File::Key),
        (Identity { key: good.certificates, ..good }, None, File::Key),
        (good, clients(b"no PEM", None), File::Authorities),
        (good, clients(ca.as_bytes(), Some(b"no list")), File::Revoked),
    ] {
        let error = Acceptor::new(identity, clients).expect_err("a file is bad");
        assert_eq!(error.file, file, "{error}");
        assert!(!error.to_string().is_empty());
    }
    assert!(Connector::new(Some(b""), None).is_err());
    assert!(connector(&MADE.ours, None).wrap("no name:5001").is_err());
}
