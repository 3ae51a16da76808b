//! What a provider demands back on the next turn, carried by an agent whose dialect has no place for
//! it: sealed into an opaque field where there is one, kept here under the call's id where there is none.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use preloop_dialects::{
    Dialect,
    ir::Signature,
    translate::{BadRequest, Carrier},
};
use preloop_store::Sealer;
use preloop_types::AccountId;
use serde::{Deserialize, Serialize};

/// What a sealed signature begins with: whole groups of base64, because some SDKs decode signatures and
/// encode them again.
const PREFIX: &str = "preloop1";
/// Reads what they make of it, padded or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const CONTEXT: &str = "gateway/reasoning";
/// Longest text that is opened.
const SEALED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most that is kept for one call, for all calls, and for how long.
const KEPT_BYTES_MAX: usize = 64 * 1024;
const KEPT_BYTES_IN_ALL: usize = 32 * 1024 * 1024;
const KEPT_FOR: Duration = Duration::from_hours(24);

/// Whether `body` may hold something only its own sealer can open: no provider knows what to do with it.
pub(crate) fn is_carried_in(body: &[u8]) -> bool {
    memchr::memmem::find(body, PREFIX.as_bytes()).is_some()
}

/// Carries for the agents of one account.
pub(crate) struct AccountCarrier {
    account: AccountId,
    sealer: Sealer,
    kept: Arc<Kept>,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    dialect: Dialect,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    item: Option<String>,
    value: String,
}

impl AccountCarrier {
    pub(crate) fn new(account: AccountId, sealer: Sealer, kept: Arc<Kept>) -> Self {
        Self { account, sealer, kept }
    }
}

impl Carrier for AccountCarrier {
    fn seal(&self, signature: &Signature) -> String {
        let Signature { dialect, item_id, value } = signature.clone();
        // A struct of strings always serialises.
        let plain = serde_json::to_vec(&Envelope { dialect, item: item_id, value }).unwrap_or_default();
        format!("{PREFIX}{}", STANDARD.encode(self.sealer.seal(CONTEXT, &plain)))
    }

    fn open(&self, text: &str) -> Result<Option<Signature>, BadRequest> {
        let Some(sealed) = text.strip_prefix(PREFIX) else { return Ok(None) };
        let envelope = (sealed.len() <= SEALED_BYTES_MAX)
            .then(|| LENIENT.decode(sealed.replace('-', "+").replace('_', "/")).ok())
            .flatten()
            .and_then(|sealed| self.sealer.open(CONTEXT, &sealed).ok())
            .and_then(|plain| serde_json::from_slice::<Envelope>(&plain).ok());
        let Some(Envelope { dialect, item, value }) = envelope else {
            return Err(BadRequest {
                field: None,
                why: "a signature of earlier reasoning was changed, or belongs to another account; begin the \
                      conversation anew or leave the reasoning out"
                    .to_owned(),
            });
        };
        Ok(Some(Signature { dialect, item_id: item, value }))
    }

    fn remember(&self, call_id: &str, text: &str, signature: Option<&Signature>) {
        self.kept
            .put((self.account, call_id.to_owned()), Thinking { text: text.to_owned(), signature: signature.cloned() });
    }

    fn recall(&self, call_id: &str) -> Option<(String, Option<Signature>)> {
        self.kept.get(&(self.account, call_id.to_owned())).map(|kept| (kept.text, kept.signature))
    }
}

type Place = (AccountId, String);

#[derive(Clone)]
struct Thinking {
    text: String,
    signature: Option<Signature>,
}

impl Thinking {
    fn bytes(&self) -> usize {
        128 + self.text.len() + self.signature.as_ref().map_or(0, |signature| signature.value.len())
    }
}

/// Thinking of tool calls, for agents that cannot carry it. In memory: after a restart a conversation
/// goes on without it.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    by_call: HashMap<Place, (Instant, Thinking)>,
    oldest_first: VecDeque<(Instant, Place)>,
    bytes: usize,
}

impl Kept {
    fn put(&self, place: Place, thinking: Thinking) {
        let bytes = thinking.bytes();
        if bytes > KEPT_BYTES_MAX {
            return;
        }
        let now = Instant::now();
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.bytes += bytes;
        shelf.oldest_first.push_back((now, place.clone()));
        if let Some((_, before)) = shelf.by_call.insert(place, (now, thinking)) {
            shelf.bytes -= before.bytes();
        }
        shelf.make_room(now);
    }

    fn get(&self, place: &Place) -> Option<Thinking> {
        let shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, thinking) = shelf.by_call.get(place)?;
        (since.elapsed() < KEPT_FOR).then(|| thinking.clone())
    }
}

impl Shelf {
    fn make_room(&mut self, now: Instant) {
        while let Some((since, _)) = self.oldest_first.front() {
            if self.bytes <= KEPT_BYTES_IN_ALL && now.duration_since(*since) < KEPT_FOR {
                return;
            }
            let Some((since, place)) = self.oldest_first.pop_front() else { return };
            // Put again since: its newer place in the queue counts.
            if self.by_call.get(&place).is_some_and(|(put, _)| *put == since)
                && let Some((_, gone)) = self.by_call.remove(&place)
            {
                self.bytes -= gone.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let kept = Kept::default();
        let account = AccountId::new(preloop_types::Timestamp::from_micros(0));
        let place = |call: usize| (account, format!("call_{call}"));
        let thinking = Thinking { text: "x".repeat(60 * 1024), signature: None };
        for call in 0..1000 {
            kept.put(place(call), thinking.clone());
        }

        assert!(kept.get(&place(0)).is_none());
        assert!(kept.get(&place(999)).is_some());
        assert!(kept.0.lock().is_ok_and(|shelf| shelf.bytes <= KEPT_BYTES_IN_ALL));
    }
}
