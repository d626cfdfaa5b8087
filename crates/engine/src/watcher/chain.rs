//! Reading the chain: whole blocks on one chain of headers, reorganisations, catching up.

use std::collections::{BTreeSet, HashMap};

use domain::{
    Hash, OrderId, Timestamp, TokenId,
    exits::ExitFactor,
    ids::LeaderId,
    trade::{GroupKey, Part, PartKind, SURPLUS_WINDOW, TradeGroup},
};
use futures_util::future::join_all;
use tracing::{info, warn};

use super::{
    Watcher, WatcherError,
    groups::{GroupSet, Observed},
};
use crate::{
    deadline::venue_call,
    limits,
    ports::{
        detection::{DetectionCommit, ExitNote, Source, StoredFill},
        store::{Event, EventKind},
        venue::{BlockHeader, ChainEvent, ChainEventKind, ChainReader, VenueError},
    },
    sources::SourceName,
};

/// Blocks read in one step, and what they replace.
struct Batch {
    /// The first height read.
    from: i64,
    orphaned: Vec<Hash>,
    headers: Vec<BlockHeader>,
    events: Vec<ChainEvent>,
    /// Height up to which everything is read now.
    read_to: i64,
}

impl Watcher {
    /// Reads what is new on the chain, and takes note whether it could. Returns whether anything was.
    pub(super) async fn read_chain(&mut self) -> Result<bool, WatcherError> {
        // Nobody told anything, and no block can be there yet.
        self.hears = !std::mem::take(&mut self.head_is_quiet);
        if !self.hears {
            return Ok(false);
        }
        let read = self.chain_step().await;
        match &read {
            Ok(true) => self.sources.read(SourceName::Chain),
            Ok(false) => self.sources.unread(SourceName::Chain, String::new()),
            Err(error) => self.sources.unread(SourceName::Chain, error.to_string()),
        }
        read
    }

    async fn chain_step(&mut self) -> Result<bool, WatcherError> {
        let Some(chain) = self.chain.clone() else { return Ok(false) };
        let told = self.head_told.take();
        let head = match told {
            Some(head) => head,
            None => {
                let head = self.call("head", chain.head()).await?;
                self.note_head(head);
                head
            }
        };
        self.head_time = Some(head.time);
        let Some(position) = self.store.cursor(Source::Chain).await? else {
            return self.begin_at(head).await.map(|()| true);
        };
        self.reading.clear();
        // The answer of a commit was lost, or the database went back in time: what is above its position was not read for it.
        if self.headers.back().is_some_and(|tip| tip.number != position) {
            self.forget();
        }
        if self.headers.is_empty() {
            self.headers = self.store.headers(limits::REORG_DEPTH).await?.into();
        }
        // While our newest block is the head, nothing is new and nothing was replaced.
        if self.headers.back().is_some_and(|tip| tip.hash == head.hash) {
            return Ok(false);
        }
        let Some(batch) = self.next_batch(chain.as_ref(), position, head).await? else { return Ok(false) };
        let read_to = batch.read_to;
        self.take_batch(batch).await?;
        // It was told a moment ago: nothing is above it yet.
        self.head_is_quiet = told.is_some() && read_to == head.number;
        Ok(true)
    }

    /// A first start copies nothing old: it reads on from the last block before anybody followed a leader, but
    /// from no further back than one step reads.
    async fn begin_at(&mut self, head: BlockHeader) -> Result<(), WatcherError> {
        let Some(chain) = self.chain.clone() else { return Ok(()) };
        let baseline = self.following().await?.leaders().map(|leader| leader.baseline).min();
        let mut first = head;
        while baseline.is_some_and(|baseline| first.time >= baseline)
            && head.number - first.number < limits::BLOCKS_PER_STEP
        {
            let Some(parent) = self.call("header", chain.header(first.number - 1)).await? else { break };
            if parent.hash != first.parent {
                // The chain changed under our reading; the next step begins again.
                return Ok(());
            }
            first = parent;
        }
        info!(block = first.number, "first start: reading on from block {}", first.number);
        let commit = DetectionCommit {
            headers: vec![first],
            cursors: vec![(Source::Chain, first.number)],
            ..DetectionCommit::default()
        };
        self.commit_parts(commit, Vec::new()).await?;
        self.headers = [first].into();
        Ok(())
    }

