//! A host that admits clients (M19).

use support::network::{Peer, World, field};
use support::secs;
use taketurns::protocol::turns::{Admission, Admit, TurnConfigError};
use taketurns::turn::{Demand, Demands, Weight};

use super::start::{admitting_config, auto_config, heads, refusal};

fn admit(world: &mut World, admit: &Admit) {
    let id = world.joining.pop_front().expect("a client waits").connection;
    world.act(|server, now, links| server.admit(now, id, admit, links));
}

fn terms(set: impl FnOnce(&mut Admit)) -> Admit {
    let mut admit = Admit::default();
    set(&mut admit);
    admit
}

/// Lets a client send `line`, so that it waits for admission.
fn knock(world: &mut World, line: &str) -> Peer {
    let peer = world.connect();
    world.say(peer, line);
    assert_eq!(world.heard(peer), [""; 0], "{line}");
    peer
}

fn world() -> World {
    let mut config = admitting_config();
    config.rules.weight_max = Weight::new(9).expect("1 to 100");
    World::new(config, 1)
}

/// M19: the host is told which client wants what, and the client waits.
#[test]
fn m19_a_join_waits_for_the_host() {
    let mut world = world();
    let ann = knock(&mut world, "JOIN ann ring=game weight=7 demand=ask hear=turns token=s3cret");
    let joining = &world.joining[0];
    assert_eq!(joining.connection, world.id(ann));
    assert_eq!(joining.name.map(|name| name.to_string()).as_deref(), Some("ann"));
    assert_eq!(
        (joining.ring.to_string().as_str(), joining.weight, joining.demand),
        ("game", Some(7), Some(Demand::Ask))
    );
    assert_eq!((joining.hears, joining.resumes, joining.token.as_deref()), (true, false, Some("s3cret")));
    assert!(!format!("{joining:?}").contains("s3cret"));
    assert_eq!(world.server().scheduler().seats(), 0);
    admit(&mut world, &Admit::default());
    let heard = world.heard(ann);
    assert!(heard[0].starts_with("WELCOME ann seat=1 ring=game "), "{heard:?}");
    assert_eq!(heard[1..], ["SEAT ann seat=1 state=resting weight=7", "SEATS game seats=1"]);
}

/// M19: admitted with a different weight, demand and hearing.
#[test]
fn m19_the_host_admits_on_its_own_terms() {
    let mut world = world();
    let ann = knock(&mut world, "JOIN ann");
    admit(
        &mut world,
        &terms(|admit| {
            (admit.weight, admit.demand, admit.hears) = (Weight::new(5), Some(Demand::Ask), Some(true));
        }),
    );
    assert_eq!(world.heard(ann)[1..], ["SEAT ann seat=1 state=resting weight=5", "SEATS main seats=1"]);
    let bob = knock(&mut world, "JOIN bob hear=turns");
    admit(&mut world, &terms(|admit| admit.hears = Some(false)));
    assert_eq!(heads(&world.heard(bob))[1..], ["GO turn=1 within=30000"]);
}

/// M19, L9: words that the host says meanwhile come after the welcome and the roster, and before `GO`.
#[test]
fn m19_words_of_the_admission_come_after_the_welcome() {
    let mut config = admitting_config();
    config.rules.min_seats = 1;
    let mut world = World::new(config, 1);
    for (line, rest) in [
        (
            "JOIN ann hear=turns",
            vec![
                "SEAT ann seat=1 state=holding",
                "SEATS main seats=1",
                "SAY :hello",
                "SAY :be nice",
                "GO turn=1 within=30000",
                "BEGIN ann turn=1 within=30000",
            ],
        ),
        ("WATCH", vec!["SEAT ann seat=1 state=holding", "SEATS main seats=1", "SAY :hello", "SAY :be nice"]),
    ] {
        let peer = knock(&mut world, line);
        let id = world.id(peer);
        world.act(|server, _, links| {
            server.say_to(id, b"hello", links).expect("short words");
            server.say_to(id, b"be nice", links).expect("short words");
        });
        assert_eq!(world.heard(peer), [""; 0]);
        admit(&mut world, &Admit::default());
        assert_eq!(world.heard(peer)[1..], rest[..], "{line}");
    }
}

/// M19: a client that is refused with words, and a host that does not decide within `hello_timeout`.
#[test]
fn m19_a_client_that_is_not_admitted_is_closed() {
    let mut world = world();
    for line in ["JOIN ann", "WATCH"] {
        let peer = knock(&mut world, line);
        let id = world.joining.pop_front().expect("it waits").connection;
        world.act(|server, now, links| server.forbid(now, id, "not on the list", links));
        assert_eq!(
            (world.heard(peer), world.is_open(peer)),
            (vec!["BYE forbidden :not on the list".to_owned()], false)
        );
        let silent = knock(&mut world, line);
        world.drive_for(secs(10));
        assert_eq!((refusal(&mut world, silent), world.is_open(silent)), ("hello-timeout".to_owned(), false));
        // Too late, so nothing happens.
        admit(&mut world, &Admit::default());
        assert_eq!(world.server().scheduler().seats(), 0);
    }
}

