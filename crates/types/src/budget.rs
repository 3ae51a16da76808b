//! Budgets: how much may be spent, by whom, in which stretch of time.

use chrono::{DateTime, Datelike, Days, Months, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{AgentId, BudgetId, KeyId, Model, ModelPattern, Principal, SessionId, TeamId, Timestamp, UserId};

/// A limit on what model calls may consume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Its id.
    pub id: BudgetId,
    /// Whose calls it counts.
    pub subject: BudgetSubject,
    /// Calls of which models; of all when absent.
    pub model: Option<ModelPattern>,
    /// How long it lasts before it begins anew.
    pub period: Period,
    /// What it counts.
    pub unit: BudgetUnit,
    /// Calls that could pass it are refused. In nano-dollars, tokens or requests.
    pub hard: Option<i64>,
    /// Passing it is reported. In the same unit.
    pub soft: Option<i64>,
    /// Who is told of limits that were reached.
    pub alerts: BudgetAlerts,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Whose calls a budget counts. Without an id: those of each one by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "subject_type", content = "subject_id")]
pub enum BudgetSubject {
    /// Everybody's, together.
    Account,
    /// A person's.
    User(Option<UserId>),
    /// Of all who are in a team, together.
    Team(TeamId),
    /// A managed agent's.
    Agent(Option<AgentId>),
    /// An API key's.
    Key(Option<KeyId>),
    /// One run of an agent's.
    Session(Option<SessionId>),
    /// Of all agents with this label, together.
    Tag(String),
}

/// Who is told of limits that were reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetAlerts {
    /// Told when the soft limit is passed, once a window.
    pub on_soft: bool,
    /// Told when the hard limit refuses a call, once a window.
    pub on_hard: bool,
    /// E-mail addresses; the account's owner when empty.
    pub emails: Vec<String>,
}

impl Default for BudgetAlerts {
    fn default() -> Self {
        Self { on_soft: true, on_hard: true, emails: Vec::new() }
    }
}

words! {
    /// What a budget counts.
    BudgetUnit {
        /// Nano-dollars.
        Usd = "usd",
        /// Tokens, of prompts and answers.
        Tokens = "tokens",
        /// Calls.
        Requests = "requests",
    }
}

words! {
    /// How long a budget lasts before it begins anew. Windows begin by the UTC calendar.
    Period {
        /// Until the full hour.
        Hourly = "hourly",
        /// Until midnight.
        Daily = "daily",
        /// Until Monday.
        Weekly = "weekly",
        /// Until the first of the month.
        Monthly = "monthly",
        /// Until the first of January.
        Yearly = "yearly",
        /// For good.
        AllTime = "all_time",
    }
}

/// One stretch of a budget's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// When it began; the epoch for one that never ends.
    pub start: Timestamp,
    /// When the next one begins.
    pub end: Option<Timestamp>,
}