    async fn next_batch(
        &self,
        chain: &dyn ChainReader,
        position: i64,
        head: BlockHeader,
    ) -> Result<Option<Batch>, WatcherError> {
        // Before anything is read on: what we read last may have been replaced while we were away. A head that was built on
        // it says that it was not.
        let tip = self.headers.back().filter(|tip| tip.number == position);
        let on_top = tip.is_some_and(|tip| head.parent == tip.hash && head.number == position + 1);
        let (from, orphaned) =
            if on_top { (head.number, Vec::new()) } else { self.fork_point(chain, position).await? };
        if orphaned.is_empty() && head.number - position > limits::BLOCKS_PER_STEP {
            let finalized = self.call("finalized", chain.finalized()).await?;
            if finalized.number > position {
                return self.catch_up(chain, position, finalized).await.map(Some);
            }
        }
        if head.number < from && orphaned.is_empty() {
            return Ok(None);
        }
        let to = head.number.min(from + limits::BLOCKS_PER_STEP - 1);
        let mut batch = Batch { from, orphaned, headers: Vec::new(), events: Vec::new(), read_to: from - 1 };
        let wallets = self.leaders_wallets();
        let mut parent = self.header_at(from - 1).map(|header| header.hash);
        for number in from..=to {
            let known = (on_top && number == head.number).then_some(head);
            let header = match known {
                Some(head) => Some(head),
                None => self.call("header", chain.header(number)).await?,
            };
            let Some(header) = header else { break };
            if parent.is_some_and(|parent| parent != header.parent) {
                // The chain changed under our reading; the next step starts from the new fork point.
                break;
            }
            let events = self.call("logs of a block", chain.block_events(&header, &wallets)).await?;
            parent = Some(header.hash);
            batch.read_to = number;
            batch.headers.push(header);
            batch.events.extend(events);
        }
        let nothing = batch.headers.is_empty() && batch.orphaned.is_empty();
        Ok((!nothing).then_some(batch))
    }

    /// Where to read on: after our tip if it is still canonical, else after the newest common block.
    async fn fork_point(
        &self,
        chain: &dyn ChainReader,
        position: i64,
    ) -> Result<(i64, Vec<Hash>), WatcherError> {
        let mut orphaned = Vec::new();
        for known in self.headers.iter().rev() {
            match self.call("header", chain.header(known.number)).await? {
                Some(header) if header.hash == known.hash => {
                    if !orphaned.is_empty() {
                        warn!(
                            depth = orphaned.len(),
                            "the chain was reorganised above block {}", known.number
                        );
                    }
                    return Ok((known.number + 1, orphaned));
                }
                Some(_) => orphaned.push(known.hash),
                // The provider lags behind what we have read: no reorganisation, nothing to read.
                None if orphaned.is_empty() => return Ok((position + 1, Vec::new())),
                // Another node of the provider, which has not come that far: no word on whether it was replaced.
                None => return Err(not_now(format!("block {} is not there yet", known.number))),
            }
        }
        match self.headers.front() {
            None => Ok((position + 1, orphaned)),
            // So few headers begin at the first start: nothing was decided below them.
            Some(first) if self.headers.len() < limits::REORG_DEPTH / 2 => Ok((first.number, orphaned)),
            Some(_) => Err(WatcherError::ReorganisedTooDeep(orphaned.len())),
        }
    }

