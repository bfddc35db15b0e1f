//! Lines: how something depends on something else. Pure.

use super::{
    canvas::{Area, Canvas},
    frame::{self, Caption, Entry, Mark},
    scale::Scale,
    style::Ink,
};

/// How high the lines' area is.
const HEIGHT: f64 = 300.0;

/// Groups of lines side by side.
#[derive(Clone, Debug)]
pub struct Lines {
    /// The words around them.
    pub caption: Caption,
    /// The axis below, the same for all.
    pub x: Scale,
    /// What it counts.
    pub x_title: String,
    /// The groups, from left to right.
    pub panels: Vec<Panel>,
}

/// One group of lines.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What it is; may be empty where there is one.
    pub title: String,
    /// A number or two that matter.
    pub note: String,
    /// The axis at the left. Where it is the same for all panels it stands at the first alone.
    pub y: Scale,
    /// What it counts.
    pub y_title: String,
    /// Its lines.
    pub series: Vec<Series>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend; lines of one name have one entry.
    pub label: String,
    /// Its colour.
    pub ink: Ink,
    /// What it is drawn with.
    pub stroke: Stroke,
    /// Where it goes.
    pub points: Vec<(f64, f64)>,
}

/// What a line is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// A line with points, whose form is of this number.
    Points(usize),
    /// A line alone.
    Plain,
    /// A dashed line, for what others are compared with.
    Dashed,
}

impl Lines {
    /// Draws them.
    pub fn draw(&self) -> Canvas {
        let headed = self.panels.iter().any(|panel| !panel.title.is_empty() || !panel.note.is_empty());
        let top = if headed { 48.0 } else { 12.0 };
        let (mut canvas, area) = frame::page(&self.caption, &self.legend(), HEIGHT + top + 44.0);
        let area = Area { y: area.y + top, height: HEIGHT, ..area };
        let room = self.panels.iter().map(|panel| frame::room_for(&panel.y)).fold(0.0, f64::max);
        let each = self.panels.windows(2).any(|pair| pair[0].y != pair[1].y);
        let places = frame::columns(area, self.panels.len(), room, each);
        for (index, (panel, place)) in self.panels.iter().zip(places).enumerate() {
            frame::vertical(&mut canvas, place, &panel.y, each || index == 0);
            if each || index == 0 {
                frame::vertical_title(&mut canvas, place, room, &panel.y_title);
            }
            frame::heading(&mut canvas, place, &panel.title, &panel.note);
            let across = |value: f64| place.x + place.width * self.x.place(value);
            let ticks: Vec<(f64, String)> =
                self.x.ticks.iter().map(|(value, label)| (across(*value), label.clone())).collect();
            for (x, _) in &ticks {
                canvas.line((*x, place.bottom()), (*x, place.bottom() + 5.0), Ink::Grid, 1.0, "");
            }
            frame::horizontal(&mut canvas, place, &ticks, &self.x_title);
            for series in &panel.series {
                series.draw(&mut canvas, place, across, &panel.y);
            }
        }
        canvas
    }

    fn legend(&self) -> Vec<Entry> {
        let mut legend = Vec::<Entry>::new();
        for series in self.panels.iter().flat_map(|panel| &panel.series) {
            if series.label.is_empty() || legend.iter().any(|entry| entry.label == series.label) {
                continue;
            }
            let mark = match series.stroke {
                Stroke::Points(form) => Mark::Line(form),
                Stroke::Plain => Mark::Tick,
                Stroke::Dashed => Mark::Dashes,
            };
            legend.push(Entry { label: series.label.clone(), ink: series.ink, mark });
        }
        legend
    }
}

impl Series {
    fn draw(&self, canvas: &mut Canvas, area: Area, across: impl Fn(f64) -> f64, y: &Scale) {
        let points: Vec<(f64, f64)> = self
            .points
            .iter()
            .filter(|(_, value)| value.is_finite())
            .map(|(x, value)| (across(*x), frame::height_of(area, y, *value)))
            .collect();
        match self.stroke {
            Stroke::Dashed => {
                for pair in points.windows(2) {
                    canvas.line(pair[0], pair[1], self.ink, 1.5, "5 4");
                }
            }
            Stroke::Plain => canvas.path(&points, self.ink, 2.5),
            Stroke::Points(form) => {
                canvas.path(&points, self.ink, 2.5);
                for point in points {
                    frame::point(canvas, point, form, self.ink);
                }
            }
        }
    }
}
