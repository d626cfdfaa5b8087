//! The websocket channels, and calls under the venue's limits, on real sockets against the simulated venue and
//! everything it can do wrong. Time passes only when a test says so; tests wait for news, and a watchdog ends one
//! that waits in vain.

#![cfg(test)]

mod books;
mod cancels;
mod harness;
mod history;
mod live;
mod market;
mod user;
