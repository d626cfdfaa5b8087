//! `slipstream bench scale`: what a team carries, from what an order was measured to cost. `costs` is the measured, `model`
//! says which work waits for what, `simulation` lets leaders trade for an hour of virtual time, `command` prints.

pub mod command;
pub(super) mod costs;
mod model;
mod simulation;
