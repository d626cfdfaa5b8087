//! A demo on a terminal: draws pictures, reads keys, and leaves the terminal as it was, whatever happens.
//!
//! What is drawn is a pure function of the picture (`screen`); here are only the terminal and its keys.

mod feed;
mod screen;
mod tables;

#[cfg(test)]
mod tests;

use std::{
    io, panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use tokio::sync::{mpsc, watch};

use super::{Break, picture::Picture};

pub use screen::{Situation, render};

/// How often the key reader looks whether it should end.
const KEY_POLL: Duration = Duration::from_millis(100);

/// What the keys act on.
#[derive(Clone, Debug)]
pub struct Controls {
    /// Things to break.
    pub breaks: mpsc::UnboundedSender<Break>,
    /// Interrupts; the first one stops the tape.
    pub interrupts: mpsc::UnboundedSender<()>,
    /// Whether the tape was stopped.
    pub stopped: watch::Receiver<bool>,
}

/// A terminal that was taken; given back when dropped. A panic anywhere gives it back at once, so that its
/// message can be read, and ends the drawing.
pub struct Screen {
    terminal: DefaultTerminal,
    over: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When there is none that can be drawn on.
    pub fn open() -> io::Result<Self> {
        // Its panic hook gives the terminal back before the message is written.
        let terminal = ratatui::try_init()?;
        let over = Arc::new(AtomicBool::new(false));
        let (before, panicked) = (panic::take_hook(), Arc::clone(&over));
        panic::set_hook(Box::new(move |info| {
            panicked.store(true, Ordering::Relaxed);
            before(info);
        }));
        Ok(Self { terminal, over })
    }

    /// Draws until the pictures end. `speed` is only shown.
    ///
    /// # Errors
    /// When the terminal cannot be drawn on, or was given back because something panicked.
    pub async fn show(
        mut self,
        mut pictures: watch::Receiver<Picture>,
        controls: Controls,
        speed: u32,
    ) -> io::Result<()> {
        let (send, mut events) = mpsc::unbounded_channel();
        let over = Arc::clone(&self.over);
        std::thread::spawn(move || read_events(&over, &send));
        let mut situation = Situation { speed, ..Situation::default() };
        while !self.over.load(Ordering::Relaxed) {
            situation.stopping |= *controls.stopped.borrow();
            if !situation.frozen {
                let picture = pictures.borrow_and_update().clone();
                self.terminal.draw(|frame| render(frame, &picture, situation))?;
            }
            tokio::select! {
                changed = pictures.changed() => if changed.is_err() { return Ok(()) },
                Some(event) = events.recv() => {
                    if let Event::Key(key) = event {
                        press(key, &mut situation, &controls);
                    }
                    if situation.frozen {
                        let picture = pictures.borrow().clone();
                        self.terminal.draw(|frame| render(frame, &picture, situation))?;
                    }
                }
            }
        }
        Err(io::Error::other("something panicked"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        ratatui::restore();
    }
}

/// Reads events in a thread of its own: the terminal knows no other way to wait for them.
fn read_events(over: &AtomicBool, events: &mpsc::UnboundedSender<Event>) {
    while !over.load(Ordering::Relaxed) {
        let Ok(waiting) = event::poll(KEY_POLL) else { return };
        if !waiting {
            continue;
        }
        let Ok(event) = event::read() else { return };
        if events.send(event).is_err() {
            return;
        }
    }
}

/// Does what a key asks for. A receiver that is gone means that the demo is over.
fn press(key: KeyEvent, situation: &mut Situation, controls: &Controls) {
    if key.kind == KeyEventKind::Release {
        return;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if control => {
            situation.stopping = true;
            let _ = controls.interrupts.send(());
        }
        KeyCode::Char('q') | KeyCode::Esc if !situation.stopping => {
            situation.stopping = true;
            let _ = controls.interrupts.send(());
        }
        KeyCode::Char('p') => situation.frozen = !situation.frozen,
        KeyCode::Char('k') => drop(controls.breaks.send(Break::Worker)),
        KeyCode::Char('v') => drop(controls.breaks.send(Break::Venue)),
        KeyCode::Char('r') => drop(controls.breaks.send(Break::Chain)),
        _ => {}
    }
}