impl BudgetSubject {
    /// Its kind's word.
    pub const fn kind(&self) -> &'static str {
        match self {
            BudgetSubject::Account => "account",
            BudgetSubject::User(_) => "user",
            BudgetSubject::Team(_) => "team",
            BudgetSubject::Agent(_) => "agent",
            BudgetSubject::Key(_) => "key",
            BudgetSubject::Session(_) => "session",
            BudgetSubject::Tag(_) => "tag",
        }
    }

    /// The id or label that narrows its kind to one.
    pub fn id(&self) -> Option<String> {
        match self {
            BudgetSubject::Account => None,
            BudgetSubject::User(id) => id.map(|id| id.to_string()),
            BudgetSubject::Team(id) => Some(id.to_string()),
            BudgetSubject::Agent(id) => id.map(|id| id.to_string()),
            BudgetSubject::Key(id) => id.map(|id| id.to_string()),
            BudgetSubject::Session(id) => id.map(|id| id.to_string()),
            BudgetSubject::Tag(tag) => Some(tag.clone()),
        }
    }

    /// From a kind's word and what narrows it.
    pub fn parse(kind: &str, id: Option<&str>) -> Option<Self> {
        fn one<T: std::str::FromStr>(id: Option<&str>) -> Result<Option<T>, T::Err> {
            id.map(str::parse).transpose()
        }
        Some(match kind {
            "account" if id.is_none() => BudgetSubject::Account,
            "user" => BudgetSubject::User(one(id).ok()?),
            "team" => BudgetSubject::Team(id?.parse().ok()?),
            "agent" | "managed_agent" => BudgetSubject::Agent(one(id).ok()?),
            "key" | "api_key" => BudgetSubject::Key(one(id).ok()?),
            "session" | "runtime_session" => BudgetSubject::Session(one(id).ok()?),
            "tag" => BudgetSubject::Tag(id?.to_owned()),
            _ => return None,
        })
    }

    /// For whom a call of `who` is counted: a budget of each one has a sum for each of these ids, any
    /// other budget a single one under the nil id. `None`: the call is not this subject's.
    pub fn counted_for(&self, who: &Principal, session: Option<SessionId>) -> Option<Uuid> {
        fn among<T: Copy + PartialEq>(subject: Option<T>, caller: Option<T>, id: impl Fn(T) -> Uuid) -> Option<Uuid> {
            match subject {
                None => caller.map(id),
                Some(_) => (subject == caller).then_some(Uuid::nil()),
            }
        }
        match self {
            BudgetSubject::Account => Some(Uuid::nil()),
            // Who is in a team only the account's configuration knows: see [`Budget::counts`].
            BudgetSubject::Team(_) => None,
            BudgetSubject::User(user) => among(*user, Some(who.user), |id| id.0),
            BudgetSubject::Agent(agent) => among(*agent, who.agent.as_ref().map(|agent| agent.id), |id| id.0),
            BudgetSubject::Key(key) => among(*key, Some(who.key), |id| id.0),
            BudgetSubject::Session(one) => among(*one, session.or(who.session), |id| id.0),
            BudgetSubject::Tag(tag) => {
                who.agent.as_ref().is_some_and(|agent| agent.tags.contains(tag)).then_some(Uuid::nil())
            }
        }
    }
}

impl Budget {
    /// For whom it counts a call of `model`; `None` if it does not count it. `is_member` tells whether the caller's
    /// person is in a team. See
    /// [`BudgetSubject::counted_for`].
    pub fn counts(
        &self,
        who: &Principal,
        session: Option<SessionId>,
        model: &Model,
        is_member: impl FnOnce(TeamId) -> bool,
    ) -> Option<Uuid> {
        if self.model.as_ref().is_some_and(|pattern| !pattern.matches(model)) {
            return None;
        }
        match &self.subject {
            BudgetSubject::Team(team) => is_member(*team).then_some(Uuid::nil()),
            subject => subject.counted_for(who, session),
        }
    }
}

impl Period {
    /// The window that holds `at`.
    pub fn window(self, at: Timestamp) -> Window {
        if self == Period::AllTime {
            return Window { start: Timestamp::from_micros(0), end: None };
        }
        let start = self.start(at.to_datetime());
        Window { start: start.into(), end: self.next(start).map(Timestamp::from) }
    }

    fn start(self, at: DateTime<Utc>) -> DateTime<Utc> {
        let hour = at
            - TimeDelta::nanoseconds(at.timestamp_subsec_nanos().into())
            - TimeDelta::seconds(i64::from(at.minute() * 60 + at.second()));
        let day = hour - TimeDelta::hours(at.hour().into());
        let back = |days: u32| day - TimeDelta::days(days.into());
        match self {
            Period::Hourly => hour,
            Period::Daily | Period::AllTime => day,
            Period::Weekly => back(at.weekday().num_days_from_monday()),
            Period::Monthly => back(at.day0()),
            Period::Yearly => back(at.ordinal0()),
        }
    }

    fn next(self, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Period::Hourly => start.checked_add_signed(TimeDelta::hours(1)),
            Period::Daily => start.checked_add_days(Days::new(1)),
            Period::Weekly => start.checked_add_days(Days::new(7)),
            Period::Monthly => start.checked_add_months(Months::new(1)),
            Period::Yearly => start.checked_add_months(Months::new(12)),
            Period::AllTime => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountId, Agent};

