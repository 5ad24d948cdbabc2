//! The members of an etcd, asked in turn until one answers. Pauses and look-ups are here.

use std::io::{self, ErrorKind};
use std::mem::{Discriminant, discriminant};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use log::{debug, info, warn};

use super::config::{self, Address, EtcdConfig, EtcdError};
use super::connection::{Answers, Call, Connection, Secure, silent};
use super::message::{self, Answer, Request, Trouble};
use crate::engine::Target;
use crate::net::{now, resolve};
use crate::time::Instant;

/// Time for an answer. A leader that is lost is replaced in 1.5 to 3 s, and a member that has lost it does
/// not answer meanwhile.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Time after which a connection that was not used may silently have been forgotten by something on the way.
const KEPT_FOR: Duration = Duration::from_secs(15);

/// Time for all members together to say who leads.
const LEADER_WITHIN: Duration = Duration::from_millis(300);

/// Time until they are asked again who leads. A member that has failed is not chosen for that long.
const CHOSEN_FOR: Duration = Duration::from_secs(15);

/// Pause after an attempt that failed, so that members that refuse at once are not asked without end.
const PAUSE: Duration = Duration::from_millis(50);

/// Pause after a password was refused, because each one costs etcd 50 ms of work.
const PASSWORD_PAUSE: Duration = Duration::from_secs(1);

/// The members of one cluster. Not shared: each concurrent caller has its own `Members`, with its own
/// connections.
pub(super) struct Members {
    members: Vec<Member>,
    /// The index of the one that is asked next.
    at: usize,
    /// When to ask again which one leads.
    choose_at: Instant,
    answer_within: Duration,
    user: Option<(String, String)>,
    token: Option<String>,
    /// The methods that fail, and how; each failure is logged once. They are told apart because a candidate
    /// may be able to read and still be refused a lease.
    failing: Vec<(&'static str, Discriminant<Trouble>)>,
}

struct Member {
    address: Address,
    secure: Option<Box<Secure>>,
    /// The addresses of its name; empty before they are known.
    found: Vec<SocketAddr>,
    /// A look-up that has not ended yet.
    looking_up: Option<Receiver<io::Result<Vec<SocketAddr>>>>,
    connection: Option<Connection>,
    /// When the last call ended.
    used: Instant,
    /// When it last failed.
    failed: Option<Instant>,
}

impl Members {
    /// Makes members that each have `answer_within` to answer before the next one is asked.
    pub(super) fn new(config: &EtcdConfig, answer_within: Duration) -> Result<Members, EtcdError> {
        let member = |address: Address| {
            let secure = config::secure(config, &address)?;
            Ok(Member {
                address,
                secure,
                found: Vec::new(),
                looking_up: None,
                connection: None,
                used: now().instant,
                failed: None,
            })
        };
        Ok(Members {
            members: config.addresses()?.into_iter().map(member).collect::<Result<_, _>>()?,
            at: 0,
            choose_at: now().instant,
            answer_within,
            user: config.user.clone(),
            token: None,
            failing: Vec::new(),
        })
    }

    /// Returns the number of members.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Asks one member. Without an answer, or with a refusal, another one is asked next time, after a pause.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Answer, Trouble> {
        let answer = self.authenticated(request);
        match &answer {
            Ok(_) if self.failing.is_empty() => {}
            Ok(_) => {
                self.failing.retain(|(method, _)| *method != request.method());
                if self.failing.is_empty() {
                    info!("etcd {} answers", self.members[self.at].address.url);
                }
            }
            Err(trouble) => {
                let failure = (request.method(), discriminant(trouble));
                if !self.failing.contains(&failure) {
                    self.failing.push(failure);
                    warn!("etcd {}: {trouble}; asking again", self.members[self.at].address.url);
                }
                self.members[self.at].failed = Some(now().instant);
                self.at = (self.at + 1) % self.members.len();
                self.choose_at = now().instant;
                pause(PAUSE);
            }
        }
        answer
    }

    /// Asks with a token, if there is a user, and with a new one if the old one is refused.
    fn authenticated(&mut self, request: &Request) -> Result<Answer, Trouble> {
        let Some((user, password)) = self.user.clone() else { return self.call(request) };
        if self.token.is_some() {
            match self.call(request) {
                Err(trouble) if trouble.is_unauthenticated() => self.token = None,
                answer => return answer,
            }
        }
        match self.call(&Request::Authenticate { user, password }) {
            Ok(Answer::Authenticated { token }) => self.token = Some(token),
            Ok(_) => {}
            Err(trouble) => {
                if trouble.is_refusal() {
                    pause(PASSWORD_PAUSE);
                }
                return Err(trouble);
            }
        }
        self.call(request)
    }

