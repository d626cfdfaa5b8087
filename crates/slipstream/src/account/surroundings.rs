//! What surrounds a wallet: this machine's clock, the place the venue sees it in, and whether the venue knows the key.

use std::sync::Arc;

use domain::{Clock, TradingAccount};
use eip712::Chain;
use engine::ports::venue::{OrderGateway as _, Signer};
use polymarket::{Clob, Geoblock};

use crate::venue_clock::ClockSkew;

/// Something that is not as it must be, or not known, and what to do.
pub(super) type Lack = (String, String);

/// Where to ask.
pub(super) struct Surroundings<'a> {
    pub(super) client: reqwest::Client,
    pub(super) clob_url: &'a str,
    pub(super) geoblock_url: &'a str,
    pub(super) clock: Arc<dyn Clock>,
    /// Who can log in.
    pub(super) login: Option<(Arc<dyn Signer>, &'a TradingAccount)>,
}

impl Surroundings<'_> {
    /// All that is wrong or unknown.
    pub(super) async fn lacks(self) -> Vec<Lack> {
        let geoblock = Geoblock::new(self.client.clone(), self.geoblock_url);
        let mut lacks = Vec::new();
        match geoblock.region().await {
            Ok(region) if region.blocked => {
                lacks.push((region.to_string(), "this program cannot trade from here".to_owned()));
            }
            Ok(_) => {}
            Err(error) => lacks.push((
                format!("whether the venue trades with this place is not known ({error})"),
                "run this again where polymarket.com can be reached, or give --geoblock-url".to_owned(),
            )),
        }
        let nobody: Arc<dyn Signer> = Arc::new(Nobody);
        let signer = self.login.as_ref().map_or(nobody, |(signer, _)| Arc::clone(signer));
        let clob = Clob::new(self.client, self.clob_url, Chain::Polygon, signer, Arc::clone(&self.clock));
        match ClockSkew::measure(self.clock.as_ref(), &clob).await {
            Ok(skew) if skew.is_off() => lacks.push((
                skew.to_string(),
                "set it: the venue refuses what is dated wrongly (`timedatectl set-ntp true`)".to_owned(),
            )),
            Ok(_) => {}
            Err(error) => lacks.push((
                format!("the venue cannot be reached ({error})"),
                "look at the network, or give --clob-url".to_owned(),
            )),
        }
        if let Some((_, account)) = self.login
            && let Err(error) = clob.look_again(account, None).await
        {
            lacks.push((
                format!("the venue does not let this key log in ({error})"),
                "log in once at polymarket.com with this address, and look at the clock".to_owned(),
            ));
        }
        lacks
    }
}

/// Signs nothing: what everybody may ask needs no signature.
struct Nobody;

#[async_trait::async_trait]
impl Signer for Nobody {
    async fn sign(
        &self,
        requests: &[engine::ports::venue::SignRequest],
    ) -> Vec<Result<engine::ports::venue::Signature, engine::ports::venue::SignerError>> {
        let none = || engine::ports::venue::SignerError::Policy("there is no key".to_owned());
        requests.iter().map(|_| Err(none())).collect()
    }

    async fn address(
        &self,
        key: &domain::KeyRef,
    ) -> Result<domain::Address, engine::ports::venue::SignerError> {
        Err(engine::ports::venue::SignerError::UnknownKey(key.clone()))
    }
}