    fn at(text: &str) -> Timestamp {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc).into()
    }

    #[test]
    fn windows_begin_by_the_utc_calendar() {
        // A Friday.
        let now = at("2026-11-20T14:03:29.5Z");
        let window = |period: Period| {
            let Window { start, end } = period.window(now);
            let short = |at: Timestamp| at.to_datetime().format("%Y-%m-%dT%H:%M").to_string();
            (short(start), end.map(short).unwrap_or_default())
        };
        let pair = |start: &str, end: &str| (start.to_owned(), end.to_owned());
        assert_eq!(window(Period::Hourly), pair("2026-11-20T14:00", "2026-11-20T15:00"));
        assert_eq!(window(Period::Daily), pair("2026-11-20T00:00", "2026-11-21T00:00"));
        assert_eq!(window(Period::Weekly), pair("2026-11-16T00:00", "2026-11-23T00:00"));
        assert_eq!(window(Period::Monthly), pair("2026-11-01T00:00", "2026-12-01T00:00"));
        assert_eq!(window(Period::Yearly), pair("2026-01-01T00:00", "2027-01-01T00:00"));
        assert_eq!(window(Period::AllTime), pair("1970-01-01T00:00", ""));
    }

    #[test]
    fn a_window_holds_its_start_and_not_its_end() {
        let midnight = at("2024-02-29T00:00:00Z");
        let Window { start, end } = Period::Daily.window(midnight);
        assert_eq!((start, end), (midnight, Some(at("2024-03-01T00:00:00Z"))));
        assert_eq!(Period::Monthly.window(midnight).end, Some(at("2024-03-01T00:00:00Z")));
    }

    fn caller() -> Principal {
        let id = Uuid::from_u128;
        Principal {
            account: AccountId(id(1)),
            user: UserId(id(2)),
            username: "ann".to_owned(),
            key: KeyId(id(3)),
            key_name: "laptop".to_owned(),
            credential: crate::CredentialKind::ApiKey,
            permissions: crate::PermissionSet::ALL,
            audience: crate::Audience::Everything,
            impersonator: None,
            scopes: Vec::new(),
            agent: Some(Agent {
                id: AgentId(id(4)),
                name: "Claude Code".to_owned(),
                kind: "claude_code".to_owned(),
                tags: vec!["team=web".to_owned()],
            }),
            session: None,
            allowed_tools: None,
            allowed_servers: None,
        }
    }

    #[test]
    fn a_budget_of_one_counts_that_one_and_a_budget_of_each_keeps_them_apart() {
        let (nil, id) = (Some(Uuid::nil()), |n| Uuid::from_u128(n));
        let session = Some(SessionId(id(5)));
        let counted = |subject: BudgetSubject| subject.counted_for(&caller(), session);

        assert_eq!(counted(BudgetSubject::Account), nil);
        assert_eq!(counted(BudgetSubject::Key(Some(KeyId(id(3))))), nil);
        assert_eq!(counted(BudgetSubject::Key(Some(KeyId(id(9))))), None);
        assert_eq!(counted(BudgetSubject::Key(None)), Some(id(3)));
        assert_eq!(counted(BudgetSubject::Session(None)), Some(id(5)));
        assert_eq!(counted(BudgetSubject::Agent(Some(AgentId(id(4))))), nil);
        assert_eq!(counted(BudgetSubject::Tag("team=web".to_owned())), nil);
        assert_eq!(counted(BudgetSubject::Tag("team=ops".to_owned())), None);
        let without_agent = Principal { agent: None, ..caller() };
        assert_eq!(BudgetSubject::Agent(None).counted_for(&without_agent, None), None);
        assert_eq!(BudgetSubject::Session(None).counted_for(&without_agent, None), None);
    }

    #[test]
    fn a_subject_is_what_its_words_say() {
        let key = BudgetSubject::Key(Some(KeyId(Uuid::from_u128(3))));
        for subject in [key, BudgetSubject::Account, BudgetSubject::User(None), BudgetSubject::Tag("a=b".to_owned())] {
            assert_eq!(BudgetSubject::parse(subject.kind(), subject.id().as_deref()), Some(subject));
        }
        for (kind, id) in [("account", Some("x")), ("key", Some("x")), ("tag", None), ("planet", None)] {
            assert_eq!(BudgetSubject::parse(kind, id), None);
        }
    }
}
