//! The simulator as its clients see it: over real sockets, and against vectors of official clients.

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod data;
#[cfg(test)]
mod delays;
#[cfg(test)]
mod determinism;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod manual;
#[cfg(test)]
mod modes;
#[cfg(test)]
mod path;
#[cfg(test)]
mod public;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod relayer;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod vectors;
