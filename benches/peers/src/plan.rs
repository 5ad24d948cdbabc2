//! The plan of a run: which contenders, with how many clients, on which cores, and for how long.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::contenders::{CONTENDERS, Contender};
use crate::lines::{self, Shape};
use crate::machine::{self, Placement};
use crate::options::{Options, Scenario};
use crate::rings::TURNS_FOR_A_HAND_OVER;
use crate::round::Extent;

const SHAPES: [Shape; 4] = [
    Shape { rings: 1, size: 16, hearers: 0 },
    Shape { rings: 1, size: 2, hearers: 1_000 },
    Shape { rings: 1_000, size: 2, hearers: 0 },
    Shape { rings: 8, size: 16, hearers: 0 },
];
/// Descriptors reserved for other uses than connections.
const DESCRIPTORS_SPARE: usize = 64;

#[derive(Default)]
pub struct Plan {
    pub hand_overs: Vec<HandOvers>,
    pub rings: Vec<Rings>,
    /// Scenarios that this machine cannot play, with the reasons.
    pub left_out: Vec<String>,
}

/// Single hand-overs in one ring.
pub struct HandOvers {
    pub clients: usize,
    pub placement: Placement,
    pub contenders: Vec<Contender>,
    /// Contenders that cannot take part.
    pub others: Vec<Contender>,
    pub extent: Extent,
}

/// Many rings at once.
pub struct Rings {
    pub shape: Shape,
    pub placement: Placement,
    pub contenders: Vec<Contender>,
    pub extent: Extent,
}

/// The limits of a plan.
struct Means {
    placements: Vec<(Scenario, Placement)>,
    descriptors: usize,
    has_python: bool,
}

impl Plan {
    pub fn new(options: &Options) -> Result<Plan> {
        let mut plan = Plan::default();
        let means = plan.means(options)?;
        for &(scenario, placement) in &means.placements {
            for clients in options.clients(scenario).into_iter().filter(|_| options.wants(scenario)) {
                plan.add_hand_overs(options, &means, scenario, placement, clients);
            }
        }
        for shape in SHAPES.into_iter().filter(|_| options.wants(Scenario::Rings)) {
            plan.add_rings(options, &means, shape);
        }
        Ok(plan)
    }

    fn means(&mut self, options: &Options) -> Result<Means> {
        let mut placements = vec![(Scenario::SameCore, Placement::same_core()?)];
        match Placement::cross_core()? {
            Some(placement) => placements.push((Scenario::CrossCore, placement)),
            None => self.left_out.push("two cores: this process may run on one only".to_owned()),
        }
        let has_python = has_python();
        if !has_python && options.includes(Contender::Python) {
            self.left_out
                .push("python: there is no `python3`; install it to see what is replaced".to_owned());
        }
        Ok(Means { placements, descriptors: machine::take_descriptors()?, has_python })
    }

    fn add_hand_overs(
        &mut self,
        options: &Options,
        means: &Means,
        scenario: Scenario,
        placement: Placement,
        clients: usize,
    ) {
        let (contenders, others) = means.contenders(options, placement, clients);
        match contenders[..] {
            [] => self.leave_out(format!("{clients} clients")),
            _ => {
                let extent = options.extent(scenario);
                self.hand_overs.push(HandOvers { clients, placement, contenders, others, extent });
            }
        }
    }

    fn add_rings(&mut self, options: &Options, means: &Means, shape: Shape) {
        let is_wanted = |one: &Contender| *one == lines::CONTENDERS[0] || options.includes(*one);
        let contenders: Vec<Contender> = lines::CONTENDERS
            .into_iter()
            .filter(is_wanted)
            .filter(|one| lines::can_serve(*one, shape))
            .collect();
        if contenders.len() > means.connections() / shape.clients() {
            return self.leave_out(shape.to_string());
        }
        let extent = options.extent(Scenario::Rings);
        // Between two cores one ring only shows how long it takes to wake the other.
        let tells = |placement: &Placement| shape.rings > 1 || placement.is_one_core();
        for placement in means.placements.iter().map(|&(_, placement)| placement).filter(tells) {
            self.rings.push(Rings { shape, placement, contenders: contenders.clone(), extent });
        }
    }

    fn leave_out(&mut self, what: String) {
        let line = format!("{what}: too few descriptors; raise `ulimit -Hn`");
        if !self.left_out.contains(&line) {
            self.left_out.push(line);
        }
    }

    pub fn estimate(&self) -> Duration {
        let hand_overs: Duration = self.hand_overs.iter().map(HandOvers::estimate).sum();
        hand_overs + self.rings.iter().map(Rings::estimate).sum::<Duration>()
    }
}

impl Means {
    /// Returns the most connections that this process may have.
    fn connections(&self) -> usize {
        self.descriptors.saturating_sub(DESCRIPTORS_SPARE)
    }

    /// Returns the contenders that are wanted and available, and those among them that are left out: because
    /// they cannot have so many clients, or because of their rank if there are not enough connections for
    /// all.
    fn contenders(
        &self,
        options: &Options,
        placement: Placement,
        clients: usize,
    ) -> (Vec<Contender>, Vec<Contender>) {
        let is_wanted = |one: &Contender| *one == Contender::Blocking || options.includes(*one);
        let is_there = |one: &Contender| {
            (*one != Contender::Python || self.has_python)
                && !(one.needs_own_core() && placement.is_one_core())
        };
        let wanted: Vec<_> = CONTENDERS.into_iter().filter(is_wanted).filter(is_there).collect();
        let mut chosen: Vec<_> = wanted.iter().filter(|one| clients <= one.clients_max()).collect();
        chosen.sort_by_key(|contender| contender.rank());
        chosen.truncate(self.connections() / clients);
        wanted.iter().partition(|contender| chosen.contains(contender))
    }
}

fn has_python() -> bool {
    let version =
        Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

// Times on a machine with two cores at 2.6 GHz, only for the estimate of the run's length.

const HAND_OVER: Duration = Duration::from_micros(8);
const HAND_OVER_CROSS_CORE: Duration = Duration::from_micros(70);
const HAND_OVER_PYTHON: Duration = Duration::from_millis(10);
const TURN_OF_MANY: Duration = Duration::from_micros(12);
const CONNECTION: Duration = Duration::from_micros(60);
const START: Duration = Duration::from_millis(40);

impl HandOvers {
    fn estimate(&self) -> Duration {
        let Extent { rounds, bursts, burst } = self.extent;
        let usual = if self.placement.is_one_core() { HAND_OVER } else { HAND_OVER_CROSS_CORE };
        let round = |contender: &Contender| {
            let hand_over = if *contender == Contender::Python { HAND_OVER_PYTHON } else { usual };
            let played = bursts * (contender.burst(burst) + contender.lead_in(self.clients, burst));
            START + times(CONNECTION, self.clients) + times(hand_over, played)
        };
        times(self.contenders.iter().map(round).sum(), rounds)
    }
}

impl Rings {
    fn estimate(&self) -> Duration {
        let Extent { rounds, bursts, burst } = self.extent;
        let turns = times(TURN_OF_MANY, bursts * burst * TURNS_FOR_A_HAND_OVER);
        let clients = times(CONNECTION, self.shape.clients());
        times(START + clients + turns, self.contenders.len() * rounds)
    }
}

fn times(one: Duration, count: usize) -> Duration {
    one.mul_f64(count as f64)
}
