//! The ports of a run: the venue's services, with paper accounts' orders filled from the real book, and who signs.

use std::sync::Arc;

use anyhow::ensure;
use domain::Clock;
use eip712::Chain;
use engine::ports::{secrets::SealedKeys as _, store::Store, wallets::Redeemer};
use operations::flags::Flags;
use paper::{PaperRedeemer, PaperVenue};
use polymarket::{AnswerWatch, Company, Eoa, WalletRedeemer, relayer::Relayer};
use store::SqlStore;

use crate::{
    account::{Keyring, KeyringParts, Opening, relayer_key, unlock_known},
    breakers::VenueBreakers,
    channels::Channels,
    composition::{CHANNELS, Composed, Foundation, Hosts, LIVE_FEED, Pace},
    configuration::Configuration,
    place::{Place, Servers},
    runtime::{Role, Sharing},
    seam::{LiveAccounts, Seam, SeamOfPayouts},
    secrets::InstallationSecret,
};

/// What the ports of a run are made of.
pub(super) struct Parts<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) store: &'a Arc<SqlStore>,
    pub(super) secret: &'a Arc<InstallationSecret>,
    pub(super) keyring: &'a Keyring,
    pub(super) servers: Option<&'a Servers>,
    pub(super) role: Role,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) breakers: &'a VenueBreakers,
    pub(super) flags: &'a Arc<Flags>,
}

/// Puts them together.
///
/// # Errors
/// In words, with what to do.
pub(super) fn compose(parts: &Parts<'_>) -> anyhow::Result<Composed> {
    let Parts { configuration, store, secret, keyring, servers, role, clock, breakers, flags } = parts;
    let (hosts, signer) = (hosts(configuration), keyring.signer());
    let foundation = Foundation {
        client: client(&hosts)?,
        clock: Arc::clone(clock),
        store: Arc::clone(store) as Arc<dyn Store>,
        signer: Arc::clone(&signer),
        salts: Arc::clone(secret) as _,
        seed: random_seed(),
    };
    let limits = configuration.venue.limits.clone();
    let company = servers.map(|_| Arc::new(Company::joining()));
    let watch = Arc::new((*breakers).clone()) as Arc<dyn AnswerWatch>;
    let pace =
        Pace { clob: Some(limits.clone()), data: Some(limits), company: company.clone(), watch: Some(watch) };
    let mut composed = foundation.at(&hosts, pace, configuration.venue.builder)?;
    let ports = &mut composed.ports;
    let on_paper = PaperVenue::new(
        Arc::clone(&composed.clob) as _,
        Arc::clone(&ports.markets),
        Arc::clone(store) as _,
        Arc::clone(clock),
    );
    let live = configuration.live.enabled;
    let venue = Arc::clone(&ports.gateway);
    let seam = Seam::new(Arc::new(on_paper), live.then_some(venue));
    ports.gateway = Arc::new(seam.stopped_by((*breakers).clone()).by_flags(Arc::clone(flags)));
    let relayer = match &configuration.live.relayer_key {
        Some(path) if live => Some(
            Relayer::new(
                foundation.client.clone(),
                &configuration.run.relayer_url,
                relayer_key(path)?,
                Arc::clone(&signer),
                Arc::clone(clock),
            )
            .paced(configuration.venue.limits.clone()),
        ),
        _ => None,
    };
    let payouts = composed.providers.as_ref().filter(|_| live).map(|providers| {
        let eoa = Eoa::new(providers.json_rpc(), signer, Chain::Polygon);
        let rpc = providers.json_rpc();
        Arc::new(WalletRedeemer::new(relayer, eoa, rpc, providers.reader(), Chain::Polygon))
            as Arc<dyn Redeemer>
    });
    let on_paper = PaperRedeemer::new(Arc::clone(&ports.markets));
    ports.redeemer = Some(Arc::new(SeamOfPayouts::new(Arc::new(on_paper), payouts)));
    ports.channels = ports
        .channels
        .take()
        .map(|channels| Channels { accounts: Arc::new(LiveAccounts(channels.accounts)), ..channels });
    if let Some(servers) = servers {
        let redis = servers.queue(random_seed(), clock)?;
        let own_address = configuration.venue.own_address;
        let share = |company| Sharing { company, redis: Arc::clone(&redis), role: *role, own_address };
        ports.sharing = company.map(share).map(Arc::new);
        ports.queue = redis;
    }
    Ok(composed)
}

/// The keys: throw-away ones, and with the first switch those of accounts with real money, which may ask on the
/// terminal for what opens them.
pub(super) async fn keyring(
    configuration: &Configuration,
    (place, role): (&Place, Role),
    secret: &InstallationSecret,
    file: &Arc<SqlStore>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Keyring> {
    let live = &configuration.live;
    let many = place.servers.is_some();
    ensure!(
        !many || !live.enabled || live.socket.is_some() || !role.works(),
        "[live] is enabled, and each process that opened the keys itself would count for itself what accounts may spend a day. \
         Run `slipstream signer serve` on this machine, and name its `socket` in [live]"
    );
    // Who signs nothing opens nothing.
    let sealed = !many && file.sealed_keys().await?.is_some();
    let unlock = match (&live.socket, live.enabled && sealed) {
        (None, true) => Some(unlock_known(live)?),
        _ => None,
    };
    let opening = match (&live.socket, &unlock) {
        (Some(socket), _) if live.enabled => Opening::At(socket.clone()),
        (_, Some(unlock)) => Opening::Here(unlock),
        _ => Opening::Nowhere,
    };
    let parts = KeyringParts {
        directory: &place.data_dir,
        secret,
        store: Arc::clone(file) as _,
        opening,
        live: live.enabled,
        clock: Arc::clone(clock),
    };
    Keyring::open(parts).await
}

/// Where everything is: the configuration's hosts, the venue's websockets unless told otherwise.
pub(crate) fn hosts(configuration: &Configuration) -> Hosts {
    let run = &configuration.run;
    let socket = |told: &Option<String>, usual: &str| {
        Some(told.as_deref().unwrap_or(usual).to_owned()).filter(|url| !url.is_empty())
    };
    let rpc: Vec<&str> = configuration.chain.rpc_urls.iter().map(polymarket::RpcUrl::expose).collect();
    Hosts {
        clob: run.clob_url.clone(),
        geoblock: Some(run.geoblock_url.clone()),
        data: Some(run.data_url.clone()),
        channels: socket(&configuration.engine.channel_url, CHANNELS),
        live: socket(&configuration.engine.live_url, LIVE_FEED),
        rpc: (!rpc.is_empty()).then(|| rpc.join(",")),
    }
}

/// Services on this machine need no root certificates.
pub(crate) fn client(hosts: &Hosts) -> anyhow::Result<reqwest::Client> {
    let urls = [Some(&hosts.clob), hosts.data.as_ref(), hosts.rpc.as_ref()].into_iter().flatten();
    let local = urls
        .flat_map(|urls| urls.split(','))
        .all(|url| url.starts_with("http://") || url.starts_with("ws://"));
    Ok(if local { polymarket::local_client() } else { polymarket::client() }?)
}

pub(super) fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    // It only spreads pauses.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u64::from_be_bytes(bytes)
}
