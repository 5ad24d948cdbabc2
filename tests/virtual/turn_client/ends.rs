//! A client and each `BYE`: whether it comes again, as before or as a newcomer, or gives up.

use taketurns::protocol::turns::{Code, End, News};
use taketurns::session::Bye;

use super::talk::{DIAL, SECRET, Talk, ann};

#[test]
fn an_unwanted_client_does_not_come_again() {
    for (code, why) in [
        ("superseded", End::Superseded),
        ("forbidden", End::Forbidden),
        ("removed", End::Removed),
        ("tls-required", End::TlsRequired),
    ] {
        for is_seated in [true, false] {
            let mut talk = if is_seated { Talk::welcomed() } else { Talk::with(ann()) };
            talk.hear(&format!("BYE {code} :so it is\n"));
            let news = talk.news();
            let [News::Bye(bye), end] = &news[..] else { panic!("{news:?}") };
            assert_eq!((bye.code.as_str(), bye.words.as_deref()), (code, Some("so it is")));
            assert_eq!(*end, News::Ended { why, dial: Some(DIAL) });
            assert!(!talk.is_open());
            talk.lose();
            assert_eq!(talk.open(), "");
            assert!(talk.is_aborted(), "the driver dials until the host hangs up");
            assert_eq!(talk.news(), [], "it is said once");
            assert!(!talk.client.dial(talk.ann, DIAL));
        }
    }
}

/// With the same words it would be refused again.
#[test]
fn a_client_whose_join_is_refused_does_not_come_again() {
    let mut talk = Talk::with(ann());
    talk.hear("NO out-of-range :this ring does not have that demand\n");
    let news = talk.news();
    let [News::Refused { code: Code::OutOfRange, turn: None, words }, end] = &news[..] else {
        panic!("{news:?}")
    };
    assert_eq!(words.as_deref(), Some("this ring does not have that demand"));
    assert_eq!(*end, News::Ended { why: End::Refused, dial: Some(DIAL) });
    assert!(!talk.is_open());
}

/// With the back-off of the driver, because nothing was confirmed.
#[test]
fn a_client_comes_again_for_everything_else() {
    let others = Bye::ALL.iter().filter(|code| {
        let code = code.as_str();
        !["superseded", "forbidden", "removed", "tls-required", "left", "bad-secret"].contains(&code)
    });
    for code in others {
        let mut talk = Talk::welcomed();
        talk.lose();
        talk.open();
        talk.hear(&format!("BYE {code}\nSAY :nobody hears that\n"));
        let news = talk.news();
        assert!(matches!(&news[..], [News::Bye(bye)] if bye.code == *code), "{code}: {news:?}");
        assert!(!talk.is_open() && !talk.links.is_confirmed(talk.id), "{code}");
        talk.lose();
        assert_eq!(talk.open(), format!("JOIN ann ring=main resume={SECRET}\n"), "{code}");
    }
}

/// Its first `WELCOME` was lost, so its own seat blocks it until the server notices.
#[test]
fn a_client_whose_name_is_taken_tries_again() {
    let mut talk = Talk::with(ann());
    talk.lose();
    for _ in 0..3 {
        assert_eq!(talk.open(), "JOIN ann ring=main\n");
        talk.hear("BYE name-taken :another client has a seat under that name\n");
        talk.lose();
    }
}

#[test]
fn a_client_is_told_where_the_ring_has_moved() {
    let mut talk = Talk::welcomed();
    talk.hear("BYE moved at=10.0.0.7:5001 :elsewhere\n");
    let news = talk.news();
    assert!(matches!(&news[..], [News::Bye(bye)] if bye.at.as_deref() == Some("10.0.0.7:5001")), "{news:?}");
}

#[test]
fn a_server_that_closes_silently_is_dialed_again() {
    use taketurns::protocol::Protocol as _;
    let mut talk = Talk::welcomed();
    talk.client.handle_end(talk.now, talk.id, b"SAY :no end", &mut talk.links);
    assert!(!talk.is_open());
    assert_eq!(talk.news(), []);
}