    fn call(&mut self, request: &Request) -> Result<Answer, Trouble> {
        self.call_at(self.at, request, self.answer_within)
    }

    fn call_at(&mut self, at: usize, request: &Request, within: Duration) -> Result<Answer, Trouble> {
        let until = now().instant + within;
        let (method, message, token) = (request.method(), request.message(), self.token.as_deref());
        let call = Call { method, token, message, is_whole: true };
        let answer = self.members[at].call(call, until, Answers::only)?;
        request.answer(&answer)
    }

    /// From now on asks the member that is etcd's leader, until that fails. Any other one forwards each
    /// change to it, and hears later than it that the change is committed.
    pub(super) fn prefer_leader(&mut self) {
        let (begun, count) = (now().instant, self.members.len());
        if begun < self.choose_at {
            return;
        }
        self.choose_at = begun + CHOSEN_FOR;
        let has_failed = |member: &Member| {
            member.failed.is_some_and(|at| begun.saturating_duration_since(at) < CHOSEN_FOR)
        };
        let candidates: Vec<usize> = (self.at..self.at + count)
            .map(|nth| nth % count)
            .filter(|&at| count > 1 && !has_failed(&self.members[at]))
            .collect();
        for (nth, &at) in candidates.iter().enumerate() {
            // One that does not answer leaves time for the others.
            let left = (begun + LEADER_WITHIN).saturating_duration_since(now().instant);
            let others = u32::try_from(candidates.len() - nth).unwrap_or(u32::MAX);
            match self.call_at(at, &Request::Status, left / others) {
                Ok(Answer::Status { leads: true }) => {
                    self.at = at;
                    return;
                }
                Ok(_) => {}
                Err(trouble) => {
                    debug!("etcd {} does not say who leads: {trouble}", self.members[at].address.url);
                }
            }
        }
    }

