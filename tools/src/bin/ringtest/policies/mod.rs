//! `ringtest policies`: every policy of Ringkeeper, and what comes nearest to it at HAProxy and nginx, under one load that
//! makes it matter: few keys are wanted by many, and one of ten origins is slow.
//!
//! Each subject is one thread on one core; the load generator and the origins are one thread on another, so that the books
//! of what is in flight are one. Where a balancer has decided and the request is on its way, or an answer is on its way
//! back, its own count differs from the origins'; so many are in flight, and answers take so long, that this is little.
//!
//! In a round everyone has a turn with every rule, started anew; medians of the rounds count.

mod ledger;
mod origins;
mod report;
mod result;
mod rules;
mod turn;
mod zipf;

use std::time::Duration;

use anyhow::Context;
use ringkeeper_tools::assertion::Assertion;

use self::{
    result::{Results, SUBJECTS, Sample},
    rules::Rule,
};
use super::{
    bench::{
        circumstances::Circumstances,
        program,
        setup::{self, Setup},
        subject::{Candidate, Subject},
    },
    demand,
    output::Output,
};

/// Put the policies side by side, and beside HAProxy's and nginx's: how uneven they are, and how long requests take
#[derive(clap::Args, Clone, Debug)]
pub struct PoliciesArgs {
    /// How many turns each subject has with each policy
    #[arg(long, value_name = "R", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How long a turn is looked at, after a warm-up as long
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "4s")]
    time: Duration,
    /// Only these policies of Ringkeeper, and what comes nearest to them [default: all]
    #[arg(long = "policy", value_name = "NAME,…", value_delimiter = ',', value_parser = Rule::named)]
    policies: Vec<Rule>,
    /// Only these subjects: ringkeeper, haproxy, nginx [default: all that are installed]
    #[arg(long = "subject", value_name = "NAME,…", value_delimiter = ',', value_parser = Subject::named)]
    subjects: Vec<Subject>,
    #[command(flatten)]
    setup: Setup,
    /// Fail unless this holds, such as 'bounded_ring_worst<=1.30'; may be given again
    #[arg(long = "assert", value_name = "ASSERTION")]
    assertions: Vec<Assertion>,
    #[command(flatten)]
    output: Output,
}

/// Whether what was asserted holds, as far as the policies it is about were measured.
pub async fn run(args: PoliciesArgs) -> anyhow::Result<bool> {
    demand::known(&args.assertions, &result::names())?;
    let (circumstances, results) = setup::uninterrupted(measure(&args)).await?;
    args.output.show(
        || report::json(&circumstances, &results),
        || report::text(&results),
        |folder| report::keep(folder, &circumstances, &results),
    )?;
    Ok(demand::hold_of_measured(&args.assertions, &results.measures())?)
}

async fn measure(args: &PoliciesArgs) -> anyhow::Result<(Circumstances, Results)> {
    let wanted: Vec<Subject> = match args.subjects.is_empty() {
        true => SUBJECTS.into(),
        false => args.subjects.clone(),
    };
    let rules: Vec<Rule> = if args.policies.is_empty() { rules::ALL.into() } else { args.policies.clone() };
    let candidates = setup::candidates(&wanted, &args.setup)?;
    let (core, other) = args.setup.cores()?;
    program::keep_to(other)?;
    let turns = turns(&rules, &candidates);
    let bar = setup::progress(turns.len() * usize::from(args.rounds));
    let mut results = Results::default();
    for round in 1..=usize::from(args.rounds) {
        for (rule, candidate, words) in &turns {
            let what = format!("{} at {}", rule.policy, candidate.subject.title());
            bar.set_message(format!("round {round}: {what}"));
            let taken = turn::take(candidate, words, core, (args.time, round as u64)).await;
            let numbers = taken.with_context(|| what)?;
            results.samples.push(Sample { policy: rule.policy, subject: candidate.subject, round, numbers });
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok((Circumstances::of(&candidates, args.rounds, args.time), results))
}

/// Who has which rule, in whose words.
fn turns<'a>(rules: &'a [Rule], candidates: &'a [Candidate]) -> Vec<(&'a Rule, &'a Candidate, &'static str)> {
    let of = |rule: &'a Rule| {
        candidates.iter().filter_map(move |candidate| Some((rule, candidate, rule.of(candidate.subject)?)))
    };
    rules.iter().flat_map(of).collect()
}
