//! The ring, drawn with letters: each stands on the colour of the server that it belongs to, so that it can be read without
//! colour too.

use std::f64::consts::TAU;

use anstyle::{Ansi256Color, AnsiColor, Style};
use ringkeeper_tools::{client::Replica, table};
use serde_json::json;

use super::{FAINT, counted, of_state, percent, styled};
use crate::{
    args::{Format, Options},
    layout::Layout,
};

/// Rows of the drawing; it has twice as many columns, since characters are about twice as high as wide.
const ROWS: usize = 17;

/// The inner edge of the ring, as a part of the outer one.
const HOLE: f64 = 0.62;

/// Colours that are told apart on dark and on light, under a black letter.
const COLOURS: [u8; 12] = [114, 111, 215, 176, 222, 80, 210, 150, 147, 180, 117, 218];

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The ring with the servers beside it, and what each has of it.
pub fn drawing(layout: &Layout, options: &Options) -> String {
    match options.format() {
        Format::Json => json(layout),
        Format::Text => text(layout),
    }
}

fn text(layout: &Layout) -> String {
    let spec = layout.ring().spec();
    let mut lines = vec![format!(
        "{}, virtual {}, {}hash {}; {}",
        counted(spec.slots as usize, "slot"),
        spec.placement,
        if spec.placement == ringkeeper::ring::Virtual::Full {
            String::new()
        } else {
            format!("{} probing, ", spec.probing)
        },
        spec.hash,
        counted(layout.seats().len(), "server"),
    )];
    lines.push(String::new());
    let circle = circle(layout);
    let legend = legend(layout);
    let indent = ROWS.saturating_sub(legend.len()) / 2;
    let blank = " ".repeat(2 * ROWS);
    for row in 0..ROWS.max(legend.len()) {
        let left = circle.get(row).unwrap_or(&blank);
        let right = row.checked_sub(indent).and_then(|row| legend.get(row));
        lines.push(format!("{left}   {}", right.map_or("", String::as_str)).trim_end().to_owned());
    }
    lines.push(String::new());
    lines.push(styled(FAINT, "slot 0 is at the top, then clockwise; a letter owns the slot at its angle"));
    lines.join("\n")
}

/// The ring alone, line by line.
fn circle(layout: &Layout) -> Vec<String> {
    let slots = layout.ring().spec().slots;
    let middle = (ROWS as f64 - 1.0) / 2.0;
    let cell = |row: usize, column: usize| {
        let (x, y) = ((column as f64 + 0.5) / 2.0 - 0.5 - middle, row as f64 - middle);
        let radius = x.hypot(y) / (middle + 0.25);
        if !(HOLE..=1.0).contains(&radius) {
            return " ".to_owned();
        }
        let turn = (x.atan2(-y) / TAU).rem_euclid(1.0);
        let slot = ((turn * f64::from(slots)) as u32).min(slots - 1);
        layout
            .ring()
            .owner(slot)
            .map_or_else(|| styled(FAINT, "."), |seat| letter(seat, &layout.seats()[seat]))
    };
    (0..ROWS).map(|row| (0..2 * ROWS).map(|column| cell(row, column)).collect()).collect()
}

/// A server's letter; without its colour where it takes no requests.
fn letter(seat: usize, replica: &Replica) -> String {
    let letter = char::from(LETTERS[seat % LETTERS.len()]);
    let colour = Ansi256Color(COLOURS[seat % COLOURS.len()]);
    let style = match replica.is_ready() {
        true => Style::new().fg_color(Some(AnsiColor::Black.into())).bg_color(Some(colour.into())),
        false => Style::new().fg_color(Some(colour.into())).dimmed(),
    };
    styled(style, &letter.to_string())
}

fn legend(layout: &Layout) -> Vec<String> {
    let parts = layout.slots().into_iter().zip(layout.keys());
    let rows = layout.seats().iter().enumerate().zip(parts).map(|((seat, replica), (slots, keys))| {
        vec![
            letter(seat, replica),
            console::truncate_str(&replica.name, 16, "…").into_owned(),
            percent(slots),
            percent(keys),
            styled(of_state(&replica.state), &replica.state),
        ]
    });
    table::lines(&["", "NAME", "SLOTS", "KEYS", "STATE"], &["SLOTS", "KEYS"], rows.collect())
}

fn json(layout: &Layout) -> String {
    let spec = layout.ring().spec();
    let parts = layout.slots().into_iter().zip(layout.keys());
    let servers = layout.seats().iter().zip(parts).map(|(replica, (slots, keys))| {
        json!({"name": replica.name, "number": replica.number, "weight": replica.weight.unwrap_or(1),
               "state": replica.state, "slots": slots, "keys": keys})
    });
    json!({"slots": spec.slots, "virtual": spec.placement.to_string(), "probing": spec.probing.to_string(),
           "hash": spec.hash.to_string(), "servers": servers.collect::<Vec<_>>()})
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layout::tests::pool, show::tests::plain};

    fn drawn(hash: &str, states: &[&str]) -> String {
        let layout = Layout::of(&pool(hash, states)).expect("a ring");
        plain(&drawing(&layout, &Options::default()))
    }

    #[test]
    fn it_can_be_read_without_colour_in_eighty_columns() {
        let text = drawn("sha256", &["ready", "down", "ready"]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for part in [
            "512 slots, virtual 9, linear probing, hash sha256; 3 servers",
            "A  Server-1",
            "B  Server-2",
            "down",
        ] {
            assert!(text.contains(part), "no '{part}' in\n{text}");
        }
    }

    #[test]
    fn a_servers_letters_are_as_many_as_its_slots() {
        let layout = Layout::of(&pool("sha256", &["ready"; 3])).expect("a ring");
        let cells: String = circle(&layout).iter().map(|line| plain(line).replace(' ', "")).collect();
        for (letter, part) in "ABC".chars().zip(layout.slots()) {
            let drawn = cells.matches(letter).count() as f64 / cells.len() as f64;
            assert!((drawn - part).abs() < 0.08, "{letter}: {drawn} for {part}");
        }
    }

    #[test]
    fn an_empty_ring_is_drawn_too() {
        assert!(drawn("xxh3", &["starting"]).contains("0 servers"));
    }
}
