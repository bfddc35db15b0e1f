//! A timeline: several measures of one run above each other, with what happened marked across all of them. Pure.

use super::{
    canvas::{Anchor, Area, Canvas, Letters},
    frame::{self, Caption, Entry, Mark},
    scale::Scale,
    style::Ink,
};

/// How high one strip is, and how far the next one is from it.
const STRIP: f64 = 118.0;
const GAP: f64 = 40.0;

/// A run.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The words around it.
    pub caption: Caption,
    /// The seconds it goes over.
    pub seconds: f64,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The measures, from top to bottom.
    pub strips: Vec<Strip>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When, in seconds.
    pub at: f64,
    /// What.
    pub label: String,
    /// Its colour.
    pub ink: Ink,
}

/// A line: its name, which is shown where there are several, its colour and its points.
pub type Line = (String, Ink, Vec<(f64, f64)>);

/// One measure.
#[derive(Clone, Debug)]
pub struct Strip {
    /// What it is, with its unit.
    pub title: String,
    /// Its axis.
    pub y: Scale,
    /// Its lines; with one, what is below it is filled.
    pub series: Vec<Line>,
    /// Whether its values are bars of the width of a step of the points.
    pub bars: bool,
}

impl Timeline {
    /// Draws it.
    pub fn draw(&self) -> Canvas {
        let rows = 20.0 * self.events.len() as f64;
        let height = rows + (STRIP + GAP) * self.strips.len() as f64 + 30.0;
        let (mut canvas, area) = frame::page(&self.caption, &[], height);
        let room = self.strips.iter().map(|strip| frame::room_for(&strip.y)).fold(0.0, f64::max) - 16.0;
        let area = Area { x: area.x + room, width: area.width - room, ..area };
        let scale = Scale::between(0.0, self.seconds, 10);
        let across = |seconds: f64| area.x + area.width * scale.place(seconds);
        let mut place = Area { y: area.y + rows + GAP - 8.0, height: STRIP, ..area };
        let bottom = place.y + (STRIP + GAP) * self.strips.len() as f64 - GAP;
        for strip in &self.strips {
            strip.draw(&mut canvas, place, across);
            place.y += STRIP + GAP;
        }
        for (row, event) in self.events.iter().enumerate() {
            event.draw(&mut canvas, across(event.at), (area.y + 20.0 * row as f64 + 4.0, bottom), area);
        }
        let last = Area { y: bottom - STRIP, height: STRIP, ..area };
        let ticks: Vec<(f64, String)> =
            scale.ticks.iter().map(|(value, label)| (across(*value), label.clone())).collect();
        frame::horizontal(&mut canvas, last, &ticks, "seconds since the first request");
        canvas
    }
}

impl Event {
    /// A line down from its words, which stand at its side where there is more room.
    fn draw(&self, canvas: &mut Canvas, x: f64, (top, bottom): (f64, f64), area: Area) {
        let letters = Letters { size: 12.5, bold: true, ink: self.ink, anchor: Anchor::Start };
        canvas.line((x, top), (x, bottom), self.ink, 1.5, "4 3");
        let right = x + 8.0 + letters.width(&self.label) < area.right();
        let (at, anchor) = if right { (x + 8.0, Anchor::Start) } else { (x - 8.0, Anchor::End) };
        let width = letters.width(&self.label) + 8.0;
        let left = if right { at - 4.0 } else { at - width + 4.0 };
        canvas.rect(Area { x: left, y: top - 3.0, width, height: 18.0 }, Ink::Page, 2.0);
        canvas.text((at, top + 10.0), &self.label, letters.anchored(anchor));
    }
}

impl Strip {
    fn draw(&self, canvas: &mut Canvas, area: Area, across: impl Fn(f64) -> f64) {
        frame::vertical(canvas, area, &self.y, true);
        let bold = Letters { size: 12.5, bold: true, ink: Ink::Text, anchor: Anchor::Start };
        canvas.text((area.x, area.y - 9.0), &self.title, bold);
        if self.series.len() > 1 {
            let entry = |(label, ink, _): &Line| Entry { label: label.clone(), ink: *ink, mark: Mark::Tick };
            let entries: Vec<Entry> = self.series.iter().map(entry).collect();
            frame::entries_before(canvas, (area.right(), area.y - 13.5), &entries);
        }
        for (_, ink, points) in &self.series {
            let points: Vec<(f64, f64)> = points
                .iter()
                .filter(|(_, value)| value.is_finite())
                .map(|(x, value)| (across(*x), frame::height_of(area, &self.y, *value)))
                .collect();
            if self.bars {
                let step = points.windows(2).map(|pair| pair[1].0 - pair[0].0).fold(f64::INFINITY, f64::min);
                let width = if step.is_finite() { (step * 0.8).max(1.0) } else { 4.0 };
                for (x, y) in points.iter().filter(|(_, y)| *y < area.bottom() - 0.01) {
                    let bar = Area { x: x - width / 2.0, y: *y, width, height: area.bottom() - y };
                    canvas.rect(bar, *ink, 0.0);
                }
                continue;
            }
            if self.series.len() == 1 {
                canvas.below(&points, area.bottom(), *ink);
            }
            canvas.path(&points, *ink, 2.0);
        }
        canvas.line((area.x, area.bottom()), (area.right(), area.bottom()), Ink::Muted, 1.0, "");
    }
}
