//! The wires of `--wired`, if this was built with them.

use support::wire::Wires;

#[cfg(not(feature = "wires"))]
pub const WIRES: Option<Wires> = None;

#[cfg(feature = "wires")]
pub const WIRES: Option<Wires> = Some(Wires { web: made::web, tls: Some(made::TLS) });

#[cfg(feature = "wires")]
mod made {
    use std::sync::{Arc, LazyLock};

    use secure::{Authority, Subject};
    use support::wire::Tls;
    use taketurns::engine::Wrap;
    use taketurns::tls::{Acceptor, Connector, Identity};
    use taketurns::web_socket::WebSocket;

    pub const TLS: Tls = Tls { accept, connect };

    /// Signatures of Ed25519 have one length, so that a seed cuts the bytes at the same places every time.
    static ENDS: LazyLock<(Acceptor, Connector)> = LazyLock::new(|| {
        let authority = Authority::of_ed25519("ours");
        let names = &["10.0.0.1"];
        let made = authority.certify(Subject { names, is_server: true, has_expired: false, serial: 2 });
        let identity = Identity { certificates: made.certificate.as_bytes(), key: made.key.as_bytes() };
        let acceptor = Acceptor::new(identity, None).expect("the files are good");
        (acceptor, Connector::new(Some(authority.pem().as_bytes()), None).expect("the file is good"))
    });

    pub fn web() -> Wrap {
        Box::new(|| Box::new(WebSocket::new(Arc::default())))
    }

    fn accept() -> Wrap {
        ENDS.0.wrap()
    }

    fn connect() -> Wrap {
        ENDS.1.wrap("10.0.0.1").expect("an address")
    }
}
