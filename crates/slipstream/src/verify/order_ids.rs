//! Order ids of the venue: EIP-712 hashes.

use domain::{OrderId, OrderPlan};
use eip712::{Chain, OrderToSign};

use super::OrderIds;

/// Ids of the venue's own orders on a chain.
#[derive(Clone, Copy, Debug)]
pub struct Eip712Ids {
    /// The chain whose exchanges the orders are for.
    pub chain: Chain,
}

impl OrderIds for Eip712Ids {
    fn order_id(&self, plan: &OrderPlan) -> Result<OrderId, String> {
        let (order, exchange) = OrderToSign::from_plan(plan).map_err(|error| error.to_string())?;
        Ok(eip712::order_id(&order, exchange, self.chain))
    }
}
