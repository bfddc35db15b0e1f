//! The report: charts, numbers, and what they mean. Pure.

use ringkeeper_tools::chart::scale::number;

use super::{
    Analysis,
    endpoints::Call,
    figures::seconds,
    published::{Cell, TOLERANCE},
    recovery::Recovery,
    series::{Count, HASHES},
};

/// The whole of `README.md`.
pub fn of(analysis: &Analysis) -> String {
    [introduction(analysis), a1(analysis), a2(analysis), a3(analysis), a4(analysis), rest()].join("\n")
}

/// What is printed in the end.
pub fn short(analysis: &Analysis) -> String {
    [
        verdict_of_counts(analysis),
        verdict_of_published(&analysis.published),
        verdict_of_calls(&analysis.endpoints.calls),
    ]
    .into_iter()
    .chain(analysis.recoveries.iter().map(sentence))
    .collect::<Vec<_>>()
    .join("\n")
}

fn introduction(analysis: &Analysis) -> String {
    let Analysis { engine, connections, seed, .. } = analysis;
    let requests = number(analysis.requests as f64);
    let on = if *engine == "docker" { "containers in Docker" } else { "child processes" };
    format!(
        "# The analysis\n\n\
         Written by `ringtest analyze`, which starts a balancer for each hash, counts, and removes it again. The replicas \
         were {on}; each count is of {requests} requests over {connections} connections with the ids of seed {seed}. The same \
         seed gives the same counts everywhere, to the last request. Every chart has its numbers as CSV beside it, and a PNG; \
         all of them are in [analysis.json](analysis.json).\n\n\
         - {}\n- {}\n- {}\n",
        verdict_of_counts(analysis),
        verdict_of_published(&analysis.published),
        verdict_of_calls(&analysis.endpoints.calls),
    )
}

fn verdict_of_counts(analysis: &Analysis) -> String {
    let (all, exact) = (analysis.counts.len(), analysis.counts.iter().filter(|count| count.exact).count());
    let failed: u64 = analysis.counts.iter().map(|count| count.failed).sum();
    let requests = number((analysis.requests * all as u64) as f64);
    format!(
        "**{exact} of {all} counts are exactly what the ring, computed apart from the balancer, gives each server**; \
         {failed} of {requests} requests failed."
    )
}

fn verdict_of_published(cells: &[Cell]) -> String {
    let agree = cells.iter().filter(|cell| cell.agrees()).count();
    let furthest = cells.iter().map(|cell| cell.off().abs()).fold(0.0, f64::max);
    format!(
        "**{agree} of the {} numbers that the assignment's group published are within {TOLERANCE} standard deviations of \
         this ring's exact shares**; the furthest is {furthest:.1} away.",
        cells.len()
    )
}

fn verdict_of_calls(calls: &[Call]) -> String {
    let right = calls.iter().filter(|call| call.is_as_expected()).count();
    format!("**{right} of {} calls of the endpoints were answered as they should be.**", calls.len())
}

fn a1(analysis: &Analysis) -> String {
    let three: Vec<&Count> =
        analysis.counts.iter().filter(|count| count.servers == 3 && count.hash != "xxh3").collect();
    let row = |count: &&Count| {
        let counts: Vec<String> = count.counts.iter().map(|count| number(*count as f64)).collect();
        let (deviation, busiest) = (number(round(count.standard_deviation)), count.max_over_mean);
        let exact = if count.exact { "yes" } else { "no" };
        format!("| {} | {} | {deviation} | {busiest:.3} | {exact} |", count.hash, counts.join(" · "))
    };
    let rows: Vec<String> = three.iter().map(row).collect();
    let busiest = |hash: &str| {
        three.iter().find(|count| count.hash == hash).map_or(f64::NAN, |count| count.max_over_mean)
    };
    format!(
        "## A-1: three servers\n\n![Requests of three servers by hash](a1.svg)\n\n\
         | hash | Server-1 · Server-2 · Server-3 | standard deviation | busiest/mean | exact |\n| --- | --- | --- | --- | --- |\n{}\n\n\
         With the assignment's own hash one server gets {:.1} times its fair share. `H(i) = i² + 2i + 17` is `(i + 1)² + 16`, \
         and squares modulo 512 fall on few of the 512 slots; `Φ` puts the virtual servers of a server close together as \
         well, so that long arcs of the ring belong to one. The prime coefficients ({:.2}) and SHA-256 ({:.2}) spread both \
         better, but 9 virtual servers each are too few for the arcs to become equally long, whatever the hash. The chart's \
         black marks are what the ring gives each server for exactly these ids.\n",
        rows.join("\n"),
        busiest("quadratic"),
        busiest("prime"),
        busiest("sha256"),
    )
}

