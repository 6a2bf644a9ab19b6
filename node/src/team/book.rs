//! What this node knows of its team, and what it may say in its name.
//!
//! Owns: merging what others tell, and remembering it before anybody hears of it. Refuses:
//! sockets, and to trust whoever brings an operation: each is signed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use libp2p_identity::ed25519;
use shoal_protocol::access::presentation::Binding;
use shoal_protocol::access::team::{
    Action, Cut, Epoch, EpochSecret, Invitation, InvitationRecord, InvitationSecret, Member,
    MemberName, MembershipProof, Merged, SignedOperation, Standing, Tag, Team, TeamName,
};
use shoal_protocol::access::{Address, Nonce};
use shoal_protocol::bounded::List;
use shoal_protocol::id::TeamId;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::{Enter, NotEnteredReason};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::file::{self, INVITATIONS_MAX, Remembered, SECRETS_MAX, TeamFileError};
use super::sessions::Sessions;
use super::standing::{self, Ended};
use crate::identity::Identity;

/// Why something about the team was not done.
#[derive(Debug, thiserror::Error)]
pub enum TeamError {
    /// The node is in no team.
    #[error("this node is in no team")]
    None,
    /// It is in none any more.
    #[error("{}", standing::in_words(.0, *.1))]
    Ended(String, Ended),
    /// It is in one already.
    #[error("this node is in team {0} already, and a home has one team")]
    Another(String),
    /// Without this node, nobody could let in or revoke others.
    #[error("this node is the only admin: without it nobody can let in or revoke others")]
    LastAdmin,
    /// Only admins may.
    #[error("this node is no admin of the team")]
    NotAdmin,
    /// The one who is meant is no member.
    #[error("{0} is no member of the team")]
    NoMember(PeerKey),
    /// The one who is meant is an admin, which only the root key can end.
    #[error("{0} is an admin: only the root key can revoke or name those")]
    NeedsRoot(PeerKey),
    /// The key is not the team's root key.
    #[error("this is not the root key of the team")]
    NotTheRoot,
    /// The team does not take it.
    #[error("the team does not take that: {0}")]
    Refused(shoal_protocol::access::team::Reason),
    /// Too many invitations are open.
    #[error("{INVITATIONS_MAX} invitations are open, which is the most")]
    Invitations,
    /// It could not be remembered.
    #[error(transparent)]
    File(#[from] TeamFileError),
}

/// The team of a node. Clones are the same book.
#[derive(Clone)]
pub(crate) struct TeamBook(Arc<Inner>);

struct Inner {
    home: PathBuf,
    identity: Identity,
    state: RwLock<Option<State>>,
    /// Locked within `state`: whoever is found to be a member is in it before anybody can say
    /// otherwise.
    sessions: Mutex<Sessions>,
    clock: Clock,
    /// Held while what changed is written down.
    writing: Mutex<()>,
    changed: watch::Sender<u64>,
}

#[derive(Clone)]
pub(super) struct State {
    pub(super) team: Team,
    pub(super) name: TeamName,
    secrets: Vec<(u64, EpochSecret)>,
    pub(super) invitations: Vec<InvitationRecord>,
}

/// What a client that wants to enter is told.
pub(crate) enum Entry {
    /// It may.
    Open {
        tag: Tag,
        proof: MembershipProof,
        /// Cancelled when it may not any more.
        revoked: CancellationToken,
    },
    Closed(NotEnteredReason),
}

/// What came of a change.
pub(super) enum Change<T> {
    /// The state is another: it is to be remembered, and others are to hear of it.
    Made(T),
    /// It is as it was; what was tried is forgotten.
    Nothing(T),
}

impl State {
    fn remembered(&self) -> Remembered {
        let operations = self.team.operations().into_iter().cloned().collect();
        let newest = self.secrets.len().saturating_sub(SECRETS_MAX);
        Remembered {
            root: self.team.root(),
            name: self.name.clone(),
            operations,
            secrets: List::new(self.secrets[newest..].to_vec()).expect("cut to fit"),
            invitations: List::new(self.invitations.clone()).expect("counted when made"),
        }
    }

    /// The secret of the epoch in force.
    pub(super) fn secret(&self) -> Option<&(u64, EpochSecret)> {
        let epoch = self.team.epoch()?;
        let id = self.team.id();
        let is_it = |(number, secret): &&(u64, EpochSecret)| {
            *number == epoch.number && epoch.is_of(&id, secret)
        };
        self.secrets.iter().find(is_it)
    }
}

impl TeamBook {
    /// What the home remembers.
    pub(crate) fn load(home: &Path, identity: &Identity) -> Result<Self, TeamFileError> {
        let state = file::load(home)?.map(|remembered| {
            let mut team = Team::new(remembered.root);
            team.merge(remembered.operations);
            State {
                team,
                name: remembered.name,
                secrets: remembered.secrets.into_vec(),
                invitations: remembered.invitations.into_vec(),
            }
        });
        Ok(Self::with(home, identity, state))
    }

