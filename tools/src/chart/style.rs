//! The colours, and where they stand for something. Safe for colour-blind readers (after Okabe and Ito, "Color universal
//! design", 2008), one set for light pages and one for dark. Pure.

use std::fmt::Write;

/// What something is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ink {
    /// The page.
    Page,
    /// Titles, values, marks.
    Text,
    /// Labels and notes.
    Muted,
    /// Lines behind the data.
    Grid,
    /// What went wrong.
    Bad,
    /// A place that nothing falls on.
    Empty,
    /// One of eight that are told apart; any number is one of them.
    Series(u8),
    /// From little (0) to much (8).
    Heat(u8),
}

/// Light and dark of each of the eight.
const SERIES: [(&str, &str); 8] = [
    ("#0072b2", "#4da6e0"), // blue
    ("#e69f00", "#f0b840"), // orange
    ("#009e73", "#2fc29a"), // green
    ("#d55e00", "#ff8b4a"), // vermilion
    ("#cc79a7", "#e39cc2"), // pink
    ("#56b4e9", "#a3d8f7"), // sky
    ("#8c7500", "#e5d84a"), // olive
    ("#6e7781", "#9aa5b1"), // grey
];

/// From pale to dark on a light page, from dark to pale on a dark one: much always stands out.
const HEAT: [&str; 9] =
    ["#e3eef6", "#bfdcec", "#92c5de", "#62a8cf", "#3b8bbf", "#2470a8", "#16568c", "#0d3d6b", "#062647"];
const HEAT_DARK: [&str; 9] =
    ["#152434", "#17344e", "#18476c", "#1a5c8c", "#2475ad", "#3f92c9", "#6bb0dd", "#9fd0ee", "#d8eefb"];

impl Ink {
    /// The ink of a replica by its number, where there are so few that each has its own.
    pub fn replica(number: u16, of: usize) -> Self {
        if of > SERIES.len() { Ink::Series(0) } else { Ink::Series((number.saturating_sub(1) % 8) as u8) }
    }

    /// The ink of a hash by its name, the same in every chart.
    pub fn hash(name: &str) -> Self {
        Ink::Series(match name {
            "quadratic" => 3,
            "prime" => 4,
            "sha256" => 2,
            "xxh3" => 0,
            _ => 7,
        })
    }

    /// The class that a drawing gives to what is drawn with this.
    pub fn class(self) -> String {
        match self {
            Ink::Page => "page".into(),
            Ink::Text => "text".into(),
            Ink::Muted => "muted".into(),
            Ink::Grid => "grid".into(),
            Ink::Bad => "bad".into(),
            Ink::Empty => "empty".into(),
            Ink::Series(number) => format!("s{}", number % 8),
            Ink::Heat(level) => format!("h{}", level.min(8)),
        }
    }

    fn colours(self) -> (&'static str, &'static str) {
        match self {
            Ink::Page => ("#ffffff", "#0d1117"),
            Ink::Text => ("#1f2328", "#e6edf3"),
            Ink::Muted => ("#59636e", "#9198a1"),
            Ink::Grid => ("#e4e8ec", "#262c35"),
            Ink::Bad => ("#b3261e", "#ff6b62"),
            Ink::Empty => ("#f3f5f7", "#161b22"),
            Ink::Series(number) => SERIES[usize::from(number % 8)],
            Ink::Heat(level) => (HEAT[usize::from(level.min(8))], HEAT_DARK[usize::from(level.min(8))]),
        }
    }
}

/// The style sheet of a drawing with these inks. Class `f` fills with an ink, class `l` draws its line.
pub fn sheet(inks: impl Iterator<Item = Ink> + Clone, dark_too: bool) -> String {
    let rules = |dark: bool| {
        let mut rules = String::new();
        for ink in inks.clone() {
            let (class, (on_light, on_dark)) = (ink.class(), ink.colours());
            let colour = if dark { on_dark } else { on_light };
            write!(rules, ".f.{class}{{fill:{colour}}}.l.{class}{{stroke:{colour}}}").expect("a text");
        }
        rules
    };
    let mut sheet = format!(".l{{fill:none;stroke-linejoin:round}}{}", rules(false));
    if dark_too {
        write!(sheet, "@media (prefers-color-scheme:dark){{{}}}", rules(true)).expect("a text");
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_replicas_have_a_colour_each_and_many_have_one() {
        assert_ne!(Ink::replica(1, 3), Ink::replica(2, 3));
        assert_eq!(Ink::replica(1, 100), Ink::replica(2, 100));
    }

    #[test]
    fn a_sheet_has_both_pages_only_where_both_are_wanted() {
        let inks = [Ink::Text, Ink::Series(0)];
        let light = sheet(inks.into_iter(), false);
        assert!(light.contains(".f.s0{fill:#0072b2}") && !light.contains("@media"));
        assert!(sheet(inks.into_iter(), true).contains("@media (prefers-color-scheme:dark){.f.text"));
    }
}
