//! Sealing: what opens, what a changed row does, another passphrase, rotation.

use domain::Hash;
use eip712::Chain;
use engine::ports::venue::{SignRequest, Signer as _};

use super::*;
use crate::{LocalSigner, keys::OpenKey};

const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const IDENTITY: &[u8] =
    b"# a comment\nAGE-SECRET-KEY-13XZNAP72Y42UP0YMCETKQVNC7NTV4CHU4TWS2Q90WYLRMQV9L6QSGJQ627\n";

fn identity() -> Unlock {
    Unlock::read(IDENTITY).ok().unwrap()
}

fn passphrase(text: &str) -> Unlock {
    Unlock::read(text.as_bytes()).ok().unwrap()
}

fn key() -> PrivateKey {
    PrivateKey::parse(KEY.as_bytes()).ok().unwrap()
}

fn purpose() -> KeyUse {
    KeyUse {
        owner: OwnerId(3),
        name: KeyRef("wallet one".to_owned()),
        wallet: Address([5; 20]),
        kind: WalletKind::Safe,
        until: None,
        version: 11,
    }
}

fn stored(vault: &Vault, keys: &[SealedKey]) -> StoredKeys {
    StoredKeys { header: vault.header().to_owned(), keys: keys.to_vec() }
}

fn error(result: Result<Vault, VaultError>) -> VaultError {
    result.err().unwrap()
}

#[test]
fn what_is_stored_opens_with_what_sealed_it() {
    for (unlock, again, wrong) in [
        (identity(), identity(), passphrase("correct horse battery")),
        (
            passphrase("correct horse battery"),
            passphrase("correct horse battery\n"),
            passphrase("correct horse battery "),
        ),
    ] {
        let vault = Vault::create(&unlock).ok().unwrap();
        assert!(vault.is_locked(), "its memory may be swapped out");
        let sealed = vault.seal(&key(), &purpose()).unwrap();
        let text = format!("{:?} {}", sealed, serde_json::to_string(&sealed).unwrap());
        assert!(!text.contains(KEY) && !vault.header().contains(KEY));
        let stored = stored(&vault, std::slice::from_ref(&sealed));
        let opened = Vault::open(&again, &stored).ok().unwrap();
        assert_eq!(hex::encode(opened.open(&purpose().name).unwrap().as_slice()), KEY);
        let binding = Binding { wallet: Address([5; 20]), kind: WalletKind::Safe, until: None };
        assert_eq!(opened.sealed_for(&purpose().name), Some(binding));
        assert_eq!(opened.public_key(), vault.public_key());
        assert!(matches!(error(Vault::open(&wrong, &stored)), VaultError::Wrong(_)));
        let unknown = KeyRef("other".to_owned());
        assert_eq!(opened.open(&unknown), Err(SignerError::UnknownKey(unknown.clone())));
        assert_eq!(opened.sealed_for(&unknown), None);
        opened.forget(&purpose().name);
        assert!(opened.open(&purpose().name).is_err());
    }
}

#[test]
fn a_changed_row_opens_nothing() {
    let vault = Vault::create(&identity()).ok().unwrap();
    let good = vault.seal(&key(), &purpose()).unwrap();
    let change = |change: &dyn Fn(&mut SealedKey)| {
        let mut changed = good.clone();
        change(&mut changed);
        assert_ne!(changed, good);
        changed
    };
    let other = vault.seal(&key(), &KeyUse { version: 12, ..purpose() }).unwrap();
    let changed = [
        change(&|key| key.owner = OwnerId(4)),
        change(&|key| key.wallet = Address([6; 20])),
        change(&|key| key.kind = WalletKind::Proxy),
        change(&|key| key.kind = WalletKind::Session),
        change(&|key| key.until = Some(domain::Timestamp(0))),
        change(&|key| key.signer = Address([6; 20])),
        change(&|key| key.name = KeyRef("wallet two".to_owned())),
        change(&|key| key.version += 1),
        change(&|key| key.wrapped[30] ^= 1),
        change(&|key| key.sealed[30] ^= 1),
        change(&|key| key.wrapped.clear()),
        change(&|key| key.sealed.clone_from(&other.sealed)),
        change(&|key| key.wrapped.clone_from(&other.wrapped)),
    ];
    for key in changed {
        assert!(matches!(vault.take(key.clone()), Err(VaultError::Changed(_))), "{key:?}");
        let found = error(Vault::open(&identity(), &stored(&vault, &[good.clone(), key.clone()])));
        assert!(matches!(found, VaultError::Changed(_)), "{found}");
    }
    let stranger = Vault::create(&identity()).ok().unwrap();
    assert!(
        vault.take(stranger.seal(&key(), &purpose()).unwrap()).is_ok(),
        "the identity is the key-encryption key"
    );
}

