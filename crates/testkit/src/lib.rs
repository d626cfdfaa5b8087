//! What tests of the whole house stand on: the reference store, conformance suites, virtual time and
//! invariant checkers, the on-call runbook's commands. For development only; the product never imports it.

pub mod checkers;
pub mod executor;
pub mod memory_store;
pub mod operator_words;
pub mod queue_suite;
pub mod quick_clock;
pub mod runbook;
pub mod simulation;
pub mod store_suite;
pub mod virtual_clock;
