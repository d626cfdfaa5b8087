//! The first user, and how others become users.

use crate::{
    access::{Access, Peer, SignUp},
    caller::{Caller, Means, Tenant},
    did,
    error::{AccessError, AccessResult},
    limits::{LONGEST_NAME, MOST_ROWS, RESET_FOR},
    password,
    people::{NewUser, Purpose, Ticket, User, UserId},
    role::{Role, Scope},
    secret::{self, Secret},
    sign_in::NewSession,
};

/// The name of an installation's one user until he chooses another.
const SINGLE_USER: &str = "me";

/// What a visitor without a session is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// He is the one user of this machine and needs no password ([`Access::here`]).
    SingleUser,
    /// Nobody could sign in: the link of [`Access::set_up_link`] makes the administrator.
    NeedsSetUp,
    /// Sign in.
    Accounts,
}

impl Access {
    /// What a visitor without a session is to see.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn standing(&self) -> AccessResult<Standing> {
        if self.is_single_user().await? {
            return Ok(Standing::SingleUser);
        }
        let users = self.people.users(UserId(0), MOST_ROWS).await?;
        let can_administer = |user: &User| {
            user.role == Role::Administrator
                && user.disabled_at.is_none()
                && (user.password.is_some() || user.wallet.is_some())
        };
        Ok(if users.iter().any(can_administer) { Standing::Accounts } else { Standing::NeedsSetUp })
    }

    /// Whether the installation is its one user's, who needs no password on his own machine.
    pub(crate) async fn is_single_user(&self) -> AccessResult<bool> {
        Ok(self.settings.single_user && self.people.users(UserId(0), 2).await?.len() <= 1)
    }

    /// The installation's one user, who needs no session on his own machine: he has one once he has proved who he is.
    ///
    /// # Errors
    /// [`AccessError::NotSignedIn`] where that is not so; when the store fails.
    pub async fn here(&self, peer: &Peer) -> AccessResult<Caller> {
        if self.standing().await? != Standing::SingleUser {
            return Err(AccessError::NotSignedIn);
        }
        let user = match self.people.users(UserId(0), 1).await?.pop() {
            Some(user) => user,
            None => match self.add_first(SINGLE_USER, None, peer).await {
                // Two requests at once: one of them made him.
                Err(AccessError::Conflict(_)) => {
                    let made = self.people.users(UserId(0), 1).await?.pop();
                    made.ok_or(AccessError::NotSignedIn)?
                }
                added => added?,
            },
        };
        Ok(Caller {
            tenant: Tenant::of(user.owner),
            user: user.id,
            role: user.role,
            scopes: user.role.scopes(),
            means: Means::Here,
            proven_at: None,
            can_prove: user.password.is_some(),
            single: true,
            name: user.name,
        })
    }

    /// The secret of the link that makes the administrator; the newest one alone works. `None` when there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_up_link(&self) -> AccessResult<Option<Secret>> {
        if self.standing().await? != Standing::NeedsSetUp {
            return Ok(None);
        }
        let note = self.line(None, &Peer::default(), did::SET_UP_LINK, "");
        let link = self.ticket(Purpose::SetUp, (None, None), self.settings.set_up_for, Some(&note)).await?;
        Ok(Some(link))
    }

    /// Whether a link works: for the page that it opens. It is not used up.
    ///
    /// # Errors
    /// [`AccessError::BadTicket`]; when the store fails.
    pub async fn look_at_link(&self, link: &str, purpose: Purpose) -> AccessResult<Ticket> {
        let found = self.people.ticket(secret::digest(link), self.now()).await?;
        found.filter(|ticket| ticket.purpose == purpose).ok_or(AccessError::BadTicket)
    }

    /// Makes the administrator, who gets what the installation has already.
    ///
    /// # Errors
    /// [`AccessError`]; the link works again when name or password were refused.
    pub async fn set_up(
        &self,
        link: &str,
        name: &str,
        password: &str,
        peer: &Peer,
    ) -> AccessResult<NewSession> {
        self.look_at_link(link, Purpose::SetUp).await?;
        let name = checked_name(name)?;
        let kept = self.kept(password, &name).await?;
        self.redeem(link, Purpose::SetUp).await?;
        let user = match self.people.users(UserId(0), 1).await?.pop() {
            None => self.add_first(&name, Some(kept), peer).await?,
            // The one user of an installation that had no accounts until now.
            Some(user) if user.password.is_none() && user.wallet.is_none() => {
                let changed =
                    User { name, password: Some(kept), role: Role::Administrator, disabled_at: None, ..user };
                self.change(changed, peer, did::PASSWORD_CHANGED).await?
            }
            Some(_) => return Err(AccessError::AccountsExist),
        };
        self.begin(&user, None, Some(self.now()), peer, did::SIGNED_IN).await
    }

    async fn add_first(&self, name: &str, password: Option<String>, peer: &Peer) -> AccessResult<User> {
        let owner = self.people.unclaimed_owner().await?;
        let user =
            NewUser { owner, name: name.to_owned(), role: Role::Administrator, password, wallet: None };
        let note = self.line(None, peer, did::USER_ADDED, format!("{name}, administrator"));
        Ok(self.people.add_user(&user, &note).await?)
    }

    /// The secret of an invitation.
    ///
    /// # Errors
    /// [`AccessError::Forbidden`] to all but administrators, [`AccessError::StepUp`].
    pub async fn invite(&self, caller: &Caller, role: Role, peer: &Peer) -> AccessResult<Secret> {
        caller.needs(Scope::Administer)?;
        caller.needs_proof(self.now())?;
        let note = self.note_of(caller, peer, did::INVITED, role.name());
        self.ticket(Purpose::Invitation, (None, Some(role)), self.settings.invited_for, Some(&note)).await
    }

    /// Makes a user of whoever was invited, or of anybody where sign-up is open.
    ///
    /// # Errors
    /// [`AccessError`]; the invitation works again when name or password were refused.
    pub async fn sign_up(
        &self,
        invitation: Option<&str>,
        name: &str,
        password: &str,
        peer: &Peer,
    ) -> AccessResult<NewSession> {
        if self.standing().await? != Standing::Accounts {
            return Err(AccessError::ByInvitation);
        }
        let role = match invitation {
            Some(link) => self.look_at_link(link, Purpose::Invitation).await?.role,
            None if self.settings.sign_up == SignUp::Open => Some(Role::Trader),
            None => return Err(AccessError::ByInvitation),
        };
        let role = role.ok_or(AccessError::BadTicket)?;
        let name = checked_name(name)?;
        // Names can be tried out here: as slowly as passwords.
        let counted = self.count(&name, peer).await?;
        let kept = self.kept(password, &name).await?;
        if self.people.user_named(&name).await?.is_some() {
            return Err(AccessError::NameTaken);
        }
        if let Some(link) = invitation {
            self.redeem(link, Purpose::Invitation).await?;
        }
        let note = self.line(None, peer, did::USER_ADDED, format!("{name}, {role}"));
        let user = NewUser { owner: None, name, role, password: Some(kept), wallet: None };
        let user = self.people.add_user(&user, &note).await?;
        self.was_right(counted).await?;
        self.begin(&user, None, Some(self.now()), peer, did::SIGNED_IN).await
    }

    /// The secret of a link by which a user sets another password; an authenticator app and passkeys stay.
    ///
    /// # Errors
    /// [`AccessError::Forbidden`] to all but administrators, [`AccessError::StepUp`]; [`AccessError::NotFound`].
    pub async fn reset_link(&self, caller: &Caller, user: UserId, peer: &Peer) -> AccessResult<Secret> {
        caller.needs(Scope::Administer)?;
        caller.needs_proof(self.now())?;
        let user = crate::caller::found(self.people.user(user).await, "user")?;
        let note = self.note_of(caller, peer, did::RESET, &format!("user {}", user.id));
        self.ticket(Purpose::Reset, (Some(user.id), None), RESET_FOR, Some(&note)).await
    }

    /// Sets another password by such a link and ends all sessions. It signs nobody in.
    ///
    /// # Errors
    /// [`AccessError`]; the link works again when the password was refused.
    pub async fn reset(&self, link: &str, password: &str, peer: &Peer) -> AccessResult<()> {
        let ticket = self.look_at_link(link, Purpose::Reset).await?;
        let id = ticket.user.ok_or(AccessError::BadTicket)?;
        let user = crate::caller::found(self.people.user(id).await, "user")?;
        let kept = self.kept(password, &user.name).await?;
        self.redeem(link, Purpose::Reset).await?;
        let user = self.change(User { password: Some(kept), ..user }, peer, did::PASSWORD_CHANGED).await?;
        let note = self.line(Some((user.id, user.owner)), peer, did::OTHERS_SIGNED_OUT, "");
        self.people.end_sessions(user.id, None, &note).await?;
        Ok(())
    }

    /// What is kept of a password that this name may have.
    pub(crate) async fn kept(&self, password: &str, name: &str) -> AccessResult<String> {
        password::check(password, name)?;
        password::keep(&self.hashing, self.random.as_ref(), password).await
    }

    /// Changes a user, and notes what about him.
    pub(crate) async fn change(&self, user: User, peer: &Peer, what: &str) -> AccessResult<User> {
        let note = self.line(Some((user.id, user.owner)), peer, what, format!("user {}", user.id));
        self.people.change_user(&user, &note).await?;
        Ok(User { version: user.version.saturating_add(1), ..user })
    }
}

/// A name as it is kept.
pub(crate) fn checked_name(name: &str) -> AccessResult<String> {
    let name = name.trim().to_lowercase();
    let may = |letter: char| letter.is_ascii_alphanumeric() || ".-_@+".contains(letter);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(may) {
        return Err(AccessError::BadName);
    }
    Ok(name)
}
