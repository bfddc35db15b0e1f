//! From a drawing to pixels.

use std::sync::{Arc, LazyLock};

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

use super::{Canvas, font};

/// Pixels for each unit of the drawing.
const SHARPNESS: f32 = 2.0;

/// Why there are no pixels.
#[derive(Debug, thiserror::Error)]
#[error("the chart cannot be drawn in pixels: {0}")]
pub struct PngError(String);

static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    for file in font::FILES {
        fonts.load_font_data(file.to_vec());
    }
    Arc::new(fonts)
});

/// The drawing as it is on a light page.
pub(super) fn of(canvas: &Canvas) -> Result<Vec<u8>, PngError> {
    let failed = |why: &dyn std::fmt::Display| PngError(why.to_string());
    let options = Options { fontdb: FONTS.clone(), font_family: "Inter".into(), ..Options::default() };
    let tree = Tree::from_str(&canvas.svg(false), &options).map_err(|error| failed(&error))?;
    let (width, height) = canvas.size();
    let pixels = |length: f64| (length as f32 * SHARPNESS).ceil() as u32;
    let mut pixmap = Pixmap::new(pixels(width), pixels(height)).ok_or_else(|| failed(&"it is too large"))?;
    resvg::render(&tree, Transform::from_scale(SHARPNESS, SHARPNESS), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|error| failed(&error))
}
