use std::{net::IpAddr, sync::Arc};

use preloop_store::Store;

use crate::{
    attempts::Attempts,
    password::{PasswordCost, Passwords},
};

/// How people of this instance sign in.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where people reach this instance; goes into links. Without a slash at the end.
    pub public_url: String,
    /// Whether mail can be sent.
    pub mail: bool,
    /// Whether anybody may make an account.
    pub registration: bool,
    /// How much work a password's hash is.
    pub password_cost: PasswordCost,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            public_url: "http://localhost:8000".to_owned(),
            mail: false,
            registration: false,
            password_cost: PasswordCost::STANDARD,
        }
    }
}

/// People, and how they prove who they are. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    store: Store,
    options: Options,
    passwords: Passwords,
    attempts: Attempts,
}

/// What somebody signs in with, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// What it says it is: a browser, a command line.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
}

impl Identity {
    /// People of `store`; nothing is open that can be closed.
    pub fn new(store: Store) -> Self {
        Self::with(store, Options::default())
    }

    /// People of `store`.
    pub fn with(store: Store, options: Options) -> Self {
        let passwords = Passwords::new(options.password_cost.clone());
        Self(Arc::new(Inner { store, options, passwords, attempts: Attempts::default() }))
    }

    /// The store behind it.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// How people of this instance sign in.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    pub(crate) fn attempts(&self) -> &Attempts {
        &self.0.attempts
    }
}