    /// Waits until `key` changes after `revision`, for a second at most. It returns early if it cannot watch,
    /// and does not tell what it has seen: the caller looks again in any case.
    pub(super) fn wait_for_change(&mut self, key: Vec<u8>, revision: i64) {
        let until = now().instant + self.answer_within;
        let (message, token) = (message::watch(key, revision + 1), self.token.as_deref());
        let call = Call { method: message::WATCH, token, message, is_whole: false };
        let watch = async |mut answers: Answers| {
            while let Some(answer) = answers.next().await? {
                if message::is_change(&answer) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        match self.members[self.at].call(call, until, watch) {
            Ok(true) => {}
            // Nothing has changed in that time.
            Err(Trouble::Silent { kind: ErrorKind::TimedOut, .. }) => {}
            Ok(false) | Err(_) => pause(PAUSE),
        }
    }
}

impl Member {
    /// Makes a call over its connection, or over a new one.
    fn call<T>(
        &mut self,
        call: Call<'_>,
        until: Instant,
        read: impl AsyncFnOnce(Answers) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let is_recent = now().instant.saturating_duration_since(self.used) < KEPT_FOR;
        let kept = self.connection.take().filter(|_| is_recent);
        let kept = kept.and_then(|mut kept| kept.is_open().then_some(kept));
        let is_whole = call.is_whole;
        let done = match kept {
            Some(kept) => Ok(kept),
            None => self.connect(until),
        };
        let done = done.and_then(|mut connection| {
            let done = connection.call(call, until, read);
            let is_good = match &done {
                Ok(_) | Err(Trouble::Refused { .. }) => true,
                // A watch that saw no change times out; the connection is still good.
                Err(Trouble::Silent { kind: ErrorKind::TimedOut, .. }) => !is_whole,
                Err(_) => false,
            };
            if is_good {
                self.connection = Some(connection);
                self.used = now().instant;
            }
            done
        });
        done.map_err(|trouble| match trouble {
            // A member often closes the connection before its reason is read.
            Trouble::Silent { kind: kind @ (ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), why }
                if self.address.is_secure =>
            {
                let hint = "as when it asks for a certificate, or does not accept the one it is shown";
                Trouble::Silent { kind, why: format!("{why}, {hint}") }
            }
            trouble => trouble,
        })
    }

    fn connect(&mut self, until: Instant) -> Result<Connection, Trouble> {
        if self.found.is_empty() {
            self.found = self.look_up(until).map_err(silent)?;
        }
        let mut trouble = None;
        for (nth, &addr) in self.found.iter().enumerate() {
            // One that does not answer leaves time for the others.
            let (now, others) = (now().instant, u32::try_from(self.found.len() - nth).unwrap_or(u32::MAX));
            let until = now + until.saturating_duration_since(now) / others;
            match Connection::open(addr, self.address.clone(), self.secure.as_deref(), until) {
                Ok(connection) => return Ok(connection),
                Err(failed) => trouble = Some(failed),
            }
        }
        // The member may have moved.
        self.found.clear();
        Err(trouble.expect("a name without addresses is not found"))
    }

    /// Looks the name up. The system's resolver may take much longer than `until`; then its answer is used
    /// next time.
    fn look_up(&mut self, until: Instant) -> io::Result<Vec<SocketAddr>> {
        let target = match &self.address.target {
            Target::Addr(addr) => return Ok(vec![*addr]),
            target => target.clone(),
        };
        let looking_up = match self.looking_up.take() {
            Some(looking_up) => looking_up,
            None => {
                let (tell, told) = channel();
                #[expect(clippy::disallowed_methods, reason = "it waits for nobody")]
                std::thread::Builder::new()
                    .name("taketurns-lookup".to_owned())
                    .spawn(move || drop(tell.send(resolve(&target))))?;
                told
            }
        };
        match looking_up.recv_timeout(until.saturating_duration_since(now().instant)) {
            Ok(found) => found,
            Err(_) => {
                self.looking_up = Some(looking_up);
                Err(ErrorKind::TimedOut.into())
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "no loop waits for this thread")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::super::proto::RangeRequest;
    use super::super::tests::member::{Asked, Then, serve};
    use super::*;

    const WELL: &[(&str, &str)] = &[("grpc-status", "0")];

    fn members(addrs: &[SocketAddr]) -> Members {
        let urls = addrs.iter().map(|addr| format!("http://{addr}")).collect();
        Members::new(&EtcdConfig::new(urls, "x", "a:1"), Duration::from_secs(20)).expect("good settings")
    }

    /// An empty page, as of this revision.
    fn page(revision: u8) -> Vec<u8> {
        vec![0, 0, 0, 0, 4, 0x0a, 2, 0x18, revision]
    }

    fn look(members: &mut Members) -> Result<i64, Trouble> {
        match members.ask(&Request::Range(RangeRequest::default()))? {
            Answer::Found { revision, .. } => Ok(revision),
            answer => panic!("{answer:?}"),
        }
    }

    /// The numbers of the connections are the revisions, from 1 on.
    fn tell_connection(asked: Asked) -> Then {
        let revision = u8::try_from(asked.connection + 1).expect("few");
        asked.says(&[&page(revision)], WELL)
    }

    #[test]
    fn a_connection_is_kept_and_one_that_was_closed_meanwhile_is_no_trouble() {
        let mut asked_before = false;
        let addr = serve(move |asked| {
            tell_connection(asked);
            if std::mem::replace(&mut asked_before, true) { Then::Leaves } else { Then::GoesOn }
        });
        let mut members = members(&[addr]);
        assert_eq!(look(&mut members), Ok(1));
        assert_eq!(look(&mut members), Ok(1));
        // The end is on its way.
        let member = &mut members.members[0];
        while member.connection.as_mut().is_some_and(Connection::is_open) {
            pause(Duration::from_millis(1));
        }
        assert_eq!(look(&mut members), Ok(2));
    }

    #[test]
    fn the_next_member_is_asked_when_one_is_silent_or_refuses() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let refuses =
            serve(|asked| asked.ends_with(200, &[("grpc-status", "14"), ("grpc-message", "no leader")]));
        let mut members =
            members(&[nobody.local_addr().expect("an address"), refuses, serve(tell_connection)]);
        drop(nobody);
        let kind = look(&mut members).map_err(|trouble| match trouble {
            Trouble::Silent { kind, .. } => kind,
            trouble => panic!("{trouble}"),
        });
        assert_eq!(kind, Err(ErrorKind::ConnectionRefused));
        assert!(matches!(look(&mut members), Err(Trouble::Refused { .. })));
        assert_eq!(look(&mut members), Ok(1));
        assert_eq!(look(&mut members), Ok(1), "the one that answers is asked again");
    }

    #[test]
    fn the_member_that_leads_is_preferred_until_it_fails() {
        // A header with the member's own number, and the leader's number.
        let status = |own: u8, leader: u8| vec![0, 0, 0, 0, 6, 0x0a, 2, 0x10, own, 0x20, leader];
        let member = |own: u8, calls: usize| {
            let mut left = calls;
            serve(move |asked| {
                if asked.request.uri().path().ends_with("/Status") {
                    return asked.says(&[&status(own, 2)], WELL);
                }
                left = left.saturating_sub(1);
                if left == 0 { Then::Closes } else { asked.says(&[&page(own)], WELL) }
            })
        };
        let mut members = members(&[member(1, 100), member(2, 3), member(3, 100)]);
        assert_eq!(look(&mut members), Ok(1));
        for _ in 0..2 {
            members.prefer_leader();
            assert_eq!(look(&mut members), Ok(2));
        }
        assert!(look(&mut members).is_err());
        assert_eq!(look(&mut members), Ok(3));
        members.prefer_leader();
        assert_eq!(members.at, 2, "it has failed just now, although it says that it leads");
        members.members[1].failed = None;
        members.prefer_leader();
        assert_eq!(members.at, 2, "they were asked just now");
        members.choose_at = now().instant;
        members.prefer_leader();
        assert_eq!(members.at, 1);
    }

    #[test]
    fn a_watch_ends_with_a_change_and_is_begun_behind_what_was_seen() {
        let (tell, told) = channel();
        let addr = serve(move |mut asked| {
            assert_eq!(asked.request.uri().path(), message::WATCH);
            assert!(!asked.is_whole, "etcd ends a watch when its client has nothing to say any more");
            let mut body = asked.begins();
            // It has begun, and then the key is deleted.
            for piece in [&b"\0\0\0\0\x02\x18\x01"[..], b"\0\0\0\0\x04\x5a\x02\x08\x01"] {
                body.send_data(bytes::Bytes::from_static(piece), false).expect("the call waits");
            }
            tell.send((asked.message, body)).expect("the test waits");
            Then::GoesOn
        });
        let begin = now().instant;
        members(&[addr]).wait_for_change(b"/lead".to_vec(), 8);
        let took = now().instant.saturating_duration_since(begin);
        assert!(took < Duration::from_secs(10), "{took:?}");
        let (message, _body) = told.try_recv().expect("it was asked, and the call is not over");
        assert_eq!(message[5..], message::watch(b"/lead".to_vec(), 9));
    }

    #[test]
    fn a_watch_that_sees_nothing_keeps_its_connection() {
        let addr = serve(|mut asked| match asked.request.uri().path() {
            message::WATCH => {
                std::mem::forget(asked.begins());
                Then::GoesOn
            }
            _ => tell_connection(asked),
        });
        let mut members = members(&[addr]);
        assert_eq!(look(&mut members), Ok(1));
        members.answer_within = Duration::from_millis(50);
        members.wait_for_change(b"/lead".to_vec(), 8);
        members.answer_within = Duration::from_secs(20);
        assert_eq!(look(&mut members), Ok(1));
        // One that was idle for long may have been forgotten by something on the way.
        members.members[0].used = now().instant - KEPT_FOR;
        assert_eq!(look(&mut members), Ok(2));
    }

    #[test]
    fn a_token_that_means_nothing_any_more_is_replaced() {
        let mut tokens = 0_u8;
        let addr = serve(move |asked| {
            let token = asked.request.headers().get("token").map(|token| token.as_bytes().to_vec());
            match (asked.request.uri().path(), token) {
                ("/etcdserverpb.Auth/Authenticate", _) => {
                    assert_eq!(asked.message[..], *b"\0\0\0\0\x0a\x0a\x04root\x12\x02pw");
                    tokens += 1;
                    asked.says(&[&[0, 0, 0, 0, 4, 0x12, 2, b't', b'0' + tokens]], WELL)
                }
                (_, Some(token)) if token == b"t2" => asked.says(&[&page(7)], WELL),
                _ => asked.ends_with(200, &[("grpc-status", "16"), ("grpc-message", "invalid auth token")]),
            }
        });
        let mut members = members(&[addr]);
        members.user = Some(("root".to_owned(), "pw".to_owned()));
        // The first one is not accepted at all, and another one is requested next time.
        assert!(look(&mut members).is_err());
        assert_eq!(look(&mut members), Ok(7));
        assert_eq!(look(&mut members), Ok(7));
    }

    #[test]
    fn a_name_is_looked_up_and_a_late_answer_is_taken_next_time() {
        let config = EtcdConfig::new(vec!["http://localhost:2379".to_owned()], "x", "a:1");
        let mut members = Members::new(&config, PAUSE).expect("good settings");
        let member = &mut members.members[0];
        let late = member.look_up(now().instant);
        assert!(late.is_ok() || member.looking_up.is_some());
        let found = member.look_up(now().instant + Duration::from_secs(20)).expect("every system knows it");
        assert!(found.iter().all(|addr| addr.port() == 2379) && member.looking_up.is_none());
    }
}
