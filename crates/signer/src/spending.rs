//! Which keys may spend, and how much of it they have spent today: the signer's own record, in a file that no other part
//! of the program writes and that is authenticated record by record. Whoever can write the database can neither arm an
//! account nor raise a cap. Arming and disarming write the file anew, as one record of everything: who cuts records off
//! its end arms nobody.
//!
//! Counted is what is signed, at the most that an order may give. Fees are not: the venue takes them besides, and no order
//! names them. What a day may spend is taken out of the file in
//! pieces before it is used, so that a crash loses a piece and never spends one twice.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{Clock, Hash, KeyRef, Usd};
use engine::ports::venue::SignerError;
use hmac::Mac as _;
use lru::LruCache;
use serde::{Deserialize, Serialize};

use crate::{
    cipher::{self, Secret32},
    limits::{COUNTED_ORDERS, LONGEST_SPENDING_FILE, MOST_DOLLARS, PIECES_OF_A_DAY},
    vault::Vault,
};

/// Name of the file.
pub const FILE: &str = "signer.spending";

/// Microseconds of a day. Days are UTC's.
const DAY: i64 = 86_400_000_000;

/// What an armed key may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// In one order, without fees.
    pub order: Usd,
    /// In one day (UTC), all orders together, without fees.
    pub day: Usd,
}

impl Caps {
    /// What is wrong with them, in words.
    #[must_use]
    pub fn mistake(&self) -> Option<String> {
        let most = Usd(MOST_DOLLARS.saturating_mul(domain::money::ONE));
        let bad = |usd: Usd| !usd.is_positive() || usd > most;
        if bad(self.order) || bad(self.day) {
            return Some(format!("a cap is above 0 and at most {most} dollars"));
        }
        (self.order > self.day).then(|| {
            format!("the cap of an order ({}) is above that of a day ({}); lower it", self.order, self.day)
        })
    }
}

/// How a key stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What it may spend; `None` when it is not armed.
    pub caps: Option<Caps>,
    /// What was signed for today, at least.
    pub spent: Usd,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpendingError {
    /// Not read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Changed by somebody else.
    #[error(
        "{path}: record {record} was not written by this signer, or records before it are gone. No account is armed. If \
         nobody can have tampered with it, move the file away and arm the accounts again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which record, from 1.
        record: usize,
    },
    /// Nothing that can be a cap.
    #[error("{0}")]
    Caps(String),
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Record {
    /// All there is to know, before what follows.
    Everything { keys: Vec<Kept> },
    /// Up to this much of the day may have been spent.
    Taken { key: KeyRef, day: i64, usd: Usd },
}

/// A key in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    key: KeyRef,
    caps: Option<Caps>,
    day: i64,
    taken: Usd,
}

/// A key in memory.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    caps: Option<Caps>,
    day: i64,
    spent: Usd,
    /// What the file says may be spent of the day.
    taken: Usd,
}

struct Books {
    path: PathBuf,
    file: File,
    key: Secret32,
    last: [u8; 32],
    accounts: HashMap<KeyRef, Account>,
    counted: LruCache<Hash, ()>,
    /// A record may be half written: nothing more is added.
    broken: bool,
    /// Makes last what was renamed in a directory.
    sync: fn(&Path) -> io::Result<()>,
}

/// Arming and caps. Cheap to clone; clones share the books.
#[derive(Clone)]
pub struct Spending {
    books: Arc<Mutex<Books>>,
    clock: Arc<dyn Clock>,
}

impl Spending {
    /// Opens the file in this directory, made if it is missing; `vault` has the key that authenticates it.
    ///
    /// # Errors
    /// [`SpendingError`]. Nothing may be signed then.
    pub fn open(directory: &Path, vault: &Vault, clock: Arc<dyn Clock>) -> Result<Self, SpendingError> {
        let (path, key) = (directory.join(FILE), vault.books());
        let io = |source| SpendingError::Io { path: path.clone(), source };
        let accounts = replay(&path, &key)?;
        // Written anew, so that the file does not grow for ever and a record cut short by a crash is gone.
        let (file, last) = written_anew(&path, &key, &accounts).map_err(io)?;
        sync_directory_of(&path).map_err(io)?;
        let counted = LruCache::new(COUNTED_ORDERS);
        let (broken, sync) = (false, sync_directory_of as fn(&Path) -> io::Result<()>);
        let books = Books { path, file, key, last, accounts, counted, broken, sync };
        Ok(Self { books: Arc::new(Mutex::new(books)), clock })
    }

