//! Bars: how many each got, beside what it was to get. Pure.

use super::{
    canvas::{Anchor, Area, Canvas, Letters},
    frame::{self, Caption, Entry, Mark},
    scale::{Scale, number},
    style::Ink,
};

/// How high the bars' area is.
const HEIGHT: f64 = 300.0;

/// Groups of bars with one axis.
#[derive(Clone, Debug)]
pub struct Bars {
    /// The words around them.
    pub caption: Caption,
    /// What the axis counts.
    pub axis: String,
    /// What the labels below the bars are.
    pub labels: String,
    /// What the marks of what was expected are, where there are some.
    pub expectation: String,
    /// The groups, from left to right.
    pub panels: Vec<Panel>,
}

/// One group of bars.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What it is; may be empty where there is one.
    pub title: String,
    /// A number or two that matter.
    pub note: String,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What stands below it, where all labels have room.
    pub label: String,
    /// What stands there else: a number.
    pub short: String,
    /// How high it is.
    pub value: f64,
    /// How high it was to be.
    pub expected: Option<f64>,
    /// Its colour.
    pub ink: Ink,
}

impl Bars {
    /// Draws them.
    pub fn draw(&self) -> Canvas {
        let all = || self.panels.iter().flat_map(|panel| &panel.bars);
        let most = all().flat_map(|bar| [Some(bar.value), bar.expected]).flatten().fold(0.0, f64::max);
        let scale = Scale::from_zero(most * 1.04, 5);
        let headed = self.panels.iter().any(|panel| !panel.title.is_empty() || !panel.note.is_empty());
        let top = if headed { 48.0 } else { 12.0 };
        let (mut canvas, area) = frame::page(&self.caption, &self.legend(), HEIGHT + top + 44.0);
        let area = Area { y: area.y + top, height: HEIGHT, ..area };
        let room = frame::room_for(&scale);
        for (index, (panel, place)) in
            self.panels.iter().zip(frame::columns(area, self.panels.len(), room, false)).enumerate()
        {
            frame::vertical(&mut canvas, place, &scale, index == 0);
            if index == 0 {
                frame::vertical_title(&mut canvas, place, room, &self.axis);
            }
            frame::heading(&mut canvas, place, &panel.title, &panel.note);
            panel.draw(&mut canvas, place, &scale, &self.labels);
        }
        canvas
    }

    fn legend(&self) -> Vec<Entry> {
        let first = || self.panels.iter().flat_map(|panel| &panel.bars);
        let same = first().all(|bar| Some(bar.ink) == first().next().map(|bar| bar.ink));
        let ink = if same { first().next().map_or(Ink::Text, |bar| bar.ink) } else { Ink::Muted };
        let mut legend = vec![Entry { label: "counted".into(), ink, mark: Mark::Square }];
        if first().any(|bar| bar.expected.is_some()) {
            let label = self.expectation.clone();
            legend.push(Entry { label, ink: Ink::Text, mark: Mark::Tick });
        }
        legend.push(Entry { label: "an equal share".into(), ink: Ink::Muted, mark: Mark::Dashes });
        legend
    }
}

impl Panel {
    fn draw(&self, canvas: &mut Canvas, area: Area, scale: &Scale, labels: &str) {
        let band = area.width / self.bars.len().max(1) as f64;
        let middle = |index: usize| area.x + band * (index as f64 + 0.5);
        let width = (band * 0.7).min(84.0);
        for (index, bar) in self.bars.iter().enumerate() {
            let top = frame::height_of(area, scale, bar.value);
            let round = (width / 8.0).min(4.0).min((area.bottom() - top) / 2.0);
            canvas.shape(&upright(middle(index) - width / 2.0, top, width, area.bottom(), round), bar.ink);
        }
        canvas.line((area.x, area.bottom()), (area.right(), area.bottom()), Ink::Muted, 1.0, "");
        let mean = self.bars.iter().map(|bar| bar.value).sum::<f64>() / self.bars.len().max(1) as f64;
        let level = frame::height_of(area, scale, mean);
        canvas.line((area.x, level), (area.right(), level), Ink::Muted, 1.5, "5 4");
        for (index, bar) in self.bars.iter().enumerate() {
            let Some(expected) = bar.expected else { continue };
            let (y, half) =
                (frame::height_of(area, scale, expected), (width / 2.0 + 4.0).min(band / 2.0 - 0.5));
            let thick = if band > 20.0 { 2.5 } else { 1.5 };
            canvas.line((middle(index) - half, y), (middle(index) + half, y), Ink::Text, thick, "");
        }
        self.values(canvas, area, scale, band);
        let roomy = self.bars.iter().all(|bar| Letters::LABEL.width(&bar.label) + 6.0 <= band);
        let label = |bar: &Bar| if roomy { bar.label.clone() } else { bar.short.clone() };
        let ticks: Vec<(f64, String)> =
            self.bars.iter().enumerate().map(|(index, bar)| (middle(index), label(bar))).collect();
        frame::horizontal(canvas, area, &ticks, labels);
    }

    /// The numbers above the bars, where all of them have room.
    fn values(&self, canvas: &mut Canvas, area: Area, scale: &Scale, band: f64) {
        let letters = Letters { size: 12.5, bold: true, ink: Ink::Text, anchor: Anchor::Middle };
        let texts: Vec<String> = self.bars.iter().map(|bar| number(bar.value)).collect();
        if texts.iter().any(|text| letters.width(text) + 4.0 > band) {
            return;
        }
        let mean = self.bars.iter().map(|bar| bar.value).sum::<f64>() / self.bars.len().max(1) as f64;
        let level = frame::height_of(area, scale, mean);
        for (index, (bar, text)) in self.bars.iter().zip(&texts).enumerate() {
            let highest = bar.value.max(bar.expected.unwrap_or(0.0));
            let x = area.x + band * (index as f64 + 0.5);
            let y = frame::height_of(area, scale, highest) - 8.0;
            let crossed = level < y + 3.0 && level > y - 12.0;
            let half = letters.width(text) / 2.0 + 4.0;
            if crossed {
                canvas.rect(
                    Area { x: x - half, y: y - 12.0, width: 2.0 * half, height: 15.5 },
                    Ink::Page,
                    2.0,
                );
            }
            canvas.text((x, y), text, letters);
        }
    }
}

/// A bar with round upper corners.
fn upright(x: f64, top: f64, width: f64, bottom: f64, round: f64) -> String {
    let (inner, side) = (width - 2.0 * round, (bottom - top - round).max(0.0));
    format!(
        "M{x:.2} {bottom:.2}v-{side:.2}q0 -{round:.2} {round:.2} -{round:.2}h{inner:.2}q{round:.2} 0 {round:.2} \
         {round:.2}v{side:.2}Z"
    )
}
