//! Plays the plan and prints the results.

use anyhow::Result;

use crate::machine;
use crate::options::Options;
use crate::plan::{HandOvers, Plan, Rings};
use crate::plot::{self, Panel, Row};
use crate::{rings, round, table};

const LEGEND: &str = "\
p50 to p99.9: µs from before the holder's answer is written until the next client has read its `GO`, over
loopback. CPU: µs that the server's process uses for a turn. Each is the median of the rounds; of a ratio,
the lowest and the highest round are in brackets. All contenders of a table stand ready together and are
played in short bursts by turns, so what else the machine does hits them alike; but python is played by itself.
A busy second is one of the processor time of the server's busiest thread.";

pub fn run(options: &Options) -> Result<()> {
    options.check()?;
    let plan = Plan::new(options)?;
    introduce(&plan)?;
    let panels = plan.hand_overs.iter().map(play_hand_overs).collect::<Result<Vec<_>>>()?;
    plan.rings.iter().try_for_each(play_rings)?;
    if !panels.is_empty() {
        let path = std::path::absolute(options.svg()?)?;
        plot::draw(&path, &panels)?;
        println!("Picture: {}", path.display());
    }
    Ok(())
}

fn introduce(plan: &Plan) -> Result<()> {
    println!("# What a hand-over costs\n");
    println!("Machine: {}.\n", machine::describe()?);
    println!("{LEGEND}");
    for what in &plan.left_out {
        println!("\nLEFT OUT: {what}.");
    }
    println!("\nThis takes about {} s.\n", plan.estimate().as_secs_f64().ceil());
    Ok(())
}

fn play_hand_overs(set: &HandOvers) -> Result<Panel> {
    let title = format!("{} clients, {}", set.clients, set.placement);
    println!("## {title}\n");
    if !set.others.is_empty() {
        let others: Vec<_> = set.others.iter().map(|contender| contender.name()).collect();
        println!("Not with so many, for want of descriptors or threads: {}.\n", others.join(", "));
    }
    let series = round::play_rounds(&set.contenders, set.clients, set.placement, set.extent)?;
    println!("{}", table::hand_overs(&series));
    Ok(Panel { title, rows: series.iter().map(Row::new).collect::<Result<_>>()? })
}

fn play_rings(set: &Rings) -> Result<()> {
    println!("## {}, {}\n", set.shape, set.placement);
    let series = rings::play_rounds(&set.contenders, set.shape, set.placement, set.extent)?;
    println!("{}", table::rings(&series));
    Ok(())
}
