//! How a client joins, and the secrets that it sends (L7).

use std::net::SocketAddr;

use taketurns::protocol::turns::{ClientConfig, End, InvalidToken, News, SeatRequest};
use taketurns::turn::{Demand, TurnNumber, Weight};

use super::talk::{DIAL, SECRET, Talk, ann, welcome};

fn far() -> SocketAddr {
    ([192, 0, 2, 1], 5001).into()
}

#[test]
fn a_join_has_all_settings_of_its_client() {
    let seat = SeatRequest {
        weight: Weight::new(3).expect("a weight"),
        demand: Demand::Ask,
        hears: true,
        confirms_by_go: true,
        ..SeatRequest::new("bob".parse().expect("a name"))
    };
    let config = ClientConfig {
        ring: "gpu0".parse().expect("a name"),
        token: Some("ey.J".parse().expect("a token")),
        ..ClientConfig::from(seat)
    };
    let mut talk = Talk::with(config);
    assert_eq!(talk.said(), "JOIN bob ring=gpu0 weight=3 demand=ask hear=turns confirm=go token=ey.J\n");
    assert_eq!(talk.client.config(talk.ann).map(|config| config.ring.as_str()), Some("gpu0"));
}

#[test]
fn a_watcher_sends_its_ring_and_its_token() {
    let ring = "gpu0".parse().expect("a name");
    let mut talk = Talk::with(ClientConfig { token: "ey.J".parse().ok(), ..ClientConfig::watch(ring) });
    assert_eq!(talk.said(), "WATCH ring=gpu0 token=ey.J\n");
    talk.lose();
    assert_eq!(talk.open(), "WATCH ring=gpu0 token=ey.J\n", "and again");
}

#[test]
fn l7_a_secret_does_not_leave_the_machine_in_plain_text() {
    for (peer, allowed, is_shown) in [
        (far(), false, false),
        (far(), true, true),
        (([127, 8, 8, 8], 5001).into(), false, true),
        ("[::1]:5001".parse().expect("an address"), false, true),
        ("[::ffff:127.0.0.1]:5001".parse().expect("an address"), false, true),
        ("[::ffff:192.0.2.1]:5001".parse().expect("an address"), false, false),
    ] {
        let mut talk = Talk::with(ClientConfig { allow_plaintext_secrets: allowed, ..ann() });
        talk.hear(&welcome(1, ""));
        talk.news();
        talk.lose();
        let said = talk.open_to(peer);
        assert_eq!(said.contains(SECRET), is_shown, "{peer}");
        // Without it, the seat is a new one.
        talk.hear(&welcome(1, ""));
        let news = talk.news();
        assert!(matches!(&news[..], [News::Welcomed(welcome)] if welcome.is_resumed == is_shown), "{peer}");
    }
}

#[test]
fn l7_a_token_does_not_leave_the_machine_in_plain_text() {
    for allowed in [true, false] {
        let token = "ey.J".parse().ok();
        let mut talk = Talk::with(ClientConfig { token, allow_plaintext_secrets: allowed, ..ann() });
        talk.lose();
        let said = talk.open_to(far());
        assert_eq!(said.contains("ey.J"), allowed);
        assert_eq!(talk.is_open(), allowed);
        let end = News::Ended { why: End::PlaintextToken, dial: Some(DIAL) };
        assert_eq!(talk.news(), if allowed { vec![] } else { vec![end] });
    }
}

#[test]
fn l7_over_tls_both_may_be_sent_to_another_machine() {
    let mut talk = Talk::with(ClientConfig { token: "ey.J".parse().ok(), ..ann() });
    talk.hear(&welcome(1, ""));
    talk.lose();
    talk.transport.is_secure = true;
    let said = talk.open_to(far());
    assert!(said.contains("ey.J") && said.contains(SECRET), "{said}");
}

#[test]
fn l7_no_debug_output_shows_a_secret() {
    let mut talk = Talk::with(ClientConfig { token: "ey.J".parse().ok(), ..ann() });
    talk.hear(&welcome(1, ""));
    let news = talk.news();
    let shown = format!("{:?} {:?} {news:?}", talk.client, talk.client.config(talk.ann));
    assert!(!shown.contains("ey.J") && !shown.contains(SECRET), "{shown}");
    assert!(
        ["", "a b", "a\n"]
            .iter()
            .all(|text| text.parse::<taketurns::protocol::turns::Bearer>() == Err(InvalidToken))
    );
}

#[test]
fn a_welcome_describes_the_seat() {
    let mut talk = Talk::with(ann());
    talk.hear(&welcome(31, " last=9"));
    let news = talk.news();
    let [News::Welcomed(welcome)] = &news[..] else { panic!("{news:?}") };
    assert_eq!((welcome.seat, welcome.ring.as_str(), welcome.epoch.0), (1, "main", 31));
    assert_eq!((welcome.last.map(TurnNumber::get), welcome.is_resumed), (Some(9), false));
    assert!(talk.links.is_confirmed(talk.id));
}
