//! Bars side by side in groups: what several are at several things. Pure.

use super::{
    canvas::{Anchor, Area, Canvas, Letters},
    frame::{self, Caption, Entry, Mark},
    scale::Scale,
    style::Ink,
};

/// How high the bars' area is where there is one, and each where there are more.
const HEIGHT: f64 = 300.0;
const HEIGHT_OF_MANY: f64 = 220.0;

/// Between the areas, and before the first.
const GAP: f64 = 12.0;

/// For the labels below an area.
const LABELS: f64 = 32.0;

/// Groups of bars, one axis below the other.
#[derive(Clone, Debug)]
pub struct Groups {
    /// The words around them.
    pub caption: Caption,
    /// What the bars of a group are, each with its colour.
    pub series: Vec<(String, Ink)>,
    /// From above.
    pub panels: Vec<Panel>,
}

/// Groups of bars on one axis.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What the axis counts.
    pub axis: String,
    /// Where a line goes across, if anywhere.
    pub level: Option<f64>,
    /// From left to right.
    pub groups: Vec<Group>,
}

/// One group.
#[derive(Clone, Debug)]
pub struct Group {
    /// What stands below it.
    pub label: String,
    /// How high the bar of each series is.
    pub values: Vec<Option<f64>>,
}

impl Groups {
    /// Draws them.
    pub fn draw(&self) -> Canvas {
        let entry =
            |(label, ink): &(String, Ink)| Entry { label: label.clone(), ink: *ink, mark: Mark::Square };
        let legend: Vec<Entry> = self.series.iter().map(entry).collect();
        let height = if self.panels.len() > 1 { HEIGHT_OF_MANY } else { HEIGHT };
        let step = GAP + height + LABELS;
        let (mut canvas, page) = frame::page(&self.caption, &legend, step * self.panels.len() as f64);
        let scales: Vec<Scale> = self.panels.iter().map(Panel::scale).collect();
        let room = scales.iter().map(frame::room_for).fold(0.0, f64::max);
        for (index, (panel, scale)) in self.panels.iter().zip(&scales).enumerate() {
            let y = page.y + step * index as f64 + GAP;
            let area = Area { x: page.x + room, y, width: page.width - room, height };
            frame::vertical_title(&mut canvas, area, room, &panel.axis);
            self.panel(&mut canvas, area, scale, panel);
        }
        canvas
    }

    fn panel(&self, canvas: &mut Canvas, area: Area, scale: &Scale, panel: &Panel) {
        frame::vertical(canvas, area, scale, true);
        if let Some(level) = panel.level {
            let level = frame::height_of(area, scale, level);
            canvas.line((area.x, level), (area.right(), level), Ink::Muted, 1.5, "5 4");
        }
        let band = area.width / panel.groups.len().max(1) as f64;
        for (index, group) in panel.groups.iter().enumerate() {
            let place = Area { x: area.x + band * index as f64, width: band, ..area };
            self.group(canvas, place, scale, group);
        }
        canvas.line((area.x, area.bottom()), (area.right(), area.bottom()), Ink::Muted, 1.0, "");
        let middle = |index: usize| area.x + band * (index as f64 + 0.5);
        let label = |(index, group): (usize, &Group)| (middle(index), group.label.clone());
        let labels: Vec<(f64, String)> = panel.groups.iter().enumerate().map(label).collect();
        frame::horizontal(canvas, area, &labels, "");
    }

    /// Its bars, with their values above them where all have room.
    fn group(&self, canvas: &mut Canvas, area: Area, scale: &Scale, group: &Group) {
        let letters = Letters { size: 10.5, ink: Ink::Text, anchor: Anchor::Middle, ..Letters::LABEL };
        let width = (area.width * 0.84 / self.series.len().max(1) as f64).min(60.0);
        let left = area.x + (area.width - width * self.series.len() as f64) / 2.0;
        for (index, (value, (_, ink))) in group.values.iter().zip(&self.series).enumerate() {
            let Some(value) = value else { continue };
            let (x, top) = (left + width * index as f64, frame::height_of(area, scale, *value));
            let bar = Area { x: x + 1.0, y: top, width: width - 2.0, height: area.bottom() - top };
            canvas.rect(bar, *ink, 1.5);
            let text = format!("{value:.2}");
            if letters.width(&text) + 2.0 <= width {
                let behind = Area { x, y: top - 14.0, width, height: 12.0 }; // the level does not cross it out
                canvas.rect(behind, Ink::Page, 0.0);
                canvas.text((x + width / 2.0, top - 5.0), &text, letters);
            }
        }
    }
}

impl Panel {
    fn scale(&self) -> Scale {
        let values = self.groups.iter().flat_map(|group| &group.values).flatten();
        let most = values.copied().fold(self.level.unwrap_or(0.0), f64::max);
        Scale::from_zero(most * 1.06, 5)
    }
}
