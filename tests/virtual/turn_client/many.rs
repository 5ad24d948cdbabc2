//! Many clients in one process, and the owner of each connection.

use taketurns::protocol::turns::{ClientConfig, ClientId, CommandError, News, TurnClient};
use taketurns::protocol::{CloseReason, ConnectionId, DialId, Links, Origin, Protocol};
use taketurns::time::Now;
use taketurns::wire::Framing;

use super::talk::{DIAL, SECRET, Talk, ann, answered, server, welcome};

const NOW: Now = Now::ORIGIN;

struct Many {
    client: TurnClient,
    links: Links,
}

impl Many {
    fn new() -> Many {
        Many { client: TurnClient::new(), links: Links::new(64 * 1024) }
    }

    fn add(&mut self, name: &str, ring: &str) -> ClientId {
        let [name, ring] = [name, ring].map(|text| text.parse().expect("a name"));
        self.client.add(ClientConfig { ring, ..ClientConfig::seat(name) }).expect("it can be said")
    }

    fn open(&mut self, origin: Origin) -> ConnectionId {
        let id = self.links.open(server());
        self.client.handle_open(NOW, id, server(), origin, &mut self.links);
        id
    }

    fn said(&mut self, id: ConnectionId) -> String {
        let said = String::from_utf8(self.links.unsent(id).to_vec()).expect("UTF-8");
        self.links.consume(id, said.len());
        said
    }

    fn hear(&mut self, id: ConnectionId, bytes: &str) {
        let used = self.client.handle_bytes(NOW, id, bytes.as_bytes(), &mut self.links);
        assert_eq!(used, bytes.len());
    }
}

#[test]
fn each_client_has_its_own_ring_and_connection() {
    let mut many = Many::new();
    let [ann, bob] = [("ann", "north"), ("bob", "south")].map(|(name, ring)| many.add(name, ring));
    assert_eq!(many.client.clients().collect::<Vec<_>>(), [ann, bob]);
    // In another order than they were added.
    assert!(many.client.dial(ann, DialId(5)) && many.client.dial(bob, DialId(2)));
    let of_bob = many.open(Origin::Dialed(DialId(2)));
    let of_ann = many.open(Origin::Dialed(DialId(5)));
    assert_eq!(many.said(of_ann), "JOIN ann ring=north\n");
    assert_eq!(many.said(of_bob), "JOIN bob ring=south\n");
    for id in [of_ann, of_bob] {
        many.hear(id, &(welcome(1, "") + "GO turn=3 within=500\n"));
    }
    let events: Vec<_> = std::iter::from_fn(|| many.client.poll_event()).collect();
    let turns: Vec<_> = events
        .iter()
        .filter_map(|event| match event.news {
            News::Granted(turn) => Some(turn),
            _ => None,
        })
        .collect();
    assert_eq!(turns.iter().map(|turn| turn.client).collect::<Vec<_>>(), [ann, bob]);
    [of_ann, of_bob].iter().for_each(|&id| drop(many.said(id)));
    many.client.answer(NOW, &turns[1], b"x", &mut many.links).expect("it is open");
    assert_eq!((many.said(of_ann).as_str(), many.said(of_bob)), ("", answered("x")));
}

#[test]
fn a_connection_without_a_client_is_closed() {
    let mut many = Many::new();
    let ann = many.add("ann", "main");
    for origin in [Origin::Accepted, Origin::Dialed(DialId(0))] {
        let id = many.open(origin);
        assert!(!many.links.is_open(id), "{origin:?}");
        many.client.handle_closed(NOW, id, CloseReason::Unwanted, &mut many.links);
    }
    assert!(many.client.dial(ann, DialId(0)));
    let id = many.open(Origin::Dialed(DialId(0)));
    assert!(many.links.is_open(id), "a client may be added while the loop runs");
}

