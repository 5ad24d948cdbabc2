//! The way to the lead: find out who leads, campaign, read what is stored. No I/O.
//!
//! ```text
//!            nobody leads               a lease
//!  Looking ---------------> Granting ------------> Campaigning ----> leads: reads the shard, then listens
//!     ^  |                     |                      |    |
//!     |  +-- behind another    +-- refused            |    +-- behind another: Looking
//!     +-----------------------------------------------+ refused: the lease has ended meanwhile
//! ```
//!
//! A request without an answer is sent again. An earlier try of the campaign may have been carried out: then
//! `lead` has this candidate's id and its lease, and the candidate leads.

use super::keys::Keys;
use super::message::{Answer, Claim, Request, Trouble};
use super::proto::{Compare, KeyValue, RangeRequest, RequestOp, TxnRequest};
use super::term::Term;

/// A server that wants to lead.
#[derive(Debug, Clone)]
pub(super) struct Candidacy {
    keys: Keys,
    claim: Claim,
    /// Seconds that its lease lasts without being renewed.
    ttl: u64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Looking,
    Granting,
    Campaigning { lease: i64 },
}

/// The meaning of an answer to a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It continues with the next request.
    GoesOn,
    /// Another server leads, as of this revision.
    Behind { leader: Option<Claim>, revision: i64 },
    /// It leads.
    Leads { lease: i64, fence: i64 },
}

impl Candidacy {
    /// `claim.id` is random: no other candidate has it.
    pub(super) fn new(keys: Keys, claim: Claim, ttl: u64) -> Candidacy {
        Candidacy { keys, claim, ttl, stage: Stage::Looking }
    }

    /// Returns whether the next request is for the lease, whose time counts from when that is sent.
    pub(super) fn wants_lease(&self) -> bool {
        self.stage == Stage::Granting
    }

    /// Returns the next request.
    pub(super) fn request(&self) -> Request {
        let lead = self.keys.lead();
        match self.stage {
            Stage::Looking => Request::get(lead),
            Stage::Granting => Request::Grant { ttl: self.ttl },
            Stage::Campaigning { lease } => {
                let value = serde_json::to_vec(&self.claim).expect("two texts are JSON");
                Request::Txn(TxnRequest {
                    compare: vec![Compare::created(&lead[..], 0)],
                    success: vec![RequestOp::put(&lead[..], value, lease)],
                    failure: vec![RequestOp::range(lead)],
                })
            }
        }
    }

    /// Takes the answer.
    pub(super) fn hear(&mut self, answer: Answer) -> Result<Outcome, Trouble> {
        match (self.stage, answer) {
            (Stage::Looking, Answer::Found { revision, entries, .. }) => match entries.first() {
                Some(lead) => Ok(self.behind(lead, revision)),
                None => {
                    self.stage = Stage::Granting;
                    Ok(Outcome::GoesOn)
                }
            },
            (Stage::Granting, Answer::Granted { lease, .. }) => {
                self.stage = Stage::Campaigning { lease };
                Ok(Outcome::GoesOn)
            }
            (Stage::Campaigning { lease }, Answer::Decided { revision, succeeded: true, .. }) => {
                Ok(Outcome::Leads { lease, fence: revision })
            }
            (Stage::Campaigning { lease }, Answer::Decided { revision, found, .. }) => match found {
                Some(lead) if lead.lease == lease && self.is_ours(&lead) => {
                    Ok(Outcome::Leads { lease, fence: lead.create_revision })
                }
                Some(lead) => Ok(self.behind(&lead, revision)),
                None => Err(Trouble::Malformed("a key that is missing was created".to_owned())),
            },
            _ => Err(Trouble::Malformed("an answer to something else".to_owned())),
        }
    }

    /// Starts over after a refusal, for example because its lease has ended.
    pub(super) fn refused(&mut self) {
        self.stage = Stage::Looking;
    }

    fn behind(&mut self, lead: &KeyValue, revision: i64) -> Outcome {
        self.stage = Stage::Looking;
        Outcome::Behind { leader: claim(lead), revision }
    }

    fn is_ours(&self, lead: &KeyValue) -> bool {
        claim(lead).is_some_and(|claim| claim.id == self.claim.id)
    }
}

/// The leader, if the value can be read: a person may have written anything.
fn claim(lead: &KeyValue) -> Option<Claim> {
    serde_json::from_slice(&lead.value).ok()
}

/// Entries in a page. With the longest host states, that is 33 MB.
const PAGE: i64 = 500;

/// Reads a shard in pages, as it was at one revision.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    keys: Keys,
    from: Vec<u8>,
    /// The revision of the first page; 0 before it.
    revision: i64,
    seq: Option<String>,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