fn a2(analysis: &Analysis) -> String {
    let row = |count: &Count| {
        let counts: Vec<String> = count.counts.iter().map(|count| number(*count as f64)).collect();
        format!(
            "| {} | {} | {} | {} | {} | {:.3} |",
            count.hash,
            count.servers,
            counts.join(" "),
            number(round(count.mean)),
            number(round(count.standard_deviation)),
            count.max_over_mean
        )
    };
    let rows: Vec<String> = analysis.counts.iter().filter(|count| count.hash != "xxh3").map(row).collect();
    format!(
        "## A-2: two servers and more\n\n![Mean and standard deviation over the number of servers](a2.svg)\n\n\
         The mean falls as 1/N, since the same requests are shared by more. With the given hash the standard deviation stays \
         close to it or above: adding servers takes little from the one that has most, so that the system does not scale. \
         With the other two it is a fraction of the mean, and does not go to nothing either.\n\n\
         <details><summary>All counts</summary>\n\n\
         | hash | N | requests of each server | mean | standard deviation | busiest/mean |\n| --- | --- | --- | --- | --- | --- |\n{}\n\n</details>\n\n\
         ### Against the published numbers\n\n{}\n",
        rows.join("\n"),
        published(&analysis.published)
    )
}

fn published(cells: &[Cell]) -> String {
    let mut rows = Vec::new();
    for row in cells.chunk_by(|a, b| (a.hash, a.servers) == (b.hash, b.servers)) {
        let join = |text: &dyn Fn(&Cell) -> String| row.iter().map(text).collect::<Vec<_>>().join(" ");
        let furthest = row.iter().map(Cell::off).fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        rows.push(format!(
            "| {} | {} | {} | {} | {furthest:+.1} |",
            row[0].hash,
            row[0].servers,
            join(&|cell| cell.published.to_string()),
            join(&|cell| format!("{:.0}", cell.exact)),
        ));
    }
    format!(
        "The group counted 10,000 random requests. Over all 900,000 six-digit ids the shares of a ring are exact, and a count of \
         10,000 random ones has a standard deviation of √(10,000 p (1 − p)) around them; {TOLERANCE} of those leave one \
         number in 16,000 outside by chance alone. {}\n\n\
         <details><summary>Every row</summary>\n\n\
         | hash | N | published | exact share of 10,000 | furthest, in standard deviations |\n| --- | --- | --- | --- | --- |\n{}\n\n</details>",
        verdict_of_published(cells),
        rows.join("\n")
    )
}

fn a3(analysis: &Analysis) -> String {
    let call = |call: &Call| {
        let payload = if call.payload.is_empty() { String::new() } else { format!(" `{}`", call.payload) };
        format!(
            "| {} | `{} {}`{payload} | {} | `{}` | {:.0} |",
            call.why,
            call.method,
            call.path,
            call.status,
            call.body.replace('|', "\\|"),
            call.millis
        )
    };
    let rows: Vec<String> = analysis.endpoints.calls.iter().map(call).collect();
    let recoveries: Vec<String> = analysis.recoveries.iter().map(recovery).collect();
    format!(
        "## A-3: every endpoint, and recovery\n\n\
         | what | call | status | answer | ms |\n| --- | --- | --- | --- | --- |\n{}\n\n\
         An addition answers when its replicas are ready, so its time is that of starting them. A call that is refused has \
         changed nothing.\n\n\
         <details><summary>The balancer's log meanwhile</summary>\n\n```\n{}\n```\n\n</details>\n\n{}",
        rows.join("\n"),
        analysis.endpoints.log.join("\n"),
        recoveries.join("\n")
    )
}

