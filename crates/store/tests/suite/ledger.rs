//! Leases on budgets and the sums of usage, against a naive account of both.

use std::collections::HashMap;

use preloop_store::{LeaseAsk, LedgerLine, Settled, Usage, UsageBy, UsageFilter, WindowKey, each_store};
use preloop_types::{BudgetId, EntryKind, NanoUsd, Timestamp, Tokens};
use uuid::Uuid;

use crate::entry;

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from(self.0 >> 1).unwrap() % below.max(1)
    }
}

#[derive(Default, Clone, Copy)]
struct Share {
    settled: i64,
    leased: i64,
}

each_store! {
    async fn p4_leases_never_pass_the_limit_in_whatever_order(store) {
        let account = store.owner("ann").await.account;
        let lives: Vec<Uuid> = [Uuid::now_v7(), Uuid::now_v7()].into_iter().chain([store.life()]).collect();
        for life in &lives[..2] {
            let writer = Uuid::now_v7();
            let [life, writer] = [life, &writer].map(|id| if store.is_sqlite() { format!("X'{}'", id.simple()) } else { format!("'{id}'") });
            // Alive for long, so that nobody settles in its place.
            let alive = format!("INSERT INTO writers (id, started_at, lease_until) VALUES ({writer}, 0, 9000000000000000)");
            store.tamper(&alive).await.unwrap();
            store.tamper(&format!("INSERT INTO lives (id, writer_id) VALUES ({life}, {writer})")).await.unwrap();
        }
        for seed in 1..12 {
            let mut dice = Dice(seed * 0x9E37_79B9);
            let window = WindowKey { budget: BudgetId(Uuid::now_v7()), subject: Uuid::nil(), start: Timestamp::from_micros(0) };
            let mut shares: HashMap<Uuid, Share> = HashMap::new();
            let mut hard = 50 + dice.roll(1_000);
            for step in 0..25 {
                let life = lives[usize::try_from(dice.roll(3)).unwrap()];
                let held = shares.entry(life).or_default().leased;
                if dice.roll(3) == 0 && held > 0 {
                    let released = 1 + dice.roll(held);
                    let spent = dice.roll(released + 1);
                    let settled = vec![Settled { life, window, spent, released }];
                    let line = LedgerLine { settled, ..LedgerLine::default() };
                    store.append_with(entry(account, EntryKind::ModelOutcome, None), line).await.unwrap();
                    let share = shares.get_mut(&life).unwrap();
                    *share = Share { settled: share.settled + spent, leased: share.leased - released };
                    continue;
                }
                let (give_back, need) = (dice.roll(held + 1), dice.roll(hard / 2));
                let taken: i64 = shares.values().map(|share| share.settled + share.leased).sum();
                let ask = LeaseAsk { window, end: None, life, give_back, need, hard: Some(hard) };
                let lease = store.write(account, move |tx| Box::pin(async move { tx.lease_budget(ask).await })).await.unwrap();

                let left = hard - taken + give_back;
                assert_eq!(lease.granted > 0, need > 0 && need <= left, "seed {seed}, step {step}: {ask:?} {lease:?}");
                assert!(lease.granted == 0 || (lease.granted >= need && lease.granted <= left), "seed {seed}, step {step}");
                shares.get_mut(&life).unwrap().leased += lease.granted - give_back;
                let sum = |of: fn(&Share) -> i64| shares.values().map(of).sum::<i64>();
                assert_eq!(lease.spent.settled, sum(|share| share.settled));
                assert_eq!(lease.spent.leased_here, shares[&life].leased);
                assert_eq!(lease.spent.leased_here + lease.spent.leased_elsewhere, sum(|share| share.leased));
                if dice.roll(8) == 0 {
                    // A person changes the limit, perhaps to less than is taken.
                    hard = 50 + dice.roll(1_000);
                }
            }
        }
    }

    async fn lines_of_one_commit_add_up(store) {
        let account = store.owner("ann").await.account;
        let appends = (0..100_u64).map(|i| {
            let usage = Usage {
                model: if i % 2 == 0 { "fast" } else { "good" }.into(),
                provider: "openai".into(),
                outcome: if i % 4 == 0 { "unknown" } else { "succeeded" },
                tokens: Tokens { input: i, cache_write_1h: 1, output: u64::MAX, ..Tokens::default() },
                cost: (i % 5 != 0).then_some(NanoUsd(1)),
                priced: true,
            };
            let line = LedgerLine { usage: Some(usage), ..LedgerLine::default() };
            store.append_with(entry(account, EntryKind::ModelOutcome, None), line)
        });
        futures::future::try_join_all(appends).await.unwrap();

        let rows = store.account(account);
        let total = rows.usage_total(UsageFilter::default()).await.unwrap();
        assert_eq!((total.requests, total.succeeded, total.unpriced, total.cost), (100, 75, 20, NanoUsd(80)));
        assert_eq!((total.input, total.cache_write), (4950, 100));
        // What nobody can have consumed does not make the sum overflow.
        assert!(total.output > 0 && total.output < u64::MAX / 2);
        let models = rows.usage(UsageFilter::default(), UsageBy::Model).await.unwrap();
        assert_eq!(models.iter().map(|row| (row.name.as_deref().unwrap(), row.sums.requests)).collect::<Vec<_>>(), [("fast", 50), ("good", 50)]);
        let only = UsageFilter { model: Some("fast".to_owned()), outcome: Some("unknown".to_owned()), ..UsageFilter::default() };
        assert_eq!(rows.usage_total(only).await.unwrap().requests, 25);
        let before = UsageFilter { until: Some(store.now()), ..UsageFilter::default() };
        assert_eq!(rows.usage_total(before).await.unwrap().requests, 0);
    }
}
