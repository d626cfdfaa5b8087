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
    Other(Dispute, String),
    /// It does not have the block, or cannot be asked.
    Silent,
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
        let mut others: Vec<(Arc<Member>, Dispute, String)> = Vec::new();
        while let Some((member, statement)) = statements.next().await {
            match statement {
                Statement::Same => same.push(member),
                Statement::Other(about, words) => others.push((member, about, words)),
                Statement::Silent => {}
            }
            if are_two(same.iter()) {
                // Whoever was heard before and said otherwise stands alone against two.
                for (member, _, words) in &others {
                    member.set_aside(self.clock.uptime(), words);
                }
                return Ok(Testimony::Agreed);
            }
        }
        self.doubt(&same, &others);
        let about = others.iter().map(|(_, about, _)| *about).max();
        Ok(match about {
            None => Testimony::Nobody,
            Some(about) => {
                let words: Vec<String> =
                    others.iter().map(|(member, _, words)| format!("{}: {words}", member.name())).collect();
                Testimony::Disputed { about, words: words.join("; ") }
            }
        })
    }

    /// Where two say one and the same other thing, whoever made the claim stands alone: the next one to be read is
    /// somebody else.
    fn doubt(&self, same: &[Arc<Member>], others: &[(Arc<Member>, Dispute, String)]) {
        let agreed = others.iter().find(|(_, _, words)| {
            are_two(others.iter().filter(|(.., one)| one == words).map(|(member, ..)| member))
        });
        for (member, (_, _, words)) in same.iter().zip(agreed.iter().cycle()) {
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
    let moments = [
        (claim.block.saturating_sub(1), header.parent, claim.before),
        (claim.block, header.hash, Some(claim.after)),
    ];
    for (block, hash, claimed) in moments {
        let Some(claimed) = claimed else { continue };
        let told = held(block, hash).await?;
        if told != claimed {
            let words =
                format!("the leader's shares after block {block} are {told}, another one says {claimed}");
            return Ok(Statement::Other(Dispute::Balances, words));
        }
    }
    if claim.filled.is_some() {
        let filled = filled(&reader.block_events(&header, &[]).await?, claim, &header);
        if filled != claim.filled.map(|(_, _, shares)| shares.0) {
            let words = format!("in block {} it has other fills of the leader than another one", claim.block);
            return Ok(Statement::Other(Dispute::Fills, words));
        }
    }
    Ok(Statement::Same)
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