    /// Below the finalized block nothing is reorganised: a range of logs is enough.
    async fn catch_up(
        &self,
        chain: &dyn ChainReader,
        position: i64,
        finalized: BlockHeader,
    ) -> Result<Batch, WatcherError> {
        let to = finalized.number.min(position + limits::BLOCKS_PER_STEP);
        let (from, wallets) = (position + 1, self.leaders_wallets());
        let events = self.call("logs of a range", chain.range_events(from, to, &wallets)).await?;
        let mut wanted: BTreeSet<i64> =
            events.iter().filter(|event| self.concerns_leader(event)).map(|event| event.block).collect();
        wanted.insert(to);
        let mut headers = Vec::with_capacity(wanted.len());
        for number in wanted {
            let header =
                self.call("header", chain.header(number)).await?.ok_or_else(|| VenueError::Malformed {
                    what: "header".to_owned(),
                    reason: format!("block {number} is below the finalized one but missing"),
                })?;
            if let Some(event) = events.iter().find(|event| other_block(event, &header)) {
                return Err(not_now(format!(
                    "block {number} is {}, its logs say {}",
                    header.hash, event.block_hash
                )));
            }
            headers.push(header);
        }
        Ok(Batch { from, orphaned: Vec::new(), headers, events, read_to: to })
    }

    fn concerns_leader(&self, event: &ChainEvent) -> bool {
        match &event.kind {
            ChainEventKind::Fill(fill) => self.leader_of(&fill.wallet).is_some(),
            ChainEventKind::Move(moved) => self.leader_of(&moved.wallet).is_some(),
            ChainEventKind::Redemption { .. } => false,
        }
    }

    async fn take_batch(&mut self, batch: Batch) -> Result<(), WatcherError> {
        let now = self.clock.now();
        self.following().await?;
        // Also those of blocks that were read before, of which something is told late.
        let known = batch.events.iter().filter_map(|event| self.header_at(event.block));
        let times: HashMap<i64, Timestamp> =
            known.chain(&batch.headers).map(|header| (header.number, header.time)).collect();
        let replaced = match batch.orphaned.as_slice() {
            [] => Vec::new(),
            _ => self.store.groups_from(batch.from).await?,
        };
        let orphaned: Vec<GroupKey> = replaced.iter().map(|group| group.key).collect();
        let (fills, own) = self.concerning_fills(&batch.events, &times).await?;
        let mut observed: Vec<Observed> = fills.iter().filter_map(Observed::of_fill).collect();
        observed.extend(self.moves(&batch.events, &times).await?);
        let redemptions = self.own_redemptions(&batch.events).await?;
        let keys: Vec<GroupKey> =
            observed.iter().map(|one| one.key).chain(orphaned.iter().copied()).collect();
        let stored = self.store.groups(&keys, now.minus(SURPLUS_WINDOW)).await?;
        let mut groups = GroupSet::of(stored);
        groups.apply_chain(&orphaned, &observed, &|block| times.get(&block).copied().unwrap_or(now), now)?;
        let chain = |group: &TradeGroup| group.chain.unwrap_or_default().shares;
        self.sources.heard_of(SourceName::Chain, &groups.changed(), chain, now);
        let parts = groups.take_parts(|_, _| true)?;
        let mut commit = DetectionCommit {
            headers: batch.headers.clone(),
            orphaned: batch.orphaned.clone(),
            cursors: vec![(Source::Chain, batch.read_to)],
            fills: fills.clone(),
            redemptions,
            groups: groups.changed(),
            events: overcounted_events(&groups, now),
            ..DetectionCommit::default()
        };
        let mut own_keys: BTreeSet<GroupKey> =
            fills.iter().filter(|fill| own.contains(&fill.order)).filter_map(|fill| fill.group).collect();
        own_keys.extend(self.own_before(&parts, &keys).await?);
        self.reading.clone_from(&batch.headers);
        let pending = self.prepare_all(&parts, &groups, &own_keys, &mut commit).await?;
        let mut moved: BTreeSet<(LeaderId, TokenId)> =
            orphaned.iter().map(|key| (key.leader, key.token)).collect();
        commit.factors.extend(self.moved_sales(&parts, &groups, &mut moved).await);
        let found = match batch.headers.is_empty() {
            true => self.found_beside(&groups.changed()).await?,
            false => Vec::new(),
        };
        commit.exit_notes = self.exit_notes(moved, now).await?;
        commit.exit_notes.extend(self.notes_of_all(&found, now));
        commit.factors.extend(found);
        self.commit_parts(commit, pending).await?;
        self.advance_headers(&batch);
        self.reading.clear();
        Ok(())
    }

