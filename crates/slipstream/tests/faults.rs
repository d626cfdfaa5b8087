//! Bad input and faults, end to end: the engine with its real adapters over real sockets, the simulated
//! venue in this process, and one thing that goes wrong per test. What is expected is exact, in our rows
//! and in the venue's own books.

#[cfg(test)]
#[path = "faults/agreement.rs"]
mod agreement;
#[cfg(test)]
#[path = "faults/channels.rs"]
mod channels;
#[cfg(test)]
#[path = "faults/directory.rs"]
mod directory;
#[cfg(test)]
#[path = "faults/doorbell.rs"]
mod doorbell;
#[cfg(test)]
#[path = "faults/exits.rs"]
mod exits;
#[cfg(test)]
#[path = "faults/front.rs"]
mod front;
#[cfg(test)]
#[path = "faults/gate.rs"]
mod gate;
#[cfg(test)]
#[path = "faults/has.rs"]
mod has;
#[cfg(test)]
#[path = "faults/hostile.rs"]
mod hostile;
#[cfg(test)]
#[path = "faults/leading.rs"]
mod leading;
#[cfg(test)]
#[path = "faults/live.rs"]
mod live;
#[cfg(test)]
#[path = "faults/market.rs"]
mod market;
#[cfg(test)]
#[path = "faults/moves.rs"]
mod moves;
#[cfg(test)]
#[path = "faults/own_orders.rs"]
mod own_orders;
#[cfg(test)]
#[path = "faults/pausing.rs"]
mod pausing;
#[cfg(test)]
#[path = "faults/phantoms.rs"]
mod phantoms;
#[cfg(test)]
#[path = "faults/posting.rs"]
mod posting;
#[cfg(test)]
#[path = "faults/providers.rs"]
mod providers;
#[cfg(test)]
#[path = "faults/redeeming.rs"]
mod redeeming;
#[cfg(test)]
#[path = "faults/refused.rs"]
mod refused;
#[cfg(test)]
#[path = "faults/scene.rs"]
mod scene;
#[cfg(test)]
#[path = "faults/settling.rs"]
mod settling;
#[cfg(test)]
#[path = "faults/skew.rs"]
mod skew;
#[cfg(test)]
#[path = "faults/together.rs"]
mod together;
