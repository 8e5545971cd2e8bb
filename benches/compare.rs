//! Two that are measured in turns, and what came of it. A figure alone drifts with the machine; what two figures of the
//! same moment are to each other does not.

use std::path::Path;

use crate::kit::Result;
use crate::load::{Load, Measured};
use crate::machine::processor_time;

/// How many rounds, unless `PORTCULLIS_BENCH_ROUNDS` says otherwise. Each is a second for either.
const ROUNDS: usize = 21;
const SECONDS: u64 = 1;
/// Before that, so that both are warm.
const WARM_UP_SECONDS: u64 = 2;

/// One of the two.
pub struct Side<'a> {
    /// What is asked, given the number of the round.
    pub load: &'a dyn Fn(usize) -> Load<'a>,
    /// The processes on the core that is measured.
    pub processes: &'a [u32],
}

/// What came of it.
pub struct Comparison {
    pub rate: Spread,
    pub reference_rate: Spread,
    /// Of the rates, round by round.
    pub ratio: Spread,
    /// In microseconds.
    pub p99: Spread,
    pub reference_p99: Spread,
    pub p99_ratio: Spread,
    /// How much of its core each side took, from 0 to 1. Far from 1, something else was the limit.
    pub busy: f64,
    pub reference_busy: f64,
    /// Processor time of a request, in microseconds. It says something also where another program took the core.
    pub cost: f64,
    pub reference_cost: f64,
    pub rounds: usize,
    /// How often we were asked, the warm-up included.
    pub asked: u64,
}

/// Median and quartiles.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub lower: f64,
    pub median: f64,
    pub upper: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            lower: quantile(&values, 0.25),
            median: quantile(&values, 0.5),
            upper: quantile(&values, 0.75),
        }
    }
}

/// Of sorted values; between two of them, in proportion.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    #[expect(clippy::cast_precision_loss, reason = "there are few of them")]
    let place = share * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between nothing and the last"
    )]
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

/// How many rounds are asked for.
pub fn rounds() -> usize {
    let asked = std::env::var("PORTCULLIS_BENCH_ROUNDS").ok();
    asked
        .and_then(|rounds| rounds.parse().ok())
        .filter(|rounds| *rounds > 0)
        .unwrap_or(ROUNDS)
}

/// Measures both in turns; who goes first changes from round to round.
pub fn in_turns(folder: &Path, ours: &Side<'_>, reference: &Side<'_>) -> Result<Comparison> {
    let mut asked = (ours.load)(0).run(folder, WARM_UP_SECONDS)?.requests;
    (reference.load)(0).run(folder, WARM_UP_SECONDS)?;
    let (mut our_runs, mut their_runs) = (Vec::new(), Vec::new());
    for round in 1..=rounds() {
        if round % 2 == 0 {
            our_runs.push(run(folder, ours, round)?);
            their_runs.push(run(folder, reference, round)?);
        } else {
            their_runs.push(run(folder, reference, round)?);
            our_runs.push(run(folder, ours, round)?);
        }
    }
    asked += our_runs.iter().map(|run| run.0.requests).sum::<u64>();
    let spread = |runs: &[Run], figure: fn(&Measured) -> f64| {
        Spread::of(runs.iter().map(|run| figure(&run.0)).collect())
    };
    let ratio = |figure: fn(&Measured) -> f64| {
        let pairs = our_runs.iter().zip(&their_runs);
        Spread::of(
            pairs
                .map(|(our, their)| figure(&our.0) / figure(&their.0))
                .collect(),
        )
    };
    let cost = |runs: &[Run]| {
        let costs = runs.iter().map(|run| run.1 / run.0.rate * 1e6);
        Spread::of(costs.collect()).median
    };
    let busy = |runs: &[Run]| Spread::of(runs.iter().map(|run| run.1).collect()).median;
    Ok(Comparison {
        rate: spread(&our_runs, |run| run.rate),
        reference_rate: spread(&their_runs, |run| run.rate),
        ratio: ratio(|run| run.rate),
        p99: spread(&our_runs, |run| run.p99),
        reference_p99: spread(&their_runs, |run| run.p99),
        p99_ratio: ratio(|run| run.p99),
        busy: busy(&our_runs),
        reference_busy: busy(&their_runs),
        cost: cost(&our_runs),
        reference_cost: cost(&their_runs),
        rounds: our_runs.len(),
        asked,
    })
}

/// What came of it, and how busy the processes were.
type Run = (Measured, f64);

fn run(folder: &Path, side: &Side<'_>, round: usize) -> Result<Run> {
    let time = || -> Result<f64> {
        let times = side
            .processes
            .iter()
            .map(|process| processor_time(*process));
        times.sum()
    };
    let before = time()?;
    let measured = (side.load)(round).run(folder, SECONDS)?;
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let seconds = measured.requests as f64 / measured.rate;
    Ok((measured, (time()? - before) / seconds))
}