#[test]
fn a_removed_client_is_forgotten_and_its_id_not_used_again() {
    let mut many = Many::new();
    let ann = many.add("ann", "main");
    many.client.dial(ann, DialId(0));
    let id = many.open(Origin::Dialed(DialId(0)));
    assert!(many.client.remove(ann, &mut many.links));
    assert!(!many.links.is_open(id));
    assert!(!many.client.remove(ann, &mut many.links));
    let bob = many.add("bob", "main");
    assert_ne!(ann, bob);
    assert_eq!(many.client.config(ann), None);
    assert_eq!(many.client.ask(NOW, ann, &mut many.links), Err(CommandError::NoSuchClient));
    assert!(!many.client.dial(ann, DialId(0)));
    let id = many.open(Origin::Dialed(DialId(0)));
    assert!(!many.links.is_open(id), "the dial has no client any more");
    assert_eq!(many.client.poll_event(), None);
}

/// The number of a dial that was hung up is used again.
#[test]
fn a_dial_belongs_to_one_client_and_a_client_has_one_dial() {
    let mut many = Many::new();
    let [ann, bob] = ["ann", "bob"].map(|name| many.add(name, "main"));
    many.client.dial(ann, DialId(0));
    many.client.dial(bob, DialId(0));
    let id = many.open(Origin::Dialed(DialId(0)));
    assert_eq!(many.said(id), "JOIN bob ring=main\n");
    many.client.dial(bob, DialId(1));
    let old = many.open(Origin::Dialed(DialId(0)));
    assert!(!many.links.is_open(old));
    assert!(many.links.is_open(id), "until the next one is established");
    let new = many.open(Origin::Dialed(DialId(1)));
    assert_eq!(many.said(new), "JOIN bob ring=main\n");
    assert!(!many.links.is_open(id));
    // Removing one client does not affect the dial of the other.
    many.client.dial(ann, DialId(1));
    many.client.remove(bob, &mut many.links);
    let id = many.open(Origin::Dialed(DialId(1)));
    assert_eq!(many.said(id), "JOIN ann ring=main\n");
}

/// A host that was told `moved at=` hangs up, dials there, and tells the client.
#[test]
fn a_client_resumes_its_seat_over_another_dial() {
    let (mut talk, turn) = Talk::with_turn_3();
    talk.lose();
    assert!(talk.client.dial(talk.ann, DialId(8)));
    let id = talk.links.open(server());
    talk.client.handle_open(talk.now, id, server(), Origin::Dialed(DialId(8)), &mut talk.links);
    assert_eq!(talk.links.unsent(id), format!("JOIN ann ring=main resume={SECRET}\n").as_bytes());
    talk.id = id;
    talk.hear(&(welcome(1, "") + "GO turn=3 within=500\n"));
    talk.answer(&turn, "x").expect("it is the same turn");
}

/// A server resumes the seat on the new connection and sends `superseded` on the old one, which does not end
/// the client.
#[test]
fn the_end_of_an_earlier_connection_is_not_that_of_the_next_one() {
    for framing in [Framing::Raw, Framing::Line] {
        let mut talk = Talk::with(ClientConfig { framing, ..ann() });
        let earlier = talk.id;
        talk.links.close(earlier);
        talk.open();
        let bye = b"BYE superseded :resumed elsewhere\n";
        assert_eq!(talk.client.handle_bytes(talk.now, earlier, bye, &mut talk.links), bye.len());
        talk.client.handle_closed(talk.now, earlier, CloseReason::Finished, &mut talk.links);
        assert_eq!(talk.news(), []);
        match framing {
            Framing::Raw => talk.hear("GO"),
            Framing::Line => talk.hear(&(welcome(1, "") + "GO turn=3 within=500\n")),
        };
        assert!(matches!(talk.news().last(), Some(News::Granted(_))), "{framing}");
    }
}

#[test]
fn an_old_client_is_not_dialed_for_by_accident() {
    let mut talk = Talk::welcomed();
    let ann = talk.ann;
    assert!(talk.client.remove(ann, &mut talk.links));
    let other = talk.client.add(super::talk::ann()).expect("it can be said");
    assert!(talk.client.dial(other, DIAL));
    talk.ann = other;
    assert_eq!(talk.open(), "JOIN ann ring=main\n", "it knows no secret");
}

/// A program may run its loop on a thread of its own.
#[test]
fn clients_can_be_moved_to_another_thread() {
    fn moved<T: Send>(client: T) -> T {
        client
    }
    assert_eq!(moved(TurnClient::new()).clients().count(), 0);
}
