//! The members of an etcd: asked over HTTP, in turn, until one answers. All waiting is done here.

use std::io::{BufRead as _, BufReader, ErrorKind};
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use log::{info, warn};
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::transport::DefaultConnector;

use super::config::{self, EtcdConfig, EtcdError};
use super::message::{self, Answer, Request, Trouble};
use super::resolver::CachedLookup;

/// Time for an answer. A leader that is lost is replaced in 1.5 to 3 s, and a member that has lost it does
/// not answer meanwhile.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// The longest answer, in bytes: a page of entries.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Pause after an attempt that failed, so that members that refuse at once are not asked without end.
const PAUSE: Duration = Duration::from_millis(50);

/// Pause after a password was refused, because each one costs etcd 50 ms of work.
const PASSWORD_PAUSE: Duration = Duration::from_secs(1);

/// The members of one cluster. Not shared: who wants to ask at the same time has members of its own, and
/// with them connections of its own.
pub(super) struct Members {
    agent_config: Config,
    /// One for each member, which has its connection, and knows where it is.
    agents: Vec<Agent>,
    urls: Vec<String>,
    /// The one that is asked next.
    at: usize,
    user: Option<(String, String)>,
    token: Option<String>,
    /// The paths of requests that fail, and how. Each was said once: a candidate may read, and still be
    /// refused a lease.
    failing: Vec<(&'static str, Discriminant<Trouble>)>,
}

impl Members {
    /// Members that have `answer_within` for an answer before the next one is asked.
    pub(super) fn new(config: &EtcdConfig, answer_within: Duration) -> Result<Members, EtcdError> {
        let agent = Agent::config_builder()
            .timeout_global(Some(answer_within))
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy of the environment is for the way out, and etcd is next door.
            .proxy(None);
        let (agent_config, urls) = (config::secure(agent, config)?.build(), config.urls()?);
        Ok(Members {
            agents: urls.iter().map(|_| new_agent(&agent_config)).collect(),
            agent_config,
            urls,
            at: 0,
            user: config.user.clone(),
            token: None,
            failing: Vec::new(),
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.urls.len()
    }

    /// Asks one member. Without an answer, or with a refusal, another one is asked next time, after a pause.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Answer, Trouble> {
        let answer = self.authenticated(request);
        match &answer {
            Ok(_) if self.failing.is_empty() => {}
            Ok(_) => {
                self.failing.retain(|(path, _)| *path != request.path());
                if self.failing.is_empty() {
                    info!("etcd {} answers", self.urls[self.at]);
                }
            }
            Err(trouble) => {
                let failure = (request.path(), discriminant(trouble));
                if !self.failing.contains(&failure) {
                    self.failing.push(failure);
                    warn!("etcd {}: {trouble}; asking again", self.urls[self.at]);
                }
                if matches!(trouble, Trouble::Silent(_)) {
                    // It may be elsewhere by now.
                    self.agents[self.at] = new_agent(&self.agent_config);
                }
                self.at = (self.at + 1) % self.urls.len();
                pause(PAUSE);
            }
        }
        answer
    }

    /// Asks with a token, if there is a user, and with a new one if the old one is refused.
    fn authenticated(&mut self, request: &Request) -> Result<Answer, Trouble> {
        let Some((user, password)) = self.user.clone() else { return self.post(request) };
        if self.token.is_some() {
            match self.post(request) {
                Err(trouble) if trouble.is_unauthenticated() => self.token = None,
                answer => return answer,
            }
        }
        match self.post(&Request::Authenticate { user, password }) {
            Ok(Answer::Authenticated { token }) => self.token = Some(token),
            Ok(_) => {}
            Err(trouble) => {
                if matches!(trouble, Trouble::Refused { .. }) {
                    pause(PASSWORD_PAUSE);
                }
                return Err(trouble);
            }
        }
        self.post(request)
    }

    fn post(&self, request: &Request) -> Result<Answer, Trouble> {
        let silent = |error: ureq::Error| Trouble::Silent(self.words(&error));
        let mut response = self.begin(request.path()).send(request.body()).map_err(silent)?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        request.answer(response.status().as_u16(), &body.map_err(silent)?)
    }

    /// A member that does not accept our certificate closes the connection, often before its reason is read.
    fn words(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Io(io)
                if matches!(io.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
                    && self.urls[self.at].starts_with("https:") =>
            {
                format!("{error}, as when it asks for a certificate, or does not accept the one it is shown")
            }
            _ => error.to_string(),
        }
    }

    fn begin(&self, path: &str) -> ureq::RequestBuilder<ureq::typestate::WithBody> {
        let post = self.agents[self.at].post(format!("{}{path}", self.urls[self.at]));
        match &self.token {
            Some(token) => post.header("Authorization", token),
            None => post,
        }
    }

    /// Waits until `key` changes after `revision`, for a second at most. It returns early if it cannot watch,
    /// and says nothing of what it has seen: the caller looks again in any case.
    pub(super) fn wait_for_change(&self, key: &str, revision: i64) {
        let response = self.begin("/v3/watch").send(message::watch(key, revision + 1));
        let Ok(response) = response else { return pause(PAUSE) };
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            match line {
                Ok(line) if !message::is_change(&line) => {}
                Ok(_) => return,
                // The time is over, or the member is gone.
                Err(error) if error.kind() == ErrorKind::TimedOut => return,
                Err(_) => return pause(PAUSE),
            }
        }
        pause(PAUSE);
    }
}

fn new_agent(config: &Config) -> Agent {
    Agent::with_parts(config.clone(), DefaultConnector::default(), CachedLookup::default())
}

#[expect(clippy::disallowed_methods, reason = "no loop waits for this thread")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
