//! Charts: what they show as values, and how they look. All but `png` is pure.
//!
//! `style` has the colours, `font` the letters, `scale` leads from values to places, `canvas` writes SVG, `frame` has what
//! all charts share (title, legend, axes); `bars`, `groups`, `lines`, `timeline` and `heat` are the charts.

pub mod bars;
pub mod canvas;
mod font;
mod frame;
pub mod groups;
pub mod heat;
pub mod lines;
mod png;
pub mod scale;
pub mod style;
#[cfg(test)]
mod tests;
pub mod timeline;

pub use self::{canvas::Canvas, frame::Caption, png::PngError, style::Ink};

/// A drawing in the two forms in which it is kept.
#[derive(Clone, Debug)]
pub struct Picture {
    /// For light and dark pages.
    pub svg: String,
    /// For light pages, twice as many pixels each way.
    pub png: Vec<u8>,
}

impl Picture {
    /// Of a finished drawing.
    pub fn of(canvas: &Canvas) -> Result<Self, PngError> {
        Ok(Picture { svg: canvas.svg(true), png: png::of(canvas)? })
    }
}