    /// Asks all providers for a trade that others show and no block that was read has. Returns whether one has it, in a
    /// block of ours: then it is taken as if it had been read there.
    pub(super) async fn look_for(&mut self, group: &TradeGroup) -> Result<bool, WatcherError> {
        let Some(chain) = self.chain.clone() else { return Ok(false) };
        let Some(position) = self.store.cursor(Source::Chain).await? else { return Ok(false) };
        let (tx, wallets) = (group.key.tx, self.leaders_wallets());
        let mut events = match self.call("a transaction", chain.transaction_events(tx, &wallets)).await {
            Ok(events) => events,
            Err(error) => {
                warn!(%error, %tx, "nobody can be asked for transaction {tx}");
                return Ok(false);
            }
        };
        let ours = |event: &ChainEvent| self.header_at(event.block).map(|header| header.hash);
        events.retain(|event| event.tx == tx && ours(event) == Some(event.block_hash));
        if !events.iter().any(|event| self.concerns_leader(event)) {
            return Ok(false);
        }
        let (from, orphaned, headers) = (position + 1, Vec::new(), Vec::new());
        self.take_batch(Batch { from, orphaned, headers, events, read_to: position }).await?;
        Ok(true)
    }

    /// Which parts of groups that were not read just now answer orders of ours: they had been taken for other trades.
    async fn own_before(
        &self,
        parts: &[Part],
        read: &[GroupKey],
    ) -> Result<BTreeSet<GroupKey>, WatcherError> {
        let mut own = BTreeSet::new();
        for part in parts.iter().filter(|part| !read.contains(&part.key)) {
            let Some((_, fills)) = self.store.group_with_fills(part.key).await? else { continue };
            let orders: Vec<OrderId> = fills.iter().map(|fill| fill.order).collect();
            if !self.store.own_orders(&orders).await?.is_empty() {
                own.insert(part.key);
            }
        }
        Ok(own)
    }

    /// What the leader kept over the blocks of sales that need no decision: they were decided in a block that
    /// is gone, or under another hash. Factors of orphaned blocks go with them. What is not known at once is read
    /// when the exits of its token, `moved`, are looked at.
    async fn moved_sales(
        &self,
        parts: &[Part],
        groups: &GroupSet,
        moved: &mut BTreeSet<(LeaderId, TokenId)>,
    ) -> Vec<(LeaderId, TokenId, ExitFactor)> {
        let decided_now =
            |key: &GroupKey| parts.iter().any(|part| part.key == *key && part.kind == PartKind::Trade);
        let changed = groups.changed();
        let sales = changed.iter().filter_map(|group| {
            let sold = group.key.action.is_exit() && group.quantity().shares.is_positive();
            let block = group.block.filter(|_| sold && group.parts > 0 && !decided_now(&group.key))?;
            Some((group, block))
        });
        let sales: Vec<_> = sales.collect();
        moved.extend(sales.iter().map(|(group, _)| (group.key.leader, group.key.token)));
        // Side by side: many blocks may have been replaced, and the next ones wait.
        let read = sales.iter().map(|(group, block)| self.leader_factor(group, *block, &changed));
        let read = join_all(read).await;
        let mut factors = Vec::new();
        for ((group, _), factor) in sales.iter().zip(read) {
            match factor {
                Ok(factor) => {
                    factors.extend(factor.map(|factor| (group.key.leader, group.key.token, factor)))
                }
                Err(error) => {
                    warn!(%error, tx = %group.key.tx, "what the leader kept is not known in its new block");
                }
            }
        }
        factors
    }

