//! What all charts share: the words around them, the legend, the axes. Pure.

use super::{
    canvas::{Anchor, Area, Canvas, Letters},
    scale::Scale,
    style::Ink,
};

/// How wide every chart is, in pixels.
pub(super) const WIDTH: f64 = 960.0;

/// The room at the left and right edge.
const EDGE: f64 = 32.0;

const TITLE: Letters = Letters { size: 21.0, bold: true, ink: Ink::Text, anchor: Anchor::Start };
const SUBTITLE: Letters = Letters { size: 13.5, bold: false, ink: Ink::Muted, anchor: Anchor::Start };
const SOURCE: Letters = Letters { size: 11.0, ..Letters::LABEL };
const LEGEND: Letters = Letters { size: 12.5, bold: false, ink: Ink::Text, anchor: Anchor::Start };

/// The words around a chart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caption {
    /// What is to be seen.
    pub title: String,
    /// Of what, in which unit.
    pub subtitle: String,
    /// Where the numbers are from.
    pub source: String,
}

/// One line of a legend.
pub(super) struct Entry {
    pub label: String,
    pub ink: Ink,
    pub mark: Mark,
}

/// What stands before a legend's words, and at the points of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A filled square.
    Square,
    /// A short thick line, as expectations are drawn.
    Tick,
    /// A dashed line.
    Dashes,
    /// A line with the points of this series.
    Line(usize),
}

impl Mark {
    /// How much room it takes before the words.
    fn room(self) -> f64 {
        if self == Mark::Square { 21.0 } else { 32.0 }
    }
}

/// Entries in one line that ends at this place.
pub(super) fn entries_before(canvas: &mut Canvas, (right, y): (f64, f64), entries: &[Entry]) {
    let width = |entry: &Entry| entry.mark.room() + LEGEND.width(&entry.label);
    let mut x = right - entries.iter().map(|entry| width(entry) + 18.0).sum::<f64>() + 18.0;
    for entry in entries {
        mark(canvas, (x, y), entry);
        canvas.text((x + entry.mark.room(), y + 4.5), &entry.label, LEGEND);
        x += width(entry) + 18.0;
    }
}

/// A page with its words, and the area in which the chart has its place, `height` high.
pub(super) fn page(caption: &Caption, legend: &[Entry], height: f64) -> (Canvas, Area) {
    let subtitle = broken(&caption.subtitle, SUBTITLE, WIDTH - 2.0 * EDGE);
    let rows = rows(legend);
    let top = 58.0 + 19.0 * subtitle.len() as f64 + 24.0 * rows.len() as f64 + 14.0;
    let source = broken(&caption.source, SOURCE, WIDTH - 2.0 * EDGE);
    let bottom = 20.0 + 15.0 * source.len() as f64;
    let mut canvas = Canvas::new(WIDTH, top + height + bottom, &caption.title);
    canvas.text((EDGE, 42.0), &caption.title, TITLE);
    for (index, line) in subtitle.iter().enumerate() {
        canvas.text((EDGE, 65.0 + 19.0 * index as f64), line, SUBTITLE);
    }
    for (index, row) in rows.iter().enumerate() {
        let y = 58.0 + 19.0 * subtitle.len() as f64 + 24.0 * index as f64 + 14.0;
        for (x, entry) in row {
            mark(&mut canvas, (*x, y), entry);
            canvas.text((x + entry.mark.room(), y + 4.5), &entry.label, LEGEND);
        }
    }
    for (index, line) in source.iter().enumerate() {
        canvas.text((EDGE, top + height + 24.0 + 15.0 * index as f64), line, SOURCE);
    }
    (canvas, Area { x: EDGE, y: top, width: WIDTH - 2.0 * EDGE, height })
}

/// The entries with their places, in as many rows as they need.
fn rows(legend: &[Entry]) -> Vec<Vec<(f64, &Entry)>> {
    let (mut rows, mut x) = (Vec::<Vec<_>>::new(), f64::INFINITY);
    for entry in legend {
        let width = entry.mark.room() + LEGEND.width(&entry.label) + 24.0;
        if x + width > WIDTH - EDGE + 24.0 {
            rows.push(Vec::new());
            x = EDGE;
        }
        if let Some(row) = rows.last_mut() {
            row.push((x, entry));
        }
        x += width;
    }
    rows
}

