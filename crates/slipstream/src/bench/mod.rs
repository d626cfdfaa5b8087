//! `slipstream bench`: our figures beside the bare parts they are made of, measured in the same run.
//!
//! It measures and prints; targets stand in a column of their own. It never fails because a machine is
//! slow, and it never talks to anything but the bundled simulator and servers of its own.

mod channels;
pub mod command;
mod disk;
mod failover;
mod fan_out;
mod gap;
mod http;
mod installation;
mod live;
mod memory;
mod order_cost;
mod pace;
mod past;
mod report;
mod sample;
mod scale;
mod servers;
mod signer_process;
