//! What the providers say to a claim about an exit: each is asked for everything, and two must say the same. Several URLs
//! of one provider are one witness: what is broken behind one of them is broken behind the others.

use std::{collections::BTreeSet, sync::Arc};

use domain::{Hash, Shares, trade::Dispute};
use engine::{
    deadline::venue_call,
    ports::{
        venue::{BlockHeader, ChainEvent, ChainEventKind, VenueError},
        witness::{ExitClaim, Testimony},
    },
};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};

use super::{ChainProvider, Member, Providers, asking::Need};
use crate::limits::WITNESS_DEADLINE;

/// What one provider says.
#[derive(Debug)]
enum Statement {
    Same,
    Other(Objection),
    /// It does not have the block, or cannot be asked.
    Silent,
}

/// What somebody says instead of a claim.
#[derive(Debug)]
struct Objection {
    about: Dispute,
    words: String,
    /// What the leader held, where that differs: before, if that is claimed, and after.
    instead: Option<(Option<Shares>, Shares)>,
}

impl Providers {
    pub(super) async fn hear(&self, claim: &ExitClaim) -> Result<Testimony, VenueError> {
        let ready = self.ranked(Need::default()).ready;
        if !are_two(ready.iter()) {
            return Ok(Testimony::Nobody);
        }
        let mut statements: FuturesUnordered<_> =
            ready.into_iter().map(|member| self.statement(member, *claim)).collect();
        let mut same: Vec<Arc<Member>> = Vec::new();
        let mut others: Vec<(Arc<Member>, Objection)> = Vec::new();
        while let Some((member, statement)) = statements.next().await {
            match statement {
                Statement::Same => same.push(member),
                Statement::Other(objection) => others.push((member, objection)),
                Statement::Silent => {}
            }
            if are_two(same.iter()) {
                // Whoever was heard before and said otherwise stands alone against two.
                for (member, objection) in &others {
                    member.set_aside(self.clock.uptime(), &objection.words);
                }
                return Ok(Testimony::Agreed);
            }
        }
        self.doubt(&same, &others);
        let about = others.iter().map(|(_, objection)| objection.about).max();
        Ok(match about {
            None => Testimony::Nobody,
            Some(about) => {
                let said =
                    |(member, one): &(Arc<Member>, Objection)| format!("{}: {}", member.name(), one.words);
                let words: Vec<String> = others.iter().map(said).collect();
                let instead = others.iter().filter_map(|(_, objection)| objection.instead).collect();
                Testimony::Disputed { about, words: words.join("; "), instead }
            }
        })
    }

    /// Where two say one and the same other thing, whoever made the claim stands alone: the next one to be read is
    /// somebody else.
    fn doubt(&self, same: &[Arc<Member>], others: &[(Arc<Member>, Objection)]) {
        let agreed = others.iter().find(|(_, objection)| {
            let alike = others.iter().filter(|(_, one)| one.words == objection.words);
            are_two(alike.map(|(member, _)| member))
        });
        for (member, (_, Objection { words, .. })) in same.iter().zip(agreed.iter().cycle()) {
            member.set_aside(self.clock.uptime(), &format!("two others agree, and not with it: {words}"));
        }
    }

    async fn statement(&self, member: Arc<Member>, claim: ExitClaim) -> (Arc<Member>, Statement) {
        let call =
            move |reader: Arc<dyn ChainProvider>| async move { state(reader.as_ref(), &claim).await }.boxed();
        let asked = async { self.run(Arc::clone(&member), &call).await.1 };
        let answer = venue_call(self.clock.as_ref(), "witness", WITNESS_DEADLINE, asked).await;
        (member, answer.unwrap_or(Statement::Silent))
    }
}

/// Whether two providers are among these.
fn are_two<'a>(members: impl Iterator<Item = &'a Arc<Member>>) -> bool {
    let owners: BTreeSet<&str> = members.map(|member| member.owner()).collect();
    owners.len() >= 2
}

async fn state(reader: &dyn ChainProvider, claim: &ExitClaim) -> Result<Statement, VenueError> {
    let Some(header) = reader.header(claim.block).await?.filter(|header| header.hash == claim.hash) else {
        return Ok(Statement::Silent);
    };
    let held = async |block: i64, hash: Hash| -> Result<Shares, VenueError> {
        let balances = reader.balances_of_block(&[(claim.wallet, claim.token)], block, hash).await?;
        Ok(balances.first().copied().unwrap_or_default())
    };
    let before = match claim.before {
        Some(_) => Some(held(claim.block.saturating_sub(1), header.parent).await?),
        None => None,
    };
    let after = held(claim.block, header.hash).await?;
    if (before, after) != (claim.before, claim.after) {
        let words = format!(
            "the leader's shares {}, another one says {}",
            around(claim.block, before, after),
            around(claim.block, claim.before, claim.after)
        );
        let instead = Some((before, after));
        return Ok(Statement::Other(Objection { about: Dispute::Balances, words, instead }));
    }
    if claim.filled.is_some() {
        let filled = filled(&reader.block_events(&header, &[]).await?, claim, &header);
        if filled != claim.filled.map(|(_, _, shares)| shares.0) {
            let words = format!("in block {} it has other fills of the leader than another one", claim.block);
            return Ok(Statement::Other(Objection { about: Dispute::Fills, words, instead: None }));
        }
    }
    Ok(Statement::Same)
}

fn around(block: i64, before: Option<Shares>, after: Shares) -> String {
    match before {
        Some(before) => format!("are {before} before block {block} and {after} after it"),
        None => format!("are {after} after block {block}"),
    }
}

/// Shares filled of what the claim names.
fn filled(events: &[ChainEvent], claim: &ExitClaim, header: &BlockHeader) -> Option<i64> {
    let (tx, side, _) = claim.filled?;
    let mut own = events.iter().filter(|event| event.tx == tx && event.block_hash == header.hash);
    own.try_fold(0_i64, |sum, event| match &event.kind {
        ChainEventKind::Fill(fill)
            if (fill.wallet, fill.token, fill.side) == (claim.wallet, claim.token, side) =>
        {
            sum.checked_add(fill.shares.0)
        }
        _ => Some(sum),
    })
}
