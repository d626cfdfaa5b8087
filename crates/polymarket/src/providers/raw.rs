//! Questions to the chain that are not the engine's: as JSON-RPC has them.

use std::sync::Arc;

use async_trait::async_trait;
use engine::ports::venue::VenueError;
use futures_util::FutureExt;
use serde_json::Value;

use super::{
    ChainProvider, Providers,
    asking::{Doubt, Need},
};
use crate::rpc::Rpc;

/// Somebody who answers JSON-RPC.
#[async_trait]
pub trait JsonRpc: Send + Sync {
    /// The result of a method; [`Value::Null`] where there is none.
    async fn ask(&self, method: &str, params: Value) -> Result<Value, VenueError>;
}

#[async_trait]
impl JsonRpc for Rpc {
    async fn ask(&self, method: &str, params: Value) -> Result<Value, VenueError> {
        Ok(self.call(method, params).await?.unwrap_or(Value::Null))
    }
}

#[async_trait]
impl JsonRpc for Providers {
    async fn ask(&self, method: &str, params: Value) -> Result<Value, VenueError> {
        let (name, asked): (Arc<str>, _) = (method.into(), params);
        let call = move |provider: Arc<dyn ChainProvider>| {
            let (name, asked) = (Arc::clone(&name), asked.clone());
            async move { provider.json_rpc(&name, asked).await }.boxed()
        };
        Ok(Providers::ask(self, method, Need::default(), &call, &|_, _| Doubt::None).await?.1)
    }
}
