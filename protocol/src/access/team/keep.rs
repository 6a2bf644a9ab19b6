//! Which operations are kept.
//!
//! Owns: the rule that a set of operations alone decides which of them are kept, so that
//! nodes that were told the same keep the same. Refuses: operations of nobody, of those who
//! may not say what they say, without the one before them, or beyond an author's cut-off.
//!
//! The rule goes downwards in three storeys, so that it never turns in a circle: the root's
//! operations, then those of the nodes that the root named as admins, then those of the nodes
//! that a kept operation admits. Whether an operation *counts* is not asked here: one that
//! does not count today is kept when it may count tomorrow.

use std::collections::{BTreeMap, BTreeSet};

use super::action::Action;
use super::operation::{Cut, Operation, SignedOperation};
use crate::id::OperationId;
use crate::peer::PeerKey;

/// The most operations of a mere member that are kept, its leaving apart.
pub const MEMBER_OPERATIONS_MAX: usize = 16;
/// The most leavings of one mere member that are kept: one is enough, a copied key makes more.
pub const MEMBER_LEAVES_MAX: usize = 4;

/// Why an operation is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is about another team.
    #[error("it belongs to another team")]
    OtherTeam,
    /// Its author did not sign it.
    #[error("its author did not sign it")]
    Signature,
    /// Longer than [`super::OPERATION_BYTES_MAX`].
    #[error("it is too long")]
    TooLong,
    /// Nothing that is known admits its author. It may be offered again when something does.
    #[error("nothing known admits its author")]
    UnknownAuthor,
    /// Its author may not do this.
    #[error("its author may not do this")]
    NotPermitted,
    /// The operation before it is not kept here. It may be offered again behind that one.
    #[error("the operation before it is not known")]
    Gap,
    /// Its author was revoked, and it is not among those that go on counting.
    #[error("its author was revoked, and it lies behind the cut-off")]
    Cut,
    /// Its author had left before.
    #[error("its author had left before")]
    Left,
    /// Its author is a mere member who has said more than members have to.
    #[error("a member has at most {MEMBER_OPERATIONS_MAX} operations")]
    MemberFull,
    /// There is no room for it; see [`super::TEAM_BYTES_MAX`].
    #[error("the team's state is full")]
    Full,
}

/// Operations by id.
pub(super) type Operations = BTreeMap<OperationId, SignedOperation>;
/// Those that are not kept.
pub(super) type Refusals = BTreeMap<OperationId, Reason>;
/// Those of one author.
type Chain<'a> = BTreeMap<OperationId, &'a Operation>;

/// What the root says about admins.
#[derive(Debug, Default)]
pub(super) struct Admins {
    /// Everybody whom the root ever named.
    pub named: BTreeSet<PeerKey>,
    /// The earliest cut-off of each node that the root revoked; nothing keeps nothing.
    pub cuts: BTreeMap<PeerKey, Option<Cut>>,
}

impl Admins {
    /// As told by the operations of the root among `operations`.
    pub(super) fn told_by<'a>(
        root: &PeerKey,
        operations: impl IntoIterator<Item = &'a Operation>,
    ) -> Self {
        let mut admins = Self::default();
        for operation in operations.into_iter().filter(|o| o.author == *root) {
            match &operation.action {
                Action::NameAdmin { node, .. } => {
                    admins.named.insert(*node);
                }
                Action::Revoke { node, last } => {
                    let cut = admins.cuts.entry(*node).or_insert(*last);
                    *cut = (*cut).min(*last);
                }
                _ => {}
            }
        }
        admins.named.remove(root);
        admins
    }
}

/// Those of `operations` that are not kept, each with why.
pub(super) fn refusals(root: &PeerKey, operations: &Operations) -> Refusals {
    let mut refused = Refusals::new();
    let mut authors = by_author(operations);

    let roots = authors.remove(root).unwrap_or_default();
    let roots = chain(roots, &mut refused, |operation| {
        refuse(operation.is_leave(), Reason::NotPermitted)
    });
    let admins = Admins::told_by(root, roots.values().copied());
    let mut admitted = admitted_by(&roots);

    for admin in &admins.named {
        let theirs = authors.remove(admin).unwrap_or_default();
        let mut theirs = chain(theirs, &mut refused, |operation| {
            let is_roots = matches!(operation.action, Action::NameAdmin { .. });
            refuse(is_roots, Reason::NotPermitted)
        });
        if let Some(cut) = admins.cuts.get(admin) {
            shorten(&mut theirs, *cut, &mut refused);
        }
        admitted.extend(admitted_by(&theirs));
    }

    for (author, theirs) in authors {
        if admitted.contains(&author) {
            chain(theirs, &mut refused, members_rule());
        } else {
            refused.extend(theirs.iter().map(|(id, _)| (*id, Reason::UnknownAuthor)));
        }
    }
    refused
}