/// M19: `PING` is answered meanwhile. Any other line is handled after the decision.
#[test]
fn m19_while_the_host_decides_only_ping_is_answered() {
    for chunking in [false, true] {
        let mut world = world();
        world.chunking = chunking;
        let ann = knock(&mut world, "JOIN ann demand=ask");
        world.say(ann, "PING\nPING\r\nASK\nPING");
        world.drive_for(secs(6));
        assert!(world.heard(ann).iter().all(|line| line == "PONG") && world.is_open(ann));
        admit(&mut world, &Admit::default());
        let heard = heads(&world.heard(ann));
        assert!(heard[0].starts_with("WELCOME ann "), "{heard:?}");
        assert_eq!(heard[1..], ["WAIT ahead=0 needs=1", "PONG"]);
    }
}

/// M19: a `JOIN` in pieces that is followed by more has its whole time for the decision.
#[test]
fn m19_a_split_join_waits_as_long_as_any_other() {
    let mut world = world();
    world.chunking = false;
    let ann = world.connect();
    world.say_bytes(ann, b"JOIN ");
    world.drive_for(secs(1));
    world.say_bytes(ann, b"ann\nASK\n");
    world.drive_for(secs(6));
    assert_eq!(world.heard(ann), [""; 0]);
    admit(&mut world, &Admit::default());
    assert!(world.heard(ann)[0].starts_with("WELCOME ann "));
}

/// M19: a `JOIN` that is not possible is refused before the host is asked; if it becomes impossible, it is
/// refused after the decision.
#[test]
fn m19_an_impossible_join_is_refused() {
    let mut world = world();
    let peer = world.connect();
    world.say(peer, "JOIN ann weight=10");
    assert_eq!((refusal(&mut world, peer), world.joining.len()), ("out-of-range".to_owned(), 0));
    let [first, second] = [(); 2].map(|()| knock(&mut world, "JOIN ann"));
    admit(&mut world, &Admit::default());
    admit(&mut world, &Admit::default());
    assert!(world.heard(first)[0].starts_with("WELCOME ann "));
    assert_eq!((refusal(&mut world, second), world.is_open(second)), ("name-taken".to_owned(), false));
}

/// M11, M19: `weight_max` and the demands limit a client's choice, not the host's.
#[test]
fn m19_the_hosts_terms_override_the_rings_rules() {
    let mut config = admitting_config();
    config.rules.demands = Demands::Only(Demand::Always);
    let mut world = World::new(config, 1);
    let ann = knock(&mut world, "JOIN ann hear=turns");
    let given = terms(|admit| (admit.weight, admit.demand) = (Weight::new(50), Some(Demand::Ask)));
    admit(&mut world, &given);
    assert_eq!(world.heard(ann)[1..], ["SEAT ann seat=1 state=resting weight=50", "SEATS main seats=1"]);
}

/// M19, T22: a resumption waits as well. The old connection is told only after the admission, and the weight
/// stays.
#[test]
fn m19_a_resume_waits_for_the_host() {
    let mut world = world();
    let ann = knock(&mut world, "JOIN ann weight=3");
    admit(&mut world, &Admit::default());
    let secret = field(&world.heard(ann)[0], "resume").to_owned();
    let again = knock(&mut world, &format!("JOIN ann resume={secret}"));
    assert!(world.joining[0].resumes && world.is_open(ann));
    admit(&mut world, &Admit::default());
    assert!(world.heard(again)[0].starts_with("WELCOME ann seat=1 "));
    assert_eq!(heads(&world.heard(ann)).last().map(String::as_str), Some("BYE superseded"));
}

/// M22: an admission may give a name that is kept for an absent seat to exactly this client.
#[test]
fn m22_an_admission_may_give_a_name_to_its_owner() {
    let mut world = world();
    let ann = knock(&mut world, "JOIN ann");
    admit(&mut world, &Admit::default());
    world.say(ann, "PING");
    world.reset(ann);
    let thief = world.connect();
    world.say(thief, "JOIN ann");
    if let Some(joining) = world.joining.pop_front() {
        let id = joining.connection;
        world.act(|server, now, links| server.admit(now, id, &Admit::default(), links));
    }
    assert_eq!(refusal(&mut world, thief), "name-taken");
    let owner = knock(&mut world, "JOIN ann");
    admit(&mut world, &terms(|admit| admit.owns_name = true));
    assert!(world.heard(owner)[0].starts_with("WELCOME ann "));
    assert_eq!(world.server().scheduler().seats(), 1);
}

/// M19: raw clients give no name to decide on.
#[test]
fn m19_admission_needs_the_line_framing() {
    let mut config = auto_config();
    config.admission = Admission::Host;
    assert_eq!(config.check(), Err(TurnConfigError::AdmissionOfRawClients));
}

/// The digests of `s3cret`, as from `printf %s s3cret | sha256sum`, and of `viewer`.
const RULES: &str = "\
sha256:1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0 name=ann ring=main weight=3
sha256:d35ca5051b82ffc326a3b0b6574a9a3161dee16b9478a199ee39cd803ce5b799 ring=* watch
";

