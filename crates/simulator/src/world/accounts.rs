//! What belongs to signers and builders: API keys, and fees of builders.

use domain::Address;

use super::{
    World, WorldError,
    registry::{ApiKey, BuilderFees},
};

impl World {
    /// Makes the API key of (signer, nonce); `None` if it was made before.
    pub fn create_key(&mut self, address: Address, nonce: u64) -> Option<ApiKey> {
        self.registry.create_key(self.seed, address, nonce).cloned()
    }

    /// Sets a builder's fees.
    ///
    /// # Errors
    /// [`WorldError::Invalid`] for more than the whole trade.
    pub fn set_builder(&mut self, code: [u8; 32], fees: BuilderFees) -> Result<(), WorldError> {
        if fees.maker_bps > 10_000 || fees.taker_bps > 10_000 {
            return Err(WorldError::Invalid("a builder's fee is at most 10000 basis points".to_owned()));
        }
        self.registry.set_builder(code, fees);
        Ok(())
    }

    /// Forgets an API key.
    pub fn delete_key(&mut self, name: &str) {
        self.registry.delete_key(name);
    }
}