/// All that is stored of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shard {
    /// The last commit, if there was one.
    pub(super) seq: Option<String>,
    /// Keys without their prefix, and values.
    pub(super) entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Reading {
    pub(super) fn new(keys: Keys) -> Reading {
        let from = keys.begin();
        Reading { keys, from, revision: 0, seq: None, entries: Vec::new() }
    }

    pub(super) fn request(&self) -> Request {
        let (key, range_end) = (self.from.clone(), self.keys.end());
        Request::Range(RangeRequest { key, range_end, limit: PAGE, revision: self.revision })
    }

    /// Takes a page. Returns the whole shard after the last one.
    pub(super) fn hear(&mut self, answer: Answer) -> Result<Option<Shard>, Trouble> {
        let Answer::Found { revision, entries, more } = answer else {
            return Err(Trouble::Malformed("an answer to something else".to_owned()));
        };
        if self.revision == 0 {
            self.revision = revision;
        }
        if let Some(last) = entries.last() {
            self.from = [&last.key[..], &[0]].concat();
        } else if more {
            return Err(Trouble::Malformed("an empty page, and more behind it".to_owned()));
        }
        for KeyValue { key, value, .. } in entries {
            match self.keys.rest(&key) {
                Some(b"lead") => {}
                Some(b"seq") => self.seq = Some(String::from_utf8_lossy(&value).into_owned()),
                Some(rest) => self.entries.push((rest.to_owned(), value)),
                None => {
                    return Err(Trouble::Malformed(format!(
                        "the key {} was not asked for",
                        key.escape_ascii()
                    )));
                }
            }
        }
        let read =
            (!more).then(|| Shard { seq: self.seq.take(), entries: std::mem::take(&mut self.entries) });
        Ok(read)
    }

    /// Returns the term that continues from what was read.
    pub(super) fn term(&self, fence: i64, shard: &Shard) -> Term {
        Term::new(self.keys.clone(), fence, shard.seq.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidacy() -> Candidacy {
        let claim = Claim { id: "me".to_owned(), at: "a:1".to_owned() };
        Candidacy::new(Keys::of("x").expect("plain"), claim, 5)
    }

    fn lead(id: &str, lease: i64) -> KeyValue {
        let value = format!(r#"{{"id":"{id}","at":"b:1"}}"#).into_bytes();
        KeyValue { key: b"/taketurns/x/0/lead".to_vec(), value, create_revision: 4, lease }
    }

    fn found(entries: Vec<KeyValue>) -> Answer {
        Answer::Found { revision: 9, entries, more: false }
    }

    fn campaigning() -> Candidacy {
        let mut candidacy = candidacy();
        assert_eq!(candidacy.hear(found(Vec::new())), Ok(Outcome::GoesOn));
        assert_eq!(candidacy.request(), Request::Grant { ttl: 5 });
        assert_eq!(candidacy.hear(Answer::Granted { lease: 7, ttl: 5 }), Ok(Outcome::GoesOn));
        candidacy
    }

    fn decided(succeeded: bool, found: Option<KeyValue>) -> Answer {
        Answer::Decided { revision: 9, succeeded, found }
    }

    #[test]
    fn the_first_that_campaigns_leads() {
        let mut candidacy = campaigning();
        let Request::Txn(txn) = candidacy.request() else { panic!("it campaigns") };
        let key = "/taketurns/x/0/lead";
        assert_eq!(txn.compare, [Compare::created(key, 0)]);
        assert_eq!(txn.success, [RequestOp::put(key, br#"{"id":"me","at":"a:1"}"#, 7)]);
        assert_eq!(txn.failure, [RequestOp::range(key)]);
        assert_eq!(candidacy.hear(decided(true, None)), Ok(Outcome::Leads { lease: 7, fence: 9 }));
    }

    #[test]
    fn a_campaign_that_counted_unheard_is_known_by_id_and_lease() {
        let leads = Ok(Outcome::Leads { lease: 7, fence: 4 });
        assert_eq!(campaigning().hear(decided(false, Some(lead("me", 7)))), leads);
        for other in [lead("me", 6), lead("you", 7)] {
            let mut candidacy = campaigning();
            let behind = candidacy.hear(decided(false, Some(other)));
            assert!(matches!(behind, Ok(Outcome::Behind { revision: 9, .. })), "{behind:?}");
            assert!(matches!(candidacy.request(), Request::Range(_)));
        }
    }

    #[test]
    fn a_standby_knows_whom_it_stands_behind_and_looks_again() {
        let mut candidacy = candidacy();
        let leader = Some(Claim { id: "you".to_owned(), at: "b:1".to_owned() });
        let behind = candidacy.hear(found(vec![lead("you", 3)]));
        assert_eq!(behind, Ok(Outcome::Behind { leader, revision: 9 }));
        let odd = KeyValue { value: b"?".to_vec(), ..lead("", 3) };
        assert_eq!(candidacy.hear(found(vec![odd])), Ok(Outcome::Behind { leader: None, revision: 9 }));
        let mut refused = campaigning();
        refused.refused();
        assert_eq!(refused.request(), candidacy.request());
        assert!(candidacy.hear(Answer::Revoked).is_err());
    }

    #[test]
    fn a_shard_is_read_in_pages_of_one_revision() {
        let mut reading = Reading::new(Keys::of("x").expect("plain"));
        let (key, range_end) = (b"/taketurns/x/0/".to_vec(), b"/taketurns/x/00".to_vec());
        let begin = RangeRequest { key, range_end, revision: 0, limit: PAGE };
        assert_eq!(reading.request(), Request::Range(begin));
        let entry = |key: &str| KeyValue {
            key: format!("/taketurns/x/0/{key}").into_bytes(),
            value: key.as_bytes().to_vec(),
            create_revision: 1,
            lease: 0,
        };
        let first = Answer::Found { revision: 9, entries: vec![entry("6f/r"), entry("lead")], more: true };
        assert_eq!(reading.hear(first), Ok(None));
        let Request::Range(next) = reading.request() else { panic!("the next page") };
        assert_eq!((&next.key[..], next.revision), (&b"/taketurns/x/0/lead\0"[..], 9));
        let last = Answer::Found { revision: 12, entries: vec![entry("m"), entry("seq")], more: false };
        let pair = |key: &str| (key.as_bytes().to_vec(), key.as_bytes().to_vec());
        let shard = Shard { seq: Some("seq".to_owned()), entries: vec![pair("6f/r"), pair("m")] };
        assert_eq!(reading.hear(last), Ok(Some(shard)));
        let empty = Answer::Found { revision: 1, entries: Vec::new(), more: true };
        assert!(Reading::new(Keys::of("x").expect("plain")).hear(empty).is_err());
    }
}