fn recovery(recovery: &Recovery) -> String {
    let (title, why) = match recovery.blow {
        "kill" => (
            "A replica is killed",
            "The engine tells of the death as soon as it knows, and a request that cannot be sent to the dead replica goes to the \
             next one on the ring. So only requests that were already with it when it died can fail. The new one has the old \
             one's name and number, and gets exactly its keys again.",
        ),
        _ => (
            "A replica is frozen",
            "It neither answers nor ends, and its connections stay open, so only heartbeats can tell: three that fail in a \
             row, a second apart. Until then requests of its keys wait for it, or go on to the next replica where no connection opens \
             within a second. When it is given up it is killed, and the requests that it still had are answered with an error, \
             since they may have been carried out.",
        ),
    };
    let blow = recovery.blow;
    format!(
        "### {title}\n\n![{title}: answers, errors and latency over time](a3-{blow}.svg)\n\n{} {why}\n",
        sentence(recovery)
    )
}

fn sentence(recovery: &Recovery) -> String {
    let after = |at: Option<f64>| {
        at.map_or("never in the time watched".to_owned(), |at| {
            format!("{} later", seconds(at - recovery.hit_at))
        })
    };
    let kinds: Vec<String> =
        recovery.failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    let verb = if recovery.blow == "kill" { "Killed" } else { "Frozen" };
    format!(
        "{verb} at {:.2} s; noticed {}, ready again {}. {} of {} requests failed{kinds}; the slowest answer took {}.",
        recovery.hit_at,
        after(recovery.noticed_at),
        after(recovery.back_at),
        number(recovery.failed as f64),
        number(recovery.requests as f64),
        seconds(recovery.slowest_ms / 1e3),
    )
}

fn a4(analysis: &Analysis) -> String {
    let mut servers: Vec<u16> = analysis.counts.iter().map(|count| count.servers).collect();
    servers.sort_unstable();
    servers.dedup();
    let row = |hash: &&str| {
        let cells: Vec<String> =
            analysis.of(hash).map(|count| format!("{:.3}", count.max_over_mean)).collect();
        format!("| {hash} | {} |", cells.join(" | "))
    };
    let rows: Vec<String> = HASHES.iter().map(row).collect();
    let columns: Vec<String> = servers.iter().map(u16::to_string).collect();
    let own = analysis.of("xxh3").map(|count| count.max_over_mean).fold(1.0, f64::max);
    let ring = analysis.of("xxh3").next().map_or(String::new(), |count| count.ring.clone());
    format!(
        "## A-4: other hashes\n\n![Requests of three servers by hash](a4.svg)\n\n\
         ![Standard deviation and busiest/mean by hash](a4-balance.svg)\n\n\
         The busiest server over the mean, by number of servers:\n\n| hash | {} |\n| --- |{}\n{}\n\n\
         Ringkeeper's own ring ({ring}) gives every slot an owner by rendezvous hashing with quotas, in place of a few \
         virtual servers: no server owns more than 1 % beyond its share of the slots. What is left, {own:.3} at the most here, \
         is chance: {} random ids do not fall evenly on anything. [The ring alone](#the-ring-alone), with many more keys, shows \
         that.\n",
        columns.join(" | "),
        " --- |".repeat(columns.len()),
        rows.join("\n"),
        number(analysis.requests as f64)
    )
}

fn rest() -> String {
    "## The ring alone\n\n\
     Written by `ringtest ring`: the same questions without a server, for many servers and many keys.\n\n\
     ![How much more than its share the busiest server gets](ring-balance.svg)\n\n\
     Virtual servers need to be many: 9 each leave the busiest server with about twice its share, 160 each with up to a third more. A \
     polynomial makes it worse, since its values are not spread evenly over the slots. With `full` the busiest server \
     stays within one or two per cent for any hash that spreads keys evenly; what the line rises by at many servers is the \
     chance of the keys, of which each server then has few.\n\n\
     ![What moves when a server joins](ring-join.svg)\n\n![What moves when a server leaves](ring-leave.svg)\n\n\
     Virtual servers on a roomy ring move exactly the least possible. Where they are crowded (9 each on 512 slots, 160 each \
     for a thousand servers) they collide and push each other on, and a change moves keys in vain. Quotas cost a little as \
     well: `full` moves hardly more than the least for up to 30 servers, about a twentieth more for 100 and a third more \
     for 300; a thousand servers want more slots than 262,147. That is what its balance is paid with.\n\n\
     ![The slots: how many keys fall on each, and who owns it](ring-slots.svg)\n\n\
     Why the given hash is as it is: above, most slots never get a key; below, few long arcs own nearly all that do.\n"
        .to_owned()
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