fn with_rules(admission: Admission) -> World {
    let mut config = admitting_config();
    config.admission = admission;
    config.rules.min_seats = 1;
    let mut world = World::new(config, 1);
    set_rules(&mut world, RULES);
    world
}

fn set_rules(world: &mut World, rules: &str) {
    let rules = rules.parse().expect("good rules");
    world.act(|server, now, links| server.set_access(now, rules, links)).expect("no raw clients");
}

fn says(world: &mut World, line: &str) -> (Peer, Vec<String>) {
    let peer = world.connect();
    world.say(peer, line);
    let heard = world.heard(peer);
    (peer, heard)
}

#[test]
fn m24_only_a_rule_lets_a_client_join_or_watch() {
    let mut world = with_rules(Admission::Open);
    for (line, why) in [
        ("JOIN ann", "no token or certificate was presented"),
        ("WATCH", "no token or certificate was presented"),
        ("JOIN ann token=guessed", "unknown token or certificate"),
        ("JOIN ann weight=200 token=guessed", "unknown token or certificate"),
        ("JOIN bob token=s3cret", "you may not use this name"),
        ("JOIN ann ring=lab token=s3cret", "you may not join or watch this ring"),
        ("JOIN bob token=viewer", "you may only watch"),
        ("JOIN ann resume=000102030405060708090a0b0c0d0e0f", "no token or certificate was presented"),
    ] {
        let (peer, heard) = says(&mut world, line);
        assert_eq!(heard, [format!("BYE forbidden :{why}")], "{line}");
        assert!(!world.is_open(peer), "{line}");
    }
    assert_eq!((world.server().counts().forbidden, world.server().scheduler().seats()), (8, 0));
    let (_, heard) = says(&mut world, "JOIN ann hear=turns token=s3cret");
    assert!(heard[0].starts_with("WELCOME ann "), "{heard:?}");
    assert!(heard[1].ends_with("weight=3"), "the weight is the rule's: {heard:?}");
    let (_, heard) = says(&mut world, "WATCH ring=lab token=viewer");
    assert!(heard[0].starts_with("WATCHING lab "), "{heard:?}");
}

/// The name belongs to its bearer, who gets it back without the secret once its connection is known to be
/// lost.
#[test]
fn m24_a_name_of_a_rule_is_kept_for_its_bearer() {
    let mut world = with_rules(Admission::Open);
    let (ann, _) = says(&mut world, "JOIN ann token=s3cret");
    let (_, heard) = says(&mut world, "JOIN ann token=s3cret");
    assert!(heard[0].starts_with("BYE name-taken"), "{heard:?}");
    world.reset(ann);
    let (_, heard) = says(&mut world, "JOIN ann token=s3cret");
    assert!(heard[0].starts_with("WELCOME ann "), "{heard:?}");
}

#[test]
fn m24_a_client_that_has_lost_its_rule_is_closed_and_cannot_come_back() {
    let mut world = with_rules(Admission::Open);
    let (ann, heard) = says(&mut world, "JOIN ann token=s3cret");
    let secret = field(&heard[0], "resume").to_owned();
    let (viewer, _) = says(&mut world, "WATCH token=viewer");
    let (newcomer, _) = says(&mut world, "PING");
    set_rules(&mut world, RULES);
    assert_eq!(world.heard(ann), [""; 0], "the same rules change nothing");
    world.heard(viewer);
    set_rules(&mut world, RULES.lines().nth(1).expect("two rules"));
    let heard = world.heard(ann);
    assert_eq!(heard.last().map(String::as_str), Some("BYE forbidden :unknown token or certificate"));
    assert!(!world.is_open(ann) && world.is_open(viewer) && world.is_open(newcomer));
    let (_, heard) = says(&mut world, &format!("JOIN ann resume={secret} token=s3cret"));
    assert!(heard[0].starts_with("BYE forbidden "), "{heard:?}");
}

#[test]
fn m24_the_host_is_asked_after_the_rules() {
    let mut world = with_rules(Admission::Host);
    let (_, heard) = says(&mut world, "JOIN ann token=guessed");
    assert!(heard[0].starts_with("BYE forbidden ") && world.joining.is_empty());
    let ann = knock(&mut world, "JOIN ann hear=turns token=s3cret");
    admit(&mut world, &Admit::default());
    assert!(world.heard(ann)[1].ends_with("weight=3"));
    // Clients that joined before there were rules have presented nothing.
    let mut world = World::new(admitting_config(), 1);
    let bob = knock(&mut world, "JOIN bob");
    set_rules(&mut world, RULES);
    assert_eq!(refusal(&mut world, bob), "forbidden");
}

#[test]
fn m24_access_rules_exclude_raw_clients() {
    let mut world = World::new(auto_config(), 1);
    let set = world.act(|server, now, links| server.set_access(now, RULES.parse().expect("rules"), links));
    assert_eq!(set, Err(TurnConfigError::AdmissionOfRawClients));
}
