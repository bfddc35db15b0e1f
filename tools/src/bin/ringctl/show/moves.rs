//! What a change would move.

use ringkeeper_tools::table;
use serde_json::json;

use super::{percent, styled};
use crate::{
    args::{Format, Options},
    layout::Moves,
};

/// How many keys would change their server, and what each server would get.
pub fn moves(moves: &Moves, options: &Options) -> String {
    match options.format() {
        Format::Json => json(moves),
        Format::Text if options.quiet => percent(moves.moved),
        Format::Text => text(moves),
    }
}

fn text(moves: &Moves) -> String {
    let rows = moves.shares.iter().map(|(name, before, after)| {
        let part = |part: &f64| if *part == 0.0 { "-".into() } else { percent(*part) };
        vec![name.clone(), part(before), part(after)]
    });
    let bold = anstyle::Style::new().bold();
    let mut lines =
        table::lines(&["NAME", "KEYS NOW", "KEYS THEN"], &["KEYS NOW", "KEYS THEN"], rows.collect());
    lines.extend([
        String::new(),
        format!(
            "{} of the keys would move; the least possible is {}",
            styled(bold, &percent(moves.moved)),
            percent(moves.least)
        ),
        format!("the busiest would get {:.3} times the mean, by weight", moves.busiest),
    ]);
    lines.join("\n")
}

fn json(moves: &Moves) -> String {
    let share =
        |(name, before, after): &(String, f64, f64)| json!({"name": name, "before": before, "after": after});
    let shares: Vec<_> = moves.shares.iter().map(share).collect();
    json!({"moved": moves.moved, "least": moves.least, "busiest_to_mean": moves.busiest, "shares": shares})
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::tests::plain;

    #[test]
    fn what_moves_stands_beside_the_least_possible() {
        let shares = vec![("S1".to_owned(), 1.0, 0.5), ("new 2".to_owned(), 0.0, 0.5)];
        let value = Moves { shares, moved: 0.51, least: 0.5, busiest: 1.0 };
        assert_eq!(
            plain(&moves(&value, &Options::default())),
            "NAME   KEYS NOW  KEYS THEN\nS1      100.0 %     50.0 %\nnew 2         -     50.0 %\n\n\
             51.0 % of the keys would move; the least possible is 50.0 %\nthe busiest would get 1.000 times the mean, by weight"
        );
        assert_eq!(moves(&value, &Options { quiet: true, ..Options::default() }), "51.0 %");
    }
}
