//! What providers say to a claim about an exit.

use super::*;

/// What one provider says of a sale of 40 of 100 shares in block 1,002.
fn claim() -> ExitClaim {
    ExitClaim {
        block: 1_002,
        hash: block_hash(1_002),
        wallet: WALLET,
        token: TOKEN,
        before: Some(Shares(100)),
        after: Shares(60),
        filled: Some((TX, Side::Sell, Shares(40))),
    }
}

#[test]
fn an_exit_is_agreed_on_by_two() {
    let hear = async |pool: Arc<Providers>| pool.witness(&claim()).await.unwrap();
    let testimony = |manners: &[Manner]| {
        let mut bench = bench(manners);
        bench.clock.advance(Duration::from_secs(10));
        let heard = bench.time(hear).0;
        let troubles = (0..manners.len()).map(|number| bench.trouble(number)).collect::<Vec<_>>();
        (heard, troubles)
    };
    let good = Manner::Good(30);
    assert_eq!(testimony(&[good, good]).0, Testimony::Agreed);
    assert_eq!(testimony(&[good]).0, Testimony::Nobody);
    assert_eq!(testimony(&[good, Manner::Hangs]).0, Testimony::Nobody);
    assert_eq!(testimony(&[good, Manner::Lags(30)]).0, Testimony::Nobody);
    let about = |heard: Testimony| match heard {
        Testimony::Disputed { about, .. } => Some(about),
        _ => None,
    };
    assert_eq!(about(testimony(&[good, Manner::Liar]).0), Some(Dispute::Balances));
    assert_eq!(about(testimony(&[good, Manner::NoLogs]).0), Some(Dispute::Fills));
    // Two against one: the one is set aside.
    let (heard, troubles) = testimony(&[Manner::Good(60), Manner::Liar, good]);
    assert_eq!(heard, Testimony::Agreed);
    assert!(troubles[1].contains("the leader's shares"), "{troubles:?}");
    // Two who say the same other thing: whoever made the claim is set aside.
    let (heard, troubles) = testimony(&[good, Manner::Liar, Manner::Liar]);
    assert_eq!(about(heard), Some(Dispute::Balances));
    assert!(troubles[0].contains("two others agree"), "{troubles:?}");
    assert!(troubles[1].is_empty() && troubles[2].is_empty(), "{troubles:?}");
    // Of a later block, what was held before is not claimed.
    let hear_after = async |pool: Arc<Providers>| {
        pool.witness(&ExitClaim { before: None, filled: None, ..claim() }).await.unwrap()
    };
    let mut bench = bench(&[good, good]);
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(bench.time(hear_after).0, Testimony::Agreed);
}

/// Two keys at one provider are one witness: what is broken there is broken behind both.
#[test]
fn two_urls_of_one_provider_are_one_witness() {
    let hear = async |pool: Arc<Providers>| pool.witness(&claim()).await.unwrap();
    let heard = |names: [&str; 3], manners: [Manner; 3]| {
        let mut bench = bench(&manners);
        let named = names.into_iter().zip(&bench.fakes).map(|(name, fake)| Provider::of(name, fake.clone()));
        bench.pool.set_providers(named.collect());
        bench.clock.advance(Duration::from_secs(10));
        let heard = bench.time(hear).0;
        (heard, bench.pool.health().into_iter().map(|one| one.trouble).collect::<Vec<_>>())
    };
    let (good, names) = (Manner::Good(30), ["a.one.example", "b.one.example", "two.example"]);
    assert_eq!(heard(names, [good, good, Manner::Hangs]).0, Testimony::Nobody);
    assert_eq!(heard(names, [good, Manner::Hangs, good]).0, Testimony::Agreed);
    // What both say against a third is one word against one.
    let (disputed, troubles) = heard(names, [Manner::Liar, Manner::Liar, good]);
    assert!(matches!(disputed, Testimony::Disputed { .. }), "{disputed:?}");
    assert_eq!(troubles, [None, None, None]);
}
