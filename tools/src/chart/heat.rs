//! A heat map: slots as little squares, row after row. Pure.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    canvas::{Anchor, Area, Canvas, Letters},
    frame::{self, Caption, Entry, Mark, WIDTH},
    style::Ink,
};

/// Grids side by side, in rows.
#[derive(Clone, Debug)]
pub struct Heat {
    /// The words around them.
    pub caption: Caption,
    /// What the colours mean, for those that are not of the ramp.
    pub legend: Vec<(String, Ink)>,
    /// What little and much of the ramp are.
    pub ramp: (String, String),
    /// How many squares a row has.
    pub across: usize,
    /// The rows: each a title and its grids.
    pub rows: Vec<(String, Vec<Grid>)>,
}

/// One grid.
#[derive(Clone, Debug)]
pub struct Grid {
    /// What it is.
    pub title: String,
    /// A number or two that matter.
    pub note: String,
    /// The squares, row after row.
    pub cells: Vec<Ink>,
}

impl Heat {
    /// Draws them.
    pub fn draw(&self) -> Canvas {
        let most = self.rows.iter().map(|(_, grids)| grids.len()).max().unwrap_or(1);
        let cells = self.rows.iter().flat_map(|(_, grids)| grids).map(|grid| grid.cells.len()).max();
        let down = cells.unwrap_or(1).div_ceil(self.across.max(1)) as f64;
        let wide =
            frame::columns(Area { x: 0.0, y: 0.0, width: WIDTH - 64.0, height: 0.0 }, most, 0.0, false);
        let square = wide.first().map_or(10.0, |place| place.width) / self.across.max(1) as f64;
        let (above, height) = (86.0, square * down);
        let legend: Vec<Entry> = self
            .legend
            .iter()
            .map(|(label, ink)| Entry { label: label.clone(), ink: *ink, mark: Mark::Square })
            .collect();
        let (mut canvas, area) =
            frame::page(&self.caption, &legend, (above + height) * self.rows.len() as f64 + 46.0);
        for (row, (title, grids)) in self.rows.iter().enumerate() {
            let y = area.y + above + (above + height) * row as f64;
            let bold = Letters { size: 15.0, bold: true, ink: Ink::Text, anchor: Anchor::Start };
            canvas.text((area.x, y - 56.0), title, bold);
            let places = frame::columns(Area { y, height, ..area }, most, 0.0, false);
            for (grid, place) in grids.iter().zip(places) {
                frame::heading(&mut canvas, place, &grid.title, &grid.note);
                grid.draw(&mut canvas, place, self.across, square);
            }
        }
        self.draw_ramp(&mut canvas, (area.x, area.bottom() - 18.0));
        canvas
    }

    fn draw_ramp(&self, canvas: &mut Canvas, (x, y): (f64, f64)) {
        if self.ramp.0.is_empty() {
            return;
        }
        canvas.text((x, y + 11.0), &self.ramp.0, Letters::LABEL);
        let x = x + Letters::LABEL.width(&self.ramp.0) + 10.0;
        for level in 0..9 {
            let place = Area { x: x + 22.0 * f64::from(level), y, width: 22.0, height: 14.0 };
            canvas.rect(place, Ink::Heat(level), 0.0);
        }
        canvas.text((x + 22.0 * 9.0 + 10.0, y + 11.0), &self.ramp.1, Letters::LABEL);
    }
}

impl Grid {
    /// Squares of one colour are one path, neighbours in a row one rectangle of it.
    fn draw(&self, canvas: &mut Canvas, area: Area, across: usize, square: f64) {
        let mut paths = BTreeMap::<Ink, String>::new();
        for (row, cells) in self.cells.chunks(across.max(1)).enumerate() {
            let mut column = 0;
            while column < cells.len() {
                let alike = cells[column..].iter().take_while(|ink| **ink == cells[column]).count();
                let (x, y) = (area.x + square * column as f64, area.y + square * row as f64);
                let (width, height) = (square * alike as f64, square);
                let path = paths.entry(cells[column]).or_default();
                write!(path, "M{x:.2} {y:.2}h{width:.2}v{height:.2}h-{width:.2}Z").expect("a text");
                column += alike;
            }
        }
        for (ink, path) in paths {
            canvas.shape(&path, ink);
        }
        self.draw_gaps(canvas, area, across, square);
    }

    /// What tells neighbours of one colour apart.
    fn draw_gaps(&self, canvas: &mut Canvas, area: Area, across: usize, square: f64) {
        let down = self.cells.len().div_ceil(across.max(1));
        let (right, bottom) = (area.x + square * across as f64, area.y + square * down as f64);
        for column in 1..across {
            let x = area.x + square * column as f64;
            canvas.line((x, area.y), (x, bottom), Ink::Page, 0.6, "");
        }
        for row in 1..down {
            let y = area.y + square * row as f64;
            canvas.line((area.x, y), (right, y), Ink::Page, 0.6, "");
        }
    }
}