#[test]
fn a_changed_header_neither_opens_nor_stands_still() {
    let vault = Vault::create(&passphrase("correct horse battery")).ok().unwrap();
    let with = |from: &str, to: &str| {
        let header = vault.header().replace(from, to);
        assert_ne!(header, vault.header(), "{from}");
        error(Vault::open(&passphrase("correct horse battery"), &StoredKeys { header, keys: Vec::new() }))
    };
    // Less than is allowed, more than is allowed, and merely other than it was.
    for memory in ["8", "99999999", "19456"] {
        assert!(matches!(with("65536", memory), VaultError::Wrong(_)), "{memory} KiB");
    }
    assert!(matches!(with("\"passes\":3", "\"passes\":1"), VaultError::Wrong(_)));
    assert!(matches!(with("\"salt\":\"", "\"salt\":\"00"), VaultError::Wrong(_)));
    assert!(matches!(with("\"books\":\"", "\"books\":\"00"), VaultError::Wrong(_)));
    assert!(matches!(with("\"kind\":1", "\"kind\":2"), VaultError::Header(_)));
    assert!(matches!(with("{", "{{"), VaultError::Header(_)));
}

#[test]
fn rotation_changes_what_opens_and_no_key() {
    let (old, new) = (passphrase("correct horse battery"), identity());
    let vault = Vault::create(&old).ok().unwrap();
    let other = KeyUse { name: KeyRef("a second".to_owned()), wallet: Address([6; 20]), ..purpose() };
    let mut keys = Vec::new();
    for purpose in [purpose(), other] {
        let sealed = vault.seal(&key(), &purpose).unwrap();
        vault.take(sealed.clone()).unwrap();
        keys.push(sealed);
    }
    let Rewrapped { header, wrapped } = vault.rewrap(&new).ok().unwrap();
    assert_eq!(wrapped.len(), 2);
    for key in &mut keys {
        let (_, again) = wrapped.iter().find(|(name, _)| *name == key.name).unwrap();
        assert_ne!(key.wrapped, *again);
        key.wrapped.clone_from(again);
    }
    let rotated = StoredKeys { header, keys };
    assert!(Vault::open(&old, &rotated).is_err());
    let opened = Vault::open(&new, &rotated).ok().unwrap();
    assert_eq!(hex::encode(opened.open(&purpose().name).unwrap().as_slice()), KEY);
    assert_eq!(opened.books(), vault.books(), "caps and arming stay");
    assert_ne!(opened.public_key(), vault.public_key());
}

#[test]
fn keys_are_imported_encrypted() {
    let vault = Vault::create(&identity()).ok().unwrap();
    let file = encrypt_for(&vault.public_key(), &key()).unwrap();
    assert_eq!(vault.import(&file).ok().unwrap().address(), key().address());
    assert!(matches!(vault.import(b"0x12").err(), Some(ImportError::Age(AgeError::Format))));
    let to = recipient(&vault.public_key()).unwrap();
    let words = age_file::encrypt(&to, b"not a key").unwrap();
    assert!(matches!(vault.import(&words).err(), Some(ImportError::Key(_))));
    for bad in ["", "age1", "age1qah7e4rk2k6ufnx33pfy5mcyf8udtm9xxwlw0ny44at7v0r4tp3s3dx9dx"] {
        assert_eq!(encrypt_for(bad, &key()).err(), Some(AgeError::NotForUs));
    }
}

#[test]
fn weak_or_damaged_secrets_are_refused() {
    use crate::UnlockError;
    let read = |bytes: &[u8]| Unlock::read(bytes).err();
    assert_eq!(read(b""), Some(UnlockError::Short));
    assert_eq!(read(b"short"), Some(UnlockError::Short));
    assert_eq!(read(&[0xff; 40]), Some(UnlockError::NoText));
    let damaged = String::from_utf8(IDENTITY.to_vec()).unwrap().replace("13XZ", "13XX");
    assert_eq!(read(damaged.as_bytes()), Some(UnlockError::Identity));
}

