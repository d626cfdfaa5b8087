//! Everybody's books held against each other: our rows, the venue's orders and the chain's logs.

use std::sync::Arc;

use eip712::Chain;
use slipstream::{
    commands::{Request, Witnesses, answer},
    demo::books::Books,
    secrets::InstallationSecret,
    verify::{Check, Eip712Ids, Outcome, VerifyOptions, VerifyReport, verify},
};

use crate::scene::{SEED, Scene};

impl Scene {
    /// Our rows against themselves, the venue's books and the chain's logs.
    pub async fn verified(&self) -> VerifyReport {
        let ids = Eip712Ids { chain: Chain::Polygon };
        let books = Books::new(self.control.clone());
        let chain = self.chain.as_ref();
        let salts = InstallationSecret::of_seed(SEED);
        let options = VerifyOptions {
            venue: Some(&books),
            chain: Some(chain),
            salts: Some(&salts),
            ..VerifyOptions::default()
        };
        verify(self.store.as_ref(), &ids, options).await.expect("verify")
    }

    /// Our rows, the venue's books and the chain's logs agree, and each is sound by itself.
    pub async fn check(&self) {
        let verdict = self.world.with(|world, _| world.verdict());
        assert!(verdict.sound, "{:?}", verdict.violations);
        let violations = testkit::checkers::at_rest(self.store.as_ref()).await.expect("checks");
        assert!(violations.is_empty(), "{violations:?}");
        let report = self.verified().await;
        assert!(report.is_clean(), "{report}");
        for seen in self.seen() {
            let known = self.store.orders(&[seen.id]).await.expect("orders");
            assert_eq!(known.len(), 1, "the venue has order {} and we do not", seen.id);
        }
    }
}

#[tokio::test]
async fn a_fill_that_the_chain_does_not_have_is_found_and_explained() {
    let scene = Scene::usual().await;
    scene.leader_buys();
    scene.decided(1).await;
    scene.settled().await;
    scene.check().await;
    let id = scene.orders().await[0].order.id;
    scene.world.with(|world, _| world.knobs.hidden_fills.push(id));
    let report = scene.verified().await;
    let chain = report.checks.iter().find(|result| result.check == Check::Chain).expect("a check");
    assert_eq!(
        (chain.outcome, chain.differences, report.differences()),
        (Outcome::Differs, 1, 1),
        "{report}"
    );
    let first = report.first.expect("a difference").to_string();
    let begins = format!(
        "order {id} (intent 1, attempt 0): fill is 10 shares for 5 $, fee 0.1; the chain has nothing: no log of it from block "
    );
    assert!(first.starts_with(&begins), "{first}");
    // The command of a running process says so too, and without its witnesses it cannot.
    let alone =
        Witnesses { salts: Some(Arc::new(InstallationSecret::of_seed(SEED))), ..Witnesses::default() };
    let witnesses = Witnesses { chain: Some(Arc::clone(&scene.chain)), ..alone.clone() };
    for (witnesses, ok) in [(witnesses, false), (alone, true)] {
        let (store, clock) = (scene.store.as_ref(), scene.clock.as_ref());
        let answer = answer(store, clock, &witnesses, &Request::Verify).await.expect("an answer");
        assert_eq!((answer.ok, answer.text.contains(&first)), (ok, !ok), "{}", answer.text);
    }
    scene.world.with(|world, _| world.knobs.hidden_fills.clear());
    scene.finish().await;
}