    /// Caps of the keys that are armed by the file in this directory, which is left as it is: for looking beside whoever
    /// works with it.
    ///
    /// # Errors
    /// [`SpendingError`].
    pub fn armed(directory: &Path, vault: &Vault) -> Result<HashMap<KeyRef, Caps>, SpendingError> {
        let accounts = replay(&directory.join(FILE), &vault.books())?;
        Ok(accounts.into_iter().filter_map(|(key, account)| Some((key, account.caps?))).collect())
    }

    /// Lets a key spend; caps that were there are replaced, and what was spent today stays spent.
    ///
    /// # Errors
    /// [`SpendingError`]; then it is as it was, unless the disk refuses to say so: a restart may find it armed then.
    pub fn arm(&self, key: &KeyRef, caps: Caps) -> Result<(), SpendingError> {
        if let Some(mistake) = caps.mistake() {
            return Err(SpendingError::Caps(mistake));
        }
        let mut books = self.books();
        let before = books.accounts.get(key).copied().unwrap_or_default();
        books.accounts.insert(key.clone(), Account { caps: Some(caps), ..before });
        let written = books.write_anew();
        if written.is_err() {
            books.accounts.insert(key.clone(), before);
            // It may be in the file already. If this fails too, the first failure says as much.
            let _ = books.write_anew();
        }
        written
    }

    /// Lets a key spend nothing more, from the moment this is called.
    ///
    /// # Errors
    /// [`SpendingError`]: it is disarmed in this process, and may be armed again by a restart.
    pub fn disarm(&self, key: &KeyRef) -> Result<(), SpendingError> {
        let mut books = self.books();
        books.accounts.entry(key.clone()).or_default().caps = None;
        books.write_anew()
    }

    /// How a key stands.
    #[must_use]
    pub fn standing(&self, key: &KeyRef) -> Standing {
        let today = self.today();
        let books = self.books();
        let account = books.accounts.get(key).copied().unwrap_or_default();
        let spent = if account.day >= today { account.spent } else { Usd::ZERO };
        Standing { caps: account.caps, spent }
    }

    /// Whether a key may do what needs no money.
    pub(crate) fn armed_for(&self, key: &KeyRef) -> Result<(), SignerError> {
        let armed = self.books().accounts.get(key).is_some_and(|account| account.caps.is_some());
        if armed { Ok(()) } else { Err(SignerError::Policy(not_armed(key))) }
    }

    /// Whether an order with this digest may be signed that gives at most `usd` (nothing, for a sale); counts it.
    pub(crate) fn spend(&self, key: &KeyRef, digest: Hash, usd: Usd) -> Result<(), SignerError> {
        let refuse = |text: String| Err(SignerError::Policy(text));
        let today = self.today();
        let mut books = self.books();
        let Some(mut account) = books.accounts.get(key).copied() else {
            return refuse(not_armed(key));
        };
        let Some(caps) = account.caps else { return refuse(not_armed(key)) };
        if !usd.is_positive() || books.counted.get(&digest).is_some() {
            return Ok(());
        }
        if usd > caps.order {
            return refuse(format!("an order of {usd} dollars; the cap of an order is {}", caps.order));
        }
        // A clock that goes back does not begin a day anew.
        if account.day < today {
            account = Account { day: today, spent: Usd::ZERO, taken: Usd::ZERO, ..account };
        }
        let spent = account.spent.plus(usd).map_err(|error| SignerError::Policy(error.to_string()))?;
        if spent > caps.day {
            return refuse(format!(
                "{} dollars were signed for today and this order has {usd}; the cap of a day is {}",
                account.spent, caps.day
            ));
        }
        if spent > account.taken {
            let piece = Usd((caps.day.0 / PIECES_OF_A_DAY).max(1));
            let taken = spent.plus(piece).unwrap_or(caps.day).min(caps.day);
            let record = Record::Taken { key: key.clone(), day: account.day, usd: taken };
            books.write(&record).map_err(|error| SignerError::Unavailable(error.to_string()))?;
            account.taken = taken;
        }
        account.spent = spent;
        books.accounts.insert(key.clone(), account);
        books.counted.put(digest, ());
        Ok(())
    }

