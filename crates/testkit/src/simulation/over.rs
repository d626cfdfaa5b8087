//! One layer over a gateway or a chain: everything goes through, but for what the layer does otherwise.

use std::time::Duration;

use async_trait::async_trait;
use domain::{Address, Hash, OrderPlan, Shares, TokenId, TradingAccount, TxHash};
use engine::ports::{
    detection::Lane,
    venue::{
        Admission, Ask, BlockHeader, Cancel, Cancelled, ChainEvent, ChainReader, OrderGateway, OrderLookup,
        OrderQuery, PostReply, PostTimes, PreparedOrder, VenueError,
    },
    witness::{ExitClaim, Testimony},
};

/// A port with a layer over it.
pub struct Over<L>(pub L);

/// The calls of a port, each of which a layer hands through unless it says otherwise.
macro_rules! layer {
    ($(#[$about:meta])* $layer:ident over $port:ident {
        $(async fn $call:ident($($a:ident: $at:ty),*) -> $out:ty;)*
        $(fn $plain:ident() -> $plain_out:ty;)*
    }) => {
        $(#[$about])*
        #[async_trait]
        pub trait $layer: Send + Sync {
            /// What is below.
            fn inner(&self) -> &dyn $port;

            $(/// See the port.
            async fn $call(&self, $($a: $at),*) -> $out {
                self.inner().$call($($a),*).await
            })*

            $(/// See the port.
            fn $plain(&self) -> $plain_out {
                self.inner().$plain()
            })*
        }

        #[async_trait]
        impl<L: $layer> $port for Over<L> {
            $(async fn $call(&self, $($a: $at),*) -> $out {
                self.0.$call($($a),*).await
            })*
            $(fn $plain(&self) -> $plain_out {
                self.0.$plain()
            })*
        }
    };
}

layer! {
    /// What a layer over a gateway does otherwise.
    GatewayLayer over OrderGateway {
        async fn admit(asks: &[Ask], patience: Duration) -> Vec<Admission>;
        async fn prepare(plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>>;
        async fn post(account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply;
        async fn post_batch(
            account: &TradingAccount,
            lane: Lane,
            orders: &[PreparedOrder],
            times: PostTimes
        ) -> Vec<PostReply>;
        async fn look_up(account: &TradingAccount, query: &OrderQuery) -> Result<OrderLookup, VenueError>;
        async fn look_again(account: &TradingAccount, token: Option<TokenId>) -> Result<(), VenueError>;
        async fn cancel(account: &TradingAccount, what: &Cancel) -> Result<Cancelled, VenueError>;
    }
}

layer! {
    /// What a layer over a chain does otherwise.
    ChainLayer over ChainReader {
        async fn head() -> Result<BlockHeader, VenueError>;
        async fn finalized() -> Result<BlockHeader, VenueError>;
        async fn header(number: i64) -> Result<Option<BlockHeader>, VenueError>;
        async fn block_events(block: &BlockHeader, wallets: &[Address]) -> Result<Vec<ChainEvent>, VenueError>;
        async fn range_events(from: i64, to: i64, wallets: &[Address]) -> Result<Vec<ChainEvent>, VenueError>;
        async fn balances(queries: &[(Address, TokenId)], block: i64) -> Result<Vec<Shares>, VenueError>;
        async fn rung() -> ();
        async fn balances_of_block(
            queries: &[(Address, TokenId)],
            block: i64,
            hash: Hash
        ) -> Result<Vec<Shares>, VenueError>;
        async fn transaction_events(tx: TxHash, wallets: &[Address]) -> Result<Vec<ChainEvent>, VenueError>;
        async fn witness(claim: &ExitClaim) -> Result<Testimony, VenueError>;
        fn would_ring() -> bool;
    }
}