type Authored<'a> = Vec<(OperationId, &'a Operation)>;

/// The operations of each author, by sequence, then id.
fn by_author(operations: &Operations) -> BTreeMap<PeerKey, Authored<'_>> {
    let mut authors: BTreeMap<PeerKey, Authored<'_>> = BTreeMap::new();
    for (id, signed) in operations {
        let operation = &signed.operation;
        let theirs = authors.entry(operation.author).or_default();
        theirs.push((*id, operation));
    }
    for theirs in authors.values_mut() {
        theirs.sort_by_key(|(id, operation)| (operation.sequence, *id));
    }
    authors
}

/// Those of an author's operations that hang from its first ones without a gap, and that
/// `rule` lets pass.
fn chain<'a>(
    operations: Authored<'a>,
    refused: &mut Refusals,
    mut rule: impl FnMut(&Operation) -> Result<(), Reason>,
) -> Chain<'a> {
    let mut kept = Chain::new();
    for (id, operation) in operations {
        match follows(operation, &kept).and_then(|()| rule(operation)) {
            Ok(()) => {
                kept.insert(id, operation);
            }
            Err(reason) => {
                refused.insert(id, reason);
            }
        }
    }
    kept
}

fn follows(operation: &Operation, kept: &Chain<'_>) -> Result<(), Reason> {
    let Some(previous) = &operation.previous else {
        return refuse(operation.sequence != 0, Reason::Gap);
    };
    let before = kept.get(previous).ok_or(Reason::Gap)?;
    refuse(
        before.sequence.checked_add(1) != Some(operation.sequence),
        Reason::Gap,
    )?;
    refuse(before.is_leave(), Reason::Left)
}

fn refuse(when: bool, reason: Reason) -> Result<(), Reason> {
    if when { Err(reason) } else { Ok(()) }
}

/// A mere member leaves, and says what later versions may know; the first by sequence and id
/// are kept.
fn members_rule() -> impl FnMut(&Operation) -> Result<(), Reason> {
    let (mut leaves, mut others) = (0, 0);
    move |operation| {
        let (count, max) = match operation.action {
            _ if operation.is_leave() => (&mut leaves, MEMBER_LEAVES_MAX),
            Action::Unknown(_) => (&mut others, MEMBER_OPERATIONS_MAX),
            _ => return Err(Reason::NotPermitted),
        };
        refuse(*count == max, Reason::MemberFull)?;
        *count += 1;
        Ok(())
    }
}

/// Takes away what lies behind the cut-off: all that does not lead to the operation at it, or
/// as long as that one is not here, all that has a greater sequence.
fn shorten(chain: &mut Chain<'_>, cut: Option<Cut>, refused: &mut Refusals) {
    let leads_there = cut.and_then(|cut| before_and_at(chain, &cut));
    chain.retain(|id, operation| {
        let stays = match (&leads_there, cut) {
            (Some(leads_there), _) => leads_there.contains(id),
            (None, Some(cut)) => operation.sequence <= cut.sequence,
            (None, None) => false,
        };
        if !stays {
            refused.insert(*id, Reason::Cut);
        }
        stays
    });
}

fn before_and_at(chain: &Chain<'_>, cut: &Cut) -> Option<BTreeSet<OperationId>> {
    let at = chain.get(&cut.operation)?;
    if at.sequence != cut.sequence {
        return None;
    }
    let mut path = BTreeSet::from([cut.operation]);
    let mut next = at.previous;
    while let Some(id) = next {
        path.insert(id);
        next = chain[&id].previous;
    }
    Some(path)
}

fn admitted_by(chain: &Chain<'_>) -> BTreeSet<PeerKey> {
    let nodes = chain
        .values()
        .filter_map(|operation| match operation.action {
            Action::AdmitMember { node, .. } => Some(node),
            _ => None,
        });
    nodes.collect()
}
