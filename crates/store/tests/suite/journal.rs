use std::{collections::HashMap, time::Duration};

use futures::future::join_all;
use preloop_store::{Error, Order, RecordCursor, RecordFilter, each_store, testing::START};
use preloop_types::{CallId, Entry, EntryKind, KeyId, Subject, Timestamp, UserId};
use uuid::Uuid;

use crate::{call, entry, raw, with_payload};

each_store! {
    async fn a_record_comes_back_as_it_was(store) {
        let account = store.owner("ann").await.account;
        let subject = Subject { user: Some(UserId(Uuid::now_v7())), key: Some(KeyId(Uuid::now_v7())), ..Default::default() };
        let call = call();
        let body = raw("{\"big\": 12345678901234567890123,\n \"text\": \"a\\nb\"}");
        let payload = Some(b"{\"amount\":5}".to_vec());
        let kind = EntryKind::CallIntent;
        let receipt = store.append(Entry { account, kind, call: Some(call), subject, body, payload }).await.unwrap();

        let view = store.account(account);
        let record = view.records(RecordFilter { call: Some(call), ..Default::default() }).await.unwrap().remove(0);
        assert_eq!((record.chain, record.seq, record.at), (store.writer(), receipt.seq, receipt.at));
        assert_eq!((record.kind, record.call, record.subject), (kind, Some(call), subject));
        assert_eq!(record.body.get(), "{\"big\": 12345678901234567890123,  \"text\": \"a\\nb\"}", "kept, on one line");
        assert!(record.has_payload && record.payload_hash.is_some());
        let payload = view.record_payload(record.chain, record.seq).await.unwrap();
        assert_eq!(payload.as_deref(), Some(&b"{\"amount\":5}"[..]));
        assert!(view.verify_journal().await.unwrap().ok);
    }

    async fn decided_calls_come_newest_first_with_their_arguments(store) {
        let account = store.owner("ann").await.account;
        let other = store.owner("bob").await.account;
        for (account, kind, n) in [
            (account, EntryKind::CallIntent, 1),
            (account, EntryKind::CallOutcome, 2),
            (account, EntryKind::CallRefused, 3),
            (other, EntryKind::CallIntent, 4),
            (account, EntryKind::ApprovalRequested, 5),
        ] {
            let payload = Some(format!("{{\"n\":{n}}}").into_bytes());
            let entry = Entry { account, kind, call: Some(call()), subject: Subject::default(), body: raw("{}"), payload };
            store.append(entry).await.unwrap();
            store.clock().advance(Duration::from_secs(1));
        }
        let view = store.account(account);
        let page = |after, limit| view.decided_calls(START, store.now(), after, limit);
        let first = page(None, 2).await.unwrap();
        let rest = page(first.last().map(|call| call.place), 2).await.unwrap();
        let read: Vec<_> = first.iter().chain(&rest).map(|call| (call.kind, call.payload.clone().unwrap())).collect();
        assert_eq!(
            read,
            [
                (EntryKind::ApprovalRequested, b"{\"n\":5}".to_vec()),
                (EntryKind::CallRefused, b"{\"n\":3}".to_vec()),
                (EntryKind::CallIntent, b"{\"n\":1}".to_vec()),
            ]
        );
        assert!(view.decided_calls(store.now(), store.now(), None, 9).await.unwrap().is_empty());
    }

    async fn one_commit_carries_many_records(store) {
        let account = store.owner("ann").await.account;
        let before = store.journal_stats();
        // What comes while the writer is busy waits, and is committed together.
        let (free, busy) = tokio::sync::oneshot::channel::<()>();
        let work = store.write(account, |_| {
            Box::pin(async move {
                busy.await.unwrap();
                Ok(())
            })
        });
        let appends = join_all((0..1000).map(|_| store.append(with_payload(account, "x"))));
        let release = async {
            tokio::task::yield_now().await;
            free.send(()).unwrap();
        };
        let (worked, appended, ()) = tokio::join!(work, appends, release);
        worked.unwrap();
        let mut seqs: Vec<u64> = appended.into_iter().map(|receipt| receipt.unwrap().seq).collect();
        seqs.sort_unstable();
        assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "no hole, no repetition");
        let after = store.journal_stats();
        let (commits, records) = (after.commits - before.commits, after.records - before.records);
        assert_eq!(records, 1000);
        assert!(commits <= 100, "{commits} commits");
        let report = store.account(account).verify_journal().await.unwrap();
        assert!(report.ok, "{report:?}");
    }

    async fn a_record_nobody_waits_for_is_read_at_once_and_shares_the_next_commit(store) {
        let account = store.owner("ann").await.account;
        store.append(entry(account, EntryKind::CallRefused, None)).await.unwrap();
        let before = store.journal_stats();
        for _ in 0..10 {
            store.append_later(entry(account, EntryKind::CallRefused, None)).await.unwrap();
        }
        let last = store.append(entry(account, EntryKind::CallRefused, None)).await.unwrap();
        let after = store.journal_stats();
        store.append_later(entry(account, EntryKind::CallRefused, None)).await.unwrap();
        let filter = RecordFilter { kinds: vec![EntryKind::CallRefused], ..RecordFilter::default() };
        let records = store.account(account).records(filter).await.unwrap();

        assert_eq!(after.records - before.records, 11);
        assert!(after.commits - before.commits <= 2, "{} commits", after.commits - before.commits);
        assert_eq!(records.first().map(|record| record.seq), Some(last.seq + 1));
        assert_eq!(records.len(), 13);
    }

    async fn a_checkpoint_is_signed_by_itself_after_many_records(store) {
        let account = store.owner("ann").await.account;
        for _ in 0..5 {
            let appended = join_all((0..1000).map(|_| store.append(entry(account, EntryKind::CallRefused, None)))).await;
            assert!(appended.iter().all(Result::is_ok));
        }
        // One more commit carries it.
        store.append(entry(account, EntryKind::CallRefused, None)).await.unwrap();
        let checkpoints = store.account(account).checkpoints().await.unwrap();
        assert_eq!((checkpoints.len(), checkpoints[0].first_seq), (1, 1));
        assert!(checkpoints[0].count() >= 4096);
        assert!(store.account(account).inclusion(store.writer(), 4000).await.unwrap().unwrap().verify(None).is_ok());
    }

    async fn works_and_appends_share_commits_and_one_chain(store) {
        let (ann, bob) = (store.owner("ann").await.account, store.owner("bob").await.account);
        let before = store.journal_stats();
        let mixed = (0..120).map(|i| {
            let account = if i % 2 == 0 { ann } else { bob };
            let store = &store;
            async move {
                if i % 3 == 0 {
                    store.write(account, move |tx| Box::pin(async move {
                        tx.record(entry(account, EntryKind::ConfigChanged, None));
                        tx.record(entry(account, EntryKind::ToolPinned, None));
                        Ok(())
                    })).await.unwrap();
                } else {
                    store.append(entry(account, EntryKind::CallRefused, None)).await.unwrap();
                }
            }
        });
        join_all(mixed).await;
        let after = store.journal_stats();
        assert_eq!(after.records - before.records, 160);
        assert!(after.commits - before.commits < 120);
        for account in [ann, bob] {
            let report = store.account(account).verify_journal().await.unwrap();
            assert!(report.ok && report.chains == 1, "{report:?}");
        }
    }

    async fn pages_follow_each_other_in_both_directions(store) {
        let account = store.owner("ann").await.account;
        let call = call();
        for i in 0..10 {
            store.clock().advance(Duration::from_secs(1));
            let kind = if i % 2 == 0 { EntryKind::CallIntent } else { EntryKind::CallOutcome };
            store.append(entry(account, kind, (i == 4 || i == 5).then_some(call))).await.unwrap();
        }
        let view = store.account(account);
        let all = view.records(RecordFilter { order: Order::OldestFirst, ..Default::default() }).await.unwrap();
        let seqs: Vec<u64> = all.iter().map(|record| record.seq).collect();
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let mut filter = RecordFilter { order, limit: 4, ..Default::default() };
            let mut walked = Vec::new();
            loop {
                let page = view.records(filter.clone()).await.unwrap();
                let Some(last) = page.last() else { break };
                // Through its text, as a client hands it back.
                filter.after = Some(last.cursor().to_string().parse::<RecordCursor>().unwrap());
                walked.extend(page.iter().map(|record| record.seq));
            }
            if order == Order::NewestFirst {
                walked.reverse();
            }
            assert_eq!(walked, seqs);
        }
        let count = async |filter| view.records(filter).await.unwrap().len();
        assert_eq!(count(RecordFilter { kinds: vec![EntryKind::CallOutcome], ..Default::default() }).await, 5);
        assert_eq!(count(RecordFilter { call: Some(call), ..Default::default() }).await, 2);
        let (since, until) = (Some(START + Duration::from_secs(3)), Some(START + Duration::from_secs(6)));
        assert_eq!(count(RecordFilter { since, until, ..Default::default() }).await, 3);
    }

    async fn time_never_goes_backwards_in_a_chain(store) {
        let account = store.owner("ann").await.account;
        let first = store.append(entry(account, EntryKind::CallRefused, None)).await.unwrap();
        store.clock().set(Timestamp::from_micros(START.micros() - 3_600_000_000));
        let second = store.append(entry(account, EntryKind::CallRefused, None)).await.unwrap();
        assert_eq!(second.at, first.at);
        let store = store.reopen().await;
        let third = store.append(entry(account, EntryKind::CallRefused, None)).await.unwrap();
        assert_eq!(third.at, first.at, "nor over a restart");
        store.clock().set(START + Duration::from_secs(5));
        let fourth = store.append(entry(account, EntryKind::CallRefused, None)).await.unwrap();
        assert_eq!(fourth.at, START + Duration::from_secs(5));
        assert!(store.account(account).verify_journal().await.unwrap().ok);
    }

    async fn an_erased_payload_is_gone_and_the_proof_holds(store) {
        let account = store.owner("ann").await.account;
        let seq = store.append(with_payload(account, "private")).await.unwrap().seq;
        let chain = store.writer();
        let erase = || store.write(account, move |tx| Box::pin(async move {
            tx.erase_payload(chain, seq, Subject::default()).await
        }));
        assert!(erase().await.unwrap());
        assert!(!erase().await.unwrap());
        let view = store.account(account);
        assert_eq!(view.record_payload(chain, seq).await.unwrap(), None);
        let erasures = RecordFilter { kinds: vec![EntryKind::PayloadErased], ..Default::default() };
        assert_eq!(view.records(erasures).await.unwrap().len(), 1);
        assert!(view.verify_journal().await.unwrap().ok);
        let export = crate::exported(&store, account, true).await;
        assert!(preloop_store::proof::verify(export.as_bytes(), None).ok);
    }

    async fn p1_open_intents_of_an_earlier_life_become_unknown(store) {
        let account = store.owner("ann").await.account;
        let (settled, open): (Vec<CallId>, Vec<CallId>) = ((0..3).map(|_| call()).collect(), (0..300).map(|_| call()).collect());
        for call in settled.iter().chain(&open) {
            store.append(entry(account, EntryKind::CallIntent, Some(*call))).await.unwrap();
        }
        for call in &settled {
            store.append(entry(account, EntryKind::CallOutcome, Some(*call))).await.unwrap();
        }
        // A checkpoint does not let the start forget what is still open.
        store.account(account).checkpoint().await.unwrap();
        let mut store = store;
        for _ in 0..2 {
            store = store.reopen().await;
            let mut outcomes = HashMap::new();
            for _ in 0..200 {
                outcomes.clear();
                let mut filter = RecordFilter { kinds: vec![EntryKind::CallOutcome], limit: 1000, ..Default::default() };
                filter.order = Order::OldestFirst;
                for record in store.account(account).records(filter).await.unwrap() {
                    outcomes.entry(record.call.unwrap()).or_insert_with(Vec::new).push(record.body.get().to_owned());
                }
                if outcomes.len() == 303 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(open.iter().all(|call| outcomes[call].len() == 1 && outcomes[call][0].contains(r#""unknown""#)));
            assert!(settled.iter().all(|call| outcomes[call].len() == 1 && !outcomes[call][0].contains("unknown")));
        }
        assert!(store.account(account).verify_journal().await.unwrap().ok);
    }

    async fn limits_are_told_before_anything_is_written(store) {
        let account = store.owner("ann").await.account;
        let mut large = entry(account, EntryKind::CallRefused, None);
        large.body = raw(&format!("{{\"a\":\"{}\"}}", "x".repeat(70_000)));
        assert!(matches!(store.append(large).await, Err(Error::Invalid(_))));
        let mut large = entry(account, EntryKind::CallRefused, None);
        large.payload = Some(vec![0; 17 << 20]);
        assert!(matches!(store.append(large).await, Err(Error::Invalid(_))));
    }
}
