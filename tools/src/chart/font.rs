//! The letters of the charts: Inter (see `font/OFL.txt`), built in, since a static binary finds none on the system.

use skrifa::{
    FontRef, MetadataProvider,
    instance::{LocationRef, Size},
};

/// As it stands in a drawing: what is here, then what pages use.
pub const FAMILY: &str = "Inter,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif";

/// Regular and semi-bold.
pub const FILES: [&[u8]; 2] =
    [include_bytes!("font/Inter-Regular.otf"), include_bytes!("font/Inter-SemiBold.otf")];

/// How wide a text is, in the unit of `size`.
pub fn width(text: &str, size: f64, bold: bool) -> f64 {
    let font = FontRef::new(FILES[usize::from(bold)]).expect("the built-in font is one");
    let (letters, metrics) =
        (font.charmap(), font.glyph_metrics(Size::new(size as f32), LocationRef::default()));
    let one = |letter: char| letters.map(letter).and_then(|glyph| metrics.advance_width(glyph));
    text.chars().map(|letter| one(letter).map_or(size * 0.6, f64::from)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_grow_with_letters_size_and_weight() {
        assert_eq!(width("", 12.0, false), 0.0);
        assert!(width("iii", 12.0, false) < width("mmm", 12.0, false));
        assert!((width("Server", 24.0, false) - 2.0 * width("Server", 12.0, false)).abs() < 0.1);
        assert!(width("Server", 12.0, false) < width("Server", 12.0, true));
    }

    #[test]
    fn the_signs_that_charts_use_are_there() {
        let font = FontRef::new(FILES[0]).expect("a font");
        for sign in "µσΦχ²–—…×·≤≥≈−∞ 0123456789%/".chars() {
            assert!(font.charmap().map(sign).is_some_and(|glyph| glyph.to_u32() != 0), "{sign}");
        }
    }
}
