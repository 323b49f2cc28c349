//! The line of words: the link, what changes, notices.

use super::paint::Paint;
use crate::app::App;
use crate::app::connection::Connection;
use crate::app::layout::Area;
use crate::app::width::{truncate, width};
use crate::catalogue::screen as text;
use crate::message::Message;
use crate::remote::LinkState;

pub(super) fn paint(app: &App, area: Area, paint: &mut Paint) {
    let link = link(app, paint);
    let notice = match (&app.notice, app.changes.oldest()) {
        (Some(notice), _) => Some(notice.text.clone()),
        (None, Some(running)) => Some(text::change(running)),
        (None, None) => None,
    };
    let style = if app.connection.is_broken() { paint.theme.bad } else { paint.theme.plain };
    let Some(notice) = notice else {
        paint.text(area, &link, style);
        return;
    };
    let room = usize::from(area.width);
    // A link that is lost is said whatever else there is to say.
    let link_room = room.saturating_sub(width(&notice) + 2);
    let least = if app.connection.is_broken() { room / 2 } else { 0 };
    let link = truncate(&link, link_room.max(least));
    paint.text(area, &link, style);
    let taken = u16::try_from(width(&link) + 2).unwrap_or(area.width).min(area.width);
    let rest = Area { x: area.x + taken, width: area.width - taken, ..area };
    paint.right(rest, &notice, paint.theme.notice);
}

fn link(app: &App, paint: &Paint) -> String {
    match &app.connection {
        Connection::Absent => text::status_absent(),
        Connection::Connecting { login, .. } => text::status_connecting(&login.account),
        Connection::Open { account, link } => match link {
            LinkState::Live { round_trip } => text::status_live(account, *round_trip),
            LinkState::Silent { since } => {
                text::status_silent(account, paint.now.saturating_duration_since(*since))
            }
            LinkState::Reconnecting { attempt, reason, .. } => {
                let why = Message::of(reason, Some(account)).what;
                let seconds = app.connection.seconds_to_next_try(paint.now).unwrap_or(0);
                text::status_reconnecting(account, *attempt, seconds, &why)
            }
            LinkState::Down { reason } => {
                let why = Message::of(reason, Some(account)).what;
                text::status_down(account, &why)
            }
        },
    }
}