#[tokio::test]
async fn a_sealed_key_signs_orders_only_where_live_trading_is_on_and_the_account_armed() {
    use crate::{Caps, Spending};
    use domain::{
        OrderAmounts, OrderPlan, Side, Timestamp, TokenId, TradingAccount, TransactionPlan, Usd,
        WalletAction, ids::AccountId,
    };

    let vault = std::sync::Arc::new(Vault::create(&identity()).ok().unwrap());
    let address = key().address();
    let eoa = KeyUse { wallet: address, kind: WalletKind::Eoa, ..purpose() };
    vault.take(vault.seal(&key(), &eoa).unwrap()).unwrap();
    let account = TradingAccount {
        id: AccountId(1),
        wallet: address,
        signer: address,
        kind: WalletKind::Eoa,
        key: eoa.name.clone(),
    };
    let plan = |salt, side, usd: i64| {
        SignRequest::Order(OrderPlan {
            salt,
            account: account.clone(),
            token: TokenId([3; 32]),
            side,
            amounts: OrderAmounts { maker: usd * 1_000_000, taker: 10_000_000 },
            timestamp: Timestamp(1_800_000_000_000_000),
            negative_risk: false,
            order_type: domain::OrderType::FillAndKill,
            defer: false,
            builder: Hash([0; 32]),
        })
    };
    let refused = |answer: &Result<_, SignerError>, word: &str| matches!(answer, Err(SignerError::Policy(text)) if text.contains(word));
    let off = LocalSigner::new(Chain::Polygon, Box::new(std::sync::Arc::clone(&vault)));
    assert!(refused(&off.sign(&[plan(1, Side::Buy, 5)]).await[0], "switched off"));
    let login = SignRequest::ApiLogin { key: eoa.name.clone(), timestamp: 1, nonce: 0 };
    assert!(off.sign(std::slice::from_ref(&login)).await[0].is_ok(), "to look after the wallet");

    let directory = tempfile::tempdir().unwrap();
    let clock = testkit::virtual_clock::VirtualClock::new(Timestamp(0));
    let spending = Spending::open(directory.path(), &vault, clock).unwrap();
    let signer = LocalSigner::live(Chain::Polygon, Box::new(std::sync::Arc::clone(&vault)), spending.clone());
    assert!(refused(&signer.sign(&[plan(1, Side::Buy, 5)]).await[0], "not armed"));
    let caps = Caps { order: Usd(5_000_000), day: Usd(8_000_000) };
    spending.arm(&eoa.name, caps).unwrap();
    let batch =
        [plan(1, Side::Buy, 5), plan(2, Side::Buy, 6), plan(3, Side::Buy, 4), plan(4, Side::Sell, 900)];
    let answers = signer.sign(&batch).await;
    assert!(answers[0].is_ok() && answers[3].is_ok());
    assert!(refused(&answers[1], "cap of an order") && refused(&answers[2], "cap of a day"));
    // What is done by itself wants an armed account; what a person asks for does not.
    let transaction = |action| {
        let account = account.clone();
        SignRequest::Transaction(TransactionPlan { account, action, nonce: 0, gas: 1, max_fee: 1, tip: 1 })
    };
    let condition = domain::ConditionId::from_slice(&[7; 32]).unwrap();
    let redeems = transaction(WalletAction::Redeem(domain::Redemption::Ordinary(condition)));
    let wraps = transaction(WalletAction::Wrap(Usd(1)));
    assert!(signer.sign(&[redeems.clone(), wraps.clone()]).await.iter().all(Result::is_ok));
    spending.disarm(&eoa.name).unwrap();
    let answers = signer.sign(&[redeems.clone(), wraps.clone()]).await;
    assert!(refused(&answers[0], "not armed") && answers[1].is_ok());
    let answers = off.sign(&[redeems, wraps]).await;
    assert!(refused(&answers[0], "switched off") && answers[1].is_ok());
    assert!(refused(&signer.sign(&[plan(1, Side::Buy, 5)]).await[0], "not armed"));
    assert!(refused(&signer.sign(&[plan(4, Side::Sell, 900)]).await[0], "not armed"));
    // Gone from the vault, gone from the signer.
    vault.forget(&eoa.name);
    signer.forget(&eoa.name);
    assert!(matches!(signer.sign(&[login]).await[0], Err(SignerError::UnknownKey(_))));
    assert_eq!(OpenKey::new(key().bytes()).unwrap().address, address);
}
