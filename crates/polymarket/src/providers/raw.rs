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

    /// Results of several methods, asked of one and the same provider, one after the other.
    async fn ask_one(&self, calls: &[(&str, Value)]) -> Result<Vec<Value>, VenueError>;
}

#[async_trait]
impl JsonRpc for Rpc {
    async fn ask(&self, method: &str, params: Value) -> Result<Value, VenueError> {
        Ok(self.call(method, params).await?.unwrap_or(Value::Null))
    }

    async fn ask_one(&self, calls: &[(&str, Value)]) -> Result<Vec<Value>, VenueError> {
        let mut results = Vec::with_capacity(calls.len());
        for (method, params) in calls {
            results.push(JsonRpc::ask(self, method, params.clone()).await?);
        }
        Ok(results)
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

    async fn ask_one(&self, calls: &[(&str, Value)]) -> Result<Vec<Value>, VenueError> {
        let asked: Arc<[(String, Value)]> =
            calls.iter().map(|(method, params)| ((*method).to_owned(), params.clone())).collect();
        let what = calls.iter().map(|(method, _)| *method).collect::<Vec<_>>().join(", ");
        let call = move |provider: Arc<dyn ChainProvider>| {
            let asked = Arc::clone(&asked);
            async move {
                let mut results = Vec::with_capacity(asked.len());
                for (method, params) in asked.iter() {
                    results.push(provider.json_rpc(method, params.clone()).await?);
                }
                Ok(results)
            }
            .boxed()
        };
        Ok(Providers::ask(self, &what, Need::default(), &call, &|_, _| Doubt::None).await?.1)
    }
}
