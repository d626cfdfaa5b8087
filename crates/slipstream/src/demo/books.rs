//! The simulator's books as `verify` wants them.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::{Address, OrderId, Usd, trade::Quantity};
use engine::ports::venue::VenueError;
use tokio::sync::{Mutex, MutexGuard};

use super::control::{Control, SeenOrder};
use crate::verify::{Executed, VenueBooks};

/// The simulator's books: each question reads what was executed since the one before.
pub struct Books {
    control: Control,
    tells_fees: bool,
    read: Mutex<Read>,
}

/// What was read so far.
#[derive(Default)]
struct Read {
    executions: usize,
    orders: HashMap<OrderId, SeenOrder>,
}

impl Books {
    /// Books of which nothing was read yet.
    #[must_use]
    pub fn new(control: Control) -> Self {
        Self { control, tells_fees: true, read: Mutex::default() }
    }

    /// The same for an engine that reads no chain. A venue tells fees on the chain only; without it they are
    /// estimated from the market's schedule, and there is nothing to hold them against.
    #[must_use]
    pub fn without_fees(self) -> Self {
        Self { tells_fees: false, ..self }
    }

    async fn as_of_now(&self) -> Result<MutexGuard<'_, Read>, VenueError> {
        let mut read = self.read.lock().await;
        let news = self.control.executions(read.executions).await.map_err(|error| {
            VenueError::Unavailable { what: "the simulator's books".to_owned(), reason: format!("{error:#}") }
        })?;
        read.executions = news.seen;
        read.orders.extend(news.orders.into_iter().map(|order| (order.id, order)));
        Ok(read)
    }
}

#[async_trait]
impl VenueBooks for Books {
    async fn executed(&self, orders: &[OrderId]) -> Result<Vec<Option<Executed>>, VenueError> {
        let read = self.as_of_now().await?;
        let executed = |id| {
            let order = read.orders.get(id)?;
            let Quantity { shares, usd } = order.executed();
            let fee = (self.tells_fees && !order.any_failed()).then_some(Usd(order.fee));
            Some(Executed { shares, usd, fee })
        };
        Ok(orders.iter().map(executed).collect())
    }

    async fn executed_of(&self, wallet: Address) -> Result<Vec<OrderId>, VenueError> {
        let read = self.as_of_now().await?;
        let executed = |order: &&SeenOrder| order.maker == wallet && order.executed() != Quantity::ZERO;
        Ok(read.orders.values().filter(executed).map(|order| order.id).collect())
    }
}
