//! Transactions of an EOA against the simulated chain: one that waits is outbid for the same nonce, and exactly one of
//! the two is carried out.

#![cfg(test)]

use std::sync::Arc;

use domain::{KeyRef, TradingAccount, WalletAction, WalletKind, ids::AccountId, money::ONE};
use eip712::Chain;
use engine::ports::{
    venue::Signer as _,
    wallets::{Fees, Taken, TransactionOutcome, WalletTransaction},
};
use polymarket::{Eoa, Rpc, local_client};
use signer::{Binding, DerivedKeys, LocalSigner};
use simulator::{
    Running, Simulator, SimulatorConfig,
    world::{
        faults::{Fault, FaultKind, FaultTarget},
        ledger::Asset,
    },
};
use slipstream::clock::SystemClock;
use zeroize::Zeroizing;

/// Approves the onramp for as many millionths of a dollar.
const ACTION: WalletAction = WalletAction::AllowOnramp(domain::Usd(5 * ONE));

struct Scene {
    simulator: Running,
    eoa: Eoa,
    account: TradingAccount,
}

impl Scene {
    /// An EOA with POL; blocks come when they are asked for.
    async fn set() -> Self {
        let config = SimulatorConfig { block_interval_ms: 0, ..SimulatorConfig::default() };
        let simulator = Simulator::start(config, Arc::new(SystemClock)).await.unwrap();
        let keys = DerivedKeys::new(Zeroizing::new([7; 32]));
        let signer = Arc::new(LocalSigner::new(Chain::Polygon, Box::new(keys)));
        let key = KeyRef("eoa".to_owned());
        let wallet = signer.address(&key).await.unwrap();
        let kind = WalletKind::Eoa;
        signer.bind(key.clone(), Binding { wallet, kind, until: None }).unwrap();
        let rpc = Arc::new(Rpc::new(local_client().unwrap(), &simulator.rpc_url, Chain::Polygon));
        let eoa = Eoa::new(rpc, signer, Chain::Polygon);
        let account = TradingAccount { id: AccountId(1), wallet, signer: wallet, kind, key };
        let scene = Self { simulator, eoa, account };
        scene.simulator.world().with(|world, _| world.credit(wallet, Asset::Pol, ONE));
        scene
    }

    fn mine(&self, blocks: u32) {
        self.simulator.world().with(|world, now| {
            for _ in 0..blocks {
                world.mine(now);
            }
        });
    }

    fn slow(&self, depth: u64) {
        let (target, kind) = (FaultTarget::Chain, FaultKind::SlowTransaction);
        let fault = Fault { target, kind, count: 1, delay_ms: 0, depth };
        assert!(self.simulator.world().with(|world, _| world.faults.push(fault)));
    }

    async fn outcome(&self, transaction: &WalletTransaction) -> TransactionOutcome {
        self.eoa.outcome(&self.account, transaction).await.unwrap()
    }
}

#[tokio::test]
async fn a_transaction_that_waits_is_outbid_and_one_of_the_two_is_carried_out() {
    let scene = Scene::set().await;
    let first = scene.eoa.prepare(&scene.account, ACTION).await.unwrap();
    scene.slow(50);
    assert_eq!(scene.eoa.send(&first).await, Ok(Taken::Yes(None)));
    scene.mine(5);
    assert_eq!(scene.outcome(&first).await, TransactionOutcome::Unseen);
    // The same bytes again are known, and do no harm.
    assert_eq!(scene.eoa.send(&first).await, Ok(Taken::Yes(None)));

    let second = scene.eoa.outbid(&scene.account, ACTION, &first).await.unwrap();
    let (before, now) = (first.fees.unwrap(), second.fees.unwrap());
    assert_eq!((second.nonce, second.nonce), (first.nonce, 0));
    assert!(now.most * 10 >= before.most * 11 && now.tip * 10 >= before.tip * 11, "{before:?} {now:?}");
    assert_eq!(scene.eoa.send(&second).await, Ok(Taken::Yes(None)));
    scene.mine(1);
    assert_eq!(scene.outcome(&second).await, TransactionOutcome::Underway);
    // Until its place is final, the first one may still come back.
    assert_eq!(scene.outcome(&first).await, TransactionOutcome::Unseen);
    scene.mine(3);
    assert_eq!(scene.outcome(&second).await, TransactionOutcome::Confirmed(second.tx.unwrap()));
    assert_eq!(scene.outcome(&first).await, TransactionOutcome::Replaced);
    let wallet = scene.account.wallet;
    assert_eq!(scene.simulator.world().with(|world, _| world.next_nonce(wallet)), 1);
    assert!(
        matches!(scene.eoa.send(&first).await, Ok(Taken::NotNow(reason)) if reason.contains("nonce too low"))
    );
    scene.simulator.shutdown().await;
}

#[tokio::test]
async fn an_offer_that_is_hardly_higher_takes_nobodys_place() {
    let scene = Scene::set().await;
    let first = scene.eoa.prepare(&scene.account, ACTION).await.unwrap();
    scene.slow(2);
    scene.eoa.send(&first).await.unwrap();
    // As from a machine that does not know what the first one offered.
    let fees = first.fees.map(|Fees { most, tip }| Fees { most: most - most / 16, tip: tip - tip / 16 });
    let hardly = WalletTransaction { fees, ..first.clone() };
    let second = scene.eoa.outbid(&scene.account, ACTION, &hardly).await.unwrap();
    let refused = scene.eoa.send(&second).await;
    assert!(matches!(&refused, Ok(Taken::NotNow(reason)) if reason.contains("underpriced")), "{refused:?}");
    scene.mine(7);
    assert_eq!(scene.outcome(&first).await, TransactionOutcome::Confirmed(first.tx.unwrap()));
    assert_eq!(scene.outcome(&second).await, TransactionOutcome::Replaced);
    scene.simulator.shutdown().await;
}
