//! What is carried, beside the pointer.

use super::paint::Paint;
use crate::app::App;
use crate::app::gesture::Gesture;
use crate::app::layout::Area;
use crate::app::marks::Extent;
use crate::app::width::width;
use crate::catalogue::screen as text;

pub(super) fn paint(app: &App, paint: &mut Paint) {
    let Gesture::Carrying(carry) = &app.gesture else { return };
    let extent = Extent::of(carry.items.iter().map(|entry| &**entry));
    let target = carry.target.as_ref().map(|target| app.full_place(&target.folder));
    let moves = carry.target.as_ref().is_some_and(|target| target.moves);
    let label = format!(" {} ", text::carried(extent, target.as_deref(), moves));
    let columns = u16::try_from(width(&label)).unwrap_or(u16::MAX).min(app.screen.columns);
    // Beside the pointer, not under it: the row that is aimed at stays readable.
    let x = (carry.x + 1).min(app.screen.columns - columns);
    let y = if carry.y + 1 < app.screen.rows { carry.y + 1 } else { carry.y - 1 };
    let area = Area::new(x, y, columns, 1);
    paint.clear(area);
    paint.text(area, &label, paint.theme.ghost);
}
