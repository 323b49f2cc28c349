//! The screen's queue: killed while it is written down, gone on with by the next screen.

use sampan_client::address::Place;
use sampan_client::state::{Journal, JournalKey, JournalScope, State};

use super::checks;
use super::drive::{Deaths, serve};
use super::world::World;
use crate::terminal::OnTerminal;

const SIZE: (u16, u16) = (100, 30);
const F5: &str = "\x1b[15~";
const F10: &str = "\x1b[21~";
const ESC: &str = "\x1b";

/// Carries the file `big` of `folder` across by F5, however often the screen dies.
pub(super) fn carry(world: &mut World, deaths: &mut Deaths, folder: &str) {
    deaths.server.clear();
    deaths.lines.clear();
    let mut armed: Vec<_> = deaths.client.drain(..).rev().collect();
    serve(world, deaths);
    let place = world.place(0, folder);
    let (here, there) = (world.people[0].local.path().join(folder), world.home(0).join(folder));
    world.people[0].program.run(["mkdir", "-p", &place]).succeeded();
    let mut is_ordered = false;
    loop {
        // What was come to once is not come to again.
        let step = armed.pop().filter(|step| match step.split(':').next() {
            Some("batch written") => !is_ordered,
            Some("upload committed") => !there.join("big").exists(),
            _ => !deaths.hit_client.iter().any(|hit| hit.starts_with("batch finished")),
        });
        let die_at = step.as_deref().unwrap_or("journal removed:99");
        let line = format!("SAMPAN_DIE_AT='{die_at}' exec $SAMPAN {place}");
        let mut terminal = OnTerminal::sized(&world.people[0].program, &here, &line, SIZE);
        if !is_ordered {
            terminal.comes_to("both panes", |face| {
                row_of_big(face).is_some() && face.contents().contains("quota")
            });
            let row = row_of_big(terminal.face()).unwrap() + 1;
            terminal.types(&format!("\x1b[<0;10;{row}M\x1b[<0;10;{row}m"));
            terminal.types(F5);
            is_ordered = true;
        }
        if let Some(step) = step {
            terminal.ends();
            deaths.hit_client.push(step);
            checks::is_whole(&there, &world.people[0].whole);
            continue;
        }
        terminal.faces("quota");
        if !there.join("big").exists() {
            terminal.faces("✓ done");
        }
        terminal.types(F10);
        // What is across may still be ending, and the screen asks about it.
        let asks = |face: &vt100::Screen| face.contents().contains("Leave");
        while !terminal.ends_or_comes_to(asks) {
            terminal.types(ESC);
            terminal.comes_to("no question", |face| !asks(face));
            terminal.types(F10);
        }
        let (seen, code) = terminal.ends();
        assert_eq!(code, 0, "{seen}");
        break;
    }
    let account = Place::parse(place.as_ref(), None).unwrap().account;
    let key = JournalKey::new(&account, &JournalScope::Queue);
    let state = State::under(world.people[0].program.home());
    let queue = Journal::open(&state, &key, [0; 32], 0).unwrap();
    assert!(queue.unfinished().is_empty(), "a batch that is across is still queued");
    queue.remove().unwrap();
}

/// Where the file stands in the left pane.
fn row_of_big(face: &vt100::Screen) -> Option<usize> {
    face.rows(0, SIZE.0 / 2).position(|row| row.split_whitespace().any(|word| word == "big"))
}