    fn today(&self) -> i64 {
        self.clock.now().0.div_euclid(DAY)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_armed(key: &KeyRef) -> String {
    format!("key `{key}` is not armed; `slipstream account arm` lets it trade, within caps")
}

impl Books {
    /// Puts one record of everything in the place of all there were.
    fn write_anew(&mut self) -> Result<(), SpendingError> {
        let anew = written_anew(&self.path, &self.key, &self.accounts);
        let io = |source| SpendingError::Io { path: self.path.clone(), source };
        let (file, last) = anew.map_err(io)?;
        // It is in its place, whatever the directory says: what is added goes there from now on.
        (self.file, self.last, self.broken) = (file, last, false);
        (self.sync)(&self.path).map_err(io)
    }

    /// Adds a record, on the disk when this returns.
    fn write(&mut self, record: &Record) -> Result<(), SpendingError> {
        let io = |source| SpendingError::Io { path: self.path.clone(), source };
        if self.broken {
            return Err(io(io::Error::other(
                "an earlier record could not be written; start the signer again",
            )));
        }
        let (text, last) = line(&self.key, &self.last, record).map_err(io)?;
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            self.broken = true;
            return Err(SpendingError::Io { path: self.path.clone(), source });
        }
        self.last = last;
        Ok(())
    }
}

/// The file with one record of everything, in its place; and that record's code.
fn written_anew(
    path: &Path,
    key: &Secret32,
    accounts: &HashMap<KeyRef, Account>,
) -> io::Result<(File, [u8; 32])> {
    let mut keys: Vec<Kept> = accounts
        .iter()
        .map(|(key, Account { caps, day, taken, .. })| Kept {
            key: key.clone(),
            caps: *caps,
            day: *day,
            taken: *taken,
        })
        .filter(|kept| kept.caps.is_some() || kept.taken.is_positive())
        .collect();
    keys.sort_by(|one, other| one.key.0.cmp(&other.key.0));
    let (text, last) = line(key, &[0; 32], &Record::Everything { keys })?;
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    Ok((file, last))
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// A record as it is written, and its code.
fn line(key: &Secret32, last: &[u8; 32], record: &Record) -> io::Result<(String, [u8; 32])> {
    let line = serde_json::to_string(record).map_err(io::Error::other)?;
    let code = code(key, last, &line);
    Ok((format!("{} {line}\n", hex::encode(code)), code))
}

/// Authenticates a record and all before it.
fn code(key: &Secret32, last: &[u8; 32], line: &str) -> [u8; 32] {
    cipher::mac(key, &cipher::fields(&[last, line.as_bytes()])).finalize().into_bytes().into()
}

fn replay(path: &Path, key: &Secret32) -> Result<HashMap<KeyRef, Account>, SpendingError> {
    let mut accounts: HashMap<KeyRef, Account> = HashMap::new();
    let mut last = [0; 32];
    for (number, line) in read(path)?.split_inclusive('\n').enumerate() {
        // The last one may have been cut short by a crash; then nothing was signed on its strength.
        let Some(line) = line.strip_suffix('\n') else { break };
        let damaged = || SpendingError::Damaged { path: path.to_owned(), record: number.saturating_add(1) };
        let (stated, line) = line.split_once(' ').ok_or_else(damaged)?;
        let mac = cipher::mac(key, &cipher::fields(&[&last, line.as_bytes()]));
        let stated = hex::decode(stated).map_err(|_| damaged())?;
        mac.verify_slice(&stated).map_err(|_| damaged())?;
        last = stated.try_into().map_err(|_| damaged())?;
        match serde_json::from_str(line).map_err(|_| damaged())? {
            Record::Everything { keys } if number == 0 => {
                let account = |Kept { caps, day, taken, .. }: &Kept| Account {
                    caps: *caps,
                    day: *day,
                    spent: *taken,
                    taken: *taken,
                };
                accounts = keys.iter().map(|kept| (kept.key.clone(), account(kept))).collect();
            }
            Record::Everything { .. } => return Err(damaged()),
            Record::Taken { key, day, usd } => {
                let account = accounts.entry(key).or_default();
                *account = Account { day, spent: usd, taken: usd, ..*account };
            }
        }
    }
    Ok(accounts)
}

fn read(path: &Path) -> Result<String, SpendingError> {
    let io = |source| SpendingError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        opened => opened.map_err(io)?,
    };
    let mut text = String::new();
    let read = file.take(LONGEST_SPENDING_FILE.saturating_add(1)).read_to_string(&mut text).map_err(io)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > LONGEST_SPENDING_FILE {
        return Err(io(io::Error::other("it is too long to be ours")));
    }
    Ok(text)
}

#[cfg(test)]
#[path = "spending_tests.rs"]
mod tests;
