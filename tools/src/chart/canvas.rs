//! An SVG drawing as it is drawn. Colours are classes, so that one file serves light and dark pages. Pure.

use std::{
    collections::BTreeSet,
    fmt::{self, Write},
};

use super::{
    font::{self, FAMILY},
    style::{self, Ink},
};

/// A drawing of a fixed size; the origin is its upper left corner.
#[derive(Clone, Debug)]
pub struct Canvas {
    width: f64,
    height: f64,
    title: String,
    body: String,
    inks: BTreeSet<Ink>,
}

/// How a text is set.
#[derive(Clone, Copy, Debug)]
pub struct Letters {
    /// In pixels.
    pub size: f64,
    /// Semi-bold.
    pub bold: bool,
    /// Its colour.
    pub ink: Ink,
    /// Which part of it is at the place it is put.
    pub anchor: Anchor,
}

/// Which part of a text is at the place it is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its beginning.
    Start,
    /// Its middle.
    Middle,
    /// Its end.
    End,
}

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// Its left edge.
    pub x: f64,
    /// Its upper edge.
    pub y: f64,
    /// How wide it is.
    pub width: f64,
    /// How high it is.
    pub height: f64,
}

impl Letters {
    /// Small, muted, from its beginning.
    pub const LABEL: Letters = Letters { size: 12.0, bold: false, ink: Ink::Muted, anchor: Anchor::Start };

    /// The same with another anchor.
    pub fn anchored(self, anchor: Anchor) -> Self {
        Letters { anchor, ..self }
    }

    /// How wide a text is in these letters.
    pub fn width(&self, text: &str) -> f64 {
        font::width(text, self.size, self.bold)
    }
}

impl Area {
    /// Its right edge.
    pub fn right(&self) -> f64 {
        self.x + self.width
    }

    /// Its lower edge.
    pub fn bottom(&self) -> f64 {
        self.y + self.height
    }
}

impl Canvas {
    /// An empty page; the title is for those who hear it.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let mut canvas =
            Canvas { width, height, title: title.to_owned(), body: String::new(), inks: BTreeSet::new() };
        canvas.rect(Area { x: 0.0, y: 0.0, width, height }, Ink::Page, 0.0);
        canvas
    }

    /// Its size in pixels.
    pub fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// A filled rectangle with round corners.
    pub fn rect(&mut self, area: Area, ink: Ink, round: f64) {
        let (x, y, width, height) = (N(area.x), N(area.y), N(area.width), N(area.height));
        let round = if round > 0.0 { format!(r#" rx="{}""#, N(round)) } else { String::new() };
        let class = self.fill(ink);
        self.draw(format_args!(
            r#"<rect {class} x="{x}" y="{y}" width="{width}" height="{height}"{round}/>"#
        ));
    }

    /// A straight line; `dashes` as in SVG's `stroke-dasharray`, empty for none.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64, dashes: &str) {
        let class = self.stroke(ink);
        let dashes =
            if dashes.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dashes}""#) };
        let ((x1, y1), (x2, y2), width) = ((N(from.0), N(from.1)), (N(to.0), N(to.1)), N(width));
        self.draw(format_args!(
            r#"<line {class} x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke-width="{width}"{dashes}/>"#
        ));
    }

    /// A line through these points.
    pub fn path(&mut self, points: &[(f64, f64)], ink: Ink, width: f64) {
        let class = self.stroke(ink);
        let width = N(width);
        self.draw(format_args!(r#"<path {class} stroke-width="{width}" d="{}"/>"#, way(points)));
    }

    /// What is between a line through these points and the level `bottom`, pale.
    pub fn below(&mut self, points: &[(f64, f64)], bottom: f64, ink: Ink) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
        let class = self.fill(ink);
        let (way, x1, x2, y) = (way(points), N(last.0), N(first.0), N(bottom));
        self.draw(format_args!(r#"<path {class} fill-opacity="0.18" d="{way}L{x1} {y}L{x2} {y}Z"/>"#));
    }

    /// A closed shape given as SVG path data.
    pub fn shape(&mut self, data: &str, ink: Ink) {
        let class = self.fill(ink);
        self.draw(format_args!(r#"<path {class} d="{data}"/>"#));
    }

    /// A text on the base line `at.1`.
    pub fn text(&mut self, at: (f64, f64), text: &str, letters: Letters) {
        self.turned_text(at, text, letters, 0.0);
    }

    /// A text turned by so many degrees about the place where it is put.
    pub fn turned_text(&mut self, at: (f64, f64), text: &str, letters: Letters, degrees: f64) {
        let class = self.fill(letters.ink);
        let (x, y, size, text) = (N(at.0), N(at.1), N(letters.size), Escaped(text));
        let bold = if letters.bold { r#" font-weight="600""# } else { "" };
        let anchor = match letters.anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let turn = if degrees == 0.0 {
            String::new()
        } else {
            format!(r#" transform="rotate({} {x} {y})""#, N(degrees))
        };
        self.draw(format_args!(
            r#"<text {class} x="{x}" y="{y}" font-size="{size}"{bold}{anchor}{turn}>{text}</text>"#
        ));
    }

    /// The file: for light and dark pages, or for a light one alone.
    pub fn svg(&self, dark_too: bool) -> String {
        let (width, height, title) = (N(self.width), N(self.height), Escaped(&self.title));
        let sheet = style::sheet(self.inks.iter().copied(), dark_too);
        let body = &self.body;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" font-family=\"{FAMILY}\">\n<title>{title}</title>\n\
             <style>{sheet}</style>\n{body}</svg>\n"
        )
    }

    fn draw(&mut self, element: fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("a text takes everything");
    }

    fn fill(&mut self, ink: Ink) -> String {
        self.inks.insert(ink);
        format!(r#"class="f {}""#, ink.class())
    }

    fn stroke(&mut self, ink: Ink) -> String {
        self.inks.insert(ink);
        format!(r#"class="l {}""#, ink.class())
    }
}

fn way(points: &[(f64, f64)]) -> String {
    let mut way = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        write!(way, "{letter}{} {}", N(*x), N(*y)).expect("a text takes everything");
    }
    way
}

/// A coordinate in hundredths.
struct N(f64);

impl fmt::Display for N {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", (self.0 * 100.0).round() / 100.0)
    }
}

/// A text in XML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                control if control.is_control() => f.write_char(' ')?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_text() {
        let mut canvas = Canvas::new(10.0, 10.0, "a < b & c");
        canvas.text((1.0, 1.0), "<script>\"\u{1}", Letters::LABEL);
        let svg = canvas.svg(true);
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("&lt;script&gt;&quot; </text>"), "{svg}");
    }

    #[test]
    fn only_the_inks_that_are_used_are_in_the_file() {
        let mut canvas = Canvas::new(10.0, 10.0, "");
        canvas.path(&[(0.0, 0.126), (1.0, 2.0)], Ink::Series(2), 2.0);
        let svg = canvas.svg(false);
        assert!(svg.contains(r#"<path class="l s2" stroke-width="2" d="M0 0.13L1 2"/>"#), "{svg}");
        assert!(svg.contains(".l.s2{") && !svg.contains(".l.s3{"));
    }
}
