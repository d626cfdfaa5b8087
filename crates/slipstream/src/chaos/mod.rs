//! `slipstream chaos`: a whole installation of many processes, with servers of its own and the simulated venue, in which
//! everything is killed, frozen and cut off, by a seed. Afterwards the venue's books, the database and the queue are
//! compared from raw facts.
//!
//! Order of use: `stack` starts servers and venue, `team` the processes, `followers` makes accounts, `tape` lets
//! leaders trade while `injecting` breaks what `faults` has planned; `facts` reads everybody's books, `checks`
//! judges them, `report` tells.

pub mod checks;
pub mod command;
mod cutting;
pub mod facts;
mod faults;
mod followers;
mod injecting;
mod promoting;
pub(crate) mod random;
mod recovering;
pub mod report;
mod running;
mod stack;
mod tape;
mod team;
mod witness;