    /// The book of a node that is in no team and will not be.
    pub(crate) fn none(identity: &Identity) -> Self {
        Self::with(Path::new(""), identity, None)
    }

    fn with(home: &Path, identity: &Identity, state: Option<State>) -> Self {
        Self(Arc::new(Inner {
            home: home.to_owned(),
            identity: identity.clone(),
            state: RwLock::new(state),
            sessions: Mutex::default(),
            clock: Clock::default(),
            writing: Mutex::default(),
            changed: watch::Sender::new(0),
        }))
    }

    /// This node.
    pub(crate) fn me(&self) -> PeerKey {
        self.0.identity.peer_key()
    }

    /// Sees each change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// The key that this node signs with.
    pub(super) fn keypair(&self) -> &ed25519::Keypair {
        self.0.identity.keypair()
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Option<T> {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        state.as_ref().map(read)
    }

    /// The team's id, root key and name.
    pub(crate) fn team(&self) -> Option<(TeamId, PeerKey, String)> {
        self.read(|state| {
            let (id, root) = (state.team.id(), state.team.root());
            (id, root, state.name.to_string())
        })
    }

    /// The root key, by which what is for the team is known.
    pub(crate) fn root(&self) -> Option<PeerKey> {
        self.read(|state| state.team.root())
    }

    /// Everybody who was ever let in.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.read(|state| state.team.members()).unwrap_or_default()
    }

    /// What a member is called.
    pub(crate) fn name_of(&self, node: &PeerKey) -> Option<String> {
        let mut members = self.members().into_iter();
        let member = members.find(|member| member.node == *node)?;
        Some(member.name)
    }

    /// The secret by which members find each other, and the number of its epoch.
    pub(crate) fn secret(&self) -> Option<(u64, EpochSecret)> {
        self.read(|state| state.secret().cloned()).flatten()
    }

    /// Does something with the team as it is.
    pub(crate) fn with_team<T>(&self, read: impl FnOnce(&Team) -> T) -> Option<T> {
        self.read(|state| read(&state.team))
    }

    /// Changes the state, remembers it, and only then lets it be seen. Where nothing changed,
    /// nothing is written, and nobody told. Blocks.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Option<State>) -> Result<Change<T>, TeamError>,
    ) -> Result<T, TeamError> {
        let _one_at_a_time = self
            .0
            .writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut next = {
            let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
            state.clone()
        };
        let done = match change(&mut next)? {
            Change::Made(done) => done,
            Change::Nothing(done) => return Ok(done),
        };
        if let Some(state) = &next {
            file::save(&self.0.home, &state.remembered())?;
        }
        {
            let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
            *state = next;
            self.cut_sessions(state.as_ref());
        }
        self.tell_of_change();
        Ok(done)
    }

    /// Has those look again who see changes.
    pub(super) fn tell_of_change(&self) {
        self.0.changed.send_modify(|version| *version += 1);
    }

    pub(super) fn session_table(&self) -> &Mutex<Sessions> {
        &self.0.sessions
    }

    /// What it goes by.
    #[cfg(test)]
    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Seconds since 1970, by the book's clock.
    pub(super) fn now_unix_s(&self) -> u64 {
        self.0.clock.now_unix_s()
    }