    /// Exits of tokens whose trades are in other blocks than before are looked at again: what followers should
    /// hold may have changed.
    pub(super) async fn exit_notes(
        &self,
        tokens: BTreeSet<(LeaderId, TokenId)>,
        now: Timestamp,
    ) -> Result<Vec<ExitNote>, WatcherError> {
        let mut notes = Vec::new();
        for (leader, token) in tokens {
            for holder in self.store.exit_basis(leader, token, None).await?.holders {
                let following = self.following.as_ref();
                let known = following.and_then(|known| known.relationship(leader, holder.relationship));
                notes.extend(known.map(|relationship| ExitNote {
                    owner: relationship.owner,
                    relationship: relationship.id,
                    token,
                    due: now.plus(limits::REVISIT_FIRST),
                }));
            }
        }
        Ok(notes)
    }

    /// Fills of leaders (after their baseline) and of our own orders.
    async fn concerning_fills(
        &self,
        events: &[ChainEvent],
        times: &HashMap<i64, Timestamp>,
    ) -> Result<(Vec<StoredFill>, BTreeSet<OrderId>), WatcherError> {
        let orders: Vec<OrderId> = events
            .iter()
            .filter_map(|event| match &event.kind {
                ChainEventKind::Fill(fill) => Some(fill.order),
                _ => None,
            })
            .collect();
        let own: BTreeSet<OrderId> = if orders.is_empty() {
            BTreeSet::new()
        } else {
            self.store.own_orders(&orders).await?.into_iter().collect()
        };
        let mut fills = Vec::new();
        for event in events {
            let ChainEventKind::Fill(fill) = &event.kind else { continue };
            let leader = self
                .leader_of(&fill.wallet)
                .filter(|leader| times.get(&event.block).is_some_and(|time| *time >= leader.baseline));
            if leader.is_none() && !own.contains(&fill.order) {
                continue;
            }
            fills.push(StoredFill {
                block_hash: event.block_hash,
                log_index: event.log_index,
                block: event.block,
                tx: event.tx,
                order: fill.order,
                wallet: fill.wallet,
                token: fill.token,
                side: fill.side,
                shares: fill.shares,
                usd: fill.usd,
                fee: fill.fee,
                group: leader.map(|leader| GroupKey {
                    leader: leader.id,
                    tx: event.tx,
                    token: fill.token,
                    action: fill.side.into(),
                }),
            });
        }
        Ok((fills, own))
    }

    fn advance_headers(&mut self, batch: &Batch) {
        self.headers.retain(|header| !batch.orphaned.contains(&header.hash));
        self.headers.extend(batch.headers.iter().copied());
        while self.headers.len() > limits::REORG_DEPTH {
            self.headers.pop_front();
        }
    }

    /// Height of the newest block we keep that is not later than a moment.
    pub(super) fn height_at(&self, moment: Timestamp) -> Option<i64> {
        self.headers.iter().rev().find(|header| header.time <= moment).map(|header| header.number)
    }

    pub(super) fn header_at(&self, number: i64) -> Option<&BlockHeader> {
        self.headers.iter().rev().find(|header| header.number == number)
    }

    pub(super) async fn call<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, VenueError>>,
    ) -> Result<T, WatcherError> {
        Ok(venue_call(self.clock.as_ref(), what, limits::LOOK_UP_DEADLINE, call).await?)
    }
}

fn overcounted_events(groups: &GroupSet, now: Timestamp) -> Vec<Event> {
    groups
        .changed()
        .iter()
        .filter(|group| group.state == domain::trade::GroupState::Overcounted)
        .map(|group| {
            warn!(trade.tx = %group.key.tx, "the chain has less of trade {} than was decided", group.key.tx);
            Event { owner: None, at: now, kind: EventKind::Overcounted { key: group.key } }
        })
        .collect()
}

/// Whether a log is of another block at that height.
fn other_block(event: &ChainEvent, header: &BlockHeader) -> bool {
    event.block == header.number && event.block_hash != header.hash
}

fn not_now(reason: String) -> WatcherError {
    VenueError::Unavailable { what: "blocks".to_owned(), reason }.into()
}
