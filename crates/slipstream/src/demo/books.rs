//! The simulator's books as `verify` wants them.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::{Address, OrderId, trade::Quantity};
use engine::ports::venue::VenueError;

use super::control::{Control, SeenOrder};
use crate::verify::{Executed, VenueBooks};

async fn seen(control: &Control) -> Result<Vec<SeenOrder>, VenueError> {
    control.orders().await.map_err(|error| VenueError::Unavailable {
        what: "the simulator's books".to_owned(),
        reason: format!("{error:#}"),
    })
}

#[async_trait]
impl VenueBooks for Control {
    async fn executed(&self, orders: &[OrderId]) -> Result<Vec<Option<Executed>>, VenueError> {
        let seen: HashMap<OrderId, SeenOrder> =
            seen(self).await?.into_iter().map(|order| (order.id, order)).collect();
        let executed = |id| {
            let order = seen.get(id)?;
            let Quantity { shares, usd } = order.executed();
            let fee = (!order.any_failed()).then_some(domain::Usd(order.fee));
            Some(Executed { shares, usd, fee, chain: None })
        };
        Ok(orders.iter().map(executed).collect())
    }

    async fn executed_of(&self, wallet: Address) -> Result<Vec<OrderId>, VenueError> {
        let executed = |order: &SeenOrder| order.maker == wallet && order.executed() != Quantity::ZERO;
        Ok(seen(self).await?.into_iter().filter(executed).map(|order| order.id).collect())
    }
}
