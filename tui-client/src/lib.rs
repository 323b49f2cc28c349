//! Sampan's client: connections, transfers, commands and the screen.
//!
//! From the outside in: `cli` reads arguments and runs one command, or opens the screen.
//! Both speak to a [`remote`] (a pool of connections that logs in again by itself) and to the
//! [`transfer`] engine (commands in, events out), which joins it with the local disk. What goes
//! wrong is a [`failure`]; only [`message`] makes it a sentence. All texts for people stand
//! in the [`catalogue`].
//!
//! Invariant: the engine knows no screen; the screen waits for no disk and no socket.

pub mod address;
pub mod app;
pub mod catalogue;
pub mod cli;
mod disk;
pub mod failure;
pub mod local;
pub mod message;
pub mod place;
pub mod remote;
pub mod runtime;
pub mod state;
pub mod step;
pub mod transfer;
pub mod ui;
