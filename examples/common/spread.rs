//! Rings that are spread over several servers by their names.

use taketurns::net::Target;
use taketurns::protocol::turns::Name;

use super::addresses;
use super::options::{Extra, Extras, wrong_usage};

/// The options of servers that share the rings among them.
pub const OF_SERVERS: &[Extra] = &[
    Extra {
        option: "--spread",
        value: "addrs",
        variable: "TAKETURNS_SPREAD",
        about: "all servers over which rings are spread by their names, with spaces between them, and commas between those \
                that stand by for each other, as in \"a:5001,b:5001 c:5001,d:5001\". A client that wants a ring of another \
                one is sent there. The same at each server; append new ones. Needs --part. Default: none",
    },
    Extra {
        option: "--part",
        value: "n",
        variable: "TAKETURNS_PART",
        about: "which of the servers of --spread this one is, counted from 1",
    },
];

/// All servers over which rings are spread, and which of them this one is.
pub struct Spread {
    servers: Vec<Target>,
    own: usize,
}

impl Spread {
    /// Ends the program if the options contradict each other.
    pub fn read(extras: &Extras) -> Option<Spread> {
        let (text, part) = match (extras.get("--spread"), extras.get("--part")) {
            (None, None) => return None,
            (Some(text), Some(part)) => (text, part),
            _ => wrong_usage(format_args!("--spread and --part need each other")),
        };
        let server = |text| {
            addresses::target(text, "--spread \"10.0.0.1:5001 10.0.0.2:5001\"").map_err(|it| it.to_string())
        };
        let servers: Result<Vec<_>, _> = text.split_whitespace().map(server).collect();
        let servers = servers.unwrap_or_else(|error| wrong_usage(format_args!("--spread: {error}")));
        match part.parse::<usize>() {
            Ok(part) if (1..=servers.len()).contains(&part) => Some(Spread { servers, own: part - 1 }),
            _ => wrong_usage(format_args!(
                "--part {part:?} is invalid: --spread names {} servers, counted from 1",
                servers.len()
            )),
        }
    }

    /// Returns the server of `ring`, unless it is this one.
    pub fn elsewhere(&self, ring: &Name) -> Option<&Target> {
        let at = part_of(ring, self.servers.len(), 0);
        self.servers.get(at).filter(|_| at != self.own)
    }
}

/// Returns which of `parts` servers has `ring`: the one with the highest hash of both (rendezvous hashing).
/// So a server that is appended takes its share from all others, and no ring changes between those. With
/// another `salt`, all of it is different.
pub fn part_of(ring: &Name, parts: usize, salt: u64) -> usize {
    // FNV-1a, and the finalizer of SplitMix64. All servers must agree, so this never changes.
    let hash = ring.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let weight = |&part: &usize| {
        let mut mixed = hash ^ salt ^ (part as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (0..parts).max_by_key(weight).unwrap_or(0)
}