    pub(super) fn change_team<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<Change<T>, TeamError>,
    ) -> Result<T, TeamError> {
        self.change(|state| change(state.as_mut().ok_or(TeamError::None)?))
    }

    /// Founds a team with this node as its first admin, called `my_name`. Gives the root key,
    /// which is kept nowhere here.
    pub(crate) fn create(
        &self,
        name: TeamName,
        my_name: MemberName,
    ) -> Result<ed25519::Keypair, TeamError> {
        let root = ed25519::Keypair::generate();
        let (me, now) = (self.me(), self.now_unix_s());
        let signs = root.clone();
        self.change(|state| {
            if let Some(state) = state {
                state.lets_go(&me, &PeerKey::of(&signs), now)?;
            }
            let mut team = Team::new(PeerKey::of(&signs));
            let naming = Action::NameAdmin {
                node: me,
                name: my_name,
            };
            let naming = team.sign(&signs, now, naming);
            team.merge([naming]);
            *state = Some(State {
                team,
                name,
                secrets: Vec::new(),
                invitations: Vec::new(),
            });
            let state = state.as_mut().expect("made just now");
            new_epoch(state, self.keypair(), now).map(Change::Made)
        })?;
        Ok(root)
    }

    /// Takes a team that a minter welcomed this node to.
    pub(super) fn enter_team(
        &self,
        root: PeerKey,
        name: TeamName,
        operations: Vec<SignedOperation>,
        secret: Option<(u64, EpochSecret)>,
    ) -> Result<(), TeamError> {
        let (me, now) = (self.me(), self.now_unix_s());
        self.change(|state| {
            let mut entered = State {
                team: Team::new(root),
                name,
                secrets: Vec::new(),
                invitations: Vec::new(),
            };
            if let Some(state) = state {
                state.lets_go(&me, &root, now)?;
                if state.team.root() == root {
                    entered.clone_from(state);
                }
            }
            entered.team.merge(operations);
            entered.secrets.extend(secret);
            if !entered.is_member(&me, now) {
                return Err(TeamError::NoMember(me));
            }
            *state = Some(entered);
            Ok(Change::Made(()))
        })
    }

    /// Makes an invitation, good for `uses` guests until `expires_unix_s`, who stay members
    /// for `stay_s`.
    pub(crate) fn invite(
        &self,
        addresses: Vec<Address>,
        uses: u32,
        expires_unix_s: u64,
        stay_s: Option<u64>,
        name: MemberName,
    ) -> Result<Invitation, TeamError> {
        let me = self.me();
        self.change_team(|state| {
            let now = self.now_unix_s();
            state.check_admin(&me, now)?;
            state.invitations.retain(|record| record.is_good(now));
            if state.invitations.len() == INVITATIONS_MAX {
                return Err(TeamError::Invitations);
            }
            let secret = InvitationSecret::from_bytes(rand::random());
            state.invitations.push(InvitationRecord {
                invitation: PeerKey::of(&secret.keypair()),
                name,
                uses_left: uses,
                expires_unix_s,
                stay_s,
            });
            let mut addresses = addresses;
            addresses.truncate(shoal_protocol::access::team::INVITATION_ADDRESSES_MAX);
            Ok(Change::Made(Invitation {
                root: state.team.root(),
                team_name: state.name.clone(),
                minter: me,
                addresses: List::new(addresses).expect("truncated"),
                secret,
                expires_unix_s,
            }))
        })
    }

    /// Ends a member's membership; with the root key, an admin's too, of whose operations
    /// those that are known go on counting. A new epoch begins, so that whoever goes finds
    /// nobody any more. Blocks.
    pub(crate) fn revoke(
        &self,
        node: PeerKey,
        root: Option<&ed25519::Keypair>,
    ) -> Result<(), TeamError> {
        let me = self.me();
        self.change_team(|state| {
            let now = self.now_unix_s();
            let signs = self.signer(state, root)?;
            let leaves = node == me && root.is_none();
            let last = match state.team.standing(&node, now) {
                Standing::Admin if root.is_none() && !leaves => {
                    return Err(TeamError::NeedsRoot(node));
                }
                Standing::Admin => state.team.last_of(&node),
                Standing::Member => None,
                Standing::Stranger | Standing::Revoked => return Err(TeamError::NoMember(node)),
            };
            if !leaves && root.is_none() {
                state.check_admin(&me, now)?;
            }
            say(state, signs, now, revocation(node, last))?;
            if !leaves {
                new_epoch(state, signs, now)?;
            }
            Ok(Change::Made(()))
        })
    }

    /// Names a member an admin, which only the root key can. Blocks.
    pub(crate) fn name_admin(
        &self,
        node: PeerKey,
        root: &ed25519::Keypair,
    ) -> Result<(), TeamError> {
        self.change_team(|state| {
            let signs = self.signer(state, Some(root))?;
            let members = state.team.members();
            let member = members.iter().find(|member| member.node == node);
            let now = self.now_unix_s();
            let member = member.filter(|_| state.is_member(&node, now));
            let member = member.ok_or(TeamError::NoMember(node))?;
            let name = MemberName::cut(&member.name);
            let naming = Action::NameAdmin { node, name };
            say(state, signs, now, naming).map(Change::Made)
        })
    }

    fn signer<'a>(
        &'a self,
        state: &State,
        root: Option<&'a ed25519::Keypair>,
    ) -> Result<&'a ed25519::Keypair, TeamError> {
        match root {
            Some(root) if PeerKey::of(root) != state.team.root() => Err(TeamError::NotTheRoot),
            Some(root) => Ok(root),
            None => Ok(self.keypair()),
        }
    }

    /// Merges what others say, if anything of it is new. Blocks.
    pub(super) fn merge(&self, operations: Vec<SignedOperation>) -> Result<Merged, TeamError> {
        let news = self.read(|state| {
            let known = |signed: &SignedOperation| state.team.operation(&signed.id()).is_some();
            !operations.iter().all(known)
        });
        if !news.ok_or(TeamError::None)? {
            return Ok(Merged::default());
        }
        let merged = self.change_team(|state| {
            let merged = state.team.merge(operations);
            let is_as_before = merged.new.is_empty() && merged.dropped.is_empty();
            Ok(match is_as_before {
                true => Change::Nothing(merged),
                false => Change::Made(merged),
            })
        })?;
        for author in &merged.forked {
            tracing::warn!(%author, "a node said two things in one: was its home copied?");
        }
        Ok(merged)
    }

    /// Takes a discovery secret, if it is the one that the epoch in force was begun with, and
    /// not known. Blocks.
    pub(super) fn learn_secret(&self, number: u64, secret: EpochSecret) -> Result<(), TeamError> {
        let is_news = |state: &State| {
            let id = state.team.id();
            let is_in_force = (state.team.epoch())
                .is_some_and(|epoch| epoch.number == number && epoch.is_of(&id, &secret));
            is_in_force && state.secret().is_none()
        };
        if self.read(is_news) != Some(true) {
            return Ok(());
        }
        self.change_team(|state| {
            if !is_news(state) {
                return Ok(Change::Nothing(()));
            }
            state.secrets.push((number, secret.clone()));
            Ok(Change::Made(()))
        })
    }

    /// Whether the client that says `enter` may come in as a member.
    pub(crate) fn judge(&self, enter: &Enter, ours: &Binding, client_nonce: Nonce) -> Entry {
        let not_permitted = Entry::Closed(NotEnteredReason::NotPermitted);
        let now = self.now_unix_s();
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        let is_in = |state: &&State| state.is_member(&self.me(), now);
        let Some(state) = state.as_ref().filter(is_in) else {
            return not_permitted;
        };
        let root = state.team.root();
        if enter.tag != Tag::of_client(&root, ours) {
            return not_permitted;
        }
        let tag = Tag::of_server(
            &root,
            &Binding {
                nonce: client_nonce,
                ..*ours
            },
        );
        let client = ours.client;
        let known = state.team.standing(&client, now);
        let proof = enter.proof.clone().filter(|_| known == Standing::Stranger);
        let standing = match &proof {
            Some(proof) => (state.team)
                .check_proof(proof, &client, now)
                .unwrap_or(Standing::Revoked),
            None => known,
        };
        match standing {
            Standing::Revoked => not_permitted,
            Standing::Stranger => Entry::Closed(NotEnteredReason::Unproven { tag }),
            Standing::Member | Standing::Admin => Entry::Open {
                tag,
                proof: state.team.proof_of(&self.me()).expect("it is a member"),
                revoked: self.open_session(client, proof),
            },
        }
    }

    /// What this node says to enter at a server.
    pub(crate) fn knock(&self, binding: &Binding, with_proof: bool) -> Option<Enter> {
        let me = self.me();
        self.read(|state| {
            let tag = Tag::of_client(&state.team.root(), binding);
            let proof = state.team.proof_of(&me)?;
            Some(Enter {
                tag,
                proof: with_proof.then_some(proof),
            })
        })
        .flatten()
    }

    /// Whether a server that answers with this tag and proof is of this node's team.
    pub(crate) fn recognises(
        &self,
        tag: &Tag,
        proof: Option<&MembershipProof>,
        theirs: &Binding,
    ) -> bool {
        let recognised = self.read(|state| {
            let of_team = *tag == Tag::of_server(&state.team.root(), theirs);
            let now = self.now_unix_s();
            let is_member = proof.is_none_or(|proof| {
                let standing = state.team.check_proof(proof, &theirs.server, now);
                matches!(standing, Ok(Standing::Member | Standing::Admin))
            });
            of_team && is_member
        });
        recognised.unwrap_or(false)
    }
}

fn revocation(node: PeerKey, last: Option<Cut>) -> Action {
    Action::Revoke { node, last }
}

/// Says something in the team's name, if it lets that stand.
fn say(
    state: &mut State,
    signs: &ed25519::Keypair,
    now: u64,
    action: Action,
) -> Result<(), TeamError> {
    let signed = state.team.sign(signs, now, action);
    let merged = state.team.merge([signed]);
    match merged.refused.first() {
        Some((_, reason)) => Err(TeamError::Refused(*reason)),
        None => Ok(()),
    }
}

/// Begins a new epoch, with a fresh secret.
fn new_epoch(state: &mut State, signs: &ed25519::Keypair, now: u64) -> Result<(), TeamError> {
    let secret = EpochSecret::from_bytes(rand::random());
    let number = state.team.epoch().map_or(0, |epoch| epoch.number + 1);
    let epoch = Epoch::new(&state.team.id(), number, &secret);
    say(state, signs, now, Action::Epoch(epoch))?;
    state.secrets.push((number, secret));
    Ok(())
}