/// A text in lines of at most this width, broken between words.
fn broken(text: &str, letters: Letters, width: f64) -> Vec<String> {
    let mut lines = Vec::<String>::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if letters.width(&format!("{line} {word}")) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn mark(canvas: &mut Canvas, (x, y): (f64, f64), entry: &Entry) {
    match entry.mark {
        Mark::Square => {
            canvas.rect(Area { x, y: y - 6.5, width: 13.0, height: 13.0 }, entry.ink, 3.0);
        }
        Mark::Tick => canvas.line((x, y), (x + 24.0, y), entry.ink, 2.5, ""),
        Mark::Dashes => canvas.line((x, y), (x + 25.0, y), entry.ink, 1.5, "5 4"),
        Mark::Line(series) => {
            canvas.line((x, y), (x + 24.0, y), entry.ink, 2.5, "");
            point(canvas, (x + 12.0, y), series, entry.ink);
        }
    }
}

/// A point of a series: each of the first four has a form of its own, so that lines are told apart without colour too.
pub(super) fn point(canvas: &mut Canvas, (x, y): (f64, f64), series: usize, ink: Ink) {
    let data = |reach: f64| match series % 4 {
        0 => {
            let (left, across) = (x - reach, 2.0 * reach);
            format!("M{left:.2} {y:.2}a{reach} {reach} 0 1 0 {across} 0a{reach} {reach} 0 1 0 -{across} 0Z")
        }
        1 => {
            let (left, top, side) = (x - 0.9 * reach, y - 0.9 * reach, 1.8 * reach);
            format!("M{left:.2} {top:.2}h{side:.2}v{side:.2}h-{side:.2}Z")
        }
        2 => {
            let (top, half, down) = (y - 1.15 * reach, 1.15 * reach, 2.0 * reach);
            format!("M{x:.2} {top:.2}l{half:.2} {down:.2}h-{:.2}Z", 2.0 * half)
        }
        _ => {
            let (top, r) = (y - 1.25 * reach, 1.25 * reach);
            format!("M{x:.2} {top:.2}l{r:.2} {r:.2}l-{r:.2} {r:.2}l-{r:.2} -{r:.2}Z")
        }
    };
    canvas.shape(&data(6.0), Ink::Page);
    canvas.shape(&data(4.4), ink);
}

/// The columns of `area` for so many panels, each with room for labels at its left in the first one, or in all.
pub(super) fn columns(area: Area, count: usize, left: f64, each: bool) -> Vec<Area> {
    const GAP: f64 = 26.0;
    let count = count.max(1);
    let lefts = if each { left * count as f64 } else { left };
    let width = (area.width - lefts - GAP * (count - 1) as f64) / count as f64;
    let mut x = area.x;
    let place = |index: usize| {
        if each || index == 0 {
            x += left;
        }
        let place = Area { x, y: area.y, width, height: area.height };
        x += width + GAP;
        place
    };
    (0..count).map(place).collect()
}

/// How much room the labels of a vertical axis take, its title included.
pub(super) fn room_for(scale: &Scale) -> f64 {
    let widest = scale.ticks.iter().map(|(_, label)| Letters::LABEL.width(label)).fold(0.0, f64::max);
    widest + 10.0 + 22.0
}

/// Lines across at the ticks, with their labels where the axis stands.
pub(super) fn vertical(canvas: &mut Canvas, area: Area, scale: &Scale, labels: bool) {
    for (value, label) in &scale.ticks {
        let y = height_of(area, scale, *value);
        canvas.line((area.x, y), (area.right(), y), Ink::Grid, 1.0, "");
        if labels {
            canvas.text((area.x - 10.0, y + 4.0), label, Letters::LABEL.anchored(Anchor::End));
        }
    }
}

/// The title of a vertical axis, turned, left of its labels.
pub(super) fn vertical_title(canvas: &mut Canvas, area: Area, room: f64, title: &str) {
    let at = (area.x - room + 10.0, area.y + area.height / 2.0);
    canvas.turned_text(at, title, Letters::LABEL.anchored(Anchor::Middle), -90.0);
}

/// The labels below an area, of which those stay that do not touch each other; ends and round steps first.
pub(super) fn horizontal(canvas: &mut Canvas, area: Area, ticks: &[(f64, String)], title: &str) {
    let letters = Letters::LABEL.anchored(Anchor::Middle);
    let steps = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000];
    let chosen = |step: usize| {
        let stays = move |index: usize| step == 1 || index == 0 || (index + 1).is_multiple_of(step);
        let named = ticks.iter().filter(|(_, label)| !label.is_empty());
        named.enumerate().filter(move |(index, _)| stays(*index)).map(|(_, tick)| tick)
    };
    let fits = |step: usize| {
        let mut end = f64::NEG_INFINITY;
        chosen(step).all(|(x, label)| {
            let half = letters.width(label) / 2.0;
            let free = x - half >= end + 6.0;
            end = x + half;
            free
        })
    };
    let step = steps.into_iter().find(|step| fits(*step)).unwrap_or(usize::MAX);
    for (x, label) in chosen(step) {
        canvas.text((*x, area.bottom() + 18.0), label, letters);
    }
    if !title.is_empty() {
        canvas.text((area.x + area.width / 2.0, area.bottom() + 38.0), title, letters);
    }
}

/// The title of one of several panels, and a note beside or below it.
pub(super) fn heading(canvas: &mut Canvas, area: Area, title: &str, note: &str) {
    let bold = Letters { size: 13.5, bold: true, ink: Ink::Text, anchor: Anchor::Start };
    canvas.text((area.x, area.y - 28.0), title, bold);
    canvas.text((area.x, area.y - 11.0), note, Letters { size: 11.5, ..Letters::LABEL });
}

/// Where a value is on a vertical axis.
pub(super) fn height_of(area: Area, scale: &Scale, value: f64) -> f64 {
    area.bottom() - area.height * scale.place(value)
}
