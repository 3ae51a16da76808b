//! A model for Preloop's own parts that says what a test has it say.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use preloop_govern::{Models, NoAnswer, Question, Reply};
use preloop_types::Principal;

/// What it does when it is asked.
pub(crate) enum Says {
    Text(String),
    /// Nothing, for so long.
    Nothing(Duration),
    /// It fails.
    Error,
}

/// Says one thing after the other, and remembers what it was asked by whom.
#[derive(Default)]
pub(crate) struct Oracle {
    says: Mutex<VecDeque<Says>>,
    asked: Mutex<Vec<(Arc<Principal>, Question)>>,
}

impl Oracle {
    pub(crate) fn new(says: impl IntoIterator<Item = Says>) -> Arc<Self> {
        Arc::new(Self { says: Mutex::new(says.into_iter().collect()), asked: Mutex::default() })
    }

    pub(crate) fn asked(&self) -> Vec<(Arc<Principal>, Question)> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Models for Oracle {
    async fn ask(&self, who: Arc<Principal>, question: Question) -> Result<Reply, NoAnswer> {
        self.asked.lock().unwrap().push((who, question));
        let next = self.says.lock().unwrap().pop_front();
        match next {
            Some(Says::Text(text)) => Ok(Reply { text, model: "oracle-1".to_owned(), is_whole: true }),
            Some(Says::Nothing(wait)) => {
                tokio::time::sleep(wait).await;
                Err(NoAnswer("too late".to_owned()))
            }
            Some(Says::Error) | None => Err(NoAnswer("the provider is down".to_owned())),
        }
    }
}
