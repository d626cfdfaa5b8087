//! The system of record: SQLite or PostgreSQL behind the engine's store ports.
//!
//! It owns the schema, its migrations, the rules of writing (one writer, one transaction per call, the
//! commit is the truth) and the reading back of rows, strictly. It decides nothing about money, calls
//! nothing outside the database and never writes in a read transaction.

#[macro_use]
mod dialect;
mod bulk;
mod codes;
mod column;
mod config;
mod error;
mod sql;

mod accounts;
mod adopted;
mod backup;
mod chain;
mod dead_letters;
mod decisions;
mod definitions;
mod detection;
mod durability;
mod events;
mod examination;
mod execution;
mod exits;
mod following;
mod foreign_orders;
mod groups;
mod holds;
mod installation;
mod instances;
mod intents;
mod jobs;
mod leases;
mod ledger;
mod limits;
mod lock;
mod markets;
mod missed;
mod newer;
mod operator;
mod operator_words;
mod order_update;
mod orders;
mod paper;
mod parts;
mod people;
mod pool;
mod postgres;
mod promised;
mod relationships;
mod replace;
mod reports;
mod revisits;
mod rewound;
mod sealed_keys;
mod server;
mod server_status;
mod signing;
mod skips;
mod sqlite;
mod store;
mod tasks;
mod transfer;
mod wallet_transactions;
mod work;

pub use backup::{BackupError, backup};
pub use definitions::{Migrated, migrate};
pub use durability::Durability;
pub use examination::Examination;
pub use installation::SCHEMA_VERSION;
pub use jobs::{DeadLetter, Job, JobAct, JobNote, JobState, Jobs};
pub use lock::DirectoryLock;
pub use pool::PoolFigures;
pub use postgres::{BadAddress, PostgresAddress};
pub use replace::put_in_place;
pub use server_status::{RoleConnections, ServerStatus, Sessions, server_status};
pub use sqlite::{lock_directory, may_be_written};
pub use store::{OpenError, SqlStore, StoreClock};
pub use transfer::{Copied, CopiedTable, TransferError, backup_server, copy_to_server};
